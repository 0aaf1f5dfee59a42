"""Reads what an activity failed with, inside workflow code."""

from __future__ import annotations

from dataclasses import dataclass

from temporalio.exceptions import ActivityError, ApplicationError


@dataclass(frozen=True)
class Failure:
    """An activity's error in our words.

    Attributes:
        kind: Class name in `domain.errors`, e.g. `RejectedError`.
        code: Our code.
        partner_code: The partner's own code, or "".
    """

    kind: str
    code: str
    partner_code: str
    message: str
    action: str


def failure_of(error: ActivityError) -> Failure:
    """Return what the activity failed with."""
    cause = error.cause
    if not isinstance(cause, ApplicationError):
        return Failure(type(cause).__name__, "ACTIVITY_FAILED", "", str(cause), "")
    details = cause.details[0] if cause.details and isinstance(cause.details[0], dict) else {}
    return Failure(
        kind=cause.type or "ApplicationError",
        code=str(details.get("code", "")),
        partner_code=str(details.get("partner_code", "")),
        message=cause.message,
        action=str(details.get("action", "")),
    )


def refusal(failure: Failure) -> ApplicationError:
    """Return the error with which an update tells its caller why it was refused."""
    return ApplicationError(
        failure.message, {"code": failure.code, "action": failure.action}, type=failure.kind, non_retryable=True
    )


def refuse(code: str, message: str, action: str = "Reload the order and look at its stage.") -> ApplicationError:
    """Return a validator's or handler's own refusal."""
    return ApplicationError(message, {"code": code, "action": action}, type="ConflictError", non_retryable=True)
