"""WhatsApp's webhooks and their subscription handshake.

Source: developers.facebook.com, "Webhooks: Getting started", specs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from fastapi import APIRouter, Request, Response

from api.deps import Delivery, Door, FromApp
from api.errors import responses
from api.webhooks.inbox import door_of, take
from connectors.whatsapp import webhook
from domain.errors import AuthError, NotPermittedError
from domain.partner_events import PartnerEvent

SOURCE = "whatsapp"

router = APIRouter(tags=["webhooks"])


def door(app_secrets: Sequence[str], verify_token: str) -> Door:
    """Return the door for an app with these secrets and this verify token."""

    async def verify(delivery: Delivery) -> None:
        webhook.verify(delivery.body, delivery.headers, app_secrets)

    def parse(delivery: Delivery) -> list[PartnerEvent]:
        return webhook.parse(delivery.body, delivery.headers)

    def handshake(query: Mapping[str, str]) -> str:
        return webhook.answer_handshake(query, verify_token)

    return Door(verify, parse, handshake)


@router.get("/webhooks/whatsapp", responses=responses(404))
async def handshake(request: Request, resources: FromApp) -> Response:
    """Prove to Meta that this address is ours."""
    answer = door_of(resources, SOURCE).handshake
    if answer is None:
        raise NotPermittedError("this door has no handshake", code="WEBHOOK_NOT_CONFIGURED")
    try:
        challenge = answer(request.query_params)
    except AuthError as error:
        raise NotPermittedError(error.message, code="HANDSHAKE_REFUSED") from error
    return Response(challenge, media_type="text/plain")


@router.post("/webhooks/whatsapp", responses=responses(404, 413))
async def receive(request: Request, resources: FromApp) -> Response:
    """Take one delivery in; it may hold many statuses, each stored under its own id."""
    return await take(request, resources, SOURCE, Response("{}", media_type="application/json"))
