"""The one path of every webhook: prove the raw bytes, store them, acknowledge. The dispatcher does the rest.

| delivery                     | stored          | answer                                     |
|------------------------------|-----------------|--------------------------------------------|
| proved, readable             | once per event  | the partner's acknowledgement              |
| proved, seen before          | no              | the same: it must not be sent for ever     |
| proved, unreadable           | once, as poison | the same: sending it again changes nothing |
| not proved                   | no              | 401                                        |
| cannot be proved or stored   | no              | 503: the partner sends it again            |
| partner not configured       | no              | 404                                        |
"""

from __future__ import annotations

import logging
from collections.abc import Mapping

from fastapi import Request, Response

from api.deps import Delivery, Door, Resources
from domain.errors import AuthError, ConnectorError, MessageError, NotFoundError, UnavailableError
from store.exchange import keep_event, keep_poison

log = logging.getLogger("labsetu.api.webhooks")

_KEPT_HEADERS = ("content-type", "user-agent", "request-id", "timestamp", "x-razorpay-event-id", "x-hip-id", "x-cm-id")
"""Of a delivery's headers these are stored: ids and kinds; never a signature or a token."""


def door_of(resources: Resources, source: str) -> Door:
    """Return a partner's door.

    Raises:
        NotFoundError: The partner is not configured.
    """
    door = resources.doors.get(source)
    if door is None:
        raise NotFoundError("nothing is received here", code="WEBHOOK_NOT_CONFIGURED", action="Configure the partner.")
    return door


async def take(request: Request, resources: Resources, source: str, acknowledgement: Response) -> Response:
    """Take one delivery in and return the acknowledgement.

    Raises:
        AuthError: It is not the partner's; nothing is stored.
        UnavailableError: The partner's keys are needed and cannot be had now.
        StoreUnavailableError: PostgreSQL is away.
    """
    door = door_of(resources, source)
    delivery = await _delivery(request, resources.config.public_url)
    try:
        await door.verify(delivery)
    except AuthError:
        log.warning("delivery refused: not proved", extra={"connector": source})
        raise
    except ConnectorError as error:
        raise UnavailableError("the delivery cannot be proved now", connector=source) from error
    await _store(resources, source, door, delivery)
    return acknowledgement


async def _store(resources: Resources, source: str, door: Door, delivery: Delivery) -> None:
    kept = kept_headers(delivery.headers)
    try:
        events = door.parse(delivery)
    except MessageError as error:
        log.warning("delivery stored as poison", extra={"connector": source, "code": error.code})
        async with resources.database.transaction(branches=()) as session:
            await keep_poison(session, source, raw=delivery.body, headers=kept, reason=error.code)
        return
    async with resources.database.transaction(branches=()) as session:
        for event in events:
            await keep_event(session, source, event, raw=delivery.body, headers=kept)


async def _delivery(request: Request, public_url: str) -> Delivery:
    # the partner signed the address it knows, not the one a proxy forwards to
    query = f"?{request.url.query}" if request.url.query else ""
    return Delivery(
        body=await request.body(),
        headers={name.lower(): value for name, value in request.headers.items()},
        url=f"{public_url}{request.url.path}{query}",
    )


def kept_headers(headers: Mapping[str, str]) -> dict[str, str]:
    """Return the headers worth keeping."""
    return {name: headers[name][:200] for name in _KEPT_HEADERS if name in headers}
