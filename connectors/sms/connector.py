"""Sending SMS through Twilio."""

from __future__ import annotations

import base64
from datetime import datetime

import httpx

from connectors.answers import read_answer
from connectors.checks import http_date
from connectors.http import PartnerHttp
from connectors.sms import mapping
from connectors.sms.errors import explained
from connectors.sms.settings import SmsSettings
from connectors.sms.wire import AccountResource, MessageResource
from domain.messaging import OutboundMessage, SentMessage

_CONNECT_TIMEOUT_S = 5.0


class SmsConnector:
    """One Twilio account; a `MessageChannel`.

    Every method raises the errors of `PartnerHttp.send`; codes in the body are told apart in `errors.py`.
    """

    name = "sms"

    def __init__(self, http: PartnerHttp, settings: SmsSettings) -> None:
        self._http = http
        self._settings = settings

    @property
    def host(self) -> str:
        """Return where calls go, for people."""
        return self._http.client.base_url.host

    async def send(self, message: OutboundMessage) -> SentMessage:
        """Hand the text to Twilio; the status callback tells how far it gets.

        Raises:
            RequestError: Among others a text that differs from the registered one; nothing was sent.
            RejectedError: Not to this number: opted out, landline, unreachable route.
            OutcomeUnknownError: It may be on its way; a status callback with our notification id proves it.
        """
        form = mapping.message_form(message, self._settings).model_dump(exclude_none=True)
        response = await self._http.send(
            self._request("POST", "/Messages.json", form), operation="send", safe_to_repeat=False,
            reference=message.notification_id, explain=explained,
        )  # fmt: skip
        answer = read_answer(MessageResource, response, connector=self.name, operation="send", safe_to_repeat=False)
        return mapping.sent_message(answer)

    async def fetch_status(self, *, provider_id: str) -> SentMessage:
        """Return how far a message got, for when callbacks stay away: Twilio does not retry them by default."""
        request = self._request("GET", f"/Messages/{mapping.message_path(provider_id)}.json")
        response = await self._http.send(
            request, operation="fetch_status", safe_to_repeat=True, reference=provider_id, explain=explained
        )
        return mapping.sent_message(
            read_answer(MessageResource, response, connector=self.name, operation="fetch_status", safe_to_repeat=True)
        )

    async def partner_time(self) -> datetime | None:
        """Ask for our own account, the cheapest authenticated question; return Twilio's clock, or None."""
        response = await self._http.send(
            self._request("GET", ".json"), operation="partner_time", safe_to_repeat=True, explain=explained
        )
        read_answer(AccountResource, response, connector=self.name, operation="partner_time", safe_to_repeat=True)
        return http_date(response.headers.get("date", ""))

    def _request(self, method: str, path: str, form: dict[str, str] | None = None) -> httpx.Request:
        settings = self._settings
        pair = f"{settings.account_sid}:{settings.auth_token.get_secret_value()}"
        return self._http.client.build_request(
            method,
            f"/2010-04-01/Accounts/{settings.account_sid}{path}",
            data=form,
            headers={"Authorization": "Basic " + base64.b64encode(pair.encode()).decode()},
            timeout=httpx.Timeout(settings.timeout_s, connect=_CONNECT_TIMEOUT_S),
        )
