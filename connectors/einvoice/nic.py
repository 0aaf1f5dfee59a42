"""The portal directly at NIC: encrypted login (auth v1.04) and encrypted payloads (Invoice v1.03).

Source: NIC e-invoice API, "Authentication" v1.04; "Generate", "Get" and "Cancel IRN" v1.03, read 2026-09-18.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import httpx

from connectors.answers import read_answer
from connectors.checks import http_date
from connectors.einvoice.crypto import KEY_BYTES, decrypt, encrypt, encrypt_login, new_app_key
from connectors.einvoice.dialect import Answer, notes_from, unreadable
from connectors.einvoice.errors import CONNECTOR, Fault, error_from
from connectors.einvoice.mapping import instant_from_wire
from connectors.einvoice.settings import EInvoiceSettings
from connectors.einvoice.wire import NicEnvelope, NicLogin
from connectors.http import PartnerHttp
from domain.errors import AuthError

AUTH_PATH = "/eivital/v1.04/auth"
API_PATH = "/eicore/v1.03/Invoice"
RENEW_BEFORE = timedelta(minutes=10)
"""Before that the portal hands out the same token again, whatever is asked."""


@dataclass(frozen=True)
class _Session:
    token: str = field(repr=False)
    key: bytes = field(repr=False)
    expires_at: datetime


class NicDialect:
    """Speaks NIC's own API for one taxpayer.

    Args:
        http: The HTTP side; its journal masks `SECRET_HEADERS`.
        settings: Credentials, GSTIN and NIC's login key.
        now: Aware clock.
    """

    SECRET_HEADERS = frozenset({"client_id", "client_secret", "user_name", "authtoken"})

    def __init__(self, http: PartnerHttp, settings: EInvoiceSettings, now: Callable[[], datetime]) -> None:
        self._http = http
        self._settings = settings
        self._now = now
        self._session: _Session | None = None
        self._signing_in = asyncio.Lock()

    async def sign_in(self) -> datetime | None:
        """Get a token and its session key unless one lives for 10 min more; return NIC's clock if it was asked."""
        async with self._signing_in:
            if self._session is not None and not self._is_ending(self._session):
                return None
            session, told = await self._login(force=self._session is not None)
            if self._is_ending(session):
                # The portal still had our earlier token and gave it again: only by force there is a new one
                session, told = await self._login(force=True)
            self._session = session
            return told

    def forget_session(self) -> None:
        """Sign in again before the next call."""
        self._session = None

    async def generate(self, invoice: Mapping[str, object], *, reference: str) -> Answer:
        """Register an invoice."""
        return await self._send(
            "POST", "", body=invoice, operation="generate_irn", safe_to_repeat=False, reference=reference
        )

    async def fetch(self, irn: str) -> Answer:
        """Look a registration up."""
        return await self._send("GET", f"/irn/{irn}", operation="get_by_irn", safe_to_repeat=True, reference=irn)

    async def cancel(self, irn: str, *, reason: str, remark: str) -> Answer:
        """Cancel a registration."""
        body = {"Irn": irn, "CnlRsn": reason, "CnlRem": remark}
        return await self._send(
            "POST", "/Cancel", body=body, operation="cancel_irn", safe_to_repeat=False, reference=irn
        )

    def _is_ending(self, session: _Session) -> bool:
        return self._now() >= session.expires_at - RENEW_BEFORE

    def _headers(self) -> dict[str, str]:
        return {
            "client_id": self._settings.client_id.get_secret_value(),
            "client_secret": self._settings.client_secret.get_secret_value(),
            "Gstin": self._settings.gstin,
        }

    async def _login(self, *, force: bool) -> tuple[_Session, datetime | None]:
        app_key = new_app_key()
        login = {
            "UserName": self._settings.username,
            "Password": self._settings.password.get_secret_value(),
            "AppKey": base64.b64encode(app_key).decode(),
            "ForceRefreshAccessToken": force,
        }
        try:
            sealed = encrypt_login(self._settings.nic_public_key, login)
        except ValueError:
            # `from None`: the cause may quote the key
            raise AuthError(
                "the login cannot be encrypted for NIC",
                code="EINVOICE_LOGIN_KEY_INVALID",
                action="Put NIC's login key (PEM, RSA) from the portal into the settings, and check the password.",
                connector=CONNECTOR,
                operation="authenticate",
            ) from None
        request = self._http.client.build_request(
            "POST", f"{self._settings.api_prefix}{AUTH_PATH}", json={"Data": sealed}, headers=self._headers()
        )
        response = await self._http.send(request, operation="authenticate", safe_to_repeat=True)
        envelope = _envelope(response, operation="authenticate", safe_to_repeat=True)
        if envelope.status != 1:
            faults = _faults(envelope.error_details)
            raise error_from(faults, (), operation="authenticate", safe_to_repeat=True)
        try:
            granted = NicLogin.model_validate(envelope.payload)
            key = decrypt(app_key, granted.Sek)
            expires_at = instant_from_wire(granted.TokenExpiry)
        except ValueError:
            raise unreadable("login", operation="authenticate", safe_to_repeat=True) from None
        if len(key) != KEY_BYTES:
            raise unreadable("session key", operation="authenticate", safe_to_repeat=True)
        return _Session(granted.AuthToken, key, expires_at), http_date(response.headers.get("date", ""))

    async def _send(
        self,
        method: str,
        path: str,
        *,
        operation: str,
        safe_to_repeat: bool,
        reference: str,
        body: Mapping[str, object] | None = None,
    ) -> Answer:
        await self.sign_in()
        session = self._session
        if session is None:  # forgotten by a concurrent call between the two lines above
            raise unreadable("session lost", operation=operation, safe_to_repeat=True)
        request = self._http.client.build_request(
            method,
            f"{self._settings.api_prefix}{API_PATH}{path}",
            json=None if body is None else {"Data": encrypt(session.key, json.dumps(body).encode())},
            headers=self._headers() | {"user_name": self._settings.username, "AuthToken": session.token},
        )
        response = await self._http.send(
            request, operation=operation, safe_to_repeat=safe_to_repeat, reference=reference
        )
        envelope = _envelope(response, operation=operation, safe_to_repeat=safe_to_repeat)
        notes = notes_from(_plain(envelope.info_details))
        if envelope.status != 1:
            return Answer(None, _faults(envelope.error_details), notes)
        try:
            result = json.loads(decrypt(session.key, str(envelope.payload)))
        except (ValueError, RecursionError):
            raise unreadable("payload", operation=operation, safe_to_repeat=safe_to_repeat) from None
        if not isinstance(result, dict):
            raise unreadable("no object", operation=operation, safe_to_repeat=safe_to_repeat)
        return Answer(result, (), notes)


def _envelope(response: httpx.Response, *, operation: str, safe_to_repeat: bool) -> NicEnvelope:
    return read_answer(NicEnvelope, response, connector=CONNECTOR, operation=operation, safe_to_repeat=safe_to_repeat)


def _plain(value: object) -> object:
    """Return details that come as a list, as JSON in a string, or as base64 of that; NIC and the GSPs differ."""
    if not isinstance(value, str):
        return value
    for text in (value, _from_base64(value)):
        try:
            return json.loads(text)
        except (ValueError, RecursionError):
            continue
    return None


def _from_base64(value: str) -> bytes:
    try:
        return base64.b64decode(value, validate=True)
    except (binascii.Error, ValueError):
        return b""


def _faults(details: object) -> tuple[Fault, ...]:
    entries = _plain(details)
    faults = tuple(
        Fault(str(entry.get("ErrorCode", "")), str(entry.get("ErrorMessage", "")))
        for entry in (entries[:100] if isinstance(entries, list) else [])
        if isinstance(entry, dict)
    )
    return faults or (Fault("", "no reason given"),)
