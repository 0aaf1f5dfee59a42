"""End-to-end encryption of a health-information transfer ("Fidelius").

The curve is BouncyCastle's `curve25519` in short Weierstrass form: the points on the wire are not the byte strings of
RFC 7748, but they name the same group, so the arithmetic is OpenSSL's X25519 and only the x coordinate is shifted.
One key pair and one nonce serve one transfer and are then forgotten; key and IV are the same for every entry of it.
Source: fidelius-cli README (mgrmtech, 2023-09) with its published vector; ABDM V3 "Health information transfer".
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import secrets
from dataclasses import dataclass, field
from enum import StrEnum

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from domain.errors import MessageError

NONCE_BYTES = 32
POINT_BYTES = 65
MAX_KEY_CHARACTERS = 2048

_P = 2**255 - 19
_A = 0x2AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA984914A144
_B = 0x7B425ED097B425ED097B425ED097B425ED097B425ED097B4260B5E9C7710C864
_G = (
    0x2AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAD245A,
    0x20AE19A1B8A086B4E01EDD2C7748D14C923D4D7E6D7C61B229E9C5A27ECED3D9,
)
_ORDER = 2**252 + 0x14DEF9DEA2F79CD65812631A5CF5D3ED
_DELTA = 486662 * pow(3, -1, _P) % _P
"""x on the Weierstrass curve = u on the Montgomery curve + 486662/3."""
_SQRT_MINUS_ONE = pow(2, (_P - 1) // 4, _P)
_UNCOMPRESSED = 4


def _point(x: int, y: int) -> bytes:
    return bytes([_UNCOMPRESSED]) + x.to_bytes(32, "big") + y.to_bytes(32, "big")


def _der(tag: int, content: bytes) -> bytes:
    """Return one DER element with a definite length below 64 KiB."""
    length = len(content)
    if length < 0x80:  # noqa: PLR2004  X.690, 8.1.3.4: the short form of a length
        return bytes([tag, length]) + content
    octets = length.to_bytes(1 if length <= 0xFF else 2, "big")  # noqa: PLR2004  one octet or two
    return bytes([tag, 0x80 | len(octets)]) + octets + content


def _explicit_parameters() -> bytes:
    """Return the AlgorithmIdentifier that spells the curve out (X9.62 ECParameters); no OID names it everywhere."""
    field_id = _der(0x30, bytes.fromhex("06072a8648ce3d0101") + _der(0x02, _P.to_bytes(32, "big")))
    curve = _der(0x30, _der(0x04, _A.to_bytes(32, "big")) + _der(0x04, _B.to_bytes(32, "big")))
    parameters = _der(0x02, b"\x01") + field_id + curve + _der(0x04, _point(*_G))
    parameters += _der(0x02, _ORDER.to_bytes(32, "big")) + _der(0x02, b"\x08")
    return _der(0x30, bytes.fromhex("06072a8648ce3d0201") + _der(0x30, parameters))


_ALGORITHM = _explicit_parameters()


class KeyEncoding(StrEnum):
    """How a public key is written on the wire; peers differ, readers accept all."""

    X509 = "x509"
    """SubjectPublicKeyInfo with explicit parameters, 412 base64 characters: what receivers expect in a push."""
    POINT = "point"
    """The bare uncompressed point, 88 base64 characters: what senders expect in a request."""


@dataclass(frozen=True)
class EncryptedContent:
    """One encrypted bundle with what the receiver needs to open it.

    Attributes:
        content: Base64 of ciphertext and tag.
        checksum: Hexadecimal MD5 of the plaintext, as seen on the network; no receiver may rely on it.
        public_key: Our public key for this transfer, base64.
        nonce: Our nonce for this transfer, base64.
    """

    content: str = field(repr=False)
    checksum: str
    public_key: str
    nonce: str


class OwnKey:
    """A key pair and a nonce of one side of one transfer. The private key never leaves this object's memory."""

    def __init__(self, private_key: X25519PrivateKey | None = None, nonce: bytes | None = None) -> None:
        self._private_key = private_key or X25519PrivateKey.generate()
        self._nonce = nonce or secrets.token_bytes(NONCE_BYTES)

    @property
    def nonce(self) -> str:
        """The nonce, base64."""
        return base64.b64encode(self._nonce).decode("ascii")

    def public_key(self, encoding: KeyEncoding = KeyEncoding.X509) -> str:
        """Return the public key, base64, in the given encoding."""
        x = (int.from_bytes(self._private_key.public_key().public_bytes_raw(), "little") + _DELTA) % _P
        square = (x * x * x + _A * x + _B) % _P
        y = pow(square, (_P + 3) // 8, _P)
        if y * y % _P != square:
            y = y * _SQRT_MINUS_ONE % _P
        # Either sign of y is right: both give the peer the same x of the shared point.
        point = _point(x, y)
        if encoding is KeyEncoding.X509:
            point = _der(0x30, _ALGORITHM + _der(0x03, b"\x00" + point))
        return base64.b64encode(point).decode("ascii")

    def encrypt(self, plaintext: bytes, peer_public_key: str, peer_nonce: str) -> bytes:
        """Return ciphertext and tag.

        Raises:
            MessageError: The peer's key or nonce is unusable.
        """
        cipher, iv = self._cipher(peer_public_key, peer_nonce)
        return cipher.encrypt(iv, plaintext, None)

    def decrypt(self, sealed: bytes, peer_public_key: str, peer_nonce: str) -> bytes:
        """Return the plaintext.

        Raises:
            MessageError: The peer's key or nonce is unusable, or the tag does not fit.
        """
        cipher, iv = self._cipher(peer_public_key, peer_nonce)
        try:
            return cipher.decrypt(iv, sealed, None)
        except (InvalidTag, ValueError):
            raise MessageError("the encrypted record was altered or is for another key", code="TAG_INVALID") from None

    def shared_secret(self, peer_public_key: str) -> bytes:
        """Return the x coordinate of the shared point, 32 bytes, big-endian.

        Raises:
            MessageError: The peer's key is not a point of the curve, or is one of small order.
        """
        u = (_x_of(peer_public_key) - _DELTA) % _P
        try:
            shared = self._private_key.exchange(X25519PublicKey.from_public_bytes(u.to_bytes(32, "little")))
        except ValueError:
            raise MessageError("the peer's public key has small order", code="PEER_KEY_INVALID") from None
        return ((int.from_bytes(shared, "little") + _DELTA) % _P).to_bytes(32, "big")

    def _cipher(self, peer_public_key: str, peer_nonce: str) -> tuple[AESGCM, bytes]:
        theirs = _decoded(peer_nonce, "nonce")
        if len(theirs) != NONCE_BYTES:
            raise MessageError(f"the peer's nonce is not {NONCE_BYTES} bytes", code="PEER_NONCE_INVALID")
        mixed = bytes(a ^ b for a, b in zip(self._nonce, theirs, strict=True))
        key = HKDF(SHA256(), 32, salt=mixed[:20], info=b"").derive(self.shared_secret(peer_public_key))
        return AESGCM(key), mixed[-12:]


def encrypt_bundle(
    plaintext: bytes,
    hiu_public_key: str,
    hiu_nonce: str,
    *,
    own: OwnKey | None = None,
    encoding: KeyEncoding = KeyEncoding.X509,
) -> EncryptedContent:
    """Encrypt one bundle for the requester.

    Args:
        plaintext: The bundle as UTF-8 JSON.
        hiu_public_key: Base64, any encoding.
        hiu_nonce: Base64 of 32 bytes.
        own: The key pair of this transfer when it has several entries; by default a fresh one.
        encoding: How our public key is written.

    Raises:
        MessageError: The requester's key or nonce is unusable.
    """
    own = own or OwnKey()
    sealed = own.encrypt(plaintext, hiu_public_key, hiu_nonce)
    return EncryptedContent(
        content=base64.b64encode(sealed).decode("ascii"),
        checksum=hashlib.md5(plaintext, usedforsecurity=False).hexdigest(),
        public_key=own.public_key(encoding),
        nonce=own.nonce,
    )


def decrypt(content: str, own: OwnKey, peer_public_key: str, peer_nonce: str) -> bytes:
    """Return the plaintext of `EncryptedContent.content`.

    Raises:
        MessageError: It cannot be opened with these keys.
    """
    return own.decrypt(_decoded(content, "content"), peer_public_key, peer_nonce)


def check_peer_key(public_key: str, nonce: str) -> None:
    """Refuse a request whose key material cannot be used, before anything is built for it.

    Raises:
        MessageError: The key is no point of the curve or of small order, or the nonce is not 32 bytes.
    """
    OwnKey().encrypt(b"", public_key, nonce)


def _decoded(text: str, what: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise MessageError(f"the {what} is not base64", code="BASE64_INVALID") from None


def _x_of(public_key: str) -> int:
    """Return the x coordinate of a key in any encoding: every one of them ends in the uncompressed point."""
    if len(public_key) > MAX_KEY_CHARACTERS:
        raise MessageError("the peer's public key is too long", code="PEER_KEY_INVALID")
    point = _decoded(public_key, "public key")[-POINT_BYTES:]
    if len(point) != POINT_BYTES or point[0] != _UNCOMPRESSED:
        raise MessageError("the peer's public key is not an uncompressed point", code="PEER_KEY_INVALID")
    x, y = int.from_bytes(point[1:33], "big"), int.from_bytes(point[33:], "big")
    if x >= _P or y >= _P or (y * y - (x * x * x + _A * x + _B)) % _P:
        raise MessageError("the peer's public key is not on the curve", code="PEER_KEY_INVALID")
    return x
