"""ASTM records as the standard has them; other ASTM dialects change what differs.

Source: CLSI LIS02-A2, 6 to 12 (fields), read in specs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import ClassVar

from connectors.analyzers.simulator.content import Desk, Outgoing, Sample, SimulatedTest, WorkAnswer
from connectors.analyzers.simulator.dialect import Dialect
from connectors.astm.codec import DEFAULT_DELIMITERS, Delimiters, FieldValue, build_message

Record = list[FieldValue]


@dataclass(frozen=True)
class Asked:
    """One tube of a question, as the host sees it.

    Attributes:
        specimen_id: The barcode without padding.
        field: Q.3 as it came, for answers that echo it.
    """

    specimen_id: str
    field: str


class AstmDialect(Dialect):
    """A device that keeps to the standard.

    Attributes:
        sender: H.5.
        version: H.13.
        code_component: Where the code is in O.5 and R.3, counted from 1.
        order_action: O.12 of answers.
        order_report: O.26 of answers.
    """

    delimiters: ClassVar[Delimiters] = DEFAULT_DELIMITERS
    sender: ClassVar[FieldValue] = ("SimAnalyzer", "1.0")
    receiver: ClassVar[str] = ""
    version: ClassVar[str] = "LIS2-A2"
    code_component: ClassVar[int] = 4
    order_action: ClassVar[str] = "N"
    order_report: ClassVar[str] = "Q"
    sorts_no_work: ClassVar[str] = "I"
    """L.3 of an answer without work."""

    # the device ---------------------------------------------------------------------------------------------------

    def results(self, sample: Sample) -> list[bytes]:
        """Return one message with all tests of the tube."""
        records = [self.header(sample.stamp, "result", is_control=sample.is_control), *self.patient(sample)]
        records += self.order(sample)
        for number, (test, value) in enumerate(sample.values, start=1):
            records += self.rows(number, test, value, sample)
        records.append(["L", "1", "N"])
        return [self.written(records)]

    def header(self, stamp: str, kind: str, *, is_control: bool = False) -> Record:
        """Return the H record; `kind` is result, query or work."""
        processing = "Q" if is_control and kind == "result" else "P"
        sender, receiver = (self.sender, self.receiver) if kind != "work" else ("LabSetuSim", "")
        return ["H", "", "", sender, "", "", "", "", receiver, "", processing, self.version, stamp]

    def patient(self, sample: Sample) -> list[Record]:
        """Return the P records of a result."""
        return [["P", "1"]]

    def order(self, sample: Sample) -> list[Record]:
        """Return the O records of a result."""
        tests: FieldValue = [self.code_field(test.code) for test, _ in sample.values]
        action = "Q" if sample.is_control else "N"
        place: FieldValue = sample.specimen_id
        return [
            ["O", "1", place, "", tests, "R", "", "", "", "", "", action, "", "", "", "Serum", *[""] * 9, "F"],
        ]

    def rows(self, number: int, test: SimulatedTest, value: str, sample: Sample) -> list[Record]:
        """Return the records of one result: R and what belongs to it."""
        limits = "" if test.choices else "-".join(test.limits)
        row: Record = ["R", str(number), self.code_field(test.code), value, test.unit, limits, test.flag_of(value)]
        return [[*row, "", "F", "", "ADMIN", "", sample.stamp, "SIM-1"]]

    def code_field(self, code: str) -> tuple[str, ...]:
        """Return O.5 or R.3 for a code."""
        return (*[""] * (self.code_component - 1), code)

    def query(self, specimen_ids: Sequence[str], serial: int, at: datetime) -> bytes:
        """Ask for all tests of the tubes."""
        return self._asking(specimen_ids, at, "O", "N")

    def cancel_query(self, specimen_ids: Sequence[str], serial: int, at: datetime) -> bytes:
        """Take the question back."""
        return self._asking(specimen_ids, at, "A", "T")

    def query_field(self, specimen_ids: Sequence[str]) -> FieldValue:
        """Return Q.3."""
        return [("", specimen_id) for specimen_id in specimen_ids]

    def work_in(self, raw: bytes) -> WorkAnswer | None:
        """Read orders; a terminator that says "no information" is an answer too."""
        records = records_of(raw)
        orders: dict[str, tuple[str, ...]] = {}
        for record in records:
            if record[0][:1] == "O":
                has_none = _at(record, 26) in {"Y", "Z", "X"}
                codes = () if has_none else self.ordered_codes(_at(record, 5), records)
                specimen_id = self.ordered_specimen(record)
                orders[specimen_id] = orders.get(specimen_id, ()) + codes
        says_nothing = any(record[0] == "L" and _at(record, 3) in {"I", "F"} for record in records)
        return WorkAnswer(orders) if orders or says_nothing else None

    def ordered_specimen(self, record: Sequence[str]) -> str:
        """Return the barcode of an order."""
        return _at(record, 3).split(self.delimiters.component)[0].strip()

    def ordered_codes(self, text: str, records: Sequence[Sequence[str]]) -> tuple[str, ...]:
        """Return the codes in O.5, by the delimiters of the message."""
        repeat, component = _marks(records)
        found = []
        for part in text.split(repeat):
            parts = part.split(component)
            found.append(parts[self.code_component - 1].strip() if len(parts) >= self.code_component else "")
        return tuple(code for code in found if code)

    # the host -----------------------------------------------------------------------------------------------------

    def asked(self, raw: bytes) -> list[Asked]:
        """Return the tubes of a question."""
        records = records_of(raw)
        repeat, component = _marks(records)
        found = []
        for record in records:
            if record[0] != "Q" or _at(record, 13) == "A":
                continue
            for field in _at(record, 3).split(repeat):
                parts = [part.strip() for part in field.split(component)]
                specimen_id = self.asked_specimen(parts)
                if specimen_id:
                    found.append(Asked(specimen_id, field))
        return found

    def asked_specimen(self, parts: Sequence[str]) -> str:
        """Return the barcode in the components of Q.3."""
        return next((part for part in (*parts[1:2], *parts[:1]) if part), "")

    def respond(self, raw: bytes, desk: Desk, serial: int, at: datetime) -> list[Outgoing]:
        """Answer a question with a session of its own; results need no answer."""
        asked = self.asked(raw)
        if not asked:
            return []
        found = [(one, tuple(desk.get(one.specimen_id, ()))) for one in asked]
        if not any(codes for _, codes in found):
            nothing = self.nothing(asked, at)
            return [Outgoing(nothing)] if nothing else []
        return [Outgoing(self.work(found, at, "F"))]

    def nothing(self, asked: Sequence[Asked], at: datetime) -> bytes:
        """Return the answer where there is no work, or b"" to stay silent."""
        return self.written([self.header(f"{at:%Y%m%d%H%M%S}", "work"), ["L", "1", self.sorts_no_work]])

    def work(self, found: Sequence[tuple[Asked, Sequence[str]]], at: datetime, end: str) -> bytes:
        """Return the message that brings work."""
        stamp = f"{at:%Y%m%d%H%M%S}"
        records: list[Record] = [self.header(stamp, "work")]
        for number, (one, codes) in enumerate(found, start=1):
            if codes:
                records += [["P", str(number)], *self.orders(one, codes, stamp)]
        return self.written([*records, ["L", "1", end]])

    def orders(self, asked: Asked, codes: Sequence[str], stamp: str) -> list[Record]:
        """Return the O records of one tube."""
        tests: FieldValue = [self.code_field(code) for code in codes]
        tail = ["", "", "", "Serum", *[""] * 9, self.order_report]
        place: FieldValue = asked.specimen_id
        return [["O", "1", place, "", tests, "R", stamp, stamp, "", "", "", self.order_action, *tail]]

    def download(self, specimen_id: str, codes: Sequence[str], serial: int, at: datetime) -> bytes:
        """Bring work unasked."""
        return self.work([(Asked(specimen_id, specimen_id), codes)], at, "N")

    # both ---------------------------------------------------------------------------------------------------------

    def written(self, records: Sequence[Record]) -> bytes:
        """Return records as bytes, with the delimiters of the dialect."""
        return build_message(records, self.delimiters)

    def _asking(self, specimen_ids: Sequence[str], at: datetime, status: str, end: str) -> bytes:
        asked: Record = ["Q", "1", self.query_field(specimen_ids), "", "ALL", *[""] * 7, status]
        return self.written([self.header(f"{at:%Y%m%d%H%M%S}", "query"), asked, ["L", "1", end]])


def records_of(raw: bytes) -> list[list[str]]:
    """Return the records of a message as fields, cut at the field delimiter the header declares."""
    text = raw.decode("latin-1").replace("\n", "\r")
    mark = text[1:2] or "|"
    return [line.strip().split(mark) for line in text.split("\r") if line.strip()]


def _marks(records: Sequence[Sequence[str]]) -> tuple[str, str]:
    declared = records[0][1] if records and len(records[0]) > 1 else "\\^&"
    return declared[:1] or "\\", declared[1:2] or "^"


def _at(record: Sequence[str], number: int) -> str:
    return record[number - 1] if number <= len(record) else ""
