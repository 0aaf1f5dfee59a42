"""Proposals without guesses, confirmations without impossible units, and conversions that happen once."""

from decimal import Decimal
from pathlib import Path

import pytest
import yaml

from domain.errors import RuleError
from domain.results import ResultKind
from rules.mapping import TestFace, UnitRule, UnitVerdict, check_confirmable, judged_unit, suggestions


def face(code: str, name: str = "", loinc: str = "", unit: str = "mg/dL", kind: ResultKind = ResultKind.NUMERIC):
    return TestFace(code, name or code, loinc, unit, kind)


TESTS = [
    face("ALB", "Albumin"), face("CHOL", "Cholesterol"), face("HDL", "HDL cholesterol"), face("AGR", "A/G ratio"),
    face("WBC", "Total leucocyte count (TLC)"), face("AFP", "Alpha fetoprotein (AFP)"), face("AST"), face("GLOB"),
    face("IGE", "Immunoglobulin E (IgE)"), face("NEUT%"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("sent", "expected"),
    [
        ("alb", [("ALB", "1.0", "exact")]), ("CHOL", [("CHOL", "1.0", "exact")]), ("SGOT", [("AST", "0.95", "alias")]),
        ("NEU%", [("NEUT%", "0.95", "alias")]), ("TLC", [("WBC", "0.95", "alias")]),
        ("IgE", [("IGE", "1.0", "exact")]),
        ("pH", []), ("A", []), ("GLO", []), ("LDL", []), ("", []),
    ],
)  # fmt: skip
def test_only_whole_names_are_proposed(sent, expected):
    found = suggestions(sent, TESTS)
    assert [(one.test_code, str(one.score), one.origin) for one in found] == expected


CATALOGUE = Path(__file__).parents[3] / "store" / "seed_data" / "catalogue.yaml"


@pytest.mark.parametrize(
    ("sent", "meant"),
    [
        ("Haemoglobin", "HGB"), ("Hematocrit", "HCT"), ("LEUKOCYTES", "WBC"), ("Platelets", "PLT"),
        ("Neutrophil%", "NEUT%"), ("Lymphocyte%", "LYMPH%"), ("GOT", "AST"), ("GPT", "ALT"), ("ALKP", "ALP"),
        ("GGTP", "GGT"), ("Total Protein", "TP"), ("Albumin", "ALB"), ("Creatinine", "CREA"), ("Glucose", "GLU"),
        ("Uric Acid", "UA"), ("Sodium", "SOD"), ("Potassium", "K"), ("TGL", "TRIG"), ("T-BIL", "TBIL"),
        ("D-BIL", "DBIL"), ("TSH3", "TSH"), ("A1c", "HBA1C"), ("Phosphorus", "PHOS"), ("HDLC", "HDL"),
        # what looks alike and is not: urea nitrogen, granulocytes, either width, carbohydrates
        ("BUN", ""), ("BUN-UREA", ""), ("GRAN%", ""), ("RDW", ""), ("CHO", ""), ("CRT", ""),
    ],
)  # fmt: skip
def test_names_of_one_analyte_mean_the_code_of_the_catalogue(sent, meant):
    catalogue = yaml.safe_load(CATALOGUE.read_text("utf-8"))
    tests = [face(test["code"], test["name"]) for group in catalogue["groups"] for test in group["tests"]]
    found = suggestions(sent, tests)
    assert [(one.test_code, one.origin) for one in found] == ([(meant, "alias")] if meant else [])


def test_an_abbreviation_in_parentheses_and_the_model_count_less_than_the_code_itself():
    tests = [face("XYZ", "Something (ABC)"), face("ABC"), face("MOD")]
    found = suggestions("ABC", tests, model_code="MOD")
    assert [(one.test_code, one.origin) for one in found] == [
        ("ABC", "exact"), ("MOD", "model"), ("XYZ", "abbreviation"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("code", "rule", "test"),
    [
        ("1", UnitRule("mg/dl"), face("GLU")),
        ("1", UnitRule(""), face("GLU")),
        ("1", UnitRule("15"), face("MCV", unit="fL")),
        ("1", UnitRule("g/L", Decimal("0.1")), face("HGB", unit="g/dL")),
        ("1", UnitRule("mmol/L", Decimal("18.016")), face("GLU")),
        ("1", UnitRule("mEq/L", Decimal(1)), face("SOD", unit="mmol/L")),
        ("1", UnitRule("mg/g"), face("ACR", unit="mg/g{creat}")),
        ("1", UnitRule(""), face("HIV", unit="", kind=ResultKind.CODED)),
    ],
)
def test_what_a_person_may_confirm(code, rule, test):
    check_confirmable(code, rule, test)


@pytest.mark.parametrize(
    ("code", "rule", "test", "refusal"),
    [
        ("1", UnitRule("%"), face("NEUT#", loinc="751-8", unit="10*3/uL"), "MAPPING_UNIT_REFUSED"),
        ("1", UnitRule("10*3/uL"), face("NEUT%", loinc="770-8", unit="%"), "MAPPING_UNIT_REFUSED"),
        ("NEUT%", UnitRule(""), face("NEUT#", unit="10*3/uL"), "MAPPING_UNIT_REFUSED"),
        ("NEUT#", UnitRule(""), face("NEUT%", unit="%"), "MAPPING_UNIT_REFUSED"),
        ("1", UnitRule("%", Decimal(2)), face("NEUT#", unit="10*3/uL"), "MAPPING_UNIT_REFUSED"),
        ("1", UnitRule("mmol/mol", Decimal("0.1")), face("HBA1C", unit="%"), "MAPPING_UNIT_REFUSED"),
        ("1", UnitRule("g/L"), face("HGB", unit="g/dL"), "MAPPING_FACTOR_REFUSED"),
        ("1", UnitRule("g/L", Decimal(10)), face("HGB", unit="g/dL"), "MAPPING_FACTOR_REFUSED"),
        ("1", UnitRule("mg/dl", Decimal(10)), face("GLU"), "MAPPING_FACTOR_REFUSED"),
        ("1", UnitRule("mmol/L"), face("GLU"), "MAPPING_FACTOR_REFUSED"),
        ("1", UnitRule("mmol/L", Decimal("1e12")), face("GLU"), "MAPPING_FACTOR_REFUSED"),
        ("1", UnitRule("", Decimal(2)), face("HIV", unit="", kind=ResultKind.CODED), "MAPPING_FACTOR_REFUSED"),
    ],
)
def test_what_nobody_may_confirm(code, rule, test, refusal):
    with pytest.raises(RuleError) as caught:
        check_confirmable(code, rule, test)
    assert caught.value.code == refusal


TO_GRAMS = UnitRule("g/L", Decimal("0.1"), "g/dL")


@pytest.mark.parametrize(
    ("sent", "rule", "unit", "verdict"),
    [
        ("mg/dL", UnitRule("mg/dL"), "mg/dL", UnitVerdict.AS_IS),
        ("K/uL", UnitRule("10*3/uL"), "10*3/uL", UnitVerdict.AS_IS),
        ("10*9/L", UnitRule(""), "10*3/uL", UnitVerdict.AS_IS),
        ("", UnitRule("mg/dL"), "mg/dL", UnitVerdict.AS_IS),
        ("15", UnitRule("15"), "fL", UnitVerdict.AS_IS),
        ("mmol/L", UnitRule("mg/dL"), "mg/dL", UnitVerdict.MISMATCH),
        ("mmol/L", UnitRule("mmol/L"), "mg/dL", UnitVerdict.MISMATCH),
        ("g/L", UnitRule("g/L"), "g/dL", UnitVerdict.MISMATCH),
        ("16", UnitRule("15"), "fL", UnitVerdict.MISMATCH),
        ("furlong", UnitRule(""), "mg/dL", UnitVerdict.MISMATCH),
        ("anything", UnitRule(""), "", UnitVerdict.AS_IS),
        ("g/L", TO_GRAMS, "g/dL", UnitVerdict.CONVERT),
        ("G/L ", TO_GRAMS, "g/dL", UnitVerdict.MISMATCH),
        ("g/dL", TO_GRAMS, "g/dL", UnitVerdict.AS_IS),
        ("", TO_GRAMS, "g/dL", UnitVerdict.MISMATCH),
        ("mg/L", TO_GRAMS, "g/dL", UnitVerdict.MISMATCH),
        ("g/L", TO_GRAMS, "g/L", UnitVerdict.MISMATCH),
        ("mEq/L", UnitRule("mEq/L", Decimal(1), "mmol/L"), "mmol/L", UnitVerdict.AS_IS),
        ("mEq/L", UnitRule("mEq/L", Decimal(1), ""), "mmol/L", UnitVerdict.MISMATCH),
    ],
)
def test_a_number_counts_only_in_a_unit_that_is_known(sent, rule, unit, verdict):
    assert judged_unit(sent, rule, unit) is verdict
