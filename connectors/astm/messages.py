"""ASTM messages read into the lab's words, by the profile of the device that sent them.

Levels: H, L = 0; P, Q, S = 1; O = 2; R = 3; C and M belong to the record before them.

Source: CLSI LIS02-A2, 6 to 12 (record fields), read in specs.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Final

from connectors.astm.codec import DEFAULT_DELIMITERS, Record, build_message, parse_records
from connectors.astm.queries import QUERY_CANCELLED, asked_tubes
from connectors.astm.records import unframe
from connectors.astm.repeats import without_repeats
from domain.device_profile import DELETE_VALUE, DeviceProfile, decode_text, first_value, parse_path
from domain.device_reading import (
    RowKind,
    code_and_replicate,
    finished,
    patient_ids,
    range_of,
    row_kind,
    specimen_id,
)
from domain.errors import MessageError
from domain.observations import (
    DeviceImage,
    InstrumentMessage,
    MessageKind,
    Observation,
    ObservationStatus,
    SpecimenReport,
)

__all__ = ["build_message", "read_message"]

MAX_MESSAGE_BYTES = 4 << 20

_STATUS: Final = {
    "": ObservationStatus.FINAL,  # many devices leave it empty
    "F": ObservationStatus.FINAL,
    "V": ObservationStatus.FINAL,  # operator verified
    "R": ObservationStatus.FINAL,  # transmitted before: a re-send of the same value, no rerun
    "Q": ObservationStatus.FINAL,  # answer to a query of ours
    "M": ObservationStatus.FINAL,  # MIC level
    "C": ObservationStatus.CORRECTED,
    "P": ObservationStatus.PRELIMINARY,
    "S": ObservationStatus.PRELIMINARY,  # partial
    "I": ObservationStatus.PENDING,
    "X": ObservationStatus.FAILED,
}
"""R.9. W (questionable) and N (more information follows) are held for a person. Source: LIS02-A2, 9.9."""

_PRACTICE_COMMENT = "P"


@dataclass
class _Group:
    """Records that apply to the results being read, and what was read of the specimen so far."""

    order: dict[str, Record] = field(default_factory=dict)
    rows: list[Observation] = field(default_factory=list)
    comments: list[str] = field(default_factory=list)
    images: list[Record] = field(default_factory=list)
    patient_ids: tuple[str, ...] = ()
    row_is_open: bool = False
    """True while comments belong to the last of `rows`."""

    def read(self, path: str) -> tuple[str, ...]:
        """Read a field path over the records that apply."""
        segment, number, component, _ = parse_path(path)
        record = self.order.get(segment)
        return record.values(number, component) if record else ()


class _Reader:
    """Walks the records of one message once."""

    def __init__(self, profile: DeviceProfile) -> None:
        self._profile = profile
        self._header: dict[str, Record] = {}
        self._level1: dict[str, Record] = {}
        self._group: _Group | None = None
        self._last_kind = ""
        self._reports: dict[tuple[str, bool, str], list[_Group]] = {}
        self.images: list[DeviceImage] = []
        self.skipped = 0
        self.rows = 0
        self.queried: list[str] = []
        self.has_query = False

    def take(self, record: Record) -> None:
        """Take the next record."""
        match record.kind:
            case "H":
                self._end_group()
                self._header, self._level1 = {"H": record}, {}
            case "P":
                self._end_group()
                self._level1 = {"P": record}
            case "O":
                self._end_group()
                self._group = _Group(order={**self._header, **self._level1, "O": record})
            case "R":
                self._take_result(record)
            case "C":
                self._take_comment(record)
            case "Q":
                self._take_query(record)
            case "M":
                self._take_manufacturer(record)
        if record.kind != "C":
            self._last_kind = record.kind

    def specimens(self) -> tuple[SpecimenReport, ...]:
        """Return what was read, one report per specimen in the order of the message."""
        self._end_group()
        return tuple(
            SpecimenReport(
                specimen_id=specimen_id,
                observations=tuple(row for group in groups for row in group.rows),
                is_control=is_control,
                control_name=control_name,
                comments=tuple(comment for group in groups for comment in group.comments),
                patient_ids=tuple(dict.fromkeys(found for group in groups for found in group.patient_ids)),
            )
            for (specimen_id, is_control, control_name), groups in self._reports.items()
        )

    def _take_result(self, record: Record) -> None:
        self.rows += 1
        if self._group is None:  # Meril sends results without an O record
            self._group = _Group(order={**self._header, **self._level1})
        group, profile = self._group, self._profile
        group.order["R"] = record
        group.row_is_open = False
        kind = row_kind(profile, group.read)
        code, replicate = code_and_replicate(profile, group.read)
        value = profile.value_text(_value(profile, group))
        if kind is not RowKind.RESULT:
            self.skipped += 1
            if kind is RowKind.COMMENT:
                group.comments.append(f"{code}: {value}" if value else code)
            elif kind is RowKind.IMAGE:
                group.images.append(record)
            return
        letter = record.value(9).strip().upper()
        group.row_is_open = True
        row = Observation(
            code=code,
            value=value,
            unit=record.value(5).strip(),
            reference_range="; ".join(range_of(text, text.split("^")) for text in record.values(6) if text.strip(" ^")),
            abnormal_flags=tuple(text.strip() for text in record.values(7) if text.strip()),
            status=profile.settled_status(letter, value, _STATUS),
            observed_at=profile.instant(first_value(profile.time_fields, group.read)),
            replicate=replicate,
            operator=record.value(11, 1).strip(),
        )
        group.rows.append(finished(profile, row, group.read))

    def _take_manufacturer(self, record: Record) -> None:
        """Keep histograms; whatever else the manufacturer says in an M record is in the stored message."""
        group = self._group
        if group is None or not self._profile.image_rows:
            return
        group.order["M"] = record
        if row_kind(self._profile, group.read) is RowKind.IMAGE:
            group.images.append(record)
        del group.order["M"]

    def _take_comment(self, record: Record) -> None:
        """Attach a comment to the result or order before it; comments on a patient are nobody's business here."""
        said = (" ".join(part.strip() for part in parts if part.strip()) for parts in record.parts(4))
        text = "; ".join(part for part in said if part)
        group = self._group
        is_void = not text or text in self._profile.void_comments
        if is_void or group is None or record.value(3).strip().upper() == _PRACTICE_COMMENT:
            return
        if self._last_kind == "R" and group.row_is_open:
            group.rows[-1] = replace(group.rows[-1], comments=(*group.rows[-1].comments, text))
        elif self._last_kind == "O":
            group.comments.append(text)

    def _take_query(self, record: Record) -> None:
        if record.value(13).strip().upper() == QUERY_CANCELLED:
            return
        self.has_query = True
        for tube in asked_tubes(record, self._profile):
            if tube.specimen_id and not tube.is_everything and tube.specimen_id not in self.queried:
                self.queried.append(tube.specimen_id)

    def _end_group(self) -> None:
        group, self._group = self._group, None
        if group is None:
            return
        group.order.pop("R", None)
        barcode = specimen_id(self._profile, group.read)
        is_control = self._profile.is_control(group.read)
        name = (first_value(self._profile.control_name_fields, group.read) or barcode) if is_control else ""
        group.patient_ids = patient_ids(self._profile, group.read)
        self._reports.setdefault((barcode, is_control, name), []).append(group)
        self.images += [_image(record, barcode) for record in group.images]


def read_message(raw: bytes, profile: DeviceProfile) -> InstrumentMessage:
    """Read one ASTM message, framed or as bare records.

    A message without results is still readable: a query, a keep-alive (H and L only) or an event. An order without
    results gives a specimen without observations.

    Raises:
        MessageError: Nothing in it is an ASTM record, or it exceeds a bound.
    """
    if len(raw) > MAX_MESSAGE_BYTES:
        raise MessageError(f"message longer than {MAX_MESSAGE_BYTES} bytes", code="MESSAGE_TOO_LARGE")
    charsets = ("utf-8",) if profile.charset == "auto" else (profile.charset, "utf-8")
    text, fell_back = decode_text(unframe(raw), charsets)
    records, repeated = without_repeats(parse_records(text))
    if not any(record.kind for record in records):
        raise MessageError("no ASTM record in the message")
    reader = _Reader(profile)
    for record in records:
        reader.take(record)
    header = next((record for record in records if record.kind == "H"), None)
    specimens = reader.specimens()
    return InstrumentMessage(
        kind=_kind(reader),
        message_id=header.value(3).strip() if header else "",
        sender=_sender(header),
        sent_at=profile.instant(header.value(14)) if header else None,
        specimens=specimens,
        queried_specimens=tuple(reader.queried),
        skipped_rows=reader.skipped + repeated,
        flags=_flags(records, fell_back=fell_back and profile.charset != "auto"),
        images=tuple(reader.images),
    )


def _image(record: Record, barcode: str) -> DeviceImage:
    """Return the record as text: its encodings are the manufacturer's own (`FLOATLE-stream/deflate:base64`)."""
    first, last = (3, 4) if record.kind == "R" else (4, 5)
    name = " ".join(text for number in range(first, last + 1) if (text := record.value(number).strip(" ^")))
    content = "|".join(record.raw(number) for number in range(1, 12)).rstrip("|").encode("utf-8", errors="replace")
    return DeviceImage(barcode, name[:100], "text/plain", content)


def _value(profile: DeviceProfile, group: _Group) -> str:
    """Return the value; where a device repeats the field with something else in it, all of it: none may be lost."""
    for path in profile.value_fields:
        found = [text for value in group.read(path) if (text := value.strip()) and text != DELETE_VALUE]
        if found:
            return DEFAULT_DELIMITERS.repeat.join(dict.fromkeys(found))
    return ""


def _kind(reader: _Reader) -> MessageKind:
    if reader.rows:
        return MessageKind.RESULTS
    return MessageKind.QUERY if reader.has_query else MessageKind.OTHER


def _sender(header: Record | None) -> str:
    if header is None:
        return ""
    return " ".join(part for part in (header.value(5, 1).strip(), header.value(5, 2).strip()) if part)


def _flags(records: list[Record], *, fell_back: bool) -> tuple[str, ...]:
    flags = ["charset_fallback"] if fell_back else []
    if not any(record.kind == "L" for record in records):
        flags.append("no_terminator")
    return tuple(flags)
