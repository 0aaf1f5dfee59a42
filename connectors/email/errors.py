"""SMTP replies and broken connections in our error tree.

A reply of 4xx means "not now", 5xx "never", whatever follows the first digit. Before the message text is handed over
(`DATA`) a lost connection means that nothing was accepted; after it nobody knows.

Source: RFC 5321, 4.2.1 (reply codes) and 4.5.3.2.6 (the reply after the text); RFC 4954, 6 (530, 535); read 2026-11-22.
"""

from __future__ import annotations

import smtplib

from connectors.answers import quoted
from domain.errors import AuthError, ConnectorError, OutcomeUnknownError, RejectedError, UnavailableError

_PERMANENT = 500
_AUTH_CODES = frozenset({530, 534, 535, 538})


def refused(code: int, text: bytes | str, *, during: str) -> ConnectorError:
    """Return what a reply of 400 or above means.

    Args:
        code: The reply code; below 400 or nonsense counts as "not now".
        text: The reply's own words.
        during: The command refused, for people.
    """
    words = quoted(text.decode(errors="replace") if isinstance(text, bytes) else text)
    message = f"the mail relay refused {during} ({code}): {words}"
    kind: type[ConnectorError] = UnavailableError
    if code in _AUTH_CODES:
        kind = AuthError
    elif code >= _PERMANENT:
        kind = RejectedError
    return kind(message, connector="email", operation="send", partner_code=str(code))


def lost(error: OSError | smtplib.SMTPException, *, handed_over: bool) -> ConnectorError:
    """Return what a broken connection or a nonsensical peer means.

    Args:
        error: What smtplib raised.
        handed_over: True from the moment `DATA` was sent.
    """
    kind = OutcomeUnknownError if handed_over else UnavailableError
    return kind(
        f"the mail relay went away ({type(error).__name__})",
        code="LOST_AFTER_SEND" if handed_over else "NOT_CONNECTED",
        connector="email",
        operation="send",
    )
