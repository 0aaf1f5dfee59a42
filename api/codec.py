"""The codec endpoint of the Temporal UI: opens sealed payloads for people who may see them, and says so in the audit.

Source: Temporal, "Codec Server" (`POST /encode`, `POST /decode`, body and answer the JSON form of `Payloads`, request
header `X-Namespace`, CORS for the UI's origin), specs.
"""

from __future__ import annotations

import hmac
from collections.abc import Sequence
from typing import Annotated

from fastapi import APIRouter, Depends, Request, Response
from google.protobuf import json_format
from temporalio.api.common.v1 import Payload, Payloads
from temporalio.converter import PayloadCodec

from api.deps import Bearer, FromApp, Resources, SignedIn, signed_in
from api.errors import BadRequestError, responses
from api.permissions import Permission, branches_with
from domain.errors import NotFoundError, NotPermittedError
from store import audit

router = APIRouter(prefix="/temporal/codec", tags=["temporal"])

MAX_PAYLOADS = 500


async def decoder(resources: FromApp, bearer: Bearer) -> str:
    """Return who asks.

    Raises:
        UnauthenticatedError: No good token.
        NotPermittedError: The caller may not read payloads.
    """
    if resources.config.is_codec_open:
        return "development"
    user: SignedIn = await signed_in(resources, bearer)
    if not branches_with(user, Permission.PAYLOAD_DECODE):
        raise NotPermittedError(f"this needs the permission {Permission.PAYLOAD_DECODE.value}")
    return user.username


Who = Annotated[str, Depends(decoder)]


def _allowed(resources: Resources, request: Request) -> dict[str, str]:
    """Return the CORS headers: for the UI's origin only."""
    origin, wanted = request.headers.get("origin", ""), resources.config.temporal_ui_origin
    if not wanted or not hmac.compare_digest(origin.encode(), wanted.encode()):
        return {}
    return {
        "Access-Control-Allow-Origin": wanted,
        "Access-Control-Allow-Methods": "POST",
        "Access-Control-Allow-Headers": "authorization,content-type,x-namespace",
        "Access-Control-Allow-Credentials": "true",
        "Cross-Origin-Resource-Policy": "cross-origin",
        "Vary": "Origin",
    }


@router.options("/{operation}", include_in_schema=False)
async def preflight(operation: str, request: Request, resources: FromApp) -> Response:
    """Tell a browser whether the page it shows may call here."""
    del operation
    headers = _allowed(resources, request)
    return Response(status_code=204 if headers else 403, headers=headers)


@router.post("/decode", responses=responses(400, 404))
async def decode(request: Request, who: Who, resources: FromApp) -> Response:
    """Open sealed payloads; others pass through."""
    payloads = await _payloads(request)
    opened = await _codec(resources).decode(payloads)
    async with resources.database.transaction(branches=()) as session:
        await audit.record(
            session, chain="lab", actor=who, action="payload.decoded", object_kind="namespace",
            object_id=request.headers.get("x-namespace", "")[:60], body={"count": len(payloads)},
        )  # fmt: skip
    return _answer(opened, _allowed(resources, request))


@router.post("/encode", responses=responses(400, 404))
async def encode(request: Request, who: Who, resources: FromApp) -> Response:
    """Seal payloads that somebody types into the UI."""
    del who
    sealed = await _codec(resources).encode(await _payloads(request))
    return _answer(sealed, _allowed(resources, request))


def _codec(resources: Resources) -> PayloadCodec:
    if resources.codec is None:
        raise NotFoundError("payloads are not sealed here", code="CODEC_NOT_CONFIGURED")
    return resources.codec


async def _payloads(request: Request) -> list[Payload]:
    try:
        parsed = json_format.Parse(await request.body(), Payloads(), max_recursion_depth=10)
    except (json_format.ParseError, ValueError, RecursionError) as error:
        raise BadRequestError("the body is not a list of payloads", code="PAYLOADS_INVALID") from error
    if len(parsed.payloads) > MAX_PAYLOADS:
        raise BadRequestError(f"at most {MAX_PAYLOADS} payloads at once", code="PAYLOADS_INVALID")
    return list(parsed.payloads)


def _answer(payloads: Sequence[Payload], headers: dict[str, str]) -> Response:
    body = json_format.MessageToJson(Payloads(payloads=payloads), indent=None)
    return Response(body, media_type="application/json", headers=headers)
