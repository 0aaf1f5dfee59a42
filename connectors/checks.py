"""The answer of a connector's connection check, in words for the person who set it up.

Every `check.py` asks the partner one cheap authenticated question. What can go wrong before the partner understands
it (name, route, certificate, clock) is the same everywhere and is explained here, each separately.
"""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from email.utils import parsedate_to_datetime

from domain.errors import AuthError, ConnectorError, RateLimitedError

MAX_CLOCK_SKEW = timedelta(minutes=2)
"""Signed tokens and certificates start to fail beyond a few minutes; warn before that."""


@dataclass(frozen=True)
class CheckResult:
    """One line of `labsetu doctor`.

    Attributes:
        name: Folder name of the connector.
        what: What was found, in words.
        action: What to do about it, or "" when all is well.
    """

    name: str
    ok: bool
    what: str
    action: str


def failed_check(name: str, host: str, error: ConnectorError) -> CheckResult:
    """Explain why the question could not be asked or was refused."""
    for cause in _causes(error):
        found = _below_the_partner(host, cause)
        if found:
            return CheckResult(name, False, *found)
    if isinstance(error, AuthError):
        return CheckResult(name, False, f"{host} answers, but refuses the credentials: {error.message}", error.action)
    if isinstance(error, RateLimitedError):
        return CheckResult(name, False, f"{host} answers, but asks to slow down", "Wait a minute and check again.")
    return CheckResult(name, False, f"{host}: {error.message}", error.action)


def _below_the_partner(host: str, cause: BaseException) -> tuple[str, str] | None:
    """Return what failed and what to do, for failures before the partner understood anything."""
    match cause:
        case socket.gaierror():
            found = f"the name {host} does not resolve", "Check the base URL and this machine's DNS."
        case ssl.SSLCertVerificationError():
            why = getattr(cause, "verify_message", "") or "not trusted"
            found = (
                f"the certificate of {host} is not accepted: {why}",
                "Check the base URL, this machine's clock, and whether a proxy opens TLS connections.",
            )
        case ssl.SSLError():
            why = getattr(cause, "reason", "") or "the handshake failed"
            found = f"no TLS connection to {host}: {why}", "Check the scheme and port of the URL."
        case ConnectionRefusedError():
            found = f"nothing listens at {host}", "Check the port, or start the partner's simulator."
        case _:
            return None
    return found


def passed_check(name: str, host: str, partner_time: datetime | None, now: datetime) -> CheckResult:
    """Report success, unless this machine's clock and the partner's differ too much.

    Args:
        name: Folder name of the connector.
        host: Where it was asked.
        partner_time: The partner's clock, or None when it does not tell.
        now: This machine's clock.
    """
    if partner_time is not None and abs(now - partner_time) > MAX_CLOCK_SKEW:
        seconds = int((now - partner_time).total_seconds())
        side = "ahead of" if seconds > 0 else "behind"
        return CheckResult(
            name, False, f"credentials accepted, but this machine's clock is {abs(seconds)} s {side} {host}",
            "Switch on time synchronisation (NTP) on this machine.",
        )  # fmt: skip
    return CheckResult(name, True, f"{host} accepts our credentials", "")


def http_date(value: str) -> datetime | None:
    """Return the moment of a `Date` header, or None when there is none or it is nonsense.

    Source: RFC 9110, 6.6.1 and 5.6.7.
    """
    try:
        moment = parsedate_to_datetime(value)
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
    return moment if moment.tzinfo is not None else None


def _causes(error: BaseException) -> Iterator[BaseException]:
    """Yield what led to `error`, nearest first; the chain is short but may be circular."""
    seen: set[int] = set()
    current = error.__cause__ or error.__context__
    while current is not None and id(current) not in seen:
        seen.add(id(current))
        yield current
        current = current.__cause__ or current.__context__
