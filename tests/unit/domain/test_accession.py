from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.accession import LENGTH, MAX_SERIAL, accession_no, damm_check_digit, is_accession_no

DAYS = st.dates(min_value=date(2000, 1, 1), max_value=date(2099, 12, 31))
SERIALS = st.integers(min_value=1, max_value=MAX_SERIAL)


def test_damms_own_example():
    assert damm_check_digit("572") == 4
    assert damm_check_digit("5724") == 0


@pytest.mark.parametrize("digits", ["", "12a", "१२३", "1 2", "²"])
def test_only_ascii_digits_have_a_check_digit(digits):
    with pytest.raises(ValueError, match="ASCII"):
        damm_check_digit(digits)


def test_number_of_a_day():
    number = accession_no(date(2026, 11, 23), 42)
    assert number.startswith("26112300042")
    assert len(number) == LENGTH
    assert is_accession_no(number)


@pytest.mark.parametrize("serial", [0, -1, MAX_SERIAL + 1])
def test_serial_must_fit(serial):
    with pytest.raises(ValueError, match="serial"):
        accession_no(date(2026, 1, 1), serial)


def test_year_must_fit():
    with pytest.raises(ValueError, match="year"):
        accession_no(date(1999, 12, 31), 1)


@given(DAYS, SERIALS)
def test_every_number_is_well_formed(day, serial):
    assert is_accession_no(accession_no(day, serial))


@given(DAYS, SERIALS, st.integers(0, LENGTH - 1), st.integers(1, 9))
def test_one_wrong_digit_is_found(day, serial, position, shift):
    number = accession_no(day, serial)
    digit = str((int(number[position]) + shift) % 10)
    assert not is_accession_no(number[:position] + digit + number[position + 1 :])


@given(DAYS, SERIALS, st.integers(0, LENGTH - 2))
def test_swapped_neighbours_are_found(day, serial, position):
    number = accession_no(day, serial)
    swapped = number[:position] + number[position + 1] + number[position] + number[position + 2 :]
    assert is_accession_no(swapped) == (swapped == number)


@pytest.mark.parametrize("body", ["26130100042", "26023000042", "26010100000"])
def test_impossible_day_or_serial_is_no_number_even_with_a_right_check_digit(body):
    assert not is_accession_no(f"{body}{damm_check_digit(body)}")


@pytest.mark.parametrize("text", ["", "26112300042", "2611230004212", "26112300042x", "२६११२३०००४२१"])
def test_other_texts_are_no_numbers(text):
    assert not is_accession_no(text)
