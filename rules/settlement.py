"""Which captured payments are given back, and how much of each. Amounts are whole paise."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Captured:
    """One payment that was booked to an invoice.

    Attributes:
        amount_paise: As captured, positive.
        has_refund: A refund of it exists, in whatever state.
    """

    payment_ref: str
    amount_paise: int
    has_refund: bool = False


def to_give_back(
    payments: Sequence[Captured], *, balance_paise: int, is_reversed: bool, under_way_paise: int = 0
) -> dict[str, int]:
    """Return the paise to give back by payment.

    A reversed invoice keeps nothing. Otherwise what was paid beyond the bill goes back, as whole payments where they
    fit: a payment is given back once, and one of which a part went back could not be returned later. The latest comes
    first: it is the one that should not have been made.

    Args:
        payments: Oldest first.
        balance_paise: What is owed on the invoice; negative is owed to the payer.
        is_reversed: The invoice is taken back, or about to be.
        under_way_paise: Refunds that are asked for and not booked yet.
    """
    free = [payment for payment in payments if not payment.has_refund]
    if is_reversed:
        return {payment.payment_ref: payment.amount_paise for payment in free}
    surplus = -balance_paise - under_way_paise
    shares: dict[str, int] = {}
    for payment in reversed(free):
        if payment.amount_paise <= surplus:
            shares[payment.payment_ref] = payment.amount_paise
            surplus -= payment.amount_paise
    rest = next((payment for payment in reversed(free) if payment.payment_ref not in shares), None)
    if surplus > 0 and rest is not None:
        shares[rest.payment_ref] = surplus
    return shares
