"""ASTM dialects of haematology, HPLC and blood bank analyzers. The facts are those of the models' files."""

from __future__ import annotations

import base64
import struct
import zlib
from collections.abc import Sequence

from connectors.analyzers.driver import MODELS
from connectors.analyzers.simulator.astm_dialect import Asked, AstmDialect, Record
from connectors.analyzers.simulator.content import BLOOD_GROUP, HBA1C, PEAKS, Sample, SimulatedTest, Tests, cells_of
from connectors.astm.codec import FieldValue

_SYSMEX_WIDTH = 22


class SysmexXn(AstmDialect):
    """Sysmex XN: everything in component 5, the padded barcode in O.4, pictures as rows.

    Where a question holds the barcode is inferred from O.4 of results.
    """

    tests: Tests = cells_of(MODELS["sysmex_xn"])
    sender = ("    XN-550", "00-24", "22723", "", "", "", "BD600001")
    version = "E1394-97"
    code_component = 5

    def header(self, stamp: str, kind: str, *, is_control: bool = False) -> Record:
        """The time is not sent."""
        return super().header(stamp, kind)[:-1]

    def order(self, sample: Sample) -> list[Record]:
        """O.4 is rack^position^barcode^attribute, B for a barcode that was read."""
        tests: FieldValue = [self.code_field(test.code) for test, _ in sample.values]
        place = ("1", str(sample.serial % 10 + 1), f"{sample.specimen_id:>{_SYSMEX_WIDTH}}", "B")
        return [["O", "1", "", place, tests, *[""] * 6, "N", *[""] * 13, "F"]]

    def rows(self, number: int, test: SimulatedTest, value: str, sample: Sample) -> list[Record]:
        """Values are right-justified in five characters, R.9 N is final."""
        flag = test.flag_of(value)
        row: Record = ["R", str(number), ("", "", "", "", test.code, "1"), f"{value:>5}", test.unit, "", flag, "", "N"]
        records: list[Record] = [[*row, "", f"{'':15}", "", sample.stamp]]
        if number == len(sample.values):
            records += self.extras(number, sample)
        return records

    def extras(self, number: int, sample: Sample) -> list[Record]:
        """After the last count: a message of the interpretive program and the path of a scattergram."""
        low = any(test.code == "HGB" and test.flag_of(value) == "L" for test, value in sample.values)
        picture = f"PNG&R&{sample.at:%Y%m%d}&R&SIM_{sample.serial}_WDF.PNG"
        found: list[Record] = []
        if low:
            found.append(["R", str(number + 1), ("", "", "", "", "Anemia", ""), "", "", "", "A", "", "N"])
        row: Record = ["R", str(number + 1 + low), ("", "", "", "", "SCAT_WDF", ""), picture, "", "", "N", "", "N"]
        return [*found, [*row, "", "", "", sample.stamp]]

    def query_field(self, specimen_ids: Sequence[str]) -> FieldValue:
        """rack^position^barcode^attribute, as in results."""
        return ("1", "1", f"{specimen_ids[0]:>{_SYSMEX_WIDTH}}", "B")

    def asked_specimen(self, parts: Sequence[str]) -> str:
        """The barcode is the third component."""
        return next(iter(parts[2:3]), "")

    def orders(self, asked: Asked, codes: Sequence[str], stamp: str) -> list[Record]:
        """O.3 repeats the question, padding included."""
        (record,) = super().orders(asked, codes, stamp)
        parts = asked.field.split("^")
        if len(parts) > 2:
            record[2] = tuple(parts)
        return [record]

    def ordered_specimen(self, record: Sequence[str]) -> str:
        """The barcode is component 3, or all of O.3 of a download."""
        parts = record[2].split("^")
        return parts[2].strip() if len(parts) > 2 else parts[0].strip()


class SysmexXp(SysmexXn):
    """Sysmex XP: three-part differential; sends only."""

    tests: Tests = cells_of(MODELS["sysmex_xp"])
    asks = False
    sender = ("XP-100", "00-13", "", "", "", "A7000", "BS600001")

    def extras(self, number: int, sample: Sample) -> list[Record]:
        """There are none."""
        return []


class Vision(AstmDialect):
    """Ortho VISION: blood groups, codes in the first component, columns with their image files in M."""

    tests: Tests = BLOOD_GROUP
    sender = ("OCD", "VISION", "5.13.1.46935", "JSIM")
    version = "LIS2-A"
    code_component = 1

    def rows(self, number: int, test: SimulatedTest, value: str, sample: Sample) -> list[Record]:
        """Every result has the columns it was read from."""
        row: Record = ["R", str(number), test.code, value, "", "", "", "", "F", "", "Automatic", "", sample.stamp]
        card = ("A/B/D Monoclonal Grouping", str(number), "00084", f"{sample.stamp}Color.jpg")
        return [[*row, "JSIM"], ["M", "1", f"Anti-{test.code}", card, "", ("30", "A")]]


class D10(AstmDialect):
    """Bio-Rad D-10: O.4 barcode-position-injection-date-lis, one row per peak, TOTAL last; sends only."""

    tests: Tests = PEAKS
    asks = False
    sender = ("D10", "07", "3.00")
    receiver = "host"
    version = "1"

    def order(self, sample: Sample) -> list[Record]:
        """The barcode is the first part of O.4."""
        place = f"{sample.specimen_id}-{sample.serial:02d}-1-{sample.at:%Y%m%d}-LIS001"
        head: Record = ["O", "1", "", place, "", "R", "", "", "", "", "", "N"]
        return [[*head, *[""] * 10, sample.stamp, "", "", "F"]]

    def rows(self, number: int, test: SimulatedTest, value: str, sample: Sample) -> list[Record]:
        """Peaks are areas; the last row is their sum."""
        row: Record = ["R", str(number), ("", "", "", test.code, "AREA"), value, test.unit, "", "N", "", "F"]
        total: Record = ["R", str(number + 1), ("", "", "", "TOTAL", "AREA"), "100.0", "%", "", "N", "", "F"]
        tail: Record = ["", "", "", sample.stamp]
        return [[*row, *tail], *([[*total, *tail]] if number == len(sample.values) else [])]


class Yumizen(AstmDialect):
    """Horiba Yumizen: LOINC beside the mnemonic, histograms in M, every piece of a long record ends with ETX."""

    tests: Tests = cells_of(MODELS["horiba_yumizen"])
    asks = False
    sender = ("H550", "909YAXH00001", "1.2.1.4")
    version = "LIS2-A2"

    def order(self, sample: Sample) -> list[Record]:
        """O.16 says whether it is blood or control material; a histogram follows."""
        what: FieldValue = ("CTRL", "", f"CTRL {sample.specimen_id}") if sample.is_control else "BLOOD"
        head: Record = ["O", "1", sample.specimen_id, "", ("", "", "", "DIF"), "R", sample.stamp, *[""] * 8, what]
        curve = struct.pack("<64f", *(float((at * at) % 97) for at in range(64)))
        data = "FLOATLE-stream/deflate:base64", base64.b64encode(zlib.compress(curve)).decode()
        return [[*head, *[""] * 9, "F"], ["M", "1", "HISTOGRAM", "RBC/PLT", "PltAlongRes", data, data]]

    def rows(self, number: int, test: SimulatedTest, value: str, sample: Sample) -> list[Record]:
        """The range has a word behind it; results out of range are questionable on the first tube of a day."""
        limits = (" - ".join(test.limits), "REFERENCE_RANGE")
        code = ("", "", "", test.code, "99999-9")
        row: Record = ["R", str(number), code, value, test.unit, limits, test.flag_of(value), "", "F", ""]
        return [[*row, ("LABOR", "", "USER"), sample.stamp]]


class IhCom(AstmDialect):
    """Bio-Rad IH-Com: a row per antigen with the strength of the reaction, and the verdict; sends only."""

    tests: Tests = (
        SimulatedTest("AntiA", "Anti-A", "", 0, 0, choices=("40", "0")),
        SimulatedTest("AntiB", "Anti-B", "", 0, 0, choices=("40", "0")),
        SimulatedTest("Result", "Verdict", "", 0, 0, choices=("A", "B", "O")),
    )
    asks = False
    sender = ("Bio-Rad", "IH v5.2")
    version = ""

    def order(self, sample: Sample) -> list[Record]:
        """O.4 repeats the barcode."""
        (record,) = super().order(sample)
        record[3], record[4] = (sample.specimen_id, "", "", ""), ("", "", "", "MO10", "", "28343", "")
        return [record]

    def rows(self, number: int, test: SimulatedTest, value: str, sample: Sample) -> list[Record]:
        """The profile stands beside the antigen."""
        code = ("", "", "", test.code, "MO10", "Bloodgroup (5005)", "")
        row: Record = ["R", str(number), code, value, "", "C", "", "", "F", "", "sim", sample.stamp]
        return [[*row, "", "11", "IH-1000"], ["C", "1", "I", ("CAS", "5005"), ""]]


class Immucor(AstmDialect):
    """Immucor: one Q record per tube."""

    tests: Tests = BLOOD_GROUP
    sender = "Echo"
    receiver = "LIS"

    def query_field(self, specimen_ids: Sequence[str]) -> FieldValue:
        """The barcode alone."""
        return specimen_ids[0]


class Maestro(AstmDialect):
    """Agappe Mispa Maestro: bare records; hears nothing."""

    tests: Tests = HBA1C
    asks = False
    sender = ("Maestro", "BH60")
