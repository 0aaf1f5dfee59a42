"""What an operator enters to connect a lab to ABDM."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field, SecretStr

from connectors.abdm.cipher import KeyEncoding

SANDBOX_URL = "https://dev.abdm.gov.in/api/hiecm"
"""Source: ABDM Developer Portal, sandbox hosts, catalogue 2026.09.16. Production is `https://apis.abdm.gov.in/api/hiecm`."""


class AbdmSettings(BaseModel):
    """Settings of the ABDM connector. What the network does not publish is a setting with the observed value."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    base_url: str = Field(SANDBOX_URL, title="Gateway URL", description="Base URL of the HIE-CM gateway.")
    client_id: str = Field(title="Client id", description="Issued with the sandbox or production registration.")
    client_secret: SecretStr = Field(title="Client secret", description="Issued together with the client id.")
    hip_id: str = Field(title="Facility id", description="Health Facility Registry id: 12 characters, starts with IN.")
    cm_id: str = Field("sbx", title="Consent manager", description="`sbx` in the sandbox, `abdm` in production.")
    bridge_url: str = Field(
        "", title="Bridge URL", description="Public HTTPS URL under which the gateway posts callbacks to this lab."
    )
    gateway_keys: tuple[dict[str, str], ...] = Field(
        (), title="Gateway keys", description="Pinned JSON Web Keys of the gateway; empty: they are fetched from it."
    )
    callback_audience: str = Field(
        "account", title="Callback audience", description="Audience the gateway's callback tokens must name."
    )
    callback_issuer: str = Field(
        "", title="Callback issuer", description="Issuer the callback tokens must name; empty: not checked."
    )
    callback_leeway_s: int = Field(60, ge=0, le=600, title="Clock tolerance", description="For callback tokens, s.")
    allowed_push_hosts: tuple[str, ...] = Field(
        (),
        title="Development push hosts",
        description="`host` or `host:port` that records may be sent to without HTTPS and on private addresses. "
        "Leave empty outside development.",
    )
    push_sends_token: bool = Field(
        True,
        title="Send token with records",
        description="The network's specification demands our gateway token in a push to the requester.",
    )
    push_key_encoding: KeyEncoding = Field(
        KeyEncoding.X509, title="Key encoding in pushes", description="How our public key is written for requesters."
    )
    push_timeout_s: float = Field(30.0, gt=0, le=120, title="Push time limit", description="For one whole push, s.")
    timeout_s: float = Field(15.0, gt=0, le=60, title="Time limit", description="For one call to the gateway, s.")
    renew_before_s: int = Field(30, ge=0, title="Token renewal", description="Renew the session this early, s.")
    hi_status_delivered: str = Field("OK", title="Word for delivered", description="Per record in transfer notices.")
    hi_status_failed: str = Field("ERRORED", title="Word for failed", description="Per record in transfer notices.")
