from decimal import Decimal
from itertools import pairwise

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from domain.money import formatted, paise_from_rupees, percent_of, rupees, split_by_weight

AMOUNTS = st.integers(min_value=-(10**13), max_value=10**13)
WEIGHTS = st.lists(st.integers(min_value=0, max_value=10**9), min_size=1, max_size=40)


@given(AMOUNTS)
def test_rupees_and_back(amount):
    assert paise_from_rupees(rupees(amount)) == amount
    assert paise_from_rupees(str(rupees(amount))) == amount


@pytest.mark.parametrize(
    ("text", "amount"),
    [("450", 45_000), ("0.005", 1), ("0.0049", 0), ("-0.005", -1), ("1e3", 100_000), (" 12.30 ", 1_230), ("१२", 1_200)],
)
def test_rupees_are_rounded_half_up(text, amount):
    assert paise_from_rupees(text) == amount


@pytest.mark.parametrize("text", ["", "abc", "NaN", "Infinity", "-inf", "1,000", "₹5", "1e400", "9" * 60])
def test_what_is_no_amount(text):
    with pytest.raises(ValueError, match="not an amount"):
        paise_from_rupees(text)


@given(AMOUNTS, WEIGHTS)
def test_a_split_adds_up(total, weights):
    assume(sum(weights) > 0)
    assert sum(split_by_weight(total, weights)) == total


@given(st.integers(min_value=0, max_value=10**13), WEIGHTS)
def test_a_part_is_within_a_paisa_of_its_share(total, weights):
    assume(sum(weights) > 0)
    whole = sum(weights)
    for part, weight in zip(split_by_weight(total, weights), weights, strict=True):
        assert total * weight // whole <= part <= -(-total * weight // whole)


@given(st.integers(min_value=0, max_value=10**13), WEIGHTS)
def test_a_heavier_part_never_gets_less(total, weights):
    assume(sum(weights) > 0)
    pairs = sorted(zip(weights, split_by_weight(total, weights), strict=True))
    assert all(light <= heavy for (a, light), (b, heavy) in pairwise(pairs) if a < b)


@given(AMOUNTS, st.integers(min_value=1, max_value=20))
def test_equal_weights_differ_by_a_paisa_at_most(total, count):
    parts = split_by_weight(total, [7] * count)
    assert max(parts) - min(parts) <= 1


def test_no_weight_no_money():
    assert split_by_weight(100, [0, 1, 0]) == [0, 100, 0]


@pytest.mark.parametrize("weights", [[], [0], [0, 0], [-1, 2], [2, -1], [-1, -1]])
def test_weights_that_split_nothing(weights):
    with pytest.raises(ValueError, match="weights"):
        split_by_weight(100, weights)


@pytest.mark.parametrize(
    ("amount", "rate", "tax"),
    [(100, "18", 18), (99, "18", 18), (97, "18", 17), (25, "2", 1), (24, "2", 0), (0, "5", 0)],
)
def test_percentages_are_rounded_half_up(amount, rate, tax):
    assert percent_of(amount, Decimal(rate)) == tax


@given(AMOUNTS, st.decimals(min_value=0, max_value=28, places=2))
def test_a_percentage_is_within_half_a_paisa(amount, rate):
    assert abs(percent_of(amount, rate) - amount * rate / 100) <= Decimal("0.5")


@pytest.mark.parametrize(
    ("amount", "text"),
    [
        (0, "₹ 0.00"), (5, "₹ 0.05"), (99_999, "₹ 999.99"), (100_000, "₹ 1,000.00"), (10_000_000, "₹ 1,00,000.00"),
        (123_456_750, "₹ 12,34,567.50"), (12_345_678_901, "₹ 12,34,56,789.01"), (-100_000, "-₹ 1,000.00"),
    ],
)  # fmt: skip
def test_amounts_are_printed_the_indian_way(amount, text):
    assert formatted(amount) == text


@given(AMOUNTS)
def test_a_printed_amount_says_the_amount(amount):
    assert paise_from_rupees(formatted(amount).replace("₹ ", "").replace(",", "")) == amount
