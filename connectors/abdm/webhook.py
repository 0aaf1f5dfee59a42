"""Callbacks of the gateway at our bridge URL: who sends them, and which fact each one reports.

The gateway proves itself by a bearer token it signs (RS256 or RS512), chosen by key id from its published key set. The
token does not cover the body: TLS does, and a callback can only name requests and consents, never carry a decision
that is not checked against our own record of them. Deliveries repeat; the REQUEST-ID header is the event's identity.
Source: ABDM Developer Portal, "Callback authenticity" and "Integration learnings", catalogue 2026.09.16.
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import datetime, timedelta

import jwt

from connectors.abdm.mapping import answer_from, consent_from, health_info_request_from
from connectors.abdm.settings import AbdmSettings
from domain.clock import utc_now
from domain.errors import AuthError, MessageError, UnavailableError
from domain.partner_events import PartnerEvent

LINK_TOKEN_ANSWERED = "link_token.answered"
LINK_ANSWERED = "care_context.link_answered"
NOTICE_ANSWERED = "care_context.notice_answered"
CONSENT_NOTIFIED = "consent.notified"
HEALTH_INFO_REQUESTED = "health_information.requested"

CALLBACK_PATHS: Mapping[str, str] = {
    "/api/v3/hip/token/on-generate-token": LINK_TOKEN_ANSWERED,
    "/api/v3/link/on_carecontext": LINK_ANSWERED,
    "/api/v3/links/context/on-notify": NOTICE_ANSWERED,
    "/api/v3/consent/request/hip/notify": CONSENT_NOTIFIED,
    "/api/v3/hip/health-information/request": HEALTH_INFO_REQUESTED,
}
"""Path below the bridge URL to event kind; `on_carecontext` has an underscore, the others a hyphen."""

ALGORITHMS = ("RS256", "RS512")
MAX_TOKEN_CHARACTERS = 8192
KEYS_MAX_AGE = timedelta(hours=12)
"""A key the gateway withdrew stops counting after this long."""
KEYS_MIN_PAUSE = timedelta(seconds=30)
"""Between two fetches of the key set, whatever key ids strangers invent."""
KEYS_FAILED_PAUSE = timedelta(seconds=5)
"""After a fetch that failed, so that callbacks of strangers do not become calls to the gateway."""

SigningKeys = Mapping[str, jwt.PyJWK]
KeySource = Callable[[], Awaitable[Sequence[Mapping[str, object]]]]


def signing_keys(key_set: Sequence[Mapping[str, object]]) -> dict[str, jwt.PyJWK]:
    """Return the usable keys of a JSON Web Key Set by key id; keys of other kinds are left out."""
    usable: dict[str, jwt.PyJWK] = {}
    for key in key_set:
        algorithm = key.get("alg", ALGORITHMS[0])
        if key.get("kty") != "RSA" or key.get("use", "sig") != "sig" or algorithm not in ALGORITHMS:
            continue
        try:
            usable[str(key["kid"])] = jwt.PyJWK(dict(key), algorithm=str(algorithm))
        except (jwt.PyJWTError, KeyError, ValueError, TypeError):
            continue
    return usable


def verify(headers: Mapping[str, str], keys: SigningKeys, settings: AbdmSettings) -> None:
    """Prove that a callback comes from the gateway and is for this facility.

    Args:
        headers: Of the callback; names in any case.
        keys: From `signing_keys`.
        settings: Expected audience, issuer, clock tolerance and facility id.

    Raises:
        AuthError: No token, or one that is expired, for somebody else, unsigned, or not signed by `keys`.
    """
    lowered = _lowered(headers)
    token = _bearer(lowered)
    key = keys.get(_key_id(token))
    if key is None:
        raise _not_proved("its token is signed with an unknown key")
    try:
        jwt.decode(
            token,
            key,
            algorithms=[str(key.algorithm_name)],
            audience=settings.callback_audience,
            issuer=settings.callback_issuer or None,
            leeway=settings.callback_leeway_s,
            options={"require": ["exp", "aud"]},
        )
    except (jwt.PyJWTError, ValueError, TypeError, RecursionError) as error:
        raise _not_proved(f"its token is not valid ({type(error).__name__})") from None
    facility = lowered.get("x-hip-id", "")
    if facility and facility != settings.hip_id:
        raise AuthError(
            "the callback is for another facility", code="CALLBACK_FOR_OTHERS",
            action="Check the facility id in the settings and the bridge registration.", connector="abdm",
        )  # fmt: skip


class GatewayKeyring:
    """The gateway's keys, fetched when needed: at the first callback, at an unknown key id, and when they grow old."""

    def __init__(self, settings: AbdmSettings, fetch: KeySource, now: Callable[[], datetime] = utc_now) -> None:
        self._settings = settings
        self._fetch = fetch
        self._now = now
        self._keys: SigningKeys = signing_keys(settings.gateway_keys)
        self._fetched_at: datetime | None = None
        self._failed_at: datetime | None = None
        self._lock = asyncio.Lock()

    async def verify(self, headers: Mapping[str, str]) -> None:
        """Prove that a callback comes from the gateway; see `verify`.

        Raises:
            AuthError: It does not.
            ConnectorError: The gateway's keys are needed and could not be fetched: answer 503, it will be repeated.
        """
        if not self._settings.gateway_keys:
            await self._refresh(_key_id(_bearer(_lowered(headers))))
        verify(headers, self._keys, self._settings)

    async def _refresh(self, key_id: str) -> None:
        async with self._lock:
            now = self._now()
            age = None if self._fetched_at is None else now - self._fetched_at
            is_stale = age is None or age > KEYS_MAX_AGE or (key_id not in self._keys and age >= KEYS_MIN_PAUSE)
            if not is_stale:
                return
            if self._failed_at is not None and now - self._failed_at < KEYS_FAILED_PAUSE:
                raise UnavailableError("the gateway's keys could not be fetched", connector="abdm")
            self._failed_at = now
            self._keys = signing_keys(await self._fetch())
            self._fetched_at, self._failed_at = now, None


def parse(body: bytes, headers: Mapping[str, str], *, path: str) -> list[PartnerEvent]:
    """Return the one fact a callback reports.

    Args:
        body: As received.
        headers: As received; names in any case.
        path: Where it was posted; a prefix before `/api/v3/…` is ignored.

    Raises:
        MessageError: The path, the REQUEST-ID or the body is not one of the gateway's.
    """
    kind = next((name for suffix, name in CALLBACK_PATHS.items() if path.endswith(suffix)), "")
    if not kind:
        raise MessageError("nothing is expected at this path", code="CALLBACK_UNKNOWN")
    event_id = request_id_of(headers)
    if kind == CONSENT_NOTIFIED:
        consent_id = consent_from(body).consent_id
        return [PartnerEvent(event_id, kind, reference=consent_id, entity_id=consent_id)]
    if kind == HEALTH_INFO_REQUESTED:
        asked = health_info_request_from(body)
        return [PartnerEvent(event_id, kind, reference=asked.transaction_id, entity_id=asked.consent_id)]
    return [PartnerEvent(event_id, kind, reference=answer_from(body).request_id)]


def request_id_of(headers: Mapping[str, str]) -> str:
    """Return the REQUEST-ID of a callback in lower case; our answer to it names this id.

    Raises:
        MessageError: There is none, or it is not a UUID.
    """
    value = _lowered(headers).get("request-id", "")
    try:
        return str(uuid.UUID(value))
    except ValueError:
        raise MessageError("the callback has no REQUEST-ID", code="REQUEST_ID_MISSING") from None


def _lowered(headers: Mapping[str, str]) -> dict[str, str]:
    return {name.lower(): value for name, value in headers.items()}


def _bearer(lowered: Mapping[str, str]) -> str:
    scheme, _, token = lowered.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not token or len(token) > MAX_TOKEN_CHARACTERS or not token.isascii():
        raise _not_proved("it carries no token")
    return token


def _key_id(token: str) -> str:
    try:
        header = jwt.get_unverified_header(token)
    except (jwt.PyJWTError, ValueError, TypeError, RecursionError):
        raise _not_proved("its token is not a JSON Web Token") from None
    return str(header.get("kid", ""))


def _not_proved(why: str) -> AuthError:
    return AuthError(
        f"the callback does not prove that it comes from the gateway: {why}", code="CALLBACK_NOT_PROVED",
        action="Nothing was stored. If the gateway changed its keys or audience, correct the connector's settings.",
        connector="abdm",
    )  # fmt: skip


__all__ = [
    "CALLBACK_PATHS",
    "CONSENT_NOTIFIED",
    "HEALTH_INFO_REQUESTED",
    "LINK_ANSWERED",
    "LINK_TOKEN_ANSWERED",
    "NOTICE_ANSWERED",
    "GatewayKeyring",
    "answer_from",
    "consent_from",
    "health_info_request_from",
    "parse",
    "request_id_of",
    "signing_keys",
    "verify",
]
