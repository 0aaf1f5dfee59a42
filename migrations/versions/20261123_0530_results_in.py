"""Corrected specimens, and the unit a mapping's factor was confirmed for.

Only adds. A factor that was entered before has no target unit and is void until its mapping is confirmed again.

Revision: 0006
Follows: 0005
"""

from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

UP = """
alter table device_mappings add column target_unit text not null default ''
;
update device_mappings m set target_unit = t.unit from tests t where t.id = m.test_id and m.state = 'confirmed'
    and m.factor is null
;
create table specimen_corrections (
    id uuid not null,
    created_at timestamptz not null,
    message_id uuid not null,
    specimen_id text not null,
    accession_no text not null,
    corrected_by uuid not null,
    reason text not null,
    constraint pk_specimen_corrections primary key (id),
    constraint uq_specimen_corrections_message_id_specimen_id unique (message_id, specimen_id),
    constraint fk_specimen_corrections_message_id foreign key (message_id) references instrument_messages (id),
    constraint fk_specimen_corrections_corrected_by foreign key (corrected_by) references users (id)
)
;
create index ix_instrument_exceptions_place on instrument_exceptions (analyzer_id, specimen_id, device_code)
    where state = 'open'
;
grant select, insert on specimen_corrections to labsetu_app
"""

DOWN = """
drop index ix_instrument_exceptions_place
;
drop table specimen_corrections
;
alter table device_mappings drop column target_unit
"""


def upgrade() -> None:
    for statement in UP.split("\n;\n"):
        op.execute(statement)


def downgrade() -> None:
    for statement in DOWN.split("\n;\n"):
        op.execute(statement)
