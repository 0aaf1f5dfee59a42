"""The only place that reads the clock, and the lab's calendar (IST)."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta, timezone

IST = timezone(timedelta(hours=5, minutes=30), "IST")
"""Indian Standard Time: one offset, no daylight saving."""


def utc_now() -> datetime:
    """Return the current time, aware, in UTC."""
    return datetime.now(UTC)  # noqa: TID251  this is the one place


def lab_day(moment: datetime | None = None) -> date:
    """Return the lab's calendar day (IST) of `moment`, by default of now."""
    return (moment or utc_now()).astimezone(IST).date()


def financial_year(day: date) -> str:
    """Return the Indian financial year of `day` as `2026-27`; it starts on 1 April."""
    start = day.year if (day.month, day.day) >= (4, 1) else day.year - 1
    return f"{start}-{(start + 1) % 100:02d}"


def on_paper(moment: datetime) -> str:
    """Return `moment` as printed for people: `23-11-2026 14:05` in IST."""
    return moment.astimezone(IST).strftime("%d-%m-%Y %H:%M")


def parse_instant(text: str) -> datetime:
    """Parse an ISO 8601 instant; a value without offset is taken as UTC.

    Raises:
        ValueError: `text` is not ISO 8601, or outside the years that exist in UTC.
    """
    moment = datetime.fromisoformat(text)
    try:
        return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    except OverflowError as error:
        raise ValueError(f"no instant: {text}") from error
