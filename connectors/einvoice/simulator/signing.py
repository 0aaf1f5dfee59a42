"""The simulated portal's keys: one signs registrations, another one opens logins."""

from __future__ import annotations

import base64
import json
import secrets

import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

ISSUER = "NIC Sandbox"
_THUMBPRINT_BYTES = 20


class PortalKey:
    """A fresh RSA key with the key id that NIC's headers carry: 40 hex digits, and the same bytes as `x5t`.

    Attributes:
        key_id: Value of `kid`.
        public_pem: For those who verify or encrypt.
    """

    def __init__(self) -> None:
        self.private = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        thumbprint = secrets.token_bytes(_THUMBPRINT_BYTES)
        self.key_id = thumbprint.hex().upper()
        self._x5t = base64.urlsafe_b64encode(thumbprint).rstrip(b"=").decode()
        self.public_pem = (
            self.private.public_key()
            .public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
            .decode()
        )

    def sign(self, content: dict[str, object]) -> str:
        """Return the compact JWS over `content`, which goes in as text: the portal encodes it twice."""
        claims = {"data": json.dumps(content, separators=(",", ":")), "iss": ISSUER}
        return jwt.encode(claims, self.private, algorithm="RS256", headers={"kid": self.key_id, "x5t": self._x5t})
