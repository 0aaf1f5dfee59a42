"""The one error tree. Its shape is the retry policy.

LabError                     code, message, action, context
├─ RuleError                 a lab rule refuses                    never retried; API 422
│   ├─ NotFoundError         404
│   ├─ ConflictError         409
│   └─ NotPermittedError     403
├─ ConnectorError            something went wrong with a partner
│   ├─ RequestError          nothing was sent: our data or settings are wrong
│   ├─ AuthError             credentials or certificate refused
│   ├─ RejectedError         understood and refused
│   ├─ RateLimitedError      slow down; retried at `retry_after`
│   ├─ UnavailableError      not reached or not processed; retried with back-off
│   └─ OutcomeUnknownError   may have been processed: look up first, then decide
├─ FrameError                instrument bytes that break the link protocol
└─ MessageError              an instrument or partner message that cannot be understood
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import ClassVar


class LabError(Exception):
    """Base of every error this project raises on purpose.

    Attributes:
        code: Stable SCREAMING_SNAKE code; `docs/errors.md` has an entry for each.
        message: What happened, in words fit for a person, without patient data.
        action: What a person should do about it.
        context: Ids only (order number, connector name, …).
    """

    default_code: ClassVar[str] = "LAB_ERROR"
    default_action: ClassVar[str] = "Read the message; if it does not help, ask the operator."

    def __init__(
        self,
        message: str,
        *,
        code: str = "",
        action: str = "",
        context: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.code = code or self.default_code
        self.message = message
        self.action = action or self.default_action
        self.context = dict(context or {})


class RuleError(LabError):
    """A rule of the lab refuses what was asked; asking again changes nothing."""

    default_code = "RULE_REFUSED"
    default_action = "Correct the request."


class NotFoundError(RuleError):
    """The thing named does not exist, or is not visible to the caller."""

    default_code = "NOT_FOUND"
    default_action = "Check the number."


class ConflictError(RuleError):
    """The thing exists but is in a state that does not allow this."""

    default_code = "CONFLICT"
    default_action = "Reload and look at the current state."


class NotPermittedError(RuleError):
    """The caller may not do this."""

    default_code = "NOT_PERMITTED"
    default_action = "Ask somebody with the role for it."


class ConnectorError(LabError):
    """A call to a partner did not end well.

    Attributes:
        connector: Folder name of the connector, e.g. `razorpay`.
        operation: Method name, e.g. `create_payment_link`.
        partner_code: The partner's own error code, or `""`.
        request_id: The id that finds the call in the partner's logs, or `""`.
        retry_after: When the partner said to come back, or None.
    """

    default_code = "CONNECTOR_ERROR"
    retryable: ClassVar[bool] = False

    def __init__(
        self,
        message: str,
        *,
        code: str = "",
        action: str = "",
        context: Mapping[str, str] | None = None,
        connector: str = "",
        operation: str = "",
        partner_code: str = "",
        request_id: str = "",
        retry_after: timedelta | None = None,
    ) -> None:
        super().__init__(message, code=code, action=action, context=context)
        self.connector = connector
        self.operation = operation
        self.partner_code = partner_code
        self.request_id = request_id
        self.retry_after = retry_after


class RequestError(ConnectorError):
    """Nothing was sent, or the partner says our request is malformed."""

    default_code = "PARTNER_REQUEST_INVALID"
    default_action = "Correct the data or the connector's settings, then retry the step."


class AuthError(ConnectorError):
    """The partner refuses our credentials, or a caller could not prove who it is."""

    default_code = "PARTNER_AUTH_REFUSED"
    default_action = "Check the connector's credentials (`labsetu doctor`), then retry the step."


class RejectedError(ConnectorError):
    """The partner understood and refused; `partner_code` says why."""

    default_code = "PARTNER_REJECTED"
    default_action = "Read the partner's reason; correct and retry, or answer the step by hand."


class RateLimitedError(ConnectorError):
    """The partner asks to slow down."""

    default_code = "PARTNER_RATE_LIMITED"
    default_action = "Nothing: it is retried by itself."
    retryable = True


class UnavailableError(ConnectorError):
    """The partner was not reached, or did not process the call."""

    default_code = "PARTNER_UNAVAILABLE"
    default_action = "Nothing: it is retried by itself until the partner is back."
    retryable = True


class OutcomeUnknownError(ConnectorError):
    """The call may have been processed. Retryable only because every activity looks up before it repeats."""

    default_code = "PARTNER_OUTCOME_UNKNOWN"
    default_action = "Nothing: the outcome is looked up before anything is repeated."
    retryable = True


class FrameError(LabError):
    """Bytes from an instrument that break the link protocol."""

    default_code = "FRAME_INVALID"
    default_action = "The bytes are kept; check the cable, the port and the device profile."


class MessageError(LabError):
    """A message from outside that cannot be understood or exceeds a bound."""

    default_code = "MESSAGE_INVALID"
    default_action = "The message is kept; open it in the message list and correct the device's mapping."
