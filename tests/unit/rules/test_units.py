"""Unit texts: what is one unit in two spellings, what is a factor apart, and what is something else."""

from decimal import Decimal, Inexact
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.units import UCUM_DISPLAY
from rules.units import Relation, fits_property, multiplied, parse_unit, relation, scale

COUNT = "10*3/uL"


@pytest.mark.parametrize(
    ("sent", "wanted"),
    [
        *((text, COUNT) for text in (
            "K/uL", "k/uL", "K/UL", "K/µL", "10^3/uL", "10*9/L", "10^9/L", "10³/µL", "x10^9/L", "10e3/uL", "10E9/L",
            "10 3/uL", "10**3/uL", "10*3/mm3", "10^3 / uL", "10*3{cells}/uL",
        )),
        ("M/uL", "10*6/uL"), ("10*12/L", "10*6/uL"), ("cells/uL", "/uL"), ("1/uL", "/uL"),
        ("mg/dl", "mg/dL"), ("MG/DL", "mg/dL"), ("gm/dl", "g/dL"), ("G/DL", "g/dL"), ("mcg/dL", "ug/dL"),
        ("µg/dL", "ug/dL"), ("μg/dL", "ug/dL"), ("ng/mL", "ug/L"), ("ng/L", "pg/mL"),
        ("mmol/l", "mmol/L"), ("MMOL/L", "mmol/L"), ("mmol.L-1", "mmol/L"), ("mEq/L", "meq/L"),
        ("uIU/mL", "u[IU]/mL"), ("UIU/ML", "u[IU]/mL"), ("µIU/mL", "m[IU]/L"), ("mIU/L", "u[IU]/mL"),
        ("IU/L", "[IU]/L"), ("IU/ML", "[IU]/mL"), ("U/l", "U/L"), ("u/l", "U/L"),
        ("fl", "fL"), ("FL", "fL"), ("PG", "pg"), ("mm/hr", "mm/h"), ("sec", "s"), ("%", "%"),
        ("Copies / mL", "{copies}/mL"), ("S/CO", "{index}"), ("COI", "{index}"), ("INR", "{INR}"), ("mmHg", "mm[Hg]"),
    ],
)  # fmt: skip
def test_one_unit_in_two_spellings(sent, wanted):
    assert relation(sent, wanted) is Relation.SAME
    assert scale(sent, wanted) == 1


@pytest.mark.parametrize(
    ("sent", "wanted", "factor"),
    [
        ("g/L", "g/dL", Fraction(1, 10)), ("ug/dL", "ng/dL", 1000), ("ng/dL", "ng/L", 10), ("10*6/uL", COUNT, 1000),
        ("kU/L", "U/L", 1000), ("mg/L", "mg/dL", Fraction(1, 10)), ("[IU]/mL", "m[IU]/mL", 1000), ("min", "s", 60),
    ],
)  # fmt: skip
def test_a_fixed_factor_apart(sent, wanted, factor):
    assert relation(sent, wanted) is Relation.SCALED
    assert scale(sent, wanted) == factor
    assert scale(wanted, sent) == 1 / Fraction(factor)


@pytest.mark.parametrize(
    ("sent", "wanted", "how"),
    [
        ("%", COUNT, Relation.DIFFERENT), ("mg/dL", COUNT, Relation.DIFFERENT), ("fL", "pg", Relation.DIFFERENT),
        ("mmol/mol", "%", Relation.DIFFERENT), ("mg/24.h", "mg/dL", Relation.DIFFERENT),
        ("mmol/L", "mg/dL", Relation.BY_ANALYTE), ("mU/L", "u[IU]/mL", Relation.BY_ANALYTE),
        ("meq/L", "mmol/L", Relation.BY_ANALYTE), ("ng/mL{DDU}", "ng/mL{FEU}", Relation.ANNOTATED),
        ("ng/mL", "ng/mL{FEU}", Relation.ANNOTATED),
        ("G/L", "g/dL", Relation.UNKNOWN), ("mg%", "mg/dL", Relation.UNKNOWN), ("15", "fL", Relation.UNKNOWN),
        ("furlong", "m", Relation.UNKNOWN), ("", "mg/dL", Relation.UNKNOWN),
    ],
)  # fmt: skip
def test_what_no_fixed_factor_joins(sent, wanted, how):
    assert relation(sent, wanted) is how
    assert scale(sent, wanted) is None


def test_every_unit_of_the_catalogue_is_understood():
    unknown = [code for code in UCUM_DISPLAY if parse_unit(code) is None]
    assert unknown == []


@pytest.mark.parametrize("text", ["{{", "//", "g/", "g//L", ".", "10*999/L", "0", "g" * 50, "[IU", "10*", "-", "{}{}"])
def test_what_is_no_unit(text):
    assert relation(text, "mg/dL") in {Relation.UNKNOWN, Relation.DIFFERENT}


@given(st.text(max_size=60))
def test_no_text_breaks_the_reader(text):
    found = parse_unit(text)
    assert found is None or found.factor > 0


@pytest.mark.parametrize(
    ("unit", "loinc_property", "fits"),
    [
        ("%", "NCnc", False), (COUNT, "NCnc", True), ("%", "NFr", True), (COUNT, "NFr", False),
        ("mg/dL", "MCnc", True), ("mmol/L", "MCnc", False), ("mmol/L", "SCnc", True), ("U/L", "CCnc", True),
        ("fL", "EntVol", True), ("pg", "EntMass", True), ("mg/dL", "Nobody", None),
    ],
)  # fmt: skip
def test_a_property_has_its_units(unit, loinc_property, fits):
    parsed = parse_unit(unit)
    assert parsed is not None
    assert fits_property(parsed, loinc_property) is fits


def test_products_are_exact():
    assert multiplied(Decimal("0.1"), Decimal("0.651")) == Decimal("0.0651")
    with pytest.raises(Inexact):
        multiplied(Decimal("9" * 40), Decimal("9" * 40))
