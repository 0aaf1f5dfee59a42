"""The queue of work that is sent to devices unasked, and the record of what devices asked.

An entry that is being sent is still `waiting`: `attempts` counts this attempt, `settled_at` is empty and `not_before`
lies in the future. When the process that sends it dies, that time passes and it is sent again. Work on one tube leaves
in the order in which it was entered, so a cancellation never overtakes what it cancels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

import asyncpg
from sqlalchemy import text
from sqlmodel.ext.asyncio.session import AsyncSession

from domain.clock import utc_now
from domain.device_orders import DeviceWork, Download, DownloadResult, WorkAction
from domain.enums import DeviceWorkState
from store.reading import ReadRow, row_of
from store.timeline import add_event
from store.tube_work import WorkPolicy, work_now

CHANNEL: Final = "device_work"
"""PostgreSQL notification channel; the payload is the analyzer's row id."""
MAX_NOTE_CHARS: Final = 200
FIRST_RETRY: Final = timedelta(seconds=5)
LONGEST_RETRY: Final = timedelta(minutes=5)
GONE: Final = "no longer wanted"

_TAKE = """
with next as (
    select w.id from device_work w join orders o on o.id = w.order_id
    where w.analyzer_id = $1 and w.state = 'waiting' and w.not_before <= $2
    and not exists (
        select from device_work e
        where e.analyzer_id = w.analyzer_id and e.sample_id = w.sample_id and e.state = 'waiting'
        and (e.created_at, e.id) < (w.created_at, w.id)
    )
    order by (o.priority <> 'stat'), w.created_at, w.id limit 1
    for update of w skip locked
)
update device_work w set attempts = attempts + 1, settled_at = null, not_before = $3 from next
where w.id = next.id returning w.id, w.sample_id, w.action, w.codes
"""
_GIVEN = """
select distinct code from device_work w, unnest(w.codes) as code
where w.analyzer_id = $1 and w.sample_id = $2 and w.action <> 'cancel' and w.state in ('sent', 'accepted')
"""
_OTHERS = """
select code, bool_or(is_given) as is_given from (
    select code, w.state in ('sent', 'accepted') and not exists (
        select from device_work c where c.analyzer_id = w.analyzer_id and c.sample_id = w.sample_id
        and c.action = 'cancel' and c.state in ('sent', 'accepted') and code = any(c.codes)
        and (c.created_at, c.id) > (w.created_at, w.id)
    ) as is_given
    from device_work w, unnest(w.codes) as code
    where w.analyzer_id = $1 and w.sample_id = $2 and w.id <> $3 and w.action in ('new', 'reflex')
) entry group by code
"""
_DROP = "update device_work set state = 'withdrawn', settled_at = $2, note = $3 where id = $1"
_SEND = "update device_work set codes = $2 where id = $1"
_GIVE_BACK = (
    "update device_work set attempts = attempts - 1, not_before = $2"
    " where id = $1 and state = 'waiting' and settled_at is null and attempts > 0"
)

_OWNER = text(
    "select w.order_id, w.action, w.codes, w.attempts, a.code as analyzer, s.accession_no from device_work w"
    " join analyzers a on a.id = w.analyzer_id join samples s on s.id = w.sample_id where w.id = :id"
)
_LOCK_ORDER = text("select id from orders where id = :id for update")
_SETTLE = text(
    "update device_work set state = :state, settled_at = :now, not_before = :not_before, note = :note"
    " where id = :id and state = 'waiting' returning id"
)
_RAISE = text(
    "update orders set attention = array_append(attention, :key) where id = :id and not (:key = any(attention))"
)
_CLEAR = text(
    "update orders o set attention = array_remove(attention, :key) where id = :id and :key = any(attention)"
    " and not exists (select from device_work w join analyzers a on a.id = w.analyzer_id"
    "   where w.order_id = o.id and a.code = :analyzer and w.state = 'refused')"
)
_NOTIFY = text("select pg_notify(:channel, :analyzer)")


@dataclass(frozen=True)
class Outcome:
    """What became of an attempt to send an entry.

    Attributes:
        work_id: Of the entry.
        state: WAITING where it did not arrive.
        at: Aware UTC.
        note: For people; no patient data.
    """

    work_id: UUID
    state: DeviceWorkState
    at: datetime
    note: str = ""


class _Owner(ReadRow):
    order_id: UUID
    action: WorkAction
    codes: list[str]
    attempts: int
    analyzer: str
    accession_no: str


def outcome_of(download: Download, result: DownloadResult, note: str, *, is_answered: bool) -> Outcome:
    """Return what a connection's word about a download means for its entry.

    Args:
        download: What was sent.
        result: What became of it.
        note: For people; cut at `MAX_NOTE_CHARS`.
        is_answered: Whether the device's protocol has an answer to an order. Where it has none, delivery is all that
            is known.
    """
    taken = DeviceWorkState.ACCEPTED if is_answered else DeviceWorkState.SENT
    state = {
        DownloadResult.ACCEPTED: taken,
        DownloadResult.REFUSED: DeviceWorkState.REFUSED,
        DownloadResult.UNDELIVERED: DeviceWorkState.WAITING,
    }[result]
    clean = "".join(sign for sign in note if sign.isprintable())
    return Outcome(download.id, state, utc_now(), clean[:MAX_NOTE_CHARS])


def retry_after(attempts: int) -> timedelta:
    """Return the wait before the next attempt, after so many that did not arrive."""
    return min(FIRST_RETRY * (1 << min(max(attempts - 1, 0), 10)), LONGEST_RETRY)


def attention_key(analyzer: str) -> str:
    """Return what stands in an order's `attention` while a device has refused work of it."""
    return f"DeviceWork:{analyzer}"


async def take_next(
    connection: asyncpg.Connection, analyzer_id: UUID, policy: WorkPolicy, lease: timedelta
) -> Download | None:
    """Take the next entry that is due, or return None; nobody else gets it before `lease` is over.

    What is sent is what is open *now*: entries that came to nothing in the meantime are withdrawn on the way.
    """
    async with connection.transaction():
        while True:
            now = utc_now()
            row = await connection.fetchrow(_TAKE, analyzer_id, now, now + lease)
            if row is None:
                return None
            work = await _wanted(connection, analyzer_id, row, policy)
            if work.codes:
                await connection.execute(_SEND, row["id"], list(work.codes))
                return Download(row["id"], work)
            await connection.execute(_DROP, row["id"], now, GONE)


async def give_back(connection: asyncpg.Connection, work_id: UUID) -> None:
    """Undo `take_next` for an entry that nobody began to send."""
    await connection.execute(_GIVE_BACK, work_id, utc_now())


async def _wanted(
    connection: asyncpg.Connection, analyzer_id: UUID, row: asyncpg.Record, policy: WorkPolicy
) -> DeviceWork:
    """Return what an entry comes to now.

    New work is everything open on the tube, so that a mapping corrected since counts, but for what another entry of
    the tube is about: a test that was added to a tube does not order again what the device has. A cancellation takes
    back what the device was given and is not to do any more.
    """
    action = WorkAction(row["action"])
    now_open = await work_now(connection, analyzer_id, row["sample_id"], policy)
    codes = now_open.codes
    if action is WorkAction.CANCEL:
        given = {found["code"] for found in await connection.fetch(_GIVEN, analyzer_id, row["sample_id"])}
        codes = tuple(code for code in row["codes"] if code in given and code not in now_open.codes)
    elif action is WorkAction.RERUN:
        codes = tuple(code for code in codes if code in row["codes"])
    else:
        others = await connection.fetch(_OTHERS, analyzer_id, row["sample_id"], row["id"])
        is_given = {found["code"]: bool(found["is_given"]) for found in others}
        own = set(row["codes"])
        if action is WorkAction.NEW:
            own |= {code for code in codes if code not in is_given}
        codes = tuple(code for code in codes if code in own and not is_given.get(code, False))
    return replace(now_open, codes=codes, action=action)


async def settle(session: AsyncSession, outcome: Outcome) -> bool:
    """Note what became of an attempt; False where the entry was settled or withdrawn meanwhile.

    A refusal shows in the order's timeline and as its attention, and the entry is not sent again by itself.
    """
    owner = await row_of(session, _Owner, _OWNER, id=outcome.work_id)
    if owner is None:
        return False
    await session.execute(_LOCK_ORDER, {"id": owner.order_id})
    is_waiting = outcome.state is DeviceWorkState.WAITING
    facts = {
        "id": outcome.work_id, "state": outcome.state.value, "now": outcome.at, "note": outcome.note,
        "not_before": outcome.at + (retry_after(owner.attempts) if is_waiting else timedelta()),
    }  # fmt: skip
    if (await session.execute(_SETTLE, facts)).first() is None:
        return False
    if is_waiting:
        return True
    is_refused = outcome.state is DeviceWorkState.REFUSED
    await add_event(
        session, owner.order_id, source="analyzer", actor=owner.analyzer,
        kind="device_work_refused" if is_refused else "device_work_sent",
        detail={"accession_no": owner.accession_no, "action": owner.action.value, "tests": len(owner.codes)},
    )  # fmt: skip
    if is_refused:
        await session.execute(_RAISE, {"id": owner.order_id, "key": attention_key(owner.analyzer)})
    else:
        await clear_attention(session, owner.order_id, owner.analyzer)
    return True


async def clear_attention(session: AsyncSession, order_id: UUID, analyzer: str) -> None:
    """Take an analyzer off an order's attention where no refused work of it is left."""
    await session.execute(_CLEAR, {"id": order_id, "key": attention_key(analyzer), "analyzer": analyzer})


async def wake(session: AsyncSession, analyzer_ids: Sequence[UUID]) -> None:
    """Tell the desks of these analyzers, once the transaction commits, that there is work."""
    for analyzer_id in dict.fromkeys(analyzer_ids):
        await session.execute(_NOTIFY, {"channel": CHANNEL, "analyzer": str(analyzer_id)})
