"""Units that are the same, differ in size, or are of another quantity."""

from decimal import Decimal

import pytest

from connectors.onboarding.units import UnitCheck, compared


@pytest.mark.parametrize(
    ("device", "test", "check", "factor"),
    [
        ("mg/dL", "mg/dL", UnitCheck.SAME, None),
        ("mg/dl", "mg/dL", UnitCheck.SAME, None),
        ("10^3/uL", "10*3/uL", UnitCheck.SAME, None),
        ("10*9/L", "10*3/uL", UnitCheck.SAME, None),
        ("x10³/µL", "10*3/uL", UnitCheck.SAME, None),
        ("IU/L", "U/L", UnitCheck.SAME, None),
        ("g/L", "g/dL", UnitCheck.FACTOR, Decimal("0.1")),
        ("ug/dL", "ng/dL", UnitCheck.FACTOR, Decimal(1000)),
        ("ng/dL", "ng/L", UnitCheck.FACTOR, Decimal(10)),
        ("mmol/L", "mg/dL", UnitCheck.MISMATCH, None),
        ("%", "10*3/uL", UnitCheck.MISMATCH, None),
        ("IU/mL", "U/L", UnitCheck.UNKNOWN, None),
        ("", "mg/dL", UnitCheck.UNKNOWN, None),
        ("furlong", "mg/dL", UnitCheck.UNKNOWN, None),
    ],
)
def test_units(device, test, check, factor):
    assert compared(device, test) == (check, factor)
