"""What a code may mean: never by parts of a name."""

from decimal import Decimal

import pytest

from connectors.analyzers.driver import MODELS
from connectors.onboarding.suggestions import OrderableTest, suggestions_for
from connectors.onboarding.units import UnitCheck

TESTS = [
    OrderableTest("GLU", "Glucose", "mg/dL"), OrderableTest("ALT", "Alanine aminotransferase (ALT/SGPT)", "U/L"),
    OrderableTest("ALB", "Albumin", "g/dL"), OrderableTest("AGR", "A/G ratio, albumin to globulin", "{ratio}"),
    OrderableTest("NEUT%", "Neutrophils", "%"), OrderableTest("NEUT", "Neutrophils, absolute", "10*3/uL"),
    OrderableTest("TSH", "Thyrotropin (TSH)", "u[IU]/mL"), OrderableTest("VITD", "Vitamin D (25-OH)", "ng/mL"),
    OrderableTest("CHOLR", "Total cholesterol / HDL", "{ratio}"), OrderableTest("HGB", "Haemoglobin", "g/dL"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("code", "unit", "test", "origin"),
    [
        ("GLU", "mg/dL", "GLU", "exact"),
        ("glu", "mg/dl", "GLU", "exact"),
        ("SGPT", "U/L", "ALT", "alias"),
        ("NEU%", "%", "NEUT%", "alias"),
        ("25-OH", "ng/mL", "VITD", "abbreviation"),
        ("Hb", "g/dL", "HGB", "alias"),
    ],
)
def test_a_code_that_is_known(code, unit, test, origin):
    first = suggestions_for(code, [unit], TESTS)[0]
    assert (first.test_code, first.origin, first.unit_check) == (test, origin, UnitCheck.SAME)


@pytest.mark.parametrize("code", ["AL", "CHOL", "IgE", "pH", "Albu", "1", "", "G"])
def test_parts_of_names_mean_nothing(code):
    assert suggestions_for(code, ["mg/dL"], TESTS) == []


def test_a_unit_of_another_quantity_speaks_against_it():
    (found,) = suggestions_for("NEUT", ["%"], TESTS)
    assert (found.unit_check, found.score) == (UnitCheck.MISMATCH, 0.2)


def test_a_unit_of_another_size_gives_the_factor():
    (found,) = suggestions_for("HGB", ["g/L"], TESTS)
    assert (found.unit_check, found.factor) == (UnitCheck.FACTOR, Decimal("0.1"))


def test_a_code_in_two_units_is_for_a_person():
    (found,) = suggestions_for("HGB", ["g/dL", "mmol/L"], TESTS)
    assert found.unit_check is UnitCheck.MISMATCH


def test_the_models_own_table_counts():
    tests = [OrderableTest("TBIL", "Bilirubin, total", "mg/dL")]
    (found,) = suggestions_for("BIT", ["mg/dL"], tests, MODELS["mindray_bs"])
    assert found.origin == "model"
