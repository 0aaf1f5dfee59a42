"""Meta's error codes in our error tree. The code decides, not the HTTP status: the same code comes with several.

Source: developers.facebook.com, WhatsApp Cloud API "Error codes", updated 2026-05-15, read 2026-11-22.
"""

from __future__ import annotations

from datetime import timedelta

import httpx
from pydantic import BaseModel, ConfigDict, ValidationError

from connectors.answers import quoted
from domain.errors import AuthError, ConnectorError, RateLimitedError, RejectedError, RequestError, UnavailableError

NOT_ON_WHATSAPP = "131026"
TEMPLATE_MISSING = "132001"
IDENTITY_CHANGED = "137000"
"""The person behind the number may have changed: do not resend, verify the contact first."""

TRY_ANOTHER_CHANNEL = frozenset({NOT_ON_WHATSAPP, "130472", "131047", "131049", "131050", "132015", "132016"})
"""Refusals that concern this recipient or template on this channel only."""

_KINDS: dict[int, type[ConnectorError]] = {
    0: AuthError,  # the token could not be used
    190: AuthError,  # token expired or revoked
    3: AuthError,  # capability or permission
    10: AuthError,  # permission not granted or removed
    131005: AuthError,  # access denied
    131031: AuthError,  # account locked
    368: AuthError,  # blocked for policy violations
    130497: AuthError,  # account restricted in this country
    131042: AuthError,  # payment method problem: nothing is sent until billing is settled
    131045: AuthError,  # number not registered, certificate
    133010: AuthError,  # number not registered
    131048: AuthError,  # spam restriction on the number: pause the channel
    131064: AuthError,  # messaging limit cut for misclassified templates: pause the channel
    4: RateLimitedError,  # calls of the app
    80007: RateLimitedError,  # calls of the business account
    130429: RateLimitedError,  # throughput of the number
    131056: RateLimitedError,  # too many messages to this recipient
    1: UnavailableError,  # unknown API error
    2: UnavailableError,  # service down
    131000: UnavailableError,  # something went wrong
    131016: UnavailableError,  # service unavailable
    131057: UnavailableError,  # account in maintenance
    133004: UnavailableError,  # server temporarily unavailable
    33: RequestError,  # no such phone number id
    100: RequestError,  # invalid parameter
    131008: RequestError,  # required parameter missing
    131009: RequestError,  # parameter value invalid
    131051: RequestError,  # unsupported message type
    132000: RequestError,  # number of template parameters
    132005: RequestError,  # template text too long
    132008: RequestError,  # template parameter value
    132012: RequestError,  # template parameter format
}
"""Everything else is a refusal of this message: RejectedError with the code, so that the caller falls back."""

_PERMISSION_CODES = range(200, 300)
_PAUSE = "Stop sending by WhatsApp and look at the number's quality in WhatsApp Manager; other channels go on."
_ACTIONS = {
    368: "Read the policy notice in WhatsApp Manager; other channels go on.",
    131031: "Read the policy notice in WhatsApp Manager; other channels go on.",
    130497: "Read the policy notice in WhatsApp Manager; other channels go on.",
    131042: "Settle the payment method in WhatsApp Manager.",
    131045: "Register the number again in WhatsApp Manager.",
    133010: "Register the number again in WhatsApp Manager.",
    131048: _PAUSE,
    131064: _PAUSE,
}
_BACK_OFF = {
    4: timedelta(minutes=1),
    80007: timedelta(minutes=5),
    130429: timedelta(seconds=5),
    # about one message per six seconds and person
    131056: timedelta(seconds=15),
    131057: timedelta(minutes=2),
}


class _ErrorDetail(BaseModel):
    model_config = ConfigDict(extra="ignore")

    code: int
    message: str = ""
    fbtrace_id: str = ""


class _ErrorBody(BaseModel):
    model_config = ConfigDict(extra="ignore")

    error: _ErrorDetail


def explained(response: httpx.Response) -> ConnectorError | None:
    """Return what a refusal means, or None where only its status speaks."""
    try:
        detail = _ErrorBody.model_validate_json(response.content).error
    except ValidationError:
        return None
    kind = AuthError if detail.code in _PERMISSION_CODES else _KINDS.get(detail.code, RejectedError)
    if response.status_code >= httpx.codes.INTERNAL_SERVER_ERROR and kind is not AuthError:
        # a failure on their side says nothing about whether the message went out
        return None
    retry_after = _BACK_OFF.get(detail.code)
    if "retry-after" in response.headers:
        retry_after = None
    return kind(
        f"whatsapp refused ({detail.code}): {quoted(detail.message)}",
        partner_code=str(detail.code),
        action=_ACTIONS.get(detail.code, ""),
        request_id=quoted(detail.fbtrace_id),
        retry_after=retry_after,
    )
