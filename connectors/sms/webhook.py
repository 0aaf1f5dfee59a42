"""Twilio's status callbacks: prove who sent them, reduce them to ids.

The signature covers the public URL, so `url` is rebuilt from `SmsSettings.status_callback_url` and the query string of
the request, never from the `Host` header. Callbacks are unordered and by default not retried.

Source: twilio.com/docs/usage/security, "Validating requests", and the Message resource's status callback, read
2026-11-22.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Iterable, Mapping, Sequence
from urllib.parse import parse_qsl, urlsplit

from connectors.sms.mapping import delivery_state, reference_of
from domain.errors import AuthError, MessageError
from domain.messaging import DeliveryState, delivery_kind
from domain.partner_events import PartnerEvent

SIGNATURE_HEADER = "x-twilio-signature"
MAX_BODY_BYTES = 64 * 1024
_MAX_FIELDS = 200
_MAX_ID_CHARS = 128
_DEFAULT_PORTS = {"https": 443, "http": 80}


def verify(body: bytes, headers: Mapping[str, str], *, url: str, auth_tokens: Sequence[str]) -> None:
    """Check that one of our active auth tokens signed this URL and these fields.

    Args:
        body: As received.
        headers: Of the request; names in any case.
        url: The public address called, with its query string.
        auth_tokens: The current one and those being replaced.

    Raises:
        AuthError: Unsigned, signed with something else, or changed on the way.
    """
    given = next((value for key, value in headers.items() if key.lower() == SIGNATURE_HEADER), "").encode()
    expected = [
        signature(candidate, fields, token).encode()
        for token in auth_tokens
        if token
        for fields in [_signed_fields(body, url)]
        for candidate in _spellings(url)
    ]
    # every candidate is compared, so that the time taken does not tell which one fits
    if not any([hmac.compare_digest(given, one) for one in expected]):  # noqa: C419  a generator would stop early
        raise AuthError("sms callback: the signature is missing or wrong", connector="sms")


def signature(url: str, fields: Iterable[tuple[str, str]], auth_token: str) -> str:
    """Return the signature of a URL and its form fields: names sorted, values of one name without repeats, sorted."""
    text = url + "".join(name + value for name, value in sorted(set(fields)))
    return base64.b64encode(hmac.new(auth_token.encode(), text.encode(), "sha1").digest()).decode()


def parse(body: bytes, headers: Mapping[str, str], *, url: str = "") -> list[PartnerEvent]:
    """Return the one event of a callback; our notification id comes from the query of `url`.

    Raises:
        MessageError: Not a status callback.
    """
    del headers  # everything is in the form
    if len(body) > MAX_BODY_BYTES:
        raise MessageError(f"sms callback: longer than {MAX_BODY_BYTES} bytes", code="WEBHOOK_TOO_LARGE")
    fields = dict(_fields(body))
    sid, status = _text(fields.get("MessageSid", "")), _text(fields.get("MessageStatus", ""))
    if not sid or not status:
        raise MessageError("sms callback: no message SID or no status", code="WEBHOOK_UNREADABLE")
    state = delivery_state(status)
    return [
        PartnerEvent(
            event_id=f"{sid}:{status}",
            kind=delivery_kind(state),
            reference=_text(reference_of(url)),
            entity_id=sid,
            code=_text(fields.get("ErrorCode", "")) if state is DeliveryState.FAILED else "",
        )
    ]


def _signed_fields(body: bytes, url: str) -> list[tuple[str, str]]:
    """Return the fields that the signature covers. A JSON body is covered by its digest inside the URL instead."""
    digest = dict(parse_qsl(urlsplit(url).query)).get("bodySHA256")
    if digest is None:
        try:
            return _fields(body)
        except MessageError as error:
            raise AuthError("sms callback: not a form, so it cannot be signed", connector="sms") from error
    if not hmac.compare_digest(hashlib.sha256(body).hexdigest().encode(), digest.encode()):
        raise AuthError("sms callback: the body is not the signed one", connector="sms")
    return []


def _fields(body: bytes) -> list[tuple[str, str]]:
    try:
        return parse_qsl(body.decode(), keep_blank_values=True, max_num_fields=_MAX_FIELDS)
    except ValueError as error:
        raise MessageError("sms callback: not a form", code="WEBHOOK_UNREADABLE") from error


def _spellings(url: str) -> list[str]:
    """Return `url` as it is, without its port, and with the default port: Twilio may sign any of them."""
    parts = urlsplit(url)
    host, port = parts.hostname or "", parts.port
    if not host:
        return [url]
    default = _DEFAULT_PORTS.get(parts.scheme)
    bare = parts._replace(netloc=host).geturl()
    return [url, bare, *([parts._replace(netloc=f"{host}:{default}").geturl()] if default and port is None else [])]


def _text(value: str) -> str:
    """Return an id; PostgreSQL stores neither NUL nor lone surrogates, and no id of Twilio has any."""
    return value[:_MAX_ID_CHARS] if value.isprintable() else ""
