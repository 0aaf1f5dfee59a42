"""A message that a person gave to the wrong tube, and how that is taken back."""

import itertools

import pytest
from sqlmodel import select

from activities.instruments.undoing import Undoing, Undone, undo_assignment
from domain.enums import ExceptionKind, ExceptionState, LineState, MessageState, ResultState
from domain.errors import ConflictError
from domain.messages import CommandKind
from store.exceptions import add_correction, requeue
from store.tables.devices import SpecimenCorrection
from store.tables.results import InstrumentMessage
from tests.fixtures.analyzers import Inbox, chemistry
from tests.fixtures.bench import Bench
from tests.integration.inbox.test_instruments import barcode
from tests.integration.inbox.test_instruments_queue import queue, values

NUMBERS = itertools.count(1)


async def assign(bench: Bench, inbox: Inbox, message: InstrumentMessage, order) -> None:
    async with bench.database.transaction() as session:
        await add_correction(
            session, message_id=message.id, specimen_id=message.specimen_ids[0], accession_no=barcode(order),
            user_id=bench.lab.users["technician"], reason="worklist",
        )  # fmt: skip
        await requeue(session, [message.id], reason="assigned to a tube")
    await inbox.read(message.id)


async def undo(bench: Bench, message: InstrumentMessage) -> Undone:
    user = bench.lab.users["technician"]
    async with bench.database.transaction() as session:
        undoing = Undoing(message.id, message.specimen_ids[0], user, "technician", "the other tube")
        return await undo_assignment(session, undoing)


async def torn(bench: Bench, inbox: Inbox, *rows) -> InstrumentMessage:
    """Return a message about a tube whose label nobody can read; no two are the same bytes."""
    return await inbox.take(
        chemistry(f"TORN-{next(NUMBERS)}", *(rows or [("CREA", "9.9"), ("UREA", "80")]), at=inbox.at())
    )


async def test_what_it_gave_is_superseded_and_the_message_is_open_again(bench: Bench, inbox: Inbox):
    wrong, right = await bench.received("CREA", "UREA"), await bench.received()
    message = await torn(bench, inbox)
    await assign(bench, inbox, message, wrong)
    await bench.verify(wrong)
    assert (await undo(bench, message)) == Undone(barcode(wrong), wrong.order_no, ("CREA", "UREA"))
    assert await values(bench, wrong, "CREA") == [("9.9", ResultState.SUPERSEDED, "")]
    assert (await bench.line(wrong, "UREA")).state is LineState.ORDERED
    assert (await bench.kinds(wrong))[-1] == "specimen_unassigned"
    assert wrong.order_id in await inbox.signalled(message.id)
    assert (await inbox.message(message.id)).state is MessageState.RECEIVED
    assert (await inbox.read(message.id)).state is MessageState.UNMATCHED
    assert (await queue(bench, message))[ExceptionKind.UNMATCHED_SPECIMEN] == (
        message.specimen_ids[0], "", ExceptionState.OPEN,
    )  # fmt: skip
    await assign(bench, inbox, message, right)
    assert await values(bench, right, "CREA") == [("9.9", ResultState.CURRENT, "")]
    async with bench.database.transaction() as session:
        query = select(SpecimenCorrection).where(SpecimenCorrection.message_id == message.id)
        kept = (await session.exec(query.order_by(SpecimenCorrection.id))).all()
    assert [(one.accession_no, one.undo_reason) for one in kept] == [
        (barcode(wrong), "the other tube"), (barcode(right), ""),
    ]  # fmt: skip
    assert kept[0].undone_by == bench.lab.users["technician"]


async def test_the_same_tube_after_all(bench: Bench, inbox: Inbox):
    order = await bench.received()
    message = await torn(bench, inbox, ("CREA", "9.9"))
    for _ in range(2):
        await assign(bench, inbox, message, order)
        await undo(bench, message)
        await inbox.read(message.id)
    await assign(bench, inbox, message, order)
    assert [state for _, state, _ in await values(bench, order, "CREA")] == [
        ResultState.SUPERSEDED, ResultState.SUPERSEDED, ResultState.CURRENT,
    ]  # fmt: skip
    await bench.verify(order)
    assert (await bench.line(order, "CREA")).state is LineState.VERIFIED


async def test_the_tube_s_own_value_is_offered_and_can_be_verified_again(bench: Bench, inbox: Inbox):
    order = await bench.received()
    await inbox.take(chemistry(barcode(order), ("CREA", "1.1"), at=inbox.at()))
    await bench.verify(order)
    message = await torn(bench, inbox, ("CREA", "9.9"))
    await assign(bench, inbox, message, order)
    assert (await undo(bench, message)).offered == ("CREA",)
    assert await values(bench, order, "CREA") == [
        ("1.1", ResultState.SUPERSEDED, ""), ("9.9", ResultState.SUPERSEDED, ""),
        ("1.1", ResultState.HELD, "superseded_before"),
    ]  # fmt: skip
    assert (await bench.line(order, "CREA")).state is LineState.ORDERED
    await bench.do(CommandKind.DECIDE_HELD, order, {"decisions": [{"test_code": "CREA", "version": 3}]})
    await bench.verify(order)
    assert (await bench.line(order, "CREA")).state is LineState.VERIFIED


async def test_a_value_that_was_sent_back_is_not_offered(bench: Bench, inbox: Inbox):
    order = await bench.received()
    await inbox.take(chemistry(barcode(order), ("CREA", "1.1"), at=inbox.at()))
    await bench.verify(order, {"test_code": "CREA", "is_accepted": False, "reason": "clot"})
    message = await torn(bench, inbox, ("CREA", "9.9"))
    await assign(bench, inbox, message, order)
    assert (await undo(bench, message)).offered == ()


async def test_a_value_that_came_later_stays(bench: Bench, inbox: Inbox):
    order = await bench.received()
    message = await torn(bench, inbox, ("CREA", "9.9"))
    await assign(bench, inbox, message, order)
    await inbox.take(chemistry(barcode(order), ("CREA", "1.1"), at=inbox.at()))
    await undo(bench, message)
    assert await values(bench, order, "CREA") == [("9.9", ResultState.SUPERSEDED, ""), ("1.1", ResultState.CURRENT, "")]
    assert (await bench.line(order, "CREA")).state is LineState.RESULTED


async def test_nothing_is_undone_once_any_of_it_is_authorised(bench: Bench, inbox: Inbox):
    order = await bench.received("CREA", "UREA")
    message = await torn(bench, inbox)
    await assign(bench, inbox, message, order)
    await bench.verify(order)
    await bench.authorise(order, {"test_code": "CREA"})
    with pytest.raises(ConflictError) as caught:
        await undo(bench, message)
    assert caught.value.code == "RESULT_AUTHORISED"
    assert (await values(bench, order, "UREA"))[0][1] is ResultState.CURRENT
    assert (await bench.line(order, "CREA")).state is LineState.AUTHORISED


async def test_an_assignment_to_a_tube_that_took_nothing(bench: Bench, inbox: Inbox):
    expected = await bench.order()
    message = await torn(bench, inbox)
    await assign(bench, inbox, message, expected)
    assert await undo(bench, message) == Undone(barcode(expected))
    with pytest.raises(ConflictError) as caught:
        await undo(bench, message)
    assert caught.value.code == "SPECIMEN_NOT_ASSIGNED"
