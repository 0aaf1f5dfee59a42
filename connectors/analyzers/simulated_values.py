"""Plausible values for simulated specimens and controls: the same seed and specimen give the same values.

Ranges are common adult values for demonstration, no reference intervals.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True)
class Analyte:
    """Spread of one simulated analyte.

    Attributes:
        low: Lower end of the range printed with the result.
        high: Its upper end.
        decimals: Decimals the device sends.
        controls: Target mean of each control level, low to high.
        control_cv_pct: Imprecision of the device, percent.
    """

    low: float
    high: float
    decimals: int
    controls: tuple[float, float]
    control_cv_pct: float = 2.0


CHEMISTRY: Final[Mapping[str, Analyte]] = {
    "GLU": Analyte(70, 140, 6, (90, 250)),
    "UREA": Analyte(15, 40, 6, (30, 110)),
    "CREA": Analyte(0.6, 1.2, 6, (1.0, 5.0)),
    "UA": Analyte(3.5, 7.2, 6, (4.5, 9.5)),
    "BIT": Analyte(0.2, 1.2, 6, (0.9, 4.8)),
    "BID": Analyte(0.05, 0.3, 6, (0.3, 2.0)),
    "SGOT": Analyte(10, 40, 6, (38, 180)),
    "SGPT": Analyte(7, 45, 6, (32, 140)),
    "ALP": Analyte(40, 130, 6, (95, 300)),
    "GGT": Analyte(8, 60, 6, (45, 160)),
    "TP": Analyte(6.4, 8.3, 6, (5.2, 7.4), 1.2),
    "ALB": Analyte(3.5, 5.2, 6, (3.0, 4.5), 1.2),
    "CHOL": Analyte(120, 200, 6, (120, 250)),
    "TG": Analyte(50, 150, 6, (90, 210)),
    "HDL": Analyte(40, 70, 6, (35, 65)),
    "CA": Analyte(8.6, 10.2, 6, (8.0, 12.5), 1.0),
    "PHOS": Analyte(2.5, 4.5, 6, (3.2, 7.0)),
}
HAEMATOLOGY: Final[Mapping[str, Analyte]] = {
    "WBC": Analyte(4.0, 10.0, 2, (3.2, 18.5)),
    "NEU%": Analyte(50, 70, 1, (45, 65)),
    "LYM%": Analyte(20, 40, 1, (40, 22)),
    "MON%": Analyte(3, 8, 1, (8, 7)),
    "EOS%": Analyte(0.5, 5, 1, (5, 4)),
    "BAS%": Analyte(0, 1, 1, (2, 2)),
    "RBC": Analyte(3.8, 5.5, 2, (2.4, 5.3), 1.0),
    "HGB": Analyte(12.0, 16.0, 1, (6.1, 16.4), 1.0),
    "HCT": Analyte(36, 48, 1, (18.5, 47.5), 1.0),
    "MCV": Analyte(80, 100, 1, (77, 90), 0.8),
    "MCH": Analyte(27, 34, 1, (25, 31), 0.8),
    "MCHC": Analyte(32, 36, 1, (33, 34.5), 0.8),
    "RDW-CV": Analyte(11.5, 14.5, 1, (15, 13)),
    "PLT": Analyte(150, 410, 0, (65, 460), 4.0),
    "MPV": Analyte(7.5, 11.5, 1, (9.0, 9.2)),
}
UNLISTED: Final = Analyte(0, 1_000_000, 2, (1, 1))
"""For codes no panel has."""
_DIFFERENTIAL = ("NEU%", "LYM%", "MON%", "EOS%", "BAS%")
_SPREAD = 4.5
"""Width of a range in standard deviations: one simulated value in forty is outside."""


def chemistry_values(seed: int, specimen_id: str) -> dict[str, str]:
    """Return a specimen's values by device code."""
    return {code: _drawn(seed, specimen_id, code, analyte) for code, analyte in CHEMISTRY.items()}


def haematology_values(seed: int, specimen_id: str) -> dict[str, str]:
    """Return a specimen's values by device code; red cell indices and the differential agree with each other."""
    values = {code: float(_drawn(seed, specimen_id, code, analyte)) for code, analyte in HAEMATOLOGY.items()}
    values["HCT"] = values["RBC"] * values["MCV"] / 10
    values["HGB"] = values["HCT"] * values["MCHC"] / 100
    values["MCH"] = values["HGB"] / values["RBC"] * 10
    values["NEU%"] = 100 - sum(values[code] for code in _DIFFERENTIAL[1:])
    return {code: f"{value:.{HAEMATOLOGY[code].decimals}f}" for code, value in values.items()}


def control_values(panel: Mapping[str, Analyte], seed: int, level: int, run: str) -> dict[str, str]:
    """Return the values of one control run.

    Args:
        panel: CHEMISTRY or HAEMATOLOGY.
        seed: Of the device.
        level: 0 for the low control, 1 for the high one.
        run: What tells this run from others of the day.
    """
    values = {}
    for code, analyte in panel.items():
        target = analyte.controls[level]
        deviation = min(max(_source(seed, run, code).gauss(0, 1), -1.9), 1.9)
        values[code] = f"{target * (1 + deviation * analyte.control_cv_pct / 100):.{analyte.decimals}f}"
    return values


def flag_of(value: str, analyte: Analyte) -> str:
    """Return `H`, `L` or `N` for a value against the analyte's range; "" where it is no number."""
    try:
        number = float(value)
    except ValueError:
        return ""
    if number > analyte.high:
        return "H"
    return "L" if number < analyte.low else "N"


def drawn_value(seed: int, specimen_id: str, code: str, limits: tuple[float, float], decimals: int) -> str:
    """Return the value of one test of a specimen, mostly within `limits`."""
    low, high = limits
    value = _source(seed, specimen_id, code).gauss((low + high) / 2, (high - low) / _SPREAD)
    return f"{max(value, low / 3):.{decimals}f}"


def drawn_choice(seed: int, specimen_id: str, code: str, choices: Sequence[str]) -> str:
    """Return one of `choices` for one test of a specimen."""
    return _source(seed, specimen_id, code).choice(choices)


def _drawn(seed: int, specimen_id: str, code: str, analyte: Analyte) -> str:
    return drawn_value(seed, specimen_id, code, (analyte.low, analyte.high), analyte.decimals)


def _source(seed: int, *names: str) -> random.Random:
    return random.Random(":".join((str(seed), *names)))  # noqa: S311  values for show, guards nothing
