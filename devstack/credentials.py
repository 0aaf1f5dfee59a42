"""The settings of the dev stack: random secrets made once, and the addresses of this start.

Both are files of `LABSETU_…` variables that only their owner may read and that every process in development reads:
`<home>/secrets.env` keeps its values for ever, `<home>/stack.env` is written anew by each start.
"""

from __future__ import annotations

import base64
import json
import os
import secrets
from collections.abc import Callable, Mapping
from pathlib import Path

from dotenv import dotenv_values

SECRETS_FILE = "secrets.env"
STACK_FILE = "stack.env"


def _key32() -> str:
    return base64.b64encode(secrets.token_bytes(32)).decode()


def _list_of_one() -> str:
    return json.dumps([secrets.token_hex(32)])


_RANDOM: dict[str, Callable[[], str]] = {
    "LABSETU_DEV_OWNER_PASSWORD": lambda: secrets.token_hex(24),
    "LABSETU_DEV_APP_PASSWORD": lambda: secrets.token_hex(24),
    "LABSETU_DATABASE__SEAL_KEY": _key32,
    "LABSETU_TEMPORAL__CODEC_KEYS": lambda: json.dumps({"dev": _key32()}),
    "LABSETU_TEMPORAL__CODEC_ACTIVE_KEY": lambda: "dev",
    "LABSETU_OBJECTS__ACCESS_KEY": lambda: secrets.token_hex(10),
    "LABSETU_OBJECTS__SECRET_KEY": lambda: secrets.token_hex(20),
    "LABSETU_API__JWT_SECRETS": lambda: secrets.token_hex(32),
    "LABSETU_AUDIT__KEY": lambda: secrets.token_hex(32),
    "LABSETU_PAYMENTS__KEY_ID": lambda: f"rzp_test_{secrets.token_hex(7)}",
    "LABSETU_PAYMENTS__KEY_SECRET": lambda: secrets.token_hex(16),
    "LABSETU_PAYMENTS__WEBHOOK_SECRETS": _list_of_one,
    "LABSETU_EINVOICE__USERNAME": lambda: f"lab_{secrets.token_hex(4)}",
    "LABSETU_EINVOICE__PASSWORD": lambda: secrets.token_hex(12),
    "LABSETU_EINVOICE__CLIENT_ID": lambda: secrets.token_hex(12),
    "LABSETU_EINVOICE__CLIENT_SECRET": lambda: secrets.token_hex(12),
    "LABSETU_WHATSAPP__ACCESS_TOKEN": lambda: secrets.token_hex(32),
    "LABSETU_WHATSAPP__APP_SECRETS": _list_of_one,
    "LABSETU_WHATSAPP__VERIFY_TOKEN": lambda: secrets.token_hex(16),
    "LABSETU_SMS__ACCOUNT_SID": lambda: f"AC{secrets.token_hex(16)}",
    "LABSETU_SMS__AUTH_TOKEN": lambda: secrets.token_hex(16),
    "LABSETU_ABDM__CLIENT_ID": lambda: f"SBX_{secrets.randbelow(10**6):06d}",
    "LABSETU_ABDM__CLIENT_SECRET": lambda: secrets.token_hex(16),
}


def ensure_secrets(home: Path) -> dict[str, str]:
    """Return the stack's secrets; those that do not exist yet are made and kept."""
    file = home / SECRETS_FILE
    known = read(file)
    missing = {name: make() for name, make in _RANDOM.items() if not known.get(name)}
    if missing:
        write(file, known | missing)
    return known | missing


def read(file: Path) -> dict[str, str]:
    """Return the variables of a file; none when it does not exist."""
    return {name: value or "" for name, value in dotenv_values(file, interpolate=False).items()}


def write(file: Path, values: Mapping[str, str]) -> None:
    """Write variables to a file that only we may read; whole or not at all."""
    file.parent.mkdir(parents=True, exist_ok=True)
    fresh = file.with_suffix(".new")
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as opened:
        opened.write("# written by the dev stack\n")
        opened.writelines(f"{name}='{value}'\n" for name, value in values.items())
        opened.flush()
        os.fsync(opened.fileno())
    fresh.replace(file)
