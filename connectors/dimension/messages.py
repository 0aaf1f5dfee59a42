"""Texts of Dimension analyzers read into the lab's words.

Source: Dimension Clinical Chemistry Systems Interface Specification Guide as implemented by RosieLIS (MIT), read in
specs.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, timezone
from typing import Final

from connectors.blocks import bare_message
from connectors.dimension.texts import fields_of, rules
from domain.device_profile import DeviceProfile, FieldReader, decode_text, parse_path
from domain.errors import MessageError
from domain.observations import InstrumentMessage, MessageKind, Observation, ObservationStatus, SpecimenReport

__all__ = ["read_message"]

MAX_MESSAGE_BYTES = 1 << 20

_SAMPLE: Final = 3
_SENT_AT: Final = 7
_DILUTION: Final = 9
_COUNT: Final = 10
_FIRST_TEST: Final = 11
_FIELDS_PER_TEST: Final = 4
_MAX_COUNT_DIGITS: Final = 4
_MOMENT = re.compile(r"(\d\d)(\d\d)(\d\d)(\d\d)(\d\d)(\d\d)", re.ASCII)
_CENTURY: Final = 2000
_STATUS: Final = {"": ObservationStatus.FINAL, "0": ObservationStatus.FINAL}
"""By error code: any other is held for a person, unless the profile says what it means."""


def read_message(raw: bytes, profile: DeviceProfile) -> InstrumentMessage:
    """Read one message: its text without the checksum, or the whole block.

    Raises:
        MessageError: It is longer than a message may be, or its fields are not those of a result.
    """
    if len(raw) > MAX_MESSAGE_BYTES:
        raise MessageError("the message is too long", code="DIMENSION_TOO_LONG", action="Look at the raw message.")
    body = bare_message(raw, rules(check=profile.checksum == "required"))
    text, _ = decode_text(body, ("ascii", "utf-8") if profile.charset == "auto" else (profile.charset,))
    fields = fields_of(text)
    match fields[0]:
        case "R":
            return _read_results(fields, profile)
        case "I":
            asked = tuple(field for field in fields[1:2] if field)
            return InstrumentMessage(
                kind=MessageKind.QUERY, message_id="", sender="", sent_at=None, queried_specimens=asked
            )
        case "P" | "C" | "N" | "D":
            # what calibrations carry is known to be wrong: times and coefficients are those of the one before
            return InstrumentMessage(kind=MessageKind.OTHER, message_id="", sender="", sent_at=None)
        case "M":
            return InstrumentMessage(kind=MessageKind.ACKNOWLEDGEMENT, message_id="", sender="", sent_at=None)
        case _:
            raise MessageError(
                "the message is of a type this software does not know",
                code="DIMENSION_TYPE", action="Check that the device speaks Dimension; report the raw message.",
            )  # fmt: skip


def _read_results(fields: list[str], profile: DeviceProfile) -> InstrumentMessage:
    rows = _rows(fields)
    run_at = _instant(fields[_SENT_AT], profile)
    read = _reader(fields)
    report = SpecimenReport(
        specimen_id=fields[_SAMPLE],
        observations=tuple(_observation(row, run_at, fields[_DILUTION], profile) for row in rows),
        is_control=profile.is_control(read),
        control_name=fields[_SAMPLE] if profile.is_control(read) else "",
    )
    return InstrumentMessage(kind=MessageKind.RESULTS, message_id="", sender="", sent_at=run_at, specimens=(report,))


def _rows(fields: list[str]) -> list[list[str]]:
    """Return the four fields of every test; empty ones may be left off the end.

    Raises:
        MessageError: There are not as many tests as the message says.
    """
    count = fields[_COUNT] if len(fields) > _COUNT else ""
    size = int(count) if count.isascii() and count.isdigit() and len(count) <= _MAX_COUNT_DIGITS else -1
    flat = fields[_FIRST_TEST:]
    while flat and not flat[-1]:
        flat.pop()
    if -(-len(flat) // _FIELDS_PER_TEST) != size:
        raise MessageError(
            "the number of tests does not fit the fields that follow",
            code="DIMENSION_RESULT", action="Look at the raw message; let the analyzer send it again.",
        )  # fmt: skip
    flat += [""] * (size * _FIELDS_PER_TEST - len(flat))
    return [flat[at : at + _FIELDS_PER_TEST] for at in range(0, len(flat), _FIELDS_PER_TEST)]


def _observation(row: list[str], run_at: datetime | None, dilution: str, profile: DeviceProfile) -> Observation:
    name, value, unit, error = row
    value = profile.value_text(value)
    return Observation(
        code=name,
        value=value,
        unit=unit,
        abnormal_flags=(error,) if error not in _STATUS else (),
        status=profile.settled_status(error, value, _STATUS),
        observed_at=run_at,
        replicate=dilution if dilution not in {"", "1"} else "",
    )


def _instant(text: str, profile: DeviceProfile) -> datetime | None:
    """Return the instant of `ssmmhhDDMMYY` in the device's time, else what the profile makes of it."""
    match = _MOMENT.fullmatch(text)
    if match is None:
        return profile.instant(text)
    second, minute, hour, day, month, year = (int(part) for part in match.groups())
    zone = timezone(timedelta(minutes=profile.utc_offset_minutes))
    try:
        return datetime(_CENTURY + year, month, day, hour, minute, second, tzinfo=zone).astimezone(UTC)
    except ValueError:
        return None


def _reader(fields: list[str]) -> FieldReader:
    """Return the reader of a profile's rules: R.3 is the sample, counted from the type, which is 0."""

    def read(path: str) -> tuple[str, ...]:
        segment, number, _, _ = parse_path(path)
        return (fields[number],) if segment == "R" and number < min(len(fields), _FIRST_TEST) else ()

    return read
