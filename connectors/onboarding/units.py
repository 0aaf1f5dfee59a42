"""Whether the unit a device sends can be the unit of a test: the same, another size of the same quantity, or neither.

A list and not a parser. What is not listed is unknown, which is for a person to decide. Quantities of substance and of
mass are never turned into each other: that needs the substance.
Source: UCUM 2.2 (units and prefixes); unit texts of analyzers read in specs.
"""

from __future__ import annotations

from decimal import Decimal
from enum import StrEnum
from typing import Final, NamedTuple


class UnitCheck(StrEnum):
    """How a device's unit stands to a test's."""

    SAME = "same"
    FACTOR = "factor"
    """The same quantity in another size: the device's number is multiplied."""
    MISMATCH = "mismatch"
    """Another quantity: the code means something else, or the device is set up wrongly."""
    UNKNOWN = "unknown"
    """The device sends no unit, or one that is not listed."""


class Size(NamedTuple):
    """A unit as a multiple of its quantity's base unit."""

    quantity: str
    factor: Decimal


_D = Decimal
_SIZES: Final[dict[str, dict[str, str]]] = {
    "number per volume": {
        "10*3/ul": "1e9", "10^3/ul": "1e9", "k/ul": "1e9", "10*9/l": "1e9", "10^9/l": "1e9", "x10^3/ul": "1e9",
        "thou/ul": "1e9", "thou/mm3": "1e9", "10^3/mm3": "1e9", "10e3/ul": "1e9", "10e9/l": "1e9",
        "10*6/ul": "1e12", "10^6/ul": "1e12", "m/ul": "1e12", "10*12/l": "1e12", "10^12/l": "1e12",
        "x10^6/ul": "1e12", "mill/mm3": "1e12", "10^6/mm3": "1e12", "10e6/ul": "1e12", "10e12/l": "1e12",
        "/ul": "1e6", "cells/ul": "1e6", "/cumm": "1e6", "/mm3": "1e6",
    },
    "share": {"%": "0.01", "l/l": "1"},
    "mass per volume": {
        "g/dl": "10", "gm/dl": "10", "g%": "10", "g/l": "1", "mg/dl": "0.01", "mg%": "0.01", "mg/l": "0.001",
        "ug/dl": "0.00001", "mcg/dl": "0.00001", "ug/l": "0.000001", "ug/ml": "0.001", "ng/ml": "0.000001",
        "ng/dl": "1e-8", "ng/l": "1e-9", "pg/ml": "1e-9", "pg/dl": "1e-11",
    },
    "substance per volume": {
        "mol/l": "1", "mmol/l": "0.001", "meq/l": "0.001", "umol/l": "0.000001", "nmol/l": "1e-9", "pmol/l": "1e-12",
    },
    "activity per volume": {"u/l": "1", "iu/l": "1", "[iu]/l": "1", "ukat/l": "60"},
    "arbitrary units per volume": {
        "u[iu]/ml": "0.001", "uiu/ml": "0.001", "m[iu]/l": "0.001", "miu/l": "0.001", "m[iu]/ml": "1", "miu/ml": "1",
        "[iu]/ml": "1000", "iu/ml": "1000", "uu/ml": "0.001",
    },
    "volume": {"fl": "1", "um3": "1", "um^3": "1"},
    "mass": {"pg": "1"},
    "substance ratio": {"mmol/mol": "1"},
    "rate": {"mm/h": "1", "mm/hr": "1", "mm/1sthr": "1"},
    "time": {"s": "1", "sec": "1", "seconds": "1"},
    "index": {"{inr}": "1", "inr": "1"},
    "ratio": {"{ratio}": "1", "ratio": "1", "{s.g.}": "1", "s/co": "1", "coi": "1"},
    "acidity": {"[ph]": "1"},
}  # fmt: skip
_BY_TEXT: Final = {
    text: Size(quantity, _D(factor)) for quantity, texts in _SIZES.items() for text, factor in texts.items()
}
_ACTIVITY = frozenset({"activity per volume", "arbitrary units per volume"})


def size_of(unit: str) -> Size | None:
    """Return what a unit text stands for, or None where it is not listed. Case does not count."""
    text = "".join(unit.split()).casefold().replace("µ", "u").replace("μ", "u").replace("³", "^3").replace("⁶", "^6")
    return _BY_TEXT.get(text.replace("×", "x"))


def compared(device_unit: str, test_unit: str) -> tuple[UnitCheck, Decimal | None]:
    """Compare the unit a device sends with that of a test.

    Returns:
        The check, and by what the device's number is multiplied where that is another than 1.
    """
    if device_unit.strip() and device_unit.strip() == test_unit.strip():
        return UnitCheck.SAME, None
    device, test = size_of(device_unit), size_of(test_unit)
    if device is None or test is None:
        return UnitCheck.UNKNOWN, None
    if device.quantity != test.quantity:
        # IU/L of an enzyme is U/L; for other proteins it is a unit of its own
        both = {device.quantity, test.quantity} == _ACTIVITY
        return (UnitCheck.UNKNOWN if both else UnitCheck.MISMATCH), None
    factor = device.factor / test.factor
    return (UnitCheck.SAME, None) if factor == 1 else (UnitCheck.FACTOR, factor)
