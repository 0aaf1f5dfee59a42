"""Payment: collects one invoice through a link, at the counter or on account.

open → link sent → paid | expired → new link or by hand | stopped → watched for late money

The inbox signals that something happened at the gateway; what happened is fetched. Staff record money by hand through
an update. LabOrder is told when the invoice is paid. Lives until then, or until InvoiceReversal stops the collection,
and as long afterwards as a bank may still confirm a payment. Sets LabAttention. Cancelling the run closes no link:
reverse the invoice instead.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import datetime, timedelta

from temporalio import workflow
from temporalio.exceptions import ActivityError

with workflow.unsafe.imports_passed_through():
    from activities.billing import BillingActivities, InvoiceKey, LinkOrder, PaymentFacts
    from activities.commands import CommandActivities
    from domain import ids
    from domain.enums import CollectionMode, InvoiceState, StepDecision
    from domain.messages import (
        CommandKind,
        CommandOutcome,
        CommandRef,
        InvoiceRef,
        OrderInvoice,
        PartnerEventRef,
        PaymentInput,
        PaymentResult,
        RefundInput,
        SignalName,
        StepCommandRef,
        WorkflowType,
    )
    from domain.payments import PaymentLinkState
    from workflows import queues
    from workflows.children import start_child
    from workflows.details import details
    from workflows.failures import failure_of, refusal, refuse
    from workflows.notices import tell
    from workflows.options import DB, partner
    from workflows.partner_steps import RECHECK, PartnerSteps, StepFailedError

SLOWEST_POLL = 4
"""A link on which nothing happens is asked about up to this many times rarer than the policy's interval."""

LINK = "payment_link"
"""Name under which staff decide about an expired link."""


@workflow.defn(name=WorkflowType.PAYMENT.value)
class PaymentWorkflow:
    """Invariants: at most one link is open; a captured payment is booked once; more than the bill is given back.

    Everything it knows is read from PostgreSQL by its activities, so a repeated step changes nothing.
    """

    @workflow.init
    def __init__(self, payment: PaymentInput) -> None:
        self._payment = payment
        self._policy = payment.policies.payment
        self._key = InvoiceKey(invoice_no=payment.invoice_no)
        self._steps = PartnerSteps(WorkflowType.PAYMENT.value, payment.order_no)
        self._facts: PaymentFacts | None = None
        self._seen: set[str] = set()
        self._has_news = False
        self._is_stopped = False
        self._is_by_hand = False
        self._is_link_begun = False
        self._quiet_rounds = 0
        self._lock = asyncio.Lock()

    @workflow.run
    async def run(self, _payment: PaymentInput) -> PaymentResult:
        """Collect the invoice and return how it ended."""
        started_at = workflow.now()
        await self._count()
        async with asyncio.TaskGroup() as messages:
            if self._known.mode is CollectionMode.LINK:
                await self._send_link(messages)
            while not self._is_over:
                await self._next_round(messages, started_at)
        await self._steps.settle(LINK)
        await self._steps.clear("payment")
        closed_links = await self._close_links()
        if self._is_paid:
            await self._settle()
        await self._refund()
        if closed_links:
            await self._watch_late_captures()
        await workflow.wait_condition(workflow.all_handlers_finished)
        self._show("done", "nothing")
        return PaymentResult(invoice_no=self._payment.invoice_no, outcome="paid" if self._is_paid else "stopped")

    async def _next_round(self, messages: asyncio.TaskGroup, started_at: datetime) -> None:
        """Wait for something to happen, look, and mind what has run out."""
        self._show("collecting", "money" if self._is_by_hand or not self._known.open_links else "the link to be paid")
        await self._until_news(self._pause(started_at))
        await self._look()
        if self._is_over:
            return
        if self._known.mode is CollectionMode.LINK and not self._is_by_hand:
            await self._mind_link(messages)
        elif self._known.mode is CollectionMode.CREDIT and workflow.now() >= started_at + self._policy.credit_due:
            await self._steps.raise_attention("payment", "overdue")

    async def _send_link(self, messages: asyncio.TaskGroup) -> None:
        """Make a link and send it; the message may take its time while money comes in."""
        if self._is_over:
            return
        self._show("making a payment link", "the gateway")
        self._is_link_begun = True
        made = await self._ask_gateway("create_payment_link", self._start_create)
        if made is StepDecision.SKIP or made is StepDecision.ANSWER:
            self._is_by_hand = True
        elif self._known.open_links:
            messages.create_task(self._send_request())

    async def _send_request(self) -> None:
        """Send the link to the patient; without a way to reach the patient it is shown at the counter."""
        try:
            await self._steps.run(
                "send_payment_request",
                self._start_message,
                self._policy.partner,
                handled=("RejectedError", "RequestError", "RuleError", "NotFoundError", "ConflictError"),
                until=lambda: self._is_over,
            )
        except StepFailedError as error:
            workflow.logger.info("payment request not sent: %s", error.failure.code)

    async def _look(self) -> None:
        """Fetch what happened: at the gateway where there are links, else in the ledger."""
        self._has_news = False
        before = self._known
        if before.open_links or self._is_link_watched:
            await self._ask_gateway("refresh_payment", self._start_refresh)
        else:
            await self._count()
        self._quiet_rounds = 0 if self._known != before else self._quiet_rounds + 1

    async def _mind_link(self, messages: asyncio.TaskGroup) -> None:
        """Replace a link whose amount is no longer what is owed; ask staff about one that ran out."""
        if self._known.is_link_stale:
            await self._ask_gateway("close_payment_link", self._start_close)
            await self._send_link(messages)
        elif self._known.link_state and not self._known.open_links:
            await self._steps.ask(LINK, "link_expired")
            decided = self._steps.take_decision(LINK)
            if decided is not None:
                await self._steps.settle(LINK)
                self._is_by_hand = decided.decision is not StepDecision.RETRY
            if decided is not None and not self._is_by_hand:
                await self._send_link(messages)

    async def _close_links(self) -> bool:
        """Close what is open at the gateway; True when a bank may still confirm money for it."""
        if not self._known.open_links and not (self._is_link_begun and not self._known.link_state):
            return self._known.link_state in {PaymentLinkState.EXPIRED, PaymentLinkState.CANCELLED}
        self._show("closing the payment link", "the gateway")
        await self._ask_gateway("close_payment_link", self._start_close, needed=True)
        return bool(self._known.link_state) and self._known.link_state != PaymentLinkState.PAID

    async def _settle(self) -> None:
        await workflow.execute_activity_method(
            BillingActivities.note_settled, self._key, **DB, summary=f"Note that {self._payment.invoice_no} is paid"
        )
        order_id = ids.order_workflow_id(self._payment.lab, self._payment.order_no)
        await tell(order_id, SignalName.PAYMENT_SETTLED, InvoiceRef(invoice_no=self._payment.invoice_no))

    async def _refund(self) -> None:
        """Start a refund of every payment that is to be given back; InvoiceReversal may have been first."""
        for payment_ref in self._known.refundable:
            await start_child(
                WorkflowType.REFUND,
                ids.refund_workflow_id(payment_ref),
                RefundInput(
                    lab=self._payment.lab,
                    order_no=self._payment.order_no,
                    invoice_no=self._payment.invoice_no,
                    payment_ref=payment_ref,
                    policies=self._payment.policies,
                ),
                order_no=self._payment.order_no,
                branch=self._known.branch,
                summary=f"Refund of {self._payment.invoice_no}",
            )

    async def _watch_late_captures(self) -> None:
        """Give back what a bank confirms after the link was closed."""
        until = workflow.now() + self._policy.late_capture_for
        while workflow.now() < until:
            self._show("watching for late money", f"{until:%d-%m-%Y %H:%M} UTC")
            pause = min(self._policy.poll_every * SLOWEST_POLL, until - workflow.now())
            await self._wait(lambda: self._has_news, pause, "Watch for late money")
            self._has_news = False
            await self._ask_gateway("refresh_payment", self._start_refresh, needed=True)
            await self._refund()

    @workflow.update(name=CommandKind.RECORD_PAYMENT.value, description="Money was taken by hand")
    async def record_payment(self, ref: CommandRef) -> CommandOutcome:
        """Money was taken at the counter or came on account."""
        await workflow.wait_condition(lambda: self._facts is not None)
        # One at a time: each payment is checked against what the one before left owed.
        async with self._lock:
            try:
                applied = await workflow.execute_activity_method(
                    CommandActivities.apply, ref, **DB, summary="Record the payment"
                )
            except ActivityError as error:
                raise refusal(failure_of(error)) from error
            await self._count()
        return CommandOutcome(command_id=ref.command_id, stage=applied.progress.stage)

    @record_payment.validator
    def _refuse_when_over(self, ref: CommandRef) -> None:
        if self._facts is not None and self._is_over:
            message = f"nothing more is collected for this invoice (command {ref.command_id})"
            raise refuse(code="PAYMENT_CLOSED", message=message, action="Reload the invoice.")

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

    @workflow.signal(name=SignalName.COLLECTION_STOPPED.value, description="The invoice is taken back")
    def collection_stopped(self, _ref: InvoiceRef) -> None:
        """The invoice is taken back."""
        self._is_stopped = True

    @property
    def _known(self) -> PaymentFacts:
        if self._facts is None:
            raise RuntimeError("the invoice was not read yet")
        return self._facts

    @property
    def _is_paid(self) -> bool:
        return self._known.state is InvoiceState.PAID

    @property
    def _is_over(self) -> bool:
        return self._is_paid or self._is_stopped or self._known.is_reversed

    @property
    def _is_link_watched(self) -> bool:
        """An expired link may still receive money for a while; afterwards only news makes it worth a question."""
        expired_at = self._known.link_expires_at
        return expired_at is not None and workflow.now() < expired_at + self._policy.late_capture_for

    def _pause(self, started_at: datetime) -> timedelta:
        """Return how long to wait before looking without being told."""
        if self._known.open_links or self._is_link_watched:
            return self._policy.poll_every * min(1 << min(self._quiet_rounds, 8), SLOWEST_POLL)
        due_in = started_at + self._policy.credit_due - workflow.now()
        return min(RECHECK, due_in) if self._known.mode is CollectionMode.CREDIT and due_in > timedelta(0) else RECHECK

    async def _until_news(self, pause: timedelta) -> None:
        await self._wait(
            lambda: self._has_news or self._is_over or self._steps.has_decision(LINK), pause, "Look for money"
        )

    async def _wait(self, condition: Callable[[], bool], pause: timedelta, summary: str) -> None:
        try:
            await workflow.wait_condition(condition, timeout=pause, timeout_summary=summary)
        except TimeoutError:
            return

    async def _ask_gateway(
        self, step: str, start: Callable[[], workflow.ActivityHandle[PaymentFacts]], *, needed: bool = False
    ) -> StepDecision | None:
        """Run a step at the gateway and take its facts; unless `needed` it ends when the collection is over."""
        asked = await self._steps.run(step, start, self._policy.partner, until=lambda: self._is_over and not needed)
        if asked.value is not None:
            self._take(asked.value)
        return asked.decision

    async def _count(self) -> None:
        self._take(
            await workflow.execute_activity_method(
                BillingActivities.measure_payment, self._key, **DB, summary=f"Read {self._payment.invoice_no}"
            )
        )

    def _take(self, facts: PaymentFacts) -> None:
        # A slow answer may carry older facts than the ones that a command has brought since.
        if self._facts is None or facts.entries >= self._facts.entries:
            self._facts = facts

    def _start_create(self) -> workflow.ActivityHandle[PaymentFacts]:
        return workflow.start_activity_method(
            BillingActivities.create_payment_link,
            LinkOrder(invoice_no=self._payment.invoice_no, valid_for=self._policy.link_valid_for),
            **partner(self._policy.partner, queues.RAZORPAY),
            # a link that is being made must not be overlooked by whoever closes the links afterwards
            cancellation_type=workflow.ActivityCancellationType.WAIT_CANCELLATION_COMPLETED,
            summary=f"Razorpay: make a link for {self._payment.invoice_no}",
        )

    def _start_refresh(self) -> workflow.ActivityHandle[PaymentFacts]:
        return workflow.start_activity_method(
            BillingActivities.refresh_payment,
            self._key,
            **partner(self._policy.partner, queues.RAZORPAY),
            summary=f"Razorpay: look at {self._payment.invoice_no}",
        )

    def _start_close(self) -> workflow.ActivityHandle[PaymentFacts]:
        return workflow.start_activity_method(
            BillingActivities.close_payment_links,
            self._key,
            **partner(self._policy.partner, queues.RAZORPAY),
            summary=f"Razorpay: close the link of {self._payment.invoice_no}",
        )

    def _start_message(self) -> workflow.ActivityHandle[None]:
        return workflow.start_activity(
            "notify.send_payment_request",
            OrderInvoice(order_no=self._payment.order_no, invoice_no=self._payment.invoice_no),
            **partner(self._policy.partner, queues.MESSAGING),
            summary=f"Send the payment link of {self._payment.invoice_no}",
        )

    def _show(self, title: str, waits_for: str) -> None:
        facts = {
            "Collected": f"by {self._known.mode.value}",
            "Invoice": self._known.state.value,
            "Link": self._known.link_state or "none",
            "Payments booked": str(len(self._known.captured)),
        }
        name = f"{self._payment.invoice_no}: {title}"
        workflow.set_current_details(details(name, waits_for, facts, self._steps.waiting))
