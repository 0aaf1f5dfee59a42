"""Twilio's forms and JSON, as on the wire. Requests are form-encoded, answers are JSON.

Source: twilio/twilio-oai twilio_api_v2010, CreateMessage, FetchMessage, FetchAccount, read 2026-11-22.
"""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class CreateMessage(BaseModel):
    """Form of `POST /Messages.json`; the names are Twilio's."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    To: str
    From: str | None = None
    MessagingServiceSid: str | None = None
    Body: str
    StatusCallback: str | None = None
    ValidityPeriod: int
    SmartEncoded: Literal["true"] = "true"
    ContentRetention: Literal["discard"] = "discard"
    AddressRetention: Literal["obfuscate"] = "obfuscate"


class MessageResource(BaseModel):
    """A message as Twilio holds it."""

    model_config = ConfigDict(extra="allow", frozen=True)

    sid: str = Field(min_length=1, max_length=64)
    status: str
    error_code: int | None = None


class AccountResource(BaseModel):
    """Our account as Twilio holds it."""

    model_config = ConfigDict(extra="allow", frozen=True)

    sid: str
    status: str = "active"
