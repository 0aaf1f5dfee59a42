"""ASTM dialects of Roche analyzers. The facts are those of the models' files."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from connectors.analyzers.simulator.astm_dialect import Asked, AstmDialect, Record
from connectors.analyzers.simulator.content import HORMONES, NUMBERED, Sample, SimulatedTest, Tests
from connectors.astm.codec import FieldValue

_ROCHE_WIDTH = 22


class RocheHost(AstmDialect):
    """Roche host interface: H.11 is the kind of message, nine components in Q.3, an alarm behind every result."""

    tests: Tests = NUMBERED
    sender = ("H7600", "1")
    receiver = "host"
    version = "1"
    order_action = "A"
    order_report = "O"
    _KINDS: ClassVar = {"result": "RSUPL^REAL", "query": "TSREQ^REAL", "work": "TSDWN^REPLY"}

    def header(self, stamp: str, kind: str, *, is_control: bool = False) -> Record:
        """H.11 says what the message is for."""
        sender, receiver = (self.sender, self.receiver) if kind != "work" else (("host", "1"), "H7600")
        said = tuple(self._KINDS[kind].split("^"))
        return ["H", "", "", sender, "", "", "", "", receiver, said, "P", "1"]

    def patient(self, sample: Sample) -> list[Record]:
        """Nothing is known of the patient but that the sex is not."""
        return [["P", "1", *[""] * 5, "", "U", "", "", "", "", "", ("", "")]]

    def order(self, sample: Sample) -> list[Record]:
        """The barcode is padded to 22, O.4 is sequence^rack^position^^type^container."""
        kind = "QC" if sample.is_control else "S1"
        place = (str(sample.serial), "50002", f"{sample.serial % 5 + 1:03d}", "", kind, "SC")
        tests: FieldValue = [("", "", "", test.code, "") for test, _ in sample.values]
        action = "Q" if sample.is_control else "N"
        padded: FieldValue = f"{sample.specimen_id:<{_ROCHE_WIDTH}}"
        tail = ["", "", "", "1", *[""] * 6, sample.stamp, "", "", "F"]
        return [["O", "1", padded, place, tests, "R", "", "", "", "", "", action, *tail]]

    def rows(self, number: int, test: SimulatedTest, value: str, sample: Sample) -> list[Record]:
        """R.3 is test/dilution/pre-dilution; the alarm is 0 where there is none."""
        flag = test.flag_of(value)
        row: Record = ["R", str(number), ("", "", "", f"{test.code}/1/not"), value, test.unit, "", flag, "", "F"]
        alarm = "0" if flag == "N" else "27"
        return [[*row, "", "ADMIN", "", "", "P1"], ["C", "1", "I", alarm, "I"]]

    def query_field(self, specimen_ids: Sequence[str]) -> FieldValue:
        """The barcode is right-justified in 22 characters; one tube at a time."""
        padded = f"{specimen_ids[0]:>{_ROCHE_WIDTH}}"
        return ("", "", padded, "3", "50002", "002", "", "S1", "SC")

    def asked_specimen(self, parts: Sequence[str]) -> str:
        """The barcode is the third component."""
        return next(iter(parts[2:3]), "")

    def orders(self, asked: Asked, codes: Sequence[str], stamp: str) -> list[Record]:
        """The padding of the question is repeated, and where the tube stands."""
        parts = [*asked.field.split("^"), *[""] * 9][:9]
        padded = parts[2] or f"{asked.specimen_id:>{_ROCHE_WIDTH}}"
        place = (*parts[3:6], "", parts[7] or "S1", parts[8] or "SC")
        tests: FieldValue = [("", "", "", code, "") for code in codes]
        tail = ["", "", "", "1", *[""] * 9, "O"]
        return [["O", "1", padded, place, tests, "R", "", "", "", "", "", "A", *tail]]


class RocheC311(RocheHost):
    """The c 311 sends a sequence number before the barcode and names itself."""

    sender = ("c311", "1")

    def order(self, sample: Sample) -> list[Record]:
        """O.3 is sequence^barcode^rack^^position."""
        (record,) = super().order(sample)
        record[2] = (str(sample.serial), f"{sample.specimen_id:<{_ROCHE_WIDTH}}", "1", "", "004")
        return [record]


class RocheE411(RocheHost):
    """The e 411 has qualitative tests: verdict^index."""

    sender = ("cobas-e411", "1")
    tests: Tests = (*HORMONES[:1], SimulatedTest("905", "Qualitative", "COI", 0.1, 0.9, 3))

    def rows(self, number: int, test: SimulatedTest, value: str, sample: Sample) -> list[Record]:
        """A qualitative result is a verdict (-1, 0, 1) and its index."""
        records = super().rows(number, test, value, sample)
        if test.unit == "COI":
            records[0][3] = ("-1" if float(value) < 1 else "1", value)
        return records


class RocheInfinity(AstmDialect):
    """cobas infinity PSM: O.12 X on results, X and Q on QC, a comma list of flags; orders of one test each."""

    tests: Tests = NUMBERED
    sender = ("cobas infinity ", "Roche Diagnostics", "", "2.0")
    receiver = "cobas infinity "
    version = ""
    order_action = "A"
    order_report = "O"

    def order(self, sample: Sample) -> list[Record]:
        """QC is said twice: in the header and here."""
        (record,) = super().order(sample)
        record[11] = ["X", "Q"] if sample.is_control else "X"
        return [record]

    def rows(self, number: int, test: SimulatedTest, value: str, sample: Sample) -> list[Record]:
        """Component 5 is the dilution, 8 the analyzer behind the middleware."""
        (record,) = super().rows(number, test, value, sample)
        record[2] = ("", "", "", test.code, "5", "", "", "c6k")
        record[6] = "TV,TPNR" if record[6] == "H" else ""
        return [record]

    def orders(self, asked: Asked, codes: Sequence[str], stamp: str) -> list[Record]:
        """It supports no repeats."""
        return [record for code in codes for record in super(RocheInfinity, self).orders(asked, [code], stamp)]
