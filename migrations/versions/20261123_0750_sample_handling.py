"""Handling of tubes: label prints, transport manifests, aliquots, storage with retention, disposal.

Only adds. Prints of labels are append-only; a disposed tube keeps its row and its history.

Revision: 0009
Follows: 0008
"""

from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

UP = """
alter table samples add column parent_id uuid constraint fk_samples_parent_id references samples (id)
;
alter table samples add column volume_ul integer
;
alter table samples add column collection_site text not null default ''
;
create index ix_samples_parent_id on samples (parent_id)
;
create table label_prints (
    id uuid not null,
    created_at timestamptz not null,
    sample_id uuid not null,
    printed_by uuid not null,
    form text not null,
    copies integer not null,
    reason text not null,
    constraint pk_label_prints primary key (id),
    constraint fk_label_prints_sample_id foreign key (sample_id) references samples (id),
    constraint fk_label_prints_printed_by foreign key (printed_by) references users (id)
)
;
create index ix_label_prints_sample_id on label_prints (sample_id)
;
create trigger append_only before update or delete on label_prints for each row execute function refuse_change()
;
create table manifests (
    id uuid not null,
    created_at timestamptz not null,
    manifest_no text not null,
    from_branch_id uuid not null,
    to_branch_id uuid not null,
    state text not null,
    packed_by uuid not null,
    carrier text not null,
    lowest_celsius numeric,
    highest_celsius numeric,
    dispatched_at timestamptz,
    dispatched_by uuid,
    dispatch_celsius numeric,
    arrived_at timestamptz,
    arrived_by uuid,
    arrival_celsius numeric,
    closed_at timestamptz,
    closed_by uuid,
    close_note text not null,
    constraint pk_manifests primary key (id),
    constraint uq_manifests_manifest_no unique (manifest_no),
    constraint fk_manifests_from_branch_id foreign key (from_branch_id) references branches (id),
    constraint fk_manifests_to_branch_id foreign key (to_branch_id) references branches (id),
    constraint fk_manifests_packed_by foreign key (packed_by) references users (id),
    constraint fk_manifests_dispatched_by foreign key (dispatched_by) references users (id),
    constraint fk_manifests_arrived_by foreign key (arrived_by) references users (id),
    constraint fk_manifests_closed_by foreign key (closed_by) references users (id)
)
;
create table manifest_samples (
    manifest_id uuid not null,
    sample_id uuid not null,
    accession_no text not null,
    arrived_at timestamptz,
    arrived_by uuid,
    constraint pk_manifest_samples primary key (manifest_id, sample_id),
    constraint fk_manifest_samples_manifest_id foreign key (manifest_id) references manifests (id),
    constraint fk_manifest_samples_sample_id foreign key (sample_id) references samples (id),
    constraint fk_manifest_samples_arrived_by foreign key (arrived_by) references users (id)
)
;
create index ix_manifest_samples_sample_id on manifest_samples (sample_id)
;
create table retention_rules (
    id uuid not null,
    created_at timestamptz not null,
    specimen text not null,
    days integer not null,
    source text not null,
    approved_by uuid not null,
    valid_from timestamptz not null,
    valid_to timestamptz,
    constraint pk_retention_rules primary key (id),
    constraint fk_retention_rules_approved_by foreign key (approved_by) references users (id),
    constraint ck_retention_rules_days check (days between 0 and 36525)
)
;
create unique index uq_retention_rules_in_force on retention_rules (specimen) where valid_to is null
;
create table sample_storage (
    id uuid not null,
    created_at timestamptz not null,
    sample_id uuid not null,
    branch_id uuid not null,
    place text not null,
    stored_by uuid not null,
    keep_until timestamptz,
    left_at timestamptz,
    left_by uuid,
    leave_reason text not null,
    disposal_no text not null,
    constraint pk_sample_storage primary key (id),
    constraint fk_sample_storage_sample_id foreign key (sample_id) references samples (id),
    constraint fk_sample_storage_branch_id foreign key (branch_id) references branches (id),
    constraint fk_sample_storage_stored_by foreign key (stored_by) references users (id),
    constraint fk_sample_storage_left_by foreign key (left_by) references users (id)
)
;
create unique index uq_sample_storage_place on sample_storage (branch_id, place) where left_at is null
;
create unique index uq_sample_storage_sample on sample_storage (sample_id) where left_at is null
;
alter table sample_storage enable row level security
;
alter table sample_storage force row level security
;
create policy branch_scope on sample_storage using (
    current_setting('app.branches', true) = '*'
    or branch_id::text = any (string_to_array(current_setting('app.branches', true), ','))
)
;
grant select, insert on label_prints to labsetu_app
;
grant select, insert, update on manifests, manifest_samples, retention_rules, sample_storage to labsetu_app
"""

DOWN = """
drop table sample_storage
;
drop table retention_rules
;
drop table manifest_samples
;
drop table manifests
;
drop table label_prints
;
alter table samples drop column collection_site
;
alter table samples drop column volume_ul
;
alter table samples drop column parent_id
"""


def upgrade() -> None:
    for statement in UP.split("\n;\n"):
        op.execute(statement)


def downgrade() -> None:
    for statement in DOWN.split("\n;\n"):
        op.execute(statement)
