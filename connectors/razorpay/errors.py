"""Razorpay's refusals in our error tree.

Razorpay's `error.code` is nearly always BAD_REQUEST_ERROR; only the description tells refusals apart. The table below
gives each documented description that somebody must act on a stable name, which becomes `partner_code`.

Source: razorpay.com/docs, "Errors" sections of Payment Links, Payments and Refunds, read 2026-11-22.
"""

from __future__ import annotations

from datetime import timedelta

import httpx
from pydantic import BaseModel, ConfigDict, ValidationError

from connectors.answers import quoted
from domain.errors import AuthError, ConnectorError, RejectedError, RequestError, UnavailableError

REFERENCE_EXISTS = "REFERENCE_EXISTS"
NOT_FOUND = "NOT_FOUND"
LINK_ALREADY_PAID = "LINK_ALREADY_PAID"
LINK_ALREADY_CLOSED = "LINK_ALREADY_CLOSED"
REFUND_TOO_LARGE = "REFUND_TOO_LARGE"
ALREADY_REFUNDED = "ALREADY_REFUNDED"
REFUND_TOO_LATE = "REFUND_TOO_LATE"
IDEMPOTENCY_CLASH = "IDEMPOTENCY_CLASH"
IN_PROGRESS = "IN_PROGRESS"

_IN_PROGRESS_RETRY = timedelta(seconds=5)

_BY_DESCRIPTION: tuple[tuple[str, str, type[ConnectorError]], ...] = (
    ("reference id already attempted", REFERENCE_EXISTS, RejectedError),
    ("id provided does not exist", NOT_FOUND, RejectedError),
    ("invalid input [", NOT_FOUND, RejectedError),
    ("is not a valid id", NOT_FOUND, RejectedError),
    ("already paid/partially paid link", LINK_ALREADY_PAID, RejectedError),
    ("cancel or expire an expired link", LINK_ALREADY_CLOSED, RejectedError),
    ("greater than amount captured", REFUND_TOO_LARGE, RejectedError),
    ("fully refunded already", ALREADY_REFUNDED, RejectedError),
    ("more than 6 months old", REFUND_TOO_LATE, RejectedError),
    ("different request with the same idempotency key", IDEMPOTENCY_CLASH, RejectedError),
    ("idempotency key is still in progress", IN_PROGRESS, UnavailableError),
    # the customer's one-time password, not our key
    ("authentication failed due to", "CUSTOMER_NOT_AUTHENTICATED", RejectedError),
    # documented as 400 on some endpoints
    ("authentication failed", "AUTHENTICATION_FAILED", AuthError),
    ("api key provided is invalid", "AUTHENTICATION_FAILED", AuthError),
    ("merchant is suspended", "ACCOUNT_SUSPENDED", AuthError),
    ("live mode is disabled", "LIVE_MODE_DISABLED", AuthError),
    ("must be at least inr 1.00", "AMOUNT_TOO_SMALL", RequestError),
    ("exceeds maximum amount allowed", "AMOUNT_TOO_LARGE", RequestError),
    ("15 minutes in future", "EXPIRY_TOO_SOON", RequestError),
    ("wrong input fields sent", "WRONG_FIELDS", RequestError),
    ("should not be sent", "WRONG_FIELDS", RequestError),
    ("is required", "FIELD_MISSING", RequestError),
)
"""(words of the description in lower case, our name for it, class); first match wins."""


class _ErrorDetail(BaseModel):
    model_config = ConfigDict(extra="ignore")

    code: str | None = None
    description: str | None = None
    reason: str | None = None


class _ErrorBody(BaseModel):
    model_config = ConfigDict(extra="ignore")

    error: _ErrorDetail


def explained(response: httpx.Response) -> ConnectorError | None:
    """Return what a refusal means, or None where only its status speaks (401, 429, 5xx, no readable body)."""
    if response.status_code >= httpx.codes.INTERNAL_SERVER_ERROR or response.status_code in _BY_STATUS:
        return None
    try:
        detail = _ErrorBody.model_validate_json(response.content).error
    except ValidationError:
        return None
    description = detail.description or ""
    lowered = description.lower()
    known = next(((name, kind) for words, name, kind in _BY_DESCRIPTION if words in lowered), None)
    # anything else, documented or not: understood and refused, never repeated
    name, kind = known or (_own_code(detail, response.status_code), RejectedError)
    return kind(
        f"razorpay refused: {quoted(description) or name}",
        partner_code=name,
        retry_after=_IN_PROGRESS_RETRY if name == IN_PROGRESS else None,
    )


_BY_STATUS = frozenset({401, 403, 429})


def _own_code(detail: _ErrorDetail, status: int) -> str:
    """Return the most telling of Razorpay's own codes; `NA` and null mean nothing."""
    for candidate in (detail.reason, detail.code):
        if candidate and candidate != "NA":
            return quoted(candidate)
    return str(status)
