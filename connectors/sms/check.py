"""The "test before configure" call: is Twilio there, does it know us, do our clocks agree?"""

from __future__ import annotations

from connectors.checks import CheckResult, failed_check, passed_check
from connectors.sms.connector import SmsConnector
from domain.clock import utc_now
from domain.errors import ConnectorError


async def check_connection(connector: SmsConnector) -> CheckResult:
    """Ask one harmless authenticated question and explain the answer."""
    try:
        partner_time = await connector.partner_time()
    except ConnectorError as error:
        return failed_check(connector.name, connector.host, error)
    return passed_check(connector.name, connector.host, partner_time, utc_now())
