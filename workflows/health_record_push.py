"""HealthRecordPush: one report version becomes part of the patient's national health record (ABDM).

may it be shared? → link token → link care context → notify → done | no consent | skipped by staff

Started by LabOrder when a report is released. The gateway answers each step by a callback, which the inbox keeps and
signals here. Lives seconds when all is well; staff can retry, skip or answer every step. Sets LabAttention. Cancelled,
it stops asking; what is linked stays linked.
"""

from __future__ import annotations

from typing import Literal

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from activities.care_contexts import ExchangeAnswer, LinkPlan
    from activities.health_records import AskGateway, HealthRecordActivities, SetCareContext, TakeAnswer
    from domain.enums import CareContextState, StepDecision
    from domain.health_records import AnswerOutcome
    from domain.messages import (
        CommandKind,
        CommandOutcome,
        PartnerEventRef,
        ReportInput,
        StepCommandRef,
        WorkflowType,
    )
    from domain.sharing_messages import RecordPushResult, ReportRef
    from workflows import queues
    from workflows.details import details
    from workflows.gateway_exchanges import GatewayExchanges
    from workflows.options import DB, partner
    from workflows.partner_steps import PartnerSteps

TOKEN = "request_link_token"
LINK = "link_care_context"
NOTIFY = "notify_care_context"

Outcome = Literal["notified", "linked", "no_consent", "skipped", "superseded"]


@workflow.defn(name=WorkflowType.HEALTH_RECORD_PUSH.value)
class HealthRecordPushWorkflow:
    """Invariants: nothing is asked for a report that may not be shared; every try has a request id of its own."""

    @workflow.init
    def __init__(self, report: ReportInput) -> None:
        self._report = report
        self._key = ReportRef(order_no=report.order_no, report_id=report.report_id)
        self._policy = report.policies.record_push
        self._steps = PartnerSteps(WorkflowType.HEALTH_RECORD_PUSH.value, report.order_no)
        self._exchanges = GatewayExchanges(self._steps, self._policy)
        self._stage = "started"

    @workflow.run
    async def run(self, _report: ReportInput) -> RecordPushResult:
        """Link the report and tell the network, unless it may not be shared."""
        outcome = await self._push()
        self._show(outcome, "nothing")
        await workflow.wait_condition(workflow.all_handlers_finished)
        return RecordPushResult(report_id=self._report.report_id, outcome=outcome)

    async def _push(self) -> Outcome:
        plan = await self._prepare()
        if plan.step == "none":
            return plan.outcome or "skipped"
        if plan.step == "link" and not await self._link():
            await self._keep(CareContextState.SKIPPED)
            return "skipped"
        return await self._notify()

    async def _prepare(self) -> LinkPlan:
        return await workflow.execute_activity_method(
            HealthRecordActivities.prepare_link,
            self._key,
            **DB,
            summary=f"May the report of {self._report.order_no} be linked?",
        )

    async def _link(self) -> bool:
        """Link the care context, with as many link tokens as it takes; False when staff skip it."""
        refused = 0
        while True:
            for step, ask in ((TOKEN, self._start_token), (LINK, self._start_link)):
                self._show(step, "the gateway's answer")
                ended = await self._exchanges.run(step, ask, self._take)
                if ended is StepDecision.SKIP:
                    return False
                if ended is StepDecision.ANSWER:
                    await self._keep(CareContextState.LINKED)
                    return True
            if ended is AnswerOutcome.DONE:
                return True
            await self._drop_token()
            refused += 1
            if refused >= self._policy.tries:
                decision = await self._exchanges.ask_staff(LINK, [], code="LINK_TOKEN_INVALID")
                if decision is StepDecision.ANSWER:
                    await self._keep(CareContextState.LINKED)
                if decision is not None:
                    return decision is StepDecision.ANSWER
                refused = 0

    async def _notify(self) -> Outcome:
        self._show(NOTIFY, "the gateway's answer")
        ended = await self._exchanges.run(NOTIFY, self._start_notify, self._take)
        if ended is StepDecision.ANSWER:
            await self._keep(CareContextState.NOTIFIED)
        return "linked" if ended is StepDecision.SKIP else "notified"

    def _start_token(self, request_id: str) -> workflow.ActivityHandle[ExchangeAnswer]:
        return workflow.start_activity_method(
            HealthRecordActivities.request_link_token,
            self._ask(request_id),
            **partner(self._policy.partner, queues.ABDM),
            summary="ABDM: ask for a link token",
        )

    def _start_link(self, request_id: str) -> workflow.ActivityHandle[ExchangeAnswer]:
        return workflow.start_activity_method(
            HealthRecordActivities.link_care_context,
            self._ask(request_id),
            **partner(self._policy.partner, queues.ABDM),
            summary=f"ABDM: link the report of {self._report.order_no}",
        )

    def _start_notify(self, request_id: str) -> workflow.ActivityHandle[ExchangeAnswer]:
        return workflow.start_activity_method(
            HealthRecordActivities.notify_care_context,
            self._ask(request_id),
            **partner(self._policy.partner, queues.ABDM),
            summary=f"ABDM: tell that the report of {self._report.order_no} is there",
        )

    def _ask(self, request_id: str) -> AskGateway:
        return AskGateway(order_no=self._key.order_no, report_id=self._key.report_id, request_id=request_id)

    async def _take(self, request_ids: tuple[str, ...]) -> ExchangeAnswer:
        return await workflow.execute_activity_method(
            HealthRecordActivities.take_answer,
            TakeAnswer(order_no=self._key.order_no, report_id=self._key.report_id, request_ids=request_ids),
            **DB,
            summary="Read the gateway's answer",
        )

    async def _drop_token(self) -> None:
        await workflow.execute_activity_method(
            HealthRecordActivities.drop_link_token, self._key, **DB, summary="Drop the link token the gateway refused"
        )

    async def _keep(self, state: CareContextState) -> None:
        await workflow.execute_activity_method(
            HealthRecordActivities.set_care_context,
            SetCareContext(order_no=self._key.order_no, report_id=self._key.report_id, state=state),
            **DB,
            summary=f"Note: {state.value}, as staff decided",
        )

    @workflow.signal(name="partner_event_received", description="The gateway's answer to a request is on record")
    async def partner_event_received(self, event: PartnerEventRef) -> None:
        """Note which request was answered; the answer itself is read from PostgreSQL."""
        self._exchanges.note_answer(event.entity_id)

    @workflow.update(name=CommandKind.RESOLVE_STEP.value, description="Retry, skip or answer a step by hand")
    async def resolve_step(self, ref: StepCommandRef) -> CommandOutcome:
        """Retry, skip or answer a step by hand."""
        return await self._steps.resolve(ref)

    @resolve_step.validator
    def _refuse_unknown_step(self, ref: StepCommandRef) -> None:
        self._steps.check(ref)

    @workflow.query(name="stage", description="Which step the link has come to; for debugging")
    def stage(self) -> str:
        """Return the step it has come to."""
        return self._stage

    def _show(self, stage: str, waits_for: str) -> None:
        self._stage = stage
        workflow.set_current_details(details(f"{self._report.order_no}: {stage}", waits_for, {}, self._steps.waiting))
