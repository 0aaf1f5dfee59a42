"""Two analyzers for the dev stack, tests and field engineers: chemistry over ASTM, haematology over HL7.

They send what the devices in `mindray_bs` and `mindray_bc` send: a control run first, then one full message per
specimen, each in the device's own dialect and not built with the readers it is meant to try. A journal says what was
sent and what was acknowledged.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from types import TracebackType
from typing import ClassVar, Self

from connectors.analyzers.driver import MODELS
from connectors.analyzers.model import DeviceModel
from connectors.analyzers.simulated_values import (
    CHEMISTRY,
    HAEMATOLOGY,
    UNLISTED,
    Analyte,
    chemistry_values,
    control_values,
    flag_of,
    haematology_values,
)
from connectors.astm.codec import FieldValue, build_message
from connectors.astm.sender import SenderTimers
from connectors.astm.simulator import AstmAnalyzerLine
from connectors.device_side import Delivery, LineFaults
from connectors.hl7.codec import FieldValue as Hl7Field
from connectors.hl7.codec import build_segment
from connectors.hl7.simulator import Hl7AnalyzerLine
from domain.clock import IST, utc_now

CONTROL_LEVELS = ("L", "H")
_HISTOGRAM = "Qk0eAAAAAAAAABoAAAAMAAAAAQABAAEAGAAAAAAA"
"""A bitmap of one pixel, base64, where the device sends its histograms."""


class AnalyzerSimulator(ABC):
    """What both analyzers have in common: runs, overrides, the journal.

    Attributes:
        journal: Every message in the order sent, controls included.
    """

    model: ClassVar[DeviceModel]
    panel: ClassVar[Mapping[str, Analyte]]

    def __init__(self, *, seed: int = 1, clock: Callable[[], datetime] = utc_now) -> None:
        self.journal: list[Delivery] = []
        self._seed = seed
        self._clock = clock
        self._serial = 0

    async def run(
        self,
        specimen_ids: Sequence[str],
        *,
        values: Mapping[str, Mapping[str, str]] | None = None,
        with_controls: bool = True,
    ) -> list[Delivery]:
        """Measure controls, then specimens, and send each.

        Args:
            specimen_ids: Barcodes in the order of the rack.
            values: Values to report instead of the drawn ones, by specimen id and device code; controls by the
                names `control_name` gives. A code the device does not have is sent as well.
            with_controls: Send both control levels first.

        Returns:
            This run's part of the journal.
        """
        wanted = values or {}
        deliveries = []
        if with_controls:
            for level, _ in enumerate(CONTROL_LEVELS):
                name = self.control_name(level)
                drawn = control_values(self.panel, self._seed, level, f"{self._clock():%Y%m%d%H%M%S}:{self._serial}")
                deliveries.append(await self._measure(name, {**drawn, **wanted.get(name, {})}, level=level))
        for specimen_id in specimen_ids:
            drawn = self._drawn(specimen_id)
            deliveries.append(await self._measure(specimen_id, {**drawn, **wanted.get(specimen_id, {})}, level=None))
        return deliveries

    @abstractmethod
    def control_name(self, level: int) -> str:
        """Return the name the device sends for control material of `level` (0 low, 1 high)."""

    @abstractmethod
    def message(self, name: str, values: Mapping[str, str], level: int | None) -> bytes:
        """Return the device's message for one specimen, or for control material of `level`."""

    @abstractmethod
    async def close(self) -> None:
        """Hang up."""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    @abstractmethod
    def _drawn(self, specimen_id: str) -> dict[str, str]: ...

    @abstractmethod
    async def _deliver(self, raw: bytes) -> tuple[int, str]: ...

    async def _measure(self, name: str, values: Mapping[str, str], *, level: int | None) -> Delivery:
        self._serial += 1
        raw = self.message(name, values, level)
        attempts, answer = await self._deliver(raw)
        delivery = Delivery(name, level is not None, raw, values, attempts, answer)
        self.journal.append(delivery)
        return delivery

    def _now(self) -> str:
        return f"{self._clock().astimezone(IST):%Y%m%d%H%M%S}"


class ChemistryAnalyzerSimulator(AnalyzerSimulator):
    """A Mindray BS-430 in ASTM mode."""

    model = MODELS["mindray_bs"]
    panel = CHEMISTRY

    def __init__(
        self,
        host: str,
        port: int,
        *,
        seed: int = 1,
        faults: LineFaults | None = None,
        timers: SenderTimers | None = None,
        retry_s: float = 1.0,
        clock: Callable[[], datetime] = utc_now,
    ) -> None:
        super().__init__(seed=seed, clock=clock)
        self._line = AstmAnalyzerLine(host, port, faults, timers=timers, retry_s=retry_s)

    def control_name(self, level: int) -> str:
        """Controls carry a barcode, `QC-CHEM-L` and `QC-CHEM-H`."""
        return f"QC-CHEM-{CONTROL_LEVELS[level]}"

    def message(self, name: str, values: Mapping[str, str], level: int | None) -> bytes:
        """Write H, P, O, one R per test with instrument comments, L as the device does."""
        now, sequence = self._now(), str(self._serial)
        names = {test.code: test.name for test in self.model.tests}
        units = {test.code: test.unit for test in self.model.tests}
        tests: FieldValue = [(code, names.get(code, code), "", "") for code in values]
        position = (sequence, str((self._serial - 1) // 10 + 1), str((self._serial - 1) % 10 + 1))
        action = "Q" if level is not None else ""
        taken: list[FieldValue] = [now, now, "", "", "", action, "", "", now, "serum"]
        records: list[list[FieldValue]] = [
            ["H", "", "", ("Mindry", "", ""), *[""] * 6, "PR", "1394-97", now],
            ["P", sequence, *[""] * 6, "U"],
            ["O", sequence, position, name, tests, "R", *taken, *[""] * 9, "F"],
        ]
        for number, (code, value) in enumerate(values.items(), start=1):
            analyte = self.panel.get(code, UNLISTED)
            flag = flag_of(value, analyte)
            limits = (f"{analyte.low:g}", f"{analyte.high:g}")
            shown: FieldValue = (value, "", "", "", "")
            result: list[FieldValue] = ["R", str(number), (code, names.get(code, code), "", "F"), shown]
            result += [units.get(code, ""), limits, flag, "", "F", shown, "0", now, "", ("Mindry", "")]
            records.append(result)
            if flag in {"H", "L"}:
                records.append(["C", "1", "I", (flag, "outside the range set on the device"), "I"])
        records.append(["L", "1", "N"])
        return build_message(records)

    async def close(self) -> None:
        """Hang up."""
        await self._line.close()

    def _drawn(self, specimen_id: str) -> dict[str, str]:
        return chemistry_values(self._seed, specimen_id)

    async def _deliver(self, raw: bytes) -> tuple[int, str]:
        return await self._line.deliver(raw)


class HaematologyAnalyzerSimulator(AnalyzerSimulator):
    """A Mindray BC-5300 over HL7 2.3.1."""

    model = MODELS["mindray_bc"]
    panel = HAEMATOLOGY

    _CODES: ClassVar[Mapping[str, str]] = {
        "WBC": "6690-2",
        "NEU%": "770-8",
        "LYM%": "736-9",
        "MON%": "5905-5",
        "EOS%": "713-8",
        "BAS%": "706-2",
        "RBC": "789-8",
        "HGB": "718-7",
        "HCT": "4544-3",
        "MCV": "787-2",
        "MCH": "785-6",
        "MCHC": "786-4",
        "RDW-CV": "788-0",
        "PLT": "777-3",
        "MPV": "32623-1",
    }

    def __init__(
        self,
        host: str,
        port: int,
        *,
        seed: int = 1,
        faults: LineFaults | None = None,
        answer_s: float = 15.0,
        retry_s: float = 1.0,
        clock: Callable[[], datetime] = utc_now,
    ) -> None:
        super().__init__(seed=seed, clock=clock)
        self._line = Hl7AnalyzerLine(host, port, faults, answer_s=answer_s, retry_s=retry_s)

    def control_name(self, level: int) -> str:
        """Controls are known by their lot, `LOT-HEM-L` and `LOT-HEM-H`."""
        return f"LOT-HEM-{CONTROL_LEVELS[level]}"

    def message(self, name: str, values: Mapping[str, str], level: int | None) -> bytes:
        """Write MSH, PID, PV1, OBR and OBX as the device does: run modes, values, alarms, a histogram."""
        now = self._now()
        is_control = level is not None
        service = ("00003", "LJ QCR", "99MRC") if is_control else ("00001", "Automated Count", "99MRC")
        head: list[Hl7Field] = [
            "BC-5300",
            "Mindray",
            "",
            "",
            now,
            "",
            ("ORU", "R01"),
            str(self._serial),
            "Q" if is_control else "P",
            "2.3.1",
        ]
        patient = (name, "", "", "", "MR") if is_control else ("", "", "", "", "MR")
        sample = "6" if is_control else name
        times: list[Hl7Field] = [now, now]
        segments = [
            build_segment("MSH", [*head, *[""] * 5, "UNICODE"]),
            build_segment("PID", ["1", "", patient, "", ("", "")]),
            build_segment("PV1", ["1", "Outpatient"]),
            build_segment("OBR", ["1", "", sample, service, "", *times, *[""] * 16, "HM", *[""] * 7, "Simulator"]),
        ]
        rows = [*self._mode_rows(level), *self._value_rows(values)]
        if not is_control:
            histogram = ("", "Image", "BMP", "Base64", _HISTOGRAM)
            rows += self._alarm_rows(values)
            rows.append(["ED", ("15551-4", "WBC Histogram. BMP", "99MRC"), histogram, "", "", ""])
        for number, (kind, code, value, unit, limits, flag) in enumerate(rows, start=1):
            segments.append(build_segment("OBX", [str(number), kind, code, "", value, unit, limits, flag, "", "", "F"]))
        return "".join(segments).encode("utf-8")

    def _mode_rows(self, level: int | None) -> list[list[Hl7Field]]:
        if level is not None:
            return [["IS", ("05001", "Qc Level", "99MRC"), CONTROL_LEVELS[level], "", "", ""]]
        return [
            ["IS", ("08001", "Take Mode", "99MRC"), "A", "", "", ""],
            ["IS", ("08002", "Blood Mode", "99MRC"), "W", "", "", ""],
            ["IS", ("08003", "Test Mode", "99MRC"), "CBC+DIFF", "", "", ""],
            ["IS", ("01002", "Ref Group", "99MRC"), "General", "", "", ""],
        ]

    def _value_rows(self, values: Mapping[str, str]) -> list[list[Hl7Field]]:
        units = {test.code: test.unit for test in self.model.tests}
        rows: list[list[Hl7Field]] = []
        for code, value in values.items():
            analyte = self.panel.get(code, UNLISTED)
            flag = flag_of(value, analyte)
            limits = f"{analyte.low:.{analyte.decimals}f}-{analyte.high:.{analyte.decimals}f}"
            marked: Hl7Field = [flag, "A"] if flag in {"H", "L"} else flag
            rows.append(
                ["NM", (self._CODES.get(code, "99999"), code, "LN"), value, units.get(code, ""), limits, marked]
            )
        return rows

    def _alarm_rows(self, values: Mapping[str, str]) -> list[list[Hl7Field]]:
        flags = {code: flag_of(value, self.panel.get(code, UNLISTED)) for code, value in values.items()}
        alarms = [
            ("12011", "Anemia", flags.get("HGB") == "L"),
            ("12003", "Leucocytosis", flags.get("WBC") == "H"),
            ("12016", "Thrombopenia", flags.get("PLT") == "L"),
        ]
        return [["IS", (code, text, "99MRC"), "T", "", "", ""] for code, text, is_on in alarms if is_on]

    async def close(self) -> None:
        """Hang up."""
        await self._line.close()

    def _drawn(self, specimen_id: str) -> dict[str, str]:
        return haematology_values(self._seed, specimen_id)

    async def _deliver(self, raw: bytes) -> tuple[int, str]:
        return await self._line.deliver(raw)
