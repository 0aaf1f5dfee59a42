"""Hand-written stand-ins around the simulators: a clock that obeys, and our own webhook endpoint."""

from datetime import UTC, datetime

import httpx

NOW = datetime(2026, 11, 23, 6, 30, tzinfo=UTC)


class Clock:
    """A clock that stands still until told otherwise."""

    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> datetime:
        return self.now


class Receiver:
    """Our webhook endpoint: keeps what arrives and answers with `answers` in turn, then 200."""

    def __init__(self) -> None:
        self.got: list[httpx.Request] = []
        self.answers: list[int] = []
        self.client = httpx.AsyncClient(transport=httpx.MockTransport(self._handle))

    def _handle(self, request: httpx.Request) -> httpx.Response:
        self.got.append(request)
        return httpx.Response(self.answers.pop(0) if self.answers else 200)
