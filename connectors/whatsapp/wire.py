"""The Cloud API's JSON, as on the wire. Inbound models keep what they do not know; outbound models refuse it.

Source: facebook/openapi business-messaging-api v23.0, "Messages", and developers.facebook.com, "Template messages",
read 2026-11-22.
"""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class _Inbound(BaseModel):
    model_config = ConfigDict(extra="allow", frozen=True)


class _Outbound(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Document(_Outbound):
    """A document that WhatsApp's servers fetch from `link`."""

    link: str
    filename: str | None = None


class DocumentParameter(_Outbound):
    """The value of a document header."""

    type: Literal["document"] = "document"
    document: Document


class TextParameter(_Outbound):
    """The value of one positional placeholder."""

    type: Literal["text"] = "text"
    text: str


class Component(_Outbound):
    """Values for one part of the template."""

    type: Literal["header", "body"]
    parameters: list[DocumentParameter | TextParameter]


class Language(_Outbound):
    """Language of the template, as it was approved."""

    code: str


class Template(_Outbound):
    """Which template, and its values."""

    name: str
    language: Language
    components: list[Component]


class SendTemplate(_Outbound):
    """Body of `POST /{phone_number_id}/messages`."""

    messaging_product: Literal["whatsapp"] = "whatsapp"
    recipient_type: Literal["individual"] = "individual"
    to: str
    type: Literal["template"] = "template"
    biz_opaque_callback_data: str
    template: Template


class AcceptedMessage(_Inbound):
    """A message that was taken for sending. `message_status` may say that it is held back."""

    id: str = Field(min_length=1, max_length=256)
    message_status: str = "accepted"


class SendAnswer(_Inbound):
    """Answer of `POST /{phone_number_id}/messages`."""

    messages: list[AcceptedMessage] = Field(min_length=1)


class PhoneNumber(_Inbound):
    """Answer of `GET /{phone_number_id}`."""

    id: str
