"""Bytes of a line as people write and read them: text, and control characters by name (`<STX>`, `<CR>`).

Source: ISO/IEC 646 (names of control characters); ASTM E1381-95, 4 (those of the link), read in specs.
"""

from __future__ import annotations

import re
from typing import Final

NAMES: Final = (
    "NUL", "SOH", "STX", "ETX", "EOT", "ENQ", "ACK", "BEL", "BS", "HT", "LF", "VT", "FF", "CR", "SO", "SI",
    "DLE", "DC1", "DC2", "DC3", "DC4", "NAK", "SYN", "ETB", "CAN", "EM", "SUB", "ESC", "FS", "GS", "RS", "US",
)  # fmt: skip
_BY_NAME: Final = {**{name: number for number, name in enumerate(NAMES)}, "TAB": 9, "DEL": 127, "SB": 11, "EB": 28}
_NAMED: Final = re.compile(r"<([A-Za-z]{2,3}[1-4]?|0x[0-9A-Fa-f]{2}|[0-9A-Fa-f]{2})>")


def readable(raw: bytes) -> str:
    """Return bytes as printable text: controls by name, bytes from 0x80 on as `<0xE9>`."""
    return "".join(_written(byte) for byte in raw)


def _written(byte: int) -> str:
    if byte < len(NAMES):
        return f"<{NAMES[byte]}>"
    return chr(byte) if byte < 0x7F else f"<0x{byte:02X}>"  # noqa: PLR2004  DEL and what is not ASCII


def bytes_of(text: str) -> bytes:
    """Return the bytes of text in which control characters may stand by name, as `<ENQ>`, `<0x05>` or `<05>`.

    What is between the marks and no name stays as it is; other text is UTF-8.
    """
    parts: list[bytes] = []
    position = 0
    for match in _NAMED.finditer(text):
        byte = _byte(match[1])
        if byte is None:
            continue
        parts += [text[position : match.start()].encode(errors="replace"), bytes((byte,))]
        position = match.end()
    return b"".join([*parts, text[position:].encode(errors="replace")])


def _byte(name: str) -> int | None:
    found = _BY_NAME.get(name.upper())
    if found is None and (name[:2].lower() == "0x" or name[0].isdigit()):
        return int(name, 16)
    return found
