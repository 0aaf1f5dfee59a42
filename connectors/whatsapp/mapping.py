"""Our messages in WhatsApp's words and back. Pure."""

from __future__ import annotations

import logging
import re

from connectors.whatsapp.wire import (
    Component,
    Document,
    DocumentParameter,
    Language,
    SendAnswer,
    SendTemplate,
    Template,
    TextParameter,
)
from domain.errors import RequestError
from domain.messaging import DeliveryState, OutboundMessage, SentMessage

MAX_BODY_CHARS = 1024
"""Length of a template's body with its values filled in; the values alone may not exceed it."""

_PHONE = re.compile(r"\+?[1-9][0-9]{7,14}")
_TEMPLATE_NAME = re.compile(r"[a-z0-9_]{1,512}")
_LANGUAGE = re.compile(r"[a-z]{2,3}(_[A-Z]{2})?")
_log = logging.getLogger(__name__)


def message_body(message: OutboundMessage) -> SendTemplate:
    """Return the body that sends a template with positional parameters and, given a URL, a document header.

    Raises:
        RequestError: WhatsApp would refuse it.
    """
    if not _PHONE.fullmatch(message.to):
        raise _wrong("the phone number is not in international form", "Correct the number in the contact details.")
    if not _TEMPLATE_NAME.fullmatch(message.template) or not _LANGUAGE.fullmatch(message.language):
        raise _wrong("not a template name and language", "Use the name and language approved in WhatsApp Manager.")
    values = [_one_line(value) for value in message.parameters]
    if not all(values):
        raise _wrong("a template parameter is empty", "Fill every placeholder; WhatsApp refuses empty ones.")
    if sum(map(len, values)) > MAX_BODY_CHARS:
        raise _wrong("the template parameters are too long", "Shorten the text.")
    components: list[Component] = []
    if message.document_url:
        document = Document(link=message.document_url, filename=message.document_name or None)
        components.append(Component(type="header", parameters=[DocumentParameter(document=document)]))
    if values:
        components.append(Component(type="body", parameters=[TextParameter(text=value) for value in values]))
    return SendTemplate(
        to=message.to.removeprefix("+"),
        biz_opaque_callback_data=message.notification_id,
        template=Template(name=message.template, language=Language(code=message.language), components=components),
    )


def sent_message(answer: SendAnswer) -> SentMessage:
    """Return what was accepted. Held back or paused by Meta is still only accepted: the status webhook decides."""
    return SentMessage(provider_id=answer.messages[0].id, state=DeliveryState.ACCEPTED)


def delivery_state(status: str) -> DeliveryState:
    """Return WhatsApp's message status in our words; the unknown is ACCEPTED, which moves nothing.

    Source: developers.facebook.com, "Message status webhooks", read 2026-11-22.
    """
    match status:
        case "accepted" | "sent" | "delivered" | "read" | "failed":
            return DeliveryState(status)
        case "played":
            return DeliveryState.READ
        case _:
            _log.warning("whatsapp: unknown message status %r read as accepted", status[:40])
            return DeliveryState.ACCEPTED


def _one_line(value: str) -> str:
    """Return `value` without line breaks, tabs and runs of blanks, which template parameters may not hold."""
    return " ".join(value.split())


def _wrong(what: str, action: str) -> RequestError:
    return RequestError(f"whatsapp message: {what}", code="MESSAGE_NOT_SENDABLE", action=action)
