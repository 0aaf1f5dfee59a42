"""Refund: gives back one captured payment.

requested → pending → processed | failed → requested again | answered by hand | skipped

Started by Payment (more was paid than owed, or money came late) or by InvoiceReversal. The inbox signals that
something happened at the gateway. Money that was taken at the counter is given back by a person, who answers the step.
Lives until the gateway has processed it or staff decide against it. Sets LabAttention. Cancelling the run recalls
nothing.
"""

from __future__ import annotations

from typing import Literal

from temporalio import workflow
from temporalio.exceptions import ActivityError

with workflow.unsafe.imports_passed_through():
    from activities.refunds import RefundActivities, RefundDecision, RefundFacts, RefundKey
    from domain.enums import RefundState, StepDecision
    from domain.messages import (
        CommandKind,
        CommandOutcome,
        PartnerEventRef,
        RefundInput,
        RefundResult,
        SignalName,
        StepCommandRef,
        WorkflowType,
    )
    from workflows import queues
    from workflows.details import details
    from workflows.failures import failure_of
    from workflows.options import DB, partner
    from workflows.partner_steps import PartnerSteps, StepResult

BY_HAND = "refund_by_hand"
FAILED = "refund_failed"


@workflow.defn(name=WorkflowType.REFUND.value)
class RefundWorkflow:
    """Invariants: one payment is given back once; the gateway is asked only under a key that is in the row already."""

    @workflow.init
    def __init__(self, refund: RefundInput) -> None:
        self._refund = refund
        self._policy = refund.policies.refund
        self._key = RefundKey(invoice_no=refund.invoice_no, payment_ref=refund.payment_ref)
        self._steps = PartnerSteps(WorkflowType.REFUND.value, refund.order_no)
        self._facts = RefundFacts()
        self._seen: set[str] = set()
        self._has_news = False
        self._refused = ""

    @workflow.run
    async def run(self, _refund: RefundInput) -> RefundResult:
        """Carry the refund to its end and return how it ended."""
        self._facts = await workflow.execute_activity_method(
            RefundActivities.open_refund, self._key, **DB, summary=f"Open the refund of {self._refund.payment_ref}"
        )
        while not self._is_done:
            if self._facts.is_by_hand:
                await self._by_hand(BY_HAND)
            elif self._facts.state is RefundState.FAILED:
                await self._by_hand(FAILED)
            elif self._facts.state is RefundState.REQUESTED:
                await self._request()
            else:
                await self._follow()
        await workflow.wait_condition(workflow.all_handlers_finished)
        self._show("done", "nothing")
        return RefundResult(payment_ref=self._refund.payment_ref, outcome=self._outcome())

    @property
    def _is_done(self) -> bool:
        return not self._facts.is_needed or self._facts.is_closed or self._facts.state is RefundState.PROCESSED

    def _outcome(self) -> Literal["processed", "skipped", "not_needed"]:
        if not self._facts.is_needed:
            return "not_needed"
        return "skipped" if self._facts.is_closed else "processed"

    async def _request(self) -> None:
        """Ask the gateway; what it refuses, staff decide."""
        self._show("asking for the refund", "the gateway")
        await self._take(await self._steps.run("request_refund", self._start_request, self._policy.partner))

    async def _follow(self) -> None:
        """Look at the refund until it is processed or has failed; one that takes long shows."""
        asked_at = workflow.now()
        while self._facts.state is RefundState.PENDING:
            self._show("on its way", "the gateway to process it")
            try:
                await workflow.wait_condition(
                    lambda: self._has_news, timeout=self._policy.poll_every, timeout_summary="Look at the refund"
                )
            except TimeoutError:
                if workflow.now() >= asked_at + self._policy.alert_after:
                    await self._steps.raise_attention("refund_pending", "overdue")
            self._has_news = False
            await self._take(await self._steps.run("refresh_refund", self._start_refresh, self._policy.partner))
        await self._steps.clear("refund_pending")

    async def _by_hand(self, step: str) -> None:
        """Wait for a person: give it back by hand and answer, try again at the gateway, or decide against it."""
        self._show("needs a person", "a decision about the refund")
        await self._steps.ask(step, self._refused or step)
        decided: StepResult[RefundFacts] | None = await self._steps.decide(step)
        if decided is not None:
            await self._take(decided)
        elif not self._facts.is_by_hand:
            self._facts = await workflow.execute_activity_method(
                RefundActivities.renew_refund, self._key, **DB, summary="Prepare another try"
            )
        await self._steps.settle(step)

    async def _take(self, ended: StepResult[RefundFacts]) -> None:
        """Take what the gateway said, or what staff decided; an answer that cannot be used changes nothing."""
        if ended.value is not None:
            self._facts = ended.value
        elif ended.decision is not None:
            by_hand = ended.decision is StepDecision.ANSWER
            decision = RefundDecision(**self._key.model_dump(), command_id=ended.command_id)
            try:
                self._facts = await workflow.execute_activity_method(
                    RefundActivities.answer_refund if by_hand else RefundActivities.close_refund,
                    decision,
                    **DB,
                    summary="Book the refund made by hand" if by_hand else "Close the refund",
                )
            except ActivityError as error:
                self._refused = failure_of(error).code

    @workflow.update(name=CommandKind.RESOLVE_STEP.value, description="Retry, skip or answer a step by hand")
    async def resolve_step(self, ref: StepCommandRef) -> CommandOutcome:
        """Retry, skip or answer a step by hand."""
        return await self._steps.resolve(ref)

    @resolve_step.validator
    def _refuse_unknown_step(self, ref: StepCommandRef) -> None:
        self._steps.check(ref)

    @workflow.signal(name=SignalName.PARTNER_EVENT_RECEIVED.value, description="Something happened at the gateway")
    def partner_event_received(self, ref: PartnerEventRef) -> None:
        """Something happened at the gateway."""
        if ref.event_row_id not in self._seen:
            self._seen.add(ref.event_row_id)
            self._has_news = True

    def _start_request(self) -> workflow.ActivityHandle[RefundFacts]:
        return workflow.start_activity_method(
            RefundActivities.request_refund,
            self._key,
            **partner(self._policy.partner, queues.RAZORPAY),
            cancellation_type=workflow.ActivityCancellationType.WAIT_CANCELLATION_COMPLETED,
            summary=f"Razorpay: refund {self._refund.payment_ref}",
        )

    def _start_refresh(self) -> workflow.ActivityHandle[RefundFacts]:
        return workflow.start_activity_method(
            RefundActivities.refresh_refund,
            self._key,
            **partner(self._policy.partner, queues.RAZORPAY),
            summary=f"Razorpay: look at the refund of {self._refund.payment_ref}",
        )

    def _show(self, title: str, waits_for: str) -> None:
        facts = {"Invoice": self._refund.invoice_no, "Refund": self._facts.state.value}
        name = f"Refund of {self._refund.payment_ref}: {title}"
        workflow.set_current_details(details(name, waits_for, facts, self._steps.waiting))
