"""Status callbacks of the SMS gateway. Source: twilio.com/docs, "Webhook security", specs: the URL is signed too."""

from __future__ import annotations

from collections.abc import Sequence

from fastapi import APIRouter, Request, Response

from api.deps import Delivery, Door, FromApp
from api.errors import responses
from api.webhooks.inbox import take
from connectors.sms import webhook
from domain.partner_events import PartnerEvent

SOURCE = "sms"

router = APIRouter(tags=["webhooks"])


def door(auth_tokens: Sequence[str]) -> Door:
    """Return the door for an account with these auth tokens."""

    async def verify(delivery: Delivery) -> None:
        webhook.verify(delivery.body, delivery.headers, url=delivery.url, auth_tokens=auth_tokens)

    def parse(delivery: Delivery) -> list[PartnerEvent]:
        return webhook.parse(delivery.body, delivery.headers, url=delivery.url)

    return Door(verify, parse)


@router.post("/webhooks/sms", responses=responses(404, 413))
async def receive(request: Request, resources: FromApp) -> Response:
    """Take one callback in."""
    return await take(request, resources, SOURCE, Response(status_code=204))
