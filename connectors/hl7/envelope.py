"""The head of every message of ours, and the bytes of the whole.

Source: HL7 2.5.1, 2.15.9 (MSH), 2.9 (who answers whom), read in specs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta, timezone
from typing import Final, TypeAlias

from connectors.hl7.charsets import codec_named
from connectors.hl7.codec import DEFAULT_DELIMITERS, Delimiters, FieldValue, Segment, build_segment, field_of
from domain.device_profile import DeviceProfile

Body: TypeAlias = "Sequence[tuple[str, Sequence[FieldValue]]]"
"""Segments after MSH: name and fields from number 1."""

ENGLISH_UNICODE: Final = "UNICODE UTF-8"
LAW_STYLES: Final = frozenset({"law", "roche_law"})
_OUR_NAME = "LABSETU"


@dataclass(frozen=True)
class Envelope:
    """What the messages to one device have in common.

    Attributes:
        ours: MSH-3 and MSH-4.
        theirs: MSH-5 and MSH-6.
        charset: MSH-18, in the device's own word.
        processing: MSH-11.
        utc_offset_minutes: Of the device's clock.
    """

    ours: tuple[FieldValue, FieldValue] = (_OUR_NAME, "")
    theirs: tuple[FieldValue, FieldValue] = ("", "")
    version: FieldValue = "2.5.1"
    charset: FieldValue = ENGLISH_UNICODE
    processing: FieldValue = "P"
    delimiters: Delimiters = DEFAULT_DELIMITERS
    utc_offset_minutes: int = 330
    codec: str = field(default="utf-8")

    def time(self, moment: datetime, *, has_zone: bool = False) -> str:
        """Return `moment` as the device's clock shows it, `YYYYMMDDHHMMSS[±HHMM]`."""
        local = moment.astimezone(timezone(timedelta(minutes=self.utc_offset_minutes)))
        return local.strftime("%Y%m%d%H%M%S%z" if has_zone else "%Y%m%d%H%M%S")


def envelope_for(profile: DeviceProfile, header: Segment | None = None) -> Envelope:
    """Return the envelope for a device.

    Args:
        profile: Of the device.
        header: MSH of the last message it sent, whose words are used; without one, those of HL7 2.5.1 in UTF-8.

    Raises:
        MessageError: A field of the header repeats too often.
    """
    own = Envelope(utc_offset_minutes=profile.utc_offset_minutes)
    if profile.charset != "auto":
        own = replace(own, codec=profile.charset)
    if header is None:
        return own
    declared = codec_named(header.value(18))
    marks = header.delimiters
    is_whole = all((marks.component, marks.repetition, marks.escape, marks.subcomponent))
    return replace(
        own,
        # 2.3.1 devices that leave MSH-5 empty show it empty in their examples of answers too
        ours=(field_of(header, 5) or ("" if header.value(12).startswith("2.3") else _OUR_NAME), field_of(header, 6)),
        theirs=(field_of(header, 3), field_of(header, 4)),
        version=field_of(header, 12) or own.version,
        charset=field_of(header, 18) or (own.charset if profile.work.style in LAW_STYLES else ""),
        processing=field_of(header, 11) or own.processing,
        delimiters=marks if is_whole else DEFAULT_DELIMITERS,
        codec=own.codec if profile.charset != "auto" else declared or "utf-8",
    )


@dataclass(frozen=True)
class Heading:
    """What MSH says of one message.

    Attributes:
        kind: MSH-9, e.g. `("OML", "O33", "OML_O33")`.
        control_id: MSH-10.
        accept: MSH-15.
        application: MSH-16.
        profiles: MSH-21.
        has_zone: Whether MSH-7 carries the offset from UTC.
        keeps_empty: Whether empty fields at the end of MSH are written: some parsers count them.
    """

    kind: tuple[str, ...]
    control_id: str
    accept: str = ""
    application: str = ""
    profiles: FieldValue = ""
    has_zone: bool = False
    keeps_empty: bool = False


def write_message(envelope: Envelope, heading: Heading, moment: datetime, body: Body) -> bytes:
    """Return a whole message without MLLP marks. Characters the device's set does not have become `?`."""
    fields: list[FieldValue] = [
        *envelope.ours,
        *envelope.theirs,
        envelope.time(moment, has_zone=heading.has_zone),
        "",
        heading.kind,
        heading.control_id,
        envelope.processing,
        envelope.version,
        *("", ""),
        heading.accept,
        heading.application,
        "",
        envelope.charset,
        *("", ""),
        heading.profiles,
    ]
    while fields and not fields[-1] and not heading.keeps_empty:
        fields.pop()
    segments = [build_segment("MSH", fields, envelope.delimiters)]
    segments += [build_segment(name, values, envelope.delimiters) for name, values in body]
    return "".join(segments).encode(envelope.codec, errors="replace")
