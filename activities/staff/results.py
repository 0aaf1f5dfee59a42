"""Entering, verifying and authorising results."""

from __future__ import annotations

from collections.abc import Sequence

from sqlmodel import select

from activities.device_work import measured_by, queue_rerun
from activities.resulting import Measurement, record_result, supersede_current
from activities.staff.context import CommandContext
from domain.clock import utc_now
from domain.enums import LineState, ResultSource, ResultState, VerificationDecision, VerificationLevel
from domain.errors import ConflictError, NotFoundError, NotPermittedError, RuleError
from domain.messages import AuthoriseReport, EnterResults, ResultDecision, VerifyResults
from store.tables.catalogue import LabTest
from store.tables.orders import OrderLine
from store.tables.results import Result, Verification

AWAITED = {VerificationLevel.TECHNICAL: LineState.RESULTED, VerificationLevel.MEDICAL: LineState.VERIFIED}
REACHED = {VerificationLevel.TECHNICAL: LineState.VERIFIED, VerificationLevel.MEDICAL: LineState.AUTHORISED}


async def enter(context: CommandContext, payload: EnterResults) -> None:
    """Write results typed by a person.

    Raises:
        NotFoundError: A test is none of the order's.
        ConflictError: It is authorised, cancelled, or its sample not received.
        RuleError: The value does not fit the test.
    """
    by_code = {test.code: (line, test) for line, test in await context.lines()}
    for entered in payload.results:
        if entered.test_code not in by_code:
            raise NotFoundError(f"{entered.test_code} was not ordered", code="TEST_NOT_ORDERED")
        line, test = by_code[entered.test_code]
        measured = Measurement(
            value=entered.value,
            unit=test.unit_display,
            source=ResultSource.MANUAL,
            dedupe_key=f"command:{context.command_id}:{test.code}",
            observed_at=utc_now(),
            comments=(entered.comment,) if entered.comment else (),
            command_id=context.command_id,
            entered_by=context.actor.user_id,
        )
        result = await record_result(context.session, await context.test_line(line, test), measured)
        if result is not None and result.state is ResultState.HELD:
            raise RuleError(
                f"{entered.test_code}: the value is not a number", code="RESULT_NOT_NUMERIC",
                action="Type the number alone, with < or > where needed; use the comment for words.",
            )  # fmt: skip
    codes = [entered.test_code for entered in payload.results]
    await context.event("results_entered", {"tests": codes})
    await context.audit("results.entered", "order", context.facts.order.order_no, {"tests": codes})


async def verify(context: CommandContext, payload: VerifyResults) -> None:
    """Accept results technically, or send tests back to be run again.

    Raises:
        ConflictError: Nothing awaits this level, or a named test does not.
        NotPermittedError: A person verifies what they typed themselves.
    """
    await _decide(context, payload.level, payload.decisions)


async def authorise(context: CommandContext, payload: AuthoriseReport) -> None:
    """Authorise verified results medically, or send tests back.

    Raises:
        ConflictError: Nothing awaits this level, or a named test does not.
        NotPermittedError: A person authorises what they typed themselves.
    """
    await _decide(context, payload.level, payload.decisions)


async def _decide(context: CommandContext, level: VerificationLevel, decisions: Sequence[ResultDecision]) -> None:
    waiting = {test.code: (line, test) for line, test in await context.lines() if line.state is AWAITED[level]}
    chosen = decisions or [ResultDecision(test_code=code) for code in waiting]
    missing = sorted({decision.test_code for decision in chosen} - waiting.keys())
    if missing or not chosen:
        raise ConflictError(
            f"no result awaits {level.value} verification: {', '.join(missing) or 'none at all'}",
            code="NOT_AWAITING_VERIFICATION",
        )
    devices = await measured_by(context.session, (line for line, _ in waiting.values()))
    for decision in chosen:
        await _decide_one(context, level, decision, *waiting[decision.test_code])
    again = [waiting[decision.test_code][0] for decision in chosen if not decision.is_accepted]
    await queue_rerun(context.session, context.facts.order, again, devices)
    accepted = [decision.test_code for decision in chosen if decision.is_accepted]
    rejected = [decision.test_code for decision in chosen if not decision.is_accepted]
    detail = {"level": level.value, "accepted": accepted, "rejected": rejected}
    await context.event("results_verified" if level is VerificationLevel.TECHNICAL else "results_authorised", detail)
    await context.audit("results.decided", "order", context.facts.order.order_no, detail)


async def _decide_one(
    context: CommandContext, level: VerificationLevel, decision: ResultDecision, line: OrderLine, test: LabTest
) -> None:
    session = context.session
    query = select(Result).where(Result.order_line_id == line.id, Result.state == ResultState.CURRENT)
    result = (await session.exec(query)).one()
    if result.entered_by == context.actor.user_id:
        raise NotPermittedError(
            f"{test.code} was entered by the same person", code="SELF_VERIFICATION",
            action="Somebody else must verify a result that was typed in.",
        )  # fmt: skip
    if not decision.is_accepted and len(decision.reason) < 3:  # noqa: PLR2004
        raise RuleError(f"{test.code}: a rejection needs a reason", code="REASON_MISSING", action="Say why.")
    session.add(
        Verification(
            result_id=result.id,
            order_line_id=line.id,
            level=level,
            decision=VerificationDecision.ACCEPTED if decision.is_accepted else VerificationDecision.REJECTED,
            user_id=context.actor.user_id,
            reason=decision.reason,
        )
    )
    if decision.is_accepted:
        line.state = REACHED[level]
    else:
        await supersede_current(session, line.id)
        line.state = LineState.ORDERED
    session.add(line)
    await session.flush()
