"""Twilio's message API on a loopback port: sends nothing, refuses what Twilio refuses, reports statuses.

`create_app()` serves it. A message is queued at once; `sent` and `delivered` follow as signed callbacks to the
message's own `StatusCallback`. A text that matches no registered template is dropped by the operator: `undelivered`
with 30007. Some numbers fail on purpose: those ending in 0003 are unreachable (callback), in 1610 have opted out, in
1614 are landlines (both refused at once).

Source: twilio/twilio-oai twilio_api_v2010, twilio.com/docs/api/errors, "Validating requests", read 2026-11-22.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
import secrets
from collections.abc import Callable, Sequence
from datetime import datetime
from email.utils import format_datetime
from typing import Any
from urllib.parse import parse_qsl, urlencode

import httpx
from fastapi import APIRouter, Depends, FastAPI, Request
from fastapi.responses import JSONResponse, Response

from connectors.simulation import (
    Behaviour,
    WebhookSender,
    basic_credentials,
    bounded_body,
    page,
    simulator_app,
    table,
)
from domain.clock import utc_now

JsonObject = dict[str, Any]

_TO = re.compile(r"\+[1-9][0-9]{7,14}")
_MAX_BODY_CHARS = 1600
_MAX_VALIDITY_S = 36_000
_FIELDS = frozenset(
    {
        "To", "From", "MessagingServiceSid", "Body", "StatusCallback", "ValidityPeriod", "SmartEncoded",
        "ContentRetention", "AddressRetention", "MaxPrice", "ProvideFeedback", "Attempt", "ForceDelivery",
        "PersistentAction", "ShortenUrls", "ScheduleType", "SendAt", "SendAsMms", "ContentVariables", "RiskCheck",
        "ApplicationSid", "ContentSid", "MediaUrl",
    }
)  # fmt: skip
_GSM_SEGMENT, _UNICODE_SEGMENT = 160, 70


class Refusal(Exception):
    """An answer of 400 or above with one of Twilio's codes."""

    def __init__(self, code: int, message: str, status: int = 400) -> None:
        super().__init__(message)
        self.code, self.message, self.status = code, message, status


class SimulatedSmsAccount:
    """One account and its messages.

    Args:
        account_sid: `AC` and 32 hex digits.
        senders: Numbers, headers and service SIDs that may send.
        registered_texts: With `{#var#}` for variables; empty means that operators let everything pass.
        clock: Returns aware UTC.
    """

    def __init__(
        self,
        account_sid: str,
        senders: Sequence[str],
        registered_texts: Sequence[str],
        clock: Callable[[], datetime],
    ) -> None:
        self.account_sid = account_sid
        self.messages: dict[str, JsonObject] = {}
        self._senders = frozenset(senders)
        self._registered = [
            re.compile(".{1,40}".join(map(re.escape, text.split("{#var#}"))), re.DOTALL) for text in registered_texts
        ]
        self._clock = clock

    def create(self, form: dict[str, str]) -> JsonObject:
        """Queue a message.

        Raises:
            Refusal: With Twilio's code.
        """
        self._check(form)
        now = format_datetime(self._clock())
        sid = "SM" + secrets.token_hex(16)
        body = form["Body"]
        segment = _GSM_SEGMENT if body.isascii() else _UNICODE_SEGMENT
        message: JsonObject = {
            "sid": sid,
            "account_sid": self.account_sid,
            "api_version": "2010-04-01",
            "to": form["To"],
            "from": form.get("From"),
            "messaging_service_sid": form.get("MessagingServiceSid"),
            "body": body,
            "status": "queued",
            "direction": "outbound-api",
            "num_segments": str(-(-len(body) // segment)),
            "num_media": "0",
            "price": None,
            "price_unit": None,
            "error_code": None,
            "error_message": None,
            "date_created": now,
            "date_updated": now,
            "date_sent": None,
            "uri": f"/2010-04-01/Accounts/{self.account_sid}/Messages/{sid}.json",
        }
        self.messages[sid] = message
        return message

    def life(self, message: JsonObject) -> list[tuple[str, str]]:
        """Return what will happen to a message, as (status, error code)."""
        if self._registered and not any(text.fullmatch(message["body"]) for text in self._registered):
            return [("undelivered", "30007")]
        if message["to"].endswith("0003"):
            return [("sent", ""), ("undelivered", "30003")]
        return [("sent", ""), ("delivered", "")]

    def message(self, sid: str) -> JsonObject:
        """Return a message by SID.

        Raises:
            Refusal: 404.
        """
        if sid not in self.messages:
            raise Refusal(20404, f"The requested resource /Messages/{sid}.json was not found", 404)
        return self.messages[sid]

    def _check(self, form: dict[str, str]) -> None:
        to, sender = form.get("To", ""), form.get("From") or form.get("MessagingServiceSid", "")
        validity = form.get("ValidityPeriod", "1")
        refusals: list[tuple[bool, Refusal]] = [
            (bool(set(form) - _FIELDS), Refusal(20001, "Unknown parameters")),
            (not to, Refusal(21604, "A 'To' phone number is required.")),
            (not sender, Refusal(21603, "A 'From' or 'MessagingServiceSid' parameter is required to send a message")),
            (not form.get("Body"), Refusal(21602, "Message body is required.")),
            (not _TO.fullmatch(to), Refusal(21211, "Invalid 'To' Phone Number")),
            (sender not in self._senders, Refusal(21606, "The 'From' number is not able to send SMS")),
            (len(form.get("Body", "")) > _MAX_BODY_CHARS, Refusal(21617, "The body exceeds the 1600 character limit.")),
            (
                not validity.isdecimal() or not 1 <= int(validity[:9]) <= _MAX_VALIDITY_S,
                Refusal(20001, "ValidityPeriod must be between 1 and 36000"),
            ),
            (to.endswith("1610"), Refusal(21610, "Attempt to send to unsubscribed recipient")),
            (to.endswith("1614"), Refusal(21614, "'To' number is not a valid mobile number")),
        ]
        for applies, refusal in refusals:
            if applies:
                raise refusal


def create_app(
    *,
    account_sid: str = "AC" + "0" * 32,
    auth_token: str = "simulated-auth-token",
    senders: Sequence[str] = ("LABSTU",),
    registered_texts: Sequence[str] = (),
    clock: Callable[[], datetime] = utc_now,
    behaviour: Behaviour | None = None,
    webhook_client: httpx.AsyncClient | None = None,
) -> FastAPI:
    """Return the simulator. `app.state.account` and `app.state.sender` are for tests.

    Args:
        account_sid: With `auth_token`, the only credentials it knows.
        auth_token: Also signs the callbacks.
        senders: Numbers, headers and service SIDs that may send.
        registered_texts: See `SimulatedSmsAccount`.
        clock: Returns aware UTC.
        behaviour: Fault switches.
        webhook_client: How callbacks are sent.
    """
    account = SimulatedSmsAccount(account_sid, senders, registered_texts, clock)
    sender = WebhookSender(behaviour or Behaviour(), client=webhook_client)

    async def admit(request: Request) -> None:
        if basic_credentials(request.headers.get("authorization", "")) != (account_sid, auth_token):
            raise Refusal(20003, "Authenticate", 401)

    def report(message: JsonObject, callback: str) -> None:
        for status, error_code in account.life(message):
            message |= {"status": status, "error_code": int(error_code) if error_code else None}
            if callback:
                fields = _callback_fields(message, account_sid)
                sender.queue(status, urlencode(fields).encode(), _signed(callback, fields, auth_token), url=callback)

    app = simulator_app("sms", sender, snapshot=lambda: {"messages": account.messages})
    app.state.account, app.state.sender = account, sender
    app.add_exception_handler(Refusal, _refuse)
    partner = APIRouter(prefix=f"/2010-04-01/Accounts/{account_sid}", dependencies=[Depends(admit)])
    _add_api(partner, account, report)
    app.include_router(partner)
    _add_page(app, account)
    return app


def _add_api(partner: APIRouter, account: SimulatedSmsAccount, report: Callable[[JsonObject, str], None]) -> None:
    @partner.post("/Messages.json")
    async def create_message(request: Request) -> JSONResponse:
        pairs = parse_qsl((await bounded_body(request)).decode(errors="replace"), max_num_fields=100)
        form = dict(pairs)
        answer = dict(account.create(form))
        report(account.messages[answer["sid"]], form.get("StatusCallback", ""))
        return JSONResponse(answer, 201)

    @partner.get("/Messages/{sid}.json")
    async def fetch_message(sid: str) -> JSONResponse:
        return JSONResponse(account.message(sid))

    @partner.get(".json")
    async def fetch_account() -> JSONResponse:
        return JSONResponse({"sid": account.account_sid, "status": "active", "friendly_name": "Simulated"})


def _add_page(app: FastAPI, account: SimulatedSmsAccount) -> None:
    @app.get("/")
    async def overview() -> Response:
        rows = [
            (one["to"], one["from"] or one["messaging_service_sid"], one["body"], one["status"], one["error_code"])
            for one in reversed(account.messages.values())
        ]
        return page("SMS simulator", table("Messages, newest first", ("to", "from", "text", "status", "error"), rows))


async def _refuse(_request: Request, refusal: Exception) -> Response:
    known = refusal if isinstance(refusal, Refusal) else Refusal(20500, "Internal Server Error", 500)
    link = f"https://www.twilio.com/docs/errors/{known.code}"
    body = {"code": known.code, "message": known.message, "more_info": link, "status": known.status}
    return JSONResponse(body, known.status)


def _callback_fields(message: JsonObject, account_sid: str) -> dict[str, str]:
    fields = {
        "MessageSid": message["sid"],
        "SmsSid": message["sid"],
        "MessageStatus": message["status"],
        "SmsStatus": message["status"],
        "To": message["to"],
        "From": message["from"] or "",
        "AccountSid": account_sid,
        "ApiVersion": "2010-04-01",
    }
    if message["error_code"]:
        fields["ErrorCode"] = str(message["error_code"])
    return fields


def _signed(url: str, fields: dict[str, str], auth_token: str) -> dict[str, str]:
    """Return the headers of a callback: the URL and then every field in the order of its name, signed."""
    text = url + "".join(name + fields[name] for name in sorted(fields))
    digest = hmac.new(auth_token.encode(), text.encode(), hashlib.sha1).digest()
    return {
        "content-type": "application/x-www-form-urlencoded",
        "x-twilio-signature": base64.b64encode(digest).decode(),
    }
