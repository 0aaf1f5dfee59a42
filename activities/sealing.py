"""Seals the few partner tokens that are kept in rows: AES-256-GCM under the seal key, bound to what they are for.

Sealed text: `1.` and base64 of a 12-byte nonce, ciphertext and tag. What a token is bound to is part of the seal, so a
sealed text that is copied to another row does not open there.
"""

from __future__ import annotations

import base64
import binascii
import secrets

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from pydantic import SecretStr
from sqlmodel.ext.asyncio.session import AsyncSession

from domain.errors import LabError

_VERSION = "1."
_NONCE_BYTES = 12


class SealError(LabError):
    """A sealed text does not open: another key sealed it, or it was changed or moved."""

    default_code = "SEAL_BROKEN"
    default_action = "If the seal key was changed, nothing: the partner is asked for a new token."


def seal(session: AsyncSession, secret: SecretStr, *, bound_to: str) -> str:
    """Return `secret` sealed with the key of the session's database.

    Args:
        session: Of `Database.transaction`.
        secret: What is to be kept.
        bound_to: What it belongs to, e.g. `link_token:<patient id>:<facility id>`.
    """
    nonce = secrets.token_bytes(_NONCE_BYTES)
    sealed = _cipher(session).encrypt(nonce, secret.get_secret_value().encode(), bound_to.encode())
    return _VERSION + base64.b64encode(nonce + sealed).decode("ascii")


def unseal(session: AsyncSession, sealed: str, *, bound_to: str) -> SecretStr:
    """Return what `seal` was given.

    Raises:
        SealError: The key, the binding or the text is another one.
    """
    try:
        raw = base64.b64decode(sealed.removeprefix(_VERSION).encode("ascii"), validate=True)
        opened = _cipher(session).decrypt(raw[:_NONCE_BYTES], raw[_NONCE_BYTES:], bound_to.encode())
    except (binascii.Error, UnicodeEncodeError, InvalidTag, ValueError) as error:
        raise SealError("a stored token cannot be opened") from error
    return SecretStr(opened.decode())


def _cipher(session: AsyncSession) -> AESGCM:
    key: bytes = session.info["seal_key"]
    return AESGCM(key)
