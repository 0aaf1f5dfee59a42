"""A result text is read exactly or not at all, and never lost."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.errors import RuleError
from domain.results import Comparator, ResultKind
from rules.result_values import MAX_RESULT_CHARS, parse_result

NUMERIC = ResultKind.NUMERIC


@pytest.mark.parametrize(
    ("text", "comparator", "number"),
    [
        ("5.40", "", "5.40"),
        (" 13 ", "", "13"),
        ("<0.01", "<", "0.01"),
        ("> 90", ">", "90"),
        ("<=5", "<=", "5"),
        ("≥ 600", ">=", "600"),
        ("-2.5", "", "-2.5"),
        ("1.2E+03", "", "1200"),
        ("0.1", "", "0.1"),
    ],
)
def test_numbers_are_exact(text, comparator, number):
    value = parse_result(text, NUMERIC)
    assert (value.text, value.kind, value.comparator) == (text, NUMERIC, Comparator(comparator))
    assert value.number == Decimal(number)


def test_trailing_zeros_survive():
    assert str(parse_result("5.40", NUMERIC).number) == "5.40"


@pytest.mark.parametrize(
    "text",
    [
        "1,5",
        "1,234",
        "1.234,5",
        "1,50,000",
        "१२",
        "NaN",
        "inf",
        "--",
        "*****",
        "1.2.3",
        "0x1F",
        "1e999",
        "12 mg",
        "<>5",
        "1_000",
        "+5",
        "5.",
        ".5",
        "1+",
        "Negative",
    ],
)
def test_what_is_not_plainly_a_number_stays_words(text):
    value = parse_result(text, NUMERIC)
    assert (value.text, value.kind, value.number) == (text, ResultKind.TEXT, None)


def test_a_number_of_endless_digits_stays_words():
    assert parse_result("9" * 40, NUMERIC).number is None


def test_decimal_comma_only_when_the_device_says_so():
    assert parse_result("1,5", NUMERIC, decimal_comma=True).number == Decimal("1.5")
    assert parse_result("1.5", NUMERIC, decimal_comma=True).number is None
    assert parse_result("1.234,5", NUMERIC, decimal_comma=True).number is None


@pytest.mark.parametrize(
    ("text", "comparator", "number"),
    [("1:80", "", 80), ("1 : 160", "", 160), ("<1:20", "<", 20), ("1/320", "", 320), (">1:640", ">", 640)],
)
def test_titres_keep_their_reciprocal(text, comparator, number):
    value = parse_result(text, ResultKind.TITRE)
    assert (value.kind, value.comparator, value.number) == (ResultKind.TITRE, Comparator(comparator), Decimal(number))


@pytest.mark.parametrize("text", ["80", "2:80", "1:0", "Negative", "1:"])
def test_not_a_titre(text):
    assert parse_result(text, ResultKind.TITRE).kind is ResultKind.TEXT


def test_words_are_not_read_as_numbers():
    assert parse_result("1.2", ResultKind.TEXT).number is None
    assert parse_result("Trace", ResultKind.CODED).kind is ResultKind.CODED


@pytest.mark.parametrize("kind", list(ResultKind))
def test_bounds(kind):
    with pytest.raises(RuleError, match="at most"):
        parse_result("1" * (MAX_RESULT_CHARS + 1), kind)
    with pytest.raises(RuleError, match="empty"):
        parse_result("   ", kind)


@given(text=st.text(min_size=1, max_size=60), kind=st.sampled_from(list(ResultKind)), comma=st.booleans())
def test_no_text_is_lost_and_none_crashes(text, kind, comma):
    if not text.strip():
        return
    assert parse_result(text, kind, decimal_comma=comma).text == text


@given(st.decimals(allow_nan=False, allow_infinity=False, min_value=-(10**9), max_value=10**9, places=4))
def test_every_decimal_is_read_back_exactly(number):
    assert parse_result(f"{number:f}", NUMERIC).number == number
