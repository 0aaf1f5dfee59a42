"""ASTM messages read into the lab's words, by the profile of the device that sent them.

Levels: H, L = 0; P, Q, S = 1; O = 2; R = 3; C and M belong to the record before them. A sender that was interrupted
repeats from the highest level it had not finished: what comes twice counts once. M and S records are kept with the
message and named for people (`fields`), but hold no results.

Source: CLSI LIS02-A2, 6 to 12 (record fields), read in specs.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Final

from connectors.astm.codec import Record, build_message, parse_records
from connectors.astm.queries import HostQuery, read_query
from connectors.astm.records import unframe
from domain.device_profile import DeviceProfile, decode_text, first_value, parse_path
from domain.errors import MessageError
from domain.observations import InstrumentMessage, MessageKind, Observation, ObservationStatus, SpecimenReport

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
    texts: list[str] = field(default_factory=list)
    """The records `rows` were read from."""
    comments: list[str] = field(default_factory=list)
    row_is_open: bool = False
    """True while comments belong to the last of `rows`."""

    def give_way(self, repeat: _Group) -> int:
        """Drop what `repeat` says again of the same order, and return how many rows that were."""
        if [self._text("P"), self._text("O")] != [repeat._text("P"), repeat._text("O")]:
            return 0
        kept = [(row, text) for row, text in zip(self.rows, self.texts, strict=True) if text not in repeat.texts]
        dropped = len(self.rows) - len(kept)
        self.rows, self.texts = [row for row, _ in kept], [text for _, text in kept]
        self.comments = [comment for comment in self.comments if comment not in repeat.comments]
        return dropped

    def _text(self, kind: str) -> str:
        return self.order[kind].text if kind in self.order else ""

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
        self.skipped = 0
        self.rows = 0

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
        if any(rule.holds(group.read) for rule in profile.skip_rows):
            self.skipped += 1
            return
        code = first_value(profile.test_code_fields, group.read)
        value = profile.value_text(first_value(profile.value_fields, group.read))
        if any(rule.holds(group.read) for rule in profile.comment_rows):
            self.skipped += 1
            group.comments.append(f"{code}: {value}" if value else code)
            return
        letter = record.value(9).strip().upper()
        group.row_is_open = True
        group.texts.append(record.text)
        group.rows.append(
            Observation(
                code=code,
                value=value,
                unit=record.value(5).strip(),
                reference_range="; ".join(text.strip() for text in record.values(6) if text.strip(" ^")),
                abnormal_flags=tuple(text.strip() for text in record.values(7) if text.strip()),
                status=profile.settled_status(letter, value, _STATUS),
                observed_at=profile.instant(first_value(profile.time_fields, group.read)),
                replicate=first_value(profile.replicate_fields, group.read),
                operator=record.value(11, 1).strip(),
            )
        )

    def _take_comment(self, record: Record) -> None:
        """Attach a comment to the result or order before it; comments on a patient are nobody's business here."""
        text = " ".join(part.strip() for part in record.components(4) if part.strip())
        group = self._group
        if not text or group is None or record.value(3).strip().upper() == _PRACTICE_COMMENT:
            return
        if self._last_kind == "R" and group.row_is_open:
            group.rows[-1] = replace(group.rows[-1], comments=(*group.rows[-1].comments, text))
        elif self._last_kind == "O":
            group.comments.append(text)

    def _end_group(self) -> None:
        group, self._group = self._group, None
        if group is None:
            return
        group.order.pop("R", None)
        specimen_id = first_value(self._profile.specimen_fields, group.read)
        is_control = self._profile.is_control(group.read)
        name = first_value(self._profile.control_name_fields, group.read) if is_control else ""
        groups = self._reports.setdefault((specimen_id, is_control, name), [])
        # after a break a sender repeats from the highest level it had not finished
        self.skipped += sum(earlier.give_way(group) for earlier in groups)
        groups.append(group)


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
    records = parse_records(text)
    if not any(record.kind for record in records):
        raise MessageError("no ASTM record in the message")
    reader = _Reader(profile)
    for record in records:
        reader.take(record)
    header = next((record for record in records if record.kind == "H"), None)
    specimens = reader.specimens()
    query = read_query(records, profile)
    return InstrumentMessage(
        kind=_kind(reader, query),
        message_id=header.value(3).strip() if header else "",
        sender=_sender(header),
        sent_at=profile.instant(header.value(14)) if header else None,
        specimens=specimens,
        queried_specimens=query.wanted.specimen_ids if query else (),
        skipped_rows=reader.skipped,
        flags=_flags(records, fell_back=fell_back and profile.charset != "auto"),
    )


def _kind(reader: _Reader, query: HostQuery | None) -> MessageKind:
    if reader.rows:
        return MessageKind.RESULTS
    return MessageKind.QUERY if query and not query.is_cancelled else MessageKind.OTHER


def _sender(header: Record | None) -> str:
    if header is None:
        return ""
    return " ".join(part for part in (header.value(5, 1).strip(), header.value(5, 2).strip()) if part)


def _flags(records: list[Record], *, fell_back: bool) -> tuple[str, ...]:
    flags = ["charset_fallback"] if fell_back else []
    if not any(record.kind == "L" for record in records):
        flags.append("no_terminator")
    return tuple(flags)
