"""Which payments go back, and how much of each."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rules.settlement import Captured, to_give_back

CASH, LINK = Captured("R-1", 10_000), Captured("pay_1", 45_000)


@pytest.mark.parametrize(
    ("payments", "balance", "is_reversed", "under_way", "expected"),
    [
        ([LINK], 0, False, 0, {}),
        ([LINK], 0, True, 0, {"pay_1": 45_000}),
        ([CASH, LINK], -10_000, False, 0, {"R-1": 10_000}),
        ([LINK, Captured("R-2", 45_000)], -45_000, False, 0, {"R-2": 45_000}),
        ([LINK], -5_000, False, 0, {"pay_1": 5_000}),
        ([CASH, LINK], -55_000, False, 45_000, {"R-1": 10_000}),
        ([Captured("pay_1", 45_000, has_refund=True)], 0, True, 0, {}),
        ([Captured("pay_1", 45_000, has_refund=True)], -45_000, False, 45_000, {}),
        ([], -1_000, False, 0, {}),
    ],
)
def test_what_goes_back(
    payments: list[Captured], balance: int, is_reversed: bool, under_way: int, expected: dict[str, int]
):
    found = to_give_back(payments, balance_paise=balance, is_reversed=is_reversed, under_way_paise=under_way)
    assert found == expected


@given(st.lists(st.integers(1, 10**7), max_size=6), st.integers(0, 10**7))
def test_a_bill_in_force_never_gives_back_more_than_its_surplus(amounts: list[int], total: int):
    payments = [Captured(f"p{number}", amount) for number, amount in enumerate(amounts)]
    surplus = max(0, sum(amounts) - total)
    shares = to_give_back(payments, balance_paise=total - sum(amounts), is_reversed=False)
    assert sum(shares.values()) == min(surplus, sum(amounts))
    assert all(0 < share <= amounts[int(name[1:])] for name, share in shares.items())
