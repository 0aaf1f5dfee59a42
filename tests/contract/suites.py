"""What the shared contract suites need to know of a connector. Each `tests/contract/<name>/cases.py` exports `CASES`.

The suites (test_quartet, test_wire_faults, test_webhooks, test_secrets) run over every `CASES` they find, so a new
connector gets all of them by describing itself once.
"""

from __future__ import annotations

import importlib
import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import httpx

from domain.errors import ConnectorError
from domain.partner_events import PartnerEvent

HERE = Path(__file__).parent


@dataclass(frozen=True)
class ErrorSample:
    """A refusal as the partner words it, and what we make of it."""

    file: str
    status: int
    error: type[ConnectorError]
    partner_code: str = ""


@dataclass(frozen=True)
class OperationCase:
    """One operation of a connector.

    Attributes:
        invoke: Called with the connector; the whole call under test.
        path: Exact URL path of the request (query not compared unless `query` is given).
        request_file: Expected JSON body in `wire/`, or "" for none.
        response_file: The partner's answer in `wire/` (JSON), or "" for an empty body.
        expected: The domain object that must come back.
        headers: Headers that must be present with these values.
        unavailable_is_unknown: True when the operation is unsafe to repeat: lost answers are OutcomeUnknownError.
        rejected: Error classes that an unexplained 400 may become.
    """

    name: str
    invoke: Callable[[Any], Awaitable[Any]]
    method: str
    path: str
    response_file: str
    expected: Any
    request_file: str = ""
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    query: Mapping[str, str] | None = None
    errors: tuple[ErrorSample, ...] = ()
    unavailable_is_unknown: bool = False


@dataclass(frozen=True)
class WebhookCases:
    """How a connector's webhook is proved: `sign` makes the headers for a body.

    Attributes:
        signs_body: False where the partner proves itself by a token that does not cover the body.
    """

    verify: Callable[[bytes, Mapping[str, str]], None]
    parse: Callable[[bytes, Mapping[str, str]], list[PartnerEvent]]
    sign: Callable[[bytes], dict[str, str]]
    samples: tuple[tuple[str, list[PartnerEvent]], ...]
    signature_header: str
    signs_body: bool = True


@dataclass(frozen=True)
class ConnectorCases:
    """Everything the shared suites need of one connector.

    Attributes:
        build: Makes the connector around a client.
        answers: Fixed answers for side calls (a session token, say): (method, path) to a JSON-able body.
        secrets: Values that may appear in no repr, error or journal entry.
    """

    name: str
    build: Callable[[httpx.AsyncClient, Any], Any]
    base_url: str
    operations: tuple[OperationCase, ...]
    secrets: tuple[str, ...]
    answers: Mapping[tuple[str, str], Any] = field(default_factory=dict)
    webhook: WebhookCases | None = None

    def wire(self, file: str) -> bytes:
        """Return a sample from this connector's `wire/` folder."""
        return (HERE / self.name / "wire" / file).read_bytes() if file else b""


def all_cases() -> list[ConnectorCases]:
    """Return the cases of every connector that has them, by name."""
    found = sorted(path.parent.name for path in HERE.glob("*/cases.py"))
    return [importlib.import_module(f"tests.contract.{name}.cases").CASES for name in found]


def all_operations() -> list[tuple[ConnectorCases, OperationCase]]:
    """Return every (connector, operation) pair."""
    return [(cases, operation) for cases in all_cases() for operation in cases.operations]


class Wire:
    """A stand-in partner: answers the operation as told and remembers what was sent."""

    def __init__(self, cases: ConnectorCases, answer: Callable[[httpx.Request], httpx.Response]) -> None:
        self.cases = cases
        self.answer = answer
        self.requests: list[httpx.Request] = []
        self.client = httpx.AsyncClient(transport=httpx.MockTransport(self._handle), base_url=cases.base_url)

    def _handle(self, request: httpx.Request) -> httpx.Response:
        side = self.cases.answers.get((request.method, request.url.path))
        if side is not None:
            return httpx.Response(200, json=side)
        self.requests.append(request)
        return self.answer(request)

    def body(self) -> Any:
        """Return the JSON body, or the fields of the form, of the one request that was sent."""
        (request,) = self.requests
        if request.headers.get("content-type") == "application/x-www-form-urlencoded":
            return dict(parse_qsl(request.content.decode(), strict_parsing=True))
        return json.loads(request.content) if request.content else None


class RecordingJournal:
    """Keeps the journal entries in memory."""

    def __init__(self) -> None:
        self.calls: list[Any] = []

    async def record(self, call: Any) -> None:
        self.calls.append(call)
