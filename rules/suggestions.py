"""Proposals for the codes of a capture, weighed by the units they came with: another quantity speaks against a test."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Context, Decimal
from fractions import Fraction
from typing import Final

from domain.code_suggestions import CodeSuggestion, Suggest, UnitCheck
from rules.mapping import TestFace, suggestions
from rules.units import Relation, parse_unit, relation, scale

MOST: Final = 5
_AGAINST: Final = Decimal("0.2")
"""What is left of a score where the units are of different quantities."""
_WORST_FIRST: Final = (UnitCheck.MISMATCH, UnitCheck.UNKNOWN, UnitCheck.FACTOR, UnitCheck.SAME)
_FACTOR_DIGITS: Final = Context(prec=15)
_MASS: Final = (("g", 1),)


def suggest_among(tests: Sequence[TestFace]) -> Suggest:
    """Return what proposes tests of a catalogue for a device's codes.

    Args:
        tests: The catalogue.
    """
    by_code = {test.code: test for test in tests}

    def suggest(code: str, units: Sequence[str], model_code: str) -> list[CodeSuggestion]:
        found = []
        for one in suggestions(code, tests, model_code=model_code):
            test = by_code[one.test_code]
            check, factor = _worst(units, test.unit)
            score = one.score * (_AGAINST if check is UnitCheck.MISMATCH else 1)
            found.append(CodeSuggestion(test.code, test.name, one.origin, round(float(score), 2), check, factor))
        return sorted(found, key=lambda one: (-one.score, one.test_code))[:MOST]

    return suggest


def _worst(units: Sequence[str], test_unit: str) -> tuple[UnitCheck, Decimal | None]:
    """Return the check that speaks most against it: a code that comes in two units needs a person."""
    checks = [checked_unit(unit, test_unit) for unit in units] or [(UnitCheck.UNKNOWN, None)]
    worst = min(checks, key=lambda check: _WORST_FIRST.index(check[0]))
    if worst[0] is UnitCheck.FACTOR and len(set(checks)) > 1:
        return UnitCheck.UNKNOWN, None  # no one factor is right for all of them
    return worst


def checked_unit(sent: str, wanted: str) -> tuple[UnitCheck, Decimal | None]:
    """Compare the unit a device sends with that of a test.

    Returns:
        The check, and by what the device's number is multiplied where that is another than 1.
    """
    match relation(sent, wanted):
        case Relation.SAME:
            return UnitCheck.SAME, None
        case Relation.SCALED:
            return UnitCheck.FACTOR, _decimal(scale(sent, wanted) or Fraction(1))
        case Relation.DIFFERENT:
            return UnitCheck.MISMATCH, None
        case Relation.BY_ANALYTE if _is_mass(sent) is not _is_mass(wanted):
            return UnitCheck.MISMATCH, None
        case _:  # mEq/L and mmol/L, IU/L and U/L: one for some analytes, not for all
            return UnitCheck.UNKNOWN, None


def _is_mass(text: str) -> bool:
    unit = parse_unit(text)
    return unit is not None and unit.over == _MASS


def _decimal(factor: Fraction) -> Decimal:
    """Return a factor with as many digits as a mapping may have, without zeros at its end."""
    return _FACTOR_DIGITS.divide(Decimal(factor.numerator), Decimal(factor.denominator)).normalize(_FACTOR_DIGITS)
