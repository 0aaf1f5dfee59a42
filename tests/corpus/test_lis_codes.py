"""The catalogue's LOINC codes, units and published values against the public lists."""

import csv
import os
from decimal import Decimal
from pathlib import Path

import pytest

from domain.catalogue import has_valid_loinc_check_digit
from domain.units import UCUM_DISPLAY
from store.catalogue_file import load_catalogue

LIS = Path(os.environ.get("LABSETU_CORPUS", Path(__file__).parents[2] / ".." / "shared" / "data")) / "lis"

pytestmark = [
    pytest.mark.corpus,
    pytest.mark.skipif(not (LIS / "lab_test_codes.csv").exists(), reason="no public code lists under LABSETU_CORPUS"),
]


def rows(name):
    with (LIS / name).open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_every_listed_code_has_a_valid_check_digit():
    codes = [row["loinc"] for row in rows("lab_test_codes.csv")]
    assert len(codes) > 100
    assert all(has_valid_loinc_check_digit(code) for code in codes)


def test_the_catalogue_uses_verified_codes_with_their_units():
    listed = {row["loinc"]: row for row in rows("lab_test_codes.csv")}
    for test in load_catalogue().tests:
        if test.loinc:
            row = listed[test.loinc]
            assert not row["confidence"].startswith("C"), test.code
            assert test.unit == row["ucum"], test.code


def test_listed_units_are_allowed():
    assert {row["ucum"] for row in rows("lab_test_codes.csv") if row["ucum"]} <= set(UCUM_DISPLAY)


def test_critical_limits_are_the_cited_ones():
    names = {"FBS": "GLU", "PPBS": "GLU"}
    published = rows("critical_values_published.csv")
    for test in load_catalogue().tests:
        cited = test.critical_source.split(",", maxsplit=1)[0].split(" ")[0]
        matching = [
            row for row in published if row["test"] == names.get(test.code, test.code) and cited in row["source"]
        ]
        for side, limit in (("critical_low", test.critical_low), ("critical_high", test.critical_high)):
            if limit is not None:
                assert limit in {Decimal(row[side]) for row in matching if row[side]}, (test.code, side)


def test_intervals_with_a_study_are_the_published_ones():
    published = rows("reference_intervals_published.csv")
    checked = 0
    for test in load_catalogue().tests:
        for interval in test.reference_intervals:
            if interval.source == "example":
                continue
            ranges = {
                (Decimal(row["low"]), Decimal(row["high"]))
                for row in published
                if row["test"] == test.code and row["high"]
            }
            assert (interval.low, interval.high) in ranges, test.code
            checked += 1
    assert checked >= 6
