"""ConsentNotice: the gateway is told that a consent, or its end, is on record here.

notice stored by the inbox → acknowledged | refused

Started by the inbox, once per consent and status. Lives seconds, or until the gateway is back. It belongs to no order,
so no staff command reaches it: what the gateway refuses is tried a few times, far apart, and then given up; the consent
itself is stored either way. Sets LabAttention while it is stuck. Cancelled, nothing is told.
"""

from __future__ import annotations

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from activities.health_records import AcknowledgeConsent, HealthRecordActivities
    from domain.messages import WorkflowType
    from domain.sharing_messages import ConsentNoticeInput, ConsentNoticeResult
    from workflows import queues
    from workflows.details import details
    from workflows.options import partner
    from workflows.partner_steps import PartnerSteps, StepFailedError

ACKNOWLEDGE = "acknowledge_consent"
TRIES = 5

_REFUSALS = ("RejectedError", "RequestError", "AuthError")


@workflow.defn(name=WorkflowType.CONSENT_NOTICE.value)
class ConsentNoticeWorkflow:
    """Invariant: the acknowledgement names a consent that is stored."""

    @workflow.init
    def __init__(self, notice: ConsentNoticeInput) -> None:
        self._notice = notice
        self._policy = notice.policies.record_push.partner
        self._steps = PartnerSteps(WorkflowType.CONSENT_NOTICE.value, "")

    @workflow.run
    async def run(self, _notice: ConsentNoticeInput) -> ConsentNoticeResult:
        """Acknowledge the notice."""
        code = ""
        for number in range(1, TRIES + 1):
            self._show(f"try {number}", "the gateway")
            code = await self._acknowledge()
            if not code:
                break
            await self._steps.raise_attention(ACKNOWLEDGE, code)
            if number < TRIES:
                await workflow.sleep(self._policy.max_retry, summary=f"{ACKNOWLEDGE}: try again")
        await self._steps.clear(ACKNOWLEDGE)
        self._show("refused" if code else "acknowledged", "nothing")
        return ConsentNoticeResult(
            consent_id=self._notice.consent_id, outcome="refused" if code else "acknowledged", code=code
        )

    async def _acknowledge(self) -> str:
        """Return why the gateway refused the acknowledgement, or ""."""
        try:
            await self._steps.run(ACKNOWLEDGE, self._start, self._policy, handled=_REFUSALS)
        except StepFailedError as error:
            return error.failure.code
        return ""

    def _start(self) -> workflow.ActivityHandle[None]:
        return workflow.start_activity_method(
            HealthRecordActivities.acknowledge_consent,
            AcknowledgeConsent(
                consent_id=self._notice.consent_id,
                notice_id=self._notice.notice_id,
                request_id=str(workflow.uuid4()),
            ),
            **partner(self._policy, queues.ABDM),
            summary=f"ABDM: acknowledge that the consent is {self._notice.status.lower()}",
        )

    @workflow.query(name="stage", description="What it waits for; for debugging")
    def stage(self) -> str:
        """Return why it is stuck, or "running"."""
        return self._steps.waiting.get(ACKNOWLEDGE, "running")

    def _show(self, stage: str, waits_for: str) -> None:
        facts = {"Consent": self._notice.consent_id, "Status": self._notice.status}
        workflow.set_current_details(details(f"Consent notice: {stage}", waits_for, facts, self._steps.waiting))
