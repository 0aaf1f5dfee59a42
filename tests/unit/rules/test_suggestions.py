"""What a code of a capture may mean: never by parts of a name, and never against its unit."""

from decimal import Decimal

import pytest

from domain.code_suggestions import UnitCheck
from domain.results import ResultKind
from rules.mapping import TestFace
from rules.suggestions import MOST, checked_unit, suggest_among


def face(code, name, unit):
    return TestFace(code, name, "", unit, ResultKind.NUMERIC)


suggest = suggest_among([
    face("GLU", "Glucose", "mg/dL"), face("ALT", "Alanine aminotransferase (ALT/SGPT)", "U/L"),
    face("ALB", "Albumin", "g/dL"), face("AGR", "A/G ratio, albumin to globulin", "{ratio}"),
    face("NEUT%", "Neutrophils", "%"), face("NEUT", "Neutrophils, absolute", "10*3/uL"),
    face("TSH", "Thyrotropin (TSH)", "u[IU]/mL"), face("VITD", "Vitamin D (25-OH)", "ng/mL"),
    face("CHOLR", "Total cholesterol / HDL", "{ratio}"), face("HGB", "Haemoglobin", "g/dL"),
    face("TBIL", "Bilirubin, total", "mg/dL"), face("HCT", "Haematocrit (PCV)", "%"),
])  # fmt: skip


@pytest.mark.parametrize(
    ("code", "unit", "test", "origin", "score"),
    [
        ("GLU", "mg/dL", "GLU", "exact", 1.0), ("glu", "mg/dl", "GLU", "exact", 1.0),
        ("SGPT", "U/L", "ALT", "alias", 0.95), ("NEU%", "%", "NEUT%", "alias", 0.95),
        ("Hb", "g/dL", "HGB", "alias", 0.95), ("25-OH", "ng/mL", "VITD", "abbreviation", 0.9),
    ],
)  # fmt: skip
def test_a_code_that_is_known(code, unit, test, origin, score):
    first = suggest(code, [unit], "")[0]
    assert (first.test_code, first.origin, first.score, first.unit_check) == (test, origin, score, UnitCheck.SAME)


@pytest.mark.parametrize("code", ["AL", "CHOL", "IgE", "pH", "Albu", "1", "", "G"])
def test_parts_of_names_mean_nothing(code):
    assert suggest(code, ["mg/dL"], "") == []


def test_a_unit_of_another_quantity_speaks_against_it():
    (found,) = suggest("NEUT", ["%"], "")
    assert (found.unit_check, found.score, found.factor) == (UnitCheck.MISMATCH, 0.2, None)


def test_a_unit_of_another_size_gives_the_factor():
    (found,) = suggest("HGB", ["g/L"], "")
    assert (found.unit_check, found.score, found.factor) == (UnitCheck.FACTOR, 1.0, Decimal("0.1"))


@pytest.mark.parametrize(
    ("units", "check"),
    [
        (["g/dL", "mmol/L"], UnitCheck.MISMATCH), (["g/dL", "g/L"], UnitCheck.UNKNOWN),
        (["", "g/dL"], UnitCheck.UNKNOWN), (["g/L", "mg/dL"], UnitCheck.UNKNOWN), ([], UnitCheck.UNKNOWN),
    ],
)  # fmt: skip
def test_a_code_in_two_units_is_for_a_person(units, check):
    (found,) = suggest("HGB", units, "")
    assert (found.unit_check, found.factor) == (check, None)


def test_the_models_own_table_counts_and_the_unit_decides_the_order():
    found = suggest("GLU", ["U/L"], "ALT")
    assert [(one.test_code, one.origin, one.score) for one in found] == [("ALT", "model", 0.95), ("GLU", "exact", 0.2)]


def test_only_so_many_are_shown():
    many = suggest_among([face(f"T{number}", "Something (ABC)", "mg/dL") for number in range(MOST + 3)])
    assert len(many("ABC", ["mg/dL"], "")) == MOST


@pytest.mark.parametrize(
    ("device", "test", "check", "factor"),
    [
        ("mg/dl", "mg/dL", UnitCheck.SAME, None), ("10^3/uL", "10*3/uL", UnitCheck.SAME, None),
        ("10*9/L", "10*3/uL", UnitCheck.SAME, None), ("x10³/µL", "10*3/uL", UnitCheck.SAME, None),
        ("g/L", "g/dL", UnitCheck.FACTOR, Decimal("0.1")), ("ug/dL", "ng/dL", UnitCheck.FACTOR, Decimal(1000)),
        ("ng/dL", "ng/L", UnitCheck.FACTOR, Decimal(10)), ("L/L", "%", UnitCheck.FACTOR, Decimal(100)),
        ("s", "min", UnitCheck.FACTOR, Decimal("0.0166666666666667")),
        ("mmol/L", "mg/dL", UnitCheck.MISMATCH, None), ("%", "10*3/uL", UnitCheck.MISMATCH, None),
        ("mmol/mol", "%", UnitCheck.MISMATCH, None), ("IU/mL", "ng/mL", UnitCheck.MISMATCH, None),
        ("IU/L", "U/L", UnitCheck.UNKNOWN, None), ("mEq/L", "mmol/L", UnitCheck.UNKNOWN, None),
        ("ng/mL", "ng/mL{FEU}", UnitCheck.UNKNOWN, None),
        ("", "mg/dL", UnitCheck.UNKNOWN, None), ("furlong", "mg/dL", UnitCheck.UNKNOWN, None),
    ],
)  # fmt: skip
def test_units(device, test, check, factor):
    assert checked_unit(device, test) == (check, factor)
