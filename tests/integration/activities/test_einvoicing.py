"""Registrations on real rows and a simulated portal: looked up before repeated, verified, withdrawn, cancelled."""

from datetime import timedelta

import pytest

from activities.billing import InvoiceKey
from activities.einvoicing import EInvoiceActivities, StaffDecision
from activities.placement import PlacedOrder
from domain.enums import EInvoiceState
from domain.errors import (
    AuthError,
    OutcomeUnknownError,
    RejectedError,
    RequestError,
    RuleError,
    UnavailableError,
)
from domain.messages import CommandKind
from tests.fixtures.counting_house import TAXABLE, CountingHouse

GENERATE, CANCEL = "/api/invoice", "/cancel"


async def _billed(house: CountingHouse) -> tuple[PlacedOrder, InvoiceKey]:
    order = await house.order(TAXABLE, payer="GRAMCARE")
    return order, InvoiceKey(invoice_no=order.invoices[0].document_no)


async def test_an_exempt_bill_needs_no_irn_and_says_why(house: CountingHouse):
    order = await house.order()
    key = InvoiceKey(invoice_no=order.invoices[0].document_no)
    for _ in range(2):
        facts = await house.run(house.einvoicing.prepare, key)
    assert facts.state is EInvoiceState.NOT_REQUIRED
    assert (await house.events(order)).count("einvoice_not_required") == 1
    assert (await house.run(house.einvoicing.generate, key)).state is EInvoiceState.NOT_REQUIRED
    assert not house.portal.registered


async def test_a_taxable_document_is_registered_once_and_kept(house: CountingHouse):
    order, key = await _billed(house)
    prepared = await house.run(house.einvoicing.prepare, key)
    assert (prepared.state, prepared.findings, prepared.is_sent) == (EInvoiceState.PENDING, (), False)
    for attempt in (1, 2):
        facts = await house.run(house.einvoicing.generate, key, attempt=attempt)
    row = await house.einvoice(key.invoice_no)
    assert (facts.state, row.state) == (EInvoiceState.GENERATED, EInvoiceState.GENERATED)
    assert row.irn == prepared.irn
    assert row.irn in house.portal.registered
    assert row.ack_no
    assert row.signed_qr.count(".") == row.signed_invoice.count(".") == 2
    assert (await house.events(order)).count("irn_generated") == 1


async def test_a_registration_whose_answer_was_lost_is_adopted(house: CountingHouse):
    _, key = await _billed(house)
    house.portal_wire.lose(GENERATE)
    with pytest.raises(OutcomeUnknownError):
        await house.run(house.einvoicing.generate, key)
    assert (await house.run(house.einvoicing.prepare, key)).is_sent
    # a fresh run of the step, as after a retry by staff, looks it up as well
    facts = await house.run(house.einvoicing.generate, key, attempt=1)
    assert facts.state is EInvoiceState.GENERATED
    assert len(house.portal.registered) == 1


async def test_a_document_that_is_registered_already_is_compared_and_adopted(house: CountingHouse):
    _, key = await _billed(house)
    house.portal_wire.lose(GENERATE)
    with pytest.raises(OutcomeUnknownError):
        await house.run(house.einvoicing.generate, key)
    await house.einvoicing._unmark(key)  # as if nobody here knew
    assert (await house.run(house.einvoicing.generate, key)).state is EInvoiceState.GENERATED


async def test_the_portal_away_is_no_registration(house: CountingHouse):
    _, key = await _billed(house)
    house.portal_faults.down = True
    with pytest.raises(UnavailableError):
        await house.run(house.einvoicing.generate, key)
    house.portal_faults.down = False
    assert (await house.run(house.einvoicing.generate, key, attempt=2)).state is EInvoiceState.GENERATED


async def test_a_refused_document_is_surely_not_registered(house: CountingHouse):
    _, key = await _billed(house)
    house.portal.drill.refuse_next = "2258"
    with pytest.raises(RejectedError) as caught:
        await house.run(house.einvoicing.generate, key)
    assert caught.value.partner_code == "2258"
    assert not (await house.run(house.einvoicing.prepare, key)).is_sent


async def test_a_signature_that_is_not_the_portals_is_not_kept(house: CountingHouse):
    _, key = await _billed(house)
    house.portal.drill.wrong_signature = True
    with pytest.raises(AuthError) as caught:
        await house.run(house.einvoicing.generate, key)
    assert caught.value.code == "EINVOICE_SIGNATURE_INVALID"
    assert (await house.einvoice(key.invoice_no)).state is EInvoiceState.PENDING


async def test_without_access_the_step_asks_a_person(house: CountingHouse):
    _, key = await _billed(house)
    activities = EInvoiceActivities(house.database, None)
    with pytest.raises(RequestError, match="no access"):
        await house.run(activities.generate, key)
    assert not (await house.run(activities.prepare, key)).is_sent


async def _answer(house: CountingHouse, order: PlacedOrder, key: InvoiceKey, answer: dict[str, str]) -> StaffDecision:
    payload: dict[str, object] = {"workflow_id": "einvoice:x", "step": "generate_irn", "decision": "answer"}
    payload |= {"reason": "made on the portal", "answer": answer}
    ref = await house.command(CommandKind.RESOLVE_STEP, order, payload)
    return StaffDecision(invoice_no=key.invoice_no, command_id=ref.command_id)


async def test_an_answer_by_hand_is_believed_only_where_it_can_be_checked(house: CountingHouse):
    order, key = await _billed(house)
    other_order, other = await _billed(house)
    for one in (key, other):
        house.portal_wire.lose(GENERATE)
        with pytest.raises(OutcomeUnknownError):
            await house.run(house.einvoicing.generate, one)
    entry, foreign = house.portal.registered.values()
    good = {
        "irn": entry.irn, "ack_no": str(entry.ack_no), "ack_at": entry.ack_at.isoformat(), "signed_qr": entry.signed_qr,
    }  # fmt: skip
    for wrong, code in (
        ({"irn": foreign.irn}, "EINVOICE_IRN_DIFFERS"),
        ({"ack_no": "none"}, "EINVOICE_ANSWER_INVALID"),
        ({"ack_at": "yesterday"}, "EINVOICE_ANSWER_INVALID"),
        ({"ack_at": (house.clock.now + timedelta(days=1)).isoformat()}, "EINVOICE_ANSWER_INVALID"),
        ({"signed_qr": foreign.signed_qr}, "EINVOICE_CONTENT_DIFFERS"),
        ({"signed_qr": entry.signed_qr[:-8] + "AAAAAAAA"}, "EINVOICE_SIGNATURE_INVALID"),
        ({"signed_qr": "x"}, "EINVOICE_SIGNED_UNREADABLE"),
        ({"signed_qr": ""}, "ANSWER_INCOMPLETE"),
    ):
        with pytest.raises(RuleError) as caught:
            await house.run(house.einvoicing.answer, await _answer(house, order, key, good | wrong))
        assert caught.value.code == code
    facts = await house.run(house.einvoicing.answer, await _answer(house, order, key, good))
    row = await house.einvoice(key.invoice_no)
    assert (facts.state, row.ack_at) == (EInvoiceState.GENERATED, entry.ack_at)
    assert other_order.order_no != order.order_no


async def test_staff_may_go_on_without_an_irn(house: CountingHouse):
    order, key = await _billed(house)
    decision = await _answer(house, order, key, {})
    for _ in range(2):
        assert (await house.run(house.einvoicing.skip, decision)).state is EInvoiceState.SKIPPED
    assert (await house.events(order)).count("einvoice_skipped") == 1


async def test_a_withdrawn_document_is_not_sent(house: CountingHouse):
    _, key = await _billed(house)
    withdrawn = await house.run(house.einvoicing.withdraw, key)
    assert (withdrawn.state, withdrawn.is_sent) == (EInvoiceState.CANCELLED, False)
    assert (await house.run(house.einvoicing.generate, key)).state is EInvoiceState.CANCELLED
    assert not house.portal.registered


async def test_a_document_registered_before_it_was_withdrawn_is_found_and_cancelled(house: CountingHouse):
    _, key = await _billed(house)
    house.portal_wire.lose(GENERATE)
    with pytest.raises(OutcomeUnknownError):
        await house.run(house.einvoicing.generate, key)
    assert (await house.run(house.einvoicing.withdraw, key)).is_sent
    assert (await house.run(house.einvoicing.look_up, key)).state is EInvoiceState.GENERATED
    assert (await house.run(house.einvoicing.cancel_irn, key)).is_cancelled
    assert next(iter(house.portal.registered.values())).cancelled_at is not None
    assert (await house.einvoice(key.invoice_no)).state is EInvoiceState.CANCELLED


async def test_a_document_on_its_way_is_waited_for(house: CountingHouse):
    _, key = await _billed(house)
    house.portal_faults.fail_next = 2  # the login, then the document
    house.portal_faults.fail_status = 500
    for attempt in (1, 2):
        with pytest.raises((UnavailableError, OutcomeUnknownError)):
            await house.run(house.einvoicing.generate, key, attempt=attempt)
    await house.run(house.einvoicing.withdraw, key)
    with pytest.raises(OutcomeUnknownError) as caught:
        await house.run(house.einvoicing.look_up, key)
    assert caught.value.retry_after <= timedelta(minutes=3)
    house.clock.forward(minutes=4)
    assert (await house.run(house.einvoicing.look_up, key)).state is EInvoiceState.CANCELLED


async def test_a_registration_too_old_to_be_shown_goes_the_way_of_a_credit_note(house: CountingHouse):
    _, key = await _billed(house)
    house.portal_wire.lose(GENERATE)
    with pytest.raises(OutcomeUnknownError):
        await house.run(house.einvoicing.generate, key)
    await house.run(house.einvoicing.withdraw, key)
    house.clock.forward(days=4)
    assert (await house.run(house.einvoicing.look_up, key)).state is EInvoiceState.GENERATED
    assert not (await house.run(house.einvoicing.cancel_irn, key)).is_cancelled


@pytest.mark.parametrize(("hours", "is_cancelled"), [(23, True), (23.9, False), (25, False)])
async def test_the_window_of_the_portal_is_kept(house: CountingHouse, hours: float, is_cancelled: bool):
    _, key = await _billed(house)
    await house.run(house.einvoicing.generate, key)
    house.clock.forward(hours=hours)
    for _ in range(2):
        assert (await house.run(house.einvoicing.cancel_irn, key)).is_cancelled is is_cancelled


async def test_a_window_that_closes_at_the_portal_first_is_no_error(house: CountingHouse):
    _, key = await _billed(house)
    await house.run(house.einvoicing.generate, key)
    house.portal.drill.refuse_next = "2270"
    assert not (await house.run(house.einvoicing.cancel_irn, key)).is_cancelled


async def test_a_cancellation_whose_answer_was_lost_is_repeated_without_harm(house: CountingHouse):
    _, key = await _billed(house)
    await house.run(house.einvoicing.generate, key)
    house.portal_wire.lose(CANCEL)
    with pytest.raises(OutcomeUnknownError):
        await house.run(house.einvoicing.cancel_irn, key)
    assert (await house.run(house.einvoicing.cancel_irn, key, attempt=2)).is_cancelled


async def test_a_registration_cancelled_on_the_portal_is_shown_to_a_person(house: CountingHouse):
    _, key = await _billed(house)
    house.portal_wire.lose(GENERATE)
    with pytest.raises(OutcomeUnknownError):
        await house.run(house.einvoicing.generate, key)
    next(iter(house.portal.registered.values())).cancelled_at = house.clock.now
    with pytest.raises(RejectedError) as caught:
        await house.run(house.einvoicing.generate, key, attempt=2)
    assert caught.value.code == "EINVOICE_CANCELLED_THERE"


async def test_a_credit_note_gets_its_own_irn(house: CountingHouse):
    _, key = await _billed(house)
    await house.run(house.einvoicing.generate, key)
    house.clock.forward(hours=30)
    note = InvoiceKey(invoice_no=(await house.run(house.reversal.issue_credit_note, key)).document_no)
    assert (await house.run(house.einvoicing.prepare, note)).findings == ()
    facts = await house.run(house.einvoicing.generate, note)
    assert facts.state is EInvoiceState.GENERATED
    assert facts.irn != (await house.einvoice(key.invoice_no)).irn
