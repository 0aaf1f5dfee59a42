"""Links to report documents for patients: short, signed, expiring. What the messages carry and the public page opens.

A link names one version of one report and an end, nothing of a person. Whoever holds it may open the document, so it
is long-lived enough to be opened from a chat days later and no longer; whether the version may still be shown is
decided when it is opened.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import struct
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from uuid import UUID

from domain.clock import utc_now
from domain.errors import NotFoundError

LINK_PATH = "/r"
"""Path of the public page below the public URL; the token follows. Short, because an SMS carries it."""

LINK_LIFE = timedelta(days=14)

_PURPOSE = b"labsetu:report-link:1"
_BODY = struct.Struct(">16sI")
_MAC_BYTES = 16
_TOKEN_BYTES = _BODY.size + _MAC_BYTES


class ReportLinkError(NotFoundError):
    """The link is not one of ours, was changed, or is too old."""

    default_code = "REPORT_LINK_INVALID"
    default_action = "Ask the laboratory for a new link."


@dataclass(frozen=True)
class ReportLinks:
    """Makes and reads links.

    Attributes:
        key: At least 32 bytes; every process that makes or reads links has the same. A key of its own is derived
            from it.
        public_url: Where patients reach the lab, without a slash at the end.
        life: How long a new link opens.
    """

    key: bytes = field(repr=False)
    public_url: str
    life: timedelta = LINK_LIFE
    now: Callable[[], datetime] = utc_now

    def url(self, report_id: UUID) -> str:
        """Return a link to one version of a report, valid from now for `life`."""
        return f"{self.public_url}{LINK_PATH}/{self.token(report_id)}"

    def token(self, report_id: UUID) -> str:
        """Return the last part of a link: 48 characters that are safe in a URL."""
        body = _BODY.pack(report_id.bytes, int((self.now() + self.life).timestamp()))
        return base64.urlsafe_b64encode(body + self._mac(body)).decode("ascii")

    def report_of(self, token: str) -> UUID:
        """Return the row id of the report version that a token opens.

        Raises:
            ReportLinkError: The token was not made here, or its time is over.
        """
        try:
            raw = base64.b64decode(token.encode("ascii"), altchars=b"-_", validate=True)
        except (binascii.Error, UnicodeEncodeError):
            raw = b""
        body, mac = raw[: _BODY.size], raw[_BODY.size :]
        if len(raw) != _TOKEN_BYTES or not hmac.compare_digest(mac, self._mac(body)):
            raise ReportLinkError("this link is not valid")
        report_id, ends = _BODY.unpack(body)
        if datetime.fromtimestamp(ends, UTC) <= self.now():
            raise ReportLinkError("this link has expired", code="REPORT_LINK_EXPIRED")
        return UUID(bytes=report_id)

    def _mac(self, body: bytes) -> bytes:
        own = hmac.digest(self.key, _PURPOSE, hashlib.sha256)
        return hmac.digest(own, body, hashlib.sha256)[:_MAC_BYTES]
