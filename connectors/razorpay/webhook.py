"""Razorpay's webhooks: prove who sent them, reduce them to ids.

The signature is over the raw body and carries no time, so a replay is only caught by the event id. One payment raises
four events with four ids (`payment.authorized`, `payment.captured`, `order.paid`, `payment_link.paid`).

Source: razorpay.com/docs, "Webhooks: Validate and Test", "Best Practices", "Payment Link Events", read 2026-11-22.
"""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Mapping, Sequence

from connectors.razorpay.mapping import REFERENCE_NOTE
from domain.errors import AuthError, MessageError
from domain.partner_events import PartnerEvent

SIGNATURE_HEADER = "x-razorpay-signature"
EVENT_ID_HEADER = "x-razorpay-event-id"
MAX_BODY_BYTES = 1 << 20
_MAX_ID_CHARS = 128


def verify(body: bytes, headers: Mapping[str, str], secrets: Sequence[str]) -> None:
    """Check that one of our active webhook secrets signed exactly these bytes.

    Raises:
        AuthError: Unsigned, or signed with something else.
    """
    given = _header(headers, SIGNATURE_HEADER).encode()
    expected = [hmac.new(secret.encode(), body, hashlib.sha256).hexdigest().encode() for secret in secrets if secret]
    # every secret is compared, so that the time taken does not tell which one is in use
    if not any([hmac.compare_digest(given, one) for one in expected]):  # noqa: C419  a generator would stop early
        raise AuthError("razorpay webhook: the signature is missing or wrong", connector="razorpay")


def parse(body: bytes, headers: Mapping[str, str]) -> list[PartnerEvent]:
    """Return the one event of a webhook; an event nobody knows comes back with its own name.

    Raises:
        MessageError: Not a Razorpay event.
    """
    envelope = _object(body)
    kind = _text(envelope.get("event"))
    payload = envelope.get("payload", {})
    if not kind or not isinstance(payload, dict):
        raise MessageError("razorpay webhook: no event name or no payload", code="WEBHOOK_UNREADABLE")
    entities = _entities(payload)
    # `refund.processed` is about the refund, although the payment travels with it
    about = kind.partition(".")[0]
    subject = entities.get(about, {})
    return [
        PartnerEvent(
            event_id=_text(_header(headers, EVENT_ID_HEADER)) or hashlib.sha256(body).hexdigest(),
            kind=kind,
            reference=_reference(about, entities),
            entity_id=_text(subject.get("id")),
            code=_text(subject.get("error_reason")) or _text(subject.get("error_code")),
        )
    ]


def verify_return(query: Mapping[str, str], key_secret: str) -> None:
    """Check the query that a browser brings back after paying. A hint only: fetch the link before believing it.

    Source: razorpay.com/docs, "Payment Links APIs", verify payment link signature, read 2026-11-22. Signed with the
    API key secret, not with a webhook secret.

    Raises:
        AuthError: Not signed by Razorpay.
    """
    names = ("payment_link_id", "payment_link_reference_id", "payment_link_status", "payment_id")
    signed = "|".join(query.get(f"razorpay_{name}", "") for name in names)
    expected = hmac.new(key_secret.encode(), signed.encode(), hashlib.sha256).hexdigest()
    if not hmac.compare_digest(query.get("razorpay_signature", "").encode(), expected.encode()):
        raise AuthError("razorpay return page: the signature is missing or wrong", connector="razorpay")


def _object(body: bytes) -> dict[str, object]:
    if len(body) > MAX_BODY_BYTES:
        raise MessageError(f"razorpay webhook: longer than {MAX_BODY_BYTES} bytes", code="WEBHOOK_TOO_LARGE")
    try:
        parsed = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise MessageError("razorpay webhook: not JSON", code="WEBHOOK_UNREADABLE") from error
    if not isinstance(parsed, dict):
        raise MessageError("razorpay webhook: not a JSON object", code="WEBHOOK_UNREADABLE")
    return parsed


def _entities(payload: Mapping[str, object]) -> dict[str, dict[str, object]]:
    """Return the entities by name. Not every member of a payload is one: `refund.speed_changed` has a time there."""
    found: dict[str, dict[str, object]] = {}
    for name, holder in payload.items():
        entity = holder.get("entity") if isinstance(holder, dict) else None
        if isinstance(entity, dict):
            found[name] = entity
    return found


def _reference(about: str, entities: Mapping[str, Mapping[str, object]]) -> str:
    """Return our reference: the link's own, else the note on the subject, else the note on what travels with it.

    Razorpay copies a link's notes to its order and payment; a refund carries its own.
    """
    if reference := _text(entities.get("payment_link", {}).get("reference_id")):
        return reference
    for name in sorted(entities, key=lambda name: (name != about, name)):
        notes = entities[name].get("notes")
        if isinstance(notes, dict) and (reference := _text(notes.get(REFERENCE_NOTE))):
            return reference
    return ""


def _text(value: object) -> str:
    """Return an id; PostgreSQL stores neither NUL nor lone surrogates, and no id of Razorpay has any."""
    return value[:_MAX_ID_CHARS] if isinstance(value, str) and value.isprintable() else ""


def _header(headers: Mapping[str, str], name: str) -> str:
    return next((value for key, value in headers.items() if key.lower() == name), "")
