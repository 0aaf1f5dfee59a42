"""HL7 messages read into the lab's words, by the profile of the device that sent them.

Results come as ORU^R01, R30, R32 (an OBR with its OBX; an SPM may follow) or OUL^R22 (SPM and SAC first, ORC after
OBR). Groups are walked by what actually stands in the message, not by a schema: devices leave segments out and put
them in places of their own.

Source: HL7 2.5.1, 7.3 and 13.3 (message structures), 7.4.2 (OBX), tables 0078, 0085, 0369; IHE LAW, LAB-29, read in
specs.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Final

from connectors.hl7.codec import DEFAULT_DELIMITERS, Hl7Message, Segment, parse_message
from connectors.hl7.queries import read_query
from domain.device_profile import DELETE_VALUE, DeviceProfile, FieldPath, first_value, parse_path
from domain.device_reading import (
    RowKind,
    code_and_replicate,
    finished,
    image_content,
    is_plain,
    patient_ids,
    range_of,
    row_kind,
    specimen_id,
)
from domain.observations import (
    DeviceImage,
    InstrumentMessage,
    MessageKind,
    Observation,
    ObservationStatus,
    SpecimenReport,
)

_STATUS: Final = {
    "": ObservationStatus.FINAL,
    "F": ObservationStatus.FINAL,
    "U": ObservationStatus.FINAL,  # became final without being sent again
    "V": ObservationStatus.FINAL,  # verified
    "C": ObservationStatus.CORRECTED,
    "P": ObservationStatus.PRELIMINARY,
    "R": ObservationStatus.PRELIMINARY,  # entered, not verified
    "S": ObservationStatus.PRELIMINARY,  # partial
    "I": ObservationStatus.PENDING,
    "X": ObservationStatus.FAILED,
    "D": ObservationStatus.FAILED,  # deletes what was sent
    "W": ObservationStatus.FAILED,  # posted to the wrong patient
}
"""OBX-11, table 0085. N and O announce a question, not a value: held for a person."""

_RESULT_TYPES = frozenset({"ORU", "OUL"})
_CODED = frozenset({"CE", "CWE", "CNE"})
_STRUCTURED_NUMERIC = "SN"
_UNIT_BASE = re.compile(r"\d+\*?")


@dataclass
class _Group:
    """Segments that apply to the rows being read, and what was read so far."""

    segments: dict[str, Segment]
    has_order: bool = False
    rows: list[Observation] = field(default_factory=list)
    comments: list[str] = field(default_factory=list)
    images: list[Segment] = field(default_factory=list)
    patient_ids: tuple[str, ...] = ()

    def first(self, paths: Iterable[FieldPath]) -> str:
        """Return what `first_value` does, without the detour over text paths: it is asked several times per row."""
        for name, number, component, subcomponent in paths:
            segment = self.segments.get(name)
            if segment is None:
                continue
            text = segment.value(number, component, subcomponent).strip()
            if text and text != DELETE_VALUE:
                return text
            for value in segment.values(number, component, subcomponent)[1:]:
                text = value.strip()
                if text and text != DELETE_VALUE:
                    return text
        return ""

    def read(self, path: str) -> tuple[str, ...]:
        """Read a field path over the segments that apply."""
        name, number, component, subcomponent = parse_path(path)
        segment = self.segments.get(name)
        return segment.values(number, component, subcomponent) if segment else ()


class _Reader:
    """Walks the segments of one message once."""

    def __init__(self, message: Hl7Message, profile: DeviceProfile) -> None:
        self._profile = profile
        self._header = message.header
        self._shared: dict[str, Segment] = {"MSH": message.header}
        self._group = _Group(dict(self._shared))
        self._specimen_leads = False
        self._order_common: Segment | None = None
        self._note_target = ""
        self._reports: dict[tuple[str, bool, str], list[_Group]] = {}
        self._codes = _paths(profile.test_code_fields)
        self._values = _paths(profile.value_fields)
        self._times = _paths(profile.time_fields)
        self._replicates = _paths(profile.replicate_fields)
        self._is_plain = is_plain(profile)
        # what the rows of a message mostly share is read once
        self._instants: dict[str, datetime | None] = {}
        self._units: dict[str, str] = {}
        self._abnormal: dict[str, tuple[str, ...]] = {}
        self.images: list[DeviceImage] = []
        self.skipped = 0

    def take(self, segment: Segment) -> None:
        """Take the next segment."""
        if segment.name != "NTE":
            self._note_target = segment.name
        match segment.name:
            case "PID":
                self._end_group()
                self._shared = {"MSH": self._header, "PID": segment}
                self._specimen_leads = False
                self._open_group()
            case "SPM":
                self._take_specimen(segment)
            case "OBR":
                self._take_order(segment)
            case "ORC":
                self._take_common_order(segment)
            case "SAC" | "INV":
                self._keep(segment)
            case "OBX":
                self._take_row(segment)
            case "NTE":
                self._take_note(segment)

    def specimens(self) -> tuple[SpecimenReport, ...]:
        """Return what was read, one report per specimen in the order of the message."""
        self._end_group()
        return tuple(
            SpecimenReport(
                specimen_id=barcode,
                observations=tuple(row for group in groups for row in group.rows),
                is_control=is_control,
                control_name=control_name,
                comments=tuple(comment for group in groups for comment in group.comments),
                patient_ids=tuple(dict.fromkeys(found for group in groups for found in group.patient_ids)),
            )
            for (barcode, is_control, control_name), groups in self._reports.items()
        )

    def _open_group(self) -> None:
        self._group = _Group(dict(self._shared))

    def _take_specimen(self, segment: Segment) -> None:
        """ORU has the specimen after the rows it belongs to, OUL before them."""
        if self._group.has_order and not self._specimen_leads:
            self._group.segments["SPM"] = segment
            return
        self._end_group()
        self._specimen_leads = True
        self._shared = {name: kept for name, kept in self._shared.items() if name in {"MSH", "PID"}}
        self._shared["SPM"] = segment
        self._open_group()

    def _take_order(self, segment: Segment) -> None:
        self._end_group()
        self._open_group()
        self._group.has_order = True
        self._group.segments["OBR"] = segment
        if self._order_common is not None:
            self._group.segments["ORC"], self._order_common = self._order_common, None

    def _take_common_order(self, segment: Segment) -> None:
        """OUL has the ORC behind its OBR, ORU in front of it."""
        if self._group.has_order and not self._group.rows:
            self._group.segments["ORC"] = segment
        else:
            self._order_common = segment

    def _keep(self, segment: Segment) -> None:
        """SAC and INV describe the specimen in front of an order, else the order they follow; the first one counts."""
        self._group.segments.setdefault(segment.name, segment)
        if not self._group.has_order:
            self._shared.setdefault(segment.name, segment)

    def _take_row(self, segment: Segment) -> None:
        group, profile = self._group, self._profile
        group.segments["OBX"] = segment
        kind = row_kind(profile, group.read)
        value = profile.value_text(self._value(segment))
        if kind is not RowKind.RESULT:
            self._leave_out(segment, kind, value)
            return
        code, replicate = self._code(group)
        row = Observation(
            code=code,
            value=value,
            unit=self._unit(segment),
            reference_range=range_of(segment.value(7), segment.components(7)),
            abnormal_flags=self._flags(segment),
            status=profile.settled_status(segment.value(11, 1).strip().upper(), value, _STATUS),
            observed_at=self._instant(group.first(self._times)),
            replicate=replicate,
            operator=segment.value(16, 1).strip(),
            value_type=segment.value(2).strip(),
        )
        group.rows.append(row if self._is_plain else finished(profile, row, group.read))

    def _leave_out(self, segment: Segment, kind: RowKind, value: str) -> None:
        """Count a row that is no result; keep what it says beside the results."""
        self.skipped += 1
        if kind is RowKind.COMMENT:
            name = segment.value(3, 2).strip() or segment.value(3, 1).strip()
            self._group.comments.append(f"{name}: {value}" if value else name)
            return
        self._note_target = ""
        if kind is RowKind.IMAGE:
            self._group.images.append(segment)

    def _take_order_result(self, group: _Group) -> None:
        """Take the result in the OBR of devices that send their controls so."""
        place = self._profile.order_result
        if place is None or group.rows or not place.when.holds(group.read):
            return
        value = self._profile.value_text(first_value(place.value_fields, group.read))
        group.rows.append(
            Observation(
                code=first_value(place.code_fields, group.read),
                value=value,
                unit=first_value(place.unit_fields, group.read),
                status=self._profile.settled_status("", value, _STATUS),
                observed_at=self._profile.instant(first_value(place.time_fields, group.read)),
            )
        )

    def _code(self, group: _Group) -> tuple[str, str]:
        if self._is_plain:
            return group.first(self._codes), group.first(self._replicates)
        return code_and_replicate(self._profile, group.read)

    def _value(self, segment: Segment) -> str:
        """Return the value as text: structured numeric `<^5` becomes `<5`, a code without code and text becomes ""."""
        value_type = segment.value(2).strip()
        if value_type == _STRUCTURED_NUMERIC:
            return "".join(part.strip() for part in segment.components(5))
        if value_type in _CODED and not any(part.strip() for part in segment.components(5)[:2]):
            return ""
        if self._header.delimiters.repetition in segment.raw(5):
            return self._repeated_value()
        return self._group.first(self._values).rstrip("^ ")

    def _repeated_value(self) -> str:
        """Return the value with everything that a device repeats in the field: none may be lost."""
        for path in self._profile.value_fields:
            texts = (value.strip().rstrip("^ ") for value in self._group.read(path))
            found = [text for text in texts if text and text != DELETE_VALUE]
            if found:
                return DEFAULT_DELIMITERS.repetition.join(dict.fromkeys(found))
        return ""

    def _instant(self, text: str) -> datetime | None:
        if text not in self._instants:
            self._instants[text] = self._profile.instant(text)
        return self._instants[text]

    def _unit(self, segment: Segment) -> str:
        raw = segment.raw(6)
        if raw not in self._units:
            self._units[raw] = _unit(segment)
        return self._units[raw]

    def _flags(self, segment: Segment) -> tuple[str, ...]:
        raw = segment.raw(8)
        if raw not in self._abnormal:
            flags = (text.strip() for text in segment.values(8, 1))
            self._abnormal[raw] = tuple([text for text in flags if text and text != DELETE_VALUE])
        return self._abnormal[raw]

    def _take_note(self, segment: Segment) -> None:
        """Attach a note to the row or order before it; notes on a patient are nobody's business here."""
        text = "; ".join(part.strip() for part in segment.values(3) if part.strip())
        if not text or text in self._profile.void_comments:
            return
        rows = self._group.rows
        if self._note_target == "OBX" and rows:
            rows[-1] = replace(rows[-1], comments=(*rows[-1].comments, text))
        elif self._note_target in {"OBR", "ORC", "SPM", "SAC", "TQ1", "TCD"}:
            self._group.comments.append(text)

    def _end_group(self) -> None:
        group = self._group
        group.segments.pop("OBX", None)
        if not (group.has_order or group.rows):
            return
        self._take_order_result(group)
        barcode = specimen_id(self._profile, group.read)
        is_control = self._profile.is_control(group.read)
        name = (first_value(self._profile.control_name_fields, group.read) or barcode) if is_control else ""
        group.patient_ids = patient_ids(self._profile, group.read)
        self._reports.setdefault((barcode, is_control, name), []).append(group)
        self.images += [_image(segment, barcode) for segment in group.images]
        self._open_group()


def read_message(raw: bytes, profile: DeviceProfile) -> InstrumentMessage:
    """Read one HL7 message, without its MLLP marks.

    Messages that carry no results are read too: queries name the specimens asked for, everything else is OTHER.

    Raises:
        MessageError: No usable MSH, or a bound is exceeded.
    """
    message = parse_message(raw, profile.charset)
    header = message.header
    kind = _kind(message)
    query = read_query(message, profile) if kind is MessageKind.OTHER else None
    reader = _Reader(message, profile)
    if kind is MessageKind.RESULTS:
        for segment in message.segments[1:]:
            reader.take(segment)
    return InstrumentMessage(
        kind=MessageKind.QUERY if query else kind,
        message_id=header.value(10).strip(),
        sender=" ".join(part for part in (header.value(3, 1).strip(), header.value(4, 1).strip()) if part),
        sent_at=profile.instant(header.value(7, 1)),
        specimens=reader.specimens(),
        queried_specimens=query.asked.specimen_ids if query else (),
        skipped_rows=reader.skipped,
        flags=("charset_fallback",) if message.charset_fallback else (),
        images=tuple(reader.images),
    )


def _image(segment: Segment, barcode: str) -> DeviceImage:
    """Return the data of an ED row: source, type, subtype, encoding and data. Source: HL7 2.5.1, 2.A.24."""
    _source, kind, subtype, encoding, data, *_ = (*segment.components(5), "", "", "", "", "")
    subtype = subtype.strip().lower()
    media_type = f"image/{subtype}" if kind.strip().lower() == "image" and subtype.isalnum() else "text/plain"
    name = segment.value(3, 2).strip() or segment.value(3, 1).strip()
    return DeviceImage(barcode, name[:100], media_type, image_content(encoding, data))


def _kind(message: Hl7Message) -> MessageKind:
    message_type = message.header.value(9, 1).strip().upper()
    names = {segment.name for segment in message.segments}
    if "MSA" in names:
        return MessageKind.ACKNOWLEDGEMENT
    if message_type in _RESULT_TYPES or (not message_type and "OBX" in names):
        return MessageKind.RESULTS
    return MessageKind.OTHER


def _paths(paths: Iterable[str]) -> tuple[FieldPath, ...]:
    return tuple([parse_path(path) for path in paths])


def _unit(segment: Segment) -> str:
    """Return the unit: the first component, or the second where a device leaves the first empty.

    Some devices send `10^3/uL` without escaping the caret, which cuts it into two components: it is joined again.
    """
    first = segment.value(6, 1).strip()
    if first and first != DELETE_VALUE and not _UNIT_BASE.fullmatch(first):
        return first
    parts = [part.strip() for part in segment.components(6)]
    if len(parts) > 1 and _UNIT_BASE.fullmatch(parts[0]) and parts[1][:1].isdigit():
        return f"{parts[0]}^{parts[1]}"
    return next((part for part in parts[:2] if part and part != DELETE_VALUE), "")
