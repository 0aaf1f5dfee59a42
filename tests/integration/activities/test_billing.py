"""Money on real rows and a simulated gateway: found before repeated, booked once, given back once."""

import asyncio

import pytest

from activities.billing import BillingActivities, InvoiceKey, LinkOrder, PaymentFacts
from activities.placement import PlacedOrder
from activities.refunds import RefundActivities, RefundDecision, RefundKey
from activities.reversal import ReversalActivities
from domain.enums import CollectionMode, CommandState, InvoiceState, LedgerKind, RefundState
from domain.errors import (
    ConflictError,
    NotFoundError,
    OutcomeUnknownError,
    RejectedError,
    RequestError,
    RuleError,
)
from domain.messages import CommandKind
from tests.fixtures.counting_house import TAXABLE, CountingHouse

WEEK = 7 * 24 * 3600


async def _linked(house: CountingHouse) -> tuple[PlacedOrder, str, PaymentFacts]:
    order = await house.order()
    invoice_no = order.invoices[0].document_no
    facts = await house.run(house.billing.create_payment_link, LinkOrder(invoice_no=invoice_no, valid_for=WEEK))
    return order, invoice_no, facts


def _link_of(house: CountingHouse, reference: str) -> str:
    return next(link["id"] for link in house.gateway.links.values() if link["reference_id"] == reference)


async def _pay_by_hand(house: CountingHouse, order: PlacedOrder, amount: int, receipt: str) -> None:
    payload = {
        "invoice_no": order.invoices[0].document_no, "amount_paise": amount, "method": "cash", "receipt_ref": receipt,
    }  # fmt: skip
    await house.commands.apply(await house.command(CommandKind.RECORD_PAYMENT, order, payload))


async def test_a_link_is_made_once(house: CountingHouse):
    order, invoice_no, facts = await _linked(house)
    assert (facts.link_state, facts.open_links, facts.due_paise) == ("pending", 1, 15_000)
    again = await house.run(house.billing.create_payment_link, LinkOrder(invoice_no=invoice_no, valid_for=WEEK))
    assert again == facts
    assert [link["reference_id"] for link in house.gateway.links.values()] == [invoice_no]
    assert (await house.events(order)).count("payment_link_created") == 1


async def test_a_link_whose_answer_was_lost_is_adopted(house: CountingHouse):
    order = await house.order()
    invoice_no = order.invoices[0].document_no
    wanted = LinkOrder(invoice_no=invoice_no, valid_for=WEEK)
    house.gateway_wire.lose("/payment_links")
    with pytest.raises(OutcomeUnknownError):
        await house.run(house.billing.create_payment_link, wanted)
    facts = await house.run(house.billing.create_payment_link, wanted, attempt=2)
    assert facts.open_links == 1
    assert len(house.gateway.links) == 1


async def test_without_a_gateway_the_step_asks_a_person(house: CountingHouse):
    order = await house.order()
    activities = BillingActivities(house.database, None)
    key = InvoiceKey(invoice_no=order.invoices[0].document_no)
    with pytest.raises(RequestError, match="no payment gateway"):
        await house.run(activities.create_payment_link, LinkOrder(**key.model_dump(), valid_for=WEEK))
    assert (await house.run(activities.close_payment_links, key)).open_links == 0


async def test_a_captured_payment_is_booked_once(house: CountingHouse):
    order, invoice_no, _ = await _linked(house)
    payment = house.gateway.pay(_link_of(house, invoice_no))
    key = InvoiceKey(invoice_no=invoice_no)
    first, second = await asyncio.gather(
        house.run(house.billing.refresh_payment, key), house.run(house.billing.refresh_payment, key)
    )
    assert first == second
    assert (first.state, first.due_paise, first.captured) == (InvoiceState.PAID, 0, (payment["id"],))
    assert (first.link_state, first.open_links, first.refundable) == ("paid", 0, ())
    assert [entry.kind for entry in await house.ledger(invoice_no)] == [LedgerKind.CHARGE, LedgerKind.PAYMENT]
    assert (await house.events(order)).count("payment_captured") == 1


async def test_a_paid_invoice_is_noted_once(house: CountingHouse):
    order, invoice_no, _ = await _linked(house)
    house.gateway.pay(_link_of(house, invoice_no))
    for activity in (house.billing.refresh_payment, house.billing.note_settled, house.billing.note_settled):
        await house.run(activity, InvoiceKey(invoice_no=invoice_no))
    assert (await house.events(order)).count("payment_settled") == 1


async def test_a_link_that_ran_out_is_followed_by_one_with_another_reference(house: CountingHouse):
    _, invoice_no, _ = await _linked(house)
    key = InvoiceKey(invoice_no=invoice_no)
    house.clock.forward(days=8)
    house.gateway.expire_due()
    assert (await house.run(house.billing.refresh_payment, key)).link_state == "expired"
    facts = await house.run(house.billing.create_payment_link, LinkOrder(invoice_no=invoice_no, valid_for=WEEK))
    assert facts.open_links == 1
    assert {link["reference_id"] for link in house.gateway.links.values()} == {invoice_no, f"{invoice_no}-2"}


async def test_money_that_comes_after_the_link_ran_out_is_honoured(house: CountingHouse):
    _, invoice_no, _ = await _linked(house)
    house.clock.forward(days=8)
    house.gateway.expire_due()
    key = InvoiceKey(invoice_no=invoice_no)
    await house.run(house.billing.refresh_payment, key)
    house.gateway.pay(_link_of(house, invoice_no))
    facts = await house.run(house.billing.refresh_payment, key)
    assert (facts.state, facts.link_state) == (InvoiceState.PAID, "late_paid")


async def test_an_open_link_is_closed_and_a_paid_one_is_booked(house: CountingHouse):
    _, invoice_no, _ = await _linked(house)
    key = InvoiceKey(invoice_no=invoice_no)
    closed = await house.run(house.billing.close_payment_links, key)
    assert (closed.link_state, closed.open_links) == ("cancelled", 0)
    assert await house.run(house.billing.close_payment_links, key) == closed
    _, paid_no, _ = await _linked(house)
    house.gateway.pay(_link_of(house, paid_no))
    facts = await house.run(house.billing.close_payment_links, InvoiceKey(invoice_no=paid_no))
    assert (facts.state, facts.link_state) == (InvoiceState.PAID, "paid")


async def test_closing_finds_a_link_that_nobody_wrote_down(house: CountingHouse):
    order = await house.order()
    key = InvoiceKey(invoice_no=order.invoices[0].document_no)
    house.gateway.create_link({"amount": 15_000, "reference_id": key.invoice_no}, "http://pay")
    facts = await house.run(house.billing.close_payment_links, key)
    assert (facts.link_state, facts.open_links) == ("cancelled", 0)


async def test_cash_is_recorded_once_and_never_more_than_owed(house: CountingHouse):
    order = await house.order(mode=CollectionMode.COUNTER)
    invoice_no = order.invoices[0].document_no
    await _pay_by_hand(house, order, 5_000, f"R-1-{invoice_no}")
    assert (await house.invoice(invoice_no)).state is InvoiceState.PARTIALLY_PAID
    with pytest.raises(ConflictError) as repeated:
        await _pay_by_hand(house, order, 5_000, f"R-1-{invoice_no}")
    assert repeated.value.code == "RECEIPT_RECORDED"
    with pytest.raises(RuleError) as too_much:
        await _pay_by_hand(house, order, 10_001, f"R-2-{invoice_no}")
    assert too_much.value.code == "OVERPAYMENT"
    await _pay_by_hand(house, order, 10_000, f"R-3-{invoice_no}")
    assert (await house.invoice(invoice_no)).state is InvoiceState.PAID
    assert await house.balance(invoice_no) == 0


async def test_the_same_command_twice_records_once(house: CountingHouse):
    order = await house.order(mode=CollectionMode.COUNTER)
    invoice_no = order.invoices[0].document_no
    payload = {"invoice_no": invoice_no, "amount_paise": 15_000, "method": "upi", "receipt_ref": f"U-{invoice_no}"}
    ref = await house.command(CommandKind.RECORD_PAYMENT, order, payload)
    await house.commands.apply(ref)
    await house.commands.apply(ref)
    assert len(await house.ledger(invoice_no)) == 2


async def test_cash_and_capture_at_once_are_both_booked(house: CountingHouse):
    order, invoice_no, _ = await _linked(house)
    house.gateway.pay(_link_of(house, invoice_no))
    key = InvoiceKey(invoice_no=invoice_no)
    outcomes = await asyncio.gather(
        _pay_by_hand(house, order, 15_000, f"R-{invoice_no}"),
        *(house.run(house.billing.refresh_payment, key) for _ in range(3)),
        return_exceptions=True,
    )
    entries = await house.ledger(invoice_no)
    # whoever came first decides: cash is refused once the link's money is booked
    if isinstance(outcomes[0], RuleError):
        assert (len(entries), await house.balance(invoice_no)) == (2, 0)
    else:
        assert (len(entries), await house.balance(invoice_no)) == (3, -15_000)
    assert not [outcome for outcome in outcomes[1:] if isinstance(outcome, BaseException)]


async def test_money_for_another_order_is_refused(house: CountingHouse):
    order, other = await house.order(), await house.order()
    payload = {
        "invoice_no": other.invoices[0].document_no, "amount_paise": 100, "method": "cash", "receipt_ref": "R-other",
    }  # fmt: skip
    ref = await house.command(CommandKind.RECORD_PAYMENT, order, payload)
    with pytest.raises(NotFoundError):
        await house.commands.apply(ref)
    assert (await house.stored_command(ref)).state is CommandState.REFUSED


async def test_a_partial_payment_makes_the_link_stale(house: CountingHouse):
    order, invoice_no, _ = await _linked(house)
    await _pay_by_hand(house, order, 5_000, f"R-{invoice_no}")
    facts = await house.run(house.billing.measure_payment, InvoiceKey(invoice_no=invoice_no))
    assert facts.is_link_stale
    await house.run(house.billing.close_payment_links, InvoiceKey(invoice_no=invoice_no))
    facts = await house.run(house.billing.create_payment_link, LinkOrder(invoice_no=invoice_no, valid_for=WEEK))
    assert not facts.is_link_stale
    assert house.gateway.links[_link_of(house, f"{invoice_no}-2")]["amount"] == 10_000


async def test_what_was_paid_twice_goes_back_once(house: CountingHouse):
    order, invoice_no, _ = await _linked(house)
    payment = house.gateway.pay(_link_of(house, invoice_no))
    await _pay_by_hand(house, order, 15_000, f"R-{invoice_no}")
    facts = await house.run(house.billing.refresh_payment, InvoiceKey(invoice_no=invoice_no))
    assert (facts.due_paise, facts.refundable) == (-15_000, (payment["id"],))
    key = RefundKey(invoice_no=invoice_no, payment_ref=payment["id"])
    for activity in (house.refunds.open_refund, house.refunds.request_refund, house.refunds.request_refund):
        ended = await house.run(activity, key)
    assert ended.state is RefundState.PROCESSED
    assert await house.balance(invoice_no) == 0
    assert len(house.gateway.refunds) == 1
    assert (await house.invoice(invoice_no)).state is InvoiceState.PAID
    events = await house.events(order)
    assert (events.count("refund_requested"), events.count("refund_processed")) == (1, 1)


async def _reversed_and_paid(house: CountingHouse) -> tuple[str, RefundKey]:
    _, invoice_no, _ = await _linked(house)
    payment = house.gateway.pay(_link_of(house, invoice_no))
    await house.run(house.reversal.begin_reversal, InvoiceKey(invoice_no=invoice_no))
    await house.run(house.billing.refresh_payment, InvoiceKey(invoice_no=invoice_no))
    key = RefundKey(invoice_no=invoice_no, payment_ref=payment["id"])
    await house.run(house.refunds.open_refund, key)
    return invoice_no, key


async def test_a_refund_whose_answer_was_lost_is_found(house: CountingHouse):
    invoice_no, key = await _reversed_and_paid(house)
    house.gateway_wire.lose("/refund")
    with pytest.raises(OutcomeUnknownError):
        await house.run(house.refunds.request_refund, key)
    assert (await house.run(house.refunds.request_refund, key, attempt=2)).state is RefundState.PROCESSED
    assert len(house.gateway.refunds) == 1
    assert await house.balance(invoice_no) == 15_000


async def test_a_refund_made_by_hand_at_the_gateway_is_adopted(house: CountingHouse):
    _, key = await _reversed_and_paid(house)
    house.gateway.refund(key.payment_ref, {}, None)
    assert (await house.run(house.refunds.request_refund, key)).state is RefundState.PROCESSED
    assert len(house.gateway.refunds) == 1


async def test_a_refund_made_in_part_at_the_gateway_asks_a_person(house: CountingHouse):
    _, key = await _reversed_and_paid(house)
    house.gateway.refund(key.payment_ref, {"amount": 5_000}, None)
    with pytest.raises(RejectedError) as caught:
        await house.run(house.refunds.request_refund, key)
    assert caught.value.code == "REFUND_PARTLY_DONE"


async def test_a_failed_refund_is_asked_for_under_a_new_key(house: CountingHouse):
    _, key = await _reversed_and_paid(house)
    house.gateway._refund_status = "pending"
    pending = await house.run(house.refunds.request_refund, key)
    assert pending.state is RefundState.PENDING
    refund_id = next(iter(house.gateway.refunds))
    house.gateway.settle_refund(refund_id, "failed")
    house.gateway.payments[key.payment_ref] |= {"amount_refunded": 0, "status": "captured"}
    assert (await house.run(house.refunds.refresh_refund, key)).state is RefundState.FAILED
    assert (await house.run(house.refunds.renew_refund, key)).state is RefundState.REQUESTED
    await house.run(house.refunds.request_refund, key)
    assert len(house.gateway.refunds) == 2
    house.gateway.settle_refund(list(house.gateway.refunds)[-1], "processed")
    assert (await house.run(house.refunds.refresh_refund, key)).state is RefundState.PROCESSED


async def test_cash_goes_back_by_hand_with_its_voucher(house: CountingHouse):
    order = await house.order(mode=CollectionMode.COUNTER)
    invoice_no = order.invoices[0].document_no
    await _pay_by_hand(house, order, 15_000, f"R-{invoice_no}")
    await house.run(house.reversal.begin_reversal, InvoiceKey(invoice_no=invoice_no))
    key = RefundKey(invoice_no=invoice_no, payment_ref=f"R-{invoice_no}")
    assert (await house.run(house.refunds.open_refund, key)).is_by_hand
    useless = await _answer(house, order, {})
    with pytest.raises(RuleError) as caught:
        await house.run(house.refunds.answer_refund, RefundDecision(**key.model_dump(), command_id=useless))
    assert caught.value.code == "ANSWER_INCOMPLETE"
    decision = RefundDecision(**key.model_dump(), command_id=await _answer(house, order, {"reference": "V-1"}))
    for _ in range(2):
        assert (await house.run(house.refunds.answer_refund, decision)).state is RefundState.PROCESSED
    await house.run(house.reversal.cancel_invoice, InvoiceKey(invoice_no=invoice_no))
    assert await house.balance(invoice_no) == 0


async def _answer(house: CountingHouse, order: PlacedOrder, answer: dict[str, str]) -> str:
    payload: dict[str, object] = {"workflow_id": "refund:x", "step": "refund_by_hand", "decision": "answer"}
    payload |= {"reason": "paid out", "answer": answer}
    return (await house.command(CommandKind.RESOLVE_STEP, order, payload)).command_id


async def test_a_refund_that_staff_decide_against_stays_owed_and_shown(house: CountingHouse):
    invoice_no, key = await _reversed_and_paid(house)
    closed = await house.run(house.refunds.close_refund, RefundDecision(**key.model_dump(), command_id="c1"))
    assert closed.is_closed
    await house.run(house.reversal.cancel_invoice, InvoiceKey(invoice_no=invoice_no))
    facts = await house.run(house.reversal.reversal_facts, InvoiceKey(invoice_no=invoice_no))
    assert (facts.refunds_open, facts.refundable, facts.is_settled) == ((), (), True)
    assert await house.balance(invoice_no) == -15_000


async def test_nothing_goes_back_where_nothing_is_too_much(house: CountingHouse):
    _, invoice_no, _ = await _linked(house)
    payment = house.gateway.pay(_link_of(house, invoice_no))
    await house.run(house.billing.refresh_payment, InvoiceKey(invoice_no=invoice_no))
    facts = await house.run(house.refunds.open_refund, RefundKey(invoice_no=invoice_no, payment_ref=payment["id"]))
    assert not facts.is_needed
    with pytest.raises(NotFoundError):
        await house.run(house.refunds.open_refund, RefundKey(invoice_no=invoice_no, payment_ref="pay_unknown"))


async def test_a_reversed_bill_ends_at_zero_and_late_money_goes_back(house: CountingHouse):
    order, invoice_no, _ = await _linked(house)
    key = InvoiceKey(invoice_no=invoice_no)
    for activity in (house.reversal.begin_reversal, house.reversal.begin_reversal):
        await house.run(activity, key)
    await house.run(house.billing.close_payment_links, key)
    for _ in range(2):
        await house.run(house.reversal.cancel_invoice, key)
    assert await house.balance(invoice_no) == 0
    assert (await house.invoice(invoice_no)).state is InvoiceState.CANCELLED
    late = house.gateway.pay(_link_of(house, invoice_no))
    facts = await house.run(house.billing.refresh_payment, key)
    assert (facts.state, facts.refundable) == (InvoiceState.CANCELLED, (late["id"],))
    refund = RefundKey(invoice_no=invoice_no, payment_ref=late["id"])
    await house.run(house.refunds.open_refund, refund)
    await house.run(house.refunds.request_refund, refund)
    assert await house.balance(invoice_no) == 0
    assert (await house.events(order)).count("invoice_cancelled") == 1


async def test_no_link_is_made_for_a_bill_that_is_taken_back(house: CountingHouse):
    order = await house.order()
    invoice_no = order.invoices[0].document_no
    await house.run(house.reversal.begin_reversal, InvoiceKey(invoice_no=invoice_no))
    facts = await house.run(house.billing.create_payment_link, LinkOrder(invoice_no=invoice_no, valid_for=WEEK))
    assert facts.is_reversed
    assert not house.gateway.links


async def test_the_command_that_takes_a_bill_back_is_found_and_applied(house: CountingHouse):
    order = await house.order()
    invoice_no = order.invoices[0].document_no
    ref = await house.command(
        CommandKind.REVERSE_INVOICE, order, {"invoice_no": invoice_no, "reason": "wrong patient billed"}
    )
    facts = await house.run(house.reversal.reversal_facts, InvoiceKey(invoice_no=invoice_no))
    assert (facts.commands, facts.is_marked) == ((ref.command_id,), False)
    await house.commands.apply(ref)
    facts = await house.run(house.reversal.reversal_facts, InvoiceKey(invoice_no=invoice_no))
    assert (facts.commands, facts.is_marked) == ((), True)
    assert (await house.stored_command(ref)).state is CommandState.APPLIED
    with pytest.raises(ConflictError):
        await _pay_by_hand(house, order, 100, f"R-{invoice_no}")


async def test_a_credit_note_is_issued_once_and_balances(house: CountingHouse):
    order = await house.order(TAXABLE, payer="GRAMCARE")
    invoice_no = order.invoices[0].document_no
    key = InvoiceKey(invoice_no=invoice_no)
    await house.run(house.reversal.begin_reversal, key)
    first, second = [await house.run(house.reversal.issue_credit_note, key) for _ in range(2)]
    assert first == second
    assert first.requires_irn
    assert await house.balance(invoice_no) == 0
    assert (await house.invoice(invoice_no)).state is InvoiceState.CREDITED
    with pytest.raises(ConflictError) as caught:
        await house.commands.apply(
            await house.command(
                CommandKind.REVERSE_INVOICE, order, {"invoice_no": first.document_no, "reason": "by mistake"}
            )
        )
    assert caught.value.code == "INVOICE_IS_NOTE"


def test_every_activity_has_its_area_in_its_name():
    names = [
        getattr(method, "__temporal_activity_definition").name
        for owner in (BillingActivities, RefundActivities, ReversalActivities)
        for method in vars(owner).values()
        if hasattr(method, "__temporal_activity_definition")
    ]
    assert len(names) == len(set(names)) == 15
    assert all(name.startswith("billing.") for name in names)
