"""Writes one result version: parsed, flagged and versioned in the transaction of whoever brings it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from sqlalchemy import func
from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from domain.catalogue import ReferenceInterval, SexScope
from domain.clock import lab_day
from domain.enums import LineState, ResultSource, ResultState
from domain.errors import ConflictError, RuleError
from domain.results import Comparator, ResultFlag, ResultKind, ResultValue
from rules import flags
from rules.result_values import MAX_RESULT_CHARS, parse_result
from store.tables.catalogue import LabTest, ReferenceIntervalRow
from store.tables.orders import OrderLine, Sample
from store.tables.patients import Patient
from store.tables.results import Result

CLOSED_LINES = frozenset({LineState.AUTHORISED, LineState.CANCELLED})
"""States in which a test takes no result any more."""

UNIT_MISMATCH = "unit_mismatch"
"""Held because the number is in another unit than the test's: it is compared with no limit."""


@dataclass(frozen=True)
class Measurement:
    """A value on its way to becoming a result.

    Attributes:
        dedupe_key: Same for the same measurement however often it comes.
        hold_reason: Why a person must look before it counts, or "".
    """

    value: str
    unit: str
    source: ResultSource
    dedupe_key: str
    observed_at: datetime
    hold_reason: str = ""
    decimal_comma: bool = False
    device_flags: tuple[str, ...] = ()
    comments: tuple[str, ...] = ()
    analyzer_id: UUID | None = None
    message_id: UUID | None = None
    command_id: UUID | None = None
    entered_by: UUID | None = None


@dataclass(frozen=True)
class TestLine:
    """An ordered test with everything its result depends on."""

    __test__ = False
    line: OrderLine
    test: LabTest
    sample: Sample
    patient: Patient
    intervals: list[ReferenceInterval] = field(default_factory=list)


async def record_result(session: AsyncSession, target: TestLine, measured: Measurement) -> Result | None:
    """Add a version, or return None when this measurement is already there.

    A held result stands beside the current one and changes nothing else. A usable one becomes current, and the test
    goes back to technical verification even if an earlier version was verified. The caller holds the order's lock, so
    that the line is as it reads.

    Raises:
        ConflictError: The test is authorised or cancelled: what a pathologist signed changes by amendment only.
    """
    if target.line.state in CLOSED_LINES:
        raise ConflictError(f"{target.test.code} is already {target.line.state.value}", code="RESULT_AUTHORISED")
    if await is_recorded(session, measured.dedupe_key):
        return None
    result = await _build(session, target, measured)
    if result.state is ResultState.CURRENT:
        await supersede_current(session, target.line.id)
        target.line.state = LineState.RESULTED
        session.add(target.line)
    session.add(result)
    await session.flush()
    return result


async def is_recorded(session: AsyncSession, dedupe_key: str) -> bool:
    """Tell whether a measurement is there already."""
    return await recorded(session, dedupe_key) is not None


async def recorded(session: AsyncSession, dedupe_key: str) -> Result | None:
    """Return the result of a measurement, None where it is not there."""
    return (await session.exec(select(Result).where(Result.dedupe_key == dedupe_key))).one_or_none()


async def current_result(session: AsyncSession, line_id: UUID) -> Result | None:
    """Return the version of a test that is in force."""
    query = select(Result).where(Result.order_line_id == line_id, Result.state == ResultState.CURRENT)
    return (await session.exec(query)).one_or_none()


async def supersede_held(session: AsyncSession, line_id: UUID, reasons: Iterable[str]) -> None:
    """Take held versions out of the waiting, because a usable value has come; they stay on record."""
    query = select(Result).where(
        Result.order_line_id == line_id,
        Result.state == ResultState.HELD,
        col(Result.hold_reason).in_(list(reasons)),
    )
    for old in (await session.exec(query.with_for_update())).all():
        old.state = ResultState.SUPERSEDED
        session.add(old)
    await session.flush()


async def supersede_current(session: AsyncSession, line_id: UUID) -> None:
    """Take the current version of a test out of force; it stays on record."""
    query = select(Result).where(Result.order_line_id == line_id, Result.state == ResultState.CURRENT)
    for old in (await session.exec(query.with_for_update())).all():
        old.state = ResultState.SUPERSEDED
        session.add(old)
    await session.flush()


async def _build(session: AsyncSession, target: TestLine, measured: Measurement) -> Result:
    test, patient = target.test, target.patient
    value = _parsed(measured, ResultKind(test.kind))
    collected_on = lab_day(target.sample.collected_at or measured.observed_at)
    age = flags.age_in_days(patient.birth_date, collected_on)
    interval = flags.find_interval(target.intervals, sex=patient.sex, age_days=age)
    is_comparable = measured.hold_reason != UNIT_MISMATCH
    found = (
        flags.flag(value, interval, test.critical_low, test.critical_high)
        if is_comparable
        else ResultFlag.NOT_APPLICABLE
    )
    unreadable = "not_a_number" if value.kind is not ResultKind(test.kind) else ""
    hold = measured.hold_reason or unreadable
    last = await session.exec(select(func.max(Result.version)).where(Result.order_line_id == target.line.id))
    return Result(
        order_line_id=target.line.id,
        sample_id=target.sample.id,
        version=(last.one() or 0) + 1,
        state=ResultState.HELD if hold else ResultState.CURRENT,
        source=measured.source,
        dedupe_key=measured.dedupe_key,
        analyzer_id=measured.analyzer_id,
        message_id=measured.message_id,
        command_id=measured.command_id,
        value_text=value.text,
        comparator=value.comparator.value,
        number=value.number,
        unit=measured.unit if not is_comparable else measured.unit or test.unit_display,
        flag=found.value,
        is_critical=ResultFlag(found).is_critical,
        reference_low=interval.low if interval else None,
        reference_high=interval.high if interval else None,
        reference_text=interval.printed(test.decimals or 0) if interval else "",
        device_flags=list(measured.device_flags),
        comments=list(measured.comments),
        hold_reason=hold,
        rules_version=flags.RULES_VERSION,
        observed_at=measured.observed_at,
        entered_by=measured.entered_by,
    )


def _parsed(measured: Measurement, kind: ResultKind) -> ResultValue:
    """Read a value; one that is held anyway may be empty or anything else."""
    try:
        return parse_result(measured.value, kind, decimal_comma=measured.decimal_comma)
    except RuleError:
        if not measured.hold_reason:
            raise
        return ResultValue(measured.value[:MAX_RESULT_CHARS], ResultKind.TEXT, Comparator.EXACT, None)


async def intervals_of(session: AsyncSession, test_id: UUID) -> list[ReferenceInterval]:
    """Return a test's reference intervals."""
    rows = await session.exec(select(ReferenceIntervalRow).where(col(ReferenceIntervalRow.test_id) == test_id))
    return [
        ReferenceInterval(
            sex=SexScope(row.sex),
            age_from_days=row.age_from_days,
            age_to_days=row.age_to_days,
            low=row.low,
            high=row.high,
            text=row.text,
            normal=tuple(row.normal),
            source=row.source,
        )
        for row in rows.all()
    ]
