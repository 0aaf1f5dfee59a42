"""InvoiceReversal against stand-in activities: which way the document goes, when the money is back, who is told."""

from collections.abc import Sequence
from datetime import timedelta

import pytest
from temporalio import activity, workflow
from temporalio.client import Client, WorkflowHandle
from temporalio.common import RawValue

from activities.billing import InvoiceKey
from activities.einvoicing import EInvoiceFacts, IrnCancellation
from activities.reversal import CreditNote, ReversalFacts
from domain import ids
from domain.enums import EInvoiceState, InvoiceState, StepDecision
from domain.errors import NotFoundError, RejectedError
from domain.messages import RefundInput, RefundResult, ReversalInput, ReversalResult
from domain.policies import EInvoicePolicy, LabPolicies, RefundPolicy
from tests.fixtures.workflows import eventually, running
from tests.workflows.standins import IMPATIENT, INVOICE_NO, ORDER_NO, QUICK, Desk, keep_history
from workflows import queues
from workflows.invoice_reversal import InvoiceReversalWorkflow

NOTE_NO = "DELC2627-000001"


class Bookkeeper(Desk):
    """Stands in for the ledger and the portal."""

    def __init__(self, einvoice: EInvoiceState = EInvoiceState.NOT_REQUIRED, **facts: object) -> None:
        super().__init__()
        self.facts = ReversalFacts.model_validate(
            {
                "invoice_no": INVOICE_NO, "order_no": ORDER_NO, "branch": "DEL", "state": InvoiceState.ISSUED,
                "is_marked": True, "is_settled": True, **facts,
            }
        )  # fmt: skip
        self.einvoice = EInvoiceFacts(invoice_no=INVOICE_NO, state=einvoice, irn="a" * 64)
        self.is_window_open = True
        self.is_found = False
        self.note_requires_irn = True

    def set(self, **changes: object) -> ReversalFacts:
        self.facts = self.facts.model_copy(update=changes)
        return self.facts

    @activity.defn(name="billing.reversal_facts")
    async def reversal_facts(self, key: InvoiceKey) -> ReversalFacts:
        self.note("facts")
        return self.facts

    @activity.defn(name="billing.begin_reversal")
    async def begin_reversal(self, key: InvoiceKey) -> ReversalFacts:
        self.note("begin")
        return self.facts

    @activity.defn(name="billing.cancel_invoice")
    async def cancel_invoice(self, key: InvoiceKey) -> None:
        self.note("cancel_invoice")

    @activity.defn(name="billing.issue_credit_note")
    async def issue_credit_note(self, key: InvoiceKey) -> CreditNote:
        self.note("issue_credit_note")
        return CreditNote(document_no=NOTE_NO, requires_irn=self.note_requires_irn)

    @activity.defn(name="einvoice.withdraw")
    async def withdraw(self, key: InvoiceKey) -> EInvoiceFacts:
        self.note("withdraw")
        return self.einvoice

    @activity.defn(name="einvoice.look_up")
    async def look_up(self, key: InvoiceKey) -> EInvoiceFacts:
        self.note("look_up", at_partner=True)
        state = EInvoiceState.GENERATED if self.is_found else EInvoiceState.CANCELLED
        return self.einvoice.model_copy(update={"state": state})

    @activity.defn(name="einvoice.cancel_irn")
    async def cancel_irn(self, key: InvoiceKey) -> IrnCancellation:
        self.note("cancel_irn", at_partner=True)
        return IrnCancellation(is_cancelled=self.is_window_open)

    @activity.defn(name="einvoice.note_cancelled")
    async def note_cancelled(self, key: InvoiceKey) -> None:
        self.note("note_cancelled")


@workflow.defn(name="Refund", sandboxed=False)
class RefundStandIn:
    @workflow.run
    async def run(self, refund: RefundInput) -> RefundResult:
        return RefundResult(payment_ref=refund.payment_ref, outcome="processed")


@workflow.defn(dynamic=True, sandboxed=False)
class Listener:
    """Stands in for Payment, EInvoice and LabOrder: ends when it is signalled, with the signal's name."""

    def __init__(self) -> None:
        self._heard = ""

    @workflow.run
    async def run(self, _arguments: Sequence[RawValue]) -> str:
        await workflow.wait_condition(lambda: bool(self._heard), timeout=timedelta(days=900))
        return self._heard

    @workflow.signal(dynamic=True)
    def heard(self, name: str, _arguments: Sequence[RawValue]) -> None:
        self._heard = name


WORKFLOWS = [InvoiceReversalWorkflow, RefundStandIn, Listener]
Reversal = WorkflowHandle[InvoiceReversalWorkflow, ReversalResult]


async def start(client: Client, **einvoice: object) -> Reversal:
    policies = LabPolicies(
        refund=RefundPolicy(partner=QUICK, poll_every=timedelta(milliseconds=100)),
        einvoice=EInvoicePolicy.model_validate({"partner": QUICK, **einvoice}),
    )
    return await client.start_workflow(
        InvoiceReversalWorkflow.run,
        ReversalInput(lab="LAB1", order_no="", invoice_no=INVOICE_NO, policies=policies),
        id=ids.reversal_workflow_id(INVOICE_NO),
        task_queue=queues.ORCHESTRATION,
    )


async def listener(client: Client, workflow_id: str) -> WorkflowHandle[object, str]:
    return await client.start_workflow("Listener", id=workflow_id, task_queue=queues.ORCHESTRATION, result_type=str)


async def test_a_bill_without_irn_is_cancelled_and_everybody_is_told(lab_client: Client):
    desk = Bookkeeper()
    async with running(lab_client, WORKFLOWS, desk, cached=0):
        payment = await listener(lab_client, ids.payment_workflow_id(INVOICE_NO))
        einvoice = await listener(lab_client, ids.einvoice_workflow_id(INVOICE_NO))
        order = await listener(lab_client, ids.order_workflow_id("LAB1", ORDER_NO))
        handle = await start(lab_client)
        assert (await handle.result()).outcome == "cancelled"
        await keep_history(handle, "invoice_reversal/cancelled")
        assert await payment.result() == "collection_stopped"
        assert await einvoice.result() == "document_withdrawn"
        assert await order.result() == "payment_settled"
        assert desk.calls.count("cancel_invoice") == 1
        assert "cancel_irn" not in desk.calls


async def test_it_waits_for_open_links_and_for_every_refund(lab_client: Client):
    desk = Bookkeeper(open_links=1)
    async with running(lab_client, WORKFLOWS, desk):
        handle = await start(lab_client)
        await desk.called("facts", 4)
        desk.set(open_links=0, refundable=("pay_1", "R-7"))
        for payment_ref in ("pay_1", "R-7"):
            await eventually(lambda ref=payment_ref: _has_run(lab_client, ids.refund_workflow_id(ref)))
        desk.set(refundable=(), refunds_open=("R-7",))
        seen = desk.calls.count("facts")
        await desk.called("facts", seen + 2)
        assert (await handle.describe()).status.name == "RUNNING"
        desk.set(refunds_open=())
        assert (await handle.result()).outcome == "cancelled"
        await keep_history(handle, "invoice_reversal/refunded")


async def _has_run(client: Client, workflow_id: str) -> bool:
    runs = [run async for run in client.list_workflows(f"WorkflowId = '{workflow_id}'")]
    return len(runs) == 1


async def test_an_irn_inside_the_window_is_cancelled(lab_client: Client):
    desk = Bookkeeper(EInvoiceState.GENERATED)
    async with running(lab_client, WORKFLOWS, desk):
        ended = await (await start(lab_client)).result()
        assert (ended.outcome, ended.note_no) == ("irn_cancelled", "")
        assert desk.calls.index("cancel_irn") < desk.calls.index("cancel_invoice")
        assert "issue_credit_note" not in desk.calls


@pytest.mark.parametrize("requires_irn", [True, False])
async def test_an_irn_beyond_the_window_becomes_a_credit_note(lab_client: Client, requires_irn: bool):
    desk = Bookkeeper(EInvoiceState.GENERATED)
    desk.is_window_open, desk.note_requires_irn = False, requires_irn
    async with running(lab_client, WORKFLOWS, desk):
        handle = await start(lab_client)
        ended = await handle.result()
        assert (ended.outcome, ended.note_no) == ("credited", NOTE_NO)
        await keep_history(handle, f"invoice_reversal/credited_{'with' if requires_irn else 'without'}_irn")
        assert "cancel_invoice" not in desk.calls
        assert await _has_run(lab_client, ids.einvoice_workflow_id(NOTE_NO)) is requires_irn


async def test_the_portal_away_until_the_window_is_over(lab_client: Client):
    desk = Bookkeeper(EInvoiceState.GENERATED)
    desk.is_down = True
    async with running(lab_client, WORKFLOWS, desk):
        handle = await start(lab_client, partner=IMPATIENT)
        await desk.raised("InvoiceReversal:cancel_irn", "overdue")
        desk.is_window_open = desk.is_down = False
        assert (await handle.result()).outcome == "credited"
        assert desk.attention[-1] == ("InvoiceReversal:cancel_irn", "", False)


@pytest.mark.parametrize(
    ("decision", "outcome", "noted"), [(StepDecision.SKIP, "credited", 0), (StepDecision.ANSWER, "irn_cancelled", 1)]
)
async def test_a_refused_cancellation_is_decided_by_staff(
    lab_client: Client, decision: StepDecision, outcome: str, noted: int
):
    desk = Bookkeeper(EInvoiceState.GENERATED)
    desk.errors["cancel_irn"] = [RejectedError("an e-way bill hangs on it", code="PARTNER_REJECTED")]
    async with running(lab_client, WORKFLOWS, desk):
        handle = await start(lab_client)
        await desk.raised("InvoiceReversal:cancel_irn", "PARTNER_REJECTED")
        await handle.execute_update("resolve_step", desk.decision("cancel_irn", decision))
        assert (await handle.result()).outcome == outcome
        assert desk.calls.count("note_cancelled") == noted


@pytest.mark.parametrize(("is_found", "outcome"), [(True, "irn_cancelled"), (False, "cancelled")])
async def test_a_document_that_was_sent_before_it_was_withdrawn_is_looked_up(
    lab_client: Client, is_found: bool, outcome: str
):
    desk = Bookkeeper(EInvoiceState.CANCELLED)
    desk.einvoice = desk.einvoice.model_copy(update={"is_sent": True})
    desk.is_found = is_found
    async with running(lab_client, WORKFLOWS, desk):
        assert (await (await start(lab_client)).result()).outcome == outcome
        assert "look_up" in desk.calls


async def test_the_command_that_asks_for_it_is_applied_first(lab_client: Client):
    desk = Bookkeeper(is_marked=False)
    ref = desk.command(lambda own: own.set(is_marked=True, commands=()))
    desk.set(commands=(ref.command_id,))
    async with running(lab_client, WORKFLOWS, desk):
        assert (await (await start(lab_client)).result()).outcome == "cancelled"
        assert desk.calls.index("apply") < desk.calls.index("begin")


async def test_a_refused_command_takes_nothing_back(lab_client: Client):
    def refuse(own: Bookkeeper) -> None:
        own.set(commands=())
        raise NotFoundError("of another order", code="INVOICE_NOT_FOUND")

    desk = Bookkeeper(is_marked=False)
    desk.set(commands=(desk.command(refuse).command_id,))
    async with running(lab_client, WORKFLOWS, desk):
        assert (await (await start(lab_client)).result()).outcome == "refused"
        assert "begin" not in desk.calls
        assert "withdraw" not in desk.calls


async def test_a_ledger_that_does_not_end_at_zero_asks_a_person(lab_client: Client):
    desk = Bookkeeper(is_settled=False)
    async with running(lab_client, WORKFLOWS, desk):
        handle = await start(lab_client)
        await desk.raised("InvoiceReversal:ledger_balance", "ledger_open")
        desk.set(is_settled=True)
        await handle.execute_update("resolve_step", desk.decision("ledger_balance", StepDecision.RETRY))
        assert (await handle.result()).outcome == "cancelled"
        await keep_history(handle, "invoice_reversal/ledger_open")


async def test_a_slow_refund_does_not_hold_the_document_back(lab_client: Client):
    desk = Bookkeeper(EInvoiceState.GENERATED, refunds_open=("pay_1",))
    async with running(lab_client, WORKFLOWS, desk):
        handle = await start(lab_client)
        await desk.called("cancel_irn")
        await desk.called("cancel_invoice")
        assert (await handle.describe()).status.name == "RUNNING"
        desk.set(refunds_open=())
        assert (await handle.result()).outcome == "irn_cancelled"
