"""One exception for all that was not ordered on a tube; corrections of specimens that can be undone.

Values that nobody ordered had an exception each: 25 for one haematology message. What is open of them is joined here in
one of them per message and specimen, which lists the codes. What was dismissed stays so.

A correction of a specimen may be undone by a person. It stays on record, also when its message is forgotten: its
message id is no longer a foreign key, because `forget_instrument_messages` failed on every assigned message.

Revision: 0011
Follows: 0010
"""

from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None

UP = """
alter table instrument_exceptions add column codes text[] not null default '{}'
;
with joined as (
    select (array_agg(id order by id))[1] as id, array_agg(device_code order by id) as codes
    from instrument_exceptions where kind = 'not_ordered' and state = 'open' and device_code <> ''
    group by message_id, specimen_id
)
update instrument_exceptions e set device_code = '', codes = joined.codes,
    detail = left('not ordered on this tube: ' || array_to_string(joined.codes, ', '), 2000)
from joined where e.id = joined.id
;
update instrument_exceptions set state = 'resolved', closed_at = now(), close_reason = 'joined into one exception'
where kind = 'not_ordered' and state = 'open' and device_code <> ''
;
alter table specimen_corrections add column undone_at timestamptz
;
alter table specimen_corrections add column undone_by uuid
;
alter table specimen_corrections add column undo_reason text not null default ''
;
alter table specimen_corrections add constraint fk_specimen_corrections_undone_by foreign key (undone_by)
    references users (id)
;
alter table specimen_corrections drop constraint fk_specimen_corrections_message_id
;
alter table specimen_corrections drop constraint uq_specimen_corrections_message_id_specimen_id
;
create unique index uq_specimen_corrections_in_force on specimen_corrections (message_id, specimen_id)
    where undone_at is null
;
create index ix_specimen_corrections_accession_no on specimen_corrections (accession_no)
;
grant update (undone_at, undone_by, undo_reason) on specimen_corrections to labsetu_app
"""

DOWN = """
revoke update (undone_at, undone_by, undo_reason) on specimen_corrections from labsetu_app
;
drop index ix_specimen_corrections_accession_no
;
drop index uq_specimen_corrections_in_force
;
delete from specimen_corrections where undone_at is not null
;
alter table specimen_corrections add constraint uq_specimen_corrections_message_id_specimen_id
    unique (message_id, specimen_id)
;
alter table specimen_corrections add constraint fk_specimen_corrections_message_id
    foreign key (message_id) references instrument_messages (id) not valid
;
alter table specimen_corrections drop column undone_at, drop column undone_by, drop column undo_reason
;
alter table instrument_exceptions drop column codes
"""


def upgrade() -> None:
    for statement in UP.split("\n;\n"):
        op.execute(statement)


def downgrade() -> None:
    for statement in DOWN.split("\n;\n"):
        op.execute(statement)
