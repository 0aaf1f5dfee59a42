"""Recordings of devices' lines, and forgetting them.

The bytes hold patients. The application may add and read them, and may delete none: `forget_line_recordings` runs as
the owner and itself holds to the rule that only those are deleted that ended at least 12 hours ago.

Revision: 0010
Follows: 0009
"""

from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

UP = """
create table line_recordings (
    id uuid not null,
    created_at timestamptz not null,
    analyzer_id uuid not null,
    asked_by uuid not null,
    ends_at timestamptz not null,
    max_bytes integer not null,
    started_at timestamptz,
    ended_at timestamptz,
    end_reason text not null,
    size_bytes integer not null,
    piece_count integer not null,
    left_out_bytes bigint not null,
    constraint pk_line_recordings primary key (id),
    constraint fk_line_recordings_analyzer_id foreign key (analyzer_id) references analyzers (id),
    constraint fk_line_recordings_asked_by foreign key (asked_by) references users (id)
)
;
create index ix_line_recordings_analyzer_id on line_recordings (analyzer_id)
;
create table line_recording_pieces (
    id uuid not null,
    created_at timestamptz not null,
    recording_id uuid not null,
    position integer not null,
    at timestamptz not null,
    is_sent boolean not null,
    peer text not null,
    connected_at timestamptz not null,
    data bytea not null,
    constraint pk_line_recording_pieces primary key (id),
    constraint uq_line_recording_pieces_recording_id_position unique (recording_id, position),
    constraint fk_line_recording_pieces_recording_id foreign key (recording_id) references line_recordings (id)
)
;
create function forget_line_recordings(before timestamptz, most integer)
    returns table (id uuid, piece_count integer, size_bytes integer)
    language plpgsql security definer set search_path = public, pg_temp as $$
declare
    gone uuid[];
begin
    if before > now() - interval '12 hours' then
        raise exception 'young recordings are not forgotten' using errcode = 'restrict_violation';
    end if;
    select array_agg(r.id) into gone from (
        select c.id from line_recordings c where coalesce(c.ended_at, c.ends_at) < before
        order by c.id limit least(greatest(most, 0), 1000) for update skip locked
    ) r;
    delete from line_recording_pieces p where p.recording_id = any (gone);
    return query delete from line_recordings d where d.id = any (gone)
        returning d.id, d.piece_count, d.size_bytes;
end $$
;
revoke all on function forget_line_recordings(timestamptz, integer) from public
;
grant select, insert, update on line_recordings to labsetu_app
;
grant select, insert on line_recording_pieces to labsetu_app
;
grant execute on function forget_line_recordings(timestamptz, integer) to labsetu_app
"""

DOWN = """
drop function forget_line_recordings(timestamptz, integer)
;
drop table line_recording_pieces
;
drop table line_recordings
"""


def upgrade() -> None:
    for statement in UP.split("\n;\n"):
        op.execute(statement)


def downgrade() -> None:
    for statement in DOWN.split("\n;\n"):
        op.execute(statement)
