"""Our messages in Twilio's words and back, and the DLT check. Pure."""

from __future__ import annotations

import logging
import re
from collections.abc import Sequence
from urllib.parse import parse_qsl, urlencode, urlsplit

from connectors.sms.settings import DLT_VARIABLE, DltTemplate, SmsSettings
from connectors.sms.wire import CreateMessage, MessageResource
from domain.errors import RequestError
from domain.messaging import DeliveryState, OutboundMessage, SentMessage

MAX_TEXT_CHARS = 1600
MAX_VARIABLE_CHARS = 40
"""Longest value of one DLT variable. Source: help pages of msg91 and Exotel on DLT templates, read 2026-11-22."""

REFERENCE_PARAMETER = "ref"
"""Query parameter of the callback address that carries our notification id back."""

_PHONE = re.compile(r"\+[1-9][0-9]{7,14}")
_SID = re.compile(r"[A-Z]{2}[0-9a-fA-F]{32}")
_log = logging.getLogger(__name__)


def message_form(message: OutboundMessage, settings: SmsSettings) -> CreateMessage:
    """Return the form that sends `message.text`.

    Raises:
        RequestError: Twilio or an Indian operator would refuse it.
    """
    if not _PHONE.fullmatch(message.to):
        raise _wrong("the phone number is not in international form", "Correct the number in the contact details.")
    if not 0 < len(message.text) <= MAX_TEXT_CHARS:
        raise _wrong(f"an SMS has 1 to {MAX_TEXT_CHARS} characters", "Shorten the text.")
    if settings.dlt_templates:
        check_registered(message, settings.dlt_templates)
    return CreateMessage(
        To=message.to,
        From=settings.sender or None,
        MessagingServiceSid=settings.messaging_service_sid or None,
        Body=message.text,
        StatusCallback=callback_url(settings.status_callback_url, message.notification_id),
        ValidityPeriod=settings.validity_s,
    )


def check_registered(message: OutboundMessage, templates: Sequence[DltTemplate]) -> None:
    """Check that the text is what was registered for this template, with values of at most 40 characters.

    Raises:
        RequestError: No such template, or another text: an operator would drop the message without a word.
    """
    registered = next(
        (one for one in templates if (one.name, one.language) == (message.template, message.language)), None
    )
    if registered is None:
        raise _wrong(
            f"no registered text for template {message.template} ({message.language})",
            "Register the text on the DLT portal and add it to the SMS settings.",
        )
    if not _fits(registered.text, message.text):
        raise _wrong(
            f"the text differs from the registered one of template {message.template}, or a value is longer than "
            f"{MAX_VARIABLE_CHARS} characters",
            "Send the registered text; a longer value needs several variables in a row.",
        )


def _fits(registered: str, text: str) -> bool:
    """Return True when `text` is `registered` with 1 to 40 characters for each variable.

    Keeps the set of places where the next fixed part may begin: a regular expression would try every combination,
    and a value is what somebody typed as a name.
    """
    first, *others = registered.split(DLT_VARIABLE)
    ends = {len(first)} if text.startswith(first) else set()
    for fixed in others:
        starts = {end + length for end in ends for length in range(1, MAX_VARIABLE_CHARS + 1)}
        ends = {start + len(fixed) for start in starts if text.startswith(fixed, start)}
    return len(text) in ends


def callback_url(base: str, notification_id: str) -> str | None:
    """Return the callback address that carries `notification_id`, or None when there is none."""
    if not base:
        return None
    separator = "&" if urlsplit(base).query else "?"
    return f"{base}{separator}{urlencode({REFERENCE_PARAMETER: notification_id})}"


def reference_of(url: str) -> str:
    """Return the notification id in a callback address, or ""."""
    return dict(parse_qsl(urlsplit(url).query)).get(REFERENCE_PARAMETER, "")


def message_path(provider_id: str) -> str:
    """Return a message SID that is safe inside a URL path.

    Raises:
        RequestError: It is no SID.
    """
    if not _SID.fullmatch(provider_id):
        raise RequestError("not a Twilio message SID", code="MESSAGE_ID_INVALID", action="Use the id that Twilio gave.")
    return provider_id


def sent_message(resource: MessageResource) -> SentMessage:
    """Return how far a message got."""
    return SentMessage(provider_id=resource.sid, state=delivery_state(resource.status))


def delivery_state(status: str) -> DeliveryState:
    """Return Twilio's message status in our words; the unknown is ACCEPTED, which moves nothing.

    Source: twilio/twilio-oai twilio_api_v2010, message_enum_status, read 2026-11-22.
    """
    match status:
        case "accepted" | "scheduled" | "queued" | "sending":
            return DeliveryState.ACCEPTED
        case "sent":
            return DeliveryState.SENT
        case "delivered" | "partially_delivered":
            return DeliveryState.DELIVERED
        case "read":
            return DeliveryState.READ
        case "failed" | "undelivered" | "canceled":
            return DeliveryState.FAILED
        case _:
            _log.warning("sms: unknown message status %r read as accepted", status[:40])
            return DeliveryState.ACCEPTED


def _wrong(what: str, action: str) -> RequestError:
    return RequestError(f"sms: {what}", code="MESSAGE_NOT_SENDABLE", action=action)
