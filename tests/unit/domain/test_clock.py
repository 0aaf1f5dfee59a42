from datetime import UTC, date, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.clock import IST, financial_year, lab_day, on_paper, parse_instant, utc_now


def test_now_is_aware_and_in_utc():
    assert utc_now().utcoffset() == timedelta(0)


@pytest.mark.parametrize(
    ("moment", "day"),
    [
        (datetime(2026, 11, 22, 18, 29, 59, tzinfo=UTC), date(2026, 11, 22)),
        (datetime(2026, 11, 22, 18, 30, tzinfo=UTC), date(2026, 11, 23)),
        (datetime(2026, 11, 23, 0, 0, tzinfo=IST), date(2026, 11, 23)),
    ],
)
def test_a_lab_day_begins_at_midnight_in_india(moment, day):
    assert lab_day(moment) == day


def test_today_is_a_lab_day():
    assert lab_day() in {lab_day(utc_now()), lab_day(utc_now() - timedelta(minutes=1))}


@pytest.mark.parametrize(
    ("day", "year"),
    [
        (date(2026, 3, 31), "2025-26"), (date(2026, 4, 1), "2026-27"), (date(2027, 1, 1), "2026-27"),
        (date(2099, 4, 1), "2099-00"),
    ],
)  # fmt: skip
def test_financial_years_begin_in_april(day, year):
    assert financial_year(day) == year


def test_people_read_indian_time():
    assert on_paper(datetime(2026, 11, 23, 8, 35, tzinfo=UTC)) == "23-11-2026 14:05"


@pytest.mark.parametrize(
    "text", ["2026-11-23T08:35:00Z", "2026-11-23T14:05:00+05:30", "2026-11-23T08:35:00", "20261123T083500Z"]
)
def test_instants_are_read_into_utc(text):
    moment = parse_instant(text)
    assert (moment, moment.utcoffset()) == (datetime(2026, 11, 23, 8, 35, tzinfo=UTC), timedelta(0))


@pytest.mark.parametrize("text", ["", "yesterday", "2026-13-01", "0001-01-01T00:00:00+14:00", "23-11-2026"])
def test_what_is_no_instant(text):
    with pytest.raises(ValueError, match=r".+"):
        parse_instant(text)


@given(st.datetimes(min_value=datetime(1900, 1, 1), max_value=datetime(2200, 1, 1)), st.integers(-720, 840))  # noqa: DTZ001
def test_an_instant_survives_its_text(naive, minutes):
    moment = naive.replace(tzinfo=timezone(timedelta(minutes=minutes)))
    assert parse_instant(moment.isoformat()) == moment
