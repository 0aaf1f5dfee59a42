"""WhatsApp's webhooks: the handshake, the signature, and statuses reduced to ids.

One delivery may hold many entries, each with many changes, each with many statuses; all three levels are read. Nothing
is ordered and everything may come twice, up to seven days later and even before the answer to our own call.

Source: developers.facebook.com, "Webhooks: Getting started" and "Message status webhooks", read 2026-11-22.
"""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Iterator, Mapping, Sequence

from connectors.whatsapp.mapping import delivery_state
from domain.errors import AuthError, MessageError
from domain.messaging import delivery_kind
from domain.partner_events import PartnerEvent

SIGNATURE_HEADER = "x-hub-signature-256"
MAX_BODY_BYTES = 3 << 20
INBOUND_KIND = "message.received"
"""A person wrote to us; only the message's id is passed on."""

_MAX_ID_CHARS = 512


def answer_handshake(query: Mapping[str, str], verify_token: str) -> str:
    """Return the text that proves to Meta that this endpoint is ours; it goes back as plain text with 200.

    Args:
        query: Of the GET: `hub.mode`, `hub.verify_token`, `hub.challenge`.
        verify_token: From the settings; an empty one accepts nobody.

    Raises:
        AuthError: The caller does not know the token; answer 403.
    """
    given = query.get("hub.verify_token", "").encode()
    known = bool(verify_token) and hmac.compare_digest(given, verify_token.encode())
    if query.get("hub.mode") != "subscribe" or not known:
        raise AuthError("whatsapp webhook: wrong verify token", connector="whatsapp")
    return query.get("hub.challenge", "")[:_MAX_ID_CHARS]


def verify(body: bytes, headers: Mapping[str, str], secrets: Sequence[str]) -> None:
    """Check that one of our active app secrets signed exactly these bytes.

    Raises:
        AuthError: Unsigned, or signed with something else.
    """
    given = next((value for key, value in headers.items() if key.lower() == SIGNATURE_HEADER), "").encode()
    expected = [
        b"sha256=" + hmac.new(one.encode(), body, hashlib.sha256).hexdigest().encode() for one in secrets if one
    ]
    # every secret is compared, so that the time taken does not tell which one is in use
    if not any([hmac.compare_digest(given, one) for one in expected]):  # noqa: C419  a generator would stop early
        raise AuthError("whatsapp webhook: the signature is missing or wrong", connector="whatsapp")


def parse(body: bytes, headers: Mapping[str, str]) -> list[PartnerEvent]:
    """Return one event per status, per inbound message and per notice about the account, in the order sent.

    Raises:
        MessageError: Not a WhatsApp webhook.
    """
    del headers  # everything is in the body
    envelope = _object(body)
    entries = envelope.get("entry")
    if not isinstance(entries, list):
        raise MessageError("whatsapp webhook: no entries", code="WEBHOOK_UNREADABLE")
    digest = hashlib.sha256(body).hexdigest()
    events: list[PartnerEvent] = []
    for entry in _objects(entries):
        for change in _objects(entry.get("changes")):
            # no notice has an id: its place in the exact bytes is one
            events.extend(_events(change, f"{digest}:{len(events)}"))
    return events


def _events(change: Mapping[str, object], notice_id: str) -> Iterator[PartnerEvent]:
    field, value = _text(change.get("field")), change.get("value")
    if field != "messages" or not isinstance(value, dict):
        yield PartnerEvent(event_id=notice_id, kind=field or "unknown")
        return
    for status in _objects(value.get("statuses")):
        wamid, name = _text(status.get("id")), _text(status.get("status"))
        if wamid and name:
            yield PartnerEvent(
                event_id=f"{wamid}:{name}",
                kind=delivery_kind(delivery_state(name)),
                reference=_text(status.get("biz_opaque_callback_data")),
                entity_id=wamid,
                code=_first_code(status.get("errors")),
            )
    for message in _objects(value.get("messages")):
        if wamid := _text(message.get("id")):
            yield PartnerEvent(event_id=wamid, kind=INBOUND_KIND, entity_id=wamid)


def _first_code(errors: object) -> str:
    """Return the code of the first error; it is a number on the wire."""
    code = next((error.get("code") for error in _objects(errors)), None)
    return str(code) if isinstance(code, int) and not isinstance(code, bool) and abs(code) < 10**9 else ""


def _object(body: bytes) -> dict[str, object]:
    if len(body) > MAX_BODY_BYTES:
        raise MessageError(f"whatsapp webhook: longer than {MAX_BODY_BYTES} bytes", code="WEBHOOK_TOO_LARGE")
    try:
        parsed = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise MessageError("whatsapp webhook: not JSON", code="WEBHOOK_UNREADABLE") from error
    if not isinstance(parsed, dict):
        raise MessageError("whatsapp webhook: not a JSON object", code="WEBHOOK_UNREADABLE")
    return parsed


def _objects(value: object) -> Iterator[dict[str, object]]:
    """Yield the objects of a list; anything else in it, or instead of it, is nothing."""
    if isinstance(value, list):
        yield from (item for item in value if isinstance(item, dict))


def _text(value: object) -> str:
    """Return an id; PostgreSQL stores neither NUL nor lone surrogates, and no id of Meta has any."""
    return value[:_MAX_ID_CHARS] if isinstance(value, str) and value.isprintable() else ""
