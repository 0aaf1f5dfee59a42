"""What a lab fills in to send WhatsApp messages from its own number."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field, SecretStr


class WhatsAppSettings(BaseModel):
    """One sending number of a WhatsApp Business Account."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    base_url: str = Field(default="https://graph.facebook.com", title="API address", description="Without the version.")
    api_version: str = Field(
        default="v25.0",
        pattern=r"^v\d{1,3}\.\d$",
        title="Graph version",
        description="Each version lives about two years; v25.0 ends on 29 July 2028.",
    )
    phone_number_id: str = Field(
        pattern=r"^\d{1,32}$",
        title="Phone number id",
        description="WhatsApp Manager → API setup. Not the phone number itself.",
    )
    access_token: SecretStr = Field(
        title="Access token", description="Of a system user with `whatsapp_business_messaging`; it should not expire."
    )
    app_secrets: list[SecretStr] = Field(
        default_factory=list,
        title="App secrets",
        description="Sign the webhooks; Meta app → Settings → Basic. Newest first; keep the old one while changing it.",
    )
    verify_token: SecretStr = Field(
        default=SecretStr(""),
        title="Verify token",
        description="Any long random text; type the same into the webhook form of the Meta app.",
    )
    timeout_s: float = Field(
        default=20.0, gt=0, le=120, title="Time limit", description="Seconds to wait for an answer."
    )

    def active_secrets(self) -> list[str]:
        """Return what may sign a webhook now, for `webhook.verify`."""
        return [secret.get_secret_value() for secret in self.app_secrets]
