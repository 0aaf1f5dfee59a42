"""ASTM dialects of chemistry and immunoassay analyzers. The facts are those of the models' files."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import ClassVar

from connectors.analyzers.simulator.astm_dialect import Asked, AstmDialect, Record
from connectors.analyzers.simulator.content import (
    HORMONES,
    NUMBERED,
    URINE_ALBUMIN,
    Sample,
    SimulatedTest,
    Tests,
)
from connectors.astm.codec import Delimiters, FieldValue

_BACKTICK = Delimiters(repeat="`")


class Architect(AstmDialect):
    """Abbott ARCHITECT: three rows per test, final, interpretation and raw signal."""

    tests: Tests = NUMBERED
    sender = ("ARCHITECT", "9.55", "F0000000001", "H1P1O1R1C1Q1L1")
    version = "1"
    kinds: ClassVar[Sequence[str]] = ("F", "I", "P")
    kind_component: ClassVar[int] = 11

    def order(self, sample: Sample) -> list[Record]:
        """O.4 is barcode^carrier^position."""
        (record,) = super().order(sample)
        record[3] = (sample.specimen_id, "A035", str(sample.serial % 5 + 1))
        return [record]

    def rows(self, number: int, test: SimulatedTest, value: str, sample: Sample) -> list[Record]:
        """The raw signal would be grossly wrong as a result."""
        records = []
        said = {"F": (value, test.unit), "I": ("Nonreactive", ""), "P": ("9765.43", "RLU")}
        for position, kind in enumerate(self.kinds):
            (record,) = super().rows(number * 3 - 2 + position, test, value, sample)
            code = ["", "", "", test.code, test.name, "UNDILUTED", "P", "18604UN24", "05562", "", ""]
            code[self.kind_component - 1] = kind
            record[2], record[3], record[4] = tuple(code), *said[kind]
            record[5], record[8] = (" TO ".join(test.limits) if kind == "F" else ""), "F"
            records.append(record)
        return records


class M2000(Architect):
    """Abbott m2000: O.4 barcode^plate^well, the kind in component 9; sends only."""

    sender = ("m2000", "8.1.9.0", "275000001", "H1P1O1R1C1L1")
    asks = False
    kinds = ("F", "I")
    kind_component = 9
    tests: Tests = (SimulatedTest("SIM0.6ml", "Viral load", "Copies / mL", 50, 5000, 0),)


class Access(AstmDialect):
    """Beckman Access and DxI: codes by name, replicate behind them."""

    tests: Tests = HORMONES
    sender = ("ACCESS", "609001")
    receiver = "LIS"
    version = "1"

    def order(self, sample: Sample) -> list[Record]:
        """O.4 is ^rack^position."""
        (record,) = super().order(sample)
        record[3] = ("", str(sample.serial), "1")
        return [record]

    def rows(self, number: int, test: SimulatedTest, value: str, sample: Sample) -> list[Record]:
        """Component 5 of R.3 is the replicate."""
        (record,) = super().rows(number, test, value, sample)
        record[2] = ("", "", "", test.code, "1")
        return [record]

    def query(self, specimen_ids: Sequence[str], serial: int, at: datetime) -> bytes:
        """A question ends with F."""
        return self._asking(specimen_ids, at, "O", "F")


class Centaur(AstmDialect):
    """Siemens ADVIA Centaur."""

    tests: Tests = HORMONES
    sender = "ADVCNT_LIS"
    receiver = "LIS_ID"
    version = "1"


class DcaVantage(AstmDialect):
    """Siemens DCA Vantage: the scanned code is the patient's; sends only."""

    tests: Tests = URINE_ALBUMIN
    asks = False
    sender = ("DCA VANTAGE", "04.04.00.00", "S000001")
    version = ""

    def patient(self, sample: Sample) -> list[Record]:
        """The barcode is here."""
        return [["P", "1", sample.specimen_id]]

    def order(self, sample: Sample) -> list[Record]:
        """O.3 is empty, O.4 a number of the device."""
        action = "Q" if sample.is_control else ""
        return [["O", "1", "", (str(sample.serial), "0090"), "", "", "", "", "", "", "", action, *[""] * 13, "F"]]


class Bs430(AstmDialect):
    """Mindray BS-430: the kind of message in H.12, the barcode in O.4, codes and values in the first component."""

    sender = ("Mindry", "", "")
    version = "1394-97"
    code_component = 1
    order_action = ""
    _KINDS: ClassVar = {"result": "PR", "query": "RQ", "work": "SA"}

    def header(self, stamp: str, kind: str, *, is_control: bool = False) -> Record:
        """H.12 is the kind of message."""
        return ["H", "", "", self.sender, *[""] * 6, self._KINDS[kind], self.version, stamp]

    def patient(self, sample: Sample) -> list[Record]:
        """The number is the device's own."""
        return [["P", str(sample.serial), *[""] * 6, "U"]]

    def order(self, sample: Sample) -> list[Record]:
        """O.3 is the device's own sequence^rack^position."""
        place = (str(sample.serial), "1", str(sample.serial % 10 + 1))
        tests: FieldValue = [(test.code, test.name, "", "") for test, _ in sample.values]
        action = "Q" if sample.is_control else ""
        head: Record = ["O", str(sample.serial), place, sample.specimen_id, tests, "R"]
        return [[*head, sample.stamp, sample.stamp, "", "", "", action, "", "", sample.stamp, "serum", *[""] * 9, "F"]]

    def rows(self, number: int, test: SimulatedTest, value: str, sample: Sample) -> list[Record]:
        """Values have six decimals."""
        shown = (f"{float(value):.6f}", "", "", "", "")
        head: Record = ["R", str(240 + number), (test.code, test.name, "", "F"), shown, test.unit, ("", ""), "N"]
        return [[*head, "", "F", shown, "0", sample.stamp, "", ("Mindry", "")]]

    def orders(self, asked: Asked, codes: Sequence[str], stamp: str) -> list[Record]:
        """The barcode is in O.4, each code with dilution and repeats."""
        tests: FieldValue = [(code, "", "2", "1") for code in codes]
        head: Record = ["O", "1", ("1", "1", "1"), asked.specimen_id, tests, "R", stamp, stamp]
        return [[*head, *[""] * 7, "serum", "", "", "1", *[""] * 6, "Q"]]

    def ordered_specimen(self, record: Sequence[str]) -> str:
        """The barcode is in O.4."""
        return record[3].strip()


class ErbaXl(AstmDialect):
    """Erba XL: backtick as repeat delimiter, no sender, one test per session, questions for several tubes."""

    delimiters = _BACKTICK
    sender: ClassVar[FieldValue] = ""
    version = "E 1394-97"

    def results(self, sample: Sample) -> list[bytes]:
        """Every test comes in a session of its own."""
        return [
            result
            for pair in sample.values
            for result in super(ErbaXl, self).results(
                Sample(sample.specimen_id, [pair], sample.level, sample.serial, sample.at)
            )
        ]

    def header(self, stamp: str, kind: str, *, is_control: bool = False) -> Record:
        """The device does not name itself."""
        return ["H", *[""] * 9, "P", self.version, stamp]

    def order(self, sample: Sample) -> list[Record]:
        """No action: control material is known by its barcode."""
        tests: FieldValue = [self.code_field(test.code) for test, _ in sample.values]
        return [["O", "1", sample.specimen_id, "", tests, *[""] * 10, "SERUM"]]

    def rows(self, number: int, test: SimulatedTest, value: str, sample: Sample) -> list[Record]:
        """Flag A always, and a comment that says it again."""
        row: Record = ["R", str(number), self.code_field(test.code), value, test.unit, ("", "DEFAULT"), "A", "N", "F"]
        return [[*row, "", "", "", sample.stamp], ["C", "1", "I", "Instrument Flag A"]]

    def query_field(self, specimen_ids: Sequence[str]) -> FieldValue:
        """Only the first of several tubes has the caret."""
        return [("", specimen_ids[0]), *specimen_ids[1:]]

    def orders(self, asked: Asked, codes: Sequence[str], stamp: str) -> list[Record]:
        """O.3 is barcode^container, 03 for a tube of 5 to 7 ml."""
        tests: FieldValue = [self.code_field(code) for code in codes]
        place = (asked.specimen_id, "03")
        return [["O", "1", place, "", tests, "R", "", "", "", "", "", "N", "", "", "", "serum", *[""] * 9, "Q"]]


class AutoQuant(ErbaXl):
    """Meril AutoQuant: results without an O record, the barcode in P."""

    sender = ("Meril", "3.6", "11050000")
    version = "E-1394-97"

    def results(self, sample: Sample) -> list[bytes]:
        """All tests in one message."""
        return AstmDialect.results(self, sample)

    def header(self, stamp: str, kind: str, *, is_control: bool = False) -> Record:
        """H.5 is empty in questions."""
        return ["H", "", "", self.sender if kind == "result" else "", *[""] * 7, self.version, stamp]

    def patient(self, sample: Sample) -> list[Record]:
        """The barcode is here."""
        return [["P", "1", sample.specimen_id, *[""] * 5, "U"]]

    def order(self, sample: Sample) -> list[Record]:
        """There is none."""
        return []

    def rows(self, number: int, test: SimulatedTest, value: str, sample: Sample) -> list[Record]:
        """R.8 N, R.9 F."""
        head: Record = ["R", str(number), self.code_field(test.code), value, test.unit, ("0", "0"), "", "N", "F"]
        return [[*head, "", "", "", sample.stamp]]


class Pentra400(AstmDialect):
    """Horiba Pentra 400: numbers for units, the time in R.12; sends only."""

    tests: Tests = tuple(
        SimulatedTest(test.code, test.name, unit, test.low, test.high, test.decimals)
        for test, unit in zip(NUMBERED, ("15", "15", "15", "26"), strict=True)
    )
    asks = False
    sender = "ABXP400"
    version = "E1394-97"

    def rows(self, number: int, test: SimulatedTest, value: str, sample: Sample) -> list[Record]:
        """A comment names every flag."""
        flag = test.flag_of(value)
        shown = flag if flag != "N" else ""
        row: Record = ["R", str(number), ("", "", "", test.code, test.name), value, test.unit, "", shown, "", "F"]
        comment: Record = ["C", "1", "I", ("Flag", f"NORM_RANGE{flag}"), "I"]
        return [[*row, "", "", sample.stamp], *([comment] if shown else [])]


class GeneXpertAstm(AstmDialect):
    """Cepheid GeneXpert: at sign as repeat delimiter, backslash as escape."""

    tests: Tests = (SimulatedTest("SIMASSAY", "Assay", "", 0, 0, choices=("NOT DETECTED", "DETECTED", "INVALID")),)
    delimiters = Delimiters(repeat="@", component="^", escape="\\")
    sender = ("SimSite", "GeneXpert", "1.0")


class Maglumi(AstmDialect):
    """SNIBE MAGLUMI X3: channels by name, all in one O record; no work, no answer."""

    tests: Tests = tuple(
        SimulatedTest(f"{test.code} II", test.name, test.unit, test.low, test.high, test.decimals) for test in HORMONES
    )
    sender = " MAGLUMI X3 "
    receiver = "Lis"
    version = "E1394-97"

    def nothing(self, asked: Sequence[Asked], at: datetime) -> bytes:
        """Say nothing."""
        return b""


class DecimalComma(AstmDialect):
    """Euroimmun writes 7,41; sends only."""

    tests: Tests = (SimulatedTest("SIMELISA", "Antibody", "RE/ml", 2, 20, 2),)
    asks = False

    def rows(self, number: int, test: SimulatedTest, value: str, sample: Sample) -> list[Record]:
        """A comma for the point."""
        (record,) = super().rows(number, test, value, sample)
        record[3] = value.replace(".", ",")
        return [record]


class SendsOnly(AstmDialect):
    """A device of which nothing is known but that it sends standard records."""

    asks = False


class Vitros(AstmDialect):
    """Ortho VITROS: dilution+code+dilution, flags by component; understands only one record per frame."""

    tests: Tests = tuple(
        SimulatedTest(code, name, unit, 1, 60, 2)
        for code, name, unit in (("801", "Assay A", "mIU/L"), ("802", "B", ""))
    )
    sender = "3600900"
    order_action = "N"
    order_report = "O"
    one_record_per_frame = True

    def header(self, stamp: str, kind: str, *, is_control: bool = False) -> Record:
        """H.13 is the version of the standard."""
        return ["H", "", "", self.sender, *[""] * 6, "", "LIS2-A", stamp]

    def order(self, sample: Sample) -> list[Record]:
        """O.3 is barcode^tray^cup."""
        (record,) = super().order(sample)
        codes = [test.code for test, _ in sample.values]
        record[2], record[4] = (sample.specimen_id, "1", "3"), self._tests(codes)
        return [record]

    def rows(self, number: int, test: SimulatedTest, value: str, sample: Sample) -> list[Record]:
        """R.9 V; the first result brings the reagents along."""
        code = ("", "", "", f"1.0000+{test.code}+1.0")
        row: Record = ["R", str(number), code, value, test.unit, "", ("", "0", ""), "", "V", "", ""]
        reagents: Record = ["M", "1", "X", ("6190", sample.stamp), (sample.stamp, "N", ""), "", "", "N"]
        return [[*row, sample.stamp, sample.stamp, self.sender], *([reagents] if number == 1 else [])]

    def orders(self, asked: Asked, codes: Sequence[str], stamp: str) -> list[Record]:
        """Codes stand between their dilutions."""
        (record,) = super().orders(asked, codes, stamp)
        record[4] = self._tests(codes)
        return [record]

    def ordered_codes(self, text: str, records: Sequence[Sequence[str]]) -> tuple[str, ...]:
        """The code stands between the dilutions; later ones have no manual dilution."""
        parts = (part.split("^")[-1].split("+") for part in text.split("\\"))
        return tuple(part[-2] for part in parts if len(part) > 1)

    def _tests(self, codes: Sequence[str]) -> FieldValue:
        first, *others = codes
        return [("", "", "", f"1.0000+{first}+1.0"), *(f"{code}+1.0" for code in others)]
