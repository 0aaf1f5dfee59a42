"""Collecting money through a payment gateway: links, payments, refunds. Amounts are whole paise.

A gateway reports the same fact several times and in any order, so every state has a rank and moves only upwards
(`advanced`). Ranks encode what is legal at gateways: a failed payment may still be authorised later when the bank
answers late, and a paid link never becomes unpaid.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from domain.enums import RefundState


class PaymentLinkState(StrEnum):
    """Where the collection of one bill through one link stands."""

    PENDING = "pending"
    """Nothing captured yet; also what an unknown gateway status is read as, because it triggers nothing."""
    PARTIALLY_PAID = "partially_paid"
    PAID = "paid"
    EXPIRED = "expired"
    CANCELLED = "cancelled"
    LATE_PAID = "late_paid"
    """Expired or cancelled, yet the whole amount was captured afterwards: apply it or refund it."""

    @property
    def rank(self) -> int:
        """Return the order of progress; a state with a lower rank never replaces a higher one."""
        return _LINK_RANK[self]

    @property
    def is_open(self) -> bool:
        """Return True while the customer can still pay."""
        return self in (PaymentLinkState.PENDING, PaymentLinkState.PARTIALLY_PAID)

    @property
    def is_paid(self) -> bool:
        """Return True when the whole amount was captured, in time or late."""
        return self in (PaymentLinkState.PAID, PaymentLinkState.LATE_PAID)

    def advanced(self, reported: PaymentLinkState) -> PaymentLinkState:
        """Return the state after the gateway reported `reported`."""
        return reported if reported.rank > self.rank else self


class PaymentState(StrEnum):
    """Where one payment attempt stands."""

    CREATED = "created"
    FAILED = "failed"
    """Not final: a bank may answer late and turn it into authorised."""
    AUTHORIZED = "authorized"
    CAPTURED = "captured"
    REFUNDED = "refunded"
    """Captured, and the whole amount given back since."""

    @property
    def rank(self) -> int:
        """Return the order of progress; a state with a lower rank never replaces a higher one."""
        return _PAYMENT_RANK[self]

    def advanced(self, reported: PaymentState) -> PaymentState:
        """Return the state after the gateway reported `reported`."""
        return reported if reported.rank > self.rank else self


_LINK_RANK = {
    PaymentLinkState.PENDING: 0,
    PaymentLinkState.PARTIALLY_PAID: 1,
    PaymentLinkState.EXPIRED: 2,
    PaymentLinkState.CANCELLED: 2,
    PaymentLinkState.PAID: 3,
    PaymentLinkState.LATE_PAID: 3,
}
_PAYMENT_RANK = {state: rank for rank, state in enumerate(PaymentState)}
_REFUND_RANK = {
    RefundState.REQUESTED: 0,
    RefundState.PENDING: 1,
    RefundState.PROCESSED: 2,
    # a processed refund can still bounce off a closed account
    RefundState.FAILED: 3,
}


def advanced_refund(known: RefundState, reported: RefundState) -> RefundState:
    """Return the state of a refund known as `known` after the gateway reported `reported`."""
    return reported if _REFUND_RANK[reported] > _REFUND_RANK[known] else known


@dataclass(frozen=True)
class PaymentLinkRequest:
    """What the gateway is asked to collect. What identifies the customer stays out of its repr.

    Attributes:
        reference: Our invoice number, unique per link at the gateway; it protects against a second link.
        amount_paise: The whole amount due.
        description: Shown to the customer while paying; names no test and no result.
        customer_phone: E.164, or "".
        expires_at: Aware UTC; None leaves it to the gateway.
        notify_by_partner: True lets the gateway send SMS and e-mail itself.
        callback_url: Where the browser goes after paying, or "".
    """

    reference: str
    amount_paise: int
    description: str
    customer_name: str = field(default="", repr=False)
    customer_phone: str = field(default="", repr=False)
    customer_email: str = field(default="", repr=False)
    expires_at: datetime | None = None
    notify_by_partner: bool = False
    callback_url: str = ""


@dataclass(frozen=True)
class CapturedPayment:
    """One payment at the gateway.

    Attributes:
        payment_id: The gateway's id; the ledger is unique on it, because one payment raises several events.
        method: The gateway's word for it (`upi`, `card`, …).
        amount_refunded_paise: Given back so far, whoever asked for it.
        reference: Our reference found in the payment's notes, or "".
    """

    payment_id: str
    amount_paise: int
    method: str
    state: PaymentState
    amount_refunded_paise: int = 0
    reference: str = ""


@dataclass(frozen=True)
class PaymentLink:
    """A payment link as the gateway holds it now.

    Attributes:
        amount_paid_paise: Captured so far.
        short_url: What is sent to the customer.
        payments: In the gateway's order; empty until something was captured.
        expires_at: Aware UTC, or None when the gateway names none.
    """

    link_id: str
    reference: str
    state: PaymentLinkState
    amount_paise: int
    amount_paid_paise: int
    short_url: str
    payments: tuple[CapturedPayment, ...] = ()
    expires_at: datetime | None = None


@dataclass(frozen=True)
class Refund:
    """Money on its way back.

    Attributes:
        reference: Our reference given with the refund, or ""; it tells our refunds from those made by hand.
    """

    refund_id: str
    payment_id: str
    amount_paise: int
    state: RefundState
    reference: str = ""
