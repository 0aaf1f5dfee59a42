"""NIC's encryption of logins and payloads, both sides.

The scheme is NIC's, not ours to choose: AES-256 in ECB mode with PKCS7 padding and RSA with PKCS1 v1.5. Secrecy on the
way rests on TLS; this only keeps the GSP in the middle from reading.

Source: NIC e-invoice API, "Authentication" v1.04 and "Generate IRN" v1.03, read 2026-09-18.
"""

from __future__ import annotations

import base64
import binascii
import json
import secrets
from collections.abc import Mapping

from cryptography.hazmat.primitives import padding, serialization
from cryptography.hazmat.primitives.asymmetric import padding as rsa_padding
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPublicKey
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

KEY_BYTES = 32
_BLOCK_BITS = 128
_RSA_OVERHEAD_BYTES = 11


def new_app_key() -> bytes:
    """Return a fresh key for one login."""
    return secrets.token_bytes(KEY_BYTES)


def encrypt_login(public_key_pem: str, login: Mapping[str, object]) -> str:
    """Return `Data` of a login: base64(RSA(base64(JSON))).

    Raises:
        ValueError: The key is not a public RSA key, or user name and password are too long for it.
    """
    key = serialization.load_pem_public_key(public_key_pem.encode())
    if not isinstance(key, RSAPublicKey):
        raise ValueError("NIC's login key must be an RSA key")  # noqa: TRY004  a wrong value of the right type
    inner = base64.b64encode(json.dumps(login, separators=(",", ":")).encode())
    if len(inner) > key.key_size // 8 - _RSA_OVERHEAD_BYTES:
        raise ValueError("user name and password are too long for NIC's login")
    return base64.b64encode(key.encrypt(inner, rsa_padding.PKCS1v15())).decode()


def decrypt_login(private_key: RSAPrivateKey, sealed: str) -> object:
    """Return the JSON of a login (the portal's side).

    Raises:
        ValueError: Not encrypted for this key, or no JSON inside.
    """
    inner = private_key.decrypt(base64.b64decode(sealed, validate=True), rsa_padding.PKCS1v15())
    return json.loads(base64.b64decode(inner, validate=True))


def encrypt(key: bytes, plain: bytes) -> str:
    """Return base64 of the encrypted bytes."""
    padder = padding.PKCS7(_BLOCK_BITS).padder()
    encryptor = _cipher(key).encryptor()
    padded = padder.update(plain) + padder.finalize()
    return base64.b64encode(encryptor.update(padded) + encryptor.finalize()).decode()


def decrypt(key: bytes, sealed: str) -> bytes:
    """Return the plain bytes.

    Raises:
        ValueError: Not base64, or not encrypted with this key.
    """
    try:
        raw = base64.b64decode(sealed, validate=True)
    except binascii.Error as error:
        raise ValueError("not base64") from error
    decryptor = _cipher(key).decryptor()
    unpadder = padding.PKCS7(_BLOCK_BITS).unpadder()
    return unpadder.update(decryptor.update(raw) + decryptor.finalize()) + unpadder.finalize()


def _cipher(key: bytes) -> Cipher[modes.ECB]:
    if len(key) != KEY_BYTES:
        raise ValueError(f"the key must have {KEY_BYTES} bytes")
    return Cipher(algorithms.AES(key), modes.ECB())  # noqa: S305  the portal's scheme, see above
