"""What is never logged or stored of a partner call: secrets, and what identifies a patient.

The call journal keeps requests and responses for support. Everything in it passes through here first.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from typing import Any

MASK = "***"

SECRET_HEADERS = frozenset(
    {
        "authorization",
        "proxy-authorization",
        "cookie",
        "set-cookie",
        "x-api-key",
        "x-link-token",
        "x-auth-token",
    }
)

SECRET_FIELDS = frozenset(
    {
        "password", "secret", "token", "accesstoken", "refreshtoken", "linktoken", "clientsecret", "client_secret",
        "appkey", "sek", "authtoken", "auth_token", "key_secret", "otp", "api_key", "signature",
    }
)  # fmt: skip

PERSON_FIELDS = frozenset(
    {
        "name", "contact", "email", "phone", "mobile", "to", "customer", "dob", "yearofbirth", "gender", "abhanumber",
        "abhaaddress", "address", "display", "content", "text", "body", "recipient_id", "wa_id", "from",
        "customer_details", "healthid", "patient", "parameters", "components",
    }
)  # fmt: skip
"""Lower-case field names masked in every journal entry; a connector adds its own."""

_LONG_DIGITS = re.compile(r"\d{10,}")


def masked_headers(headers: Mapping[str, str], secret: Iterable[str] = ()) -> dict[str, str]:
    """Return the headers with every secret one masked; names are compared in lower case."""
    hidden = SECRET_HEADERS | {name.lower() for name in secret}
    return {name: MASK if name.lower() in hidden else value for name, value in headers.items()}


def masked_json(value: Any, fields: frozenset[str] = frozenset(), *, depth: int = 12) -> Any:
    """Return a copy of parsed JSON in which every secret or personal field is masked.

    Below `depth` levels everything is masked: nobody reads that deep, and hostile input may be endless.
    """
    hidden = SECRET_FIELDS | PERSON_FIELDS | fields
    if depth <= 0:
        return MASK
    if isinstance(value, dict):
        return {
            str(key): MASK if str(key).lower() in hidden else masked_json(item, fields, depth=depth - 1)
            for key, item in value.items()
        }
    if isinstance(value, list):
        return [masked_json(item, fields, depth=depth - 1) for item in value[:200]]
    return value


def masked_body(raw: bytes, fields: frozenset[str] = frozenset(), *, limit: int = 8192) -> str:
    """Return a body fit for the journal: masked JSON, or a length when it is not JSON."""
    if not raw:
        return ""
    try:
        parsed = json.loads(raw)
    except (ValueError, RecursionError):
        return f"<{len(raw)} bytes, not JSON>"
    return json.dumps(masked_json(parsed, fields), ensure_ascii=False)[:limit]


def masked_digits(text: str) -> str:
    """Mask runs of ten digits or more in free text: phone, ABHA and card numbers; keep the last two."""
    return _LONG_DIGITS.sub(lambda match: MASK + match.group()[-2:], text)
