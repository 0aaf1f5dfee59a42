"""Forgetting old instrument messages, by one function and by nothing else; indexes for the board and for traces.

The application still may not delete a message. `forget_instrument_messages` runs as the owner and itself holds to the
rule: older than asked, read, nothing of it open, nothing still to be delivered. What a message brought stays; results,
controls and files keep the id of the message they came from, so that id is no longer a foreign key.

Revision: 0007
Follows: 0006
"""

from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

UP = """
alter table results drop constraint fk_results_message_id
;
alter table control_results drop constraint fk_control_results_message_id
;
alter table instrument_files drop constraint fk_instrument_files_message_id
;
create index ix_instrument_messages_device_time on instrument_messages (analyzer_id, received_at)
;
create index ix_instrument_exceptions_specimen on instrument_exceptions (specimen_id)
;
create index ix_device_queries_specimens on device_queries using gin (specimen_ids)
;
create function forget_instrument_messages(before timestamptz, most integer)
    returns table (id uuid, sha256 text) language plpgsql security definer set search_path = public, pg_temp as $$
declare
    gone uuid[];
begin
    if before > now() - interval '12 hours' then
        raise exception 'young messages are not forgotten' using errcode = 'restrict_violation';
    end if;
    select array_agg(m.id) into gone from (
        select c.id from instrument_messages c
        where c.received_at < before and c.read_at is not null
          and (c.state in ('matched', 'control', 'duplicate', 'ignored')
               or exists (select from instrument_exceptions e where e.message_id = c.id and e.state <> 'open'))
          and not exists (select from instrument_exceptions e where e.message_id = c.id and e.state = 'open')
          and not exists (select from message_signals s where s.message_id = c.id and s.delivered_at is null)
          and not exists (select from instrument_files f where f.message_id = c.id and f.object_key = '')
        order by c.received_at, c.id limit least(greatest(most, 0), 5000) for update skip locked
    ) m;
    delete from message_signals s where s.message_id = any (gone);
    delete from instrument_exceptions e where e.message_id = any (gone);
    return query delete from instrument_messages d where d.id = any (gone) returning d.id, d.sha256;
end $$
;
revoke all on function forget_instrument_messages(timestamptz, integer) from public
;
grant execute on function forget_instrument_messages(timestamptz, integer) to labsetu_app
"""

DOWN = """
drop function forget_instrument_messages(timestamptz, integer)
;
drop index ix_device_queries_specimens
;
drop index ix_instrument_exceptions_specimen
;
drop index ix_instrument_messages_device_time
;
alter table instrument_files add constraint fk_instrument_files_message_id
    foreign key (message_id) references instrument_messages (id) not valid
;
alter table control_results add constraint fk_control_results_message_id
    foreign key (message_id) references instrument_messages (id) not valid
;
alter table results add constraint fk_results_message_id
    foreign key (message_id) references instrument_messages (id) not valid
"""


def upgrade() -> None:
    for statement in UP.split("\n;\n"):
        op.execute(statement)


def downgrade() -> None:
    for statement in DOWN.split("\n;\n"):
        op.execute(statement)
