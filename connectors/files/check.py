"""The "test before configure" call: is the object store there, does it know us, does the bucket keep versions?"""

from __future__ import annotations

from connectors.checks import CheckResult, failed_check, passed_check
from connectors.files.connector import FilesConnector
from domain.clock import utc_now
from domain.errors import ConnectorError


def check_connection(connector: FilesConnector) -> CheckResult:
    """Ask for the bucket's versioning and explain the answer. Blocks: call it from a thread."""
    try:
        is_versioned = connector.is_versioned()
    except ConnectorError as error:
        return failed_check(connector.name, connector.host, error)
    if not is_versioned:
        return CheckResult(
            connector.name, False, "the bucket does not keep versions",
            "Switch versioning on for the bucket; reports must not be overwritten.",
        )  # fmt: skip
    return passed_check(connector.name, connector.host, None, utc_now())
