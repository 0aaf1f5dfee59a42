"""ReportDelivery: one report version on its way to its reader.

whatsapp → sms → email, each until delivered | refused | not confirmed in time → staff: again | handed over | skipped

Started by LabOrder when a report is released. Status reports of the providers come in as signals from the inbox: late,
twice, out of order, and sometimes before the sending activity has returned. Lives until the report is delivered, which
takes minutes, or until staff decide. Sets LabAttention. A confidential report ends it at once: it is never sent.
Cancelled, it stops waiting; what was sent stays sent.
"""

from __future__ import annotations

from typing import Literal

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from activities.notifications import (
        NotificationActivities,
        SendReport,
        SentNotification,
    )
    from domain.enums import StepDecision
    from domain.messages import (
        CommandKind,
        CommandOutcome,
        PartnerEventRef,
        ReportInput,
        StepCommandRef,
        WorkflowType,
    )
    from domain.messaging import Channel, DeliveryState, delivery_state_of
    from domain.sharing_messages import DeliveryResult, ReportRef
    from workflows import queues
    from workflows.details import details
    from workflows.options import DB, partner
    from workflows.partner_steps import RECHECK, PartnerSteps, StepFailedError

DELIVER = "deliver_report"
CONFIDENTIAL = "REPORT_CONFIDENTIAL"
NOT_IN_FORCE = "REPORT_NOT_IN_FORCE"

Outcome = Literal["read", "delivered", "accepted", "handed_over", "skipped", "withheld", "superseded"]

_NEXT_CHANNEL = ("RejectedError", "RequestError", "AuthError")
"""An expired token of one provider must not keep a report from the next."""


@workflow.defn(name=WorkflowType.REPORT_DELIVERY.value)
class ReportDeliveryWorkflow:
    """Invariants: at most one message per channel and round; a confidential report is never sent."""

    @workflow.init
    def __init__(self, report: ReportInput) -> None:
        self._report = report
        self._policy = report.policies.delivery
        self._steps = PartnerSteps(WorkflowType.REPORT_DELIVERY.value, report.order_no)
        self._round = 0
        self._states: dict[str, DeliveryState] = {}
        self._channels: dict[str, str] = {}
        self._tried: dict[str, str] = {}

    @workflow.run
    async def run(self, _report: ReportInput) -> DeliveryResult:
        """Try every channel, then ask staff, until the report has found its reader."""
        outcome: Outcome | None = None
        while outcome is None:
            self._round += 1
            outcome = await self._try_channels() or await self._ask_staff()
        if outcome == "withheld":
            await self._note_withheld()
        self._show(f"Ended: {outcome}", "nothing")
        await workflow.wait_condition(workflow.all_handlers_finished)
        return DeliveryResult(
            report_id=self._report.report_id, outcome=outcome, channel=self._channel_of(outcome), rounds=self._round
        )

    async def _try_channels(self) -> Outcome | None:
        """Go through the channels; None when none of them brought the report."""
        for channel in self._policy.channels:
            outcome = self._proved or await self._try_channel(channel)
            if outcome is not None:
                return outcome
        return self._proved

    async def _try_channel(self, channel: str) -> Outcome | None:
        self._show(f"Sending by {channel}", f"{channel} to take the message")
        try:
            step = await self._steps.run(
                f"send_{channel}", lambda: self._start_send(channel), self._policy.partner, handled=_NEXT_CHANNEL
            )
        except StepFailedError as error:
            self._tried[channel] = error.failure.code
            return self._end_of(error.failure.code)
        if step.decision is StepDecision.ANSWER:
            return "handed_over"
        if step.value is None:
            self._tried[channel] = "skipped"
            return None
        return await self._confirm(step.value)

    @staticmethod
    def _end_of(code: str) -> Outcome | None:
        """Return how a refusal ends the delivery, or None when the next channel may work."""
        if code == CONFIDENTIAL:
            return "withheld"
        return "superseded" if code == NOT_IN_FORCE else None

    async def _confirm(self, sent: SentNotification) -> Outcome | None:
        """Wait until the provider proves the delivery, reports a failure, or takes too long."""
        self._channels[sent.notification_id] = sent.channel
        if sent.state in set(DeliveryState):
            self._learn(sent.notification_id, DeliveryState(sent.state))
        self._tried[sent.channel] = sent.state
        if sent.channel == Channel.EMAIL and self._states.get(sent.notification_id) is DeliveryState.ACCEPTED:
            # SMTP tells no more
            return "accepted"
        self._show(f"Sent by {sent.channel}", "proof of delivery")
        try:
            await workflow.wait_condition(
                lambda: self._proved is not None or self._states.get(sent.notification_id) is DeliveryState.FAILED,
                timeout=self._policy.confirm_within,
                timeout_summary=f"{sent.channel}: not confirmed after {self._policy.confirm_within}",
            )
            self._tried[sent.channel] = "failed"
        except TimeoutError:
            self._tried[sent.channel] = "not_confirmed"
        return self._proved

    async def _ask_staff(self) -> Outcome | None:
        """Let staff decide; None means: another round. A proof that comes late ends the question."""
        codes = set(self._tried.values())
        await self._steps.ask(DELIVER, code="NOT_DELIVERED" if len(codes) != 1 else codes.pop())
        self._show("Not delivered by any channel", "a decision of staff")
        while not self._steps.has_decision(DELIVER) and self._proved is None:
            try:
                await workflow.wait_condition(
                    lambda: self._steps.has_decision(DELIVER) or self._proved is not None,
                    timeout=RECHECK,
                    timeout_summary=f"{DELIVER}: look again",
                )
            except TimeoutError:
                continue
        decided = self._steps.take_decision(DELIVER)
        await self._steps.settle(DELIVER)
        if self._proved is not None:
            return self._proved
        if decided is None or decided.decision is StepDecision.RETRY:
            return None
        return "handed_over" if decided.decision is StepDecision.ANSWER else "skipped"

    async def _note_withheld(self) -> None:
        await workflow.execute_activity_method(
            NotificationActivities.withhold_report,
            ReportRef(order_no=self._report.order_no, report_id=self._report.report_id),
            **DB,
            summary="Note that the report is not sent",
        )

    def _start_send(self, channel: str) -> workflow.ActivityHandle[SentNotification]:
        request = SendReport(
            order_no=self._report.order_no, report_id=self._report.report_id, channel=channel, round=self._round
        )
        return workflow.start_activity_method(
            NotificationActivities.send_report,
            request,
            **partner(self._policy.partner, queues.MESSAGING),
            summary=f"{channel}: report of {self._report.order_no}",
        )

    @workflow.signal(name="partner_event_received", description="A provider reports how far a message got")
    async def partner_event_received(self, event: PartnerEventRef) -> None:
        """Take a provider's status report; only what is news changes anything."""
        state = delivery_state_of(event.kind)
        if state is not None and event.reference:
            self._channels.setdefault(event.reference, event.source)
            self._learn(event.reference, state)

    @workflow.update(name=CommandKind.RESOLVE_STEP.value, description="Retry, skip or answer a step by hand")
    async def resolve_step(self, ref: StepCommandRef) -> CommandOutcome:
        """Retry, skip or answer a step by hand."""
        return await self._steps.resolve(ref)

    @resolve_step.validator
    def _refuse_unknown_step(self, ref: StepCommandRef) -> None:
        self._steps.check(ref)

    @workflow.query(name="stage", description="How far the report has come; for debugging")
    def stage(self) -> str:
        """Return the state of every message, by channel."""
        known = {self._channels[key]: state.value for key, state in self._states.items()}
        return ", ".join(f"{channel}: {known.get(channel, said)}" for channel, said in self._tried.items())

    def _learn(self, notification_id: str, state: DeliveryState) -> None:
        known = self._states.get(notification_id)
        self._states[notification_id] = state if known is None else known.advanced(state)

    @property
    def _proof(self) -> tuple[str, Outcome] | None:
        """The message that reached the reader, whichever it was."""
        for notification_id, state in self._states.items():
            if state is DeliveryState.READ:
                return notification_id, "read"
            if state is DeliveryState.DELIVERED:
                return notification_id, "delivered"
        return None

    @property
    def _proved(self) -> Outcome | None:
        proof = self._proof
        return proof[1] if proof else None

    def _channel_of(self, outcome: Outcome) -> str:
        """Return the channel that brought the report, or ""."""
        if outcome == "accepted":
            return Channel.EMAIL.value
        return self._channels[self._proof[0]] if self._proof else ""

    def _show(self, title: str, waits_for: str) -> None:
        facts = {"Round": str(self._round), **self._tried}
        name = f"{self._report.order_no}: {title}"
        workflow.set_current_details(details(name, waits_for, facts, self._steps.waiting))
