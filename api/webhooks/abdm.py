"""Callbacks of the ABDM gateway at our bridge URL, `<public address>/webhooks/abdm`.

Source: ABDM Developer Portal, "Callback authenticity" and "Integration learnings", catalogue 2026.09.16: answer 202
with an empty body within seconds, do the work afterwards.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping

from fastapi import APIRouter, Request, Response

from api.deps import Delivery, Door, FromApp
from api.errors import responses
from api.webhooks.inbox import door_of, take
from connectors.abdm import webhook
from domain.errors import NotFoundError
from domain.partner_events import PartnerEvent

SOURCE = "abdm"

router = APIRouter(tags=["webhooks"])


def door(verify_headers: Callable[[Mapping[str, str]], Awaitable[None]]) -> Door:
    """Return the door for a bridge; `verify_headers` is `connectors.abdm.webhook.GatewayKeyring.verify`."""

    async def verify(delivery: Delivery) -> None:
        await verify_headers(delivery.headers)

    def parse(delivery: Delivery) -> list[PartnerEvent]:
        return webhook.parse(delivery.body, delivery.headers, path=delivery.url.partition("?")[0])

    return Door(verify, parse)


@router.post("/webhooks/abdm/{api:path}", status_code=202, responses=responses(404, 413))
async def receive(api: str, request: Request, resources: FromApp) -> Response:
    """Take one callback in."""
    door_of(resources, SOURCE)
    if f"/{api}" not in webhook.CALLBACK_PATHS:
        raise NotFoundError("nothing is expected at this path", code="CALLBACK_UNKNOWN")
    return await take(request, resources, SOURCE, Response(status_code=202))
