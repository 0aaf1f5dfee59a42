"""Which character set a message is in: what MSH-18 declares, what devices mean by it, and what the bytes allow.

Source: HL7 2.5.1, 2.15.9.18 (MSH-18) and table 0211; dialects of devices, read in specs.
"""

from __future__ import annotations

import re
from typing import Final

from domain.device_profile import decode_text

_CHARSET_FIELD = 18
_HEADER_BYTES = 2000

_CODECS: Final = {
    "": "",
    "ASCII": "ascii",
    "ISO IR6": "ascii",
    "ISO IR14": "shift_jis",
    "ISO IR87": "iso2022_jp",
    "ISO IR159": "iso2022_jp_1",
    "GB 18030-2000": "gb18030",
    "KS X 1001": "euc_kr",
    "BIG-5": "big5",
    "UNICODE": "utf-8",  # Mindray BC says UNICODE and means UTF-8
    "UNICODE UTF-8": "utf-8",
    "UTF8": "utf-8",  # Wondfo
    "UTF-8": "utf-8",
    "UNICODE UTF8": "utf-8",
    "GB18030": "gb18030",
    "GBK": "gb18030",
    "GB2312": "gb18030",
    "BIG5": "big5",
    "SHIFT_JIS": "shift_jis",
    "SHIFT-JIS": "shift_jis",
    "ISO IR100": "iso8859-1",
    "LATIN1": "iso8859-1",
    "WINDOWS-1252": "cp1252",
    "CP1252": "cp1252",
    "US-ASCII": "ascii",
    **{f"8859/{part}": f"iso8859-{part}" for part in (*range(1, 12), *range(13, 17))},
    **{
        name.format(part): f"iso8859-{part}"
        for part in (*range(1, 12), *range(13, 17))
        for name in ("ISO-8859-{}", "ISO8859-{}", "ISO_8859-{}", "ISO 8859-{}", "ISO8859/{}", "8859-{}")
    },
}
"""MSH-18 to Python codec, with names that devices use instead of those of table 0211.

CNS 11643 has none in Python: what UTF-8 and Latin-1 make of it is flagged."""
_ESCAPING_SETS = frozenset({"ISO IR87", "ISO IR159"})
"""Sets to which a message switches by escape sequences in mid-text."""
_WIDE: Final = (
    (b"\xff\xfe\x00\x00", "utf-32"),
    (b"\x00\x00\xfe\xff", "utf-32"),
    (b"\xff\xfe", "utf-16"),
    (b"\xfe\xff", "utf-16"),
    (b"M\x00\x00\x00S\x00\x00\x00", "utf-32-le"),
    (b"\x00\x00\x00M\x00\x00\x00S", "utf-32-be"),
    (b"M\x00S\x00", "utf-16-le"),
    (b"\x00M\x00S", "utf-16-be"),
)
"""How a message in more than one byte per character begins."""


def text_of(raw: bytes, charset: str = "auto") -> tuple[str, bool]:
    """Decode a message.

    Args:
        raw: The message.
        charset: `auto` for what MSH-18 says, then UTF-8, then Latin-1; or the codec the device really uses.

    Returns:
        The text, and whether the set that was declared did not fit.
    """
    wide = wide_charset(raw)
    if wide:
        return raw.decode(wide, errors="replace"), False
    declared = declared_charset(raw) if charset == "auto" else charset
    return decode_text(raw, [name for name in (declared, "utf-8") if name])


def wide_charset(raw: bytes) -> str:
    """Return the codec of a message in UTF-16 or UTF-32, else ""."""
    head = raw[:8].lstrip(b"\r\n ")
    return next((codec for mark, codec in _WIDE if head.startswith(mark)), "")


def codec_named(charset: str) -> str:
    """Return the Python codec for a value of MSH-18, or "" where it is not known."""
    return _CODECS.get(charset.strip().upper(), "")


def declared_charset(raw: bytes) -> str:
    """Return the Python codec for MSH-18, or "" where it names none we know.

    Repetitions after the first name sets to which the text switches by escape sequences; an empty first one is the
    default, ASCII.
    """
    start = max(raw.find(b"MSH"), 0)
    line = re.split(rb"[\r\n]", raw[start : start + _HEADER_BYTES], maxsplit=1)[0]
    fields = line.split(line[3:4], _CHARSET_FIELD) if line[3:4] else []
    if len(fields) < _CHARSET_FIELD:
        return ""
    declared, repetition = fields[_CHARSET_FIELD - 1], line[5:6]
    names = [
        name.decode("latin-1").strip().upper() for name in (declared.split(repetition) if repetition else [declared])
    ]
    if b"\x1b" in raw and _ESCAPING_SETS & set(names):
        return "iso2022_jp_1"
    return _CODECS.get(names[0], "")
