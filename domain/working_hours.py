"""When the laboratory works, written as `mon-sat 08:00-20:00, sun 09:00-13:00`, in India's time.

An analyzer that says nothing at night is not silent: only minutes in which the laboratory is open count.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Final

from domain.clock import IST

DAYS: Final = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
MAX_DAYS_BACK: Final = 60
"""Farther back nobody counts minutes: such a device is silent however the hours are."""

_SHIFT: Final = re.compile(r"(\w{3})(?:-(\w{3}))? (\d\d):(\d\d)-(\d\d):(\d\d)")
_DAY_MINUTES: Final = 24 * 60


@dataclass(frozen=True)
class Shift:
    """One stretch of work, the same on several days.

    Attributes:
        days: 0 for Monday to 6 for Sunday.
        opens: Minute of the day.
        closes: Minute of the day, after `opens`; 1440 is midnight.
    """

    days: frozenset[int]
    opens: int
    closes: int


@dataclass(frozen=True)
class WorkingHours:
    """All shifts of a week."""

    shifts: tuple[Shift, ...]

    @classmethod
    def parse(cls, text: str) -> WorkingHours:
        """Read hours as the settings write them.

        Raises:
            ValueError: They are not written so.
        """
        return cls(tuple(_shift(part.strip().lower()) for part in text.split(",")))

    def is_open(self, at: datetime) -> bool:
        """Tell whether the laboratory works at an instant."""
        local = at.astimezone(IST)
        minute = local.hour * 60 + local.minute
        return any(opens <= minute < closes for opens, closes in self._stretches(local.date()))

    def open_minutes(self, since: datetime, until: datetime) -> int:
        """Return the whole minutes between two instants in which the laboratory worked.

        What lies more than MAX_DAYS_BACK days before `until` is not counted.
        """
        start = max(since, until - timedelta(days=MAX_DAYS_BACK)).astimezone(IST)
        end = until.astimezone(IST)
        seconds = 0.0
        day = start.date()
        while day <= end.date():
            midnight = datetime(day.year, day.month, day.day, tzinfo=IST)
            for opens, closes in self._stretches(day):
                begun = max(start, midnight + timedelta(minutes=opens))
                ended = min(end, midnight + timedelta(minutes=closes))
                seconds += max((ended - begun).total_seconds(), 0.0)
            day += timedelta(days=1)
        return int(seconds // 60)

    def _stretches(self, day: date) -> list[tuple[int, int]]:
        """Return the day's stretches in order; where two overlap they are one."""
        found: list[tuple[int, int]] = []
        for shift in sorted(self.shifts, key=lambda shift: shift.opens):
            if day.weekday() not in shift.days:
                continue
            if found and shift.opens <= found[-1][1]:
                found[-1] = (found[-1][0], max(found[-1][1], shift.closes))
            else:
                found.append((shift.opens, shift.closes))
        return found


def _shift(text: str) -> Shift:
    match = _SHIFT.fullmatch(text)
    if match is None or match[1] not in DAYS or (match[2] or match[1]) not in DAYS:
        raise ValueError("working hours are written like `mon-sat 08:00-20:00, sun 09:00-13:00`")
    first, last = DAYS.index(match[1]), DAYS.index(match[2] or match[1])
    opens, closes = int(match[3]) * 60 + int(match[4]), int(match[5]) * 60 + int(match[6])
    if not 0 <= opens < closes <= _DAY_MINUTES:
        raise ValueError("working hours end after they begin, at 24:00 at the latest; split a night at midnight")
    span = (last - first) % len(DAYS)
    return Shift(frozenset((first + step) % len(DAYS) for step in range(span + 1)), opens, closes)
