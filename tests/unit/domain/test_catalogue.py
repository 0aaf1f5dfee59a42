"""Lookups, printed intervals and LOINC check digits."""

from decimal import Decimal

import pytest

from domain.catalogue import Catalogue, ReferenceInterval, has_valid_loinc_check_digit
from domain.errors import NotFoundError
from store.catalogue_file import load_catalogue


@pytest.fixture(scope="module")
def catalogue() -> Catalogue:
    return load_catalogue()


def test_lookups(catalogue):
    assert catalogue.test("K").unit == "mmol/L"
    assert catalogue.panel("CBC").test_codes[0] == "HGB"
    with pytest.raises(NotFoundError):
        catalogue.test("CBC")
    with pytest.raises(NotFoundError):
        catalogue.panel("K")


def test_expanding_gives_each_test_once_in_order(catalogue):
    codes = [test.code for test in catalogue.expand(["ELEC", "K", "KFT"])]
    assert codes == ["SOD", "K", "CL", "HCO3", "UREA", "CREA", "UA"]
    with pytest.raises(NotFoundError):
        catalogue.expand(["K", "NOPE"])


@pytest.mark.parametrize(
    ("low", "high", "text", "printed"),
    [
        ("12", "15.5", "", "12.0 – 15.5"),
        (None, "5", "", "up to 5.0"),
        ("60", None, "", "from 60.0"),
        ("3.55", "5.1", "", "3.55 – 5.1"),
        (None, "5", "below 5", "below 5"),
        (None, None, "", ""),
    ],
)
def test_printed_interval(low, high, text, printed):
    interval = ReferenceInterval(
        low=Decimal(low) if low else None,
        high=Decimal(high) if high else None,
        text=text,
    )
    assert interval.printed(1) == printed


@pytest.mark.parametrize("code", ["718-7", "789-8", "2951-2", "98979-8", "58410-2"])
def test_loinc_check_digit(code):
    assert has_valid_loinc_check_digit(code)
    body, _, check = code.partition("-")
    assert not any(has_valid_loinc_check_digit(f"{body}-{digit}") for digit in range(10) if str(digit) != check)


@pytest.mark.parametrize("text", ["", "-", "718", "718-", "-7", "718-77", "７18-7", "abc-1", "12345678-1"])
def test_not_a_loinc_code(text):
    assert not has_valid_loinc_check_digit(text)
