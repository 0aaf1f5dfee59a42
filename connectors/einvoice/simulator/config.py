"""What the simulated portal knows when it starts: its users, taxpayers and the switches no document settles."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date, timedelta

from domain.einvoice import gstin_check_character, has_valid_check_character


@dataclass(frozen=True)
class Taxpayer:
    """One entry of the portal's GSTIN master.

    Attributes:
        kind: `REG` regular, `SEZ` unit, `SED` developer, `COM` composition, `ISD` distributor, `CAS` casual.
        status: `ACT`, `SUS` suspended or `CNL` cancelled.
        enabled: Registered for e-invoicing, as a supplier.
        above_5_crore: Six-digit HSN are due.
        above_10_crore: The 30-day limit applies.
    """

    gstin: str
    name: str = "Taxpayer"
    kind: str = "REG"
    status: str = "ACT"
    registered_on: date = date(2017, 7, 1)
    deregistered_on: date | None = None
    enabled: bool = True
    above_5_crore: bool = True
    above_10_crore: bool = False


def demo_gstin(first_fourteen: str) -> str:
    """Return a GSTIN with its check character."""
    return first_fourteen + gstin_check_character(first_fourteen)


DEMO_SUPPLIER = demo_gstin("29AAPCS4321K1Z")
DEMO_BUYER = demo_gstin("29AAECH8765L1Z")
DEMO_BUYER_OTHER_STATE = demo_gstin("27AAECH8765L1Z")
DEMO_SEZ_BUYER = demo_gstin("29AAGCZ2468M1Z")
SANDBOX_GSTINS = ("02AMBPG7773M002", "36AMBPG7773M002", "29AABCT1332L000")
"""Of the real sandbox; their check characters are wrong. Source: NIC sandbox test taxpayers, 2026-09."""


def _demo_master() -> dict[str, Taxpayer]:
    entries = [
        Taxpayer(DEMO_SUPPLIER, "Demo Diagnostics Private Limited"),
        Taxpayer(DEMO_BUYER, "Demo Hospitals Limited"),
        Taxpayer(DEMO_BUYER_OTHER_STATE, "Demo Hospitals Limited"),
        Taxpayer(DEMO_SEZ_BUYER, "Demo SEZ Pharma Limited", kind="SEZ"),
        *(Taxpayer(gstin, "Sandbox taxpayer") for gstin in SANDBOX_GSTINS),
    ]
    return {entry.gstin: entry for entry in entries}


@dataclass(frozen=True)
class PortalConfig:
    """How the simulated portal is set up.

    Attributes:
        gstin: Taxpayer that `username` belongs to.
        taxpayers: Exceptions and known names; any other GSTIN with a right check character is a regular taxpayer.
        get_window: How long a registration can be looked up; sources differ between 2 and 3 days.
        not_found_code: What a look-up of an unknown IRN answers; sources differ.
        error_details_base64: NIC's pages say base64, observed answers are plain lists.
    """

    username: str = "demo_lab"
    password: str = "Demo@2026"
    client_id: str = "demo-client"
    client_secret: str = "demo-secret"
    gstin: str = DEMO_SUPPLIER
    taxpayers: dict[str, Taxpayer] = field(default_factory=_demo_master)
    token_life: timedelta = timedelta(minutes=60)
    force_refresh_window: timedelta = timedelta(minutes=10)
    get_window: timedelta = timedelta(days=3)
    cancel_window: timedelta = timedelta(hours=24)
    earliest_document: date = date(2025, 4, 1)
    reporting_days: int = 30
    not_found_code: str = "2148"
    error_details_base64: bool = False

    def taxpayer(self, gstin: str) -> Taxpayer | None:
        """Return who has the GSTIN, or None."""
        known = self.taxpayers.get(gstin)
        if known is None and has_valid_check_character(gstin):
            return Taxpayer(gstin)
        return known
