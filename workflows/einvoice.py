"""EInvoice: gets the registration number (IRN) that the law wants for a tax document.

prepared → not required | checked → sent → registered | skipped | withdrawn (the document is taken back)

Started by LabOrder for each document and by InvoiceReversal for a credit note. Staff retry, skip, or answer with the
registration that they made on the portal. Lives until there is a registration, or surely none. Sets LabAttention.
Cancelling the run cancels no registration: reverse the invoice instead.
"""

from __future__ import annotations

from datetime import timedelta

from temporalio import workflow
from temporalio.exceptions import ActivityError

with workflow.unsafe.imports_passed_through():
    from activities.billing import InvoiceKey
    from activities.einvoicing import EInvoiceActivities, EInvoiceFacts, StaffDecision
    from domain.enums import EInvoiceState, StepDecision
    from domain.messages import (
        CommandKind,
        CommandOutcome,
        EInvoiceInput,
        EInvoiceResult,
        InvoiceRef,
        SignalName,
        StepCommandRef,
        WorkflowType,
    )
    from workflows import queues
    from workflows.details import details
    from workflows.failures import failure_of
    from workflows.options import DB, partner
    from workflows.partner_steps import RECHECK, PartnerSteps, StepResult

CHECK = "check_document"
SUBMIT = "submit_document"
GENERATE = "generate_irn"

MANUAL = "manual"
BATCH = "batch"


@workflow.defn(name=WorkflowType.EINVOICE.value)
class EInvoiceWorkflow:
    """Invariants: a document is registered at most once; nothing is sent for one that was taken back."""

    @workflow.init
    def __init__(self, einvoice: EInvoiceInput) -> None:
        self._einvoice = einvoice
        self._policy = einvoice.policies.einvoice
        self._key = InvoiceKey(invoice_no=einvoice.invoice_no)
        self._steps = PartnerSteps(WorkflowType.EINVOICE.value, einvoice.order_no)
        self._facts: EInvoiceFacts | None = None
        self._is_withdrawn = False
        self._is_released = False
        self._refused = ""

    @workflow.run
    async def run(self, _einvoice: EInvoiceInput) -> EInvoiceResult:
        """Carry the document to its registration and return how it ended."""
        await self._prepare()
        while not self._is_over:
            if self._known.findings:
                await self._correct()
            elif self._known.submission.value != "now" and not self._is_released:
                await self._hold()
            else:
                await self._generate()
        await workflow.wait_condition(workflow.all_handlers_finished)
        await self._prepare()
        self._show("done", "nothing")
        return EInvoiceResult(invoice_no=self._einvoice.invoice_no, state=self._known.state, irn=self._known.irn)

    async def _prepare(self) -> None:
        self._facts = await workflow.execute_activity_method(
            EInvoiceActivities.prepare, self._key, **DB, summary=f"Check {self._einvoice.invoice_no}"
        )

    async def _correct(self) -> None:
        """The portal would refuse the document: show what is wrong and let staff decide."""
        self._show("the portal would refuse it", "a decision")
        await self._steps.ask(CHECK, self._refused or f"portal_{self._known.findings[0].lower()}")
        decided: StepResult[EInvoiceFacts] | None = await self._steps.decide(CHECK, lambda: self._is_over)
        if decided is None:
            await self._prepare()
        else:
            await self._take(decided)
        await self._steps.settle(CHECK)

    async def _hold(self) -> None:
        """The lab's policy sends it later, or when somebody says so."""
        in_batch = self._known.submission.value == BATCH
        self._show("held by the lab's policy", "its batch" if in_batch else "somebody to send it")
        if not in_batch:
            await self._steps.ask(SUBMIT, MANUAL)
        waited = await self._decided(SUBMIT, self._policy.batch_after if in_batch else RECHECK)
        if waited is not None and waited.decision is not StepDecision.RETRY:
            await self._take(StepResult(value=None, decision=waited.decision, command_id=waited.command_id))
        self._is_released = in_batch or (waited is not None and waited.decision is StepDecision.RETRY)
        await self._steps.settle(SUBMIT)

    async def _decided(self, step: str, within: timedelta) -> StepCommandRef | None:
        """Wait for staff's decision, at most so long, or until nobody needs it."""
        try:
            await workflow.wait_condition(
                lambda: self._steps.has_decision(step) or self._is_over, timeout=within, timeout_summary="Held"
            )
        except TimeoutError:
            return None
        return self._steps.take_decision(step)

    async def _generate(self) -> None:
        """Register the document; what the portal refuses, staff decide."""
        self._show("being registered", "the portal")
        ended = await self._steps.run(GENERATE, self._start_generate, self._policy.partner, until=lambda: self._is_over)
        await self._take(ended)

    async def _take(self, ended: StepResult[EInvoiceFacts]) -> None:
        """Take what the portal said, or what staff decided; an answer that cannot be used changes nothing."""
        if ended.value is not None:
            self._facts = ended.value
        elif ended.decision is not None:
            by_hand = ended.decision is StepDecision.ANSWER
            decision = StaffDecision(invoice_no=self._einvoice.invoice_no, command_id=ended.command_id)
            try:
                self._facts = await workflow.execute_activity_method(
                    EInvoiceActivities.answer if by_hand else EInvoiceActivities.skip,
                    decision,
                    **DB,
                    summary="Keep the registration made by hand" if by_hand else "Go on without an IRN",
                )
            except ActivityError as error:
                self._refused = failure_of(error).code

    def _start_generate(self) -> workflow.ActivityHandle[EInvoiceFacts]:
        return workflow.start_activity_method(
            EInvoiceActivities.generate,
            self._key,
            **partner(self._policy.partner, queues.EINVOICE),
            # whoever takes the document back waits for an attempt that is on its way
            cancellation_type=workflow.ActivityCancellationType.WAIT_CANCELLATION_COMPLETED,
            summary=f"IRP: register {self._einvoice.invoice_no}",
        )

    @workflow.update(name=CommandKind.RESOLVE_STEP.value, description="Retry, skip or answer a step by hand")
    async def resolve_step(self, ref: StepCommandRef) -> CommandOutcome:
        """Retry, skip or answer a step by hand."""
        return await self._steps.resolve(ref)

    @resolve_step.validator
    def _refuse_unknown_step(self, ref: StepCommandRef) -> None:
        self._steps.check(ref)

    @workflow.signal(name=SignalName.DOCUMENT_WITHDRAWN.value, description="The document is taken back")
    def document_withdrawn(self, _ref: InvoiceRef) -> None:
        """The document is taken back."""
        self._is_withdrawn = True

    @property
    def _known(self) -> EInvoiceFacts:
        if self._facts is None:
            raise RuntimeError("the document was not read yet")
        return self._facts

    @property
    def _is_over(self) -> bool:
        return self._is_withdrawn or self._known.state is not EInvoiceState.PENDING

    def _show(self, title: str, waits_for: str) -> None:
        facts = {
            "E-invoice": self._known.state.value,
            "Findings": ", ".join(self._known.findings) or "none",
            "Sent": "yes" if self._known.is_sent else "no",
            "Last answer by hand": f"refused: {self._refused}" if self._refused else "none",
        }
        name = f"{self._einvoice.invoice_no}: {title}"
        workflow.set_current_details(details(name, waits_for, facts, self._steps.waiting))
