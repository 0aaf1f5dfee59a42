"""Signed links with which a patient downloads a report: they expire, and nothing in them can be changed.

    <report id, 16 bytes> <expiry, 4 bytes> <HMAC-SHA256, first 16 bytes>, base64url without padding

The key is the database's seal key; what signs here is derived from it, so that it signs nothing else.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import struct
from collections.abc import Sequence
from datetime import UTC, datetime
from uuid import UUID

from domain.errors import NotFoundError

_PLAIN_BYTES = 20
_MAC_BYTES = 16
_TOKEN_CHARS = 48
_PURPOSE = b"labsetu report link v1"


def report_token(report_id: UUID, expires_at: datetime, key: bytes) -> str:
    """Return the token for one report version, 48 characters."""
    plain = report_id.bytes + struct.pack(">I", int(expires_at.timestamp()))
    return base64.urlsafe_b64encode(plain + _mac(plain, key)).decode()


def report_of(token: str, keys: Sequence[bytes], now: datetime) -> UUID:
    """Return the report that a token opens.

    Raises:
        NotFoundError: Not one of ours, or expired; the answer does not tell which key or what part was wrong.
    """
    try:
        raw = base64.b64decode(token, altchars=b"-_", validate=True) if len(token) == _TOKEN_CHARS else b""
    except (binascii.Error, ValueError):
        raw = b""
    plain, mac = raw[:_PLAIN_BYTES], raw[_PLAIN_BYTES:]
    # every key is tried, so that the time taken does not tell which one fits
    if not any([hmac.compare_digest(mac, _mac(plain, key)) for key in keys]):  # noqa: C419  a generator would stop early
        raise NotFoundError("the link is not valid", code="LINK_INVALID", action="Ask the laboratory for a new link.")
    (expiry,) = struct.unpack(">I", plain[16:])
    if datetime.fromtimestamp(expiry, UTC) <= now:
        raise NotFoundError("the link has expired", code="LINK_EXPIRED", action="Ask the laboratory for a new link.")
    return UUID(bytes=plain[:16])


def _mac(plain: bytes, key: bytes) -> bytes:
    derived = hmac.new(key, _PURPOSE, hashlib.sha256).digest()
    return hmac.new(derived, plain, hashlib.sha256).digest()[:_MAC_BYTES]
