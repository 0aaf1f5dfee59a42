"""IHE LAW and what makers made of it: OUL^R22 results, QBP^Q11 questions, OML^O33 orders, ORL^O34 answers.

Source: IHE Laboratory Analytical Workflow, LAB-27 to LAB-29, read in specs; the models' files for what differs.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import ClassVar

from connectors.analyzers.driver import MODELS
from connectors.analyzers.simulator.content import (
    HORMONES,
    NAMED,
    NUMBERED,
    Desk,
    Outgoing,
    Sample,
    SimulatedTest,
    Tests,
    WorkAnswer,
    cells_of,
)
from connectors.analyzers.simulator.hl7_dialect import Hl7Dialect, Segment, all_of, event_of, limits_of, part, written
from connectors.analyzers.simulator.mllp_link import field_of, segments_of
from connectors.hl7.codec import FieldValue

NONE = '""'


class Law(Hl7Dialect):
    """A device that keeps to LAW.

    Attributes:
        coding: The maker's coding system.
        query_name: QPD-1.
        query_profile: MSH-21 of questions.
    """

    tests: Tests = NAMED
    version = "2.5.1"
    event = ("OUL", "R22", "OUL_R22")
    accept = ("NE", "AL")
    charset = "UNICODE UTF-8"
    asks = True
    coding: ClassVar[str] = "99SIM"
    query_name: ClassVar[FieldValue] = ("WOS", "Work Order Step", "IHELAW")
    query_profile: ClassVar[tuple[str, str]] = ("LAB-27", "IHE")

    def header(self, sample: Sample, event: tuple[str, ...], profile_id: str = "") -> Segment:
        """MSH-21 names the transaction; MSH-11 is P for controls too."""
        name, fields = self.msh(event, str(sample.serial), sample.at)
        return name, [*fields, "", "", ("LAB-29", "IHE")]

    def head(self, sample: Sample) -> list[Segment]:
        """SPM and SAC lead."""
        role = ("Q", "Control specimen", "HL70369") if sample.is_control else ("P", "Patient", "HL70369")
        specimen: list[FieldValue] = [
            "1",
            self.specimen_field(sample),
            "",
            ("SER", "Serum", "HL70487"),
            *[""] * 6,
            role,
        ]
        return [("SPM", specimen), ("SAC", ["", "", sample.specimen_id])]

    def specimen_field(self, sample: Sample) -> FieldValue:
        """Return SPM-2."""
        return sample.specimen_id

    def rows(self, number: int, test: SimulatedTest, value: str, sample: Sample) -> list[Segment]:
        """Each test has an order of its own; ORC follows OBR."""
        order: list[FieldValue] = [str(number), f"AWOS{sample.serial}{number}", "", (test.code, test.name, self.coding)]
        common: list[FieldValue] = ["OK", "", "", "", "CM"]
        return [
            ("OBR", order),
            ("ORC", common),
            ("TQ1", [*[""] * 8, ("R", "Routine", "HL70485")]),
            *self.observations(test, value, sample),
        ]

    def observations(self, test: SimulatedTest, value: str, sample: Sample) -> list[Segment]:
        """Return the OBX of one test."""
        return [self.observation(1, (test.code, test.name, self.coding), value, test, sample)]

    def observation(
        self, number: int, code: FieldValue, value: FieldValue, test: SimulatedTest, sample: Sample
    ) -> Segment:
        """Return one OBX with time, operator and device."""
        kind = "ST" if test.choices else "NM"
        flag = test.flag_of(value) if isinstance(value, str) else ""
        unit: FieldValue = (test.unit, test.unit, "UCUM") if test.unit else ""
        head: list[FieldValue] = [str(number), kind, code, "1", value, unit, limits_of(test), flag, "", "", "F"]
        tail: list[FieldValue] = ["", "", "", "", "sim", "", ("SIM", self.coding), sample.stamp]
        return "OBX", [*head, *tail, *[""] * 9, "RSLT"]

    def query(self, specimen_ids: Sequence[str], serial: int, at: datetime) -> bytes:
        """Ask for one tube."""
        name, fields = self.msh(("QBP", "Q11", "QBP_Q11"), str(serial), at)
        head = (name, [*fields, "", "", self.query_profile])
        return written(
            [head, ("QPD", self.query_fields(specimen_ids[0], serial)), ("RCP", ["I", "", ("R", "", "HL70394")])]
        )

    def query_fields(self, specimen_id: str, serial: int) -> list[FieldValue]:
        """Return QPD."""
        return [self.query_name, f"TAG{serial}", specimen_id]

    def work_in(self, raw: bytes) -> WorkAnswer | None:
        """RSP^K11 announces, OML^O33 brings; ORC-1 DC says that there is no work."""
        kind = event_of(raw)[:1]
        if kind == ("RSP",):
            return WorkAnswer({}, is_last=field_of(raw, "QAK", 2) not in {"OK", ""})
        if kind != ("OML",):
            return None
        orders: dict[str, tuple[str, ...]] = {}
        specimen_id, action = "", ""
        for fields in segments_of(raw):
            if fields[0] == "SPM":
                specimen_id = (fields[2] if len(fields) > 2 else "").split("^")[0].split("&")[0].replace(NONE, "")
            elif fields[0] == "SAC":
                specimen_id = specimen_id or part(fields, 3)
                orders.setdefault(specimen_id, ())
            elif fields[0] == "ORC":
                action = part(fields, 1)
            elif fields[0] == "OBR" and action == "NW":
                orders[specimen_id] = (*orders.get(specimen_id, ()), part(fields, 4))
        return WorkAnswer(orders or {specimen_id: ()})

    def reply(self, raw: bytes, serial: int, at: datetime) -> bytes:
        """Answer an order with ORL^O34: OK for every step, CR for a cancellation, AR for a tube that is not here."""
        if event_of(raw)[:1] != ("OML",):
            return super().reply(raw, serial, at)
        controls = [part(fields, 1) for fields in all_of(raw, "ORC")]
        segments = self.answering(raw, ("ORL", "O34", "ORL_O34"), f"A{serial}", at)
        said = {"NW": "OK", "CA": "CR", "DC": "OK"}
        placed = [part(fields, 2) for fields in all_of(raw, "ORC")]
        segments += [
            ("ORC", [said.get(control, "UA"), number]) for control, number in zip(controls, placed, strict=True)
        ]
        return written(segments)

    # the host -----------------------------------------------------------------------------------------------------

    def respond(self, raw: bytes, desk: Desk, serial: int, at: datetime) -> list[Outgoing]:
        """Acknowledge the question, then bring the work or say that there is none."""
        if event_of(raw)[:1] != ("QBP",):
            return super().respond(raw, desk, serial, at)
        question = all_of(raw, "QPD")[0]
        specimen_id = self.asked_specimen(question)
        answer = self.answering(raw, ("RSP", "K11", "RSP_K11"), f"H{serial}", at)
        answer += [("QAK", [part(question, 2), "OK", tuple(question[1].split("^"))])]
        answer += [("QPD", [tuple(text.split("^")) for text in question[1:]])]
        codes = desk.get(specimen_id, ())
        order = self.download(specimen_id, codes, serial, at)
        return [Outgoing(written(answer), wants_answer=False), Outgoing(order)]

    def asked_specimen(self, question: Sequence[str]) -> str:
        """Return the barcode in QPD."""
        return part(question, 3)

    def download(self, specimen_id: str, codes: Sequence[str], serial: int, at: datetime) -> bytes:
        """Bring work as OML^O33; without codes say that there is none (DC)."""
        head: list[FieldValue] = ["LabSetuSim", "", *self.application, f"{at:%Y%m%d%H%M%S}", ""]
        head += [("OML", "O33", "OML_O33"), f"W{serial}", "P", self.version, "", "", "NE", "AL", "", self.charset]
        role = ("P", "Patient", "HL70369") if codes else ("U", "Unknown", "HL70369")
        specimen: list[FieldValue] = ["1", specimen_id, "", ("SER", "Serum", "HL70487"), *[""] * 6, role]
        segments: list[Segment] = [
            ("MSH", [*head, "", "", ("LAB-28", "IHE")]),
            ("SPM", specimen),
            ("SAC", ["", "", specimen_id]),
        ]
        for number, code in enumerate(codes, start=1):
            segments += [
                ("ORC", ["NW", f"W{serial}-{number}"]),
                ("TQ1", [*[""] * 8, ("R", "", "HL70485")]),
                ("OBR", ["", f"W{serial}-{number}", "", (code, code, self.coding)]),
                ("TCD", [(code, code, self.coding)]),
            ]
        return written(segments if codes else [*segments, ("ORC", ["DC"])])


class CobasPro(Law):
    """Roche cobas pro and pure: questions by sequence, id&BARCODE, supplemental rows."""

    tests: Tests = NUMBERED
    application = ("cobas pro", "")
    coding = "99ROC"
    query_name = ("INISEQ", "", "99ROC")
    query_profile = ("LAB-27R", "ROCHE")

    def head(self, sample: Sample) -> list[Segment]:
        """A control has its name in INV."""
        specimen, container = super().head(sample)
        container[1][2] = (sample.specimen_id, "CONTROL" if sample.is_control else "BARCODE")
        material: Segment = (
            "INV",
            [(sample.specimen_id, sample.specimen_id, "99ROC"), ("OK", "", "HL70383"), ("CO", "")],
        )
        return [("PID", [*[""] * 7, "U"]), specimen, container, *([material] if sample.is_control else [])]

    def results(self, sample: Sample) -> list[bytes]:
        """SPM-2 has subcomponents, which the writer of segments would escape."""
        kind = b"CONTROL" if sample.is_control else b"BARCODE"
        plain = sample.specimen_id.encode()
        return [raw.replace(b"SPM|1|" + plain, b"SPM|1|" + plain + b"&" + kind) for raw in super().results(sample)]

    def observations(self, test: SimulatedTest, value: str, sample: Sample) -> list[Segment]:
        """The number, its qualitative twin without a verdict, and how it was measured."""
        code = (test.code, test.code, "99ROC", "", "", "IHELAW")
        twin = self.observation(2, code, ("", "", "99ROC"), test, sample)
        twin[1][1] = "CE"
        twin[1][5] = ""
        time = ("PT", "Pipetting_Time", "99ROC", "S_OTHER", "Other Supplemental", "IHELAW")
        pipetted = self.observation(3, time, sample.stamp, test, sample)
        pipetted[1][1], pipetted[1][5] = "DTM", ""
        limits = ("TR_TECHNICALLIMIT", "TR_TECHNICALLIMIT", "99ROC", "S_OTHER", "Other Supplemental", "IHELAW")
        technical = self.observation(4, limits, "0.300 - 350", test, sample)
        return [self.observation(1, code, value, test, sample), twin, pipetted, technical]

    def query_fields(self, specimen_id: str, serial: int) -> list[FieldValue]:
        """The barcode, rack and position."""
        place: list[FieldValue] = [specimen_id, "50001", "1", "", "", "", ""]
        return [self.query_name, f"query{serial}", *place, ("SERPLAS", "", "99ROC"), ("SC", "", "99ROC"), "R"]


class Cobas4800(Law):
    """Roche cobas 4800: values as text with exponent and unit in one."""

    tests: Tests = (
        SimulatedTest(
            "SIMVL",
            "Viral load",
            "",
            0,
            0,
            choices=("6.73E+01 cp/mL", "Target Not Detected", "Invalid", "2.10E+04 cp/mL"),
        ),
    )
    application = ("cobas 4800 software 2.3.0.1905", "LAB")
    accept = ("ER", "AL")


class Alinity(Law):
    """Abbott Alinity c and i."""

    tests: Tests = NUMBERED
    application = ("Alinity", "Abbott")
    coding = "99ABT"


class AlinityM(Alinity):
    """Abbott Alinity m: names nobody, the barcode in SAC-3 only, the unit in the second component."""

    tests: Tests = (SimulatedTest("1099", "Assay", "Copies/mL", 20, 5000, 0),)
    application = ("", "")

    def specimen_field(self, sample: Sample) -> FieldValue:
        """SPM-2 is empty."""
        return ""

    def observation(
        self, number: int, code: FieldValue, value: FieldValue, test: SimulatedTest, sample: Sample
    ) -> Segment:
        """The first component of the unit is empty, no flag is two quotes."""
        name, fields = super().observation(number, code, value, test, sample)
        fields[5], fields[7] = ("", test.unit), NONE
        return name, fields


class Atellica(Law):
    """Siemens Atellica: cut-off, signal and dose under one unit, the range as prose."""

    tests: Tests = HORMONES
    application = ("UIW_LIS", "AA")
    coding = "99SiemensHDXTestCode"

    def specimen_field(self, sample: Sample) -> FieldValue:
        """Two quotes for the second component."""
        return (sample.specimen_id, NONE)

    def observations(self, test: SimulatedTest, value: str, sample: Sample) -> list[Segment]:
        """Three rows of which one is the result."""
        rows = []
        for number, (kind, text) in enumerate((("COFF", "1.00"), ("RLU", "149870"), ("DOSE", value)), start=1):
            row = self.observation(number, (f"{test.code}.{kind}", test.code, self.coding), text, test, sample)
            row[1][3] = ("1", "1")
            row[1][6] = f"([ Normal : {' - '.join(test.limits)} ] )"
            row[1][7] = (NONE, NONE, "HL70078")
            rows.append(row)
        return rows


class Ba400(Law):
    """BioSystems BA400: every fifth tube gives a negative value with alarm numbers."""

    application = ("BA400", "Biosystems")
    accept = ("ER", "AL")
    coding = "A400"

    def observation(
        self, number: int, code: FieldValue, value: FieldValue, test: SimulatedTest, sample: Sample
    ) -> Segment:
        """Alarms stand where the flag should be."""
        name, fields = super().observation(number, code, value, test, sample)
        fields[7] = ""
        if sample.serial % 5 == 0:
            fields[4], fields[7] = f"-{fields[4]}", ["002", "029"]
        return name, fields


class Celltac(Law):
    """Nihon Kohden Celltac: two quotes in SPM-2, a character set that begins empty; sends only."""

    tests: Tests = cells_of(MODELS["nihon_kohden_celltac"])
    version = "2.5"
    application = ("MEK-9100", "Laboratory")
    asks = False

    def header(self, sample: Sample, event: tuple[str, ...], profile_id: str = "") -> Segment:
        """MSH-18 is a repetition whose first is empty."""
        name, fields = super().header(sample, event, profile_id)
        fields[15] = ["", "ISO IR87"]
        return name, fields

    def specimen_field(self, sample: Sample) -> FieldValue:
        """Known to be absent."""
        return NONE


class YumizenHl7(Law):
    """Horiba Yumizen H550: LOINC and mnemonic, a word behind the range; sends only."""

    tests: Tests = cells_of(MODELS["horiba_yumizen"])
    version = "2.5"
    application = ("H550", "Horiba")
    asks = False

    def observations(self, test: SimulatedTest, value: str, sample: Sample) -> list[Segment]:
        """The mnemonic is the second component."""
        row = self.observation(1, ("99999-9", test.code, "LN"), value, test, sample)
        row[1][6] = (" - ".join(test.limits), "REFERENCE_RANGE")
        return [row]


class GeneXpertHl7(Law):
    """Cepheid GeneXpert: events of its own, Z03 asks with patient and specimen, results ORU^R32."""

    tests: Tests = (SimulatedTest("SIMASSAY", "Assay", "", 0, 0, choices=("NOT DETECTED", "DETECTED", "INVALID")),)
    version = "2.5"
    event = ("ORU", "R32", "ORU_R32")
    application = ("ICU^GeneXpert^1.0", "")
    accept = ("AL", "NE")

    def head(self, sample: Sample) -> list[Segment]:
        """The patient stands before the order."""
        return [("PID", ["1"]), ("SPM", super().head(sample)[0][1])]

    def query(self, specimen_ids: Sequence[str], serial: int, at: datetime) -> bytes:
        """Ask with patient and specimen."""
        head = self.msh(("QBP", "Z03", "QBP_Z03"), str(serial), at)
        fields: list[FieldValue] = [("Z03", "HOST QUERY"), str(serial), "PAT-SIM", specimen_ids[0]]
        return written([head, ("QPD", fields), ("RCP", ["I"])])

    def asked_specimen(self, question: Sequence[str]) -> str:
        """The barcode is QPD-4."""
        return part(question, 4)

    def work_in(self, raw: bytes) -> WorkAnswer | None:
        """RSP^Z02 brings the orders itself."""
        if event_of(raw)[:2] != ("RSP", "Z02"):
            return None
        orders: dict[str, tuple[str, ...]] = {}
        specimen_id = next((part(fields, 2) for fields in all_of(raw, "SPM")), "")
        for fields in all_of(raw, "OBR"):
            orders[specimen_id] = (*orders.get(specimen_id, ()), part(fields, 4))
        return WorkAnswer(orders)

    def download(self, specimen_id: str, codes: Sequence[str], serial: int, at: datetime) -> bytes:
        """Return b"": how work is brought unasked (Z01) is not in the sources."""
        return b""

    def respond(self, raw: bytes, desk: Desk, serial: int, at: datetime) -> list[Outgoing]:
        """Answer Z03 with Z02."""
        if event_of(raw)[:1] != ("QBP",):
            return Hl7Dialect.respond(self, raw, desk, serial, at)
        question = all_of(raw, "QPD")[0]
        specimen_id = self.asked_specimen(question)
        codes = desk.get(specimen_id, ())
        answer = self.answering(raw, ("RSP", "Z02", "RSP_Z02"), f"H{serial}", at)
        answer += [("QAK", [part(question, 2), "OK" if codes else "NF"]), ("PID", ["1"])]
        answer.append(("ORC", ["NW"]))
        orders: list[Segment] = [("OBR", ["", f"W{serial}", "", (code, code)]) for code in codes]
        return [Outgoing(written([*answer, *orders, ("SPM", ["1", specimen_id])]), wants_answer=False)]
