"""A stored message for people: its bytes in two writings, and its fields beside them.

Everything here is bounded, whatever the message holds.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

from pydantic import BaseModel, TypeAdapter

from connectors.astm.codec import Record, parse_records
from connectors.astm.fields import field_name as astm_field_name
from connectors.astm.records import unframe
from connectors.conversations import read_message
from connectors.hl7.codec import Segment, parse_message
from connectors.hl7.names import field_name as hl7_field_name
from domain.control_names import readable
from domain.device_profile import DeviceProfile, decode_text
from domain.errors import FrameError, MessageError
from domain.observations import InstrumentMessage

MAX_FIELDS: Final = 4000
MAX_FIELD_CHARS: Final = 500
MAX_RAW_BYTES: Final = 1 << 20
"""Longer messages carry images: their beginning is shown."""
_MAX_FIELD_NUMBER: Final = 120

FieldName = Callable[[str, int], str]
"""Returns the name of a field of a record or segment, or "" (`("O", 3)` → `Specimen ID`)."""

FIELD_NAMES: Final[Mapping[str, FieldName]] = {"astm": astm_field_name, "hl7": hl7_field_name}
"""By protocol. What is not named is shown by its number alone."""

_READ = TypeAdapter(InstrumentMessage)


class FieldOut(BaseModel):
    """One field that is not empty, by its number in the standard."""

    number: int
    name: str
    value: str


class RecordOut(BaseModel):
    """One record or segment."""

    kind: str
    fields: list[FieldOut]


class MessageView(BaseModel):
    """A message's bytes and what they mean.

    Attributes:
        raw_hex: Two digits per byte.
        raw_text: Printable text; control characters by name, e.g. `<STX>`.
        is_cut: The message is longer than what is shown of its bytes.
        records: Its fields, in order.
        parsed: What the device's profile makes of it; None where it cannot be read. `is_ignored` marks values whose
            code the profile ignores: they open no exception where nothing takes them.
        parse_error: Why it cannot be read.
    """

    raw_hex: str
    raw_text: str
    is_cut: bool
    records: list[RecordOut]
    parsed: dict[str, Any] | None
    parse_error: str


def view_of(raw: bytes, protocol: str, profile: Mapping[str, Any]) -> MessageView:
    """Return what people see of a message. Raises nothing for its content; may take long for a hostile one."""
    shown = raw[:MAX_RAW_BYTES]
    parsed, error = parsed_by(raw, protocol, profile)
    try:
        records = list(_records(raw, protocol, profile))
    except (MessageError, FrameError):
        records = []
    return MessageView(
        raw_hex=shown.hex(),
        raw_text=readable(shown),
        is_cut=len(raw) > MAX_RAW_BYTES,
        records=records,
        parsed=parsed,
        parse_error=error,
    )


def parsed_by(raw: bytes, protocol: str, profile: Mapping[str, Any]) -> tuple[dict[str, Any] | None, str]:
    """Return the message as read by a profile, or None and why it cannot be."""
    try:
        device = DeviceProfile.model_validate({"protocol": protocol, **profile})
        message = read_message(raw, device)
    except (MessageError, FrameError) as error:
        return None, f"{error.code}: {error.message}"
    except ValueError:
        return None, "no reader for this protocol"
    shown: dict[str, Any] = _READ.dump_python(message, mode="json")
    for report in shown["specimens"]:
        for row in report["observations"]:
            row["is_ignored"] = row["code"] in device.ignored_codes
    return shown, ""


def _records(raw: bytes, protocol: str, profile: Mapping[str, Any]) -> Iterator[RecordOut]:
    charset = str(profile.get("charset", "auto"))
    name = FIELD_NAMES.get(protocol, _unnamed)
    left = MAX_FIELDS
    for kind, thing in _parts(raw, protocol, charset):
        fields = []
        for number in range(1, _MAX_FIELD_NUMBER):
            value = thing.raw(number)[:MAX_FIELD_CHARS]
            if value and left > 0:
                fields.append(FieldOut(number=number, name=name(kind, number), value=value))
                left -= 1
        yield RecordOut(kind=kind, fields=fields)
        if left <= 0:
            return


def _parts(raw: bytes, protocol: str, charset: str) -> Iterator[tuple[str, Record | Segment]]:
    if protocol == "hl7":
        for segment in parse_message(raw, charset).segments:
            yield segment.name, segment
    elif protocol == "astm":
        charsets = ["utf-8"] if charset == "auto" else [charset]
        text, _ = decode_text(unframe(raw), charsets)
        for record in parse_records(text):
            yield record.kind, record


def _unnamed(_kind: str, _number: int) -> str:
    return ""
