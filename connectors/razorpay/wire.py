"""Razorpay's JSON, as on the wire. Inbound models keep what they do not know; outbound models refuse it.

Amounts are integer paise, times are Unix seconds where 0 means "not set".
Source: razorpay.com/docs, "Payment Links", "Refunds", "Payments", entity tables, read 2026-11-22.
"""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field, field_validator

_LAST_SECOND = 32_503_680_000
"""The year 3000; a time beyond it is nonsense and would overflow."""


class _Inbound(BaseModel):
    model_config = ConfigDict(extra="allow", frozen=True)


class _Outbound(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Customer(_Outbound):
    """Who pays; used for notifications only, the hosted page no longer fills it in."""

    name: str | None = None
    email: str | None = None
    contact: str | None = None


class Notify(_Outbound):
    """Which channels Razorpay itself uses to send the link."""

    sms: bool
    email: bool


class CreatePaymentLink(_Outbound):
    """Body of `POST /v1/payment_links`."""

    amount: int
    currency: str
    accept_partial: bool
    description: str
    reference_id: str
    customer: Customer | None = None
    expire_by: int | None = None
    notify: Notify
    reminder_enable: bool
    notes: dict[str, str]
    callback_url: str | None = None
    callback_method: str | None = None


class CreateRefund(_Outbound):
    """Body of `POST /v1/payments/:id/refund`."""

    amount: int
    speed: str
    receipt: str
    notes: dict[str, str]


class LinkPayment(_Inbound):
    """A payment as listed inside a payment link."""

    payment_id: str
    amount: int
    method: str | None = None
    status: str = ""


class PaymentLinkEntity(_Inbound):
    """A payment link. `payments` is null or [] until something was captured."""

    id: str
    amount: int = Field(ge=0)
    amount_paid: int = Field(default=0, ge=0)
    status: str
    short_url: str = ""
    reference_id: str | None = None
    expire_by: int | None = Field(default=0, ge=0, le=_LAST_SECOND)
    payments: list[LinkPayment] | None = None


class PaymentLinkList(_Inbound):
    """Answer of `GET /v1/payment_links`; unlike every other list it is not called `items`."""

    payment_links: list[PaymentLinkEntity]


class _WithNotes(_Inbound):
    notes: dict[str, str] = Field(default_factory=dict)

    @field_validator("notes", mode="before")
    @classmethod
    def _notes_as_object(cls, value: object) -> object:
        """Read empty notes, which come as `[]` or null, as an object."""
        return {str(name): str(note) for name, note in value.items()} if isinstance(value, dict) else {}


class PaymentEntity(_WithNotes):
    """A payment. `captured` is not read: published samples of failed payments have it true."""

    id: str
    amount: int
    status: str
    method: str | None = None
    amount_refunded: int | None = 0


class RefundEntity(_WithNotes):
    """A refund."""

    id: str
    payment_id: str
    amount: int
    status: str
    receipt: str | None = None


class RefundList(_Inbound):
    """Answer of `GET /v1/payments/:id/refunds`."""

    items: list[RefundEntity]


class PaymentList(_Inbound):
    """Answer of `GET /v1/payments`, read for its shape only."""

    count: int
