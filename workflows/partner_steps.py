"""Steps with a partner that may be away for hours: they never fail a run.

A step is an activity that retries without end. Its workflow watches the clock beside it: after `alert_after`, or at
once when the partner refuses, the step shows as LabAttention (search attribute, order row, timeline) and goes on trying
where that makes sense. Staff can then retry it now, skip it with a reason, or answer it by hand (`resolve_step`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Generic, TypeVar

from temporalio import workflow
from temporalio.exceptions import ActivityError, is_cancelled_exception

with workflow.unsafe.imports_passed_through():
    from activities.commands import CommandActivities
    from activities.orders import AttentionChange, OrderActivities
    from domain.enums import StepDecision
    from domain.messages import CommandOutcome, StepCommandRef
    from domain.policies import PartnerPolicy
    from workflows import search_attributes
    from workflows.failures import Failure, failure_of, refusal, refuse
    from workflows.options import DB

Result = TypeVar("Result")

RECHECK = timedelta(days=1)
"""How often a step that waits for a person looks up from its wait; a timer is always set, so replay never changes."""


def _never() -> bool:
    return False


class StepFailedError(Exception):
    """A step ended in a refusal that its workflow said it would handle itself."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.message)
        self.failure = failure


@dataclass(frozen=True)
class StepResult(Generic[Result]):
    """How a step ended.

    Attributes:
        value: What the activity returned; None when staff decided or the step was given up.
        decision: SKIP or ANSWER when staff decided, else None.
        command_id: The command with staff's reason and answer, or "".
    """

    value: Result | None
    decision: StepDecision | None = None
    command_id: str = ""


class PartnerSteps:
    """The partner steps of one run, and what waits for a person among them.

    A run that belongs to no order (order number "") shows its attention as search attribute only.
    """

    def __init__(self, workflow_type: str, order_no: str) -> None:
        self._workflow_type = workflow_type
        self._order_no = order_no
        self._decisions: dict[str, StepCommandRef] = {}
        self._running: set[str] = set()
        self._waiting: dict[str, str] = {}

    @property
    def waiting(self) -> dict[str, str]:
        """Steps that need attention, with their error codes."""
        return dict(self._waiting)

    async def run(
        self,
        step: str,
        start: Callable[[], workflow.ActivityHandle[Result]],
        policy: PartnerPolicy,
        *,
        handled: tuple[str, ...] = (),
        until: Callable[[], bool] = _never,
    ) -> StepResult[Result]:
        """Run one step until it has a result, staff decide, or nobody needs it any more.

        Args:
            step: Snake-case name, unique in the run; staff see it.
            start: Starts the activity; called again for each retry.
            policy: How long it may go undone before it shows.
            handled: Kinds of failure (class names) that the caller treats itself.
            until: When it becomes true the step is given up: its activity is cancelled, its result empty.

        Raises:
            StepFailedError: A failure of a kind in `handled`.
        """
        self._running.add(step)
        try:
            outcome: StepResult[Result] | None = None
            while outcome is None and not until():
                outcome = await self._attempt(step, start(), policy, handled, until)
            await self.clear(step)
            return outcome or StepResult(value=None)
        finally:
            self._running.discard(step)
            self._decisions.pop(step, None)

    async def _attempt(
        self,
        step: str,
        handle: workflow.ActivityHandle[Result],
        policy: PartnerPolicy,
        handled: tuple[str, ...],
        until: Callable[[], bool],
    ) -> StepResult[Result] | None:
        """Watch one activity; None means: start it again."""
        while not handle.done():
            if await self._woken(lambda: handle.done() or step in self._decisions or until(), step, policy.alert_after):
                break
            await self.raise_attention(step, "overdue")
        if not handle.done():
            handle.cancel()
            await workflow.wait([handle])
        try:
            return StepResult(value=handle.result())
        except ActivityError as error:
            if is_cancelled_exception(error):
                return self._decided(step)
            failure = failure_of(error)
        if failure.kind in handled:
            await self.clear(step)
            raise StepFailedError(failure)
        await self.raise_attention(step, failure.code)
        return await self.decide(step, until)

    async def decide(self, step: str, until: Callable[[], bool] = _never) -> StepResult[Result] | None:
        """Wait for staff's decision about a step that cannot go on by itself; None means retry, or given up."""
        self._running.add(step)
        while step not in self._decisions and not until():
            await self._woken(lambda: step in self._decisions or until(), step, RECHECK)
        return self._decided(step)

    async def ask(self, step: str, code: str) -> None:
        """Let staff decide about something that is no activity; `take_decision` gives what they decided."""
        self._running.add(step)
        await self.raise_attention(step, code)

    def has_decision(self, step: str) -> bool:
        """Tell whether staff have decided and nobody took it yet."""
        return step in self._decisions

    def take_decision(self, step: str) -> StepCommandRef | None:
        """Return staff's decision about a step that was asked about, once."""
        return self._decisions.pop(step, None)

    async def settle(self, step: str) -> None:
        """End a question of `ask`."""
        self._running.discard(step)
        self._decisions.pop(step, None)
        await self.clear(step)

    def _decided(self, step: str) -> StepResult[Result] | None:
        ref = self._decisions.pop(step, None)
        if ref is None or ref.decision is StepDecision.RETRY:
            return None
        return StepResult(value=None, decision=ref.decision, command_id=ref.command_id)

    async def _woken(self, condition: Callable[[], bool], step: str, within: timedelta) -> bool:
        try:
            await workflow.wait_condition(condition, timeout=within, timeout_summary=f"{step}: ask for attention")
        except TimeoutError:
            return False
        return True

    async def raise_attention(self, step: str, code: str) -> None:
        """Show that a step needs a person."""
        if self._waiting.get(step) != code:
            self._waiting[step] = code
            await self._show(step, code, is_raised=True)

    async def clear(self, step: str) -> None:
        """Show that it no longer does."""
        if self._waiting.pop(step, None) is not None:
            await self._show(step, "", is_raised=False)

    async def _show(self, step: str, code: str, *, is_raised: bool) -> None:
        attention = sorted(f"{name}:{why}" for name, why in self._waiting.items())
        workflow.upsert_search_attributes([search_attributes.ATTENTION.value_set(attention)])
        if not self._order_no:
            return
        await workflow.execute_activity_method(
            OrderActivities.show_attention,
            AttentionChange(
                order_no=self._order_no,
                key=f"{self._workflow_type}:{step}",
                code=code,
                is_raised=is_raised,
                workflow_id=workflow.info().workflow_id,
                source=self._workflow_type,
            ),
            **DB,
            summary=f"{'Raise' if is_raised else 'Clear'} attention: {step} {code}".strip(),
        )

    def check(self, ref: StepCommandRef) -> None:
        """Refuse a decision about a step that is not running; for the update's validator."""
        if ref.step not in self._running:
            raise refuse(code="STEP_NOT_WAITING", message=f"step {ref.step} does not wait for anything")

    async def resolve(self, ref: StepCommandRef) -> CommandOutcome:
        """Record staff's decision and take it; for the update's handler. The step picks it up at once."""
        try:
            await workflow.execute_activity_method(
                CommandActivities.apply, ref, **DB, summary=f"Note the decision about {ref.step}"
            )
        except ActivityError as error:
            raise refusal(failure_of(error)) from error
        self._decisions[ref.step] = ref
        return CommandOutcome(command_id=ref.command_id, detail={"step": ref.step, "decision": ref.decision.value})
