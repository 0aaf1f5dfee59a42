"""How the analyzers are doing now: connections, messages, errors, repetitions, answers, what waits for a person."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from sqlalchemy import text
from sqlmodel.ext.asyncio.session import AsyncSession

from domain.clock import utc_now
from store.reading import ReadRow, rows_of

LINK_LIFE: Final = timedelta(seconds=90)
"""A connection that its process has not written down for longer belongs to a process that is gone."""

_DEVICES = text(
    "select a.id, a.code, a.name, b.code as branch_code, a.protocol, a.transport ->> 'kind' as transport, a.is_active,"
    " a.silent_after_minutes, a.created_at, h.last_message_at, n.messages_hour, n.errors_hour, n.repeats_hour,"
    " n.messages_day, n.errors_day, q.queries_hour, q.query_p95_ms,"
    " (select count(*) from instrument_exceptions e where e.analyzer_id = a.id and e.state = 'open')"
    "   as open_exceptions,"
    " (select count(*) from device_work w where w.analyzer_id = a.id and w.state = 'waiting') as waiting_work"
    " from analyzers a join branches b on b.id = a.branch_id"
    " left join lateral (select m.received_at as last_message_at from instrument_messages m"
    "   where m.analyzer_id = a.id order by m.received_at desc limit 1) h on true"
    " cross join lateral (select count(*) filter (where m.received_at >= :hour) as messages_hour,"
    "   count(*) filter (where m.received_at >= :hour and (m.state = 'unreadable' or m.framing_error <> ''))"
    "     as errors_hour,"
    "   count(*) filter (where m.received_at >= :hour and m.state = 'duplicate') as repeats_hour,"
    "   count(*) as messages_day,"
    "   count(*) filter (where m.state = 'unreadable' or m.framing_error <> '') as errors_day"
    "   from instrument_messages m where m.analyzer_id = a.id and m.received_at >= :day) n"
    " cross join lateral (select count(*) as queries_hour,"
    "   round(percentile_cont(0.95) within group (order by d.elapsed_ms))::int as query_p95_ms"
    "   from device_queries d where d.analyzer_id = a.id and d.created_at >= :hour) q"
    " where cast(:branches as uuid[]) is null or a.branch_id = any(cast(:branches as uuid[])) order by a.code"
)
_LINKS = text(
    "select analyzer_id, process, protocol, transport, peer, local_port, since, seen_at, last_message_at, received,"
    " acknowledged, refused, broken from device_links where seen_at >= :alive order by since"
)


class DeviceRow(ReadRow):
    """One device's numbers; `*_hour` of the last hour, `*_day` of the last 24."""

    id: UUID
    code: str
    name: str
    branch_code: str
    protocol: str
    transport: str | None
    is_active: bool
    silent_after_minutes: int | None
    created_at: datetime
    last_message_at: datetime | None
    messages_hour: int
    errors_hour: int
    repeats_hour: int
    messages_day: int
    errors_day: int
    queries_hour: int
    query_p95_ms: int | None
    open_exceptions: int
    waiting_work: int


class LinkRow(ReadRow):
    """One open connection; `analyzer_id` is None where the sender is not registered."""

    analyzer_id: UUID | None
    process: str
    protocol: str
    transport: str
    peer: str
    local_port: int
    since: datetime
    seen_at: datetime
    last_message_at: datetime | None
    received: int
    acknowledged: int
    refused: int
    broken: int


async def devices(session: AsyncSession, branches: Sequence[UUID] | None) -> list[DeviceRow]:
    """Return the numbers of the branches' devices by code; None for every branch."""
    now = utc_now()
    scope = None if branches is None else list(branches)
    hour, day = now - timedelta(hours=1), now - timedelta(days=1)
    return await rows_of(session, DeviceRow, _DEVICES, branches=scope, hour=hour, day=day)


async def links(session: AsyncSession) -> list[LinkRow]:
    """Return the connections that are open now, of every branch and of unknown senders, oldest first."""
    return await rows_of(session, LinkRow, _LINKS, alive=utc_now() - LINK_LIFE)
