"""The "test before configure" call: is the relay there, is its certificate good, does it know us?

SMTP tells no time, so clocks are not compared; a clock far off shows as a refused certificate.
"""

from __future__ import annotations

from connectors.checks import CheckResult, failed_check, passed_check
from connectors.email.connector import EmailConnector
from domain.clock import utc_now
from domain.errors import ConnectorError


async def check_connection(connector: EmailConnector) -> CheckResult:
    """Connect and log in without sending anything, and explain the answer."""
    try:
        await connector.greet()
    except ConnectorError as error:
        return failed_check(connector.name, connector.host, error)
    return passed_check(connector.name, connector.host, None, utc_now())
