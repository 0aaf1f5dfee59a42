"""A capture as people have it: base64, a hex dump, or text with control characters by name, with marks of direction.

Total on any text: what cannot be read one way is read another, and text is always text.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from domain.control_names import bytes_of

MAX_BYTES: Final = 1 << 20
"""More of a capture is not looked at."""

RECORDING: Final = "# line recording, RX is what the device sent"
"""First line of the text of a recording of ours: directions are known, and each line is one piece to the byte."""
LEFT_OUT: Final = "bytes left out"
_GAPS: Final = re.compile(rf"# (\d{{1,18}}) {LEFT_OUT}")
_RECORDED: Final = re.compile(r"\S{8,40} (RX|TX) (.*)")

_TIME: Final = r"(?:\[?[\dT:.,/+Z-][\dT:.,/ +Z-]{3,39}\]?\s{0,3}[|;]?\s{0,3})?"
_MARKED: Final = re.compile(
    _TIME + r"\[?(RX|TX|RECV|RECEIVED|SEND|SENT|IN|OUT|<-{1,3}|-{1,3}>|<<|>>)\]?(?:\s{0,3}[:|]\s{0,3}|\s{1,3})",
    re.IGNORECASE,
)
_SPOKEN: Final = re.compile(_TIME + r"([A-Za-z][\w-]{0,15})\s{0,2}[-=]>\s{0,2}")
_HOSTS: Final = frozenset({"HOST", "LIS", "LIMS", "PC", "COMPUTER", "SERVER", "MIDDLEWARE"})
_MARK_CHARS: Final = 100
"""A mark of direction, with the time before it, stands in these."""
_FROM_DEVICE: Final = frozenset({"RX", "RECV", "RECEIVED", "IN"})
_INWARD: Final = frozenset({"RX", "TX", "RECV", "RECEIVED", "SEND", "SENT", "IN", "OUT"})
_BRACKETS: Final = re.compile(r"\[(STX|ETX|EOT|ENQ|ACK|NAK|ETB|CR|LF|VT|FS|SB|EB)\]")
"""Some tools write control characters in square brackets."""
_NAMED_END: Final = re.compile(r"<(?:CR|LF|0x0D|0x0A)>", re.IGNORECASE)
_HEX_PAIRS: Final = re.compile(r"(?:0x)?((?:[0-9A-Fa-f]{2})+)")
_OFFSET: Final = re.compile(r"[0-9A-Fa-f]{4,16}(?::|h|(?=\s\s))")
_PAYLOAD: Final = re.compile(rb"(?:^|[\r\n|])(?:[RQ]\||OBX\||OBR\||QPD\||QRD\|)|\x02[RD]")
_ANSWERS: Final = bytes((5, 6, 21, 4))


class Form(StrEnum):
    """How a capture is written."""

    AUTO = "auto"
    BASE64 = "base64"
    HEX = "hex"
    TEXT = "text"


class Side(StrEnum):
    """Who sent a piece."""

    DEVICE = "device"
    HOST = "host"
    UNKNOWN = "unknown"


@dataclass(frozen=True)
class Piece:
    """Bytes that one side sent in one go."""

    side: Side
    data: bytes = field(repr=False)


@dataclass(frozen=True)
class Capture:
    """What was said on a line, in order."""

    form: Form
    pieces: tuple[Piece, ...]
    is_stored: bool = False
    """These are stored messages: their frames are gone."""
    is_cut: bool = False
    """There is more of it, which is not looked at."""
    left_out: int = 0
    """Bytes that are known to be missing somewhere in it."""

    @property
    def device_bytes(self) -> bytes:
        """What the device sent; where nobody marked who sent what, everything."""
        return b"".join(piece.data for piece in self.pieces if piece.side is not Side.HOST)

    @property
    def host_bytes(self) -> bytes:
        """What was sent to the device, as far as that is marked."""
        return b"".join(piece.data for piece in self.pieces if piece.side is Side.HOST)


def of_stored(messages: Iterable[bytes]) -> Capture:
    """Return stored messages, oldest first, as a capture."""
    ended = (raw if raw.endswith((b"\r", b"\n")) else raw + b"\r" for raw in messages)
    return Capture(Form.TEXT, (Piece(Side.DEVICE, b"".join(ended)[:MAX_BYTES]),), is_stored=True)


def read_capture(text: str, form: Form = Form.AUTO) -> Capture:
    """Read a capture.

    Args:
        text: As pasted.
        form: How it is written; `auto` looks.
    """
    text = text[: MAX_BYTES * 4]
    if text.startswith(RECORDING):
        return _recording(text)
    if form is Form.AUTO:
        form = _form_of(text)
    if form is Form.BASE64:
        return Capture(form, (Piece(Side.UNKNOWN, _base64(text)[:MAX_BYTES]),))
    marked = _marked_lines(text)
    if marked is None:
        data = _hex(text) if form is Form.HEX else _text(text)
        return Capture(form, (Piece(Side.UNKNOWN, data[:MAX_BYTES]),))
    pieces = [(mark, _hex(line) if form is Form.HEX else _text(line)) for mark, line in marked]
    return Capture(form, _sided(pieces))


def _recording(text: str) -> Capture:
    """Read the text of a recording; lines that are none are passed over."""
    first, *lines = text.split("\n")
    form = Form.HEX if first.rstrip().endswith(Form.HEX.value) else Form.TEXT
    read = _hex if form is Form.HEX else bytes_of
    found = [match for line in lines if (match := _RECORDED.fullmatch(line.rstrip("\r")))]
    pieces = (Piece(Side.DEVICE if match[1] == "RX" else Side.HOST, read(match[2])) for match in found)
    gaps = next((match for line in lines[:3] if (match := _GAPS.match(line))), None)
    return bounded(form, pieces, left_out=int(gaps[1]) if gaps else 0)


def bounded(form: Form, pieces: Iterable[Piece], *, left_out: int = 0) -> Capture:
    """Return a capture of as many pieces as are looked at.

    Args:
        form: How it is written.
        pieces: In order.
        left_out: Bytes that are known to be missing.
    """
    found: list[Piece] = []
    room = MAX_BYTES
    for piece in pieces:
        if piece.data and room <= 0:
            return Capture(form, tuple(found), is_cut=True, left_out=left_out)
        found.append(Piece(piece.side, piece.data[: max(room, 0)]))
        room -= len(piece.data)
    return Capture(form, tuple(found), is_cut=room < 0, left_out=left_out)


def _form_of(text: str) -> Form:
    lines = [line for line in text.splitlines() if line.strip()]
    if lines and all(_hex_line(_unmarked(line)) is not None for line in lines):
        return Form.HEX
    compact = "".join(text.split())
    if len(compact) >= 16 and re.fullmatch(r"[A-Za-z0-9+/]+={0,2}", compact) and _base64(compact):  # noqa: PLR2004
        return Form.BASE64
    return Form.TEXT


def _mark(line: str) -> re.Match[str] | None:
    return _SPOKEN.match(line[:_MARK_CHARS]) or _MARKED.match(line[:_MARK_CHARS])


def _unmarked(line: str) -> str:
    found = _mark(line)
    return line[found.end() :] if found else line


def _base64(text: str) -> bytes:
    try:
        return base64.b64decode("".join(text.split()), validate=True)
    except (binascii.Error, ValueError):
        return b""


def _hex(text: str) -> bytes:
    return b"".join(_hex_line(line) or b"" for line in text.splitlines())


def _hex_line(line: str) -> bytes | None:
    """Return the bytes of one line of a hex dump, with or without offset and text column; None where it is none."""
    head, bar, _ = line.strip().partition("|")
    offset = _OFFSET.match(head)
    rest = head[offset.end() :].strip() if offset else head.strip()
    if offset and not bar:
        rest = re.split(r"\s\s", rest, maxsplit=1)[0]
    found = bytearray()
    for token in re.split(r"[\s,:-]+", rest):
        pairs = _HEX_PAIRS.fullmatch(token)
        if pairs is None:
            return bytes(found) if found and offset else None
        found += bytes.fromhex(pairs[1])
    return bytes(found) or None


def _text(text: str) -> bytes:
    """Line ends are those of the text where controls are named in it, else each ends a record."""
    lines = _BRACKETS.sub(r"<\1>", text.replace("\r\n", "\n").replace("\r", "\n"))
    if _NAMED_END.search(lines):
        return bytes_of(lines.replace("\n", ""))
    return bytes_of(lines.replace("\n", "\r"))


def _marked_lines(text: str) -> list[tuple[str, str]] | None:
    """Return mark and rest of each line; None where no more than a few lines are marked. Unmarked lines continue."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    matches = [_mark(line) for line in lines]
    if not lines or not matches[0] or sum(match is not None for match in matches) * 2 < len(lines):
        return None
    marks = {match[1].upper() for match in matches if match}
    if not marks & (_HOSTS | _INWARD) and not any("-" in mark or "<" in mark or ">" in mark for mark in marks):
        return None
    found: list[tuple[str, list[str]]] = []
    for line, match in zip(lines, matches, strict=True):
        if match:
            found.append((match[1].upper(), [line[match.end() :]]))
        else:
            found[-1][1].append(line)
    return [(mark, "\n".join(parts)) for mark, parts in found]


def _sided(pieces: list[tuple[str, bytes]]) -> tuple[Piece, ...]:
    """Tell who is the device: whoever is not called host; else RX as the host sees it, unless TX sends the results."""
    if any(mark in _HOSTS for mark, _ in pieces):
        return tuple(Piece(Side.HOST if mark in _HOSTS else Side.DEVICE, data) for mark, data in pieces)
    is_inward = [mark in _FROM_DEVICE or mark.startswith("<") for mark, _ in pieces]
    joined = {
        way: b"\r".join(data for (_, data), inward in zip(pieces, is_inward, strict=True) if inward is way)
        for way in (True, False)
    }
    weight = {way: (len(_PAYLOAD.findall(data)), len(data.strip(_ANSWERS))) for way, data in joined.items()}
    from_device = weight[True] >= weight[False]
    return tuple(
        Piece(Side.DEVICE if inward is from_device else Side.HOST, data)
        for (_, data), inward in zip(pieces, is_inward, strict=True)
    )
