"""EInvoice against stand-in activities: what is registered, held, refused, answered, withdrawn."""

from datetime import timedelta

import pytest
from temporalio import activity
from temporalio.client import Client, WorkflowHandle, WorkflowUpdateFailedError
from temporalio.testing import TimeSkipper

from activities.billing import InvoiceKey
from activities.einvoicing import EInvoiceFacts, StaffDecision
from domain import ids
from domain.enums import EInvoiceState, StepDecision
from domain.errors import RejectedError, RuleError
from domain.messages import EInvoiceInput, EInvoiceResult, InvoiceRef
from domain.policies import EInvoicePolicy, LabPolicies
from rules.gst import SubmissionMode
from tests.fixtures.workflows import running
from tests.workflows.standins import IMPATIENT, INVOICE_NO, ORDER_NO, QUICK, Desk, keep_history
from workflows import queues
from workflows.einvoice import EInvoiceWorkflow

WORKFLOWS = [EInvoiceWorkflow]


class Registrar(Desk):
    """Stands in for the document's row and the portal."""

    def __init__(self, **facts: object) -> None:
        super().__init__()
        self.facts = EInvoiceFacts.model_validate(
            {"invoice_no": INVOICE_NO, "state": EInvoiceState.PENDING, "irn": "a" * 64, **facts}
        )

    def set(self, **changes: object) -> EInvoiceFacts:
        self.facts = self.facts.model_copy(update=changes)
        return self.facts

    @activity.defn(name="einvoice.prepare")
    async def prepare(self, key: InvoiceKey) -> EInvoiceFacts:
        self.note("prepare")
        return self.facts

    @activity.defn(name="einvoice.generate")
    async def generate(self, key: InvoiceKey) -> EInvoiceFacts:
        self.note("generate", at_partner=True)
        return self.set(state=EInvoiceState.GENERATED)

    @activity.defn(name="einvoice.answer")
    async def answer(self, decision: StaffDecision) -> EInvoiceFacts:
        self.note("answer")
        return self.set(state=EInvoiceState.GENERATED)

    @activity.defn(name="einvoice.skip")
    async def skip(self, decision: StaffDecision) -> EInvoiceFacts:
        self.note("skip")
        return self.set(state=EInvoiceState.SKIPPED)


async def start(client: Client, **policy: object) -> WorkflowHandle[EInvoiceWorkflow, EInvoiceResult]:
    einvoice = EInvoicePolicy.model_validate({"partner": QUICK, **policy})
    return await client.start_workflow(
        EInvoiceWorkflow.run,
        EInvoiceInput(
            lab="LAB1", order_no=ORDER_NO, invoice_no=INVOICE_NO, policies=LabPolicies(einvoice=einvoice)
        ),
        id=ids.einvoice_workflow_id(INVOICE_NO),
        task_queue=queues.ORCHESTRATION,
    )  # fmt: skip


async def test_a_document_without_duty_is_left_alone(lab_client: Client):
    desk = Registrar(state=EInvoiceState.NOT_REQUIRED, irn="")
    async with running(lab_client, WORKFLOWS, desk):
        assert (await (await start(lab_client)).result()).state is EInvoiceState.NOT_REQUIRED
        assert "generate" not in desk.calls


async def test_a_document_is_registered(lab_client: Client):
    desk = Registrar()
    async with running(lab_client, WORKFLOWS, desk, cached=0):
        handle = await start(lab_client)
        ended = await handle.result()
        await keep_history(handle, "einvoice/registered")
        assert (ended.state, ended.irn) == (EInvoiceState.GENERATED, "a" * 64)


async def test_the_portal_away_shows_and_then_registers(lab_client: Client):
    desk = Registrar()
    desk.is_down = True
    async with running(lab_client, WORKFLOWS, desk):
        handle = await start(lab_client, partner=IMPATIENT)
        await desk.raised("EInvoice:generate_irn", "overdue")
        desk.is_down = False
        assert (await handle.result()).state is EInvoiceState.GENERATED
        assert desk.attention[-1] == ("EInvoice:generate_irn", "", False)


@pytest.mark.parametrize(
    ("decision", "ended"),
    [
        (StepDecision.RETRY, EInvoiceState.GENERATED),
        (StepDecision.ANSWER, EInvoiceState.GENERATED),
        (StepDecision.SKIP, EInvoiceState.SKIPPED),
    ],
)
async def test_a_refusal_is_decided_by_staff(lab_client: Client, decision: StepDecision, ended: EInvoiceState):
    desk = Registrar()
    desk.errors["generate"] = [RejectedError("wrong PIN", code="PARTNER_REJECTED", partner_code="3039")]
    async with running(lab_client, WORKFLOWS, desk):
        handle = await start(lab_client)
        await desk.raised("EInvoice:generate_irn", "PARTNER_REJECTED")
        await handle.execute_update("resolve_step", desk.decision("generate_irn", decision))
        assert (await handle.result()).state is ended
        assert desk.calls.count("generate") == (2 if decision is StepDecision.RETRY else 1)


async def test_a_wrong_answer_does_not_end_it(lab_client: Client):
    desk = Registrar()
    desk.errors["generate"] = [RejectedError("no", code="PARTNER_REJECTED")] * 2
    desk.errors["answer"] = [RuleError("another IRN", code="EINVOICE_IRN_DIFFERS")]
    async with running(lab_client, WORKFLOWS, desk):
        handle = await start(lab_client)
        await desk.raised("EInvoice:generate_irn", "PARTNER_REJECTED")
        await handle.execute_update("resolve_step", desk.decision("generate_irn", StepDecision.ANSWER))
        await desk.called("generate", 2)
        await desk.raised("EInvoice:generate_irn", "PARTNER_REJECTED")
        await handle.execute_update("resolve_step", desk.decision("generate_irn", StepDecision.RETRY))
        assert (await handle.result()).state is EInvoiceState.GENERATED
        await keep_history(handle, "einvoice/answer_refused")


async def test_what_the_portal_would_refuse_is_not_sent(lab_client: Client):
    desk = Registrar(findings=("3041",))
    async with running(lab_client, WORKFLOWS, desk):
        handle = await start(lab_client)
        await desk.raised("EInvoice:check_document", "portal_3041")
        assert "generate" not in desk.calls
        desk.set(findings=())
        await handle.execute_update("resolve_step", desk.decision("check_document", StepDecision.RETRY))
        assert (await handle.result()).state is EInvoiceState.GENERATED
        await keep_history(handle, "einvoice/findings")


async def test_a_manual_document_waits_for_somebody_to_send_it(lab_client: Client):
    desk = Registrar(submission=SubmissionMode.MANUAL)
    async with running(lab_client, WORKFLOWS, desk):
        handle = await start(lab_client)
        await desk.raised("EInvoice:submit_document", "manual")
        assert "generate" not in desk.calls
        await handle.execute_update("resolve_step", desk.decision("submit_document", StepDecision.RETRY))
        assert (await handle.result()).state is EInvoiceState.GENERATED


async def test_a_batched_document_waits_for_its_batch(lab_client: Client, clock: TimeSkipper):
    desk = Registrar(submission=SubmissionMode.BATCH)
    async with running(lab_client, WORKFLOWS, desk):
        handle = await start(clock.client)
        await desk.called("prepare")
        await clock.fast_forward(handle, timedelta(hours=23))
        assert "generate" not in desk.calls
        await clock.fast_forward(handle, timedelta(hours=2))
        assert (await handle.result()).state is EInvoiceState.GENERATED


@pytest.mark.parametrize("submission", [SubmissionMode.MANUAL, SubmissionMode.NOW])
async def test_a_document_that_is_taken_back_is_not_waited_for(lab_client: Client, submission: SubmissionMode):
    desk = Registrar(submission=submission)
    desk.errors["generate"] = [RejectedError("no", code="PARTNER_REJECTED")]
    async with running(lab_client, WORKFLOWS, desk):
        handle = await start(lab_client)
        waits_at = "submit_document" if submission is SubmissionMode.MANUAL else "generate_irn"
        await desk.raised(f"EInvoice:{waits_at}", "manual" if waits_at == "submit_document" else "PARTNER_REJECTED")
        desk.set(state=EInvoiceState.CANCELLED)
        for _ in range(2):
            await handle.signal("document_withdrawn", InvoiceRef(invoice_no=INVOICE_NO))
        assert (await handle.result()).state is EInvoiceState.CANCELLED
        await keep_history(handle, f"einvoice/withdrawn_{submission.value}")
        assert desk.attention[-1] == (f"EInvoice:{waits_at}", "", False)


async def test_a_decision_about_a_step_that_does_not_wait_is_refused(lab_client: Client):
    desk = Registrar(submission=SubmissionMode.MANUAL)
    async with running(lab_client, WORKFLOWS, desk):
        handle = await start(lab_client)
        await desk.raised("EInvoice:submit_document", "manual")
        with pytest.raises(WorkflowUpdateFailedError) as caught:
            await handle.execute_update("resolve_step", desk.decision("generate_irn", StepDecision.SKIP))
        assert caught.value.cause.details[0]["code"] == "STEP_NOT_WAITING"
        await handle.terminate()
