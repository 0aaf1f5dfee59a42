"""Instrument messages over HTTP: `POST /connectors/{astm,hl7}/{analyzer}` with the analyzer's API key.

The bytes are stored and committed before anything is answered, as on TCP. A body may hold several messages; each is
stored on its own. HL7 gets its acknowledgements, ASTM a receipt in JSON.
"""

from __future__ import annotations

from typing import Annotated, Literal
from uuid import UUID

from fastapi import APIRouter, Header, Request, Response
from fastapi.responses import JSONResponse
from pydantic import BaseModel

from api.deps import FromApp, Resources
from api.errors import BadRequestError, UnauthenticatedError, responses
from connectors.astm import records
from connectors.hl7 import ack, framing
from domain.device_profile import DeviceProfile
from domain.errors import ConflictError, FrameError
from domain.observations import StoreOutcome
from store.instrument_messages import KeyOwner, keep_message, owner_of_key
from store.tables.results import Analyzer
from telemetry import metrics

router = APIRouter(tags=["instruments"])

MAX_MESSAGES = 500
HL7_TYPE = "application/hl7-v2; charset=utf-8"
"""Source: HL7 v2 over HTTP (HAPI), "application/hl7-v2" as media type of requests and answers."""


class Receipt(BaseModel):
    """The ids under which the messages of a body are stored."""

    stored: list[UUID]


@router.post("/connectors/{protocol}/{analyzer}", responses=responses(400, 409, 413), response_model=Receipt)
async def receive(
    protocol: Literal["astm", "hl7"],
    analyzer: str,
    request: Request,
    resources: FromApp,
    x_api_key: Annotated[str | None, Header(description="The analyzer's key.")] = None,
) -> Response:
    """Store what an analyzer or its middleware sends, then acknowledge."""
    owner, profile = await _owner(resources, analyzer, x_api_key or "")
    if owner.protocol != protocol:
        raise ConflictError(f"analyzer {analyzer} speaks {owner.protocol}", code="PROTOCOL_MISMATCH")
    body = await request.body()
    messages, framing_error = _split(protocol, body)
    if not messages:
        raise BadRequestError("the body holds no message", code="MESSAGE_EMPTY")
    if len(messages) > MAX_MESSAGES:
        raise BadRequestError(f"a body holds at most {MAX_MESSAGES} messages", code="MESSAGES_TOO_MANY")
    peer = request.client.host if request.client else ""
    async with resources.database.transaction(branches=()) as session:
        ids = [
            await keep_message(
                session, raw, analyzer_id=owner.id, protocol=protocol, transport="http", peer=peer,
                framing_error=framing_error,
            )
            for raw in messages
        ]  # fmt: skip
    for _ in ids:
        metrics.instrument_message(protocol, "stored")
    if protocol == "hl7":
        return _acknowledged(messages, profile)
    return JSONResponse(Receipt(stored=ids).model_dump(mode="json"))


async def _owner(resources: Resources, code: str, key: str) -> tuple[KeyOwner, DeviceProfile]:
    async with resources.database.transaction(branches=()) as session:
        owner = await owner_of_key(session, key) if key else None
        if owner is None or owner.code != code:
            raise UnauthenticatedError(
                "the API key is not valid for this analyzer", code="API_KEY_INVALID", action="Check key and address."
            )
        row = await session.get_one(Analyzer, owner.id)
    return owner, DeviceProfile.model_validate(row.profile or {"protocol": owner.protocol})


def _split(protocol: str, body: bytes) -> tuple[list[bytes], str]:
    """Return the messages in a body. A body with a broken frame is kept whole: nothing that came is lost."""
    try:
        return (records if protocol == "astm" else framing).split_http_body(body), ""
    except FrameError as error:
        return [body], error.code


def _acknowledged(messages: list[bytes], profile: DeviceProfile) -> Response:
    """Return every acknowledgement the messages ask for; 202 where they ask for none."""
    answers = [answer for raw in messages for answer in ack.acknowledgements(raw, StoreOutcome(accepted=True), profile)]
    return Response(b"".join(answers), 200 if answers else 202, media_type=HL7_TYPE)
