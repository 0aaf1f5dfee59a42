"""Sending approved templates through the WhatsApp Cloud API."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

import httpx

from connectors.answers import read_answer
from connectors.checks import http_date
from connectors.http import PartnerHttp
from connectors.whatsapp import mapping
from connectors.whatsapp.errors import explained
from connectors.whatsapp.settings import WhatsAppSettings
from connectors.whatsapp.wire import PhoneNumber, SendAnswer
from domain.messaging import OutboundMessage, SentMessage

_CONNECT_TIMEOUT_S = 5.0
_MASKED_FIELDS = frozenset({"input", "link", "filename", "display_phone_number", "verified_name", "message", "details"})


class WhatsAppConnector:
    """One sending number; a `MessageChannel`.

    Every method raises the errors of `PartnerHttp.send`; codes in the body are told apart in `errors.py`.
    """

    name = "whatsapp"

    def __init__(self, http: PartnerHttp, settings: WhatsAppSettings) -> None:
        self._http = replace(http, masked_fields=http.masked_fields | _MASKED_FIELDS)
        self._settings = settings

    @property
    def host(self) -> str:
        """Return where calls go, for people."""
        return self._http.client.base_url.host

    async def send(self, message: OutboundMessage) -> SentMessage:
        """Hand a template message to WhatsApp. Accepted is not sent: the status webhook tells.

        Raises:
            RejectedError: Not to this person or not with this template; `errors.TRY_ANOTHER_CHANNEL` lists the codes
                on which another channel should be tried.
            OutcomeUnknownError: It may be on its way; a status webhook with our notification id proves it.
        """
        body = mapping.message_body(message).model_dump(exclude_none=True)
        request = self._request("POST", "/messages", body)
        response = await self._http.send(
            request, operation="send", safe_to_repeat=False, reference=message.notification_id, explain=explained
        )
        answer = read_answer(SendAnswer, response, connector=self.name, operation="send", safe_to_repeat=False)
        return mapping.sent_message(answer)

    async def partner_time(self) -> datetime | None:
        """Ask for our own number, the cheapest authenticated question; return Meta's clock, or None."""
        response = await self._http.send(
            self._request("GET", ""), operation="partner_time", safe_to_repeat=True, explain=explained
        )
        read_answer(PhoneNumber, response, connector=self.name, operation="partner_time", safe_to_repeat=True)
        return http_date(response.headers.get("date", ""))

    def _request(self, method: str, path: str, body: object = None) -> httpx.Request:
        settings = self._settings
        return self._http.client.build_request(
            method,
            f"/{settings.api_version}/{settings.phone_number_id}{path}",
            json=body,
            headers={"Authorization": f"Bearer {settings.access_token.get_secret_value()}"},
            timeout=httpx.Timeout(settings.timeout_s, connect=_CONNECT_TIMEOUT_S),
        )
