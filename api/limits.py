"""Bounds on what a client may send and how long it may take.

Three walls, because uvicorn has none of them: `BodyGuard` (ASGI) takes a request's body within a size and a time;
`GuardedProtocol` (below ASGI) closes a connection whose request head does not arrive, and one that does not read.

Source: measured with uvicorn 0.54: an idle connection, a partial head, a dripped head and a dripped body all stay open.
"""

from __future__ import annotations

import asyncio
from asyncio.events import TimerHandle
from typing import Any

from starlette.datastructures import Headers
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from api.config import ApiConfig
from api.errors import problem

WEBHOOK_LIMIT_BYTES = 262_144


class BodyGuard:
    """Reads the whole body before the application runs; too much is 413, too slow is 408, and the connection closes.

    Every body here is small enough to hold: the largest is a batch of instrument messages.
    """

    def __init__(self, app: ASGIApp, config: ApiConfig) -> None:
        self._app = app
        self._config = config

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one ASGI connection."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        limit = self._limit(scope["path"])
        try:
            declared = int(Headers(scope=scope).get("content-length", "0"))
        except ValueError:
            declared = 0
        body = b""
        try:
            if declared <= limit:
                async with asyncio.timeout(self._config.read_deadline_s):
                    body = await _whole_body(receive, limit)
        except TimeoutError:
            await _refuse(408, "the request body did not arrive in time", scope, receive, send)
            return
        except ConnectionError:
            return
        if declared > limit or len(body) > limit:
            await _refuse(413, f"a body here has at most {limit} bytes", scope, receive, send)
            return
        await self._app(scope, _Replayed(body, receive), send)

    def _limit(self, path: str) -> int:
        if path.startswith("/connectors/"):
            return self._config.instrument_body_limit_bytes
        if path.startswith("/webhooks/"):
            return WEBHOOK_LIMIT_BYTES
        return self._config.body_limit_bytes


class _Replayed:
    """Gives the body that was read, then whatever the server says next (that the client has gone)."""

    def __init__(self, body: bytes, receive: Receive) -> None:
        self._body: bytes | None = body
        self._receive = receive

    async def __call__(self) -> Message:
        if self._body is None:
            return await self._receive()
        body, self._body = self._body, None
        return {"type": "http.request", "body": body, "more_body": False}


async def _whole_body(receive: Receive, limit: int) -> bytes:
    """Return the body, or a little more than `limit` bytes of it.

    Raises:
        ConnectionError: The client has gone.
    """
    parts: list[bytes] = []
    size, has_more = 0, True
    while has_more and size <= limit:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ConnectionError
        part = message.get("body", b"")
        parts.append(part)
        size += len(part)
        has_more = message.get("more_body", False)
    return b"".join(parts)


async def _refuse(status: int, detail: str, scope: Scope, receive: Receive, send: Send) -> None:
    codes = {
        408: ("REQUEST_TOO_SLOW", "Send the whole request at once."),
        413: ("BODY_TOO_LARGE", "Send less at once."),
    }
    code, action = codes[status]
    response: Response = problem(
        status, code=code, detail=detail, action=action, request_id=str(scope.get("labsetu.request_id", "")),
        headers={"Connection": "close"},
    )  # fmt: skip
    await response(scope, receive, send)


class GuardedProtocol(HttpToolsProtocol):
    """uvicorn's protocol with deadlines for the request head and for a reader that has stopped.

    Give it to `uvicorn.Config(http=guarded_protocol(...))`.
    """

    header_deadline_s = 10.0
    write_deadline_s = 60.0

    _head_timer: TimerHandle | None = None
    _write_timer: TimerHandle | None = None

    def connection_made(self, transport: Any) -> None:
        """Start waiting for the first request head; a client that says nothing is no client."""
        super().connection_made(transport)
        self._await_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop both clocks."""
        self._stop_timers()
        super().connection_lost(exc)

    def on_message_begin(self) -> None:
        """Start waiting for the rest of a head, also of a later request on the same connection."""
        super().on_message_begin()
        self._await_head()

    def on_headers_complete(self) -> None:
        """Stop waiting for the head; the body has its own deadline in `BodyGuard`."""
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None
        super().on_headers_complete()

    def pause_writing(self) -> None:
        """Start waiting for a client that does not read its answer."""
        super().pause_writing()
        self._write_timer = self.loop.call_later(self.write_deadline_s, self._cut)

    def resume_writing(self) -> None:
        """Stop waiting: it reads again."""
        if self._write_timer is not None:
            self._write_timer.cancel()
            self._write_timer = None
        super().resume_writing()

    def _await_head(self) -> None:
        if self._head_timer is None:
            self._head_timer = self.loop.call_later(self.header_deadline_s, self._cut)

    def _cut(self) -> None:
        self._stop_timers()
        # not close(): a client that does not read would keep the buffer and the connection
        self.transport.abort()

    def _stop_timers(self) -> None:
        for timer in (self._head_timer, self._write_timer):
            if timer is not None:
                timer.cancel()
        self._head_timer = self._write_timer = None


def guarded_protocol(*, header_deadline_s: float = 10.0, write_deadline_s: float = 60.0) -> type[GuardedProtocol]:
    """Return the protocol class with these deadlines, in seconds."""
    return type(
        "DeadlinedProtocol",
        (GuardedProtocol,),
        {"header_deadline_s": header_deadline_s, "write_deadline_s": write_deadline_s},
    )
