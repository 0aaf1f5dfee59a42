"""Rows of a message by a device's profile: which are results, under which code, with which value and unit.

Shared by the readers of all protocols; each hands in how its fields are read.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Sequence
from dataclasses import replace
from decimal import Decimal
from enum import Enum, auto
from typing import Final

from domain.device_profile import DELETE_VALUE, DeviceProfile, FieldReader, first_value
from domain.observations import Observation, ObservationStatus

_MEASURED: Final = frozenset({ObservationStatus.FINAL, ObservationStatus.CORRECTED, ObservationStatus.PRELIMINARY})
_NUMBER = re.compile(r"[+-]?\d+(?:\.\d+)?", re.ASCII)
_LONG_FRACTION = re.compile(r"[+-]?(\d{1,18})\.\d{1,40}", re.ASCII)
_VALUE_AND_UNIT = re.compile(r"([<>]?=?\s*[+-]?\d+(?:\.\d+)?(?:[eE][+-]?\d{1,3})?)\s+(\S.{0,30})", re.ASCII)
_LIMIT = re.compile(r"[<>]?=?\s*[+-]?\d+(?:[.,]\d+)?", re.ASCII)
_COMMA_IN_NUMBER = re.compile(r"(?<=\d),(?=\d)", re.ASCII)
_SCANNED_CHARS = 200


def is_plain(profile: DeviceProfile) -> bool:
    """Tell whether the profile says nothing about codes, values, units, ranges, flags and status of rows."""
    return not (
        profile.code_cut or profile.row_variants or profile.side_value_fields or profile.unit_fields
        or profile.unit_names or profile.unit_in_value or profile.range_fields or profile.flag_fields
        or profile.flag_separator or profile.held_rows or profile.zero_is_failure or profile.significant_digits
        or profile.decimal_comma
    )  # fmt: skip


class RowKind(Enum):
    """What a row is."""

    RESULT = auto()
    COMMENT = auto()
    IMAGE = auto()
    SKIPPED = auto()


def row_kind(profile: DeviceProfile, read: FieldReader) -> RowKind:
    """Say what the row `read` sees is: image and skip rules first, then comments; what is to be kept comes last."""
    if any(rule.holds(read) for rule in profile.image_rows):
        return RowKind.IMAGE
    if any(rule.holds(read) for rule in profile.skip_rows):
        return RowKind.SKIPPED
    if any(rule.holds(read) for rule in profile.comment_rows):
        return RowKind.COMMENT
    if profile.keep_rows and not any(rule.holds(read) for rule in profile.keep_rows):
        return RowKind.SKIPPED
    return RowKind.RESULT


def specimen_id(profile: DeviceProfile, read: FieldReader) -> str:
    """Return the barcode `read` sees: the first that fits the device's pattern, else the first there is, else ""."""
    found = [_cut_specimen(profile, text) for path in profile.specimen_fields if (text := first_value((path,), read))]
    if profile.specimen_pattern:
        fitting = [text for text in found if re.match(profile.specimen_pattern, text[:_SCANNED_CHARS])]
        found = fitting or found
    return next(iter(found), "")


def patient_ids(profile: DeviceProfile, read: FieldReader) -> tuple[str, ...]:
    """Return what `read` sees of a patient's numbers, at most one per field."""
    found = (first_value((path,), read)[:_SCANNED_CHARS] for path in profile.patient_fields)
    return tuple(dict.fromkeys(text for text in found if text))


def _cut_specimen(profile: DeviceProfile, text: str) -> str:
    match = re.match(profile.specimen_cut, text[:_SCANNED_CHARS]) if profile.specimen_cut else None
    return (match[1] or "").strip() if match else text


def code_and_replicate(profile: DeviceProfile, read: FieldReader) -> tuple[str, str]:
    """Return the device's code of a row and its replicate or dilution, each "" where there is none."""
    code = first_value(profile.test_code_fields, read)
    replicate = first_value(profile.replicate_fields, read)
    match = re.match(profile.code_cut, code[:_SCANNED_CHARS]) if profile.code_cut else None
    if match:
        code = (match["code"] or "").strip()
        replicate = replicate or (match.groupdict().get("replicate") or "").strip()
    suffix = next((variant.suffix for variant in profile.row_variants if variant.when.holds(read)), "")
    return (code + suffix if code else "", replicate)


def finished(profile: DeviceProfile, row: Observation, read: FieldReader) -> Observation:
    """Return `row` with what the profile says of its value, unit, range, flags and status.

    Args:
        profile: Of the device.
        row: As the protocol's reader found it, value and status by the standard.
        read: Reads the fields of the row.
    """
    value, unit = row.value, first_value(profile.unit_fields, read) or row.unit
    match = _VALUE_AND_UNIT.fullmatch(value) if profile.unit_in_value and not unit else None
    if match:
        value, unit = match[1], match[2].strip()
    beside = (first_value((path,), read) for path in profile.side_value_fields)
    return replace(
        row,
        value=_rounded(value, profile.significant_digits),
        unit=profile.unit_names.get(unit, unit),
        reference_range=_range(profile, first_value(profile.range_fields, read) or row.reference_range),
        abnormal_flags=_flags(profile, row, read),
        status=_status(profile, row, read),
        comments=(*row.comments, *(text for text in beside if text and profile.value_text(text) != value)),
    )


def _flags(profile: DeviceProfile, row: Observation, read: FieldReader) -> tuple[str, ...]:
    found = [text.strip() for path in profile.flag_fields for text in read(path)]
    found = [text for text in found if text and text != DELETE_VALUE] or list(row.abnormal_flags)
    if profile.flag_separator:
        found = [part.strip() for text in found for part in text.split(profile.flag_separator)]
    return tuple(text for text in found if text)


def _status(profile: DeviceProfile, row: Observation, read: FieldReader) -> ObservationStatus:
    if row.status not in _MEASURED:
        return row.status
    if row.code in profile.zero_is_failure and _NUMBER.fullmatch(row.value) and Decimal(row.value) == 0:
        return ObservationStatus.FAILED
    if any(rule.holds(read) for rule in profile.held_rows):
        return ObservationStatus.UNKNOWN
    return row.status


def _range(profile: DeviceProfile, text: str) -> str:
    return _COMMA_IN_NUMBER.sub(".", text) if profile.decimal_comma else text


def _rounded(value: str, digits: int) -> str:
    """Round a fraction to `digits` significant digits and drop the zeros at its end; whole digits are never touched."""
    match = _LONG_FRACTION.fullmatch(value) if digits else None
    if match is None:
        return value
    whole = len(match[1].lstrip("0"))
    shown = f"{Decimal(value):.{max(digits - whole, 0)}f}"
    if len(shown) >= len(value):
        return value
    return shown.rstrip("0").rstrip(".") if "." in shown else shown


def range_of(text: str, components: Sequence[str]) -> str:
    """Return a reference range: two limits in components of their own (`138^146`) become `138-146`."""
    parts = [part.strip() for part in components]
    is_split = len(parts) > 1 and all(_LIMIT.fullmatch(part) for part in parts[:2]) and not any(parts[2:])
    return "-".join(parts[:2]) if is_split else text.strip()


def image_content(encoding: str, data: str) -> bytes:
    """Return the bytes of an image; what cannot be decoded is kept as it came."""
    raw = data.encode("utf-8", errors="replace")
    if encoding.strip().lower() != "base64":
        return raw
    try:
        return base64.b64decode(raw)
    except (binascii.Error, ValueError):
        return raw
