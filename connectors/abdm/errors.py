"""What the gateway's refusals mean. One table; the code alone is not enough because several codes have two meanings.

Source: ABDM error list of 21 Sep 2026 ("Sandbox2.0 M2 and M3 API review v2") and the error shapes recorded in
"Integration learnings", catalogue 2026.09.16.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from datetime import timedelta

from connectors.redact import masked_digits
from domain.errors import (
    AuthError,
    ConnectorError,
    RateLimitedError,
    RejectedError,
    RequestError,
    UnavailableError,
)
from domain.health_records import AnswerOutcome

_CODE = re.compile(r"ABDM-\d{4}|\d{3,6}")
_MAX_MESSAGE = 200

_TRANSIENT = frozenset(
    f"ABDM-{number}"
    for number in (1000, 1007, 1011, 1018, 1019, 1020, 1024, 1028, 1029, 1033, 1034, 1048, 1201, 1206, 1401, 1402, 9999)
)
_SLOW_DOWN = frozenset({"ABDM-1022", "ABDM-2429"})
_BLOCKED = "ABDM-1027"
_ONBOARDING = frozenset({"900908", "ABDM-1025", "ABDM-1035", "ABDM-1040", "ABDM-1042", "ABDM-2403"})
_DUPLICATE = frozenset(f"ABDM-{number}" for number in (1087, *range(1090, 1096), *range(1103, 1109), 1113))
"""Per-call codes for a replay; 1094 and 1108 have a second meaning, so the text must say "duplicate" too."""
_LINK_TOKEN = frozenset({"ABDM-1026", "ABDM-1038"})
_LINK_TOKEN_BY_TEXT = frozenset({"ABDM-1062", "ABDM-1063"})
"""Also consent codes; about the link token only when the text names it."""
_CLOCK = frozenset({"ABDM-1016", "ABDM-2402"})

BLOCKED_FOR = timedelta(hours=24)
SLOW_DOWN_FOR = timedelta(minutes=2)
NOT_SUBSCRIBED_ACTION = (
    "The client id may be valid but not subscribed to this API product (gateway code 900908): ask NHA to subscribe it."
)


@dataclass(frozen=True)
class Failure:
    """A refusal in one shape.

    Attributes:
        code: `ABDM-1234`, an API gateway number, or "".
        message: The gateway's words, shortened and without long digit runs; "" where it gave none.
    """

    code: str = ""
    message: str = ""


def failure_of(code: object, message: object) -> Failure:
    """Return code and message normalised: the gateway writes codes with a trailing colon and blanks too."""
    text = str(code if code is not None else "").strip().rstrip(":").strip()
    words = message if isinstance(message, str) else ""
    return Failure(text if _CODE.fullmatch(text) else "", masked_digits(" ".join(words.split())[:_MAX_MESSAGE]))


def read_failure(body: bytes) -> Failure:
    """Return what an error body says, in whichever of the gateway's shapes it is written.

    Known shapes: `{"error": {code, message}}`, a top-level array of `{code, message}`, flat `{code, message}`,
    `{message}`, one field name with a text, Spring's `{"error": "text"}`, plain text or HTML, and nothing at all.
    """
    try:
        parsed = json.loads(body)
    except (ValueError, RecursionError):
        return Failure()
    if isinstance(parsed, list):
        parsed = parsed[0] if parsed else {}
    if not isinstance(parsed, dict):
        return Failure()
    inner = parsed.get("error")
    if isinstance(inner, dict):
        parsed = inner
    elif isinstance(inner, str):
        return failure_of("", inner)
    if "code" in parsed or "message" in parsed:
        return failure_of(parsed.get("code"), parsed.get("message") or parsed.get("description"))
    fields = [(name, text) for name, text in parsed.items() if name != "timestamp" and isinstance(text, str)]
    return failure_of("", f"{fields[0][0]}: {fields[0][1]}" if fields else "")


def outcome_of(failure: Failure) -> AnswerOutcome:
    """Return what a refusal means for the step that asked."""
    code, words = failure.code, failure.message.lower()
    if _is_already_done(code, words):
        return AnswerOutcome.ALREADY_DONE
    if code == "ABDM-1006" and "no care context linked" in words:
        return AnswerOutcome.NOT_LINKED_YET
    if code in _LINK_TOKEN or (code in _LINK_TOKEN_BY_TEXT and "link token" in words):
        return AnswerOutcome.TOKEN_INVALID
    table = (
        (code in _ONBOARDING, AnswerOutcome.ONBOARDING),
        (code == _BLOCKED, AnswerOutcome.BLOCKED),
        (code in _SLOW_DOWN, AnswerOutcome.SLOW_DOWN),
        (code in _TRANSIENT and "user not found" not in words, AnswerOutcome.TRY_LATER),
    )
    return next((outcome for applies, outcome in table if applies), AnswerOutcome.REFUSED)


def _is_already_done(code: str, words: str) -> bool:
    if code == "ABDM-1056":
        return "already linked" in words
    if code == "ABDM-1064":
        return "already exists" in words
    return code in _DUPLICATE and "duplicate" in words


def error_of(failure: Failure, *, operation: str, request_id: str, status: int) -> ConnectorError:
    """Return the error to raise for a refusal that is not "already done"."""
    said = f": {failure.message}" if failure.message else ""
    error: ConnectorError
    match outcome_of(failure):
        case AnswerOutcome.TRY_LATER:
            error = UnavailableError(f"abdm cannot process this now{said}", code="ABDM_TRANSIENT")
        case AnswerOutcome.SLOW_DOWN:
            error = RateLimitedError(f"abdm asks to slow down{said}", retry_after=SLOW_DOWN_FOR)
        case AnswerOutcome.BLOCKED:
            error = RateLimitedError(
                "abdm blocks this patient for 24 hours after failed matches", code="ABHA_BLOCKED",
                action="Compare name, gender and year of birth with the ABHA card before the next try.",
                retry_after=BLOCKED_FOR,
            )  # fmt: skip
        case AnswerOutcome.ONBOARDING:
            error = RequestError(
                f"abdm does not know this facility or client{said}", code="ABDM_NOT_ONBOARDED",
                action="Check facility id and consent manager in the settings, and the linkage in the registry.",
            )  # fmt: skip
        case AnswerOutcome.NOT_LINKED_YET:
            error = RejectedError(
                "abdm has not committed the link yet", code="CARE_CONTEXT_NOT_LINKED_YET",
                action="Nothing: the notice is repeated with a fresh request id.",
            )  # fmt: skip
        case AnswerOutcome.TOKEN_INVALID:
            error = RejectedError(
                f"abdm refuses the link token{said}", code="LINK_TOKEN_INVALID",
                action="Nothing: a new link token is asked for.",
            )  # fmt: skip
        case _:
            error = _refused(failure, status, said)
    error.connector, error.operation = "abdm", operation
    error.partner_code, error.request_id = failure.code or str(status), request_id
    return error


def _refused(failure: Failure, status: int, said: str) -> ConnectorError:
    if failure.code in _CLOCK:
        return RequestError(
            f"abdm refuses our time stamp{said}", code="ABDM_CLOCK",
            action="Set this machine's clock by NTP: the gateway accepts 1 minute behind to 9 minutes ahead.",
        )  # fmt: skip
    if not failure.code:
        # An empty 400 is how the gateway answers a body it cannot read, such as an ABHA number with dashes.
        return RequestError(f"abdm finds the request malformed ({status}){said}", code="ABDM_REQUEST_MALFORMED")
    return RejectedError(f"abdm refused{said}")


def not_subscribed(refused: AuthError) -> AuthError:
    """Return the error for a 403 to a token just given out: the credentials work, the subscription is missing."""
    return AuthError(
        refused.message, code="ABDM_NOT_SUBSCRIBED", action=NOT_SUBSCRIBED_ACTION,
        connector="abdm", operation=refused.operation, partner_code=refused.partner_code,
    )  # fmt: skip
