"""LabOrder: one order from registration to clinical closure.

registered → collected → received → resulted → verified → authorised → reported → closed | cancelled

Staff act through updates, one per command; results and payments come in as signals from the inbox. What has been
done is counted from PostgreSQL after each of them, so the run holds no truth of its own: it decides what to wait for
and what follows. Payment, EInvoice, ReportDelivery, HealthRecordPush and InvoiceReversal are started here and live
their own life. Lives hours to days. Sets LabStage and LabAttention. Cancellation is a command: it reverses every bill
and completes.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import timedelta

from temporalio import workflow
from temporalio.exceptions import ActivityError

with workflow.unsafe.imports_passed_through():
    from pydantic import BaseModel

    from activities.commands import CommandActivities
    from activities.orders import OrderActivities, OrderRef, OrderStarted
    from activities.reports import IssuedReport, IssueReport, ReportActivities
    from domain import ids
    from domain.enums import OrderStage
    from domain.messages import (
        CommandKind,
        CommandOutcome,
        CommandRef,
        EInvoiceInput,
        InvoiceRef,
        MessageRef,
        OrderInput,
        PaymentInput,
        Progress,
        ReportInput,
        ReversalInput,
        StepCommandRef,
        WorkflowType,
    )
    from workflows import search_attributes
    from workflows.children import start_child
    from workflows.details import details, spoken
    from workflows.failures import failure_of, refusal, refuse
    from workflows.options import DB, RENDER
    from workflows.partner_steps import PartnerSteps, StepFailedError

_ENDED = {OrderStage.REPORTED, OrderStage.CLOSED, OrderStage.CANCELLED}

_WAITS_FOR = {
    OrderStage.REGISTERED: "samples to be collected",
    OrderStage.COLLECTED: "samples to be received in the laboratory",
    OrderStage.RECEIVED: "results",
    OrderStage.RESULTED: "technical verification",
    OrderStage.VERIFIED: "medical authorisation",
    OrderStage.AUTHORISED: "the report to be issued",
    OrderStage.REPORTED: "payment, then release",
    OrderStage.CLOSED: "nothing",
    OrderStage.CANCELLED: "nothing",
}


@workflow.defn(name=WorkflowType.LAB_ORDER.value)
class LabOrderWorkflow:
    """Invariants: no report before every test is authorised; no release before the hold is lifted.

    Commands are applied one at a time, in the order of their arrival.
    """

    @workflow.init
    def __init__(self, order: OrderInput) -> None:
        self._order = order
        self._policy = order.policies.order
        self._progress: Progress | None = None
        self._lock = asyncio.Lock()
        self._seen: set[str] = set()
        self._steps = PartnerSteps(WorkflowType.LAB_ORDER.value, order.order_no)

    @workflow.run
    async def run(self, _order: OrderInput) -> Progress:
        """Carry the order to its end and return how it ended."""
        await self._open()
        await self._bill()
        while self._known.stage not in _ENDED:
            await self._until_authorised()
            await self._issue_report()
        await self._until_released()
        if self._is_cancelled:
            await self._reverse_bills()
        else:
            await self._share_report()
            self._take(await self._call_close())
        await workflow.wait_condition(workflow.all_handlers_finished)
        return self._known

    async def _open(self) -> None:
        info = workflow.info()
        started = OrderStarted(order_no=self._order.order_no, workflow_id=info.workflow_id, run_id=info.run_id)
        progress = await workflow.execute_activity_method(
            OrderActivities.open_order, started, **DB, summary=f"Open {self._order.order_no}"
        )
        self._take(progress)

    async def _bill(self) -> None:
        common = {"lab": self._order.lab, "order_no": self._order.order_no, "policies": self._order.policies}
        for invoice_no in self._known.invoices:
            await self._start(
                WorkflowType.PAYMENT,
                ids.payment_workflow_id(invoice_no),
                PaymentInput.model_validate({**common, "invoice_no": invoice_no}),
                f"Collect payment of {invoice_no}",
            )
            await self._start(
                WorkflowType.EINVOICE,
                ids.einvoice_workflow_id(invoice_no),
                EInvoiceInput.model_validate({**common, "invoice_no": invoice_no}),
                f"E-invoice of {invoice_no}",
            )

    async def _until_authorised(self) -> None:
        """Wait through collection, receipt, analysis and verification; each has its own due time."""
        while self._known.stage is not OrderStage.AUTHORISED and not self._is_cancelled:
            stage = self._known.stage
            moved = await self._waits(self._left(stage), self._due(stage), stage.value)
            if moved:
                await self._steps.clear(stage.value)
            else:
                await self._steps.raise_attention(stage.value, "overdue")

    def _left(self, stage: OrderStage) -> Callable[[], bool]:
        return lambda: self._known.stage is not stage

    def _due(self, stage: OrderStage) -> timedelta:
        if stage in {OrderStage.REGISTERED, OrderStage.COLLECTED}:
            return self._policy.collection_due
        return self._policy.results_due if stage is OrderStage.RECEIVED else self._policy.verification_due

    async def _issue_report(self) -> None:
        """Issue the report; a cancellation or a rerun that came in between makes it refuse, and the count tells."""
        if self._is_cancelled:
            return
        try:
            await self._steps.run("issue_report", self._start_issue, self._policy.partner, handled=("ConflictError",))
        except StepFailedError as error:
            workflow.logger.info("report not issued: %s", error.failure.code)
        await self._measure("Count after the report")

    def _start_issue(self) -> workflow.ActivityHandle[IssuedReport]:
        return workflow.start_activity_method(
            ReportActivities.issue_report,
            IssueReport(order_no=self._order.order_no),
            **RENDER,
            cancellation_type=workflow.ActivityCancellationType.WAIT_CANCELLATION_COMPLETED,
            summary=f"Issue the report of {self._order.order_no}",
        )

    async def _until_released(self) -> None:
        """Hold the report until it is paid, where the lab wants that; staff can lift the hold."""
        while self._is_held:
            if not await self._waits(lambda: not self._is_held, self._policy.payment_due, "unpaid"):
                await self._steps.raise_attention("payment", "unpaid")
        await self._steps.clear("payment")

    async def _share_report(self) -> None:
        report = ReportInput(
            lab=self._order.lab,
            order_no=self._order.order_no,
            report_id=self._known.report_id,
            policies=self._order.policies,
        )
        delivery, push = ids.delivery_workflow_id(report.report_id), ids.record_push_workflow_id(report.report_id)
        await self._start(WorkflowType.REPORT_DELIVERY, delivery, report, f"Deliver report {self._order.order_no}")
        await self._start(WorkflowType.HEALTH_RECORD_PUSH, push, report, f"Link report {self._order.order_no} at ABDM")

    async def _reverse_bills(self) -> None:
        for invoice_no in self._known.invoices:
            await self._start(
                WorkflowType.INVOICE_REVERSAL,
                ids.reversal_workflow_id(invoice_no),
                ReversalInput(
                    lab=self._order.lab,
                    order_no=self._order.order_no,
                    invoice_no=invoice_no,
                    policies=self._order.policies,
                ),
                f"Take back {invoice_no}",
            )

    @workflow.update(name=CommandKind.COLLECT_SAMPLES.value, description="Samples were drawn")
    async def collect_samples(self, ref: CommandRef) -> CommandOutcome:
        """Samples were drawn."""
        return await self._apply(ref, "Note the collection")

    @workflow.update(name=CommandKind.RECEIVE_SAMPLES.value, description="Samples arrived in the laboratory")
    async def receive_samples(self, ref: CommandRef) -> CommandOutcome:
        """Samples arrived in the laboratory."""
        return await self._apply(ref, "Note the receipt")

    @workflow.update(name=CommandKind.REJECT_SAMPLE.value, description="A sample is unfit and is to be drawn again")
    async def reject_sample(self, ref: CommandRef) -> CommandOutcome:
        """A sample is unfit and is to be drawn again."""
        return await self._apply(ref, "Reject the sample")

    @workflow.update(name=CommandKind.RERUN_TESTS.value, description="Tests are to be measured again")
    async def rerun_tests(self, ref: CommandRef) -> CommandOutcome:
        """Tests are to be measured again."""
        return await self._apply(ref, "Open tests for a rerun")

    @workflow.update(name=CommandKind.ENTER_RESULTS.value, description="Results were typed in")
    async def enter_results(self, ref: CommandRef) -> CommandOutcome:
        """Results were typed in."""
        return await self._apply(ref, "Enter results")

    @workflow.update(name=CommandKind.DECIDE_HELD.value, description="Held results were accepted or rejected")
    async def decide_held_results(self, ref: CommandRef) -> CommandOutcome:
        """Held results were accepted or rejected."""
        return await self._apply(ref, "Decide about held results")

    @workflow.update(name=CommandKind.VERIFY_RESULTS.value, description="Results were technically verified")
    async def verify_results(self, ref: CommandRef) -> CommandOutcome:
        """Results were technically verified or sent back."""
        return await self._apply(ref, "Verify results")

    @workflow.update(name=CommandKind.AUTHORISE_REPORT.value, description="Results were medically authorised")
    async def authorise_report(self, ref: CommandRef) -> CommandOutcome:
        """Results were medically authorised or sent back."""
        return await self._apply(ref, "Authorise results")

    @workflow.update(name=CommandKind.CANCEL_ORDER.value, description="Cancel the order and reverse its bills")
    async def cancel_order(self, ref: CommandRef) -> CommandOutcome:
        """Cancel the order; its bills are reversed."""
        return await self._apply(ref, "Cancel the order")

    @workflow.update(name=CommandKind.RELEASE_REPORT.value, description="Release the report although it is not paid")
    async def release_report(self, ref: CommandRef) -> CommandOutcome:
        """Release the report although it is not paid."""
        return await self._apply(ref, "Release the report")

    @collect_samples.validator
    @receive_samples.validator
    @reject_sample.validator
    @rerun_tests.validator
    @enter_results.validator
    @decide_held_results.validator
    @verify_results.validator
    @authorise_report.validator
    @cancel_order.validator
    def _refuse_after_report(self, ref: CommandRef) -> None:  # noqa: ARG002
        stage = self._progress.stage if self._progress else OrderStage.REGISTERED
        if stage in _ENDED:
            raise refuse("ORDER_ENDED", f"the order is {stage.value}", "A corrected report is an amendment.")

    @release_report.validator
    def _refuse_after_release(self, ref: CommandRef) -> None:  # noqa: ARG002
        if self._is_cancelled or (self._progress and self._progress.stage is OrderStage.CLOSED):
            raise refuse("ORDER_ENDED", "the order has ended")

    @workflow.update(name=CommandKind.RESOLVE_STEP.value, description="Retry, skip or answer a step by hand")
    async def resolve_step(self, ref: StepCommandRef) -> CommandOutcome:
        """Retry, skip or answer a step by hand."""
        return await self._steps.resolve(ref)

    @resolve_step.validator
    def _refuse_unknown_step(self, ref: StepCommandRef) -> None:
        self._steps.check(ref)

    @workflow.signal(name="results_received", description="Results of a stored message belong to this order")
    async def results_received(self, ref: MessageRef) -> None:
        """Results of a stored message belong to this order."""
        key = f"{ref.message_id}/{ref.reading}"
        if key not in self._seen:
            self._seen.add(key)
            await self._measure("Count after results came in")

    @workflow.signal(name="payment_settled", description="An invoice of this order is paid")
    async def payment_settled(self, ref: InvoiceRef) -> None:
        """An invoice of this order is paid."""
        if ref.invoice_no not in self._seen:
            self._seen.add(ref.invoice_no)
            await self._measure(f"Count after {ref.invoice_no} was paid")

    @workflow.query(name="stage", description="Where the order is; for debugging, the API reads PostgreSQL")
    def stage(self) -> str:
        """Return where the order is."""
        return self._progress.stage.value if self._progress else OrderStage.REGISTERED.value

    @property
    def _known(self) -> Progress:
        if self._progress is None:
            raise RuntimeError("the order was not opened yet")
        return self._progress

    @property
    def _is_cancelled(self) -> bool:
        return self._progress is not None and self._progress.stage is OrderStage.CANCELLED

    @property
    def _is_held(self) -> bool:
        known = self._known
        if known.stage is not OrderStage.REPORTED:
            return False
        return self._policy.hold_until_paid and bool(known.unpaid) and not known.is_release_overridden

    async def _apply(self, ref: CommandRef, summary: str) -> CommandOutcome:
        """Apply a command through its activity; a refusal goes back to whoever sent it."""
        await workflow.wait_condition(lambda: self._progress is not None)
        # Commands that arrive while one is applied wait here, so each sees what the one before left.
        async with self._lock:
            try:
                applied = await workflow.execute_activity_method(CommandActivities.apply, ref, **DB, summary=summary)
            except ActivityError as error:
                raise refusal(failure_of(error)) from error
            self._take(applied.progress)
        return CommandOutcome(command_id=ref.command_id, stage=applied.progress.stage)

    async def _measure(self, summary: str) -> None:
        async with self._lock:
            progress = await workflow.execute_activity_method(
                OrderActivities.measure_progress, OrderRef(order_no=self._order.order_no), **DB, summary=summary
            )
            self._take(progress)

    async def _call_close(self) -> Progress:
        return await workflow.execute_activity_method(
            OrderActivities.close_order, OrderRef(order_no=self._order.order_no), **DB, summary="Close the order"
        )

    def _take(self, progress: Progress) -> None:
        """Adopt what was counted and show it to operators."""
        if self._progress is None or self._progress.stage is not progress.stage:
            workflow.upsert_search_attributes([search_attributes.STAGE.value_set(progress.stage.value)])
        self._progress = progress
        facts = {
            "Samples": f"{progress.samples_collected} collected, {progress.samples_received} received"
            f" of {progress.samples_total}",
            "Tests": f"{progress.tests_resulted} resulted, {progress.tests_verified} verified,"
            f" {progress.tests_authorised} authorised of {progress.tests_total}",
            "Unpaid": ", ".join(progress.unpaid) or "nothing",
        }
        title = f"{self._order.order_no}: {progress.stage.value}"
        workflow.set_current_details(details(title, _WAITS_FOR[progress.stage], facts, self._steps.waiting))

    async def _waits(self, condition: Callable[[], bool], within: timedelta, what: str) -> bool:
        try:
            await workflow.wait_condition(
                condition, timeout=within, timeout_summary=f"Overdue if {what} for {spoken(within)}"
            )
        except TimeoutError:
            return False
        return True

    async def _start(self, kind: WorkflowType, workflow_id: str, argument: BaseModel, summary: str) -> None:
        await start_child(
            kind,
            workflow_id,
            argument,
            order_no=self._order.order_no,
            branch=self._known.branch,
            summary=summary,
        )
