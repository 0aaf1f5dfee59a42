"""Twilio's error codes in our error tree.

Source: twilio.com/docs/api/errors, read 2026-11-22. The keys of the error body (`code`, `message`, `more_info`,
`status`) are read defensively: without a code the HTTP status decides.
"""

from __future__ import annotations

import httpx
from pydantic import BaseModel, ConfigDict, ValidationError

from connectors.answers import quoted
from domain.errors import AuthError, ConnectorError, RateLimitedError, RejectedError, RequestError

OPTED_OUT = "21610"
NOT_A_MOBILE = "21614"

_KINDS: dict[int, type[ConnectorError]] = {
    20003: AuthError,  # authenticate
    20005: AuthError,  # account not active
    20429: RateLimitedError,  # too many requests
    21602: RequestError,  # body required
    21603: RequestError,  # sender required
    21604: RequestError,  # recipient required
    21606: RequestError,  # sender cannot send SMS
    21617: RequestError,  # body too long
    21901: RequestError,  # DLT template id
    21211: RejectedError,  # invalid recipient
    21608: RejectedError,  # trial account: recipient not verified
    21610: RejectedError,  # recipient opted out
    21612: RejectedError,  # recipient cannot be reached from this sender
    21614: RejectedError,  # landline, or no mobile number in India
}
"""Everything else is a refusal of this message: RejectedError with the code."""


class _ErrorBody(BaseModel):
    model_config = ConfigDict(extra="ignore")

    code: int
    message: str = ""


def explained(response: httpx.Response) -> ConnectorError | None:
    """Return what a refusal means, or None where only its status speaks."""
    if response.status_code >= httpx.codes.INTERNAL_SERVER_ERROR:
        return None
    try:
        body = _ErrorBody.model_validate_json(response.content)
    except ValidationError:
        return None
    if body.code not in _KINDS and response.status_code in _BY_STATUS:
        return None
    kind = _KINDS.get(body.code, RejectedError)
    return kind(f"sms refused ({body.code}): {quoted(body.message)}", partner_code=str(body.code))


_BY_STATUS = frozenset({401, 403, 429})
