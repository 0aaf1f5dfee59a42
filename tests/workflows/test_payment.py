"""Payment against stand-in activities: what is collected how, what stops it, what goes back."""

from datetime import timedelta

import pytest
from temporalio import activity, workflow
from temporalio.client import Client, WorkflowHandle, WorkflowUpdateFailedError
from temporalio.testing import TimeSkipper

from activities.billing import InvoiceKey, LinkOrder, PaymentFacts
from domain import ids
from domain.clock import utc_now
from domain.enums import CollectionMode, InvoiceState, StepDecision
from domain.errors import RejectedError, RequestError, RuleError
from domain.messages import (
    InvoiceRef,
    OrderInvoice,
    PartnerEventRef,
    PaymentInput,
    PaymentResult,
    RefundInput,
    RefundResult,
)
from domain.policies import LabPolicies, PaymentPolicy
from tests.fixtures.workflows import eventually, running
from tests.workflows.standins import IMPATIENT, INVOICE_NO, ORDER_NO, QUICK, Desk, keep_history
from workflows import queues
from workflows.payment import PaymentWorkflow


class Counter(Desk):
    """Stands in for PostgreSQL and the gateway."""

    def __init__(self, facts: PaymentFacts) -> None:
        super().__init__()
        self.facts = facts
        self.at_gateway: dict[str, object] = {}

    def set(self, **changes: object) -> PaymentFacts:
        self.facts = self.facts.model_copy(update=changes)
        return self.facts

    def pay(self, due_paise: int = 0) -> None:
        state = InvoiceState.PAID if due_paise <= 0 else InvoiceState.PARTIALLY_PAID
        self.set(due_paise=due_paise, state=state, entries=self.facts.entries + 1)

    @activity.defn(name="billing.measure_payment")
    async def measure(self, key: InvoiceKey) -> PaymentFacts:
        self.note("measure")
        return self.facts

    @activity.defn(name="billing.create_payment_link")
    async def create(self, order: LinkOrder) -> PaymentFacts:
        self.note("create", at_partner=True)
        if self.facts.is_reversed or self.facts.due_paise <= 0:
            return self.facts
        expires_at = utc_now() + order.valid_for
        return self.set(link_state="pending", open_links=1, is_link_stale=False, link_expires_at=expires_at)

    @activity.defn(name="billing.refresh_payment")
    async def refresh(self, key: InvoiceKey) -> PaymentFacts:
        self.note("refresh", at_partner=True)
        if self.at_gateway:
            self.set(**self.at_gateway, entries=self.facts.entries + 1)
            self.at_gateway = {}
        return self.facts

    @activity.defn(name="billing.close_payment_links")
    async def close(self, key: InvoiceKey) -> PaymentFacts:
        self.note("close", at_partner=True)
        closed = {"open_links": 0, "link_state": "cancelled"} if self.facts.open_links else {}
        return self.set(**(self.at_gateway or closed))

    @activity.defn(name="billing.note_settled")
    async def note_settled(self, key: InvoiceKey) -> None:
        self.note("note_settled")

    @activity.defn(name="notify.send_payment_request")
    async def send_request(self, what: OrderInvoice) -> None:
        self.note("send_request", at_partner=True)


@workflow.defn(name="Refund", sandboxed=False)
class RefundStandIn:
    @workflow.run
    async def run(self, refund: RefundInput) -> RefundResult:
        return RefundResult(payment_ref=refund.payment_ref, outcome="processed")


@workflow.defn(name="LabOrder", sandboxed=False)
class OrderStandIn:
    def __init__(self) -> None:
        self._told: list[str] = []

    @workflow.run
    async def run(self) -> list[str]:
        await workflow.wait_condition(lambda: bool(self._told), timeout=timedelta(days=900))
        return self._told

    @workflow.signal
    async def payment_settled(self, ref: InvoiceRef) -> None:
        self._told.append(ref.invoice_no)


WORKFLOWS = [PaymentWorkflow, RefundStandIn, OrderStandIn]
Payment = WorkflowHandle[PaymentWorkflow, PaymentResult]


def counter(mode: CollectionMode = CollectionMode.LINK, **changes: object) -> Counter:
    facts = PaymentFacts(
        invoice_no=INVOICE_NO, branch="DEL", mode=mode, state=InvoiceState.ISSUED, due_paise=45_000, entries=1
    )
    return Counter(facts.model_copy(update=changes))


async def start(client: Client, **policy: object) -> Payment:
    payment = PaymentPolicy.model_validate({"partner": QUICK, "late_capture_for": timedelta(0), **policy})
    return await client.start_workflow(
        PaymentWorkflow.run,
        PaymentInput(lab="LAB1", order_no=ORDER_NO, invoice_no=INVOICE_NO, policies=LabPolicies(payment=payment)),
        id=ids.payment_workflow_id(INVOICE_NO),
        task_queue=queues.ORCHESTRATION,
    )


def event(row_id: str = "e1") -> PartnerEventRef:
    return PartnerEventRef(event_row_id=row_id, source="razorpay", kind="payment_link.paid")


PAID_BY_LINK = {
    "due_paise": 0,
    "state": InvoiceState.PAID,
    "link_state": "paid",
    "open_links": 0,
    "captured": ("pay_1",),
}


async def test_a_link_is_sent_and_paid_and_the_order_is_told(lab_client: Client):
    desk = counter()
    async with running(lab_client, WORKFLOWS, desk):
        order = await lab_client.start_workflow(
            OrderStandIn.run, id=ids.order_workflow_id("LAB1", ORDER_NO), task_queue=queues.ORCHESTRATION
        )
        handle = await start(lab_client)
        await desk.called("send_request")
        desk.at_gateway = PAID_BY_LINK
        await handle.signal("partner_event_received", event())
        assert (await handle.result()).outcome == "paid"
        await keep_history(handle, "payment/paid_by_link")
        assert await order.result() == [INVOICE_NO]
        assert desk.calls.count("note_settled") == 1
        assert "close" not in desk.calls


async def test_without_a_webhook_the_gateway_is_asked(lab_client: Client, clock: TimeSkipper):
    desk = counter()
    async with running(lab_client, WORKFLOWS, desk):
        handle = await start(clock.client)
        await desk.called("send_request")
        desk.at_gateway = PAID_BY_LINK
        await clock.fast_forward(handle, timedelta(minutes=16))
        assert (await handle.result()).outcome == "paid"


async def test_the_same_event_twice_is_looked_at_once(lab_client: Client):
    desk = counter()
    async with running(lab_client, WORKFLOWS, desk):
        handle = await start(lab_client)
        await desk.called("send_request")
        await handle.signal("partner_event_received", event("e1"))
        await desk.called("refresh")
        await handle.signal("partner_event_received", event("e1"))
        await handle.signal("partner_event_received", event("e2"))
        await desk.called("refresh", 2)
        desk.at_gateway = PAID_BY_LINK
        await handle.signal("partner_event_received", event("e3"))
        await handle.result()
        assert desk.calls.count("refresh") == 3


async def test_nothing_to_pay_is_done_at_once(lab_client: Client):
    desk = counter(due_paise=0, state=InvoiceState.PAID)
    async with running(lab_client, WORKFLOWS, desk):
        handle = await start(lab_client)
        assert (await handle.result()).outcome == "paid"
        assert desk.calls == ["measure", "note_settled"]


async def test_money_at_the_counter_closes_the_link_and_a_second_payment_goes_back(lab_client: Client):
    desk = counter()
    async with running(lab_client, WORKFLOWS, desk):
        handle = await start(lab_client)
        await desk.called("send_request")
        # the customer paid the link while the money was being counted
        desk.at_gateway = {"open_links": 0, "link_state": "paid", "due_paise": -45_000, "refundable": ("pay_1",)}
        await handle.execute_update("record_payment", desk.command(lambda own: own.pay()))
        assert (await handle.result()).outcome == "paid"
        await keep_history(handle, "payment/paid_twice")
        refund = await lab_client.get_workflow_handle(ids.refund_workflow_id("pay_1")).result()
        assert refund["outcome"] == "processed"


async def test_a_partial_payment_replaces_the_link_by_one_for_the_rest(lab_client: Client):
    desk = counter()
    async with running(lab_client, WORKFLOWS, desk):
        handle = await start(lab_client)
        await desk.called("send_request")

        def part(own: Counter) -> None:
            own.pay(20_000)
            own.set(is_link_stale=True)

        await handle.execute_update("record_payment", desk.command(part))
        await handle.signal("partner_event_received", event())
        await desk.called("create", 2)
        assert desk.calls.index("close") < len(desk.calls) - desk.calls[::-1].index("create")
        desk.at_gateway = PAID_BY_LINK
        await handle.signal("partner_event_received", event("e2"))
        assert (await handle.result()).outcome == "paid"


async def test_a_payment_that_is_refused_leaves_the_run_waiting(lab_client: Client):
    def refuse(_: Counter) -> None:
        raise RuleError("more than is owed", code="OVERPAYMENT")

    desk = counter(CollectionMode.COUNTER)
    async with running(lab_client, WORKFLOWS, desk):
        handle = await start(lab_client)
        with pytest.raises(WorkflowUpdateFailedError) as caught:
            await handle.execute_update("record_payment", desk.command(refuse))
        assert caught.value.cause.details[0]["code"] == "OVERPAYMENT"
        await handle.execute_update("record_payment", desk.command(lambda own: own.pay()))
        assert (await handle.result()).outcome == "paid"
        assert "create" not in desk.calls


async def test_credit_shows_as_overdue_and_is_still_awaited(lab_client: Client, clock: TimeSkipper):
    desk = counter(CollectionMode.CREDIT)
    async with running(lab_client, WORKFLOWS, desk):
        handle = await start(clock.client, credit_due=timedelta(days=3))
        await desk.called("measure")
        await clock.fast_forward(handle, timedelta(days=4))
        await desk.raised("Payment:payment", "overdue")
        await handle.execute_update("record_payment", desk.command(lambda own: own.pay()))
        assert (await handle.result()).outcome == "paid"
        assert desk.attention[-1] == ("Payment:payment", "", False)


async def test_an_expired_link_asks_and_retry_makes_a_new_one(lab_client: Client):
    desk = counter()
    async with running(lab_client, WORKFLOWS, desk):
        handle = await start(lab_client)
        await desk.called("send_request")
        desk.at_gateway = {"open_links": 0, "link_state": "expired"}
        await handle.signal("partner_event_received", event())
        await desk.raised("Payment:payment_link", "link_expired")
        await handle.execute_update("resolve_step", desk.decision("payment_link", StepDecision.RETRY))
        await desk.called("send_request", 2)
        assert ("Payment:payment_link", "", False) in desk.attention
        desk.at_gateway = PAID_BY_LINK
        await handle.signal("partner_event_received", event("e2"))
        assert (await handle.result()).outcome == "paid"
        await keep_history(handle, "payment/link_expired")


async def test_an_expired_link_that_is_paid_late_is_honoured(lab_client: Client):
    desk = counter()
    async with running(lab_client, WORKFLOWS, desk):
        handle = await start(lab_client)
        await desk.called("send_request")
        desk.at_gateway = {"open_links": 0, "link_state": "expired"}
        await handle.signal("partner_event_received", event())
        await desk.raised("Payment:payment_link", "link_expired")
        desk.at_gateway = {"due_paise": 0, "state": InvoiceState.PAID, "link_state": "late_paid"}
        await handle.signal("partner_event_received", event("e2"))
        assert (await handle.result()).outcome == "paid"
        assert desk.attention[-1] == ("Payment:payment_link", "", False)


async def test_a_refused_link_is_skipped_and_the_money_taken_by_hand(lab_client: Client):
    desk = counter()
    desk.errors["create"] = [RejectedError("no", code="PARTNER_REJECTED", partner_code="X")] * 2
    async with running(lab_client, WORKFLOWS, desk):
        handle = await start(lab_client)
        await desk.raised("Payment:create_payment_link", "PARTNER_REJECTED")
        await handle.execute_update("resolve_step", desk.decision("create_payment_link", StepDecision.RETRY))
        await desk.called("create", 2)
        await handle.execute_update("resolve_step", desk.decision("create_payment_link", StepDecision.SKIP))
        await handle.execute_update("record_payment", desk.command(lambda own: own.pay()))
        assert (await handle.result()).outcome == "paid"
        await keep_history(handle, "payment/link_refused")
        assert "send_request" not in desk.calls


async def test_cash_is_taken_while_the_gateway_is_away(lab_client: Client):
    desk = counter(CollectionMode.LINK)
    desk.is_down = True
    async with running(lab_client, WORKFLOWS, desk):
        handle = await start(lab_client, partner=IMPATIENT)
        await desk.called("create", 2)
        await desk.raised("Payment:create_payment_link", "overdue")
        await handle.execute_update("record_payment", desk.command(lambda own: own.pay()))
        desk.is_down = False
        assert (await handle.result()).outcome == "paid"
        # an attempt may have made a link after all: it is looked for
        assert desk.calls.count("close") >= 1


async def test_a_patient_who_cannot_be_written_to_blocks_nothing(lab_client: Client):
    desk = counter()
    desk.errors["send_request"] = [RequestError("no phone", code="NO_ADDRESS")]
    async with running(lab_client, WORKFLOWS, desk):
        handle = await start(lab_client)
        await desk.called("send_request")
        desk.at_gateway = PAID_BY_LINK
        await handle.signal("partner_event_received", event())
        assert (await handle.result()).outcome == "paid"
        assert not desk.attention


async def test_a_reversal_stops_the_collection_and_closes_the_link(lab_client: Client):
    desk = counter()
    async with running(lab_client, WORKFLOWS, desk):
        handle = await start(lab_client)
        await desk.called("send_request")
        for _ in range(2):
            await handle.signal("collection_stopped", InvoiceRef(invoice_no=INVOICE_NO))
        assert (await handle.result()).outcome == "stopped"
        await keep_history(handle, "payment/stopped")
        assert desk.calls.count("close") == 1
        assert "note_settled" not in desk.calls


async def test_a_reversal_ends_a_step_that_waits_for_a_person(lab_client: Client):
    desk = counter()
    desk.errors["create"] = [RejectedError("no", partner_code="X")]
    async with running(lab_client, WORKFLOWS, desk):
        handle = await start(lab_client)
        await desk.raised("Payment:create_payment_link", "PARTNER_REJECTED")
        await handle.signal("collection_stopped", InvoiceRef(invoice_no=INVOICE_NO))
        assert (await handle.result()).outcome == "stopped"
        assert desk.attention[-1] == ("Payment:create_payment_link", "", False)


async def test_a_link_paid_while_it_is_stopped_ends_as_paid_and_goes_back(lab_client: Client):
    desk = counter()
    async with running(lab_client, WORKFLOWS, desk):
        handle = await start(lab_client)
        await desk.called("send_request")
        desk.at_gateway = {**PAID_BY_LINK, "is_reversed": True, "refundable": ("pay_1",)}
        await handle.signal("collection_stopped", InvoiceRef(invoice_no=INVOICE_NO))
        assert (await handle.result()).outcome == "paid"
        assert await lab_client.get_workflow_handle(ids.refund_workflow_id("pay_1")).result()


async def _is_refunded(client: Client, payment_ref: str) -> bool:
    found = client.list_workflows(f"WorkflowId = '{ids.refund_workflow_id(payment_ref)}'")
    return len([run async for run in found]) == 1


async def test_money_that_a_bank_confirms_after_the_stop_goes_back(lab_client: Client, clock: TimeSkipper):
    desk = counter()
    async with running(lab_client, WORKFLOWS, desk):
        handle = await start(clock.client, late_capture_for=timedelta(hours=3))
        await desk.called("send_request")
        await handle.signal("collection_stopped", InvoiceRef(invoice_no=INVOICE_NO))
        await desk.called("close")
        desk.at_gateway = {"state": InvoiceState.CANCELLED, "captured": ("pay_9",), "refundable": ("pay_9",)}
        await handle.signal("partner_event_received", event())
        await eventually(lambda: _is_refunded(lab_client, "pay_9"))
        await clock.fast_forward(handle, timedelta(days=4))
        assert (await handle.result()).outcome == "stopped"


async def test_it_goes_on_where_another_worker_left_off(lab_client: Client):
    desk = counter()
    async with running(lab_client, WORKFLOWS, desk, cached=0):
        handle = await start(lab_client)
        await desk.called("send_request")
        await handle.signal("partner_event_received", event())
        await desk.called("refresh")
    async with running(lab_client, WORKFLOWS, desk, cached=0):
        desk.at_gateway = PAID_BY_LINK
        await handle.signal("partner_event_received", event("e2"))
        assert (await handle.result()).outcome == "paid"
        assert desk.calls.count("create") == 1


async def test_money_is_refused_once_the_collection_is_over(lab_client: Client, clock: TimeSkipper):
    desk = counter()
    async with running(lab_client, WORKFLOWS, desk):
        handle = await start(clock.client, late_capture_for=timedelta(days=3))
        await desk.called("send_request")
        await handle.signal("collection_stopped", InvoiceRef(invoice_no=INVOICE_NO))
        await desk.called("close")
        with pytest.raises(WorkflowUpdateFailedError) as caught:
            await handle.execute_update("record_payment", desk.command(lambda own: own.pay()))
        assert caught.value.cause.details[0]["code"] == "PAYMENT_CLOSED"
        await handle.terminate()
