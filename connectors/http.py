"""One HTTP call to a partner, with our errors instead of httpx's, a size bound and a journal.

The seam of every partner connector is the `httpx.AsyncClient` it is given: production, the partner's sandbox,
a simulator on a port and a simulator in-process differ in that client only.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Protocol

import httpx

from connectors.redact import masked_body, masked_digits, masked_headers
from domain.errors import (
    AuthError,
    ConnectorError,
    OutcomeUnknownError,
    RateLimitedError,
    RejectedError,
    UnavailableError,
)

MAX_RESPONSE_BYTES = 4 * 1024 * 1024
DEFAULT_RETRY_AFTER = timedelta(seconds=30)
MAX_RETRY_AFTER = timedelta(hours=6)

_PARTNERS_OWN_REFUSALS = frozenset(range(400, 500)) - {401, 403, 429}
"""4xx answers that a connector may ask to read for itself."""


@dataclass(frozen=True)
class CallRecord:
    """One finished or failed call, masked, for the journal.

    Attributes:
        outcome: `ok`, or the `code` of the error it ended in.
        elapsed_ms: From before the send to after the last byte.
        status: HTTP status, 0 where none arrived.
    """

    connector: str
    operation: str
    reference: str
    method: str
    url: str
    request_headers: dict[str, str]
    request_body: str
    status: int
    response_body: str
    outcome: str
    elapsed_ms: int


class CallJournal(Protocol):
    """Keeps what was said to partners; the store's implementation writes `partner_calls`."""

    async def record(self, call: CallRecord) -> None:
        """Keep one call. Must not raise: a journal that fails may not fail the call."""


class NoJournal:
    """Keeps nothing; for `labsetu doctor` and unit tests."""

    async def record(self, call: CallRecord) -> None:
        """Forget `call`."""


@dataclass(frozen=True)
class PartnerHttp:
    """The HTTP side of one connector.

    Attributes:
        client: Its base URL and transport decide where calls go.
        connector: Folder name, for errors and the journal.
        journal: Where calls are recorded.
        masked_fields: Lower-case JSON field names to mask beyond the common ones.
        masked_headers: Header names to mask beyond the common ones.
    """

    client: httpx.AsyncClient
    connector: str
    journal: CallJournal = field(default_factory=NoJournal)
    masked_fields: frozenset[str] = frozenset()
    masked_headers: frozenset[str] = frozenset()

    async def send(
        self,
        request: httpx.Request,
        *,
        operation: str,
        safe_to_repeat: bool,
        reference: str = "",
        accept_4xx: bool = False,
        explain: Callable[[httpx.Response], ConnectorError | None] | None = None,
    ) -> httpx.Response:
        """Send `request`; a response below 400 comes back, everything else is a ConnectorError.

        Args:
            request: Built with `client.build_request`.
            operation: The connector's method name.
            safe_to_repeat: True when sending it twice does no harm (GET, or the partner honours our idempotency
                key). Decides between UnavailableError and OutcomeUnknownError.
            reference: Our business key, for the journal (an invoice number, never a patient's data).
            accept_4xx: True gives 4xx answers other than 401, 403 and 429 back, for partners whose error body the
                connector must read to tell what happened.
            explain: Reads a refusal (status 400 or above) in the partner's own words; what it returns is raised, and
                None leaves the decision to the status.

        Raises:
            UnavailableError: Never connected, or it failed and may be repeated.
            OutcomeUnknownError: It may have been processed.
            AuthError: 401 or 403.
            RateLimitedError: 429, with the partner's Retry-After or 30 s.
            RejectedError: Any other 4xx.
        """
        started = _monotonic_ms()
        response: httpx.Response | None = None
        outcome = "ok"
        try:
            response = await self._exchange(request, operation=operation, safe_to_repeat=safe_to_repeat)
            if explain is not None and response.status_code >= httpx.codes.BAD_REQUEST:
                self._raise_explained(response, explain(response), operation=operation)
            self._raise_for_status(response, operation=operation, safe_to_repeat=safe_to_repeat, accept_4xx=accept_4xx)
        except ConnectorError as error:
            outcome = error.code
            raise
        else:
            return response
        finally:
            await self.journal.record(
                CallRecord(
                    connector=self.connector,
                    operation=operation,
                    reference=reference,
                    method=request.method,
                    url=masked_digits(str(request.url.copy_with(query=None))),
                    request_headers=masked_headers(request.headers, self.masked_headers),
                    request_body=masked_body(request.content, self.masked_fields),
                    status=response.status_code if response is not None else 0,
                    response_body=masked_body(response.content, self.masked_fields) if response is not None else "",
                    outcome=outcome,
                    elapsed_ms=_monotonic_ms() - started,
                )
            )

    async def _exchange(self, request: httpx.Request, *, operation: str, safe_to_repeat: bool) -> httpx.Response:
        after_send: type[ConnectorError] = UnavailableError if safe_to_repeat else OutcomeUnknownError
        try:
            response = await self.client.send(request, stream=True, follow_redirects=False)
        except (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout) as error:
            raise UnavailableError(
                f"{self.connector} was not reached",
                code="NOT_CONNECTED",
                connector=self.connector,
                operation=operation,
            ) from error
        except httpx.TransportError as error:
            raise after_send(
                f"{self.connector} went away after the request was sent ({type(error).__name__})",
                code="LOST_AFTER_SEND", connector=self.connector, operation=operation,
            ) from error  # fmt: skip
        try:
            return await _bounded(response)
        except httpx.HTTPError as error:
            raise after_send(
                f"{self.connector} broke off its answer", code="LOST_AFTER_SEND",
                connector=self.connector, operation=operation,
            ) from error  # fmt: skip
        except OverflowError as error:
            raise after_send(
                f"{self.connector} answered more than {MAX_RESPONSE_BYTES} bytes", code="ANSWER_TOO_LARGE",
                connector=self.connector, operation=operation,
            ) from error  # fmt: skip

    def _raise_explained(self, response: httpx.Response, error: ConnectorError | None, *, operation: str) -> None:
        if error is None:
            return
        error.connector, error.operation = self.connector, operation
        if isinstance(error, RateLimitedError) and error.retry_after is None:
            error.retry_after = _retry_after(response)
        raise error

    def _raise_for_status(
        self, response: httpx.Response, *, operation: str, safe_to_repeat: bool, accept_4xx: bool
    ) -> None:
        status = response.status_code
        if status < httpx.codes.MULTIPLE_CHOICES or (accept_4xx and status in _PARTNERS_OWN_REFUSALS):
            return
        name = self.connector
        after_send: type[ConnectorError] = UnavailableError if safe_to_repeat else OutcomeUnknownError
        error: ConnectorError
        if status in (httpx.codes.UNAUTHORIZED, httpx.codes.FORBIDDEN):
            error = AuthError(f"{name} refused our credentials ({status})", partner_code=str(status))
        elif status == httpx.codes.TOO_MANY_REQUESTS:
            error = RateLimitedError(f"{name} asks to slow down", retry_after=_retry_after(response))
        elif status == httpx.codes.SERVICE_UNAVAILABLE:
            # 503 says that the request was not processed (RFC 9110, 15.6.4); other 5xx say nothing.
            error = UnavailableError(f"{name} is unavailable (503)", retry_after=_retry_after(response, None))
        elif status >= httpx.codes.INTERNAL_SERVER_ERROR:
            error = after_send(f"{name} failed ({status})", code="PARTNER_5XX")
        elif status < httpx.codes.BAD_REQUEST:
            error = RejectedError(f"{name} redirects, which is never followed ({status})", code="PARTNER_REDIRECT")
        else:
            error = RejectedError(f"{name} refused the request ({status})", partner_code=str(status))
        error.connector, error.operation = name, operation
        raise error


async def _bounded(response: httpx.Response) -> httpx.Response:
    """Read a streamed response up to the bound and return it as a plain one."""
    try:
        body = bytearray()
        async for chunk in response.aiter_bytes():
            body += chunk
            if len(body) > MAX_RESPONSE_BYTES:
                raise OverflowError
    finally:
        await response.aclose()
    # raw: a partner's header may hold bytes that are not ASCII
    headers = httpx.Headers(
        [(name, value) for name, value in response.headers.raw if name.lower() != b"content-encoding"]
    )
    return httpx.Response(response.status_code, headers=headers, content=bytes(body), request=response.request)


def _retry_after(response: httpx.Response, default: timedelta | None = DEFAULT_RETRY_AFTER) -> timedelta | None:
    value = response.headers.get("retry-after", "")
    if not value.isascii() or not value.isdigit():
        return default
    return min(timedelta(seconds=int(value[:9])), MAX_RETRY_AFTER)


def _monotonic_ms() -> int:
    return time.monotonic_ns() // 1_000_000
