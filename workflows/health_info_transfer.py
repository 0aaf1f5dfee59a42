"""HealthInfoTransfer: somebody with a patient's consent asks for records, and gets them or a refusal.

requested → refused | acknowledged → records pushed → transferred | failed, and the gateway is told which

Started by the inbox, once per transaction. The network allows 20 minutes from the request: whatever is not done by then
has failed. It belongs to no order, so no staff command reaches it; it always ends by itself. Sets LabAttention while
the final report to the gateway is stuck. Records and keys never come here: one activity makes, encrypts and sends them.
Cancelled, the gateway is told nothing and counts the transfer as failed itself.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import TypeVar

from pydantic import BaseModel
from temporalio import workflow
from temporalio.exceptions import ActivityError

with workflow.unsafe.imports_passed_through():
    from activities.health_records import CloseTransfer, HealthRecordActivities, Pushed, TransferStep
    from domain.messages import TransferInput, WorkflowType
    from domain.sharing_messages import TransferResult
    from workflows import queues
    from workflows.details import details
    from workflows.failures import failure_of
    from workflows.options import partner
    from workflows.partner_steps import PartnerSteps, StepFailedError

NOTIFY = "notify_transfer"

_REFUSALS = ("RejectedError", "RequestError", "AuthError")

Answer = TypeVar("Answer", bound=BaseModel)


class _FailedError(Exception):
    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


@workflow.defn(name=WorkflowType.HEALTH_INFO_TRANSFER.value)
class HealthInfoTransferWorkflow:
    """Invariants: nothing is pushed before the request is acknowledged, nor after its time; the end is always told."""

    @workflow.init
    def __init__(self, asked: TransferInput) -> None:
        self._asked = asked
        self._policy = asked.policies.transfer
        self._steps = PartnerSteps(WorkflowType.HEALTH_INFO_TRANSFER.value, "")
        self._stage = "requested"

    @workflow.run
    async def run(self, _asked: TransferInput) -> TransferResult:
        """Answer the request."""
        pushed, code = Pushed(references=()), ""
        try:
            refusal = await self._acknowledge()
            if refusal:
                return self._result("refused", code=refusal)
            pushed = await self._push()
        except _FailedError as error:
            code = error.code
        is_reported = await self._report(pushed, code)
        outcome = self._result("failed" if code else "transferred", code=code)
        return outcome.model_copy(update={"records": len(pushed.references), "is_reported": is_reported})

    async def _acknowledge(self) -> str:
        """Accept the request or refuse it; return the code of our refusal, or ""."""
        self._show("acknowledging the request", "the gateway")
        told = await self._in_time(
            lambda left: workflow.start_activity_method(
                HealthRecordActivities.acknowledge_request,
                self._step(),
                **partner(self._policy.partner, queues.ABDM),
                schedule_to_close_timeout=left,
                summary="ABDM: accept or refuse the request",
            )
        )
        return told.refusal

    async def _push(self) -> Pushed:
        self._show("sending the records", "the requester")
        return await self._in_time(
            lambda left: workflow.start_activity_method(
                HealthRecordActivities.push_records,
                self._step(),
                **partner(self._policy.partner, queues.ABDM),
                schedule_to_close_timeout=left,
                summary="ABDM: send the encrypted records",
            )
        )

    async def _in_time(self, start: Callable[[timedelta], workflow.ActivityHandle[Answer]]) -> Answer:
        """Run an activity that is retried until the request's time is over.

        Raises:
            _FailedError: It was refused, or there was no time left.
        """
        left = self._deadline - workflow.now()
        if left <= timedelta(0):
            raise _FailedError(code="TRANSFER_TOO_LATE")
        try:
            return await start(left)
        except ActivityError as error:
            is_late = workflow.now() >= self._deadline
            raise _FailedError(code="TRANSFER_TOO_LATE" if is_late else failure_of(error).code) from error

    async def _report(self, pushed: Pushed, code: str) -> bool:
        """Tell the gateway how it ended; False when it would not hear it."""
        self._show("reporting the end", "the gateway")
        try:
            await self._steps.run(
                NOTIFY, lambda: self._start_report(pushed, code), self._policy.partner, handled=_REFUSALS
            )
        except StepFailedError as error:
            workflow.logger.warning("the end of a transfer was not reported: %s", error.failure.code)
            return False
        return True

    def _start_report(self, pushed: Pushed, code: str) -> workflow.ActivityHandle[None]:
        done = CloseTransfer(
            transaction_id=self._asked.transaction_id,
            request_id=str(workflow.uuid4()),
            outcome="failed" if code else "transferred",
            references=pushed.references,
            code=code,
        )
        return workflow.start_activity_method(
            HealthRecordActivities.notify_transfer,
            done,
            **partner(self._policy.partner, queues.ABDM),
            summary=f"ABDM: report that the transfer is {done.outcome}",
        )

    def _step(self) -> TransferStep:
        return TransferStep(transaction_id=self._asked.transaction_id, request_id=str(workflow.uuid4()))

    @property
    def _deadline(self) -> datetime:
        return (self._asked.requested_at or workflow.info().start_time) + self._policy.send_within

    def _result(self, outcome: str, *, code: str) -> TransferResult:
        self._show(outcome, "nothing")
        return TransferResult.model_validate(
            {"transaction_id": self._asked.transaction_id, "outcome": outcome, "code": code}
        )

    @workflow.query(name="stage", description="How far the request has come; for debugging")
    def stage(self) -> str:
        """Return how far it has come."""
        return self._stage

    def _show(self, stage: str, waits_for: str) -> None:
        self._stage = stage
        facts = {"Transaction": self._asked.transaction_id}
        workflow.set_current_details(details(f"Health information: {stage}", waits_for, facts, self._steps.waiting))
