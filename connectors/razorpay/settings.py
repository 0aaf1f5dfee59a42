"""What a lab fills in to collect money through Razorpay."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field, SecretStr


class RazorpaySettings(BaseModel):
    """Keys and switches of one Razorpay account. Test and live mode differ in the keys only."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    base_url: str = Field(
        default="https://api.razorpay.com", title="API address", description="The same for test and live mode."
    )
    key_id: str = Field(
        title="Key id", description="Starts with `rzp_test_` or `rzp_live_`; Dashboard → Account & Settings → API keys."
    )
    key_secret: SecretStr = Field(title="Key secret", description="Shown once, when the key is made.")
    webhook_secrets: list[SecretStr] = Field(
        default_factory=list,
        title="Webhook secrets",
        description="Newest first. While a secret is being changed, keep the old one here too: retried events may "
        "carry either signature. Not the key secret.",
    )
    timeout_s: float = Field(
        default=20.0, gt=0, le=120, title="Time limit", description="Seconds to wait for an answer."
    )
    callback_url: str = Field(
        default="",
        title="Return page",
        description="Where the browser goes after paying when the link names no page of its own.",
    )

    def active_secrets(self) -> list[str]:
        """Return what may sign a webhook now, for `webhook.verify`."""
        return [secret.get_secret_value() for secret in self.webhook_secrets]
