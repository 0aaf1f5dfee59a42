"""S3 error codes and transport failures to our errors; every operation here is safe to repeat.

A repeated put makes one more version of the same bytes, so nothing is ever "outcome unknown".
Source: Amazon S3 API Reference, "Error responses", specs.
"""

from __future__ import annotations

from minio.error import MinioException, S3Error
from urllib3.exceptions import ConnectTimeoutError, HTTPError, MaxRetryError, NewConnectionError

from connectors.answers import quoted
from domain.errors import AuthError, ConnectorError, RateLimitedError, RejectedError, RequestError, UnavailableError

NAME = "files"

_CODES: dict[str, type[ConnectorError]] = {
    "AccessDenied": AuthError,
    "InvalidAccessKeyId": AuthError,
    "SignatureDoesNotMatch": AuthError,
    "RequestTimeTooSkewed": AuthError,  # our clock is more than 15 minutes off
    "ExpiredToken": AuthError,
    "NoSuchBucket": RequestError,  # the bucket is a setting
    "InvalidBucketName": RequestError,
    "InvalidArgument": RequestError,
    "NoSuchKey": RejectedError,
    "NoSuchVersion": RejectedError,
    "MethodNotAllowed": RejectedError,  # the version asked for is a delete marker
    "EntityTooLarge": RejectedError,
    "SlowDown": RateLimitedError,
    "InternalError": UnavailableError,
    "ServiceUnavailable": UnavailableError,
    "RequestTimeout": UnavailableError,
}


def from_s3(error: S3Error, operation: str) -> ConnectorError:
    """Return our error for one that the store answered; an unknown code counts as a refusal."""
    found = _CODES.get(error.code or "", RejectedError)
    action = ""
    if error.code == "RequestTimeTooSkewed":
        action = "Switch on time synchronisation (NTP) on this machine."
    elif error.code == "NoSuchBucket":
        action = "Create the bucket, or correct LABSETU_OBJECTS__BUCKET."
    return found(
        f"the object store refused: {quoted(error.message) or error.code}",
        action=action,
        connector=NAME,
        operation=operation,
        partner_code=error.code or "",
        request_id=error.request_id or "",
    )


def from_transport(error: HTTPError | MinioException | OSError, operation: str) -> ConnectorError:
    """Return our error for a call that got no usable answer."""
    reason = error.reason if isinstance(error, MaxRetryError) else error
    if isinstance(reason, NewConnectionError | ConnectTimeoutError | ConnectionRefusedError):
        message, code = "the object store was not reached", "NOT_CONNECTED"
    else:
        message, code = f"the object store gave no usable answer ({type(reason).__name__})", "LOST_AFTER_SEND"
    return UnavailableError(message, code=code, connector=NAME, operation=operation)
