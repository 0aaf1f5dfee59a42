"""Errors as `application/problem+json` (RFC 9457): code, what happened, what to do. Never the input, never a value."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

import asyncpg
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel
from sqlalchemy.exc import DBAPIError
from starlette.exceptions import HTTPException

from domain.errors import (
    AuthError,
    ConflictError,
    ConnectorError,
    FrameError,
    LabError,
    MessageError,
    NotFoundError,
    NotPermittedError,
    RuleError,
    UnavailableError,
)
from store.session import StoreUnavailableError
from workflows.codec import CodecError
from workflows.gateway import TemporalAwayError

log = logging.getLogger("labsetu.api")

MEDIA_TYPE = "application/problem+json"
MAX_FINDINGS = 20


class UnauthenticatedError(LabError):
    """The caller has not proved who it is."""

    default_code = "NOT_AUTHENTICATED"
    default_action = "Sign in again."


class TooManyRequestsError(LabError):
    """The caller asks too often.

    Attributes:
        retry_after_s: Seconds to wait.
    """

    default_code = "TOO_MANY_REQUESTS"
    default_action = "Wait a moment, then try again."

    def __init__(self, message: str, *, retry_after_s: int) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class BadRequestError(LabError):
    """The request cannot be understood."""

    default_code = "REQUEST_INVALID"
    default_action = "Correct the request."


class PreconditionFailedError(LabError):
    """The thing is not what the caller last saw."""

    default_code = "CHANGED_MEANWHILE"
    default_action = "Read it again, look at what changed, and repeat your change with the new ETag."


class Problem(BaseModel):
    """The body of every error."""

    type: str
    title: str
    status: int
    code: str
    detail: str
    action: str
    docs: str
    request_id: str
    context: dict[str, str] = {}
    findings: list[dict[str, str]] = []


# the first class that fits decides
_STATUS: tuple[tuple[type[LabError], HTTPStatus], ...] = (
    (BadRequestError, HTTPStatus.BAD_REQUEST),
    (PreconditionFailedError, HTTPStatus.PRECONDITION_FAILED),
    (UnauthenticatedError, HTTPStatus.UNAUTHORIZED),
    (AuthError, HTTPStatus.UNAUTHORIZED),
    (NotPermittedError, HTTPStatus.FORBIDDEN),
    (NotFoundError, HTTPStatus.NOT_FOUND),
    (ConflictError, HTTPStatus.CONFLICT),
    (TooManyRequestsError, HTTPStatus.TOO_MANY_REQUESTS),
    (RuleError, HTTPStatus.UNPROCESSABLE_ENTITY),
    (CodecError, HTTPStatus.UNPROCESSABLE_ENTITY),
    (MessageError, HTTPStatus.UNPROCESSABLE_ENTITY),
    (FrameError, HTTPStatus.UNPROCESSABLE_ENTITY),
    (StoreUnavailableError, HTTPStatus.SERVICE_UNAVAILABLE),
    (TemporalAwayError, HTTPStatus.SERVICE_UNAVAILABLE),
    (UnavailableError, HTTPStatus.SERVICE_UNAVAILABLE),
    (ConnectorError, HTTPStatus.BAD_GATEWAY),
)

_HTTP_CODES = {
    404: ("ROUTE_UNKNOWN", "Check the address."),
    405: ("METHOD_NOT_ALLOWED", "Check the method of the call."),
    408: ("REQUEST_TOO_SLOW", "Send the whole request at once."),
    413: ("BODY_TOO_LARGE", "Send less at once."),
}

RETRY_AFTER_S = "5"


def status_of(error: LabError) -> HTTPStatus:
    """Return the HTTP status of an error."""
    return next((status for kind, status in _STATUS if isinstance(error, kind)), HTTPStatus.INTERNAL_SERVER_ERROR)


def problem(
    status: int,
    *,
    code: str,
    detail: str,
    action: str,
    request_id: str,
    context: Mapping[str, str] | None = None,
    findings: list[dict[str, str]] | None = None,
    headers: Mapping[str, str] | None = None,
) -> JSONResponse:
    """Return a problem answer."""
    docs = f"/docs/errors#{code}"
    body = Problem(
        type=docs, title=HTTPStatus(status).phrase, status=status, code=code, detail=detail, action=action, docs=docs,
        request_id=request_id, context=dict(context or {}), findings=findings or [],
    )  # fmt: skip
    return JSONResponse(
        body.model_dump(exclude_defaults=False), status, media_type=MEDIA_TYPE, headers=dict(headers or {})
    )


def problem_of(error: LabError, request_id: str) -> JSONResponse:
    """Return the problem answer of an error of ours."""
    status = status_of(error)
    headers: dict[str, str] = {}
    if status is HTTPStatus.UNAUTHORIZED:
        headers["WWW-Authenticate"] = "Bearer"
    if isinstance(error, TooManyRequestsError):
        headers["Retry-After"] = str(error.retry_after_s)
    elif status is HTTPStatus.SERVICE_UNAVAILABLE:
        headers["Retry-After"] = RETRY_AFTER_S
    return problem(
        status, code=error.code, detail=error.message, action=error.action, request_id=request_id,
        context=error.context, headers=headers,
    )  # fmt: skip


def request_id_of(request: Request) -> str:
    """Return the id that the request-id middleware gave this request."""
    return str(request.scope.get("labsetu.request_id", ""))


async def on_lab_error(request: Request, error: Exception) -> JSONResponse:
    """Render an error of ours."""
    if not isinstance(error, LabError):
        raise error
    if status_of(error) >= HTTPStatus.INTERNAL_SERVER_ERROR:
        log.warning("request failed with %s", error.code)
    return problem_of(error, request_id_of(request))


async def on_invalid_request(request: Request, error: Exception) -> JSONResponse:
    """Name the fields that are wrong; what was sent in them is not repeated."""
    if not isinstance(error, RequestValidationError):
        raise error
    findings = [
        {"where": ".".join(str(part) for part in finding["loc"])[:100], "what": _words(finding)}
        for finding in error.errors()[:MAX_FINDINGS]
    ]
    return problem(
        422, code="REQUEST_INVALID", detail="the request has wrong or missing fields",
        action="Correct the fields named.", request_id=request_id_of(request), findings=findings,
    )  # fmt: skip


def _words(finding: Any) -> str:
    """Return pydantic's rule, not its message, which may quote the value; our validators' messages are constants."""
    bounds = finding.get("ctx") or {}
    if finding["type"] == "value_error":
        return str(bounds.get("error", "wrong"))[:200]
    known = {
        key: value
        for key, value in bounds.items()
        if key in {"min_length", "max_length", "gt", "ge", "lt", "le", "pattern", "expected"}
    }
    return " ".join([str(finding["type"]), *(f"{key}={value}" for key, value in sorted(known.items()))])


async def on_http_exception(request: Request, error: Exception) -> JSONResponse:
    """Render what the framework itself refuses."""
    if not isinstance(error, HTTPException):
        raise error
    code, action = _HTTP_CODES.get(error.status_code, ("REQUEST_REFUSED", "Correct the request."))
    phrase = HTTPStatus(error.status_code).phrase.lower()
    return problem(
        error.status_code, code=code, detail=phrase, action=action, request_id=request_id_of(request),
        headers=error.headers,
    )  # fmt: skip


async def on_database_error(request: Request, error: Exception) -> JSONResponse:
    """Render what PostgreSQL cannot store, without its words: they quote values. Everything else is unexpected."""
    if not isinstance(error, DBAPIError) or not _is_unstorable(error):
        raise error
    return problem(
        422, code="TEXT_NOT_STORABLE", detail="the request holds a value that cannot be stored",
        action="Remove control characters; check the numbers.", request_id=request_id_of(request),
    )  # fmt: skip


def _is_unstorable(error: DBAPIError) -> bool:
    cause = error.orig.__cause__ if error.orig is not None else None
    return isinstance(cause, asyncpg.DataError)


def internal_error(request_id: str) -> JSONResponse:
    """Return the answer to an unexpected exception: nothing of it but the request id."""
    return problem(
        500, code="INTERNAL_ERROR", detail="something unexpected happened",
        action="Try again; if it happens again, give the request id to the operator.", request_id=request_id,
    )  # fmt: skip


def add_error_handlers(app: FastAPI) -> None:
    """Let every error of the app leave as a problem. Unexpected ones are caught in `api/middleware.py`."""
    app.add_exception_handler(LabError, on_lab_error)
    app.add_exception_handler(RequestValidationError, on_invalid_request)
    app.add_exception_handler(HTTPException, on_http_exception)
    app.add_exception_handler(DBAPIError, on_database_error)


def responses(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Return the OpenAPI declaration of problem answers; every route has those of authentication and of failure."""
    described = {401, 403, 422, 500, 503, *statuses}
    return {
        status: {
            "description": HTTPStatus(status).phrase,
            "content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}},
        }
        for status in sorted(described)
    }
