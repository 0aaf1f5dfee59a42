"""Flags: both sides of every boundary, censored values, and the right interval for the person."""

from datetime import date
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.catalogue import MAX_AGE_DAYS, ReferenceInterval, SexScope
from domain.enums import Sex
from domain.errors import RuleError
from domain.results import ResultFlag, ResultKind
from rules.flags import age_in_days, find_interval, flag, printed_value
from rules.result_values import parse_result

POTASSIUM = ReferenceInterval(low=Decimal("3.5"), high=Decimal("5.1"))
CRITICAL = (Decimal("2.8"), Decimal("6.2"))
RANK = [
    ResultFlag.CRITICAL_LOW,
    ResultFlag.LOW,
    ResultFlag.NORMAL,
    ResultFlag.HIGH,
    ResultFlag.CRITICAL_HIGH,
]


def number(text):
    return parse_result(text, ResultKind.NUMERIC)


def flagged(text, interval=POTASSIUM, limits=CRITICAL):
    return flag(number(text), interval, *limits).value


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2.7", "critical_low"),
        ("2.8", "critical_low"),
        ("2.80001", "low"),
        ("3.49999", "low"),
        ("3.5", "normal"),
        ("5.1", "normal"),
        ("5.10001", "high"),
        ("6.19999", "high"),
        ("6.2", "critical_high"),
        ("9", "critical_high"),
    ],
)
def test_both_sides_of_each_boundary(text, expected):
    assert flagged(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("<2.8", "critical_low"),
        ("<3.5", "critical_low"),  # may be 2.5
        (">5.1", "critical_high"),  # may be 7
        (">=6.2", "critical_high"),
        ("<4", "critical_low"),
    ],
)
def test_a_censored_value_that_may_be_critical_is_critical(text, expected):
    assert flagged(text) == expected


@pytest.mark.parametrize(
    ("text", "low", "high", "expected"),
    [
        ("<3", None, "5", "normal"),
        ("<=5", None, "5", "normal"),
        ("<5.1", None, "5", "abnormal"),
        ("<0.01", "0.4", "4.0", "low"),
        ("<0.4", "0.4", "4.0", "low"),
        ("<=0.4", "0.4", "4.0", "abnormal"),
        (">4", "0.4", "4", "high"),
        (">=4", "0.4", "4", "abnormal"),
        ("<0.01", "0", "4.0", "normal"),
        (">90", "60", None, "normal"),
    ],
)
def test_a_censored_value_is_flagged_only_when_it_is_certain(text, low, high, expected):
    interval = ReferenceInterval(low=Decimal(low) if low else None, high=Decimal(high) if high else None)
    assert flagged(text, interval, (None, None)) == expected


def test_nothing_to_compare_with():
    assert flagged("5", None, (None, None)) == "not_applicable"
    assert flagged("5", None, CRITICAL) == "not_applicable"
    assert flagged("7", None, CRITICAL) == "critical_high"
    assert flagged("5", ReferenceInterval(text="see comment"), (None, None)) == "not_applicable"
    assert flagged("haemolysed") == "not_applicable"


def test_words_are_flagged_against_the_expected_answers():
    interval = ReferenceInterval(text="Non-reactive", normal=("Non-reactive", "Negative"))
    for text, expected in [("non-REACTIVE", "normal"), ("Negative", "normal"), ("Reactive", "abnormal")]:
        assert flag(parse_result(text, ResultKind.CODED), interval).value == expected


def test_titres():
    interval = ReferenceInterval(high=Decimal(80), text="up to 1:80", normal=("Negative",))
    for text, expected in [("1:80", "normal"), ("1:160", "high"), ("<1:20", "normal"), ("Negative", "normal")]:
        assert flag(parse_result(text, ResultKind.TITRE), interval).value == expected


quantities = st.decimals(allow_nan=False, allow_infinity=False, min_value=-100, max_value=100, places=3)


@given(lower=quantities, upper=quantities, limits=st.lists(quantities, min_size=4, max_size=4, unique=True))
def test_flags_are_monotone_in_the_value(lower, upper, limits):
    lower, upper = sorted([lower, upper])
    critical_low, low, high, critical_high = sorted(limits)
    interval = ReferenceInterval(low=low, high=high)
    flags = [flag(number(f"{value:f}"), interval, critical_low, critical_high) for value in (lower, upper)]
    assert RANK.index(flags[0]) <= RANK.index(flags[1])


@given(
    bound=quantities,
    below=st.decimals(allow_nan=False, allow_infinity=False, min_value="0.001", max_value=200, places=3),
    limits=st.lists(quantities.filter(bool), min_size=4, max_size=4, unique=True),
)
def test_a_censored_value_is_never_called_normal_when_it_may_not_be(bound, below, limits):
    critical_low, low, high, critical_high = sorted(limits)
    interval = ReferenceInterval(low=low, high=high)
    censored = flag(number(f"<{bound:f}"), interval, critical_low, critical_high)
    hidden = flag(number(f"{bound - below:f}"), interval, critical_low, critical_high)
    assert censored is hidden or censored.is_abnormal
    assert censored.is_critical or not hidden.is_critical


def test_huge_and_tiny_numbers_do_not_crash():
    for text in ["<1e99", ">1e-99", "1e99", "-1e99", "1e-99"]:
        assert flagged(text)
        assert printed_value(number(text), 2, POTASSIUM, *CRITICAL)


@pytest.mark.parametrize(
    ("text", "decimals", "printed"),
    [
        ("4.25", 1, "4.3"),
        ("4.35", 1, "4.4"),
        ("5.14", 1, "5.14"),  # 5.1 would look normal beside its H
        ("3.46", 1, "3.46"),
        ("6.16", 1, "6.16"),  # 6.2 would look critical
        ("<0.010", 2, "<0.01"),
        ("haemolysed ", 1, "haemolysed"),
        ("4", 1, "4.0"),
    ],
)
def test_the_printed_number_never_contradicts_the_flag(text, decimals, printed):
    interval = POTASSIUM if text[0] != "<" else None
    assert printed_value(number(text), decimals, interval, *(CRITICAL if interval else (None, None))) == printed


def test_no_minus_zero():
    assert printed_value(number("-0.04"), 1, None) == "0.0"


CHILD = ReferenceInterval(age_to_days=6574, low=Decimal(11))
MAN = ReferenceInterval(sex=SexScope.MALE, age_from_days=6574, low=Decimal(13))
WOMAN = ReferenceInterval(sex=SexScope.FEMALE, age_from_days=6574, low=Decimal(12))
ANYONE = ReferenceInterval(low=Decimal(10))


@pytest.mark.parametrize(
    ("sex", "age_days", "expected"),
    [
        (Sex.MALE, 0, CHILD),
        (Sex.MALE, 6573, CHILD),
        (Sex.MALE, 6574, MAN),
        (Sex.FEMALE, 6574, WOMAN),
        (Sex.OTHER, 6574, None),
        (Sex.UNKNOWN, 100, CHILD),
        (Sex.MALE, None, None),
        (Sex.MALE, MAX_AGE_DAYS, None),
    ],
)
def test_the_interval_for_the_person(sex, age_days, expected):
    assert find_interval((CHILD, MAN, WOMAN), sex=sex, age_days=age_days) == expected


def test_the_specific_interval_wins():
    assert find_interval((ANYONE, MAN), sex=Sex.MALE, age_days=9000) == MAN
    assert find_interval((ANYONE, MAN), sex=Sex.OTHER, age_days=9000) == ANYONE
    assert find_interval((ANYONE, MAN), sex=Sex.MALE, age_days=None) == ANYONE


def test_age():
    assert age_in_days(date(2026, 2, 28), date(2026, 3, 1)) == 1
    assert age_in_days(date(2024, 2, 29), date(2024, 2, 29)) == 0
    with pytest.raises(RuleError):
        age_in_days(date(2026, 3, 2), date(2026, 3, 1))
