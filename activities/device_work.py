"""Queues work for devices that are told what to do, in the transaction of the command that makes or ends it.

Only devices whose profile says `sends_unasked` have a queue; the others ask, and the desk answers from the same rows.
The caller holds the order's lock, so what is queued already is as it reads and nothing is queued twice.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from sqlalchemy import text
from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from domain.clock import utc_now
from domain.device_orders import WorkAction
from domain.enums import DeviceWorkState, ResultState, SampleState
from store.device_work import clear_attention, wake
from store.reading import ReadRow, rows_of
from store.tables.devices import DeviceWorkItem
from store.tables.orders import Order, OrderLine, Sample
from store.tables.results import Analyzer, Result
from store.tube_work import with_open_codes

_IN_USE: Final = {DeviceWorkState.WAITING, DeviceWorkState.SENT, DeviceWorkState.ACCEPTED}
_GIVEN: Final = {DeviceWorkState.SENT, DeviceWorkState.ACCEPTED}

_DEVICES = text(
    with_open_codes("""
select a.id as analyzer_id, a.code as analyzer, s.id as sample_id, work.codes
from (select false as skips_resulted, cast(:tests as uuid[]) as tests) asked
join samples s on s.id = any(cast(:samples as uuid[]))
join analyzers a on a.branch_id = s.branch_id and a.is_active and a.profile #>> '{work,sends_unasked}' = 'true'
    and (cast(:analyzers as uuid[]) is null or a.id = any(cast(:analyzers as uuid[])))
cross join lateral ({open_codes}) work
where cardinality(work.codes) > 0 order by s.id, a.code
""")
)
_MEASURED = text(
    "select distinct r.analyzer_id, r.sample_id, m.device_code from results r"
    " join order_lines l on l.id = r.order_line_id"
    " join device_mappings m on m.analyzer_id = r.analyzer_id and m.test_id = l.test_id"
    " where r.sample_id = any(cast(:samples as uuid[]))"
)


class _DeviceTube(ReadRow):
    analyzer_id: UUID
    analyzer: str
    sample_id: UUID
    codes: list[str]


class _Measured(ReadRow):
    analyzer_id: UUID
    sample_id: UUID
    device_code: str


@dataclass(frozen=True)
class Wanted:
    """What is to be queued.

    Attributes:
        action: Not CANCEL, see `take_back`.
        test_ids: Only these of the tubes' open tests; None for all.
        analyzer_ids: Only these devices; None for every one of the branch that can.
    """

    action: WorkAction = WorkAction.NEW
    test_ids: Collection[UUID] | None = None
    analyzer_ids: Collection[UUID] | None = None


async def queue_work(
    session: AsyncSession, order: Order, samples: Sequence[Sample], wanted: Wanted | None = None
) -> list[str]:
    """Queue the open tests of tubes for the branch's devices that are told; return the codes of the devices.

    New work and reflex tests that a device has, or is about to get, are not queued again; a rerun is, unless the same
    one waits already.
    """
    asked = wanted or Wanted()
    await session.flush()
    sample_ids = [sample.id for sample in samples]
    found = await rows_of(
        session, _DeviceTube, _DEVICES, samples=sample_ids,
        tests=None if asked.test_ids is None else list(asked.test_ids),
        analyzers=None if asked.analyzer_ids is None else list(asked.analyzer_ids),
    )  # fmt: skip
    entries = await _entries(session, sample_ids)
    told: dict[UUID, str] = {}
    for tube in found:
        had = _had(entries[tube.analyzer_id, tube.sample_id], asked.action)
        codes = [code for code in tube.codes if code not in had]
        if codes:
            _add(session, order, (tube.analyzer_id, tube.sample_id), asked.action, codes)
            told[tube.analyzer_id] = tube.analyzer
    await session.flush()
    await wake(session, list(told))
    return list(told.values())


async def queue_added(
    session: AsyncSession, order: Order, lines: Iterable[OrderLine], action: WorkAction = WorkAction.NEW
) -> list[str]:
    """Queue tests that were added to tubes in the laboratory; return the codes of the devices that are told.

    A tube that is not received yet needs nothing: its receipt queues everything on it. A device that asks is given the
    tests the next time it reads the tube. What a device has already is not ordered there again.

    Args:
        session: The transaction that added the lines.
        order: Locked.
        lines: Added to this order, each with its sample.
        action: NEW, or REFLEX for a test that follows from a result.

    Raises:
        ValueError: Another action: see `queue_rerun` and `take_back`.
    """
    if action not in {WorkAction.NEW, WorkAction.REFLEX}:
        raise ValueError(f"added tests are new or reflex, not {action.value}")
    added = [line for line in lines if line.order_id == order.id and line.sample_id is not None]
    if not added:
        return []
    await session.flush()
    query = select(Sample).where(
        col(Sample.id).in_({line.sample_id for line in added}),
        Sample.order_id == order.id,
        Sample.state == SampleState.RECEIVED,
    )
    told: set[str] = set()
    for sample in (await session.exec(query.order_by(col(Sample.accession_no)))).all():
        test_ids = [line.test_id for line in added if line.sample_id == sample.id]
        told |= set(await queue_work(session, order, [sample], Wanted(action, test_ids)))
    return sorted(told)


async def queue_rerun(
    session: AsyncSession, order: Order, lines: Iterable[OrderLine], measured_by: dict[UUID, UUID | None]
) -> list[str]:
    """Queue tests to be measured again, on the device that measured them where one did; return the devices' codes.

    Args:
        session: The command's transaction.
        order: Locked.
        lines: Open again, on one sample or several.
        measured_by: By line, see `measured_by`.
    """
    groups: dict[UUID | None, list[OrderLine]] = defaultdict(list)
    for line in lines:
        groups[measured_by.get(line.id)].append(line)
    told: list[str] = []
    for analyzer_id, group in groups.items():
        wanted = Wanted(
            WorkAction.RERUN, [line.test_id for line in group], None if analyzer_id is None else [analyzer_id]
        )
        tubes = await session.exec(select(Sample).where(col(Sample.id).in_({line.sample_id for line in group})))
        told += await queue_work(session, order, tubes.all(), wanted)
    return sorted(set(told))


async def measured_by(session: AsyncSession, lines: Iterable[OrderLine]) -> dict[UUID, UUID | None]:
    """Return which device the result in force of each line is from; ask before it is taken out of force."""
    query = select(Result.order_line_id, Result.analyzer_id).where(
        col(Result.order_line_id).in_([line.id for line in lines]), Result.state == ResultState.CURRENT
    )
    return dict((await session.exec(query)).all())


async def take_back(session: AsyncSession, order: Order, samples: Sequence[Sample], why: str) -> None:
    """Withdraw what the devices do not have yet, and queue a cancellation of what they have and have not measured.

    What is being sent at this moment is followed by a cancellation, which comes to nothing if it did not arrive.

    Args:
        session: The command's transaction.
        order: Locked.
        samples: Rejected or cancelled.
        why: For people.
    """
    sample_ids = [sample.id for sample in samples]
    measured = await rows_of(session, _Measured, _MEASURED, samples=sample_ids)
    done = {(row.analyzer_id, row.sample_id, row.device_code) for row in measured}
    woken: list[UUID] = []
    refused: set[UUID] = set()
    for (analyzer_id, sample_id), entries in (await _entries(session, sample_ids)).items():
        kept: list[str] = []
        for entry in entries:
            if entry.state in _GIVEN or _is_being_sent(entry):
                kept += entry.codes if entry.action != WorkAction.CANCEL else []
            elif entry.state in {DeviceWorkState.WAITING, DeviceWorkState.REFUSED}:
                refused |= {analyzer_id} if entry.state is DeviceWorkState.REFUSED else set()
                entry.state, entry.settled_at, entry.note = DeviceWorkState.WITHDRAWN, utc_now(), why
                session.add(entry)
        had = _had(entries, WorkAction.CANCEL)
        codes = [code for code in dict.fromkeys(kept) if (analyzer_id, sample_id, code) not in done and code not in had]
        if codes:
            _add(session, order, (analyzer_id, sample_id), WorkAction.CANCEL, codes)
            woken.append(analyzer_id)
    await session.flush()
    for analyzer in (await session.exec(select(Analyzer.code).where(col(Analyzer.id).in_(refused)))).all():
        await clear_attention(session, order.id, analyzer)
    await wake(session, woken)


async def _entries(session: AsyncSession, sample_ids: Sequence[UUID]) -> dict[tuple[UUID, UUID], list[DeviceWorkItem]]:
    """Return the entries of tubes by device and tube, locked, oldest first."""
    query = (
        select(DeviceWorkItem)
        .where(col(DeviceWorkItem.sample_id).in_(sample_ids))
        .order_by(col(DeviceWorkItem.created_at), col(DeviceWorkItem.id))
        .with_for_update()
        .execution_options(populate_existing=True)
    )
    found: dict[tuple[UUID, UUID], list[DeviceWorkItem]] = defaultdict(list)
    for entry in (await session.exec(query)).all():
        found[entry.analyzer_id, entry.sample_id].append(entry)
    return found


def _had(entries: Sequence[DeviceWorkItem], action: WorkAction) -> set[str]:
    """Return the codes for which an entry of this kind would be the second."""
    if action in {WorkAction.RERUN, WorkAction.CANCEL}:
        waiting = [e for e in entries if e.state is DeviceWorkState.WAITING and e.action == action]
        return {code for entry in waiting if not _is_being_sent(entry) for code in entry.codes}
    had: set[str] = set()
    for entry in entries:
        if entry.state in _IN_USE:
            had = had - set(entry.codes) if entry.action == WorkAction.CANCEL else had | set(entry.codes)
    return had


def _is_being_sent(entry: DeviceWorkItem) -> bool:
    is_taken = entry.state is DeviceWorkState.WAITING and entry.attempts > 0 and entry.settled_at is None
    return is_taken and entry.not_before > utc_now()


def _add(session: AsyncSession, order: Order, key: tuple[UUID, UUID], action: WorkAction, codes: list[str]) -> None:
    analyzer_id, sample_id = key
    session.add(
        DeviceWorkItem(
            analyzer_id=analyzer_id, order_id=order.id, sample_id=sample_id, action=action.value, codes=codes,
            not_before=utc_now(),
        )
    )  # fmt: skip
