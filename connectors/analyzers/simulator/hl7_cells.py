"""HL7 dialects of haematology and small analyzers that send ORU. The facts are those of the models' files."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import ClassVar

from connectors.analyzers.driver import MODELS
from connectors.analyzers.simulator.content import (
    BLOOD_GAS,
    CELLS,
    HBA1C,
    HORMONES,
    NUMBERED,
    Desk,
    Outgoing,
    Sample,
    SimulatedTest,
    Tests,
    WorkAnswer,
    cells_of,
)
from connectors.analyzers.simulator.hl7_dialect import (
    Hl7Dialect,
    Row,
    Segment,
    all_of,
    event_of,
    limits_of,
    obx,
    part,
    written,
)
from connectors.analyzers.simulator.mllp_link import field_of
from connectors.hl7.codec import FieldValue

_PIXEL = "Qk0eAAAAAAAAABoAAAAMAAAAAQABAAEAGAAAAAAA"
"""A bitmap of one pixel, base64."""


class MindrayBc(Hl7Dialect):
    """Mindray BC: modes and alarms as IS rows, a histogram as ED row, the worklist asked for with ORM^O01."""

    tests: Tests = cells_of(MODELS["mindray_bc"])
    application = ("", "")
    asks = True
    service: ClassVar[tuple[str, ...]] = ("00001", "Automated Count", "99MRC")
    control_service: ClassVar[tuple[str, ...]] = ("00003", "LJ QCR", "99MRC")

    def control_name(self, level: int) -> str:
        """Controls are known by their lot."""
        return f"LOT-SIM-{'LH'[level]}"

    def head(self, sample: Sample) -> list[Segment]:
        """A control's lot is in PID-3 and the number of its file in OBR-3; then the run modes."""
        patient: FieldValue = (sample.specimen_id if sample.is_control else "", "", "", "", "MR")
        place = "6" if sample.is_control else sample.specimen_id
        service = self.control_service if sample.is_control else self.service
        return [
            ("PID", ["1", "", patient, "", ("", "")]),
            ("PV1", ["1", "Outpatient"]),
            ("OBR", ["1", "", place, service, "", sample.stamp, sample.stamp, *[""] * 16, "HM", *[""] * 7, "sim"]),
            obx(90, "IS", ("08001", "Take Mode", "99MRC"), "A", "", "", ""),
            obx(91, "IS", ("08003", "Test Mode", "99MRC"), "CBC+DIFF", "", "", ""),
            obx(92, "IS", ("01002", "Ref Group", "99MRC"), "General", "", "", ""),
        ]

    def rows(self, number: int, test: SimulatedTest, value: str, sample: Sample) -> list[Segment]:
        """The name counts; an abnormal value is marked twice."""
        flag = test.flag_of(value)
        marked: FieldValue = [flag, "A"] if flag in {"H", "L"} else ["", "N"]
        return [
            obx(number, "NM", ("99999-9", test.code, "LN"), self.shown(value), test.unit, self.limits(test), marked)
        ]

    def shown(self, value: str) -> str:
        """Return the number as the device writes it."""
        return value

    def limits(self, test: SimulatedTest) -> str:
        """Return the range as the device writes it."""
        return limits_of(test)

    def tail(self, sample: Sample) -> list[Segment]:
        """An alarm and a histogram."""
        picture: FieldValue = ("", "Image", "BMP", "Base64", _PIXEL)
        alarms = [obx(93, "IS", ("12003", "Leucocytosis", "99MRC"), "T", "", "", "")]
        is_high = any(test.code == "WBC" and test.flag_of(value) == "H" for test, value in sample.values)
        return [*(alarms if is_high else []), obx(94, "ED", ("15551-4", "WBC Histogram. BMP"), picture, "", "", "")]

    def query(self, specimen_ids: Sequence[str], serial: int, at: datetime) -> bytes:
        """The question is an order to refill (RF)."""
        return written(
            [self.msh(("ORM", "O01"), str(serial), at), ("ORC", ["RF", "", specimen_ids[0], "", "IP"])],
        )

    def work_in(self, raw: bytes) -> WorkAnswer | None:
        """Work comes within the answer: ORC AF, OBR and one row per mode or test; AR is no work."""
        if event_of(raw)[:2] != ("ORR", "O02"):
            return None
        orders = {}
        for fields in all_of(raw, "OBR"):
            specimen_id = part(fields, 3) or part(fields, 2)
            names = [part(row, 3, 2) or part(row, 5) for row in all_of(raw, "OBX")]
            orders[specimen_id] = tuple(test.code for test in self.tests if test.code in names) or ("CBC+DIFF",)
        return WorkAnswer(orders)

    def respond(self, raw: bytes, desk: Desk, serial: int, at: datetime) -> list[Outgoing]:
        """Answer the question with ORR^O02."""
        if event_of(raw)[:1] != ("ORM",):
            return super().respond(raw, desk, serial, at)
        specimen_id = part(all_of(raw, "ORC")[0], 3)
        codes = desk.get(specimen_id)
        answer = self.answering(raw, ("ORR", "O02"), f"H{serial}", at, "AA" if codes else "AR")
        if codes:
            answer += [("PID", ["1"]), ("PV1", ["1"]), ("ORC", ["AF", specimen_id])]
            answer.append(("OBR", ["1", specimen_id, specimen_id, self.service]))
            mode: FieldValue = ("08003", "Test Mode", "99MRC")
            answer.append(obx(1, "IS", mode, "CBC+DIFF", "", "", ""))
            answer += [obx(at_, "NM", ("", code, "99MRC"), "", "", "", "") for at_, code in enumerate(codes, start=2)]
        return [Outgoing(written(answer), wants_answer=False)]


class Dymind(MindrayBc):
    """Dymind: decimal comma; asks nothing."""

    tests: Tests = cells_of(MODELS["dymind"])
    application = ("DH3x", "Dymind")
    asks = False
    service = ("01001", "Automated Count", "99MRC")
    control_service = service

    def control_name(self, level: int) -> str:
        """Controls have a barcode."""
        return Hl7Dialect.control_name(self, level)

    def head(self, sample: Sample) -> list[Segment]:
        """The barcode is in OBR-3, also a control's."""
        patient, visit, order, *modes = super().head(sample)
        order[1][2] = sample.specimen_id
        return [patient, visit, order, *modes]

    def shown(self, value: str) -> str:
        """A comma for the point."""
        return value.replace(".", ",")

    def limits(self, test: SimulatedTest) -> str:
        """The same in ranges."""
        return limits_of(test).replace(".", ",")


class Zybio(Dymind):
    """Zybio: a clock at 1970, a wrong LOINC for WBC, a caret in the unit that is not escaped."""

    tests: Tests = cells_of(MODELS["zybio"])
    application = ("Z3", "Zybio")

    def shown(self, value: str) -> str:
        """A point."""
        return value

    def limits(self, test: SimulatedTest) -> str:
        """Four decimals."""
        return f"{test.low:.4f}-{test.high:.4f}"

    def rows(self, number: int, test: SimulatedTest, value: str, sample: Sample) -> list[Segment]:
        """The wrong code, the unit in two components."""
        ((name, fields),) = super().rows(number, test, value, sample)
        fields[2] = ("6790-2" if test.code == "WBC" else "777-3", test.code, "LN")
        fields[5] = tuple(test.unit.split("^"))
        return [(name, fields)]


class BinaryFractions(Dymind):
    """Boule and Dymind OEM: numbers as a binary fraction prints them, research items with an asterisk."""

    tests: Tests = CELLS
    application = ("BM500", "Boule")

    def shown(self, value: str) -> str:
        """Add the error of a 32-bit fraction where there is a fraction."""
        return f"{value}00000381469727" if "." in value and float(value) else value

    def limits(self, test: SimulatedTest) -> str:
        """A point."""
        return limits_of(test)

    def tail(self, sample: Sample) -> list[Segment]:
        """A research item."""
        return [*super().tail(sample), obx(95, "NM", ("", "*PDW", "99MRC"), "15.6", "", "", "")]


class Boule(BinaryFractions):
    """Boule BM500 asks as the Mindray BC does."""

    asks = True


class MindrayBs(Hl7Dialect):
    """Mindray BS: one test per message, controls in the OBR, QRY^Q02 with QCK and DSR."""

    tests: Tests = NUMBERED
    application = ("Mindray", "BS-200E")
    charset = "ASCII"
    asks = True
    tells_kind: ClassVar[bool] = True

    def results(self, sample: Sample) -> list[bytes]:
        """One message per test."""
        return [self.one(sample, test, value) for test, value in sample.values]

    def one(self, sample: Sample, test: SimulatedTest, value: str) -> bytes:
        """Return the message of one test; OBR-3 is a number of the device."""
        kind = "2" if sample.is_control else "0"
        header = self.msh(("ORU", "R01"), str(sample.serial), sample.at, application_ack=kind)
        if sample.is_control:
            level = "LH"[sample.level or 0]
            order: Row = ["1", test.code, test.name, ("Mindray", "BS-200E"), "", sample.stamp, *[""] * 6]
            order += [sample.specimen_id, "1111", "20271231000000", "", level, "5.0", "0.2", value, test.unit]
            return written([header, ("OBR", order)])
        place: Row = ["1", sample.specimen_id, str(sample.serial), ("Mindray", "BS-200E"), "Y", *[""] * 9, "serum"]
        row = obx(1, "NM", test.code, f"{float(value):.6f}", test.unit, "-", "")
        row[1][3] = test.name
        return written([header, ("PID", ["1", str(sample.serial)]), ("OBR", place), row])

    def query(self, specimen_ids: Sequence[str], serial: int, at: datetime) -> bytes:
        """Ask for one barcode."""
        stamp = f"{at:%Y%m%d%H%M%S}"
        definition: list[FieldValue] = [stamp, "R", "D", "1", "", "", "RD", specimen_ids[0], "OTH", "", "", "T", ""]
        return written([
            self.msh(("QRY", "Q02"), str(serial), at),
            ("QRD", definition),
            ("QRF", [self.application[1], stamp, stamp, "", "", "RCT", "COR", "ALL", "", ""]),
        ])  # fmt: skip

    def work_in(self, raw: bytes) -> WorkAnswer | None:
        """QCK says whether there is work, DSR brings it: line 21 the barcode, tests from line 29 on."""
        if event_of(raw)[:1] == ("QCK",):
            return WorkAnswer({}, is_last=field_of(raw, "QAK", 2) != "OK")
        if event_of(raw)[:1] != ("DSR",):
            return None
        lines = {part(fields, 1): part(fields, 3) for fields in all_of(raw, "DSP")}
        codes = tuple(text for at, text in lines.items() if at.isdigit() and int(at) > 28 and text)
        more = any(len(fields) > 1 and fields[1] for fields in all_of(raw, "DSC"))
        return WorkAnswer({lines.get("21", ""): codes}, is_last=not more)

    def reply(self, raw: bytes, serial: int, at: datetime) -> bytes:
        """ACK^Q03 for DSR, although it carries an MSA itself."""
        if event_of(raw)[:1] == ("DSR",):
            return written(self.answering(raw, ("ACK", "Q03"), f"A{serial}", at))
        return super().reply(raw, serial, at)

    def respond(self, raw: bytes, desk: Desk, serial: int, at: datetime) -> list[Outgoing]:
        """QCK, then DSR where there is work."""
        if event_of(raw)[:1] != ("QRY",):
            return super().respond(raw, desk, serial, at)
        query = all_of(raw, "QRD")[0]
        if part(query, 9) == "CAN":
            return [Outgoing(self.acknowledgement(raw, f"H{serial}", at), wants_answer=False)]
        specimen_id = part(query, 8)
        codes = desk.get(specimen_id, ())
        found = self.answering(raw, ("QCK", "Q02"), f"H{serial}", at)
        found += [("ERR", ["0", ""]), ("QAK", ["SR", "OK" if codes else "NF", ""])]
        answers = [Outgoing(written(found), wants_answer=False)]
        if codes:
            answers.append(Outgoing(self._work(raw, specimen_id, codes, f"D{serial}", at)))
        return answers

    def _work(self, raw: bytes, specimen_id: str, codes: Sequence[str], control_id: str, at: datetime) -> bytes:
        lines = {3: "SIM", 5: "U", 21: specimen_id, 22: "1", 23: f"{at:%Y%m%d%H%M%S}", 24: "N", 26: "serum"}
        shown: list[FieldValue] = [lines.get(number, "") for number in range(1, 29)]
        shown += [(code, "", "", "") for code in codes]
        segments = self.answering(raw, ("DSR", "Q03"), control_id, at)
        segments += [("ERR", ["0", ""]), ("QAK", ["SR", "OK", ""])]
        segments += [("DSP", [str(at_), "", text, "", ""]) for at_, text in enumerate(shown, start=1)]
        return written([*segments, ("DSC", ["", ""])])


class Getein(MindrayBs):
    """Getein MAGICL: as Mindray BS, but a control is an ordinary message with MSH-16 = 2."""

    tests: Tests = NUMBERED
    application = ("Getein", "MAGICL")

    def one(self, sample: Sample, test: SimulatedTest, value: str) -> bytes:
        """The kind is one field later, as in the samples of the manual."""
        header = self.msh(("ORU", "R01"), str(sample.serial), sample.at)
        header[1][14] = "2" if sample.is_control else "0"
        row = obx(1, "NM", test.code, value, test.unit, limits_of(test), test.flag_of(value))
        row[1][3] = test.name
        order: Row = ["1", sample.specimen_id, str(sample.serial), "SIM"]
        return written([header, ("PID", ["1"]), ("OBR", order), row])


class EdanH60(Hl7Dialect):
    """EDAN H60: OBX-3 is always 0, the flag in OBX-13; every second tube was scanned into the patient field."""

    tests: Tests = CELLS
    version = "2.4"
    application = ("EDAN", "H60")

    def head(self, sample: Sample) -> list[Segment]:
        """The barcode is in OBR-2 or in PID-2."""
        in_patient = sample.serial % 2 == 0 and not sample.is_control
        patient: list[FieldValue] = ["1", sample.specimen_id, "null"] if in_patient else ["1", "", ""]
        return [("PID", patient), ("OBR", ["1", "" if in_patient else sample.specimen_id, "7"])]

    def rows(self, number: int, test: SimulatedTest, value: str, sample: Sample) -> list[Segment]:
        """The name is in OBX-4; the unit's caret is escaped."""
        name, fields = obx(number, "NM", "0", value, test.unit.replace("*", "^"), limits_of(test), "")
        fields[3] = test.code
        return [(name, [*fields, "", test.flag_of(value)])]


class EdanI15(Hl7Dialect):
    """EDAN i15: no message number, classes in OBX-3, arrows as flags."""

    tests: Tests = BLOOD_GAS
    version = "2.4"
    application = ("EDAN", "i15")
    charset = "UNICODE UTF-8"

    def header(self, sample: Sample, event: tuple[str, ...], profile_id: str = "") -> Segment:
        """MSH-10 is empty, MSH-16 is 1 for controls."""
        name, fields = self.msh(event, "", sample.at, application_ack="1" if sample.is_control else "0")
        return name, fields

    def head(self, sample: Sample) -> list[Segment]:
        """The barcode is in OBR-3; the temperature was entered by the operator."""
        temperature = obx(7, "ST", "2", "37.0", "℃", "", "")
        temperature[1][3] = "Temperature"
        return [("PID", ["", "", "sim"]), ("OBR", ["", "", sample.specimen_id, ("EDAN", "i15")]), temperature]

    def rows(self, number: int, test: SimulatedTest, value: str, sample: Sample) -> list[Segment]:
        """Both limits are components."""
        arrow = {"H": "↑", "L": "↓"}.get(test.flag_of(value), "")
        fields: list[FieldValue] = ["0", "ST", "0", test.code, value, test.unit, test.limits, arrow, *[""] * 4, "Pass"]
        return [("OBX", [*fields, sample.stamp, "", "sim"])]


class Autobio(Hl7Dialect):
    """Autobio: a constant message number, signal^result, slashes in dates, one test per message."""

    tests: Tests = NUMBERED
    application = ("", "")

    def results(self, sample: Sample) -> list[bytes]:
        """One message per test; a control is known by its barcode."""
        messages = []
        for test, value in sample.values:
            row = obx(10455, "CE", test.code, [("41765", value), ""], "", "", "")
            row[1][3] = test.code
            row[1].extend(["", "", f"{sample.at:%Y/%m/%d %H:%M:%S}"])
            segments: list[Segment] = [self.msh(("ORU", "R01"), "5", sample.at), ("PID", ["", "", "SIM"])]
            segments += [("OBR", ["1", sample.specimen_id, "7764", "Autolumo 1000"]), row]
            messages.append(written(segments))
        return messages


class Ichroma(Hl7Dialect):
    """Boditech iChroma: constant number and processing id, numbers typed TX, rows of other units without a code."""

    tests: Tests = HBA1C
    version = "2.6"
    event = ("OUL", "R24")
    application = ("1", "ichroma2")

    def header(self, sample: Sample, event: tuple[str, ...], profile_id: str = "") -> Segment:
        """MSH-10 is 1 and MSH-11 T, always."""
        return self.msh(event, "1", sample.at, processing="T")

    def head(self, sample: Sample) -> list[Segment]:
        """The barcode is in SPM-2."""
        order: list[FieldValue] = ["", "HbA1c", "0", "0"]
        return [("PID", ["", "sim"]), ("OBR", order), ("ORC", ["OK"]), ("SPM", ["1", sample.specimen_id])]

    def rows(self, number: int, test: SimulatedTest, value: str, sample: Sample) -> list[Segment]:
        """The second row repeats the first in mmol/mol."""
        first = obx(number, "TX", test.code, value, test.unit, "", "0")
        second = obx(number + 1, "TX", "", f"{(float(value) - 2.15) * 10.929:.2f}", "mmol/mol", "", "0")
        first[1][10] = second[1][10] = "R"
        return [first, second]


class Wondfo(Hl7Dialect):
    """Wondfo FineCare: says that it is there before it sends results."""

    tests: Tests = HORMONES[:1]
    version = "2.4"
    application = ("FineCarePlus", "FIA")
    charset = "UTF8"

    def results(self, sample: Sample) -> list[bytes]:
        """A message about the device, then the result."""
        status: list[Segment] = [self.msh(("ESU", "U01"), str(sample.serial), sample.at)]
        status.append(("EQU", ["FIA", sample.stamp, ("OP", "OK")]))
        return [written(status), *super().results(sample)]
