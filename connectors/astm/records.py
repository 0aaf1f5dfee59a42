"""Cuts the text of frames into records and the records into messages, before anybody reads them.

A record ends with CR. A message begins with H and ends with L; devices also send several messages in one
transmission, an H without the L before it, or no L at all.

Source: CLSI LIS02-A2, 5.4 and 6; long records cut into pieces that all end in ETX: Horiba Yumizen H500 captures,
read in specs.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from connectors.astm.framing import ACK, CR, ENQ, EOT, NAK, SMALL_FRAME_TEXT, STX, BadFrame, Frame, FrameCollector
from domain.errors import FrameError

_LINE_MARKS = ENQ + EOT + ACK + NAK
_RECORD_START = re.compile(rb"[ \n]*(?:[Hh][^0-9A-Za-z\s]|[PORCQLMSporcqlms]([^0-9A-Za-z\s])\d{1,4}(?:\1|\r|$))")
"""How a record begins: a piece of a longer one hardly ever does, but for text that looks so on purpose."""

_TERMINATOR = re.compile(rb" *[Ll][^0-9A-Za-z](\d*[^0-9A-Za-z]*[A-Za-z]?)")
_LONGEST_TERMINATOR = 16


class RecordAssembler:
    """Joins frame texts to records and records to messages; holds what is not complete yet."""

    def __init__(self, *, joins_until_cr: bool = False) -> None:
        """Prepare for one connection.

        Args:
            joins_until_cr: The device ends every piece of a long record with ETX, whatever the length of its pieces.
        """
        self._joins_until_cr = joins_until_cr
        self._records: list[bytes] = []
        self._tail = bytearray()
        self._tail_may_end = False
        self._writes_cr = False
        self._size = 0
        self._first_closed: list[bytes] | None = None
        self._before: tuple[list[bytes], bytes, bool, int] | None = None

    @property
    def size(self) -> int:
        """Bytes held."""
        return self._size

    @property
    def is_clean(self) -> bool:
        """True when no record is left half-sent."""
        return not self._tail or self._tail_may_end

    @property
    def is_in_terminator(self) -> bool:
        """True when what has come of the last record is an L record that lacks nothing but its CR."""
        return bool(_TERMINATOR.fullmatch(self._tail[:_LONGEST_TERMINATOR]))

    def add(self, text: bytes, *, is_last: bool) -> list[bytes]:
        """Add the text of one frame and return the messages it completes, each with its records ended by CR.

        A frame that ends in ETX ends its record even without CR, unless it is exactly as long as an E1381 frame can
        be, or the device is known to end every piece so: then it is a piece of a long record, and what comes next
        goes on with it, unless that is a record itself. LF and CR LF count as CR.
        """
        if b"\n" in text:
            text = text.replace(b"\r\n", CR).replace(b"\n", CR)
        if self._tail and self._tail_may_end and not self._writes_cr and _RECORD_START.match(text):
            text = CR + text
        if is_last:
            self._writes_cr = text.endswith(CR) or self._writes_cr
            if not text.endswith(CR) and not self._may_go_on(text):
                text += CR
        held, size, tail_may_end = len(self._records), self._size, self._tail_may_end
        tail = bytes(self._tail) if CR in text else b""
        self._first_closed = None
        self._tail_may_end = is_last
        self._size += len(text)
        head, *rest = text.split(CR)
        self._tail += head
        messages: list[bytes] = []
        for piece in rest:
            messages += self._end_record(bytes(self._tail))
            self._tail = bytearray(piece)
        records: list[bytes] = self._first_closed or []
        self._before = (records[:held], tail, tail_may_end, size) if messages else None
        return messages

    def _may_go_on(self, text: bytes) -> bool:
        if not self._joins_until_cr:
            return len(text) == SMALL_FRAME_TEXT
        _, mark, last = text.rpartition(CR)
        is_short = len(last) + (0 if mark else len(self._tail)) <= _LONGEST_TERMINATOR
        return not (is_short and _TERMINATOR.fullmatch(last if mark else self._tail + last))

    def undo(self) -> None:
        """Take back the last `add`, if it completed a message."""
        if self._before is not None:
            records, tail, self._tail_may_end, self._size = self._before
            self._records, self._tail, self._before = records, bytearray(tail), None

    def drain(self) -> bytes:
        """Return all that is held and forget it."""
        tail = [bytes(self._tail)] if self._tail else []
        message = b"".join(record + CR for record in (*self._records, *tail))
        self._records = []
        self._tail = bytearray()
        self._size = 0
        return message

    def _end_record(self, record: bytes) -> list[bytes]:
        messages: list[bytes] = []
        kind = record.lstrip(b"\n ")[:2].upper()
        if not kind:
            self._size -= len(record) + 1
            return messages
        if kind[:1] == b"H" and not kind[1:].isalnum() and self._records:
            messages.append(self._close())
        self._records.append(record)
        if kind[:1] == b"L" and not kind[1:].isalnum():
            messages.append(self._close())
        return messages

    def _close(self) -> bytes:
        message = b"".join(record + CR for record in self._records)
        if self._first_closed is None:
            self._first_closed = self._records
        self._records = []
        self._size -= len(message)
        return message


def split_messages(text: bytes) -> list[bytes]:
    """Return the messages in `text`, whose records end with CR, LF or both."""
    assembler = RecordAssembler()
    messages = assembler.add(text.replace(b"\r\n", CR).replace(b"\n", CR), is_last=True)
    rest = assembler.drain()
    return [*messages, rest] if rest else messages


def split_http_body(body: bytes) -> list[bytes]:
    """Return the messages in the body of an HTTP request: bare records, frames, or several of either.

    Raises:
        FrameError: A frame in it is broken.
    """
    if STX not in body:
        return split_messages(body.translate(None, _LINE_MARKS))
    assembler = RecordAssembler()
    messages: list[bytes] = []
    for frame in _frames_in(body, FrameCollector()):
        if isinstance(frame, BadFrame):
            raise FrameError(f"broken ASTM frame: {frame.reason}")
        messages += assembler.add(frame.text, is_last=frame.is_last)
    rest = assembler.drain()
    return [*messages, rest] if rest else messages


def unframe(raw: bytes) -> bytes:
    """Return the record text in `raw`, with or without its frames; what is no frame is passed over.

    For reading bytes that were judged when they arrived; checksums are not looked at again.
    """
    if STX not in raw:
        return raw.translate(None, _LINE_MARKS)
    assembler = RecordAssembler()
    messages: list[bytes] = []
    for frame in _frames_in(raw, FrameCollector(max_text=len(raw), check=False)):
        if isinstance(frame, Frame):
            messages += assembler.add(frame.text, is_last=frame.is_last)
    return b"".join([*messages, assembler.drain()])


def _frames_in(raw: bytes, collector: FrameCollector) -> Iterator[Frame | BadFrame]:
    position = raw.find(STX)
    while position >= 0:
        collector.open()
        frame, position = collector.take(raw, position + 1)
        frame = frame or collector.finish()
        if frame is not None:
            yield frame
        position = raw.find(STX, position)
