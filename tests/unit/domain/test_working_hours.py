"""Minutes in which the laboratory works."""

from datetime import datetime, timedelta

import pytest

from domain.clock import IST
from domain.working_hours import MAX_DAYS_BACK, WorkingHours

WEEK = WorkingHours.parse("mon-sat 08:00-20:00, sun 09:00-13:00")


def at(day, hour, minute=0):
    """2026-11-23 is a Monday."""
    return datetime(2026, 11, day, hour, minute, tzinfo=IST)


@pytest.mark.parametrize(
    ("instant", "expected"),
    [(at(23, 8), True), (at(23, 7, 59), False), (at(23, 20), False), (at(29, 12, 59), True), (at(29, 14), False)],
)
def test_open_or_not(instant, expected):
    assert WEEK.is_open(instant) is expected


def test_a_night_counts_nothing():
    assert WEEK.open_minutes(at(23, 19, 50), at(24, 8, 5)) == 15


def test_a_weekend_counts_its_own_hours():
    assert WEEK.open_minutes(at(28, 20), at(30, 8)) == 4 * 60


def test_overlapping_shifts_count_once():
    hours = WorkingHours.parse("mon-fri 08:00-14:00, mon-fri 13:00-20:00")
    assert hours.open_minutes(at(23, 0), at(24, 0)) == 12 * 60


def test_around_the_clock():
    hours = WorkingHours.parse("mon-sun 00:00-24:00")
    assert hours.open_minutes(at(23, 10), at(25, 10)) == 2 * 24 * 60


def test_days_may_run_over_the_end_of_the_week():
    hours = WorkingHours.parse("sat-mon 10:00-11:00")
    assert hours.open_minutes(at(23, 0), at(30, 0)) == 3 * 60


def test_counting_is_bounded():
    hours = WorkingHours.parse("mon-sun 00:00-24:00")
    assert hours.open_minutes(at(23, 0) - timedelta(days=4000), at(23, 0)) == MAX_DAYS_BACK * 24 * 60


def test_time_that_runs_backwards_counts_nothing():
    assert WEEK.open_minutes(at(24, 10), at(23, 10)) == 0


@pytest.mark.parametrize(
    "text", ["", "always", "mon 8-20", "xyz 08:00-20:00", "mon 20:00-08:00", "mon 08:00-24:30", "mon 08:00-08:00"]
)
def test_other_writings_are_refused(text):
    with pytest.raises(ValueError, match="working hours"):
        WorkingHours.parse(text)
