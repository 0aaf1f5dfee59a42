"""What surrounds every request: its id, its line in the access log, its security headers, the last error handler."""

from __future__ import annotations

import logging
import re
import time
from collections.abc import MutableMapping
from typing import Any

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.errors import internal_error
from domain.ids import new_id
from telemetry import logs, metrics

access_log = logging.getLogger("labsetu.api.access")
log = logging.getLogger("labsetu.api")

_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{8,64}")
_NUMBERED = ("order_no", "analyzer")

SECURITY_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; img-src 'self' data:; style-src 'unsafe-inline'; base-uri 'none';"
    " frame-ancestors 'none'; form-action 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Strict-Transport-Security": "max-age=31536000",
}
"""Source: OWASP ASVS 5.0.0, V3.4, specs. Strict-Transport-Security is ignored by browsers on plain HTTP (RFC 6797)."""


class RequestScope:
    """The outermost layer. It logs the route's template, never the path: a path may hold a token, a query a number."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one ASGI connection."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request_id = _given_id(scope) or str(new_id())
        scope["labsetu.request_id"] = request_id
        answer = _Answer(send, request_id)
        begun = time.perf_counter()
        with logs.bind(request_id=request_id):
            try:
                await self._app(scope, receive, answer)
            except Exception:  # the edge: nothing of it may reach the client
                log.exception("request failed unexpectedly")
                if answer.status == 0:
                    await internal_error(request_id)(scope, receive, answer)
            finally:
                _write_access_log(scope, answer.status, time.perf_counter() - begun)


class _Answer:
    """Adds the headers to the response's start and remembers its status."""

    def __init__(self, send: Send, request_id: str) -> None:
        self._send = send
        self._request_id = request_id
        self.status = 0

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = int(message["status"])
            headers = MutableHeaders(scope=message)
            headers["X-Request-Id"] = self._request_id
            headers.setdefault("Cache-Control", "private, no-store")
            for name, value in SECURITY_HEADERS.items():
                headers.setdefault(name, value)
        await self._send(message)


def _given_id(scope: Scope) -> str:
    """Return the id a proxy gave the request, where it is fit for a log."""
    for name, value in scope["headers"]:
        if name == b"x-request-id":
            text = value.decode("latin-1")
            return text if _REQUEST_ID.fullmatch(text) else ""
    return ""


def _write_access_log(scope: MutableMapping[str, Any], status: int, seconds: float) -> None:
    route = getattr(scope.get("route"), "path", "unmatched")
    parameters = scope.get("path_params") or {}
    fields = {name: str(parameters[name])[:40] for name in _NUMBERED if name in parameters}
    access_log.info(
        "request answered",
        extra={
            "method": scope["method"], "route": route, "status": status, "elapsed_ms": round(seconds * 1000, 1),
            "user_id": (scope.get("state") or {}).get("user_id", ""), **fields,
        },
    )  # fmt: skip
    metrics.request_done(scope["method"], route, status, seconds)
