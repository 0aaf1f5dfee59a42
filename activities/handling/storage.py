"""Where tubes are kept, how long, and how they are disposed of."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from uuid import UUID

from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from activities.handling.tubes import Tube, tube_of, tubes_of
from activities.people import Actor
from domain.clock import lab_day, utc_now
from domain.enums import OrderStage, SampleState
from domain.errors import ConflictError, RuleError
from store import audit
from store.counters import next_number
from store.tables.handling import RetentionRule, SampleStorage
from store.timeline import add_event

_STORABLE = {SampleState.COLLECTED, SampleState.RECEIVED, SampleState.REJECTED}
_DONE = {OrderStage.REPORTED, OrderStage.CLOSED, OrderStage.CANCELLED}


async def store_tube(
    session: AsyncSession, actor: Actor, branches: Sequence[UUID], accession_no: str, place: str
) -> SampleStorage:
    """Put a tube in a place; one that stood elsewhere has been moved.

    Raises:
        NotFoundError: The tube is not on record.
        ConflictError: It was never drawn or was disposed of, or another tube stands there.
    """
    tube = await tube_of(session, accession_no, branches)
    if tube.sample.state not in _STORABLE:
        raise ConflictError(f"sample {accession_no} is {tube.sample.state.value}", code="SAMPLE_NOT_IN_HAND")
    await _refuse_disposed(session, tube)
    taken = await session.exec(
        select(SampleStorage).where(
            SampleStorage.branch_id == tube.branch.id,
            SampleStorage.place == place,
            col(SampleStorage.left_at).is_(None),
        )
    )
    occupant = taken.one_or_none()
    if occupant is not None and occupant.sample_id != tube.sample.id:
        raise ConflictError(
            f"another tube stands at {place}", code="PLACE_TAKEN", action="Choose another place, or move that tube."
        )
    await _leave(session, actor, tube, "moved")
    now = utc_now()
    rule = await rule_for(session, tube.sample.specimen)
    row = SampleStorage(
        sample_id=tube.sample.id,
        branch_id=tube.branch.id,
        place=place,
        stored_by=actor.user_id,
        keep_until=now + timedelta(days=rule.days) if rule else None,
    )
    session.add(row)
    await session.flush()
    await _note(session, actor, tube, "sample_stored", {"place": place})
    return row


async def take_out(
    session: AsyncSession, actor: Actor, branches: Sequence[UUID], accession_no: str, reason: str
) -> None:
    """Take a tube out of its place.

    Raises:
        NotFoundError: The tube is not on record.
        ConflictError: It is nowhere.
    """
    tube = await tube_of(session, accession_no, branches)
    if await _leave(session, actor, tube, reason) is None:
        raise ConflictError(f"sample {accession_no} is in no place", code="SAMPLE_NOT_STORED")
    await _note(session, actor, tube, "sample_taken_out", {"reason": reason})


async def dispose(
    session: AsyncSession, actor: Actor, branches: Sequence[UUID], numbers: Sequence[str], *, reason: str
) -> str:
    """Dispose of stored tubes and return the number of the run; all of them or none.

    Raises:
        NotFoundError: A tube is not on record.
        ConflictError: A tube is in no place, or its order is still open.
        RuleError: A tube is to be kept longer, and there is no reason; or tubes are of several branches.
    """
    tubes = await tubes_of(session, numbers, branches, for_update=True)
    codes = sorted({tube.branch.code for tube in tubes})
    if len(codes) != 1:
        raise RuleError("a run is of one branch", code="DISPOSAL_REFUSED", action="Make a run for each branch.")
    now = utc_now()
    stored = {tube.sample.accession_no: await _stored(session, tube) for tube in tubes}
    if nowhere := [number for number, row in stored.items() if row is None]:
        raise ConflictError(f"in no place: {', '.join(nowhere)}", code="SAMPLE_NOT_STORED")
    still_open = [tube.sample.accession_no for tube in tubes if tube.order.stage not in _DONE]
    if still_open:
        raise ConflictError(
            f"the order is not finished: {', '.join(still_open)}", code="ORDER_NOT_FINISHED",
            action="Keep the tube until its report is issued.",
        )  # fmt: skip
    early = [number for number, row in stored.items() if row and (row.keep_until is None or row.keep_until > now)]
    if early and len(reason) < 3:  # noqa: PLR2004
        raise RuleError(
            f"to be kept longer, or without a rule: {', '.join(early)}", code="RETENTION_NOT_OVER",
            action="Keep them, or say why they are disposed of now.",
        )  # fmt: skip
    day = lab_day()
    disposal_no = f"D-{codes[0]}-{day:%y%m%d}-{await next_number(session, f'disposal:{codes[0]}:{day}'):04d}"
    for tube in tubes:
        row = stored[tube.sample.accession_no]
        if row is not None:
            row.left_at, row.left_by, row.leave_reason, row.disposal_no = now, actor.user_id, reason, disposal_no
            session.add(row)
        detail = {"accession_no": tube.sample.accession_no, "disposal": disposal_no}
        await add_event(
            session, tube.order.id, source="staff", kind="sample_disposed", actor=actor.username, detail=detail
        )
    await audit.record(
        session, chain=codes[0], actor=actor.username, action="samples.disposed", object_kind="disposal",
        object_id=disposal_no, body={"accession_nos": list(numbers), "early": early, "reason": reason},
    )  # fmt: skip
    return disposal_no


async def rule_for(session: AsyncSession, specimen: str) -> RetentionRule | None:
    """Return the rule in force for a specimen, None where there is none."""
    query = select(RetentionRule).where(RetentionRule.specimen == specimen, col(RetentionRule.valid_to).is_(None))
    return (await session.exec(query)).one_or_none()


async def set_rule(session: AsyncSession, actor: Actor, *, specimen: str, days: int, source: str) -> RetentionRule:
    """Put a rule in force from now on; the one before ends, and what is stored already keeps its date."""
    now, old = utc_now(), await rule_for(session, specimen)
    if old is not None:
        old.valid_to = now
        session.add(old)
        await session.flush()
    rule = RetentionRule(specimen=specimen, days=days, source=source, approved_by=actor.user_id, valid_from=now)
    session.add(rule)
    await session.flush()
    await audit.record(
        session, chain="lab", actor=actor.username, action="retention.set", object_kind="retention_rule",
        object_id=specimen, body={"days": days, "before": old.days if old else -1},
    )  # fmt: skip
    return rule


async def _stored(session: AsyncSession, tube: Tube) -> SampleStorage | None:
    query = select(SampleStorage).where(SampleStorage.sample_id == tube.sample.id, col(SampleStorage.left_at).is_(None))
    return (await session.exec(query.with_for_update())).one_or_none()


async def _leave(session: AsyncSession, actor: Actor, tube: Tube, reason: str) -> SampleStorage | None:
    row = await _stored(session, tube)
    if row is not None:
        row.left_at, row.left_by, row.leave_reason = utc_now(), actor.user_id, reason
        session.add(row)
        await session.flush()
    return row


async def _refuse_disposed(session: AsyncSession, tube: Tube) -> None:
    query = select(SampleStorage.disposal_no).where(
        SampleStorage.sample_id == tube.sample.id, SampleStorage.disposal_no != ""
    )
    if (number := (await session.exec(query)).first()) is not None:
        raise ConflictError(f"it was disposed of in {number}", code="SAMPLE_DISPOSED")


async def _note(session: AsyncSession, actor: Actor, tube: Tube, kind: str, detail: dict[str, str]) -> None:
    named = {"accession_no": tube.sample.accession_no, **detail}
    await add_event(session, tube.order.id, source="staff", kind=kind, actor=actor.username, detail=named)
    await audit.record(
        session, chain=tube.branch.code, actor=actor.username, action=kind.replace("_", ".", 1), object_kind="sample",
        object_id=tube.sample.accession_no, body=detail,
    )  # fmt: skip
