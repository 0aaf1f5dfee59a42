"""Deciding about results that were held: a person accepts or rejects what the device said."""

from __future__ import annotations

from sqlalchemy import text
from sqlmodel import select

from activities.resulting import CLOSED_LINES, supersede_current
from activities.staff.context import CommandContext
from domain.clock import utc_now
from domain.enums import LineState, ResultState
from domain.errors import ConflictError, NotFoundError, RuleError
from domain.messages import DecideHeld, HeldDecision
from domain.results import ResultKind
from store.tables.catalogue import LabTest
from store.tables.orders import OrderLine, Sample
from store.tables.results import Result

ACCEPTABLE = frozenset(
    {
        "preliminary", "unknown_status", "replicates_differ", "older_than_current", "superseded_before",
        "other_source_differs",
    }
)  # fmt: skip
"""Reasons after which a value may count all the same. A failed measurement, or a number in a unit that nobody
confirmed, may not: it is measured again, or its mapping is corrected and the message read again."""

_SHORTEST_REASON = 3
_RESOLVE = text(
    "update instrument_exceptions e set state = 'resolved', closed_at = :now, closed_by = :user_id,"
    " close_reason = :reason where e.message_id = :message_id and e.state = 'open'"
    " and e.kind in ('unit_mismatch', 'unusable_value')"
    " and e.device_code in (select m.device_code from device_mappings m"
    "   where m.analyzer_id = :analyzer_id and m.test_id = :test_id)"
    " and (position(:accession_no in e.specimen_id) > 0 or exists (select from specimen_corrections c"
    "   where c.message_id = e.message_id and c.specimen_id = e.specimen_id and c.accession_no = :accession_no"
    "   and c.undone_at is null))"
)


async def decide(context: CommandContext, payload: DecideHeld) -> None:
    """Accept held values, which then await verification by somebody else, or reject them.

    Raises:
        NotFoundError: A test is none of the order's, or has no such version.
        ConflictError: The version is not held, its test is authorised, or it can never count.
        RuleError: A rejection has no reason.
    """
    by_code = {test.code: (line, test) for line, test in await context.lines()}
    for decision in payload.decisions:
        if decision.test_code not in by_code:
            raise NotFoundError(f"{decision.test_code} was not ordered", code="TEST_NOT_ORDERED")
        await _decide_one(context, decision, *by_code[decision.test_code])
    detail = {
        "accepted": [f"{one.test_code}/{one.version}" for one in payload.decisions if one.is_accepted],
        "rejected": [f"{one.test_code}/{one.version}" for one in payload.decisions if not one.is_accepted],
    }
    await context.event("held_results_decided", detail)
    reasons = {f"{one.test_code}/{one.version}": one.reason for one in payload.decisions if one.reason}
    await context.audit("results.held_decided", "order", context.facts.order.order_no, {**detail, **reasons})


async def _decide_one(context: CommandContext, decision: HeldDecision, line: OrderLine, test: LabTest) -> None:
    session, name = context.session, f"{decision.test_code} version {decision.version}"
    query = select(Result).where(Result.order_line_id == line.id, Result.version == decision.version)
    result = (await session.exec(query.with_for_update())).one_or_none()
    if result is None:
        raise NotFoundError(f"there is no {name}", code="RESULT_UNKNOWN")
    if result.state is not ResultState.HELD:
        raise ConflictError(f"{name} is {result.state.value}, not held", code="RESULT_NOT_HELD")
    if line.state in CLOSED_LINES:
        raise ConflictError(f"{test.code} is already {line.state.value}", code="RESULT_AUTHORISED")
    if decision.is_accepted:
        _require_acceptable(result, line, test)
        await context.test_line(line, test)
        await supersede_current(session, line.id)
        result.state, line.state = ResultState.CURRENT, LineState.RESULTED
        # who lets a held value count stands for it as if it were typed: somebody else verifies it
        result.entered_by = context.actor.user_id
        session.add(line)
    else:
        if len(decision.reason) < _SHORTEST_REASON:
            raise RuleError(f"{name}: a rejection needs a reason", code="REASON_MISSING", action="Say why.")
        result.state = ResultState.SUPERSEDED
    session.add(result)
    await session.flush()
    await _resolve(context, decision, result, line)


def _require_acceptable(result: Result, line: OrderLine, test: LabTest) -> None:
    is_readable = result.number is not None or test.kind not in {ResultKind.NUMERIC, ResultKind.TITRE}
    if result.hold_reason not in ACCEPTABLE or not is_readable or result.sample_id != line.sample_id:
        raise ConflictError(
            f"{test.code} was held as {result.hold_reason}: it cannot count", code="HELD_NOT_USABLE",
            action="Run the test again, type the result, or correct the mapping and have the message read again.",
        )  # fmt: skip


async def _resolve(context: CommandContext, decision: HeldDecision, result: Result, line: OrderLine) -> None:
    sample = await context.session.get_one(Sample, result.sample_id)
    facts = {
        "now": utc_now(), "user_id": context.actor.user_id, "message_id": result.message_id,
        "analyzer_id": result.analyzer_id, "test_id": line.test_id, "accession_no": sample.accession_no,
        "reason": "accepted by a person" if decision.is_accepted else "rejected by a person",
    }  # fmt: skip
    await context.session.execute(_RESOLVE, facts)
