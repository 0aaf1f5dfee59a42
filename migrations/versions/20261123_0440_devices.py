"""Analyzers in both directions: profile versions, mappings a person confirms, work, controls, exceptions, files, links.

Only adds. `analyzer_tests` stays until nothing reads it; its rows are copied, confirmed, into `device_mappings`.

Revision: 0004
Follows: 0003
"""

from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

COLUMNS = """
alter table analyzers add column transport jsonb not null default '{"kind": "listener"}'
;
alter table analyzers add column profile_version integer not null default 1
;
alter table analyzers add column silent_after_minutes integer
"""

TABLES = """
create table analyzer_profiles (
    id uuid not null,
    created_at timestamptz not null,
    analyzer_id uuid not null,
    version integer not null,
    profile jsonb not null,
    note text not null,
    created_by uuid,
    activated_at timestamptz,
    activated_by uuid,
    constraint pk_analyzer_profiles primary key (id),
    constraint uq_analyzer_profiles_analyzer_id_version unique (analyzer_id, version),
    constraint fk_analyzer_profiles_analyzer_id foreign key (analyzer_id) references analyzers (id),
    constraint fk_analyzer_profiles_created_by foreign key (created_by) references users (id),
    constraint fk_analyzer_profiles_activated_by foreign key (activated_by) references users (id)
)
;
create table device_mappings (
    id uuid not null,
    created_at timestamptz not null,
    analyzer_id uuid not null,
    device_code text not null,
    test_id uuid not null,
    unit text not null,
    factor numeric,
    state text not null,
    origin text not null,
    proposed_by uuid,
    confirmed_by uuid,
    confirmed_at timestamptz,
    constraint pk_device_mappings primary key (id),
    constraint uq_device_mappings_analyzer_id_device_code_test_id unique (analyzer_id, device_code, test_id),
    constraint fk_device_mappings_analyzer_id foreign key (analyzer_id) references analyzers (id),
    constraint fk_device_mappings_test_id foreign key (test_id) references tests (id),
    constraint fk_device_mappings_proposed_by foreign key (proposed_by) references users (id),
    constraint fk_device_mappings_confirmed_by foreign key (confirmed_by) references users (id)
)
;
create index ix_device_mappings_analyzer_id on device_mappings (analyzer_id)
;
create table control_results (
    id uuid not null,
    created_at timestamptz not null,
    analyzer_id uuid not null,
    message_id uuid not null,
    control_name text not null,
    specimen_id text not null,
    device_code text not null,
    test_id uuid,
    value_text text not null,
    number numeric,
    unit text not null,
    device_flags text[] not null,
    observed_at timestamptz not null,
    dedupe_key text not null,
    constraint pk_control_results primary key (id),
    constraint fk_control_results_analyzer_id foreign key (analyzer_id) references analyzers (id),
    constraint fk_control_results_message_id foreign key (message_id) references instrument_messages (id),
    constraint fk_control_results_test_id foreign key (test_id) references tests (id),
    constraint uq_control_results_dedupe_key unique (dedupe_key)
)
;
create index ix_control_results_analyzer_id on control_results (analyzer_id)
;
create table instrument_exceptions (
    id uuid not null,
    created_at timestamptz not null,
    message_id uuid not null,
    analyzer_id uuid,
    kind text not null,
    specimen_id text not null,
    device_code text not null,
    detail text not null,
    state text not null,
    closed_at timestamptz,
    closed_by uuid,
    close_reason text not null,
    constraint pk_instrument_exceptions primary key (id),
    constraint uq_instrument_exceptions_message_id_kind_specimen_id_de_7c67 unique (message_id, kind, specimen_id, device_code),
    constraint fk_instrument_exceptions_message_id foreign key (message_id) references instrument_messages (id),
    constraint fk_instrument_exceptions_analyzer_id foreign key (analyzer_id) references analyzers (id),
    constraint fk_instrument_exceptions_closed_by foreign key (closed_by) references users (id)
)
;
create index ix_instrument_exceptions_analyzer_id on instrument_exceptions (analyzer_id)
;
create index ix_instrument_exceptions_message_id on instrument_exceptions (message_id)
;
create table instrument_files (
    id uuid not null,
    created_at timestamptz not null,
    message_id uuid not null,
    analyzer_id uuid not null,
    position integer not null,
    specimen_id text not null,
    code text not null,
    media_type text not null,
    bucket text not null,
    object_key text not null,
    sha256 text not null,
    size_bytes integer not null,
    constraint pk_instrument_files primary key (id),
    constraint uq_instrument_files_message_id_position unique (message_id, position),
    constraint fk_instrument_files_message_id foreign key (message_id) references instrument_messages (id),
    constraint fk_instrument_files_analyzer_id foreign key (analyzer_id) references analyzers (id)
)
;
create index ix_instrument_files_message_id on instrument_files (message_id)
;
create table device_work (
    id uuid not null,
    created_at timestamptz not null,
    analyzer_id uuid not null,
    order_id uuid not null,
    sample_id uuid not null,
    action text not null,
    codes text[] not null,
    state text not null,
    attempts integer not null,
    not_before timestamptz not null,
    settled_at timestamptz,
    note text not null,
    constraint pk_device_work primary key (id),
    constraint fk_device_work_analyzer_id foreign key (analyzer_id) references analyzers (id),
    constraint fk_device_work_order_id foreign key (order_id) references orders (id),
    constraint fk_device_work_sample_id foreign key (sample_id) references samples (id)
)
;
create index ix_device_work_analyzer_id on device_work (analyzer_id)
;
create index ix_device_work_state on device_work (state)
;
create index ix_device_work_order_id on device_work (order_id)
;
create table device_queries (
    id uuid not null,
    created_at timestamptz not null,
    analyzer_id uuid not null,
    specimen_ids text[] not null,
    found integer not null,
    elapsed_ms numeric not null,
    constraint pk_device_queries primary key (id),
    constraint fk_device_queries_analyzer_id foreign key (analyzer_id) references analyzers (id)
)
;
create index ix_device_queries_analyzer_id on device_queries (analyzer_id)
;
create table device_links (
    id uuid not null,
    created_at timestamptz not null,
    process text not null,
    analyzer_id uuid,
    protocol text not null,
    transport text not null,
    peer text not null,
    local_port integer not null,
    since timestamptz not null,
    seen_at timestamptz not null,
    last_message_at timestamptz,
    received integer not null,
    acknowledged integer not null,
    refused integer not null,
    broken integer not null,
    constraint pk_device_links primary key (id),
    constraint uq_device_links_process_peer_local_port unique (process, peer, local_port),
    constraint fk_device_links_analyzer_id foreign key (analyzer_id) references analyzers (id)
)
"""

INDEXES = """
create index ix_instrument_exceptions_open on instrument_exceptions (kind, id) where state = 'open'
;
create index ix_instrument_files_missing on instrument_files (id) where object_key = ''
;
create index ix_device_work_waiting on device_work (analyzer_id, not_before) where state = 'waiting'
;
create index ix_device_queries_recent on device_queries (analyzer_id, created_at)
;
create index ix_control_results_recent on control_results (analyzer_id, device_code, observed_at)
"""

COPIES = """
insert into device_mappings (id, created_at, analyzer_id, device_code, test_id, unit, state, origin, confirmed_at)
select gen_random_uuid(), now(), analyzer_id, device_code, test_id, unit, 'confirmed', 'person', now()
from analyzer_tests
;
insert into analyzer_profiles (id, created_at, analyzer_id, version, profile, note, activated_at)
select gen_random_uuid(), now(), id, 1, profile, 'as entered', now() from analyzers
"""

GRANTS = """
grant select, insert, update on analyzer_profiles, device_mappings, control_results, instrument_exceptions,
    instrument_files, device_work, device_queries, device_links to labsetu_app
;
grant delete on device_links, device_queries to labsetu_app
"""

DOWN = """
drop table analyzer_profiles, device_mappings, control_results, instrument_exceptions, instrument_files, device_work,
    device_queries, device_links
;
alter table analyzers drop column transport, drop column profile_version, drop column silent_after_minutes
"""


def upgrade() -> None:
    for part in (COLUMNS, TABLES, INDEXES, COPIES, GRANTS):
        for statement in part.split("\n;\n"):
            op.execute(statement)


def downgrade() -> None:
    for statement in DOWN.split("\n;\n"):
        op.execute(statement)
