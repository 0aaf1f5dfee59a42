"""Writes the values of one tube: to the test that was ordered, in its unit, or held with the reason."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, replace
from decimal import Decimal
from uuid import UUID

from sqlmodel.ext.asyncio.session import AsyncSession

from activities.instruments.matching import NoTube, Tube, find_tube, lines_of
from activities.instruments.source import Findings, Source
from activities.resulting import (
    CLOSED_LINES,
    UNIT_MISMATCH,
    Measurement,
    TestLine,
    current_result,
    is_recorded,
    record_result,
    recorded,
    supersede_held,
)
from domain.enums import ExceptionKind, LineState, ResultSource, ResultState
from domain.errors import RuleError
from domain.observations import Observation, ObservationStatus, SpecimenReport
from domain.results import ResultKind
from rules.mapping import UnitRule, UnitVerdict, judged_unit
from rules.result_values import MAX_RESULT_CHARS, parse_result
from rules.units import multiplied
from store.exceptions import resolve_place
from store.tables.devices import DeviceMapping
from store.tables.results import Result
from store.timeline import add_event

_HELD = {
    ObservationStatus.FAILED: "not_measured",
    ObservationStatus.PRELIMINARY: "preliminary",
    ObservationStatus.UNKNOWN: "unknown_status",
}
_SKIPPED = {ObservationStatus.PENDING}
_COUNTS = {ObservationStatus.FINAL, ObservationStatus.RERUN}
_EXPECTED_LATER = {"preliminary"}
"""Held, but no exception: the device says that the final value follows."""
_UNUSABLE = frozenset({*_HELD.values(), "no_value", "too_long", "not_a_number", UNIT_MISMATCH})
"""Holds that a usable value ends by itself; what differs or is late stays for a person."""
_MAX_UNIT_CHARS = 60
REPLICATES_DIFFER = "replicates_differ"
OLDER = "older_than_current"
SUPERSEDED_AGAIN = "superseded_before"
OTHER_SOURCE = "other_source_differs"


@dataclass(frozen=True)
class _Value:
    """A value as it would become a result.

    Attributes:
        text: In the test's unit, or as sent where it is held.
        unit: Of the text.
    """

    text: str
    unit: str
    hold: str = ""
    decimal_comma: bool = False


@dataclass(frozen=True)
class _Rack:
    """One specimen of a message, its tube and what was ordered on it."""

    source: Source
    report: SpecimenReport
    tube: Tube
    lines: Mapping[UUID, TestLine]


@dataclass(frozen=True)
class _Place:
    """Where one observation belongs."""

    rack: _Rack
    observation: Observation
    target: TestLine
    mapping: DeviceMapping

    @property
    def source(self) -> Source:
        """The message."""
        return self.rack.source


async def place_report(session: AsyncSession, source: Source, report: SpecimenReport, found: Findings) -> None:
    """Write the results of one specimen, or note why they wait."""
    tube = await find_tube(session, source, report)
    if isinstance(tube, NoTube):
        found.unmatch(report.specimen_id, tube.why)
        return
    rack = _Rack(source, report, tube, await lines_of(session, tube))
    measured = [observation for observation in report.observations if observation.status not in _SKIPPED]
    places = [await _place_of(session, rack, observation, found) for observation in measured]
    placed = [place for place in places if place is not None]
    differing = _differing(placed)
    written = [
        place.target.test.code
        for place in placed
        if await _write(session, place, found, is_differing=place.target.test.id in differing)
    ]
    found.matched += 1
    found.orders.add(tube.order.id)
    if written:
        found.written.append((tube.order, tube.barcode, written))
        await add_event(
            session,
            tube.order.id,
            source="analyzer",
            kind="results_received",
            actor=source.analyzer.code,
            detail={"accession_no": tube.barcode, "tests": written, "message_id": str(source.row.id)},
        )


async def _place_of(session: AsyncSession, rack: _Rack, observation: Observation, found: Findings) -> _Place | None:
    """Return the ordered test that an observation is of: the variant that was ordered, and only if it is one."""
    code, shown, specimen = observation.code, observation.code[:30], rack.report.specimen_id
    mappings = rack.source.codes.get(code)
    is_unwanted = code in rack.source.profile.ignored_codes
    if not mappings and is_unwanted:
        found.ignored.append(shown)
        return None
    if not mappings:
        found.misplace(ExceptionKind.UNMAPPED_CODE, specimen, code, f"unmapped code {shown}")
        return None
    ordered = [(rack.lines[mapping.test_id], mapping) for mapping in mappings if mapping.test_id in rack.lines]
    ordered = [pair for pair in ordered if pair[0].line.state is not LineState.CANCELLED] or ordered
    if not ordered:
        if is_unwanted:
            found.ignored.append(shown)
        else:
            found.spare(specimen, code)
        return None
    if len(ordered) > 1:
        names = ", ".join(sorted(target.test.code for target, _ in ordered))
        found.misplace(ExceptionKind.AMBIGUOUS_CODE, specimen, code, f"{shown} may be {names}")
        return None
    target, mapping = ordered[0]
    if target.line.state in CLOSED_LINES:
        # a signed result stands; that the device says something new about it is for a person to see
        if not await is_recorded(session, rack.source.key_of(observation, rack.tube.barcode)):
            why = f"{shown} is already {target.line.state.value}"
            found.misplace(ExceptionKind.ALREADY_CLOSED, specimen, code, why)
        return None
    return _Place(rack, observation, target, mapping)


def _differing(placed: list[_Place]) -> set[UUID]:
    """Return the tests of which this message has several final values that differ, where the device's profile cares."""
    values: defaultdict[UUID, set[str]] = defaultdict(set)
    corrected: set[UUID] = set()
    for place in placed:
        if place.source.profile.replicates != "hold":
            continue
        if place.observation.status in _COUNTS:
            values[place.target.test.id].add(_comparable(place.observation.value))
        elif place.observation.status is ObservationStatus.CORRECTED:
            corrected.add(place.target.test.id)
    return {test_id for test_id, texts in values.items() if len(texts) > 1} - corrected


def _comparable(text: str) -> str:
    """Return the same text for the same number: `1.10` is `1.1`."""
    try:
        value = parse_result(text, ResultKind.NUMERIC)
    except RuleError:
        return text.strip()
    return f"{value.comparator.value}{value.number.normalize()}" if value.number is not None else text.strip()


async def _write(session: AsyncSession, place: _Place, found: Findings, *, is_differing: bool) -> bool:
    """Write one value; False where it is there already."""
    value, key = _value_of(place), place.source.key_of(place.observation, place.rack.tube.barcode)
    if not value.hold:
        current = await current_result(session, place.target.line.id)
        value = replace(value, hold=REPLICATES_DIFFER if is_differing else _clash(place, value, current))
        again = await recorded(session, key)
        if again is not None and not _is_new_run(place, again):
            _note_held(place, again, found)
            return False
        if again is not None:
            # without a time nobody can tell a repeated transmission from a rerun that gave the earlier value
            key = f"{key}:{place.source.row.id}"
            is_doubtful = current is not None or place.source.is_repeat
            value = replace(value, hold=SUPERSEDED_AGAIN if is_doubtful else value.hold)
    # a held value and the same one made usable are two versions of one measurement
    key = f"{key}:{value.hold}" if value.hold else key
    try:
        result = await record_result(session, place.target, _measurement(place, value, key))
    except RuleError as error:  # e.g. the patient's birth date lies after the collection
        shown = place.observation.code[:30]
        found.misplace(
            ExceptionKind.UNUSABLE_VALUE,
            place.rack.report.specimen_id,
            place.observation.code,
            f"{shown}: {error.code}",
        )
        return False
    stored = result or await recorded(session, key)
    if stored is not None and stored.state is ResultState.HELD:
        _note_held(place, stored, found)
    elif result is not None:
        await supersede_held(session, place.target.line.id, _UNUSABLE)
        await resolve_place(
            session, analyzer_id=place.source.analyzer.id, specimen_id=place.rack.report.specimen_id,
            device_code=place.observation.code, reason="a usable value came",
        )  # fmt: skip
    return result is not None


def _is_new_run(place: _Place, again: Result) -> bool:
    """Tell whether a value that was there before may be a new measurement: it has no time, and another took over."""
    is_other_message = again.message_id != place.source.row.id
    return place.observation.observed_at is None and again.state is ResultState.SUPERSEDED and is_other_message


def _clash(place: _Place, value: _Value, current: Result | None) -> str:
    """Return why a usable value may not take the place of the one in force, or ""."""
    observation = place.observation
    if current is None:
        return ""
    differs = _comparable(value.text) != _comparable(current.value_text)
    if current.analyzer_id != place.source.analyzer.id:
        # what somebody typed or another device measured is never displaced in silence
        return OTHER_SOURCE if differs else ""
    if observation.status is ObservationStatus.CORRECTED:
        return ""
    if observation.observed_at is not None and observation.observed_at < current.observed_at:
        return OLDER
    return REPLICATES_DIFFER if differs and place.source.profile.replicates == "hold" else ""


def _measurement(place: _Place, value: _Value, key: str) -> Measurement:
    source, observation = place.source, place.observation
    return Measurement(
        value=value.text,
        unit=value.unit,
        source=ResultSource.ANALYZER,
        dedupe_key=key,
        observed_at=observation.observed_at or source.message.sent_at or source.row.received_at,
        hold_reason=value.hold,
        decimal_comma=value.decimal_comma,
        device_flags=observation.abnormal_flags,
        comments=(*observation.comments, *place.rack.report.comments),
        analyzer_id=source.analyzer.id,
        message_id=source.row.id,
    )


def _note_held(place: _Place, result: Result, found: Findings) -> None:
    """Note an exception for a result that waits for a person; none where the device says that a final value follows."""
    if result.state is not ResultState.HELD or result.hold_reason in _EXPECTED_LATER:
        return
    specimen, code = place.rack.report.specimen_id, place.observation.code
    if result.hold_reason == UNIT_MISMATCH:
        test = place.target.test
        detail = f"sent {result.unit[:40] or 'no unit'}, {test.code} is in {test.unit or 'none'}"
        found.note(ExceptionKind.UNIT_MISMATCH, detail, specimen, code)
    else:
        found.note(ExceptionKind.UNUSABLE_VALUE, result.hold_reason, specimen, code)


def _value_of(place: _Place) -> _Value:
    """Return a value in its test's unit, or with why a person must look at it before it counts."""
    observation, test = place.observation, place.target.test
    comma = place.source.profile.decimal_comma
    unit = test.unit_display or test.unit
    hold = _hold_reason(observation)
    if hold or test.kind != ResultKind.NUMERIC:
        return _Value(observation.value, unit, hold, comma)
    mapping = place.mapping
    rule = UnitRule(mapping.unit, mapping.factor, mapping.target_unit)
    verdict = judged_unit(observation.unit, rule, test.unit, test.unit_display)
    if verdict is UnitVerdict.MISMATCH:
        return _Value(observation.value, observation.unit[:_MAX_UNIT_CHARS], UNIT_MISMATCH, comma)
    if verdict is UnitVerdict.CONVERT and mapping.factor is not None:
        return _converted(observation.value, mapping.factor, unit, decimal_comma=comma)
    return _Value(observation.value, unit, "", comma)


def _hold_reason(observation: Observation) -> str:
    """Return why a value may not count whatever its unit is, or ""."""
    if observation.status in _HELD:
        return _HELD[observation.status]
    if not observation.value.strip():
        return "no_value"
    return "too_long" if len(observation.value) > MAX_RESULT_CHARS else ""


def _converted(text: str, factor: Decimal, unit: str, *, decimal_comma: bool) -> _Value:
    """Return the exact product; `<` and `>` stay with the limit they belong to. What is no number stays as it is."""
    value = parse_result(text, ResultKind.NUMERIC, decimal_comma=decimal_comma)
    if value.number is None:
        return _Value(text, unit, "not_a_number", decimal_comma)
    return _Value(f"{value.comparator.value}{multiplied(value.number, factor):f}", unit)
