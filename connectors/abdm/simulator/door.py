"""What the gateway checks before it reads a request, and how it words a refusal.

Source: ABDM Developer Portal, "Integration learnings" and error list of 21 Sep 2026; time window of the ProjectEKA
gateway (2021), as today's is not published.
"""

from __future__ import annotations

import re
import uuid
from dataclasses import dataclass
from datetime import datetime, timedelta

from fastapi import Request
from fastapi.responses import JSONResponse, Response

from connectors.abdm.simulator.network import Network
from connectors.simulation import bounded_body, json_object

_STAMP = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")
_BEHIND = timedelta(minutes=1)
_AHEAD = timedelta(minutes=9)


class Refusal(Exception):
    """A request is refused; becomes the HTTP answer."""

    def __init__(self, status: int, code: str, message: str, *, fixed_shape: bool = False) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message
        self.fixed_shape = fixed_shape


def refusal_response(network: Network, refusal: Refusal) -> Response:
    """Return the answer in one of the shapes the gateway uses."""
    network.refusals.append(f"{refusal.code or refusal.status}: {refusal.message}")
    flat = {"code": refusal.code, "message": refusal.message}
    if refusal.fixed_shape:
        return JSONResponse(flat | {"description": refusal.message}, refusal.status)
    match network.quirks.error_shape:
        case "array":
            return JSONResponse([flat | {"code": f"{refusal.code}: "}], refusal.status)
        case "flat":
            return JSONResponse(flat | {"timestamp": "2026-09-16 10:12:48"}, refusal.status)
        case "colon":
            return JSONResponse({"error": flat | {"code": f"{refusal.code}: "}}, refusal.status)
        case "empty":
            return Response(status_code=refusal.status)
        case _:
            return JSONResponse({"error": flat}, refusal.status)


@dataclass(frozen=True)
class Admitted:
    """A request that came past the door.

    Attributes:
        is_ours: False for a facility the gateway does not know: it is accepted and nothing happens.
    """

    request_id: str
    hip_id: str
    body: dict[str, object]
    is_ours: bool


def check_bearer(network: Network, request: Request) -> None:
    """Refuse a request without a valid session.

    Raises:
        Refusal: 401 of the API gateway, or 403 when the client is not subscribed.
    """
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    if not token:
        raise Refusal(401, "900902", "Missing Credentials", fixed_shape=True)
    expiry = network.sessions.get(token)
    if scheme != "Bearer" or expiry is None or expiry <= network.clock():
        raise Refusal(401, "900901", "Invalid Credentials", fixed_shape=True)
    if network.quirks.not_subscribed:
        raise Refusal(403, "900908", "Resource forbidden", fixed_shape=True)


def check_headers(network: Network, request: Request) -> str:
    """Refuse a request without proper REQUEST-ID, TIMESTAMP and X-CM-ID; return the request id.

    Raises:
        Refusal: 400 with the header's own code.
    """
    request_id = request.headers.get("request-id", "")
    try:
        uuid.UUID(request_id)
    except ValueError:
        raise Refusal(400, "ABDM-2404", "Invalid Request Id") from None
    stamp = request.headers.get("timestamp", "")
    if not _STAMP.fullmatch(stamp):
        raise Refusal(400, "ABDM-2402", "Invalid Timestamp")
    sent_at = datetime.fromisoformat(stamp)
    now = network.clock()
    if not now - _BEHIND <= sent_at <= now + _AHEAD:
        raise Refusal(400, "ABDM-2402", "Invalid Timestamp")
    if request.headers.get("x-cm-id") != network.config.cm_id:
        raise Refusal(400, "ABDM-2403", "Invalid X-CM-ID")
    return request_id


async def admit(network: Network, request: Request, *, duplicate: tuple[str, str] | None = None) -> Admitted:
    """Check everything that all calls of a provider have in common, and read the body.

    Args:
        network: The gateway's memory.
        request: The call.
        duplicate: Code and message of this API for a replayed REQUEST-ID, where it has its own.

    Raises:
        Refusal: The first check that fails.
    """
    check_bearer(network, request)
    request_id = check_headers(network, request)
    hip_id = request.headers.get("x-hip-id", "")
    if not hip_id:
        raise Refusal(401, "", "X-HIP-ID header is missing", fixed_shape=True)
    if request_id in network.seen_requests:
        raise Refusal(400, *(duplicate or ("ABDM-1064", "request with this request id already exists")))
    network.seen_requests.add(request_id)
    body = json_object(await bounded_body(request))
    return Admitted(request_id, hip_id, body, hip_id == network.config.hip_id)


def dig(value: object, *path: str) -> object:
    """Return what stands at `path` inside nested objects, or None."""
    for step in path:
        value = value.get(step) if isinstance(value, dict) else None
    return value


def text_at(value: object, *path: str) -> str:
    """Return the text at `path`, or "" when there is none."""
    found = dig(value, *path)
    return found if isinstance(found, str) else ""


def objects_at(value: object, *path: str) -> list[dict[str, object]]:
    """Return the list of objects at `path`; a wrong kind is an empty list."""
    found = dig(value, *path)
    return [item for item in found if isinstance(item, dict)] if isinstance(found, list) else []
