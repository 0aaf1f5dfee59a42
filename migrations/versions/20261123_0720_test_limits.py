"""Limits that decide about results, each with source, approver and validity; blocks while control is out.

Only adds. A limit that was approved is ended by `valid_to` and never changed, so it can be told later which limit a
decision was made by.

Revision: 0008
Follows: 0007
"""

from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

UP = """
create table test_limits (
    id uuid not null,
    created_at timestamptz not null,
    test_id uuid not null,
    kind text not null,
    sex text not null,
    age_from_hours integer not null,
    age_to_hours integer not null,
    analyzer_id uuid,
    low numeric,
    high numeric,
    delta_kind text,
    window_hours integer,
    source text not null,
    proposed_by uuid,
    approved_by uuid,
    approved_at timestamptz,
    valid_from timestamptz not null,
    valid_to timestamptz,
    constraint pk_test_limits primary key (id),
    constraint fk_test_limits_test_id foreign key (test_id) references tests (id),
    constraint fk_test_limits_analyzer_id foreign key (analyzer_id) references analyzers (id),
    constraint fk_test_limits_proposed_by foreign key (proposed_by) references users (id),
    constraint fk_test_limits_approved_by foreign key (approved_by) references users (id),
    constraint ck_test_limits_ages check (age_from_hours >= 0 and age_from_hours < age_to_hours),
    constraint ck_test_limits_validity check (valid_to is null or valid_to >= valid_from),
    constraint ck_test_limits_delta check ((kind = 'delta') = (delta_kind is not null and window_hours > 0))
)
;
create index ix_test_limits_test_id on test_limits (test_id)
;
create table qc_blocks (
    id uuid not null,
    created_at timestamptz not null,
    analyzer_id uuid not null,
    test_id uuid not null,
    reason text not null,
    closed_at timestamptz,
    closed_by uuid,
    corrective_action text not null,
    close_note text not null,
    constraint pk_qc_blocks primary key (id),
    constraint fk_qc_blocks_analyzer_id foreign key (analyzer_id) references analyzers (id),
    constraint fk_qc_blocks_test_id foreign key (test_id) references tests (id),
    constraint fk_qc_blocks_closed_by foreign key (closed_by) references users (id)
)
;
create index ix_qc_blocks_analyzer_id on qc_blocks (analyzer_id)
;
create unique index uq_qc_blocks_open on qc_blocks (analyzer_id, test_id) where closed_at is null
;
grant select, insert, update on test_limits, qc_blocks to labsetu_app
"""

DOWN = """
drop table qc_blocks
;
drop table test_limits
"""


def upgrade() -> None:
    for statement in UP.split("\n;\n"):
        op.execute(statement)


def downgrade() -> None:
    for statement in DOWN.split("\n;\n"):
        op.execute(statement)
