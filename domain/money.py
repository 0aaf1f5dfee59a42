"""Money is whole paise (`int`); rupees appear only on the wire and on paper."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import ROUND_HALF_UP, Decimal, InvalidOperation
from typing import NewType

Paise = NewType("Paise", int)
"""An amount in paise, 1/100 rupee."""


def rupees(amount_paise: int) -> Decimal:
    """Return the amount in rupees with two decimals, exact."""
    return Decimal(amount_paise).scaleb(-2).quantize(Decimal("0.01"))


def paise_from_rupees(amount: Decimal | str) -> Paise:
    """Return whole paise of a decimal rupee amount, half up.

    Raises:
        ValueError: `amount` is not a finite number.
    """
    try:
        value = Decimal(amount)
        if not value.is_finite():
            raise ValueError(f"not an amount: {amount}")
        return Paise(int((value * 100).quantize(Decimal(1), rounding=ROUND_HALF_UP)))
    except InvalidOperation as error:  # no number, or one with more digits than any amount has
        raise ValueError(f"not an amount: {str(amount)[:40]}") from error


def percent_of(amount_paise: int, rate_percent: Decimal) -> Paise:
    """Return `rate_percent` of the amount, rounded half up to whole paise."""
    return Paise(int((Decimal(amount_paise) * rate_percent / 100).quantize(Decimal(1), rounding=ROUND_HALF_UP)))


def split_by_weight(total_paise: int, weights: Sequence[int]) -> list[Paise]:
    """Split an amount in proportion to `weights`, by largest remainder: the parts add up exactly.

    Raises:
        ValueError: No weights, a negative one, or all zero.
    """
    whole = sum(weights)
    if not weights or whole <= 0 or min(weights) < 0:
        raise ValueError("weights must be non-negative with a positive sum")
    shares = [divmod(total_paise * weight, whole) for weight in weights]
    parts = [share for share, _ in shares]
    by_remainder = sorted(range(len(shares)), key=lambda index: (-shares[index][1], index))
    for index in by_remainder[: total_paise - sum(parts)]:
        parts[index] += 1
    return [Paise(part) for part in parts]


def formatted(amount_paise: int) -> str:
    """Return the amount as printed in India: `₹ 12,34,567.50`."""
    sign = "-" if amount_paise < 0 else ""
    whole, cents = divmod(abs(amount_paise), 100)
    digits = str(whole)
    head, tail = digits[:-3], digits[-3:]
    groups: list[str] = []
    while head:
        groups.insert(0, head[-2:])
        head = head[:-2]
    return f"{sign}₹ {','.join([*groups, tail])}.{cents:02d}"
