"""What simulated analyzers measure: their tests, drawn values, work they were given. No dialect, no bytes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final, TypeAlias

from connectors.analyzers.model import DeviceModel
from connectors.analyzers.simulated_values import CHEMISTRY, HAEMATOLOGY, drawn_choice, drawn_value

CONTROL_LEVELS: Final = ("L", "H")


@dataclass(frozen=True)
class SimulatedTest:
    """One analyte of a simulated device.

    Attributes:
        code: What the device calls it in results and orders.
        unit: As the device writes it.
        low: Lower end of the range it prints.
        high: Its upper end.
        decimals: It prints.
        choices: Texts it may send instead of numbers.
    """

    code: str
    name: str
    unit: str
    low: float
    high: float
    decimals: int = 1
    choices: tuple[str, ...] = ()

    def value_for(self, seed: int, specimen_id: str) -> str:
        """Return the value of a specimen: the same for the same seed and specimen."""
        if self.choices:
            return drawn_choice(seed, specimen_id, self.code, self.choices)
        return drawn_value(seed, specimen_id, self.code, (self.low, self.high), self.decimals)

    def flag_of(self, value: str) -> str:
        """Return `H`, `L` or `N`; "" for text."""
        try:
            number = float(value)
        except ValueError:
            return ""
        return "H" if number > self.high else "L" if number < self.low else "N"

    @property
    def limits(self) -> tuple[str, str]:
        """The range as the device prints it."""
        return f"{self.low:.{self.decimals}f}", f"{self.high:.{self.decimals}f}"


Tests: TypeAlias = tuple[SimulatedTest, ...]


@dataclass(frozen=True)
class Sample:
    """One tube, measured.

    Attributes:
        specimen_id: The barcode, or the name of the control.
        values: By test, in the order of the device's menu.
        level: 0 low or 1 high for control material, None for a patient's tube.
        serial: Counts the messages of the device.
        at: The device's local time.
    """

    specimen_id: str
    values: Sequence[tuple[SimulatedTest, str]]
    level: int | None
    serial: int
    at: datetime

    @property
    def is_control(self) -> bool:
        """True for control material."""
        return self.level is not None

    @property
    def stamp(self) -> str:
        """The time as both standards write it."""
        return f"{self.at:%Y%m%d%H%M%S}"


@dataclass(frozen=True)
class WorkAnswer:
    """What a host said about work.

    Attributes:
        orders: Codes by barcode; a tube without codes has none.
        is_last: Nothing more is to come for the question.
    """

    orders: Mapping[str, tuple[str, ...]]
    is_last: bool = True


@dataclass(frozen=True)
class Outgoing:
    """A message a host has for a device.

    Attributes:
        raw: The message.
        wants_answer: It is acknowledged by the device; otherwise it is itself an acknowledgement.
    """

    raw: bytes
    wants_answer: bool = True


Desk = Mapping[str, Sequence[str]]
"""Work by barcode: the device's own codes."""
Clock = Callable[[], datetime]

NUMBERED: Final = (
    SimulatedTest("901", "Analyte A", "mg/dL", 70, 140),
    SimulatedTest("902", "Analyte B", "mg/dL", 15, 40),
    SimulatedTest("903", "Analyte C", "mg/dL", 0.6, 1.2, 2),
    SimulatedTest("904", "Analyte D", "U/L", 7, 45, 0),
)
"""Numbers that no site uses for anything in particular: real ones are set by each site."""
NAMED: Final = tuple(
    SimulatedTest(code, name, unit, CHEMISTRY[code].low, CHEMISTRY[code].high, 2)
    for code, name, unit in (
        ("GLU", "Glucose", "mg/dL"),
        ("UREA", "Urea", "mg/dL"),
        ("CREA", "Creatinine", "mg/dL"),
        ("CHOL", "Cholesterol", "mg/dL"),
    )
)
CELLS: Final = tuple(
    SimulatedTest(code, code, unit, HAEMATOLOGY[code].low, HAEMATOLOGY[code].high, HAEMATOLOGY[code].decimals)
    for code, unit in (("WBC", "10*9/L"), ("RBC", "10*12/L"), ("HGB", "g/dL"), ("MCHC", "g/dL"), ("PLT", "10*9/L"))
)
HORMONES: Final = (
    SimulatedTest("TSH", "Thyrotropin", "uIU/mL", 0.4, 4.5, 3),
    SimulatedTest("FT3", "Free triiodothyronine", "pg/mL", 1.5, 4.2, 2),
    SimulatedTest("FT4", "Free thyroxine", "ng/dL", 0.8, 1.8, 2),
)
BLOOD_GROUP: Final = (
    SimulatedTest("ABO", "ABO", "", 0, 0, choices=("A", "B", "AB", "O")),
    SimulatedTest("Rh", "Rh", "", 0, 0, choices=("POS", "NEG")),
)
HBA1C: Final = (SimulatedTest("HbA1c", "Haemoglobin A1c", "%", 4.0, 5.7, 2),)
BLOOD_GAS: Final = (
    SimulatedTest("Na+", "Sodium", "mmol/L", 135, 145, 0),
    SimulatedTest("K+", "Potassium", "mmol/L", 3.5, 4.9, 1),
)
URINE_ALBUMIN: Final = (
    SimulatedTest("Alb", "Albumin", "mg/L", 5, 20),
    SimulatedTest("Crt", "Creatinine", "mg/dL", 20, 200),
)
PEAKS: Final = (
    SimulatedTest("A1c", "Haemoglobin A1c", "%", 4.0, 5.7),
    SimulatedTest("A2", "Haemoglobin A2", "%", 2.0, 3.3),
    SimulatedTest("F", "Haemoglobin F", "%", 0.1, 1.5),
)


def cells_of(model: DeviceModel) -> tuple[SimulatedTest, ...]:
    """Return the haematology panel in the model's own names and units."""
    by_lab_code = {"NEUT%": "NEU%", "LYMPH%": "LYM%", "MONO%": "MON%", "BASO%": "BAS%", "RDWCV": "RDW-CV"}
    found = []
    for test in model.tests:
        analyte = HAEMATOLOGY[by_lab_code.get(test.lab_code, test.lab_code)]
        found.append(SimulatedTest(test.code, test.name, test.unit, analyte.low, analyte.high, analyte.decimals))
    return tuple(found)
