"""Images and histograms in a message: found by the device's profile, bounded, and known by what they begin with.

The bytes stay in the message; object storage gets a copy. A histogram that is compressed is kept as it came.

Source: HL7 2.5.1, 2.A.24 (ED: type, subtype, encoding, data); captures of Horiba (deflate in Base64, record M) and
Mindray (bitmaps in ED), read in specs.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from connectors.astm.codec import Record, parse_records
from connectors.astm.records import unframe
from connectors.hl7.codec import Segment, parse_message
from domain.device_profile import DeviceProfile, decode_text, first_value, parse_path

MAX_FILES = 40
MAX_FILE_BYTES = 2 << 20
_SHORTEST = 32
"""Fewer characters are a name or a number, no picture."""
_HEX: Final = "HEX"
_PARENTS: Final = {
    "astm": {"H": (), "P": ("H",), "O": ("H", "P")},
    "hl7": {"MSH": (), "PID": ("MSH",), "OBR": ("MSH", "PID", "SPM", "SAC")},
}
"""What still applies where such a record begins; others only add themselves."""
_SIGNATURES: Final = (
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"BM", "image/bmp"),
)
OCTETS: Final = "application/octet-stream"


@dataclass(frozen=True)
class Picture:
    """One image or histogram.

    Attributes:
        position: Counted from 0 in the message.
    """

    position: int
    specimen_id: str
    code: str
    content: bytes = field(repr=False)

    @property
    def media_type(self) -> str:
        """What the bytes are, by their beginning; the device's own word is not believed."""
        return next((kind for mark, kind in _SIGNATURES if self.content.startswith(mark)), OCTETS)

    @property
    def sha256(self) -> str:
        """Digest of the bytes, hex."""
        return hashlib.sha256(self.content).hexdigest()


def pictures_in(raw: bytes, profile: DeviceProfile) -> list[Picture]:
    """Return the images and histograms of a message, at most MAX_FILES of at most MAX_FILE_BYTES.

    Raises:
        MessageError: The message cannot be read.
    """
    if not profile.image_rows or profile.protocol not in _PARENTS:
        return []
    found: list[Picture] = []
    scope: dict[str, Record | Segment] = {}

    def read(path: str) -> tuple[str, ...]:
        kind, number, component, subcomponent = parse_path(path)
        row = scope.get(kind)
        if isinstance(row, Segment):
            return row.values(number, component, subcomponent)
        return row.values(number, component) if row is not None else ()

    for name, row in _rows(raw, profile):
        kept = _PARENTS[profile.protocol].get(name)
        if kept is not None:
            for old in scope.keys() - set(kept):
                del scope[old]
        scope[name] = row
        rules = [rule for rule in profile.image_rows if parse_path(rule.field).segment == name]
        if len(found) < MAX_FILES and any(rule.holds(read) for rule in rules):
            content = _content(row)
            if content:
                specimen = first_value(profile.specimen_fields, read)[:100]
                code = first_value(profile.test_code_fields, read)[:60]
                found.append(Picture(len(found), specimen, code, content))
    return found


def _rows(raw: bytes, profile: DeviceProfile) -> Iterator[tuple[str, Record | Segment]]:
    if profile.protocol == "astm":
        charsets = ("utf-8",) if profile.charset == "auto" else (profile.charset, "utf-8")
        for record in parse_records(decode_text(unframe(raw), charsets)[0]):
            yield record.kind, record
    else:
        for segment in parse_message(raw, profile.charset).segments:
            yield segment.name, segment


def _content(row: Record | Segment) -> bytes:
    """Return the bytes in a row's longest text that is an encoding of bytes, or nothing."""
    is_row = isinstance(row, Segment) and row.name == "OBX"
    parts = row.components(5) if is_row else _texts(row)
    is_hex = any(part.strip().upper() == _HEX for part in parts)
    longest = max(parts, key=len, default="")
    return _decoded("".join(longest.split()), is_hex=is_hex)


def _texts(row: Record | Segment) -> tuple[str, ...]:
    return tuple(text for number in range(2, 40) for text in row.components(number))


def _decoded(text: str, *, is_hex: bool) -> bytes:
    if not _SHORTEST <= len(text) <= 2 * MAX_FILE_BYTES:
        return b""
    try:
        found = bytes.fromhex(text) if is_hex else base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
    except (ValueError, binascii.Error):
        return b""
    return found if len(found) <= MAX_FILE_BYTES else b""
