"""Hand-written stand-ins around the simulators: a clock that obeys, and our own webhook endpoint."""

import asyncio
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
        self._came = asyncio.Condition()
        self.client = httpx.AsyncClient(transport=httpx.MockTransport(self._handle))

    async def arrived(self, count: int) -> None:
        """Wait until `count` requests have come."""
        async with self._came:
            await self._came.wait_for(lambda: len(self.got) >= count)

    async def _handle(self, request: httpx.Request) -> httpx.Response:
        async with self._came:
            self.got.append(request)
            self._came.notify_all()
        return httpx.Response(self.answers.pop(0) if self.answers else 200)
