"""A bill's life with everything real but the partners, which are simulated: collected, registered, taken back."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

from temporalio import activity
from temporalio.client import Client, WorkflowHandle

from activities.orders import OrderActivities
from activities.placement import PlacedOrder
from domain import ids
from domain.enums import CommandState, EInvoiceState, InvoiceState, LedgerKind
from domain.messages import (
    CommandKind,
    EInvoiceInput,
    OrderInvoice,
    PartnerEventRef,
    PaymentInput,
    ReversalInput,
    WorkflowType,
)
from domain.policies import EInvoicePolicy, LabPolicies, PartnerPolicy, PaymentPolicy, RefundPolicy
from tests.fixtures.counting_house import TAXABLE, CountingHouse
from tests.fixtures.workflows import eventually, running
from workflows import queues
from workflows.einvoice import EInvoiceWorkflow
from workflows.invoice_reversal import InvoiceReversalWorkflow
from workflows.payment import PaymentWorkflow
from workflows.refund import RefundWorkflow

WORKFLOWS = [PaymentWorkflow, RefundWorkflow, EInvoiceWorkflow, InvoiceReversalWorkflow]
QUICK = PartnerPolicy(first_retry=timedelta(milliseconds=50), max_retry=timedelta(milliseconds=200))
POLICIES = LabPolicies(
    payment=PaymentPolicy(late_capture_for=timedelta(0), partner=QUICK),
    refund=RefundPolicy(partner=QUICK, poll_every=timedelta(milliseconds=200)),
    einvoice=EInvoicePolicy(partner=QUICK),
)


class Postman:
    @activity.defn(name="notify.send_payment_request")
    async def send_payment_request(self, what: OrderInvoice) -> None:
        activity.logger.info("asked for the payment of %s", what.invoice_no)


@asynccontextmanager
async def office(client: Client, house: CountingHouse) -> AsyncIterator[None]:
    owners = (house.billing, house.refunds, house.reversal, house.einvoicing, house.commands)
    async with running(client, WORKFLOWS, *owners, OrderActivities(house.database), Postman()):
        yield


async def begin(client: Client, kind: WorkflowType, order: PlacedOrder) -> WorkflowHandle[Any, Any]:
    invoice_no = order.invoices[0].document_no
    common = {"lab": "LAB1", "order_no": order.order_no, "invoice_no": invoice_no, "policies": POLICIES}
    model, workflow_id = {
        WorkflowType.PAYMENT: (PaymentInput, ids.payment_workflow_id(invoice_no)),
        WorkflowType.EINVOICE: (EInvoiceInput, ids.einvoice_workflow_id(invoice_no)),
        WorkflowType.INVOICE_REVERSAL: (ReversalInput, ids.reversal_workflow_id(invoice_no)),
    }[kind]
    return await client.start_workflow(
        kind.value, model.model_validate(common), id=workflow_id, task_queue=queues.ORCHESTRATION
    )


async def take_back(client: Client, house: CountingHouse, order: PlacedOrder) -> tuple[dict[str, str], CommandState]:
    """Ask for the reversal as staff do; return its result and what became of the command."""
    payload: dict[str, object] = {"invoice_no": order.invoices[0].document_no, "reason": "wrong patient billed"}
    ref = await house.command(CommandKind.REVERSE_INVOICE, order, payload)
    handle = await begin(client, WorkflowType.INVOICE_REVERSAL, order)
    ended = await handle.result()
    return ended, (await house.stored_command(ref)).state


async def has_link(house: CountingHouse) -> bool:
    return bool(house.gateway.links)


async def test_a_bill_is_paid_by_link_and_taken_back(lab_client: Client, house: CountingHouse):
    order = await house.order()
    invoice_no = order.invoices[0].document_no
    async with office(lab_client, house):
        payment = await begin(lab_client, WorkflowType.PAYMENT, order)
        await eventually(lambda: has_link(house))
        house.gateway.pay(next(iter(house.gateway.links)))
        for row_id in ("e1", "e1", "e2"):
            event = PartnerEventRef(event_row_id=row_id, source="razorpay", kind="payment.captured")
            await payment.signal("partner_event_received", event)
        assert (await payment.result())["outcome"] == "paid"
        ended, command = await take_back(lab_client, house, order)
    assert (ended["outcome"], command) == ("cancelled", CommandState.APPLIED)
    assert [entry.kind for entry in await house.ledger(invoice_no)].count(LedgerKind.REFUND) == 1
    assert await house.balance(invoice_no) == 0
    assert len(house.gateway.refunds) == 1


async def test_an_unpaid_bill_is_taken_back_and_its_link_closed(lab_client: Client, house: CountingHouse):
    order = await house.order()
    async with office(lab_client, house):
        payment = await begin(lab_client, WorkflowType.PAYMENT, order)
        await eventually(lambda: has_link(house))
        ended, _ = await take_back(lab_client, house, order)
        assert (await payment.result())["outcome"] == "stopped"
    assert ended["outcome"] == "cancelled"
    assert next(iter(house.gateway.links.values()))["status"] == "cancelled"
    assert await house.balance(order.invoices[0].document_no) == 0


async def test_an_irn_is_cancelled_in_time(lab_client: Client, house: CountingHouse):
    order = await house.order(TAXABLE, payer="GRAMCARE")
    invoice_no = order.invoices[0].document_no
    async with office(lab_client, house):
        registered = await (await begin(lab_client, WorkflowType.EINVOICE, order)).result()
        assert registered["state"] == EInvoiceState.GENERATED
        ended, _ = await take_back(lab_client, house, order)
    assert ended["outcome"] == "irn_cancelled"
    assert house.portal.registered[registered["irn"]].cancelled_at is not None
    assert (await house.invoice(invoice_no)).state is InvoiceState.CANCELLED
    assert (await house.einvoice(invoice_no)).state is EInvoiceState.CANCELLED
    assert await house.balance(invoice_no) == 0


async def test_an_irn_is_credited_after_its_window(lab_client: Client, house: CountingHouse):
    order = await house.order(TAXABLE, payer="GRAMCARE")
    invoice_no = order.invoices[0].document_no
    async with office(lab_client, house):
        await (await begin(lab_client, WorkflowType.EINVOICE, order)).result()
        house.clock.forward(hours=30)
        ended, _ = await take_back(lab_client, house, order)
        note_no = ended["note_no"]
        note = await lab_client.get_workflow_handle(ids.einvoice_workflow_id(note_no)).result()
    assert (ended["outcome"], note["state"]) == ("credited", EInvoiceState.GENERATED)
    assert (await house.invoice(invoice_no)).state is InvoiceState.CREDITED
    assert await house.balance(invoice_no) == 0
    assert len(house.portal.registered) == 2


async def test_a_document_that_was_never_registered_is_withdrawn(lab_client: Client, house: CountingHouse):
    order = await house.order(TAXABLE, payer="GRAMCARE")
    invoice_no = order.invoices[0].document_no
    house.portal_faults.down = True
    async with office(lab_client, house):
        einvoice = await begin(lab_client, WorkflowType.EINVOICE, order)
        await eventually(lambda: _was_sent(house, invoice_no))
        house.clock.forward(minutes=10)
        reversal = begin(lab_client, WorkflowType.INVOICE_REVERSAL, order)
        await house.command(CommandKind.REVERSE_INVOICE, order, {"invoice_no": invoice_no, "reason": "by mistake"})
        handle = await reversal
        assert (await einvoice.result())["state"] == EInvoiceState.CANCELLED
        house.portal_faults.down = False
        house.clock.forward(minutes=10)
        assert (await handle.result())["outcome"] == "cancelled"
    assert not house.portal.registered
    assert await house.balance(invoice_no) == 0


async def _was_sent(house: CountingHouse, invoice_no: str) -> bool:
    return "sent_at" in (await house.einvoice(invoice_no)).rules
