from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.einvoice import (
    gstin_check_character,
    has_valid_check_character,
    is_gstin_shaped,
    precompute_irn,
)
from domain.gst_masters import STATES, UNIT_CODES, gst_rates, is_pin_of_state
from tests.contract.einvoice.documents import bill_of_supply, invoice

ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"


def test_irn_hashes_gstin_year_type_and_number():
    irn = precompute_irn("27AAPFU0939F1ZV", date(2026, 3, 31), "INV", "LAB/26-27/0001")
    assert irn == "ff9e01fd629aa65d442720617023ca9e772e7803e63b59198a1d0079f759d5ba"


def test_financial_year_changes_on_1_april():
    last, first = (precompute_irn("27AAPFU0939F1ZV", day, "INV", "A1") for day in (date(2026, 3, 31), date(2026, 4, 1)))
    assert last != first


def test_types_with_the_same_number_differ():
    assert len({precompute_irn("27AAPFU0939F1ZV", date(2026, 5, 1), kind, "A1") for kind in ("INV", "CRN", "DBN")}) == 3


@given(st.text(alphabet=ALPHABET + "abcxyz-/", min_size=1, max_size=16))
def test_irn_is_deterministic_and_folds_case(number):
    day = date(2026, 6, 1)
    irn = precompute_irn("27AAPFU0939F1ZV", day, "INV", number)
    assert irn == precompute_irn("27AAPFU0939F1ZV", day, "INV", number.swapcase().upper())
    assert len(irn) == 64
    assert irn == irn.lower()


def test_document_knows_its_irn():
    document = invoice()
    assert document.irn == precompute_irn(document.supplier.gstin, document.document_date, "INV", "B1-2627-000123")


def test_bill_of_supply_has_no_irn():
    with pytest.raises(ValueError, match="no IRN"):
        _ = bill_of_supply().irn


@pytest.mark.parametrize("gstin", ["27AAPFU0939F1ZV", "29AAGCB4824Q1Z2"])
def test_check_character_of_published_gstins(gstin):
    assert has_valid_check_character(gstin)


@given(st.text(alphabet=ALPHABET, min_size=12, max_size=12), st.integers(0, 13), st.sampled_from(ALPHABET))
def test_any_single_wrong_character_is_noticed(middle, place, other):
    first = "29" + middle
    good = first + gstin_check_character(first)
    bad = good[:place] + other + good[place + 1 :]
    assert is_gstin_shaped(good)
    assert has_valid_check_character(good)
    if bad != good:
        assert not has_valid_check_character(bad)


@pytest.mark.parametrize("text", ["", "27AAPFU0939F1", "27aapfu0939f1z", "٢٧AAPFU0939F1Z", "27AAPFU0939F1Zé"])
def test_check_character_refuses_anything_else(text):
    with pytest.raises(ValueError, match="fourteen"):
        gstin_check_character(text)
    assert not is_gstin_shaped(text)


def test_masters_hold_together():
    assert len(UNIT_CODES) == 45
    assert "25" not in STATES
    assert all(len(code) == 2 for code in STATES)


@pytest.mark.parametrize(
    ("pin", "state", "belongs"),
    [
        (560001, "29", True),
        (591999, "29", True),
        (592000, "29", False),
        (559999, "29", False),
        (400001, "29", False),
        (110001, "07", True),
        (500055, "36", True),
        (510000, "36", False),
        (999999, "96", True),
        (560001, "96", False),
        (999999, "97", True),
        (999999, "29", False),
        (560001, "25", False),
    ],
)
def test_pin_codes_belong_to_states(pin, state, belongs):
    assert is_pin_of_state(pin, state) is belongs


def test_forty_percent_came_with_the_2025_reform():
    assert 40 not in gst_rates(date(2025, 9, 21))
    assert {0, 5, 12, 18, 28, 40} <= gst_rates(date(2025, 9, 22))
    assert 9 not in gst_rates(date(2025, 9, 22))
