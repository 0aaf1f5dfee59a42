"""What a lab fills in to send SMS, including what it registered with the Indian operators.

Businesses in India register on an operator's DLT portal: an entity, headers (sender ids) and the text of each message.
Operators drop what does not match a registered text. Twilio's API takes no DLT ids: header and templates are given
to Twilio by its registration form, and the ids are kept here for that form and for support.

Source: TRAI TCCCPR as described at support.twilio.com 21162166457755 and twilio.com/guidelines/in/sms, read 2026-11-22.
"""

from __future__ import annotations

from typing import Self

from pydantic import BaseModel, ConfigDict, Field, SecretStr, model_validator

DLT_VARIABLE = "{#var#}"
"""How a registered text marks a variable; longer values need several in a row."""


class DltTemplate(BaseModel):
    """One registered text."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(title="Template", description="Our name of the template, as notifications use it.")
    language: str = Field(default="en", title="Language", description="Language code.")
    template_id: str = Field(pattern=r"^\d+$", title="DLT template id", description="From the operator's DLT portal.")
    text: str = Field(
        max_length=1600, title="Registered text", description="Exactly as approved, with `{#var#}` for variables."
    )


class SmsSettings(BaseModel):
    """One Twilio account."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    base_url: str = Field(default="https://api.twilio.com", title="API address", description="Without the version.")
    account_sid: str = Field(
        pattern=r"^AC[0-9a-fA-F]{32}$", title="Account SID", description="Twilio Console → Account Dashboard."
    )
    auth_token: SecretStr = Field(title="Auth token", description="Also signs the status callbacks.")
    webhook_auth_tokens: list[SecretStr] = Field(
        default_factory=list,
        title="Other active auth tokens",
        description="Tokens that may still sign callbacks while the auth token is being changed.",
    )
    sender: str = Field(
        default="",
        pattern=r"^(\+[1-9]\d{7,14}|[A-Za-z0-9]{3,11})?$",
        title="Sender",
        description="A number in international form, or the registered header (in India 6 characters).",
    )
    messaging_service_sid: str = Field(
        default="",
        pattern=r"^(MG[0-9a-fA-F]{32})?$",
        title="Messaging service SID",
        description="Instead of a sender, when Twilio is to choose one.",
    )
    status_callback_url: str = Field(
        default="",
        title="Status callback address",
        description="Our public HTTPS address for status reports; without it nothing is known after `accepted`.",
    )
    validity_s: int = Field(
        default=14_400, ge=1, le=36_000, title="Validity", description="Seconds after which an unsent message is void."
    )
    dlt_entity_id: str = Field(
        default="", pattern=r"^\d*$", title="DLT entity id", description="Principal entity id; needed with templates."
    )
    dlt_templates: list[DltTemplate] = Field(
        default_factory=list,
        title="Registered texts",
        description="When given, only messages that match one of them are sent.",
    )
    timeout_s: float = Field(
        default=20.0, gt=0, le=120, title="Time limit", description="Seconds to wait for an answer."
    )

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if not self.sender and not self.messaging_service_sid:
            raise ValueError("give a sender or a messaging service SID")
        if self.dlt_templates and not self.dlt_entity_id:
            raise ValueError("registered texts belong to a DLT entity id")
        return self

    def active_secrets(self) -> list[str]:
        """Return what may sign a callback now, for `webhook.verify`."""
        return [token.get_secret_value() for token in (self.auth_token, *self.webhook_auth_tokens)]
