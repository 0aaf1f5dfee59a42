"""Work in a device's words: answers to its queries, and orders it did not ask for.

What differs between devices is data: a `_Dialect` for each style, and the work rules of the profile on top. The header
follows the one the device sent: its delimiters, its version, whether it carries a time.

Source: CLSI LIS02-A2, 8 and 11 to 12; Roche H7600 and e411, Sysmex XN, Siemens Centaur, Beckman DxI, Ortho VITROS 3600,
Erba XL, Mindray BS-430 and SNIBE MAGLUMI X3 host communication, read in specs.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta, timezone
from typing import Final

from connectors.astm.codec import DEFAULT_DELIMITERS, FieldValue, Record, build_message
from connectors.astm.queries import AskedTube, HostQuery
from domain.device_orders import DeviceWork, WorkAction, WorkPriority
from domain.device_profile import DeviceProfile, WorkRules, WorkStyle

_OUR_NAME: Final = "LabSetu"
_OUR_VERSION: Final = "LIS2-A2"
_SEX: Final = {"male": "M", "female": "F"}
_ORDER_FIELDS: Final = 26

_RecordFields = list[FieldValue]


@dataclass(frozen=True)
class _Dialect:
    """What a style fixes; the profile's work rules come on top.

    Attributes:
        test_form: O.5.
        actions: O.12.
        answer_type: O.26 in an answer.
        order_type: O.26 in an order that nobody asked for.
        answer_end: L.3 after an answer with work.
        no_work: How "nothing to do" is said.
        says_error: Whether L.3 E is understood as "ask again"; else there is no answer while the store is away.
        echoes_header: The device wants its own names in H, not ours.
        kind_field: The field of H for the kind of message, or 0.
        answer_kind: Its content in an answer.
        order_kind: Its content in an order that nobody asked for.
        has_patient: Whether P carries the patient.
        specimen_codes: O.16.
    """

    test_form: str = "^^^{code}"
    actions: dict[WorkAction, str] = field(
        default_factory=lambda: {
            WorkAction.NEW: "N",
            WorkAction.CANCEL: "C",
            WorkAction.RERUN: "A",
            WorkAction.REFLEX: "A",
        }
    )
    answer_type: str = "Q"
    order_type: str = "O"
    answer_end: str = "F"
    no_work: str = "terminator"
    says_error: bool = False
    echoes_header: bool = False
    kind_field: int = 0
    answer_kind: FieldValue = ""
    order_kind: FieldValue = ""
    has_patient: bool = True
    specimen_codes: dict[str, str] = field(default_factory=dict)


_ONLY_CANCEL: Final = {WorkAction.CANCEL: "C"}
_DIALECTS: Final[dict[WorkStyle, _Dialect]] = {
    "astm": _Dialect(says_error=True),
    "roche_astm": _Dialect(
        test_form="^^^{code}^",
        actions={
            WorkAction.NEW: "A",
            WorkAction.CANCEL: "C",
            WorkAction.RERUN: "A",
            WorkAction.REFLEX: "A",
        },
        answer_type="O",
        answer_end="N",
        kind_field=11,
        answer_kind=("TSDWN", "REPLY"),
        order_kind=("TSDWN", "REAL"),
        has_patient=False,
        specimen_codes={"serum": "1", "plasma": "1", "urine": "2", "csf": "3", "supernatant": "4", "*": "5"},
    ),
    "sysmex": _Dialect(test_form="^^^^{code}", answer_end="N", no_work="no_order"),
    "mindray_bs": _Dialect(
        test_form="{code}^^2^1",
        actions=_ONLY_CANCEL,
        answer_end="N",
        kind_field=12,
        answer_kind="SA",
        order_kind="SA",
        specimen_codes={"serum": "serum"},
    ),
    "snibe": _Dialect(
        actions=_ONLY_CANCEL,
        answer_type="",
        order_type="",
        answer_end="N",
        no_work="silent",
        echoes_header=True,
        has_patient=False,
    ),
}
_NO_WORK_TYPES: Final = {"no_order": "Y", "no_patient": "Z", "do_not_run": "X"}
"""O.26 for a tube without work. Source: LIS02-A2, 8.4.26; Sysmex X: do not aspirate."""


def answer_message(
    query: HostQuery, work: Sequence[DeviceWork] | None, profile: DeviceProfile, now: datetime
) -> bytes | None:
    """Return the answer to a query.

    Args:
        query: What was asked.
        work: What there is to do on the tubes; None where nobody could say.
        profile: Of the device.
        now: Aware.

    Returns:
        Records, each ended by CR; None where the device is to hear nothing.
    """
    if query.is_cancelled:
        return None
    return _Writer(profile, query.header, now).answer(query, work)


def order_message(work: DeviceWork, profile: DeviceProfile, now: datetime, header: Record | None = None) -> bytes:
    """Return an order the device did not ask for.

    Args:
        work: One tube.
        profile: Of the device.
        now: Aware.
        header: The last H record of the device, if it has sent one.
    """
    return _Writer(profile, header, now).order(work)


class _Writer:
    """Writes one message."""

    def __init__(self, profile: DeviceProfile, header: Record | None, now: datetime) -> None:
        style: WorkStyle = "snibe" if profile.frame_style == "simple" else profile.work.style
        self._profile = profile
        self._rules: WorkRules = profile.work
        self._style = style
        self._dialect = _DIALECTS.get(style, _DIALECTS["astm"])
        self._header = header
        self._delimiters = (header.delimiters if header else DEFAULT_DELIMITERS).completed()
        self._now = now.astimezone(timezone(timedelta(minutes=profile.utc_offset_minutes)))

    def answer(self, query: HostQuery, work: Sequence[DeviceWork] | None) -> bytes | None:
        """Write the answer to a query, or nothing."""
        if work is None:
            return self._message([], "E", self._dialect.answer_kind) if self._dialect.says_error else None
        no_work = self._dialect.no_work if self._rules.no_work == "style" else self._rules.no_work
        records: list[_RecordFields] = []
        for tube, items in _by_tube(query, work):
            if items or no_work in _NO_WORK_TYPES:
                records += self._tube(tube, items, 1 + sum(record[0] == "P" for record in records), no_work)
        if records:
            return self._message(records, self._dialect.answer_end, self._dialect.answer_kind)
        if no_work == "silent":
            return None
        return self._message([], "I", self._dialect.answer_kind)

    def order(self, work: DeviceWork) -> bytes:
        """Write an order."""
        tube = AskedTube(work.specimen_id, self._padded(work.specimen_id))
        records = [self._patient(1, work), *self._orders(tube, [work], self._dialect.order_type)]
        return self._message(records, "N", self._dialect.order_kind)

    def _tube(self, tube: AskedTube, items: Sequence[DeviceWork], number: int, no_work: str) -> list[_RecordFields]:
        if not items:
            record = self._order_record(1, tube)
            record[25] = _NO_WORK_TYPES[no_work]
            return [["P", str(number)], record]
        return [self._patient(number, items[0]), *self._orders(tube, items, self._dialect.answer_type)]

    def _orders(self, tube: AskedTube, items: Sequence[DeviceWork], report_type: str) -> list[_RecordFields]:
        if self._rules.one_test_per_order:
            items = [replace(item, codes=(code,)) for item in items for code in item.codes]
        return [self._work(number, tube, work, report_type) for number, work in enumerate(items, start=1)]

    def _message(self, records: Iterable[_RecordFields], end: str, kind: FieldValue) -> bytes:
        last: _RecordFields = ["L", "1", end]
        charset = "latin-1" if self._profile.charset == "auto" else self._profile.charset
        written = [_trimmed(record) for record in (self._head(kind), *records, last)]
        return build_message(written, self._delimiters, charset=charset)

    def _head(self, kind: FieldValue) -> _RecordFields:
        """Write H; `build_message` puts the delimiters behind its first field."""
        fields: _RecordFields = [""] * 14
        theirs = self._header
        sender = theirs.value(5, 1).strip() if theirs else ""
        receiver = theirs.value(10, 1).strip() if theirs else ""
        if theirs and self._dialect.echoes_header:
            for number in (4, 5, 10):
                fields[number - 1] = list(theirs.parts(number))
        elif self._style == "roche_astm":
            fields[4], fields[9] = (receiver or "host", "1"), sender
        else:
            fields[4], fields[9] = receiver or _OUR_NAME, sender
        fields[11] = "P"
        fields[12] = theirs.value(13).strip() if theirs else _OUR_VERSION
        fields[13] = self._head_time()
        if self._dialect.kind_field:
            fields[self._dialect.kind_field - 1] = kind
        return ["H", *fields[2:]]

    def _head_time(self) -> str:
        """Return the time as long as the device writes it; nothing where it writes none."""
        length = len(self._header.value(14).strip()) if self._header else 14
        return f"{self._now:%Y%m%d%H%M%S}"[: 8 if length == len("YYYYMMDD") else 14] if length else ""

    def _patient(self, number: int, work: DeviceWork) -> _RecordFields:
        fields: _RecordFields = ["P", str(number)]
        is_known = work.patient_no or work.patient_name or work.birth_date
        if not self._dialect.has_patient or not is_known:
            return fields
        born = f"{work.birth_date:%Y%m%d}" if work.birth_date else ""
        return [*fields, "", work.patient_no, "", work.patient_name, "", born, _SEX.get(work.sex, "U")]

    def _work(self, number: int, tube: AskedTube, work: DeviceWork, report_type: str) -> _RecordFields:
        record = self._order_record(number, tube)
        record[4] = self._tests(work.codes)
        record[5] = "S" if work.priority is WorkPriority.STAT else "R"
        if self._style == "mindray_bs":
            record[6] = record[7] = self._time(work.collected_at or self._now)
            record[18] = "1"
        elif self._style == "astm" and work.collected_at:
            record[7] = self._time(work.collected_at)
        record[11] = self._rules.actions.get(work.action, self._dialect.actions.get(work.action, ""))
        record[15] = self._specimen_code(work.specimen, tube)
        record[25] = report_type
        return record

    def _order_record(self, number: int, tube: AskedTube) -> _RecordFields:
        """Return O with the tube in it, written as the style wants it."""
        record: _RecordFields = ["O", str(number), *[""] * (_ORDER_FIELDS - 2)]
        record[2] = _formed(self._rules.specimen_form or "{id}", "{id}", tube.text)
        match self._style:
            case "roche_astm":
                record[3] = tube.parts[3:]
            case "sysmex":
                # XN reads the tube from O.3 and writes it to O.4; both carry it
                record[2] = record[3] = tube.parts or ("", "", tube.text, "B")
            case "mindray_bs":
                record[2], record[3] = ("1", "1", "1"), tube.text
        return record

    def _tests(self, codes: Sequence[str]) -> FieldValue:
        first = self._rules.test_form or self._dialect.test_form
        forms = [first, *[self._rules.further_test_form or first] * len(codes)]
        return [_formed(form, "{code}", self._ordered_code(code)) for form, code in zip(forms, codes, strict=False)]

    def _ordered_code(self, code: str) -> str:
        match = re.match(self._rules.code_pattern, code) if self._rules.code_pattern else None
        return (match[1] or "") if match and match.re.groups else code

    def _specimen_code(self, specimen: str, tube: AskedTube) -> str:
        codes = self._rules.specimen_codes or self._dialect.specimen_codes
        if self._style == "roche_astm" and not specimen:
            # the query names the type of the sample as S1 to S5
            named = re.fullmatch(r"S([1-5])", tube.parts[7].strip()) if len(tube.parts) > 7 else None  # noqa: PLR2004
            return named[1] if named else "1"
        return codes.get(specimen, codes.get("*", "")) if specimen else ""

    def _padded(self, specimen_id: str) -> str:
        width = self._rules.specimen_width
        return specimen_id.rjust(width) if self._rules.pads == "left" else specimen_id.ljust(width)

    def _time(self, moment: datetime) -> str:
        return f"{moment.astimezone(self._now.tzinfo):%Y%m%d%H%M%S}"


def _by_tube(query: HostQuery, work: Sequence[DeviceWork]) -> list[tuple[AskedTube, list[DeviceWork]]]:
    """Return the tubes asked for with their work; where everything was asked for, the tubes that have any."""
    tubes = list(query.tubes)
    if query.wants_all:
        known = {tube.specimen_id for tube in tubes}
        others = dict.fromkeys(item.specimen_id for item in work if item.specimen_id not in known)
        tubes += [AskedTube(specimen_id, specimen_id) for specimen_id in others]
    if len(tubes) == 1 and tubes[0].specimen_id and not query.wants_all:
        return [(tubes[0], list(work))]  # also where the lab knows the tube by another name
    return [
        (tube, [item for item in work if tube.specimen_id and item.specimen_id == tube.specimen_id]) for tube in tubes
    ]


def _formed(form: str, mark: str, text: str) -> tuple[str, ...]:
    return tuple(part.replace(mark, text) for part in form.split("^"))


def _trimmed(record: _RecordFields) -> _RecordFields:
    """Leave out empty fields at the end."""
    end = len(record)
    while end > 1 and not _has_text(record[end - 1]):
        end -= 1
    return record[:end]


def _has_text(value: FieldValue) -> bool:
    if isinstance(value, str):
        return bool(value)
    return any(_has_text(part) for part in value)
