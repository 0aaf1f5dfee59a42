"""Settings of the e-invoice connector for one GSTIN, titled for the console."""

from __future__ import annotations

import re
from datetime import date
from enum import StrEnum

from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_validator

from connectors.einvoice.wire import HEADER_TEXT
from domain.einvoice import BelowThreshold, GstPolicy, TurnoverBand


class Dialect(StrEnum):
    """Which way leads to the portal."""

    ADAEQUARE = "adaequare"
    NIC = "nic"


class EInvoiceSettings(BaseModel):
    """One GSTIN's access to the portal and what its accountant has settled."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    dialect: Dialect = Field(
        default=Dialect.ADAEQUARE, title="Way to the portal", description="Through Adaequare's GSP, or to NIC directly"
    )
    base_url: str = Field(default="https://gsp.adaequare.com", title="Host", description="Scheme and host, no path")
    api_prefix: str = Field(
        default="", title="Path before the API", description="Adaequare: `/test` for the sandbox, empty for production"
    )
    gstin: str = Field(title="GSTIN", description="Of the laboratory; one entry for each GSTIN")
    username: str = Field(
        pattern=HEADER_TEXT, title="API user", description="Made on the e-invoice portal under API registration"
    )
    password: SecretStr = Field(title="API password", description="Of the API user, not of the portal's own login")
    client_id: SecretStr = Field(title="Client id", description="Adaequare: gspappid. NIC: client-id")
    client_secret: SecretStr = Field(title="Client secret", description="Adaequare: gspappsecret. NIC: client-secret")
    nic_public_key: str = Field(
        default="",
        title="NIC's login key",
        description="PEM from the portal; encrypts the login. Not the signing key, and another one in the sandbox",
    )
    signing_keys: dict[str, str] = Field(
        default_factory=dict, title="NIC's signing keys", description="PEM by key id, from the portal; keep old ones"
    )
    validate_gstin_checksum: bool = Field(
        default=True, title="Check the GSTIN's check digit", description="Off in the sandbox, whose GSTINs break it"
    )
    enabled_from: date | None = Field(default=None, title="E-invoicing from", description="First document date")
    turnover: TurnoverBand = Field(
        default=TurnoverBand.UP_TO_5_CRORE,
        title="Turnover of the PAN",
        description="The highest of any year since 2017-18; decides whether and how soon documents must be submitted",
    )
    auto_submit_min_paise: int = Field(
        default=50_000_00, ge=0, title="Submit at once from (paise)", description="A habit of the lab, not the law"
    )
    below_threshold: BelowThreshold = Field(
        default=BelowThreshold.AUTO, title="Below that", description="What becomes of smaller documents"
    )
    timeout_s: float = Field(
        default=30.0, gt=0, le=120, title="Time limit", description="Seconds to wait for an answer."
    )

    @field_validator("password", "client_id", "client_secret")
    @classmethod
    def _fits_a_header(cls, secret: SecretStr) -> SecretStr:
        if not re.fullmatch(HEADER_TEXT, secret.get_secret_value()):
            raise ValueError("printable ASCII without blanks")
        return secret

    @property
    def policy(self) -> GstPolicy:
        """What the rules need of these settings."""
        return GstPolicy(
            enabled_from=self.enabled_from,
            turnover=self.turnover,
            auto_submit_min_paise=self.auto_submit_min_paise,
            below_threshold=self.below_threshold,
        )
