"""Silence in working hours, and what a device's numbers hint at."""

from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from domain.clock import IST
from domain.working_hours import WorkingHours
from rules.device_watch import DeviceNumbers, Hint, LinkNumbers, hints_of, is_silent, silent_minutes

HOURS = WorkingHours.parse("mon-sat 08:00-20:00")
MONDAY = datetime(2026, 11, 23, 10, tzinfo=IST)
QUIET = DeviceNumbers(heard_from_at=MONDAY - timedelta(minutes=10), silent_after_minutes=60)


def test_a_device_that_spoke_is_not_silent():
    assert hints_of(QUIET, HOURS, MONDAY) == []


def test_silence_in_working_hours_is_told():
    late = replace(QUIET, heard_from_at=MONDAY - timedelta(minutes=60))
    assert is_silent(late, HOURS, MONDAY)
    assert hints_of(late, HOURS, MONDAY) == [Hint.SILENT]


def test_the_night_is_not_counted():
    evening = replace(QUIET, heard_from_at=datetime(2026, 11, 21, 19, 50, tzinfo=IST))
    opening = datetime(2026, 11, 23, 8, 30, tzinfo=IST)
    assert silent_minutes(evening, HOURS, opening) == 40
    assert not is_silent(evening, HOURS, opening)


def test_nobody_is_told_at_night():
    late = replace(QUIET, heard_from_at=MONDAY - timedelta(days=3))
    assert not is_silent(late, HOURS, datetime(2026, 11, 23, 23, tzinfo=IST))


def test_a_device_without_a_limit_is_never_silent():
    assert not is_silent(replace(QUIET, silent_after_minutes=None, heard_from_at=MONDAY - timedelta(9)), HOURS, MONDAY)


@pytest.mark.parametrize(
    ("numbers", "hint"),
    [
        ({"messages_hour": 5, "repeats_hour": 3}, Hint.RETRANSMITS),
        ({"messages_hour": 4, "errors_hour": 3}, Hint.REFUSED),
        ({"query_p95_ms": 6000}, Hint.SLOW_ANSWERS),
        ({"open_exceptions": 1}, Hint.EXCEPTIONS),
        ({"holds_a_line": True}, Hint.NOT_CONNECTED),
        ({"links": [LinkNumbers(4, 0, 0, 0)], "holds_a_line": True}, Hint.RECEIVE_ONLY),
    ],
)
def test_what_the_numbers_hint_at(numbers, hint):
    assert hints_of(replace(QUIET, **numbers), HOURS, MONDAY) == [hint]


def test_single_accidents_hint_at_nothing():
    numbers = replace(
        QUIET, messages_hour=50, repeats_hour=3, errors_hour=2, query_p95_ms=80, links=[LinkNumbers(9, 9, 1, 1)]
    )
    assert hints_of(numbers, HOURS, MONDAY) == []
