"""The portal through the GSP Adaequare, "enriched" API: plain JSON over TLS, OAuth-like token.

Source: Adaequare GSP enriched e-invoice API (endpoints, headers, envelopes) as its public clients use it, 2026-09.
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import httpx

from connectors.answers import read_answer
from connectors.checks import http_date
from connectors.einvoice.dialect import Answer, notes_from, unreadable
from connectors.einvoice.errors import CONNECTOR, faults_from_message
from connectors.einvoice.settings import EInvoiceSettings
from connectors.einvoice.wire import AdaequareEnvelope, AdaequareToken
from connectors.http import PartnerHttp

AUTH_PATH = "/gsp/authenticate"
API_PATH = "/enriched/ei/api/invoice"
RENEW_BEFORE = timedelta(seconds=150)
_MAX_TOKEN_LIFE_S = 366 * 24 * 3600


@dataclass(frozen=True)
class _Session:
    authorization: str = field(repr=False)
    expires_at: datetime


class AdaequareDialect:
    """Speaks Adaequare's enriched API for one taxpayer.

    Args:
        http: The HTTP side; its journal masks `SECRET_HEADERS`.
        settings: Credentials and GSTIN.
        now: Aware clock.
    """

    SECRET_HEADERS = frozenset({"gspappid", "gspappsecret", "password", "user_name"})

    def __init__(self, http: PartnerHttp, settings: EInvoiceSettings, now: Callable[[], datetime]) -> None:
        self._http = http
        self._settings = settings
        self._now = now
        self._session: _Session | None = None
        self._signing_in = asyncio.Lock()

    async def sign_in(self) -> datetime | None:
        """Get an access token unless one lives for 150 s more; return the partner's clock if it was asked."""
        async with self._signing_in:
            if self._session is not None and self._now() < self._session.expires_at - RENEW_BEFORE:
                return None
            request = self._http.client.build_request(
                "POST",
                AUTH_PATH,
                params={"grant_type": "token"},
                headers={
                    "gspappid": self._settings.client_id.get_secret_value(),
                    "gspappsecret": self._settings.client_secret.get_secret_value(),
                },
            )
            response = await self._http.send(request, operation="authenticate", safe_to_repeat=True)
            token = read_answer(
                AdaequareToken, response, connector=CONNECTOR, operation="authenticate", safe_to_repeat=True
            )
            life = timedelta(seconds=min(max(token.expires_in, 0), _MAX_TOKEN_LIFE_S))
            self._session = _Session(f"{token.token_type} {token.access_token}", self._now() + life)
            return http_date(response.headers.get("date", ""))

    def forget_session(self) -> None:
        """Sign in again before the next call."""
        self._session = None

    async def generate(self, invoice: Mapping[str, object], *, reference: str) -> Answer:
        """Register an invoice."""
        request = await self._request("POST", "", json=invoice)
        return await self._send(request, operation="generate_irn", safe_to_repeat=False, reference=reference)

    async def fetch(self, irn: str) -> Answer:
        """Look a registration up."""
        request = await self._request("GET", "/irn", params={"irn": irn})
        return await self._send(request, operation="get_by_irn", safe_to_repeat=True, reference=irn)

    async def cancel(self, irn: str, *, reason: str, remark: str) -> Answer:
        """Cancel a registration."""
        request = await self._request("POST", "/cancel", json={"Irn": irn, "Cnlrsn": reason, "Cnlrem": remark})
        return await self._send(request, operation="cancel_irn", safe_to_repeat=False, reference=irn)

    async def _request(
        self,
        method: str,
        path: str,
        *,
        json: Mapping[str, object] | None = None,
        params: Mapping[str, str] | None = None,
    ) -> httpx.Request:
        await self.sign_in()
        settings, session = self._settings, self._session
        return self._http.client.build_request(
            method,
            f"{settings.api_prefix}{API_PATH}{path}",
            json=json,
            params=params,
            headers={
                "authorization": session.authorization if session is not None else "",
                "user_name": settings.username,
                "password": settings.password.get_secret_value(),
                "gstin": settings.gstin,
                "requestid": uuid.uuid4().hex,
            },
        )

    async def _send(self, request: httpx.Request, *, operation: str, safe_to_repeat: bool, reference: str) -> Answer:
        response = await self._http.send(
            request, operation=operation, safe_to_repeat=safe_to_repeat, reference=reference
        )
        envelope = read_answer(
            AdaequareEnvelope, response, connector=CONNECTOR, operation=operation, safe_to_repeat=safe_to_repeat
        )
        request_id = request.headers["requestid"]
        if not envelope.success:
            # A refusal carries its notes in `result`, a success in `info`
            return Answer(None, faults_from_message(envelope.message or ""), notes_from(envelope.result), request_id)
        if not isinstance(envelope.result, dict):
            raise unreadable("no result", operation=operation, safe_to_repeat=safe_to_repeat)
        return Answer(envelope.result, (), notes_from(envelope.info), request_id)
