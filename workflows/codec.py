"""Payload encryption: everything that goes through Temporal is sealed with AES-256-GCM before it leaves the process.

Sealed payload: metadata `encoding=binary/encrypted`, `encryption-key-id=<id>`; data = 12-byte nonce, ciphertext and tag
of the serialised inner payload. The key id is bound in as associated data. Old keys stay in the ring to read old
histories; the active one seals. Runs outside the workflow sandbox.

Source: the wire format of Temporal's published encryption samples, so that the UI's codec support works unchanged.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterable, Mapping, Sequence

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from google.protobuf.message import DecodeError
from temporalio.api.common.v1 import Payload
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.converter import DataConverter, DefaultFailureConverterWithEncodedAttributes, PayloadCodec

from domain.errors import LabError

ENCODING = b"binary/encrypted"
_NONCE_BYTES = 12
_KEY_BYTES = 32


class CodecError(LabError):
    """A payload cannot be opened, or the key ring is wrong."""

    default_code = "PAYLOAD_UNREADABLE"
    default_action = "Add the key that sealed it to LABSETU_TEMPORAL__CODEC_KEYS."


class EncryptionCodec(PayloadCodec):
    """Seals payloads with the active key and opens them with whichever key sealed them."""

    def __init__(self, keys: Mapping[str, bytes], active: str) -> None:
        """Take the key ring.

        Args:
            keys: Key id to 32 bytes.
            active: The id that seals.

        Raises:
            CodecError: The active key is missing or a key is not 32 bytes.
        """
        wrong = sorted(name for name, key in keys.items() if len(key) != _KEY_BYTES)
        if active not in keys or wrong:
            raise CodecError(f"codec keys must be {_KEY_BYTES} bytes and hold the active one; wrong: {wrong or active}")
        self._ciphers = {name: AESGCM(key) for name, key in keys.items()}
        self._active = active

    async def encode(self, payloads: Sequence[Payload]) -> list[Payload]:
        """Seal every payload."""
        return [self._seal(payload) for payload in payloads]

    async def decode(self, payloads: Sequence[Payload]) -> list[Payload]:
        """Open every sealed payload; others pass through.

        Raises:
            CodecError: Unknown key, or the payload was tampered with.
        """
        return [self._open(payload) for payload in payloads]

    def _seal(self, payload: Payload) -> Payload:
        nonce = os.urandom(_NONCE_BYTES)
        key_id = self._active.encode()
        sealed = self._ciphers[self._active].encrypt(nonce, payload.SerializeToString(), key_id)
        return Payload(metadata={"encoding": ENCODING, "encryption-key-id": key_id}, data=nonce + sealed)

    def _open(self, payload: Payload) -> Payload:
        if payload.metadata.get("encoding") != ENCODING:
            return payload
        key_id = payload.metadata.get("encryption-key-id", b"")
        cipher = self._ciphers.get(key_id.decode("ascii", "replace"))
        if cipher is None:
            raise CodecError("a payload was sealed with a key that is not in the ring")
        try:
            plain = cipher.decrypt(payload.data[:_NONCE_BYTES], payload.data[_NONCE_BYTES:], key_id)
            return Payload.FromString(plain)
        except (InvalidTag, ValueError, DecodeError) as error:
            raise CodecError("a sealed payload was changed or is not one of ours") from error


def data_converter(codec: PayloadCodec | None) -> DataConverter:
    """Return the converter of every client, worker and replayer: Pydantic JSON, sealed; failures sealed as well."""
    return dataclasses.replace(
        pydantic_data_converter,
        payload_codec=codec,
        failure_converter_class=DefaultFailureConverterWithEncodedAttributes,
    )


def key_ids(payloads: Iterable[Payload]) -> set[str]:
    """Return the ids of the keys that sealed `payloads`, for key rotation reports."""
    return {
        payload.metadata["encryption-key-id"].decode("ascii", "replace")
        for payload in payloads
        if payload.metadata.get("encoding") == ENCODING
    }
