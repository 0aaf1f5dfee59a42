"""Device work and device queries as staff see them, and what staff may do with an entry."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Final
from uuid import UUID

import asyncpg
from sqlalchemy import text
from sqlmodel.ext.asyncio.session import AsyncSession

from domain.clock import utc_now
from domain.device_orders import WorkAction
from domain.enums import DeviceWorkState
from domain.errors import ConflictError, NotFoundError
from domain.ids import new_id
from store.device_work import clear_attention, wake
from store.reading import ReadRow, row_of, rows_of
from store.tables.devices import DeviceQuery

NOT_ANSWERED: Final = -1
"""`found` of a query that the store could not be asked for."""

_COLUMNS = (
    "select w.id, w.analyzer_id, a.code as analyzer, a.branch_id, b.code as branch_code, w.order_id, o.order_no,"
    " o.priority, s.accession_no, w.action, w.codes, w.state, w.attempts, w.not_before, w.settled_at, w.note,"
    " w.created_at,"
    " w.state = 'waiting' and w.attempts > 0 and w.settled_at is null and w.not_before > :now as is_being_sent"
    " from device_work w join analyzers a on a.id = w.analyzer_id join branches b on b.id = a.branch_id"
    " join orders o on o.id = w.order_id join samples s on s.id = w.sample_id"
    " where a.branch_id = any(cast(:branches as uuid[]))"
)
_PAGE = text(
    _COLUMNS + " and (:state = '' or w.state = :state) and (:analyzer = '' or a.code = :analyzer)"
    " and (:order_no = '' or o.order_no = :order_no)"
    " and (cast(:before as uuid) is null or w.id < :before) order by w.id desc limit :limit"
)
_ONE = text(_COLUMNS + " and w.id = :id")
_LOCK = text(
    "select o.id from orders o where o.id = (select order_id from device_work where id = :id)"
    " and o.branch_id = any(cast(:branches as uuid[])) for update"
)
_RESEND = text(
    "update device_work set state = 'waiting', attempts = 0, not_before = :now, settled_at = null, note = ''"
    " where id = :id"
)
_WITHDRAW = text("update device_work set state = 'withdrawn', settled_at = :now, note = :note where id = :id")

_QUERIES = text(
    "select q.id, q.created_at as asked_at, a.code as analyzer, b.code as branch_code, q.specimen_ids, q.found,"
    " q.elapsed_ms from device_queries q join analyzers a on a.id = q.analyzer_id"
    " join branches b on b.id = a.branch_id"
    " where a.branch_id = any(cast(:branches as uuid[])) and (:analyzer = '' or a.code = :analyzer)"
    " and (cast(:before as uuid) is null or q.id < :before) order by q.id desc limit :limit"
)
_LATENCY = text(
    "select a.code as analyzer, b.code as branch_code, count(*) as queries,"
    " count(*) filter (where q.found < 0) as unanswered, count(*) filter (where q.found = 0) as without_work,"
    " percentile_disc(0.5) within group (order by q.elapsed_ms) as p50_ms,"
    " percentile_disc(0.95) within group (order by q.elapsed_ms) as p95_ms,"
    " max(q.elapsed_ms) as max_ms, max(q.created_at) as last_at"
    " from device_queries q join analyzers a on a.id = q.analyzer_id join branches b on b.id = a.branch_id"
    " where a.branch_id = any(cast(:branches as uuid[])) and q.created_at >= :since"
    " group by a.code, b.code order by a.code"
)
_QUERY_COLUMNS = ("id", "created_at", "analyzer_id", "specimen_ids", "found", "elapsed_ms")
_FORGET = text("delete from device_queries where created_at < :before")


class WorkRow(ReadRow):
    """An entry of the queue."""

    id: UUID
    analyzer_id: UUID
    analyzer: str
    branch_id: UUID
    branch_code: str
    order_id: UUID
    order_no: str
    priority: str
    accession_no: str
    action: WorkAction
    codes: list[str]
    state: DeviceWorkState
    attempts: int
    not_before: datetime
    settled_at: datetime | None
    note: str
    created_at: datetime
    is_being_sent: bool


class QueryRow(ReadRow):
    """A query of a device; `found` is `NOT_ANSWERED` where the store was away."""

    id: UUID
    asked_at: datetime
    analyzer: str
    branch_code: str
    specimen_ids: list[str]
    found: int
    elapsed_ms: Decimal


class LatencyRow(ReadRow):
    """How fast one device was answered; milliseconds from its question to our answer."""

    analyzer: str
    branch_code: str
    queries: int
    unanswered: int
    without_work: int
    p50_ms: Decimal
    p95_ms: Decimal
    max_ms: Decimal
    last_at: datetime


@dataclass(frozen=True)
class AnsweredQuery:
    """A query that was answered, to be written down.

    Attributes:
        found: Tubes with work, or `NOT_ANSWERED`.
        at: Aware UTC.
    """

    analyzer_id: UUID
    specimen_ids: tuple[str, ...]
    found: int
    elapsed_ms: float
    at: datetime


async def work_page(
    session: AsyncSession,
    *,
    branches: Collection[UUID],
    state: str,
    analyzer: str,
    order_no: str,
    before: UUID | None,
    limit: int,
) -> list[WorkRow]:
    """Return entries of the branches' analyzers, newest first, older than `before`."""
    return await rows_of(
        session, WorkRow, _PAGE, branches=list(branches), state=state, analyzer=analyzer, order_no=order_no,
        before=before, limit=limit, now=utc_now(),
    )  # fmt: skip


async def work_row(session: AsyncSession, work_id: UUID, branches: Collection[UUID]) -> WorkRow:
    """Return one entry, with its order locked.

    Raises:
        NotFoundError: Unknown, or of another branch.
    """
    scope = list(branches)
    await session.execute(_LOCK, {"id": work_id, "branches": scope})
    found = await row_of(session, WorkRow, _ONE, id=work_id, branches=scope, now=utc_now())
    if found is None:
        raise NotFoundError("there is no such device work", code="DEVICE_WORK_UNKNOWN")
    return found


async def resend(session: AsyncSession, row: WorkRow) -> None:
    """Send an entry once more, now.

    Raises:
        ConflictError: It was withdrawn, or is being sent at this moment.
    """
    if row.state is DeviceWorkState.WITHDRAWN or row.is_being_sent:
        what = "being sent" if row.is_being_sent else row.state.value
        raise ConflictError(
            f"work that is {what} is not sent again", code="DEVICE_WORK_NOT_RESENDABLE",
            action="Wait until it is settled; ask for a rerun where withdrawn work is wanted after all.",
        )  # fmt: skip
    await session.execute(_RESEND, {"id": row.id, "now": utc_now()})
    await clear_attention(session, row.order_id, row.analyzer)
    await wake(session, [row.analyzer_id])


async def withdraw(session: AsyncSession, row: WorkRow, note: str) -> None:
    """Take back an entry that the device does not have.

    Raises:
        ConflictError: The device has it, it is withdrawn already, or it is being sent at this moment.
    """
    if row.state not in {DeviceWorkState.WAITING, DeviceWorkState.REFUSED} or row.is_being_sent:
        what = "being sent" if row.is_being_sent else row.state.value
        raise ConflictError(
            f"work that is {what} cannot be withdrawn", code="DEVICE_WORK_NOT_WITHDRAWABLE",
            action="What a device has is cancelled with the sample or the order, or at the device.",
        )  # fmt: skip
    await session.execute(_WITHDRAW, {"id": row.id, "now": utc_now(), "note": note})
    await clear_attention(session, row.order_id, row.analyzer)


async def keep_queries(connection: asyncpg.Connection, queries: Sequence[AnsweredQuery]) -> None:
    """Write down what devices asked, in one go: the event loop has queries to answer meanwhile."""
    rows = [
        (
            new_id(),
            query.at,
            query.analyzer_id,
            list(query.specimen_ids),
            query.found,
            Decimal(f"{query.elapsed_ms:.3f}"),
        )
        for query in queries
    ]
    await connection.copy_records_to_table(DeviceQuery.__tablename__, records=rows, columns=_QUERY_COLUMNS)


async def query_page(
    session: AsyncSession, *, branches: Collection[UUID], analyzer: str, before: UUID | None, limit: int
) -> list[QueryRow]:
    """Return queries of the branches' analyzers, newest first, older than `before`."""
    return await rows_of(
        session, QueryRow, _QUERIES, branches=list(branches), analyzer=analyzer, before=before, limit=limit
    )


async def latencies(session: AsyncSession, *, branches: Collection[UUID], since: datetime) -> list[LatencyRow]:
    """Return how fast each analyzer of the branches was answered since then."""
    return await rows_of(session, LatencyRow, _LATENCY, branches=list(branches), since=since)


async def forget_queries(session: AsyncSession, before: datetime) -> None:
    """Delete queries older than `before`."""
    await session.execute(_FORGET, {"before": before})
