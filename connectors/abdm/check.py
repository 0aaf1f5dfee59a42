"""The connection check behind `labsetu doctor` and "test before saving" in the console."""

from __future__ import annotations

from datetime import timedelta
from urllib.parse import urlsplit

from connectors.abdm.connector import AbdmConnector, Bridge
from connectors.abdm.settings import AbdmSettings
from connectors.abdm.webhook import signing_keys
from connectors.checks import CheckResult, failed_check, passed_check
from domain.clock import utc_now
from domain.errors import ConnectorError

MAX_BEHIND = timedelta(seconds=45)
"""The gateway refuses time stamps more than a minute old. Source: ProjectEKA gateway, application.yml (2021)."""


async def check_connection(connector: AbdmConnector) -> CheckResult:
    """Open a session, compare clocks, and see whether the gateway would send this facility's callbacks to us.

    Tells apart: not reachable, credentials refused, client not subscribed, clock wrong, facility not registered,
    bridge URL of somebody else, no usable signing key.
    """
    settings = connector.settings
    host = urlsplit(settings.base_url).hostname or settings.base_url
    try:
        ahead = await connector.clock_ahead()
        bridge = await connector.fetch_bridge()
        keys = settings.gateway_keys or await connector.fetch_signing_keys()
    except ConnectorError as error:
        return failed_check("abdm", host, error)
    now = utc_now()
    if ahead is not None and -ahead > MAX_BEHIND:
        return CheckResult(
            "abdm", False, f"credentials accepted, but this machine's clock is {-int(ahead.total_seconds())} s behind",
            "Switch on time synchronisation (NTP): the gateway refuses time stamps more than a minute old.",
        )  # fmt: skip
    found = _registration(bridge, settings)
    if found is not None:
        return CheckResult("abdm", False, *found)
    if not signing_keys(keys):
        return CheckResult(
            "abdm", False, f"{host} offers no key that callbacks can be checked with",
            "Pin the gateway's keys in the settings, or ask NHA why its key set is empty.",
        )  # fmt: skip
    return passed_check("abdm", host, None if ahead is None else now - ahead, now)


def _registration(bridge: Bridge, settings: AbdmSettings) -> tuple[str, str] | None:
    """Return what is wrong with our registration and what to do, or None."""
    if "HIP" not in bridge.services.get(settings.hip_id, ()):
        return (
            f"the gateway does not know {settings.hip_id} as a provider (HIP) of this client id",
            "Link the facility to this client id as HIP in the facility registry, or correct the facility id.",
        )
    if settings.bridge_url and bridge.url.rstrip("/") != settings.bridge_url.rstrip("/"):
        return (
            "the gateway sends callbacks of this client id to another bridge URL than the one set here",
            "Register the bridge URL again; the last writer wins, so find out who else uses this client id.",
        )
    return None
