"""The gateway session: one access token, shared by all calls, renewed before it ends.

Source: ABDM Developer Portal, OpenAPI `hiecm/v3/hiecm-gateway.yaml`, catalogue 2026.09.16 (20 minutes at present).
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Callable
from datetime import datetime, timedelta

from pydantic import SecretStr

from connectors.abdm import wire
from connectors.abdm.errors import error_of, read_failure
from connectors.abdm.mapping import instant
from connectors.abdm.settings import AbdmSettings
from connectors.answers import read_answer
from connectors.checks import http_date
from connectors.http import PartnerHttp
from domain.clock import utc_now

PATH = "gateway/v3/sessions"


class GatewaySession:
    """Gives out a valid access token and fetches a new one when there is none.

    Attributes:
        clock_ahead: How far our clock was ahead of the gateway's at the last fetch, to a second; None before that or
            where the gateway does not tell.
    """

    def __init__(self, http: PartnerHttp, settings: AbdmSettings, now: Callable[[], datetime] = utc_now) -> None:
        self._http = http
        self._settings = settings
        self._now = now
        self._lock = asyncio.Lock()
        self._token: SecretStr | None = None
        self._renew_at = now()
        self.clock_ahead: timedelta | None = None

    async def token(self) -> SecretStr:
        """Return an access token that is still valid for a while.

        Raises:
            ConnectorError: The gateway gave none.
        """
        async with self._lock:
            # Whoever waited here while another call fetched a token uses that one.
            if self._token is None or self._now() >= self._renew_at:
                self._token = await self._fetch()
            return self._token

    def forget(self, token: SecretStr) -> None:
        """Drop `token` after the gateway refused it, unless it was replaced meanwhile."""
        if self._token == token:
            self._token = None

    async def _fetch(self) -> SecretStr:
        settings = self._settings
        asked_at = self._now()
        request_id = str(uuid.uuid4())
        request = self._http.client.build_request(
            "POST",
            PATH,
            json={
                "clientId": settings.client_id,
                "clientSecret": settings.client_secret.get_secret_value(),
                "grantType": "client_credentials",
            },
            headers={"REQUEST-ID": request_id, "TIMESTAMP": instant(asked_at), "X-CM-ID": settings.cm_id},
        )
        response = await self._http.send(request, operation="open_session", safe_to_repeat=True, accept_4xx=True)
        if response.is_client_error:
            raise error_of(
                read_failure(response.content),
                operation="open_session",
                request_id=request_id,
                status=response.status_code,
            )
        theirs = http_date(response.headers.get("date", ""))
        self.clock_ahead = None if theirs is None else self._now() - theirs
        session = read_answer(wire.Session, response, connector="abdm", operation="open_session", safe_to_repeat=True)
        self._renew_at = asked_at + timedelta(seconds=max(session.expires_in - settings.renew_before_s, 1))
        return SecretStr(session.access_token)
