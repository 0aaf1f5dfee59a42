"""The WhatsApp Cloud API on a loopback port: sends nothing, refuses what Meta refuses, reports statuses.

`create_app()` serves it. A message is accepted at once; `sent`, `delivered` and `read` follow as signed webhooks. Some
numbers fail on purpose, after acceptance as in real life: they end in 0026 (not on WhatsApp), 0049 (held back to
protect the person), 7000 (the person behind the number changed).

Source: facebook/openapi business-messaging-api v23.0, developers.facebook.com "Error codes" and "Message status
webhooks", read 2026-11-22. The HTTP status of most codes is undocumented; 400 is used.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import re
import secrets
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import httpx
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, Response

from connectors.simulation import Behaviour, WebhookSender, bounded_body, json_object, page, simulator_app, table
from domain.clock import utc_now

JsonObject = dict[str, Any]

_TO = re.compile(r"\+?[0-9]{8,15}")
_FAILURES = {
    "0026": (131026, "Message undeliverable"),
    "0049": (131049, "This message was not delivered to maintain healthy ecosystem engagement."),
    "7000": (137000, "Recipient identity key hash mismatch"),
}


@dataclass(frozen=True)
class ApprovedTemplate:
    """A template of the account.

    Attributes:
        parameters: Number of positional placeholders in the body.
        has_document: True when its header is a document.
        status: `APPROVED`, `PAUSED` or `DISABLED`.
    """

    name: str
    language: str
    parameters: int
    has_document: bool = False
    status: str = "APPROVED"


class Refusal(Exception):
    """An answer of 400 or above with one of Meta's codes."""

    def __init__(self, code: int, message: str, *, status: int = 400, subcode: int | None = None) -> None:
        super().__init__(message)
        self.code, self.message, self.status, self.subcode = code, message, status, subcode

    def body(self) -> JsonObject:
        """Return the error as Meta words it."""
        error: JsonObject = {
            "message": f"(#{self.code}) {self.message}",
            "type": "OAuthException",
            "code": self.code,
            "error_data": {"messaging_product": "whatsapp", "details": self.message},
            "fbtrace_id": secrets.token_hex(8),
        }
        if self.subcode is not None:
            error["error_subcode"] = self.subcode
        return {"error": error}


class SimulatedNumber:
    """One sending number: its templates and what was sent with them."""

    def __init__(
        self, phone_number_id: str, display_phone_number: str, access_token: str, templates: Iterable[ApprovedTemplate]
    ) -> None:
        self.phone_number_id = phone_number_id
        self.display_phone_number = display_phone_number
        self._access_token = access_token
        self.templates = {(one.name, one.language): one for one in templates}
        self.messages: dict[str, JsonObject] = {}

    def snapshot(self) -> dict[str, object]:
        """Return all it holds, JSON-able."""
        templates = [vars(template) for template in self.templates.values()]
        return {"messages": self.messages, "templates": templates}

    def admit(self, authorization: str, requested_number: str) -> None:
        """Check token and number.

        Raises:
            Refusal: 190 or 100/33.
        """
        if authorization != f"Bearer {self._access_token}":
            raise Refusal(190, "Invalid OAuth access token", status=401)
        if requested_number != self.phone_number_id:
            raise Refusal(100, f"Object with ID '{requested_number}' does not exist", subcode=33)

    def accept(self, body: JsonObject) -> JsonObject:
        """Take a message for sending; refuse what breaks the reference.

        Raises:
            Refusal: With Meta's code.
        """
        if body.get("messaging_product") != "whatsapp":
            raise Refusal(100, "The parameter messaging_product is required.")
        to = body.get("to")
        if to is None:
            raise Refusal(131008, "Required parameter is missing: to")
        if not isinstance(to, str) or not _TO.fullmatch(to):
            raise Refusal(131009, "Parameter value is not valid: to")
        if to.lstrip("+") == self.display_phone_number:
            raise Refusal(131021, "Recipient cannot be the sender")
        if body.get("type") != "template":
            raise Refusal(131047, "More than 24 hours have passed since the recipient last replied.")
        if not isinstance(body.get("template"), dict):
            raise Refusal(131008, "Required parameter is missing: template")
        self._check_template(body["template"])
        wamid = "wamid." + secrets.token_urlsafe(24)
        self.messages[wamid] = {
            "id": wamid,
            "to": to,
            "template": body["template"],
            "biz_opaque_callback_data": body.get("biz_opaque_callback_data"),
            "status": "accepted",
        }
        return {
            "messaging_product": "whatsapp",
            "contacts": [{"input": to, "wa_id": to.lstrip("+")}],
            "messages": [{"id": wamid, "message_status": "accepted"}],
        }

    def _check_template(self, wanted: JsonObject) -> None:
        code = wanted.get("language", {}).get("code") if isinstance(wanted.get("language"), dict) else None
        template = self.templates.get((str(wanted.get("name")), str(code)))
        if template is None:
            raise Refusal(132001, "Template name does not exist in the translation", status=404)
        if template.status != "APPROVED":
            paused = template.status == "PAUSED"
            raise Refusal(132015 if paused else 132016, f"Template is {template.status.lower()}")
        values = {one.get("type"): _objects(one.get("parameters")) for one in _objects(wanted.get("components"))}
        body, header = values.get("body", []), values.get("header", [])
        if len(body) != template.parameters:
            raise Refusal(
                132000, f"body: number of localizable_params ({len(body)}) does not match ({template.parameters})"
            )
        if any(one.get("type") != "text" or not one.get("text") for one in body):
            raise Refusal(131008, "Required parameter is missing: text")
        documents = [one for one in header if one.get("type") == "document" and _has_source(one.get("document"))]
        if len(documents) != int(template.has_document) or len(header) != len(documents):
            raise Refusal(132012, "header: Format mismatch, expected DOCUMENT")


def create_app(
    *,
    access_token: str = "simulated-access-token",
    phone_number_id: str = "100000000000001",
    display_phone_number: str = "911140000000",
    app_secret: str = "simulated-app-secret",
    templates: Sequence[ApprovedTemplate] = (),
    webhook_urls: Sequence[str] = (),
    reads: bool = True,
    batched: bool = False,
    clock: Callable[[], datetime] = utc_now,
    behaviour: Behaviour | None = None,
    webhook_client: httpx.AsyncClient | None = None,
) -> FastAPI:
    """Return the simulator. `app.state.number` and `app.state.sender` are for tests.

    Args:
        access_token: The only token it accepts.
        phone_number_id: The only number it has.
        display_phone_number: Digits; the number itself.
        app_secret: Signs the webhooks.
        templates: Approved templates; more by `POST /_sim/templates` with the fields of `ApprovedTemplate`.
        webhook_urls: Who gets the statuses.
        reads: True lets people read their messages, False leaves them delivered.
        batched: True puts all statuses of a message into one webhook.
        clock: Returns aware UTC.
        behaviour: Fault switches.
        webhook_client: How webhooks are sent.
    """
    sender = WebhookSender(behaviour or Behaviour(), webhook_urls, client=webhook_client)
    number = SimulatedNumber(phone_number_id, display_phone_number, access_token, templates)

    def report(message: JsonObject) -> None:
        statuses = [_status(message, name, int(clock().timestamp())) for name in _life(message["to"], reads=reads)]
        message["status"] = statuses[-1]["status"]
        for batch in [statuses] if batched else [[status] for status in statuses]:
            body, headers = _signed_statuses(number, batch, app_secret)
            sender.queue(f"messages {'+'.join(one['status'] for one in batch)}", body, headers)

    app = simulator_app("whatsapp", sender, snapshot=number.snapshot)
    app.state.number, app.state.sender = number, sender
    app.add_exception_handler(Refusal, _refuse)
    _add_api(app, number, report)
    _add_pages(app, number)
    return app


def _add_api(app: FastAPI, number: SimulatedNumber, report: Callable[[JsonObject], None]) -> None:
    @app.post("/{version}/{number_id}/messages")
    async def send_message(version: str, number_id: str, request: Request) -> JSONResponse:
        del version  # every version answers alike
        number.admit(request.headers.get("authorization", ""), number_id)
        answer = number.accept(json_object(await bounded_body(request)))
        report(number.messages[answer["messages"][0]["id"]])
        return JSONResponse(answer)

    @app.get("/{version}/{number_id}")
    async def phone_number(version: str, number_id: str, request: Request) -> JSONResponse:
        del version
        number.admit(request.headers.get("authorization", ""), number_id)
        return JSONResponse({"id": number_id, "display_phone_number": number.display_phone_number})


def _add_pages(app: FastAPI, number: SimulatedNumber) -> None:
    @app.post("/_sim/templates")
    async def approve_template(template: ApprovedTemplate) -> JSONResponse:
        number.templates[template.name, template.language] = template
        return JSONResponse(vars(template))

    @app.get("/")
    async def overview() -> Response:
        rows = [
            (one["to"], one["template"].get("name"), json.dumps(one["template"], ensure_ascii=False), one["status"])
            for one in reversed(number.messages.values())
        ]
        approved = [(one.name, one.language, one.parameters, one.status) for one in number.templates.values()]
        return page(
            "WhatsApp simulator",
            table("Messages, newest first", ("to", "template", "values", "status"), rows),
            table("Templates", ("name", "language", "placeholders", "status"), approved),
        )


async def _refuse(_request: Request, refusal: Exception) -> Response:
    known = refusal if isinstance(refusal, Refusal) else Refusal(1, "unknown", status=500)
    return JSONResponse(known.body(), known.status)


def _objects(value: object) -> list[JsonObject]:
    return [one for one in value if isinstance(one, dict)] if isinstance(value, list) else []


def _has_source(document: object) -> bool:
    return isinstance(document, dict) and bool(document.get("id") or str(document.get("link", "")).startswith("http"))


def _life(to: str, *, reads: bool) -> list[str]:
    if to[-4:] in _FAILURES:
        return ["failed"]
    return ["sent", "delivered", "read"] if reads else ["sent", "delivered"]


def _status(message: JsonObject, status: str, now: int) -> JsonObject:
    shown: JsonObject = {
        "id": message["id"],
        "status": status,
        "timestamp": str(now),
        "recipient_id": message["to"].lstrip("+"),
    }
    if message["biz_opaque_callback_data"] is not None:
        shown["biz_opaque_callback_data"] = message["biz_opaque_callback_data"]
    if status == "failed":
        code, title = _FAILURES[message["to"][-4:]]
        shown["errors"] = [{"code": code, "title": title, "message": title, "error_data": {"details": title}}]
    else:
        shown["pricing"] = {"billable": True, "pricing_model": "PMP", "category": "utility", "type": "regular"}
    return shown


def _signed_statuses(
    number: SimulatedNumber, statuses: list[JsonObject], app_secret: str
) -> tuple[bytes, dict[str, str]]:
    value = {
        "messaging_product": "whatsapp",
        "metadata": {
            "display_phone_number": number.display_phone_number,
            "phone_number_id": number.phone_number_id,
        },
        "statuses": statuses,
    }
    envelope = {
        "object": "whatsapp_business_account",
        "entry": [{"id": "200000000000001", "changes": [{"field": "messages", "value": value}]}],
    }
    body = json.dumps(envelope, separators=(",", ":")).encode()
    signature = hmac.new(app_secret.encode(), body, hashlib.sha256).hexdigest()
    return body, {"content-type": "application/json", "x-hub-signature-256": f"sha256={signature}"}
