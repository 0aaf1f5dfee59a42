"""Taking back a person's word on which tube a specimen is: what it brought goes out of force, the message opens again.

Nothing is deleted. A value that the wrong one had displaced does not come back by itself: it is offered as a held
version, for a person to accept or reject, because a rerun may have been asked for in between.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import func, text
from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from activities.instruments.placing import SUPERSEDED_AGAIN
from domain.clock import utc_now
from domain.enums import LineState, ResultState, VerificationDecision, VerificationLevel
from domain.errors import ConflictError
from domain.ids import new_id
from store.exceptions import correction_in_force, requeue
from store.signals import signal_order
from store.tables.catalogue import LabTest
from store.tables.devices import SpecimenCorrection
from store.tables.orders import Order, OrderLine, Sample
from store.tables.results import Result, Verification
from store.timeline import add_event

_LOCK_MESSAGE = text("select id from instrument_messages where id = :id for update")
_REVERTIBLE = frozenset({LineState.RESULTED, LineState.VERIFIED})


@dataclass(frozen=True)
class Undoing:
    """Whose word is taken back, and by whom.

    Attributes:
        specimen_id: As the exception has it.
    """

    message_id: UUID
    specimen_id: str
    user_id: UUID
    username: str
    reason: str


@dataclass(frozen=True)
class Undone:
    """What was taken back.

    Attributes:
        order_no: Of the order that had the tube, "" where nothing of the message had come to it.
        tests: Codes of tests whose values went out of force.
        offered: Codes of those among them for which the value before is held for a decision.
    """

    accession_no: str
    order_no: str = ""
    tests: tuple[str, ...] = ()
    offered: tuple[str, ...] = ()


async def undo_assignment(session: AsyncSession, undoing: Undoing) -> Undone:
    """Undo the correction in force; the message goes back to the reader.

    The order's lock is taken after the message's, as by the reader.

    Raises:
        ConflictError: There is no correction in force, or something that it brought is authorised.
    """
    await session.execute(_LOCK_MESSAGE, {"id": undoing.message_id})
    correction = await correction_in_force(session, undoing.message_id, undoing.specimen_id)
    if correction is None:
        raise ConflictError(
            "the specimen is not assigned to a tube", code="SPECIMEN_NOT_ASSIGNED",
            action="Reload the exception: somebody may have undone it before.",
        )  # fmt: skip
    undone = await _take_back(session, undoing, correction)
    correction.undone_at, correction.undone_by = utc_now(), undoing.user_id
    correction.undo_reason = undoing.reason
    session.add(correction)
    await session.flush()
    await requeue(session, [undoing.message_id], reason="an assignment was undone")
    return undone


async def _take_back(session: AsyncSession, undoing: Undoing, correction: SpecimenCorrection) -> Undone:
    number = correction.accession_no
    sample = (await session.exec(select(Sample).where(Sample.accession_no == number))).one_or_none()
    if sample is None:
        return Undone(number)
    order = (await session.exec(select(Order).where(Order.id == sample.order_id).with_for_update())).one()
    found = await _brought(session, undoing.message_id, sample.id)
    if not found:
        return Undone(number)
    await _require_unsigned(session, found)
    tests: dict[str, None] = {}
    offered: list[str] = []
    for result, line, test in found:
        tests[test.code] = None
        was_current = result.state is ResultState.CURRENT
        result.state = ResultState.SUPERSEDED
        # the same message may be assigned to the same tube again: then it is a measurement that is not there yet
        result.dedupe_key = f"{result.dedupe_key}:undone:{correction.id}"
        session.add(result)
        await session.flush()
        if was_current and line.state in _REVERTIBLE:
            line.state = LineState.ORDERED
            session.add(line)
            if await _offer_before(session, result, [one.id for one, _, _ in found], correction.id):
                offered.append(test.code)
    undone = Undone(number, order.order_no, tuple(tests), tuple(offered))
    await add_event(
        session, order.id, source="staff", kind="specimen_unassigned", actor=undoing.username,
        detail={
            "accession_no": number, "tests": list(undone.tests), "held": offered, "message_id": str(undoing.message_id),
        },
    )  # fmt: skip
    await signal_order(session, undoing.message_id, order.id)
    return undone


async def _brought(
    session: AsyncSession, message_id: UUID, sample_id: UUID
) -> Sequence[tuple[Result, OrderLine, LabTest]]:
    """Return what a message brought to a tube and was not undone before, in the order of its versions."""
    query = (
        select(Result, OrderLine, LabTest)
        .join(OrderLine, col(OrderLine.id) == col(Result.order_line_id))
        .join(LabTest, col(LabTest.id) == col(OrderLine.test_id))
        .where(Result.message_id == message_id, Result.sample_id == sample_id)
        .where(~col(Result.dedupe_key).contains(":undone:"))
        .order_by(col(OrderLine.position), col(Result.version))
        .execution_options(populate_existing=True)
    )
    return (await session.exec(query)).all()


async def _require_unsigned(session: AsyncSession, found: Sequence[tuple[Result, OrderLine, LabTest]]) -> None:
    """Refuse where a value was ever authorised: a report may have gone out with it."""
    signed = select(Verification.result_id).where(
        col(Verification.result_id).in_([result.id for result, _, _ in found]),
        Verification.level == VerificationLevel.MEDICAL,
        Verification.decision == VerificationDecision.ACCEPTED,
    )
    ids = set((await session.exec(signed)).all())
    codes = sorted({
        test.code
        for result, line, test in found
        if result.id in ids or (result.state is ResultState.CURRENT and line.state is LineState.AUTHORISED)
    })  # fmt: skip
    if codes:
        raise ConflictError(
            f"already authorised: {', '.join(codes)}", code="RESULT_AUTHORISED",
            action="What was signed changes by amendment: tell the pathologist that the tube was mixed up.",
        )  # fmt: skip


async def _offer_before(session: AsyncSession, result: Result, undone: Sequence[UUID], correction_id: UUID) -> bool:
    """Offer the version that was in force before as a held one; False where there was none, or it was sent back."""
    query = (
        select(Result)
        .where(
            Result.order_line_id == result.order_line_id, Result.version < result.version, Result.hold_reason == "",
            col(Result.id).not_in(undone), ~col(Result.dedupe_key).contains(":undone:"),
        )
        .order_by(col(Result.version).desc())
        .limit(1)
    )  # fmt: skip
    before = (await session.exec(query)).one_or_none()
    rejected = select(Verification.id).where(Verification.decision == VerificationDecision.REJECTED)
    if before is None or (await session.exec(rejected.where(Verification.result_id == before.id))).first():
        return False
    last = (
        await session.exec(select(func.max(Result.version)).where(Result.order_line_id == result.order_line_id))
    ).one()
    own = {
        "id": new_id(), "created_at": utc_now(), "version": last + 1, "state": ResultState.HELD,
        "hold_reason": SUPERSEDED_AGAIN, "dedupe_key": f"offered:{correction_id}:{before.id}",
    }  # fmt: skip
    session.add(Result(**{**before.model_dump(), **own}))
    await session.flush()
    return True
