"""The first schema: tables, append-only history, inbox wake-ups, row-level security, grants.

Revision: 0001
Follows: nothing
"""

from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

TABLES = """
create table abdm_exchanges (
    id uuid not null,
    created_at timestamptz not null,
    api text not null,
    business_key text not null,
    workflow_id text not null,
    answered_at timestamptz,
    error_code text not null,
    constraint pk_abdm_exchanges primary key (id)
)
;
create index ix_abdm_exchanges_business_key on abdm_exchanges (business_key)
;
create table audit_entries (
    chain text not null,
    seq integer not null,
    at timestamptz not null,
    actor text not null,
    action text not null,
    object_kind text not null,
    object_id text not null,
    body text not null,
    hash text not null,
    constraint pk_audit_entries primary key (chain, seq)
)
;
create index ix_audit_entries_object_id on audit_entries (object_id)
;
create table audit_heads (
    chain text not null,
    seq integer not null,
    hash text not null,
    constraint pk_audit_heads primary key (chain)
)
;
create table consents (
    id uuid not null,
    created_at timestamptz not null,
    consent_id text not null,
    status text not null,
    artefact jsonb not null,
    expires_at timestamptz,
    status_at timestamptz not null,
    constraint pk_consents primary key (id),
    constraint uq_consents_consent_id unique (consent_id)
)
;
create table counters (
    series text not null,
    value integer not null,
    constraint pk_counters primary key (series)
)
;
create table doctors (
    id uuid not null,
    created_at timestamptz not null,
    name text not null,
    registration_no text not null,
    phone text not null,
    constraint pk_doctors primary key (id)
)
;
create table health_info_transfers (
    id uuid not null,
    created_at timestamptz not null,
    transaction_id text not null,
    consent_id text not null,
    request jsonb not null,
    state text not null,
    error_code text not null,
    sent_count integer not null,
    constraint pk_health_info_transfers primary key (id),
    constraint uq_health_info_transfers_transaction_id unique (transaction_id)
)
;
create table idempotent_requests (
    actor_id uuid not null,
    key text not null,
    route text not null,
    request_hash text not null,
    status integer not null,
    body jsonb not null,
    created_at timestamptz not null,
    constraint pk_idempotent_requests primary key (actor_id, key)
)
;
create table organisations (
    id uuid not null,
    created_at timestamptz not null,
    code text not null,
    name text not null,
    legal_name text not null,
    accreditation text not null,
    constraint pk_organisations primary key (id),
    constraint uq_organisations_code unique (code)
)
;
create table panels (
    id uuid not null,
    created_at timestamptz not null,
    code text not null,
    name text not null,
    loinc text not null,
    price_paise bigint not null,
    is_active boolean not null,
    constraint pk_panels primary key (id),
    constraint uq_panels_code unique (code)
)
;
create table partner_calls (
    id uuid not null,
    created_at timestamptz not null,
    connector text not null,
    operation text not null,
    reference text not null,
    method text not null,
    url text not null,
    request_headers jsonb not null,
    request_body text not null,
    status integer not null,
    response_body text not null,
    outcome text not null,
    elapsed_ms integer not null,
    constraint pk_partner_calls primary key (id)
)
;
create index ix_partner_calls_connector on partner_calls (connector)
;
create index ix_partner_calls_reference on partner_calls (reference)
;
create table partner_events (
    id uuid not null,
    created_at timestamptz not null,
    source text not null,
    event_id text not null,
    kind text not null,
    reference text not null,
    entity_id text not null,
    headers jsonb not null,
    raw bytea not null,
    received_at timestamptz not null,
    state text not null,
    reason text not null,
    workflow_id text not null,
    handled_at timestamptz,
    constraint pk_partner_events primary key (id),
    constraint uq_partner_events_source_event_id unique (source, event_id)
)
;
create index ix_partner_events_state on partner_events (state)
;
create table payers (
    id uuid not null,
    created_at timestamptz not null,
    code text not null,
    legal_name text not null,
    gstin text not null,
    address1 text not null,
    address2 text not null,
    city text not null,
    pin text not null,
    state_code text not null,
    email text not null,
    credit_days integer not null,
    constraint pk_payers primary key (id),
    constraint uq_payers_code unique (code)
)
;
create table tests (
    id uuid not null,
    created_at timestamptz not null,
    code text not null,
    name text not null,
    loinc text not null,
    department text not null,
    specimen text not null,
    container text not null,
    method text not null,
    kind text not null,
    unit text not null,
    unit_display text not null,
    decimals integer,
    price_paise bigint not null,
    sac text not null,
    gst_rate numeric not null,
    is_taxable boolean not null,
    critical_low numeric,
    critical_high numeric,
    critical_source text not null,
    is_confidential boolean not null,
    is_research boolean not null,
    tat_minutes integer not null,
    is_active boolean not null,
    constraint pk_tests primary key (id),
    constraint uq_tests_code unique (code)
)
;
create table users (
    id uuid not null,
    created_at timestamptz not null,
    username text not null,
    full_name text not null,
    password_hash text not null,
    qualification text not null,
    registration_no text not null,
    disabled_at timestamptz,
    constraint pk_users primary key (id),
    constraint uq_users_username unique (username)
)
;
create table branches (
    id uuid not null,
    created_at timestamptz not null,
    organisation_id uuid not null,
    code varchar(4) not null,
    name text not null,
    address1 text not null,
    address2 text not null,
    city text not null,
    pin text not null,
    state_code text not null,
    gstin text not null,
    phone text not null,
    email text not null,
    hip_id text not null,
    gst_policy jsonb not null,
    constraint pk_branches primary key (id),
    constraint fk_branches_organisation_id foreign key(organisation_id) references organisations (id),
    constraint uq_branches_code unique (code)
)
;
create table panel_tests (
    panel_id uuid not null,
    test_id uuid not null,
    position integer not null,
    constraint pk_panel_tests primary key (panel_id, test_id),
    constraint fk_panel_tests_panel_id foreign key(panel_id) references panels (id),
    constraint fk_panel_tests_test_id foreign key(test_id) references tests (id)
)
;
create table reference_intervals (
    id uuid not null,
    created_at timestamptz not null,
    test_id uuid not null,
    sex text not null,
    age_from_days integer not null,
    age_to_days integer not null,
    low numeric,
    high numeric,
    text text not null,
    normal text[] not null,
    source text not null,
    constraint pk_reference_intervals primary key (id),
    constraint fk_reference_intervals_test_id foreign key(test_id) references tests (id)
)
;
create index ix_reference_intervals_test_id on reference_intervals (test_id)
;
create table refresh_tokens (
    id uuid not null,
    created_at timestamptz not null,
    user_id uuid not null,
    family_id uuid not null,
    token_hash text not null,
    expires_at timestamptz not null,
    used_at timestamptz,
    revoked_at timestamptz,
    constraint pk_refresh_tokens primary key (id),
    constraint fk_refresh_tokens_user_id foreign key(user_id) references users (id),
    constraint uq_refresh_tokens_token_hash unique (token_hash)
)
;
create index ix_refresh_tokens_family_id on refresh_tokens (family_id)
;
create index ix_refresh_tokens_user_id on refresh_tokens (user_id)
;
create table analyzers (
    id uuid not null,
    created_at timestamptz not null,
    branch_id uuid not null,
    code text not null,
    name text not null,
    model text not null,
    protocol text not null,
    profile jsonb not null,
    peers text[] not null,
    is_active boolean not null,
    constraint pk_analyzers primary key (id),
    constraint fk_analyzers_branch_id foreign key(branch_id) references branches (id),
    constraint uq_analyzers_code unique (code)
)
;
create table patients (
    id uuid not null,
    created_at timestamptz not null,
    patient_no text not null,
    branch_id uuid not null,
    name text not null,
    sex text not null,
    birth_date date not null,
    is_birth_date_estimated boolean not null,
    phone text not null,
    email text not null,
    abha_number text not null,
    abha_address text not null,
    language text not null,
    has_record_consent boolean not null,
    has_message_consent boolean not null,
    erased_at timestamptz,
    constraint pk_patients primary key (id),
    constraint uq_patients_patient_no unique (patient_no),
    constraint fk_patients_branch_id foreign key(branch_id) references branches (id)
)
;
create index ix_patients_phone on patients (phone)
;
create table user_roles (
    user_id uuid not null,
    branch_id uuid not null,
    role text not null,
    constraint pk_user_roles primary key (user_id, branch_id, role),
    constraint fk_user_roles_user_id foreign key(user_id) references users (id),
    constraint fk_user_roles_branch_id foreign key(branch_id) references branches (id)
)
;
create table analyzer_tests (
    analyzer_id uuid not null,
    device_code text not null,
    test_id uuid not null,
    unit text not null,
    constraint pk_analyzer_tests primary key (analyzer_id, device_code),
    constraint fk_analyzer_tests_analyzer_id foreign key(analyzer_id) references analyzers (id),
    constraint fk_analyzer_tests_test_id foreign key(test_id) references tests (id)
)
;
create table api_keys (
    id uuid not null,
    created_at timestamptz not null,
    analyzer_id uuid not null,
    name text not null,
    key_hash text not null,
    revoked_at timestamptz,
    constraint pk_api_keys primary key (id),
    constraint fk_api_keys_analyzer_id foreign key(analyzer_id) references analyzers (id),
    constraint uq_api_keys_key_hash unique (key_hash)
)
;
create table instrument_messages (
    id uuid not null,
    created_at timestamptz not null,
    analyzer_id uuid,
    protocol text not null,
    transport text not null,
    peer text not null,
    raw bytea not null,
    sha256 text not null,
    received_at timestamptz not null,
    framing_error text not null,
    state text not null,
    reason text not null,
    control_id text not null,
    specimen_ids text[] not null,
    read_at timestamptz,
    readings integer not null,
    duplicate_of uuid,
    constraint pk_instrument_messages primary key (id),
    constraint fk_instrument_messages_analyzer_id foreign key(analyzer_id) references analyzers (id)
)
;
create index ix_instrument_messages_analyzer_id on instrument_messages (analyzer_id)
;
create index ix_instrument_messages_sha256 on instrument_messages (sha256)
;
create index ix_instrument_messages_state on instrument_messages (state)
;
create table link_tokens (
    id uuid not null,
    created_at timestamptz not null,
    patient_id uuid not null,
    hip_id text not null,
    sealed_token text not null,
    expires_at timestamptz not null,
    constraint pk_link_tokens primary key (id),
    constraint uq_link_tokens_patient_id_hip_id unique (patient_id, hip_id),
    constraint fk_link_tokens_patient_id foreign key(patient_id) references patients (id)
)
;
create table orders (
    id uuid not null,
    created_at timestamptz not null,
    order_no text not null,
    branch_id uuid not null,
    patient_id uuid not null,
    doctor_id uuid,
    priority text not null,
    stage text not null,
    attention text[] not null,
    clinical_notes text not null,
    placed_by uuid not null,
    workflow_started_at timestamptz,
    closed_at timestamptz,
    cancel_reason text not null,
    is_release_overridden boolean not null,
    event_seq integer not null,
    constraint pk_orders primary key (id),
    constraint uq_orders_order_no unique (order_no),
    constraint fk_orders_branch_id foreign key(branch_id) references branches (id),
    constraint fk_orders_patient_id foreign key(patient_id) references patients (id),
    constraint fk_orders_doctor_id foreign key(doctor_id) references doctors (id),
    constraint fk_orders_placed_by foreign key(placed_by) references users (id)
)
;
create index ix_orders_branch_id on orders (branch_id)
;
create index ix_orders_patient_id on orders (patient_id)
;
create index ix_orders_stage on orders (stage)
;
create table commands (
    id uuid not null,
    created_at timestamptz not null,
    kind text not null,
    order_id uuid not null,
    branch_id uuid not null,
    workflow_id text not null,
    payload jsonb not null,
    actor_id uuid not null,
    idempotency_key text not null,
    request_hash text not null,
    state text not null,
    result jsonb not null,
    refusal_code text not null,
    refusal text not null,
    refusal_action text not null,
    applied_at timestamptz,
    constraint pk_commands primary key (id),
    constraint uq_commands_actor_id_idempotency_key unique (actor_id, idempotency_key),
    constraint fk_commands_order_id foreign key(order_id) references orders (id),
    constraint fk_commands_branch_id foreign key(branch_id) references branches (id),
    constraint fk_commands_actor_id foreign key(actor_id) references users (id)
)
;
create index ix_commands_order_id on commands (order_id)
;
create index ix_commands_state on commands (state)
;
create table invoices (
    id uuid not null,
    created_at timestamptz not null,
    order_id uuid not null,
    branch_id uuid not null,
    payer_id uuid,
    document_no varchar(16) not null,
    kind text not null,
    supplier_gstin text not null,
    financial_year text not null,
    document_date date not null,
    place_of_supply text not null,
    mode text not null,
    state text not null,
    taxable_paise bigint not null,
    cgst_paise bigint not null,
    sgst_paise bigint not null,
    igst_paise bigint not null,
    total_paise bigint not null,
    document jsonb not null,
    reverses_id uuid,
    cancel_reason text not null,
    constraint pk_invoices primary key (id),
    constraint uq_invoices_supplier_gstin_financial_year_document_no unique (supplier_gstin, financial_year, document_no),
    constraint fk_invoices_order_id foreign key(order_id) references orders (id),
    constraint fk_invoices_branch_id foreign key(branch_id) references branches (id),
    constraint fk_invoices_payer_id foreign key(payer_id) references payers (id),
    constraint uq_invoices_document_no unique (document_no),
    constraint uq_invoices_reverses_id unique (reverses_id),
    constraint fk_invoices_reverses_id foreign key(reverses_id) references invoices (id)
)
;
create index ix_invoices_order_id on invoices (order_id)
;
create table message_signals (
    message_id uuid not null,
    order_id uuid not null,
    delivered_at timestamptz,
    constraint pk_message_signals primary key (message_id, order_id),
    constraint fk_message_signals_message_id foreign key(message_id) references instrument_messages (id),
    constraint fk_message_signals_order_id foreign key(order_id) references orders (id)
)
;
create table notifications (
    id uuid not null,
    created_at timestamptz not null,
    order_id uuid not null,
    purpose_key text not null,
    template text not null,
    channel text not null,
    language text not null,
    provider_id text not null,
    state text not null,
    error_code text not null,
    updated_at timestamptz not null,
    constraint pk_notifications primary key (id),
    constraint uq_notifications_purpose_key_channel unique (purpose_key, channel),
    constraint fk_notifications_order_id foreign key(order_id) references orders (id)
)
;
create index ix_notifications_order_id on notifications (order_id)
;
create index ix_notifications_provider_id on notifications (provider_id)
;
create table order_events (
    order_id uuid not null,
    seq integer not null,
    at timestamptz not null,
    source text not null,
    kind text not null,
    actor text not null,
    detail jsonb not null,
    constraint pk_order_events primary key (order_id, seq),
    constraint fk_order_events_order_id foreign key(order_id) references orders (id)
)
;
create table reports (
    id uuid not null,
    created_at timestamptz not null,
    order_id uuid not null,
    branch_id uuid not null,
    report_no text not null,
    version integer not null,
    state text not null,
    bucket text not null,
    object_key text not null,
    object_version text not null,
    sha256 text not null,
    size_bytes integer not null,
    check_token text not null,
    is_confidential boolean not null,
    issued_at timestamptz not null,
    signed_by uuid not null,
    constraint pk_reports primary key (id),
    constraint uq_reports_order_id_version unique (order_id, version),
    constraint fk_reports_order_id foreign key(order_id) references orders (id),
    constraint fk_reports_branch_id foreign key(branch_id) references branches (id),
    constraint uq_reports_check_token unique (check_token),
    constraint fk_reports_signed_by foreign key(signed_by) references users (id)
)
;
create index ix_reports_order_id on reports (order_id)
;
create table samples (
    id uuid not null,
    created_at timestamptz not null,
    order_id uuid not null,
    branch_id uuid not null,
    accession_no text not null,
    specimen text not null,
    container text not null,
    state text not null,
    collected_at timestamptz,
    collected_by uuid,
    received_at timestamptz,
    received_by uuid,
    rejected_at timestamptz,
    rejected_by uuid,
    reject_reason text not null,
    replaces_id uuid,
    constraint pk_samples primary key (id),
    constraint fk_samples_order_id foreign key(order_id) references orders (id),
    constraint fk_samples_branch_id foreign key(branch_id) references branches (id),
    constraint uq_samples_accession_no unique (accession_no),
    constraint fk_samples_collected_by foreign key(collected_by) references users (id),
    constraint fk_samples_received_by foreign key(received_by) references users (id),
    constraint fk_samples_rejected_by foreign key(rejected_by) references users (id),
    constraint fk_samples_replaces_id foreign key(replaces_id) references samples (id)
)
;
create index ix_samples_order_id on samples (order_id)
;
create table care_contexts (
    id uuid not null,
    created_at timestamptz not null,
    report_id uuid not null,
    patient_id uuid not null,
    reference text not null,
    display text not null,
    state text not null,
    linked_at timestamptz,
    constraint pk_care_contexts primary key (id),
    constraint uq_care_contexts_report_id unique (report_id),
    constraint fk_care_contexts_report_id foreign key(report_id) references reports (id),
    constraint fk_care_contexts_patient_id foreign key(patient_id) references patients (id),
    constraint uq_care_contexts_reference unique (reference)
)
;
create table einvoice_documents (
    id uuid not null,
    created_at timestamptz not null,
    invoice_id uuid not null,
    state text not null,
    reason_code text not null,
    irn text,
    ack_no text not null,
    ack_at timestamptz,
    signed_invoice text not null,
    signed_qr text not null,
    cancelled_at timestamptz,
    rules jsonb not null,
    constraint pk_einvoice_documents primary key (id),
    constraint uq_einvoice_documents_invoice_id unique (invoice_id),
    constraint fk_einvoice_documents_invoice_id foreign key(invoice_id) references invoices (id),
    constraint uq_einvoice_documents_irn unique (irn)
)
;
create table invoice_lines (
    id uuid not null,
    created_at timestamptz not null,
    invoice_id uuid not null,
    serial integer not null,
    description text not null,
    sac text not null,
    quantity integer not null,
    unit_price_paise bigint not null,
    taxable_paise bigint not null,
    gst_rate numeric not null,
    cgst_paise bigint not null,
    sgst_paise bigint not null,
    igst_paise bigint not null,
    total_paise bigint not null,
    is_exempt boolean not null,
    constraint pk_invoice_lines primary key (id),
    constraint uq_invoice_lines_invoice_id_serial unique (invoice_id, serial),
    constraint fk_invoice_lines_invoice_id foreign key(invoice_id) references invoices (id)
)
;
create table ledger_entries (
    id uuid not null,
    created_at timestamptz not null,
    invoice_id uuid not null,
    kind text not null,
    amount_paise bigint not null,
    method text not null,
    gateway text not null,
    gateway_ref text not null,
    note text not null,
    entered_by uuid,
    constraint pk_ledger_entries primary key (id),
    constraint uq_ledger_entries_gateway_gateway_ref unique (gateway, gateway_ref),
    constraint fk_ledger_entries_invoice_id foreign key(invoice_id) references invoices (id),
    constraint fk_ledger_entries_entered_by foreign key(entered_by) references users (id)
)
;
create index ix_ledger_entries_invoice_id on ledger_entries (invoice_id)
;
create table order_lines (
    id uuid not null,
    created_at timestamptz not null,
    order_id uuid not null,
    test_id uuid not null,
    panel_id uuid,
    payer_id uuid,
    sample_id uuid,
    price_paise bigint not null,
    state text not null,
    position integer not null,
    constraint pk_order_lines primary key (id),
    constraint fk_order_lines_order_id foreign key(order_id) references orders (id),
    constraint fk_order_lines_test_id foreign key(test_id) references tests (id),
    constraint fk_order_lines_panel_id foreign key(panel_id) references panels (id),
    constraint fk_order_lines_payer_id foreign key(payer_id) references payers (id),
    constraint fk_order_lines_sample_id foreign key(sample_id) references samples (id)
)
;
create index ix_order_lines_order_id on order_lines (order_id)
;
create index ix_order_lines_sample_id on order_lines (sample_id)
;
create table payment_links (
    id uuid not null,
    created_at timestamptz not null,
    invoice_id uuid not null,
    gateway text not null,
    link_id text not null,
    reference text not null,
    state text not null,
    amount_paise bigint not null,
    short_url text not null,
    expires_at timestamptz,
    constraint pk_payment_links primary key (id),
    constraint fk_payment_links_invoice_id foreign key(invoice_id) references invoices (id),
    constraint uq_payment_links_link_id unique (link_id),
    constraint uq_payment_links_reference unique (reference)
)
;
create index ix_payment_links_invoice_id on payment_links (invoice_id)
;
create table refunds (
    id uuid not null,
    created_at timestamptz not null,
    invoice_id uuid not null,
    payment_ref text not null,
    amount_paise bigint not null,
    gateway text not null,
    idempotency_key text not null,
    refund_ref text not null,
    state text not null,
    reason text not null,
    constraint pk_refunds primary key (id),
    constraint fk_refunds_invoice_id foreign key(invoice_id) references invoices (id),
    constraint uq_refunds_payment_ref unique (payment_ref),
    constraint uq_refunds_idempotency_key unique (idempotency_key)
)
;
create index ix_refunds_invoice_id on refunds (invoice_id)
;
create table results (
    id uuid not null,
    created_at timestamptz not null,
    order_line_id uuid not null,
    sample_id uuid not null,
    version integer not null,
    state text not null,
    source text not null,
    dedupe_key text not null,
    analyzer_id uuid,
    message_id uuid,
    command_id uuid,
    value_text text not null,
    comparator text not null,
    number numeric,
    unit text not null,
    flag text not null,
    is_critical boolean not null,
    reference_low numeric,
    reference_high numeric,
    reference_text text not null,
    device_flags text[] not null,
    comments text[] not null,
    hold_reason text not null,
    rules_version text not null,
    observed_at timestamptz not null,
    entered_by uuid,
    constraint pk_results primary key (id),
    constraint uq_results_order_line_id_version unique (order_line_id, version),
    constraint uq_results_dedupe_key unique (dedupe_key),
    constraint fk_results_order_line_id foreign key(order_line_id) references order_lines (id),
    constraint fk_results_sample_id foreign key(sample_id) references samples (id),
    constraint fk_results_analyzer_id foreign key(analyzer_id) references analyzers (id),
    constraint fk_results_message_id foreign key(message_id) references instrument_messages (id),
    constraint fk_results_entered_by foreign key(entered_by) references users (id)
)
;
create index ix_results_order_line_id on results (order_line_id)
;
create table verifications (
    id uuid not null,
    created_at timestamptz not null,
    result_id uuid not null,
    order_line_id uuid not null,
    level text not null,
    decision text not null,
    user_id uuid not null,
    reason text not null,
    constraint pk_verifications primary key (id),
    constraint uq_verifications_result_id_level unique (result_id, level),
    constraint fk_verifications_result_id foreign key(result_id) references results (id),
    constraint fk_verifications_order_line_id foreign key(order_line_id) references order_lines (id),
    constraint fk_verifications_user_id foreign key(user_id) references users (id)
)
;
create index ix_verifications_order_line_id on verifications (order_line_id)
"""

INDEXES = """
-- one result version in force per ordered test
create unique index uq_results_current on results (order_line_id) where state = 'current'
;
-- what the dispatcher looks for
create index ix_instrument_messages_waiting on instrument_messages (received_at) where state = 'received'
;
create index ix_instrument_messages_specimens on instrument_messages using gin (specimen_ids)
    where state in ('unmatched', 'partial')
;
create index ix_message_signals_waiting on message_signals (message_id) where delivered_at is null
;
create index ix_partner_events_waiting on partner_events (received_at) where state = 'received'
;
create index ix_commands_waiting on commands (created_at) where state = 'accepted'
;
create index ix_orders_unstarted on orders (created_at) where workflow_started_at is null
;
create index ix_orders_worklist on orders (branch_id, stage, created_at)
;
create index ix_orders_attention on orders (branch_id) where cardinality(attention) > 0
"""

RULES = """
-- history is added to, never changed: whoever tries gets an error, whatever the role
create function refuse_change() returns trigger language plpgsql as $$
begin
    raise exception '% is append-only', tg_table_name using errcode = 'restrict_violation';
end $$
;
create trigger append_only before update or delete on audit_entries
    for each row execute function refuse_change()
;
create trigger append_only_truncate before truncate on audit_entries
    for each statement execute function refuse_change()
;
create trigger append_only before update or delete on order_events
    for each row execute function refuse_change()
;
create trigger append_only before update or delete on ledger_entries
    for each row execute function refuse_change()
;
create trigger append_only before update or delete on verifications
    for each row execute function refuse_change()
;
-- the bytes of a message are what the instrument sent: only what explains them may change
create function keep_raw() returns trigger language plpgsql as $$
begin
    if new.raw is distinct from old.raw then
        raise exception 'raw bytes of % are never changed', tg_table_name using errcode = 'restrict_violation';
    end if;
    return new;
end $$
;
create trigger keep_raw before update on instrument_messages for each row execute function keep_raw()
;
create trigger keep_raw before update on partner_events for each row execute function keep_raw()
;
-- wakes the dispatcher; a lost notification costs one poll interval, nothing else
create function wake_dispatcher() returns trigger language plpgsql as $$
begin
    perform pg_notify('inbox', tg_table_name);
    return null;
end $$
;
create trigger wake after insert on instrument_messages for each statement execute function wake_dispatcher()
;
create trigger wake after insert on message_signals for each statement execute function wake_dispatcher()
;
create trigger wake after insert on partner_events for each statement execute function wake_dispatcher()
;
create trigger wake after insert on commands for each statement execute function wake_dispatcher()
;
create trigger wake after insert on orders for each statement execute function wake_dispatcher()
"""

BRANCH_SCOPE = """
alter table orders enable row level security
;
alter table orders force row level security
;
create policy branch_scope on orders using (
    current_setting('app.branches', true) = '*'
    or branch_id::text = any (string_to_array(current_setting('app.branches', true), ','))
)
;
alter table samples enable row level security
;
alter table samples force row level security
;
create policy branch_scope on samples using (
    current_setting('app.branches', true) = '*'
    or branch_id::text = any (string_to_array(current_setting('app.branches', true), ','))
)
;
alter table invoices enable row level security
;
alter table invoices force row level security
;
create policy branch_scope on invoices using (
    current_setting('app.branches', true) = '*'
    or branch_id::text = any (string_to_array(current_setting('app.branches', true), ','))
)
;
alter table reports enable row level security
;
alter table reports force row level security
;
create policy branch_scope on reports using (
    current_setting('app.branches', true) = '*'
    or branch_id::text = any (string_to_array(current_setting('app.branches', true), ','))
)
;
alter table commands enable row level security
;
alter table commands force row level security
;
create policy branch_scope on commands using (
    current_setting('app.branches', true) = '*'
    or branch_id::text = any (string_to_array(current_setting('app.branches', true), ','))
)
"""

GRANTS = """
do $$
begin
    if not exists (select from pg_roles where rolname = 'labsetu_app') then
        raise exception 'role labsetu_app is missing: create it before migrating (docs/how-to/run.md)';
    end if;
end $$
;
grant usage on schema public to labsetu_app
;
grant select, insert, update on all tables in schema public to labsetu_app
;
grant delete on idempotent_requests, user_roles, panel_tests, analyzer_tests to labsetu_app
;
revoke update on audit_entries, order_events, ledger_entries, verifications from labsetu_app
;
grant select on alembic_version to labsetu_app
"""


def upgrade() -> None:
    for part in (TABLES, INDEXES, RULES, BRANCH_SCOPE, GRANTS):
        for statement in part.split("\n;\n"):
            op.execute(statement)


DOWN = """
do $$
declare
    found record;
begin
    for found in select tablename from pg_tables where schemaname = 'public' and tablename <> 'alembic_version' loop
        execute format('drop table %I cascade', found.tablename);
    end loop;
end $$
;
drop function refuse_change, keep_raw, wake_dispatcher
;
revoke all on alembic_version from labsetu_app
;
revoke usage on schema public from labsetu_app
"""


def downgrade() -> None:
    for statement in DOWN.split("\n;\n"):
        op.execute(statement)
