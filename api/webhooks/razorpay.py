"""Razorpay's webhooks. Source: razorpay.com/docs, "Webhooks: validate and test", specs: 2xx within 5 s."""

from __future__ import annotations

from collections.abc import Sequence

from fastapi import APIRouter, Request, Response

from api.deps import Delivery, Door, FromApp
from api.errors import responses
from api.webhooks.inbox import take
from connectors.razorpay import webhook
from domain.partner_events import PartnerEvent

SOURCE = "razorpay"

router = APIRouter(tags=["webhooks"])


def door(secrets: Sequence[str]) -> Door:
    """Return the door for an account with these webhook secrets."""

    async def verify(delivery: Delivery) -> None:
        webhook.verify(delivery.body, delivery.headers, secrets)

    def parse(delivery: Delivery) -> list[PartnerEvent]:
        return webhook.parse(delivery.body, delivery.headers)

    return Door(verify, parse)


@router.post("/webhooks/razorpay", responses=responses(404, 413))
async def receive(request: Request, resources: FromApp) -> Response:
    """Take one event in."""
    return await take(request, resources, SOURCE, Response("{}", media_type="application/json"))
