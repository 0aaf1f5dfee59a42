"""Flags results against reference intervals and critical limits, always on the unrounded value.

Intervals are closed: a value equal to a limit is normal. Critical limits are closed too, on the other side: a value
equal to a critical limit is critical, so that a published "<= 7" and "< 7" both call a person.
Source: ISO 15189:2022, 7.4.1.6 h and l (intervals and critical results are shown); the limits are the laboratory's own.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date
from decimal import ROUND_HALF_UP, Context, Decimal, localcontext
from itertools import pairwise

from domain.catalogue import ReferenceInterval, SexScope
from domain.enums import Sex
from domain.errors import RuleError
from domain.results import Comparator, ResultFlag, ResultKind, ResultValue

RULES_VERSION = "flags-1"
"""Stored with every flag; raised whenever the same input could give another flag."""

_EXACT = Context(prec=400, rounding=ROUND_HALF_UP)
"""Enough digits for the middle between any two readable results."""


def age_in_days(born_on: date, on: date) -> int:
    """Return the age in whole days on the day of collection.

    Raises:
        RuleError: `on` is before birth.
    """
    days = (on - born_on).days
    if days < 0:
        raise RuleError("the sample is older than the patient", code="AGE_NEGATIVE", action="Correct the birth date.")
    return days


def find_interval(
    intervals: Iterable[ReferenceInterval], *, sex: Sex, age_days: int | None
) -> ReferenceInterval | None:
    """Return the interval for a person, the one for their sex before the one for everybody.

    A person of unknown age gets an interval only if it covers every age; one of other or unknown sex only one for
    everybody. Where none fits, None: nothing is flagged normal by guessing.
    """
    scopes = {Sex.MALE: SexScope.MALE, Sex.FEMALE: SexScope.FEMALE}
    fitting = [item for item in intervals if (item.covers_every_age if age_days is None else item.covers_age(age_days))]
    own = next((item for item in fitting if item.sex is scopes.get(sex)), None)
    return own or next((item for item in fitting if item.sex is SexScope.ANY), None)


def flag(
    value: ResultValue,
    interval: ReferenceInterval | None,
    critical_low: Decimal | None = None,
    critical_high: Decimal | None = None,
) -> ResultFlag:
    """Return how `value` stands to `interval` and to the critical limits.

    A censored value (`<0.01`) stands for every value it may hide. If all of those have the same flag, that is its flag;
    if some are critical, it is critical; otherwise it is abnormal, for a person to judge. A lower limit of zero is none
    at all here, because what is measured cannot be negative then.
    """
    if value.number is None:
        return _flag_words(value, interval)
    low = interval.low if interval else None
    high = interval.high if interval else None
    has_interval = low is not None or high is not None
    if value.is_censored and low == 0:
        low = None
    limits = (critical_low, low, high, critical_high)
    found = {_flag_number(number, limits) for number in _hidden_values(value.comparator, value.number, limits)}
    result = _worst_case(found, value.comparator)
    return ResultFlag.NOT_APPLICABLE if result is ResultFlag.NORMAL and not has_interval else result


def printed_value(
    value: ResultValue,
    decimals: int,
    interval: ReferenceInterval | None,
    critical_low: Decimal | None = None,
    critical_high: Decimal | None = None,
) -> str:
    """Return the result as printed: rounded half up, unless the rounded number would contradict the flag.

    13.04 above a limit of 13.0 is flagged high; printed as `13.0 H` it would look like an error, so it stays `13.04`.
    """
    if value.kind is not ResultKind.NUMERIC or value.number is None:
        return value.text.strip()
    with localcontext(_EXACT):
        shown = value.number.quantize(Decimal(1).scaleb(-decimals)) + 0  # plus zero turns -0.0 into 0.0
    short = ResultValue(value.text, value.kind, value.comparator, shown)
    limits = (critical_low, critical_high)
    number = shown if flag(short, interval, *limits) is flag(value, interval, *limits) else value.number
    return f"{value.comparator}{number:f}"


_Limits = tuple[Decimal | None, Decimal | None, Decimal | None, Decimal | None]
"""Critical low, low, high, critical high."""


def _flag_words(value: ResultValue, interval: ReferenceInterval | None) -> ResultFlag:
    if interval is None or not interval.normal:
        return ResultFlag.NOT_APPLICABLE
    said = " ".join(value.text.split()).casefold()
    return ResultFlag.NORMAL if said in {answer.casefold() for answer in interval.normal} else ResultFlag.ABNORMAL


def _flag_number(number: Decimal, limits: _Limits) -> ResultFlag:
    critical_low, low, high, critical_high = limits
    if critical_low is not None and number <= critical_low:
        return ResultFlag.CRITICAL_LOW
    if critical_high is not None and number >= critical_high:
        return ResultFlag.CRITICAL_HIGH
    if low is not None and number < low:
        return ResultFlag.LOW
    if high is not None and number > high:
        return ResultFlag.HIGH
    return ResultFlag.NORMAL


def _hidden_values(comparator: Comparator, bound: Decimal, limits: _Limits) -> list[Decimal]:
    """Return values that together meet every flag that the censored value may have."""
    if comparator is Comparator.EXACT:
        return [bound]
    below = comparator in {Comparator.LESS, Comparator.LESS_OR_EQUAL}
    corners = sorted(limit for limit in limits if limit is not None and (limit < bound if below else limit > bound))
    edges = [*corners, bound] if below else [bound, *corners]
    with localcontext(_EXACT):
        between = [(left + right) / 2 for left, right in pairwise(edges)]
        beyond = edges[0] - 1 if below else edges[-1] + 1
    closed = [bound] if comparator in {Comparator.LESS_OR_EQUAL, Comparator.GREATER_OR_EQUAL} else []
    return [*corners, *between, beyond, *closed]


def _worst_case(found: set[ResultFlag], comparator: Comparator) -> ResultFlag:
    if len(found) == 1:
        return next(iter(found))
    order = [ResultFlag.CRITICAL_LOW, ResultFlag.CRITICAL_HIGH]
    if comparator in {Comparator.GREATER, Comparator.GREATER_OR_EQUAL}:
        order.reverse()
    return next((critical for critical in order if critical in found), ResultFlag.ABNORMAL)
