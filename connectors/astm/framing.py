"""ASTM frames: `<STX> FN text <ETB|ETX> C1 C2 <CR><LF>`. Bytes in, frames out; no sockets, no clock.

FN is one digit 0 to 7. ETB ends a frame that is continued, ETX the last one of a record (or of a packed message).
C1 C2 is the sum modulo 256 of everything from FN to ETB or ETX inclusive, as two hexadecimal digits.

Source: ASTM E1381-95, 6.3; CLSI LIS01-A2, 8.3, read in specs.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

STX = b"\x02"
ETX = b"\x03"
EOT = b"\x04"
ENQ = b"\x05"
ACK = b"\x06"
NAK = b"\x15"
ETB = b"\x17"
CR = b"\r"
LF = b"\n"

SMALL_FRAME_TEXT = 240
"""Most characters of text in a frame by E1381; some devices end every piece of this length with ETX."""
LARGE_FRAME_TEXT = 63_993
"""Most characters of text in a frame by LIS01-A2 (64,000 with overhead), for TCP."""
MAX_FRAME_NUMBER = 7

_TAIL_LENGTH = 4
_CHECKSUM_LENGTH = 2
_TEXT_END = re.compile(rb"[\x03\x17\n]")
_FRAME_END = re.compile(rb"[\x03\x17]")
_RESTART = re.compile(STX)
_STRUCTURAL = STX + EOT + ENQ
_FORBIDDEN = re.compile(rb"[\x01\x02\x04-\x06\x10-\x16]")
"""SOH, STX, EOT, ENQ, ACK, DLE, DC1 to DC4, NAK, SYN: never part of text. Source: E1381-95, 6.3.3."""


@dataclass(frozen=True)
class Frame:
    """One good frame.

    Attributes:
        number: 0 to 7.
        text: Without number and marks.
        is_last: True for ETX, False for ETB.
    """

    number: int
    text: bytes = field(repr=False)
    is_last: bool


@dataclass(frozen=True)
class BadFrame:
    """A frame that must be sent again; `raw` is what arrived of it, from STX on."""

    raw: bytes = field(repr=False)
    reason: str


def checksum(body: bytes) -> bytes:
    """Return the two hexadecimal digits for `body`, which runs from the frame number to ETB or ETX inclusive."""
    return b"%02X" % (sum(body) & 0xFF)


def encode_frame(number: int, text: bytes, *, is_last: bool) -> bytes:
    """Return one frame around `text`."""
    body = b"%d" % (number % (MAX_FRAME_NUMBER + 1)) + text + (ETX if is_last else ETB)
    return STX + body + checksum(body) + CR + LF


def frames_of(
    message: bytes, *, max_text: int = SMALL_FRAME_TEXT, packed: bool = False, ends_every_frame: bool = False
) -> tuple[bytes, ...]:
    """Return the frames that carry `message` (records, each ended by CR), numbered from 1.

    Args:
        message: The records of one or more messages.
        max_text: Most bytes of text in one frame.
        packed: Put as much as fits into each frame instead of starting one for every record.
        ends_every_frame: End every frame with ETX, also where a record goes on in the next one.

    Raises:
        ValueError: `max_text` is not positive.
    """
    if max_text < 1:
        raise ValueError("a frame needs room for text")
    pieces = _pieces(message, max_text=max_text, packed=packed)
    return tuple(_numbered((text, is_last or ends_every_frame) for text, is_last in pieces))


def _pieces(message: bytes, *, max_text: int, packed: bool) -> Iterator[tuple[bytes, bool]]:
    units = [message] if packed else [record + CR for record in message.split(CR) if record]
    for unit in units:
        for start in range(0, len(unit), max_text):
            yield unit[start : start + max_text], start + max_text >= len(unit)


def _numbered(pieces: Iterable[tuple[bytes, bool]]) -> Iterator[bytes]:
    for number, (text, is_last) in enumerate(pieces, start=1):
        yield encode_frame(number, text, is_last=is_last)


class FrameCollector:
    """Collects one frame at a time from bytes in any pieces; the same bytes give the same frames however they are cut.

    It knows nothing of ENQ and EOT between frames: the session finds the STX and hands over what follows it.
    Inside a frame every byte up to ETB, ETX or LF counts as text, even ENQ and EOT: a disturbed byte must lead to NAK,
    never to an answer the sender could take for the acknowledgement of its frame.
    """

    def __init__(self, *, max_text: int = LARGE_FRAME_TEXT, check: bool = True) -> None:
        self._max_text = max_text
        self._check = check
        self._body = bytearray()
        self._tail: bytearray | None = None
        self._refused_at_line_feed = b""
        self._takes_line_feeds = False
        self.is_open = False

    @property
    def may_be_whole(self) -> bool:
        """True when only what a device may leave out is missing: CR LF, without checksums also their digits."""
        return self.is_open and self._tail is not None and len(self._tail) >= (_CHECKSUM_LENGTH if self._check else 0)

    @property
    def ends_in_enquiry(self) -> bool:
        """True when the last byte of the open frame is ENQ, which no text may hold."""
        return self.is_open and (self._tail or self._body)[-1:] == ENQ

    def open(self) -> None:
        """Begin a frame: its STX has been seen."""
        self._body.clear()
        self._tail = None
        self.is_open = True

    def partial(self) -> bytes:
        """Return what has arrived of the frame that is open, from STX on, or b""."""
        return STX + bytes(self._body) + bytes(self._tail or b"") if self.is_open else b""

    def finish_raw(self) -> bytes:
        """Return what has arrived of the open frame, or b"", and forget it."""
        raw = self.partial()
        self.is_open = False
        return raw

    def take(self, buffer: bytes | bytearray, start: int) -> tuple[Frame | BadFrame | None, int]:
        """Consume bytes of `buffer` from `start` on.

        Returns:
            The frame these bytes complete, or None where more are needed; and the position after the last byte used.
        """
        position = start
        if self._tail is None:
            position, problem = self._take_text(buffer, start)
            if problem:
                return self._bad(problem), position
            if self._tail is None:
                return None, position
        return self._take_tail(self._tail, buffer, position)

    def finish(self) -> Frame | BadFrame | None:
        """Close the open frame at the end of the bytes: good if only CR LF are missing; None if none was open."""
        if not self.is_open:
            return None
        if not self.may_be_whole:
            return self._bad("frame not ended")
        return self._judge(bytes(self._tail or b""))

    def _take_text(self, buffer: bytes | bytearray, start: int) -> tuple[int, str]:
        match = (_FRAME_END if self._takes_line_feeds else _TEXT_END).search(buffer, start)
        end = match.end() if match else len(buffer)
        room = self._max_text + 2 - len(self._body)
        self._body += buffer[start : min(end, start + room)]
        if end - start > room:
            return end, f"frame longer than {self._max_text} bytes"
        if match is None:
            return end, ""
        if match[0] == LF and not self._is_line_feed_meant():
            return end, "line feed before the end of the frame"
        if match[0] == LF:
            return self._take_text(buffer, end)
        self._tail = bytearray()
        return end, ""

    def _is_line_feed_meant(self) -> bool:
        """Tell a lost end mark from a device that ends its records with CR LF: that one sends the same again."""
        body, before = bytes(self._body), self._refused_at_line_feed
        self._refused_at_line_feed = body
        self._takes_line_feeds = not self._check or body == before
        return self._takes_line_feeds

    def _take_tail(self, tail: bytearray, buffer: bytes | bytearray, start: int) -> tuple[Frame | BadFrame | None, int]:
        for position in range(start, len(buffer)):
            byte = buffer[position]
            # CR or LF may be missing: what can only begin something else is not part of this frame
            if self.may_be_whole and byte in _STRUCTURAL:
                return self._judge(bytes(tail)), position
            tail.append(byte)
            if len(tail) == _TAIL_LENGTH or (byte == LF[0] and (len(tail) > _CHECKSUM_LENGTH or tail == CR + LF)):
                return self._judge(bytes(tail)), position + 1
        return None, len(buffer)

    def _judge(self, tail: bytes) -> Frame | BadFrame:
        body = bytes(self._body)
        if self._check and tail[:_CHECKSUM_LENGTH].upper() != checksum(body):
            return self._bad("checksum does not match")
        if (_FORBIDDEN if self._check else _RESTART).search(body):
            return self._bad("a control character that text may not hold")
        number = body[0] - ord("0")
        if not 0 <= number <= MAX_FRAME_NUMBER or len(body) == 1:
            return self._bad("frame number is not a digit from 0 to 7")
        self.is_open = False
        return Frame(number=number, text=body[1:-1], is_last=body[-1:] == ETX)

    def _bad(self, reason: str) -> BadFrame:
        raw = self.partial()
        self.is_open = False
        return BadFrame(raw=raw, reason=reason)
