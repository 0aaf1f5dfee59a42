"""What a lab fills in to send e-mail through its relay."""

from __future__ import annotations

from enum import StrEnum
from typing import Self

from pydantic import BaseModel, ConfigDict, Field, SecretStr, model_validator


class Security(StrEnum):
    """How the connection to the relay is protected."""

    STARTTLS = "starttls"
    """Port 587: plain at first, TLS before anything is said."""
    TLS = "tls"
    """Port 465: TLS from the first byte."""
    NONE = "none"
    """Port 25 of a relay on this machine or network; no password is ever sent over it."""


class EmailSettings(BaseModel):
    """One SMTP relay and the address we send from."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    host: str = Field(title="Relay", description="Host name of the SMTP relay.")
    port: int = Field(default=587, ge=1, le=65_535, title="Port", description="587 for STARTTLS, 465 for TLS.")
    security: Security = Field(default=Security.STARTTLS, title="Protection", description="STARTTLS, TLS or none.")
    ca_file: str = Field(
        default="", title="CA file", description="Certificates to trust, when the relay's is not publicly signed."
    )
    username: str = Field(default="", title="User", description="Empty when the relay knows us by our address.")
    password: SecretStr = Field(default=SecretStr(""), title="Password", description="Of that user.")
    sender: str = Field(
        pattern=r"^[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]+@[A-Za-z0-9.-]+$",
        title="From address",
        description="The domain must allow the relay to send for it (SPF, DKIM).",
    )
    sender_name: str = Field(
        default="", pattern=r"^[^\x00-\x1f\x7f]*$", title="From name", description="The lab's name."
    )
    reply_to: str = Field(
        default="",
        pattern=r"^([A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]+@[A-Za-z0-9.-]+)?$",
        title="Reply address",
        description="Where answers go, when not to the From address.",
    )
    timeout_s: float = Field(
        default=20.0, gt=0, le=120, title="Time limit", description="Seconds to wait for each answer."
    )

    @model_validator(mode="after")
    def _no_password_in_the_clear(self) -> Self:
        if self.security is Security.NONE and self.username:
            raise ValueError("a password may only be sent over STARTTLS or TLS")
        return self

    @property
    def message_id_domain(self) -> str:
        """Return the domain of our Message-IDs, that of the From address."""
        return self.sender.rpartition("@")[2]
