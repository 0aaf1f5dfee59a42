"""What a device's test code may mean: proposals with a score, what a confirmation must hold to, which unit counts.

Nothing is proposed for a part of a name: `ALB` is not "A/G ratio" and `CHOL` is not "HDL cholesterol". Nothing that is
proposed here is used before a person has confirmed it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from fractions import Fraction
from types import MappingProxyType
from typing import Final

from domain.errors import RuleError
from domain.results import ResultKind
from rules.units import Relation, fits_property, parse_unit, relation, scale

EXACT, ALIAS, ABBREVIATION = Decimal("1.0"), Decimal("0.95"), Decimal("0.9")
"""Scores. Source: field experience of middleware in Indian laboratories, read in specs: below these nothing held."""

MAX_FACTOR, MIN_FACTOR = Decimal(10) ** 9, Decimal(10) ** -9
_MAX_FACTOR_DIGITS = 15

_ALIASES: Final = MappingProxyType(
    {
        "HB": "HGB", "TLC": "WBC", "LEU": "WBC", "LEUK": "WBC", "ERY": "RBC", "PCV": "HCT", "THR": "PLT",
        "HEMOGLOBIN": "HGB", "HAEMOGLOBIN": "HGB", "HEMATOCRIT": "HCT", "HAEMATOCRIT": "HCT", "PLATELETS": "PLT",
        "LEUKOCYTES": "WBC", "LEUCOCYTES": "WBC", "ERYTHROCYTES": "RBC", "RDW-CV": "RDWCV", "RDW_CV": "RDWCV",
        "NEU%": "NEUT%", "NE%": "NEUT%", "GRA%": "NEUT%", "LYM%": "LYMPH%", "LY%": "LYMPH%", "MON%": "MONO%",
        "MO%": "MONO%", "EO%": "EOS%", "BAS%": "BASO%", "BA%": "BASO%", "RET%": "RETIC", "RET": "RETIC",
        "NEUTROPHIL%": "NEUT%", "LYMPHOCYTE%": "LYMPH%", "MONOCYTE%": "MONO%", "EOSINOPHIL%": "EOS%",
        "BASOPHIL%": "BASO%", "A1C": "HBA1C",
        "SGOT": "AST", "SGPT": "ALT", "GOT": "AST", "GPT": "ALT", "ASAT": "AST", "ALAT": "ALT", "ALKP": "ALP",
        "GGTP": "GGT", "GAMMA-GT": "GGT", "TPROT": "TP", "TOTALPROTEIN": "TP", "ALBUMIN": "ALB", "CREATININE": "CREA",
        "GLUCOSE": "GLU", "URIC": "UA", "URICACID": "UA", "CALCIUM": "CA", "PHOSPHORUS": "PHOS", "SODIUM": "SOD",
        "POTASSIUM": "K", "CHLORIDE": "CL", "CHOLESTEROL": "CHOL", "TGL": "TRIG", "TRIGS": "TRIG",
        "TRIGLYCERIDES": "TRIG", "HDLC": "HDL", "TSH3": "TSH", "FREET3": "FT3", "FREET4": "FT4", "T-BIL": "TBIL",
        "TBILI": "TBIL", "D-BIL": "DBIL", "DBILI": "DBIL", "CREAT": "CREA", "CRE": "CREA", "GLUC": "GLU",
        "NA": "SOD", "NA+": "SOD", "K+": "K", "CL-": "CL", "TG": "TRIG", "TRIGL": "TRIG", "HDL-C": "HDL",
        "BIT": "TBIL", "BID": "DBIL", "T.BIL": "TBIL", "D.BIL": "DBIL", "IRON": "FE",
    }
)  # fmt: skip
"""Device mnemonic to the laboratory's code: the same analyte under another short name, curated one by one."""
_PARENTHESES = re.compile(r"\(([A-Za-z0-9%#+./-]{1,12})\)")

_KNOWN_PROPERTIES: Final = MappingProxyType(
    {
        "751-8": "NCnc", "742-7": "NCnc", "711-2": "NCnc", "704-7": "NCnc", "731-0": "NCnc", "6690-2": "NCnc",
        "789-8": "NCnc", "777-3": "NCnc", "770-8": "NFr", "736-9": "NFr", "5905-5": "NFr", "713-8": "NFr",
        "706-2": "NFr", "718-7": "MCnc", "2345-7": "MCnc", "14749-6": "SCnc", "2160-0": "MCnc", "1558-6": "MCnc",
        "1521-4": "MCnc", "4548-4": "MFr", "59261-8": "SFr", "787-2": "EntVol", "785-6": "EntMass", "1920-8": "CCnc",
        "1742-6": "CCnc", "6768-6": "CCnc",
    }
)  # fmt: skip
"""Property of a few LOINC codes that are often confused; a licensed table is the laboratory's to load.

This material contains content from LOINC (http://loinc.org). LOINC is copyright © Regenstrief Institute, Inc. and the
LOINC Committee and is available at no cost under the license at http://loinc.org/license. Source: as read in specs.
"""


@dataclass(frozen=True)
class TestFace:
    """A test of the catalogue as far as a mapping needs it."""

    __test__ = False
    code: str
    name: str
    loinc: str
    unit: str
    kind: ResultKind


@dataclass(frozen=True)
class Suggestion:
    """A proposal for a person.

    Attributes:
        score: 0 to 1.
        origin: `model`, `exact`, `alias` or `abbreviation`.
    """

    test_code: str
    score: Decimal
    origin: str


@dataclass(frozen=True)
class UnitRule:
    """What a person confirmed about the unit of a device's code.

    Attributes:
        unit: The text the device sends, "" for none or any.
        factor: What its number is multiplied by, None for nothing.
        target_unit: The test's unit for which the factor was confirmed.
    """

    unit: str = ""
    factor: Decimal | None = None
    target_unit: str = ""


class UnitVerdict(StrEnum):
    """What is to be done with a number that came with a unit."""

    AS_IS = "as_is"
    CONVERT = "convert"
    MISMATCH = "mismatch"


def suggestions(device_code: str, tests: Iterable[TestFace], *, model_code: str = "") -> list[Suggestion]:
    """Return what a device's code may mean, best first; mostly nothing.

    Args:
        device_code: As sent.
        tests: The catalogue.
        model_code: The laboratory code that the device's model proposes for it, or "".
    """
    wanted = device_code.strip().upper()
    alias = _ALIASES.get("".join(wanted.split()), "")
    found: dict[str, Suggestion] = {}
    for test in tests:
        code = test.code.upper()
        if wanted and code == wanted:
            found[test.code] = Suggestion(test.code, EXACT, "exact")
        elif model_code and test.code == model_code:
            found[test.code] = Suggestion(test.code, ALIAS, "model")
        elif alias and code == alias:
            found[test.code] = Suggestion(test.code, ALIAS, "alias")
        elif wanted and wanted in {short.upper() for short in _PARENTHESES.findall(test.name)}:
            found[test.code] = Suggestion(test.code, ABBREVIATION, "abbreviation")
    return sorted(found.values(), key=lambda one: (-one.score, one.test_code))


def check_confirmable(device_code: str, rule: UnitRule, test: TestFace) -> None:
    """Refuse a mapping whose unit cannot be the test's.

    A person may state a factor between mass, substance and international units, which depends on the analyte. A
    factor that units alone determine must be that one.

    Raises:
        RuleError: Unit or factor is wrong; the code says which.
    """
    if test.kind is not ResultKind.NUMERIC:
        if rule.factor is not None:
            raise _wrong_factor("a test that is no number takes no factor")
        return
    _check_kind_of_quantity(device_code, rule, test)
    if rule.factor is not None and not _is_plausible(rule.factor):
        raise _wrong_factor("a factor lies between 0.000000001 and 1000000000, with at most 15 digits")
    match relation(rule.unit, test.unit) if rule.unit else Relation.UNKNOWN:
        case Relation.SAME | Relation.ANNOTATED:
            if rule.factor not in (None, Decimal(1)):
                raise _wrong_factor(f"{rule.unit} is {test.unit} already: no factor belongs there")
        case Relation.SCALED:
            _check_scale(rule, test)
        case Relation.BY_ANALYTE:
            if rule.factor is None:
                raise _wrong_factor(f"between {rule.unit} and {test.unit} lies a factor of this analyte: state it")
        case Relation.DIFFERENT:
            raise _wrong_unit(f"{rule.unit} measures something else than {test.unit}")
        case Relation.UNKNOWN:
            pass  # a text of the device's own: the person answers for it


def _check_kind_of_quantity(device_code: str, rule: UnitRule, test: TestFace) -> None:
    """Hold a unit against the LOINC property, and a code that ends in `%` or `#` against the test's unit."""
    known = _KNOWN_PROPERTIES.get(test.loinc, "")
    sent, wanted = parse_unit(rule.unit), parse_unit(test.unit)
    is_other_amount = relation(rule.unit, test.unit) is Relation.BY_ANALYTE
    if sent is not None and known and fits_property(sent, known) is False and not is_other_amount:
        raise _wrong_unit(f"{rule.unit} is no unit of LOINC property {known}")
    if wanted is None:
        return
    is_count = fits_property(wanted, "NCnc")
    is_share = wanted.dimension == ((), ())
    if (device_code.strip().endswith("%") and is_count) or (device_code.strip().endswith("#") and is_share):
        raise _wrong_unit(f"the code {device_code.strip()[:30]} cannot be measured in {test.unit}")


def _check_scale(rule: UnitRule, test: TestFace) -> None:
    exact = scale(rule.unit, test.unit)
    if exact is None or rule.factor is None or abs(Fraction(rule.factor) / exact - 1) > Fraction(1, 10**9):
        shown = _shown(exact) if exact is not None else "none"
        raise _wrong_factor(f"from {rule.unit} to {test.unit} the factor is {shown}")


def _shown(number: Fraction) -> str:
    return f"{float(number):.12g}" if number.denominator != 1 else str(number.numerator)


def _is_plausible(factor: Decimal) -> bool:
    return (
        factor.is_finite()
        and MIN_FACTOR <= factor <= MAX_FACTOR
        and len(factor.as_tuple().digits) <= _MAX_FACTOR_DIGITS
    )


def _wrong_unit(why: str) -> RuleError:
    return RuleError(why, code="MAPPING_UNIT_REFUSED", action="Map the code to the test that it measures.")


def _wrong_factor(why: str) -> RuleError:
    return RuleError(why, code="MAPPING_FACTOR_REFUSED", action="Propose the mapping again with the right factor.")


def judged_unit(sent: str, rule: UnitRule, test_unit: str, test_display: str = "") -> UnitVerdict:
    """Return what is to be done with a number that came with the unit text `sent`.

    A factor is used only from the unit and to the unit that it was confirmed for, so nothing is converted twice when
    a device is switched to the laboratory's unit or the catalogue changes.
    """
    text = sent.strip()
    is_ours = bool(text) and (text in {test_unit, test_display} or relation(text, test_unit) is Relation.SAME)
    is_theirs = text == rule.unit or (bool(text and rule.unit) and relation(text, rule.unit) is Relation.SAME)
    if rule.factor is not None and rule.factor != 1:
        return _judged_by_factor(rule, test_unit, is_ours=is_ours, is_theirs=is_theirs)
    if not text or is_ours:
        return UnitVerdict.AS_IS
    is_anybodys = not rule.unit and not test_unit
    if (is_theirs or is_anybodys) and _may_be_meant(text, rule, test_unit):
        return UnitVerdict.AS_IS
    return UnitVerdict.MISMATCH


def _judged_by_factor(rule: UnitRule, test_unit: str, *, is_ours: bool, is_theirs: bool) -> UnitVerdict:
    if rule.target_unit != test_unit:
        return UnitVerdict.MISMATCH
    if is_theirs:
        return UnitVerdict.CONVERT
    return UnitVerdict.AS_IS if is_ours else UnitVerdict.MISMATCH


def _may_be_meant(text: str, rule: UnitRule, test_unit: str) -> bool:
    """Tell whether a person's word is enough for a unit text without a factor: not where units say otherwise.

    A factor of 1 between two amounts (mEq/L and mmol/L) is a person's word; without one it is nobody's.
    """
    known = relation(text, test_unit)
    if known is Relation.BY_ANALYTE:
        return rule.factor == 1 and rule.target_unit == test_unit
    return known not in {Relation.SCALED, Relation.DIFFERENT}
