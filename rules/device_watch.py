"""What the numbers of a device mean: is it silent, does it hear our answers, is it refused?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final

from domain.working_hours import WorkingHours

MANY_REPEATS: Final = 3
"""Repetitions within an hour from which they are no accident."""
MANY_ERRORS: Final = 3
SLOW_ANSWER_MS: Final = 5_000
"""Analyzers give up on an answer within seconds. Source: cobas infinity host interface (15 s), read in specs."""


class Hint(StrEnum):
    """What a person should look at."""

    SILENT = "silent"
    """Nothing came for longer than it should have in working hours."""
    NOT_CONNECTED = "not_connected"
    RETRANSMITS = "retransmits"
    """It sends the same again and again: our acknowledgements do not arrive, or it does not accept them."""
    RECEIVE_ONLY = "receive_only"
    """It sends and gets no positive answer: a cable without the way back, or messages that are refused."""
    REFUSED = "refused"
    """Much of what it sends breaks the link protocol or cannot be read."""
    SLOW_ANSWERS = "slow_answers"
    """It waits too long for its work."""
    EXCEPTIONS = "exceptions"
    """Something of its messages waits for a person."""


@dataclass(frozen=True)
class LinkNumbers:
    """Counts of one open connection since it was opened."""

    received: int
    acknowledged: int
    refused: int
    broken: int


@dataclass(frozen=True)
class DeviceNumbers:
    """What was counted of one device; `*_hour` in the last hour.

    Attributes:
        heard_from_at: The last message, or when the device was entered, if it never sent one.
        silent_after_minutes: None: its silence is never told.
        holds_a_line: Its transport is one that stays connected.
    """

    heard_from_at: datetime
    silent_after_minutes: int | None
    messages_hour: int = 0
    errors_hour: int = 0
    repeats_hour: int = 0
    open_exceptions: int = 0
    query_p95_ms: int | None = None
    holds_a_line: bool = False
    links: Sequence[LinkNumbers] = ()


def silent_minutes(numbers: DeviceNumbers, hours: WorkingHours, now: datetime) -> int:
    """Return for how many working minutes nothing came."""
    return hours.open_minutes(numbers.heard_from_at, now)


def is_silent(numbers: DeviceNumbers, hours: WorkingHours, now: datetime) -> bool:
    """Tell whether somebody should be told of a device's silence: only while the laboratory works."""
    limit = numbers.silent_after_minutes
    return limit is not None and hours.is_open(now) and silent_minutes(numbers, hours, now) >= limit


def hints_of(numbers: DeviceNumbers, hours: WorkingHours, now: datetime) -> list[Hint]:
    """Return what a person should look at, most urgent first."""
    received = sum(link.received for link in numbers.links)
    acknowledged = sum(link.acknowledged for link in numbers.links)
    holds = {
        Hint.SILENT: is_silent(numbers, hours, now),
        Hint.NOT_CONNECTED: numbers.holds_a_line and not numbers.links and hours.is_open(now),
        Hint.RETRANSMITS: numbers.repeats_hour >= MANY_REPEATS and numbers.repeats_hour * 2 >= numbers.messages_hour,
        Hint.RECEIVE_ONLY: received >= MANY_REPEATS and acknowledged == 0,
        Hint.REFUSED: numbers.errors_hour >= MANY_ERRORS and numbers.errors_hour * 2 >= numbers.messages_hour,
        Hint.SLOW_ANSWERS: (numbers.query_p95_ms or 0) >= SLOW_ANSWER_MS,
        Hint.EXCEPTIONS: numbers.open_exceptions > 0,
    }
    return [hint for hint, is_so in holds.items() if is_so]
