"""What every partner simulator shares: fault switches, counted calls, webhooks on their way, a page to look at.

A simulator is a FastAPI application made by `simulator_app`. Serve it with uvicorn, or put it behind
`httpx.ASGITransport` (then enter `app.router.lifespan_context(app)` for webhooks in the background, or deliver them on
demand with `WebhookSender.drain`). Besides the partner's own paths every simulator answers

- `POST /_sim/behaviour`: JSON with the switches of `Behaviour` to change;
- `GET /_sim/state`: JSON of all it holds and has counted;
- `POST /_sim/drain`: deliver every waiting webhook now;
- `GET /`: the same for people.

State lives in memory and starts empty. For the development stack and tests only.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import contextlib
import html
import json
import time
from collections import Counter, deque
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, MutableMapping, Sequence
from dataclasses import dataclass, field

import httpx
from fastapi import FastAPI, HTTPException, Request
from fastapi.responses import HTMLResponse, JSONResponse, Response
from pydantic import BaseModel, ConfigDict, Field, ValidationError

MAX_BODY_BYTES = 1 << 20
TICK_S = 1.0
"""How often a simulator looks at its clock for things that happen by themselves (an expiry, a retry)."""

Scope = MutableMapping[str, object]
Event = MutableMapping[str, object]
Receive = Callable[[], Awaitable[Event]]
Send = Callable[[Event], Awaitable[None]]
AsgiApp = Callable[[Scope, Receive, Send], Awaitable[None]]


class Behaviour(BaseModel):
    """The switches of one simulator. All off: a partner on a good day."""

    model_config = ConfigDict(extra="forbid", validate_assignment=True)

    down: bool = Field(default=False, description="Answer 503 to everything")
    slow_s: float = Field(default=0.0, ge=0, le=120, description="Wait this many seconds before answering")
    fail_next: int = Field(
        default=0, ge=0, description="Refuse the next N calls with `fail_status`, processing nothing"
    )
    fail_status: int = Field(default=500, ge=400, le=599)
    drop_after_next: int = Field(default=0, ge=0, description="Process the next N calls, then answer 504 instead")
    drop_only: str = Field(
        default="", max_length=200, description="Drop answers only to calls that begin like this, e.g. `POST /v1/`"
    )
    webhooks_off: bool = Field(default=False, description="Send no webhooks at all")
    webhooks_duplicate: bool = Field(default=False, description="Send every webhook twice")
    webhooks_late_s: float = Field(default=0.0, ge=0, le=3600, description="Send webhooks this much later")
    webhooks_tampered: bool = Field(default=False, description="Change a byte after signing")
    webhooks_reversed: bool = Field(default=False, description="Send waiting webhooks last to first")

    def change(self, patch: Mapping[str, object]) -> None:
        """Set the switches named in `patch`; the others stay.

        Raises:
            ValidationError: An unknown switch or a value out of range; nothing was changed.
        """
        wanted = Behaviour.model_validate(self.model_dump() | dict(patch))
        for name in Behaviour.model_fields:
            setattr(self, name, getattr(wanted, name))

    def take_failure(self) -> int:
        """Return the status to refuse this call with, or 0."""
        if self.down:
            return 503
        if self.fail_next:
            self.fail_next -= 1
            return self.fail_status
        return 0

    def take_drop(self, call: str = "") -> bool:
        """Return True when this call is to be processed and its answer lost.

        Args:
            call: `POST /path`; "" where calls have no path.
        """
        if not self.drop_after_next or not call.startswith(self.drop_only):
            return False
        self.drop_after_next -= 1
        return True


@dataclass(eq=False)
class _Delivery:
    event: str
    url: str
    body: bytes
    headers: dict[str, str]
    due: float
    attempts: int = 0


class WebhookSender:
    """Delivers webhooks as partners do: at least once, retried on anything but 2xx, in no promised order.

    Args:
        behaviour: Its webhook switches apply at the time of queueing.
        targets: URLs that get every webhook that names no URL of its own.
        client: How they are reached; by default a plain client, closed by `aclose`.
        retry_after_s: Waits between attempts; after the last one the delivery is given up.
    """

    def __init__(
        self,
        behaviour: Behaviour,
        targets: Sequence[str] = (),
        *,
        client: httpx.AsyncClient | None = None,
        timeout_s: float = 5.0,
        retry_after_s: Sequence[float] = (1, 2, 5, 10, 30, 60, 120, 300),
    ) -> None:
        self.behaviour = behaviour
        self.targets = list(targets)
        self.delivered: deque[dict[str, object]] = deque(maxlen=500)
        self.given_up = 0
        self.withheld = 0
        self._client = client
        self._own_client = client is None
        self._timeout_s = timeout_s
        self._retry_after_s = tuple(retry_after_s)
        self._pending: list[_Delivery] = []
        self._wake = asyncio.Event()

    @property
    def pending(self) -> int:
        """Return how many deliveries wait."""
        return len(self._pending)

    def queue(self, event: str, body: bytes, headers: Mapping[str, str], *, url: str = "") -> None:
        """Send `body` soon to `url`, by default to every target."""
        targets = [url] if url else self.targets
        if self.behaviour.webhooks_off:
            self.withheld += len(targets)
            return
        if self.behaviour.webhooks_tampered:
            body = body[:-1] + bytes([body[-1] ^ 1])
        due = time.monotonic() + self.behaviour.webhooks_late_s
        for target in targets:
            for _ in range(2 if self.behaviour.webhooks_duplicate else 1):
                self._pending.append(_Delivery(event, target, body, dict(headers), due))
        self._wake.set()

    async def drain(self) -> int:
        """Deliver everything that waits, due or not, once each; return how many were taken with 2xx."""
        return await self._deliver_all(self._take(None))

    async def run(self, tick: Callable[[], None]) -> None:
        """Deliver what is due, for ever; call `tick` at least every `TICK_S` seconds."""
        while True:
            self._wake.clear()
            tick()
            await self._deliver_all(self._take(time.monotonic()))
            wait = min([TICK_S, *(max(0.0, one.due - time.monotonic()) for one in self._pending)])
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(wait):
                    await self._wake.wait()

    async def aclose(self) -> None:
        """Close the client if it is our own."""
        if self._own_client and self._client is not None:
            await self._client.aclose()
            self._client = None

    def _take(self, now: float | None) -> list[_Delivery]:
        taken = [one for one in self._pending if now is None or one.due <= now]
        self._pending = [one for one in self._pending if not (now is None or one.due <= now)]
        return taken[::-1] if self.behaviour.webhooks_reversed else taken

    async def _deliver_all(self, deliveries: Iterable[_Delivery]) -> int:
        return sum([await self._deliver(one) for one in deliveries])

    async def _deliver(self, one: _Delivery) -> bool:
        if self._client is None:
            self._client = httpx.AsyncClient(trust_env=False)
        one.attempts += 1
        try:
            response = await self._client.post(
                one.url, content=one.body, headers=one.headers, timeout=self._timeout_s, follow_redirects=False
            )
            status = response.status_code
        except httpx.HTTPError:
            status = 0
        self.delivered.append({"event": one.event, "url": one.url, "attempt": one.attempts, "status": status})
        if httpx.codes.is_success(status):
            return True
        if one.attempts > len(self._retry_after_s):
            self.given_up += 1
        else:
            one.due = time.monotonic() + self._retry_after_s[one.attempts - 1]
            self._pending.append(one)
        return False


@dataclass
class _Faults:
    """ASGI middleware that counts calls and misbehaves as told. Paths for people and tests are spared."""

    app: AsgiApp
    behaviour: Behaviour
    calls: Counter[str]
    spared: tuple[str, ...] = field(default=())

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = str(scope.get("path", ""))
        if scope["type"] != "http" or path == "/" or path.startswith(("/_sim/", *self.spared)):
            await self.app(scope, receive, send)
            return
        if self.behaviour.slow_s:
            await asyncio.sleep(self.behaviour.slow_s)
        if status := self.behaviour.take_failure():
            self.calls[f"{scope['method']} {path} -> {status}"] += 1
            await _say(scope, receive, send, status)
            return
        dropped = self.behaviour.take_drop(f"{scope['method']} {path}")
        await self.app(scope, receive, _swallow if dropped else send)
        self.calls[f"{scope['method']} {getattr(scope.get('route'), 'path', path)}"] += 1
        if dropped:
            await _say(scope, receive, send, 504)


async def _swallow(_event: Event) -> None:
    """Lose a piece of an answer."""


async def _say(scope: Scope, receive: Receive, send: Send, status: int) -> None:
    response = HTMLResponse(f"<html><body>{status}, simulated</body></html>", status)
    if status == httpx.codes.TOO_MANY_REQUESTS:
        response.headers["Retry-After"] = "1"
    await response(scope, receive, send)


def simulator_app(
    name: str,
    sender: WebhookSender,
    *,
    snapshot: Callable[[], dict[str, object]],
    tick: Callable[[], None] = lambda: None,
    spared: tuple[str, ...] = (),
) -> FastAPI:
    """Return an application with the shared routes; the simulator adds the partner's and `GET /`.

    Args:
        name: Shown to people and in the state.
        sender: Runs in the background while the application does; its behaviour is the application's.
        snapshot: What the simulator holds, JSON-able, for `GET /_sim/state`.
        tick: Called about every second for things that happen by themselves.
        spared: Path prefixes of pages for people: no faults there.
    """
    calls: Counter[str] = Counter()

    @contextlib.asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        async with asyncio.TaskGroup() as background:
            delivering = background.create_task(sender.run(tick))
            try:
                yield
            finally:
                delivering.cancel()
                await sender.aclose()

    app = FastAPI(title=f"{name} simulator", docs_url=None, redoc_url=None, openapi_url=None, lifespan=lifespan)
    app.add_middleware(_Faults, behaviour=sender.behaviour, calls=calls, spared=spared)

    def state() -> dict[str, object]:
        tick()
        return {"simulator": name, "calls": dict(calls)} | snapshot()

    _add_switches(app, sender, state)
    return app


def _add_switches(app: FastAPI, sender: WebhookSender, state: Callable[[], dict[str, object]]) -> None:
    behaviour = sender.behaviour

    @app.post("/_sim/behaviour")
    async def change_behaviour(request: Request) -> JSONResponse:
        try:
            behaviour.change(json_object(await bounded_body(request)))
        except ValidationError as error:
            problems = [{"at": list(item["loc"]), "is": item["msg"]} for item in error.errors(include_url=False)]
            return JSONResponse({"problems": problems}, 422)
        return JSONResponse(behaviour.model_dump())

    @app.get("/_sim/state")
    async def show_state() -> JSONResponse:
        webhooks = {
            "targets": sender.targets,
            "pending": sender.pending,
            "withheld": sender.withheld,
            "given_up": sender.given_up,
            "delivered": list(sender.delivered),
        }
        return JSONResponse({"behaviour": behaviour.model_dump(), "webhooks": webhooks} | state())

    @app.post("/_sim/drain")
    async def drain() -> JSONResponse:
        return JSONResponse({"delivered": await sender.drain()})


async def bounded_body(request: Request) -> bytes:
    """Return the body of a request, at most `MAX_BODY_BYTES`.

    Raises:
        HTTPException: 413, it is longer.
    """
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_BODY_BYTES:
            raise HTTPException(413, "body too large")
    return bytes(body)


def json_object(raw: bytes) -> dict[str, object]:
    """Return a JSON object.

    Raises:
        HTTPException: 400, it is not one.
    """
    try:
        parsed = json.loads(raw)
    except (ValueError, RecursionError):
        parsed = None
    if not isinstance(parsed, dict):
        raise HTTPException(400, "a JSON object is expected")
    return parsed


def basic_credentials(authorization: str) -> tuple[str, str] | None:
    """Return user and password of a Basic header whose scheme is spelt exactly `Basic`, else None.

    Source: RFC 7617, 2; the strict spelling is Razorpay's, API docs "Authentication", read 2026-11-22.
    """
    scheme, _, encoded = authorization.partition(" ")
    try:
        user, colon, password = base64.b64decode(encoded, validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError):
        return None
    return (user, password) if scheme == "Basic" and colon else None


def table(caption: str, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Return an HTML table; every cell is escaped."""
    head = "".join(f"<th>{html.escape(column)}</th>" for column in columns)
    body = "".join("<tr>" + "".join(f"<td>{html.escape(str(cell))}</td>" for cell in row) + "</tr>" for row in rows)
    return f"<h2>{html.escape(caption)}</h2><table><tr>{head}</tr>{body}</table>"


def page(title: str, *parts: str) -> Response:
    """Return an HTML page of parts that are HTML already."""
    safe = html.escape(title)
    style = (
        "body{font:15px system-ui;margin:2em}table{border-collapse:collapse}td,th{border:1px solid #ccc;padding:4px}"
    )
    headers = {"Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'"}
    document = (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{safe}</title><style>{style}</style></head>'
        f"<body><h1>{safe}</h1>{''.join(parts)}</body></html>"
    )
    return HTMLResponse(document, headers=headers)
