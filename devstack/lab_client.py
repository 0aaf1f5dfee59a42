"""The lab's REST API as its staff use it: one login per role, an idempotency key for every action."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import Awaitable, Callable, Mapping
from types import TracebackType
from typing import Any, Self, TypeVar

import httpx

from domain.errors import LabError

Json = dict[str, Any]
Found = TypeVar("Found")


class StaffError(LabError):
    """The API refused, or something expected did not happen in time."""

    default_code = "STORY_STOPPED"
    default_action = "Look at the order's timeline and at the logs under .labsetu/logs."


_PATIENCE_S = 60.0


class LabClient:
    """Calls the API as whichever member of staff is named.

    A 503 is asked again after its `Retry-After`, with the same idempotency key, for a minute.

    Attributes:
        pause: Seconds between two looks at something that is awaited.
        repeated: How often a request was sent again.
    """

    def __init__(
        self, base_url: str, passwords: Mapping[str, str], transport: httpx.AsyncBaseTransport | None = None
    ) -> None:
        self._http = httpx.AsyncClient(base_url=base_url, timeout=30, trust_env=False, transport=transport)
        self._passwords = passwords
        self._tokens: dict[str, str] = {}
        self.pause = 0.2
        self.repeated = 0

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._http.aclose()

    async def post(self, username: str, path: str, body: Json) -> Json:
        """Do something as `username`; a 202 is followed until the command is applied.

        Raises:
            StaffError: It was refused.
        """
        headers = await self._headers(username) | {"Idempotency-Key": str(uuid.uuid4())}
        answer = await self._sent(self._http.build_request("POST", path, json=body, headers=headers))
        if answer.status_code == httpx.codes.ACCEPTED:
            return await self._followed(username, answer.headers["location"])
        return _accepted(answer)

    async def get(self, username: str, path: str, **query: str) -> Json:
        """Read something as `username`.

        Raises:
            StaffError: It was refused.
        """
        headers = await self._headers(username)
        return _accepted(await self._sent(self._http.build_request("GET", path, params=query, headers=headers)))

    async def get_bytes(self, username: str, path: str) -> bytes:
        """Read a document as `username`.

        Raises:
            StaffError: It was refused.
        """
        answer = await self._http.get(path, headers=await self._headers(username))
        _accepted(answer, is_json=False)
        return answer.content

    async def until(
        self,
        look: Callable[[], Awaitable[Found | None]],
        what: str,
        *,
        within: float = 60.0,
        pause: float | None = None,
    ) -> Found:
        """Look again and again until there is something, and return it.

        Raises:
            StaffError: There was nothing in time.
        """
        try:
            async with asyncio.timeout(within):
                while (found := await look()) is None:  # noqa: ASYNC110  REST gives no event to wait for
                    await asyncio.sleep(pause or self.pause)
                return found
        except TimeoutError:
            raise StaffError(f"waited {within:.0f} s in vain for {what}") from None

    async def _sent(self, request: httpx.Request) -> httpx.Response:
        """Send a request, again and again while the API has no time for it."""
        until = time.monotonic() + _PATIENCE_S
        answer = await self._http.send(request)
        while answer.status_code == httpx.codes.SERVICE_UNAVAILABLE and time.monotonic() < until:
            self.repeated += 1
            await asyncio.sleep(float(answer.headers.get("retry-after", "1")))
            answer = await self._http.send(request)
        return answer

    async def _followed(self, username: str, location: str) -> Json:
        async def look() -> Json | None:
            answer = await self.get(username, location)
            return answer if answer["state"] != "accepted" else None

        return await self.until(look, "a command to be applied")

    async def _headers(self, username: str) -> dict[str, str]:
        if username not in self._tokens:
            answer = await self._http.post(
                "/v1/auth/token",
                json={"username": username, "password": self._passwords[username]},
                headers={"Idempotency-Key": str(uuid.uuid4())},
            )
            self._tokens[username] = _accepted(answer)["access_token"]
        return {"Authorization": f"Bearer {self._tokens[username]}"}


def _accepted(answer: httpx.Response, *, is_json: bool = True) -> Json:
    if answer.is_success:
        parsed: Json = answer.json() if is_json and answer.content else {}
        return parsed
    problem = answer.json() if "json" in answer.headers.get("content-type", "") else {}
    raise StaffError(
        f"{answer.request.method} {answer.request.url.path}: {problem.get('detail', answer.status_code)}",
        code=problem.get("code", "STORY_STOPPED"),
        action=problem.get("action", ""),
    )
