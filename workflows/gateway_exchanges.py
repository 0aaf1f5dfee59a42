"""Asking the ABDM gateway and waiting for its callback, with a fresh request id for every try.

A callback may come before the wait for it, long after it, twice or never; an answer to an earlier try counts as well.
What cannot go on by itself waits for staff, and a late answer ends that wait.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import timedelta

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from activities.care_contexts import ExchangeAnswer
    from domain.enums import StepDecision
    from domain.health_records import AnswerOutcome
    from domain.policies import RecordPushPolicy
    from workflows.partner_steps import PartnerSteps, StepResult

_DONE = {AnswerOutcome.DONE, AnswerOutcome.ALREADY_DONE}
_REPEATED = {AnswerOutcome.TRY_LATER, AnswerOutcome.SLOW_DOWN}

Ask = Callable[[str], workflow.ActivityHandle[ExchangeAnswer]]
Take = Callable[[tuple[str, ...]], Awaitable[ExchangeAnswer]]


class GatewayExchanges:
    """The exchanges of one run."""

    def __init__(self, steps: PartnerSteps, policy: RecordPushPolicy) -> None:
        self._steps = steps
        self._policy = policy
        self._arrived: set[str] = set()
        self._read: set[str] = set()

    def note_answer(self, request_id: str) -> None:
        """Note that a callback to one of our requests is on record."""
        self._arrived.add(request_id)

    async def run(self, step: str, ask: Ask, take: Take) -> AnswerOutcome | StepDecision:
        """Ask until the gateway has done it, its refusal needs another step first, or staff decide.

        Args:
            step: Name that staff see.
            ask: Starts the activity that asks under a request id.
            take: Reads the answers to the request ids asked so far.

        Returns:
            DONE, TOKEN_INVALID, SKIP or ANSWER.
        """
        asked: list[str] = []
        tries = 0
        while True:
            tries += 1
            answer = await self._try(step, ask, take, asked)
            if isinstance(answer, StepDecision):
                return answer
            if answer.outcome in _DONE:
                return AnswerOutcome.DONE
            if answer.outcome is AnswerOutcome.TOKEN_INVALID:
                return answer.outcome
            pause = self._pause(answer.outcome, tries)
            if pause is not None:
                await self._wait_for_answer(asked, pause, f"{step}: try again")
                continue
            decision = await self.ask_staff(step, asked, code="NO_CALLBACK" if answer.outcome is None else answer.code)
            if decision is not None:
                return decision
            tries = 0

    async def ask_staff(self, step: str, asked: list[str], *, code: str) -> StepDecision | None:
        """Wait for staff; None means: go on, because they said so or an answer came after all."""
        await self._steps.ask(step, code)
        decided: StepResult[ExchangeAnswer] | None = await self._steps.decide(step, until=lambda: self._has_news(asked))
        await self._steps.settle(step)
        return decided.decision if decided else None

    async def _try(self, step: str, ask: Ask, take: Take, asked: list[str]) -> ExchangeAnswer | StepDecision:
        """Ask once and wait for the callback; an answer that came meanwhile saves the asking."""
        if not self._has_news(asked):

            def start() -> workflow.ActivityHandle[ExchangeAnswer]:
                # staff's "retry" starts again: the gateway refuses a request id it has seen
                request_id = str(workflow.uuid4())
                asked.append(request_id)
                return ask(request_id)

            begun = await self._steps.run(step, start, self._policy.partner)
            if begun.decision is not None:
                return begun.decision
            if begun.value is not None and begun.value.outcome is not None:
                self._read.update(asked)
                return begun.value
            await self._wait_for_answer(asked, self._policy.callback_within, f"{step}: no callback")
        self._read.update(self._arrived)
        return await take(tuple(asked))

    def _pause(self, outcome: AnswerOutcome | None, tries: int) -> timedelta | None:
        """Return how long to wait before the next try, or None when a person must look."""
        if outcome is AnswerOutcome.NOT_LINKED_YET:
            repeats = self._policy.notice_repeats
            return repeats[tries - 1] if tries <= len(repeats) else None
        if tries >= self._policy.tries:
            return None
        if outcome is None:
            return timedelta(0)
        if outcome in _REPEATED:
            partner = self._policy.partner
            return min(partner.first_retry * float(2 ** (tries - 1)), partner.max_retry)
        return None

    def _has_news(self, asked: list[str]) -> bool:
        return any(request_id in self._arrived and request_id not in self._read for request_id in asked)

    async def _wait_for_answer(self, asked: list[str], within: timedelta, summary: str) -> None:
        if within <= timedelta(0):
            return
        try:
            await workflow.wait_condition(lambda: self._has_news(asked), timeout=within, timeout_summary=summary)
        except TimeoutError:
            return
