"""The "test before use" of the e-invoice connector: signs in and looks at what a registration will need."""

from __future__ import annotations

from datetime import datetime
from urllib.parse import urlsplit

from connectors.checks import CheckResult, failed_check, passed_check
from connectors.einvoice.connector import EInvoiceConnector
from connectors.einvoice.errors import CONNECTOR
from domain.clock import utc_now
from domain.einvoice import has_valid_check_character
from domain.errors import ConnectorError


async def check_connection(connector: EInvoiceConnector, *, now: datetime | None = None) -> CheckResult:
    """Sign in to the portal; nothing is registered. Never raises a ConnectorError.

    Args:
        connector: As configured.
        now: Aware; by default the clock.
    """
    settings = connector.settings
    host = urlsplit(settings.base_url).hostname or settings.base_url
    if settings.validate_gstin_checksum and not has_valid_check_character(settings.gstin):
        return CheckResult(
            CONNECTOR,
            ok=False,
            what="the check digit of the GSTIN in the settings is wrong",
            action="Correct the GSTIN, or switch the check off for the sandbox.",
        )
    try:
        told = await connector.sign_in()
    except ConnectorError as error:
        return failed_check(CONNECTOR, host, error)
    result = passed_check(CONNECTOR, host, told, now or utc_now())
    if result.ok and not settings.signing_keys:
        return CheckResult(
            CONNECTOR,
            ok=False,
            what=f"{result.what}, but no signing key is configured: signed invoices cannot be verified",
            action="Download the portal's signing certificate and add its public key to the settings.",
        )
    return result
