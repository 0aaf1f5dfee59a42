"""What Razorpay refuses, in Razorpay's words. For the simulator only.

Source: razorpay.com/docs, request parameters and "Errors" sections of "Payment Links" and "Refunds", read 2026-11-22.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from datetime import timedelta
from typing import Any

Entity = dict[str, Any]
"""A JSON object as Razorpay sends and receives it."""

_LINK_FIELDS = frozenset(
    {
        "amount", "currency", "accept_partial", "first_min_partial_amount", "upi_link", "description", "reference_id",
        "customer", "expire_by", "notify", "notes", "callback_url", "callback_method", "reminder_enable", "options",
    }
)  # fmt: skip
_REFUND_FIELDS = frozenset({"amount", "speed", "notes", "receipt"})
_SOONEST_EXPIRY = timedelta(minutes=15)
_LATEST_EXPIRY = timedelta(days=184)
_MIN_AMOUNT = 100
_MAX_DESCRIPTION_CHARS = 2048
_MAX_REFERENCE_CHARS = 40
_MAX_NOTES = 15
_MAX_NOTE_CHARS = 255
_MIN_KEY_CHARS = 10
_KEY = re.compile(r"[A-Za-z0-9_-]*")
_CONTACT = re.compile(r"\+?[0-9]{8,15}")
_EMAIL = re.compile(r"[^@\s]+@[^@\s]+\.[^@\s]+")
_WRONG_FIELDS = "wrong input fields sent."


class Refusal(Exception):
    """An answer of 400 or above."""

    def __init__(self, description: str, *, status: int = 400, field: str | None = None) -> None:
        super().__init__(description)
        self.description, self.status, self.field = description, status, field


def check_link(body: Entity, *, is_test: bool, now: int, taken_references: Collection[str]) -> None:
    """Refuse the body of a link that Razorpay would not create.

    Raises:
        Refusal: The first thing that is wrong with it.
    """
    if "amount" not in body:
        raise Refusal("The amount is required", field="amount")
    if not _is_int(body["amount"]) or set(body) - _LINK_FIELDS:
        raise Refusal(_WRONG_FIELDS)
    if body["amount"] < _MIN_AMOUNT:
        raise Refusal("The amount must be at least INR 1.00.", field="amount")
    if body.get("upi_link"):
        _check_upi(body, is_test=is_test)
    _check_formats(body)
    if body.get("expire_by") is not None:
        _check_expiry(body["expire_by"], now)
    if body.get("reference_id") and body["reference_id"] in taken_references:
        raise Refusal("payment link creation with reference ID already attempted", field="reference_id")


def check_refund_key(key: str) -> None:
    """Refuse an idempotency key of the wrong form.

    Raises:
        Refusal: Too short, or with other characters.
    """
    if len(key) < _MIN_KEY_CHARS:
        raise Refusal("The idempotency key must be at least 10 characters long.")
    if not _KEY.fullmatch(key):
        raise Refusal("The idempotency key must only contain alphanumeric characters, underscores, and hyphens")


def refundable(payment: Entity, body: Entity) -> int:
    """Return the paise that the refund in `body` gives back; without an amount, all that is left.

    Raises:
        Refusal: Not captured, given back already, or more than is left.
    """
    if extra := sorted(set(body) - _REFUND_FIELDS):
        raise Refusal(f"{', '.join(extra)} is/are not required and should not be sent.")
    if payment["status"] == "refunded":
        raise Refusal("The payment has been fully refunded already.")
    if payment["status"] != "captured":
        raise Refusal("The payment status should be captured for action to be taken")
    left: int = payment["amount"] - payment["amount_refunded"]
    amount = body.get("amount", left)
    if not _is_int(amount) or amount < _MIN_AMOUNT:
        raise Refusal("The amount must be at least INR 1.00.", field="amount")
    if amount > left:
        raise Refusal("The refund amount provided is greater than amount captured.", field="amount")
    return int(amount)


def _check_upi(body: Entity, *, is_test: bool) -> None:
    if is_test:
        raise Refusal("UPI Payment Links is not supported in Test Mode. Please experience the product in Live Mode.")
    if body.get("currency", "INR") != "INR":
        raise Refusal("upi is currently supported only in indian currency")
    if body.get("accept_partial"):
        raise Refusal("partial payment not supported in upi link")


def _check_formats(body: Entity) -> None:
    customer, notes = body.get("customer", {}), body.get("notes") or {}
    if not isinstance(customer, dict) or not isinstance(notes, dict):
        raise Refusal(_WRONG_FIELDS)
    wrong = (
        body.get("currency", "INR") != "INR"
        or len(str(body.get("description", ""))) > _MAX_DESCRIPTION_CHARS
        or len(str(body.get("reference_id", ""))) > _MAX_REFERENCE_CHARS
        or (body.get("callback_url") and body.get("callback_method") != "get")
        or ("contact" in customer and not _CONTACT.fullmatch(str(customer["contact"])))
        or ("email" in customer and not _EMAIL.fullmatch(str(customer["email"])))
        or len(notes) > _MAX_NOTES
    )
    if wrong:
        raise Refusal(_WRONG_FIELDS)
    if any(len(str(note)) > _MAX_NOTE_CHARS for note in notes.values()):
        raise Refusal("value: the length must not be greater than 255.", field="notes")


def _check_expiry(expire_by: object, now: int) -> None:
    if not isinstance(expire_by, int) or isinstance(expire_by, bool):
        raise Refusal(_WRONG_FIELDS, field="expire_by")
    if expire_by < now + _SOONEST_EXPIRY.total_seconds():
        raise Refusal("timestamp must be atleast 15 minutes in future", field="expire_by")
    if expire_by > now + _LATEST_EXPIRY.total_seconds():
        raise Refusal(_WRONG_FIELDS, field="expire_by")


def _is_int(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)
