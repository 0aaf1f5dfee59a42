"""MLLP framing as a byte-in, message-out state machine. No sockets, no clock.

A block is `<VT> message <FS><CR>`: 0x0B, the HL7 message, 0x1C 0x0D. A message is complete at FS; the CR may be late,
different or missing. A VT inside a message means that the peer started again. Bytes between blocks are skipped.

Source: HL7 Transport Specification: MLLP, release 1 (block format) and release 2 (commit bytes), read in specs.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

VT = b"\x0b"
FS = b"\x1c"
CR = b"\r"

MAX_MESSAGE_BYTES = 1 << 20
_COMMIT_BYTES = frozenset({b"\x06", b"\x15"})
_MESSAGE_START = re.compile(rb"(?:^|(?<=[\r\n]))(?=MSH[^0-9A-Za-z\s])")
_BATCH_SEGMENT = re.compile(rb"(?:^|(?<=[\r\n]))(?:FHS|BHS|BTS|FTS)[^\r\n]*[\r\n]*")


@dataclass(frozen=True)
class Block:
    """One whole message, without its marks."""

    message: bytes = field(repr=False)


@dataclass(frozen=True)
class BrokenBlock:
    """Bytes of a message that will not become whole.

    Attributes:
        raw: What arrived, without VT; of an oversized message only the beginning.
        reason: For people.
        is_oversized: True where the message exceeds the limit and would do so again.
        is_restart: True where the peer has already begun the next message and waits for no answer to this one.
    """

    raw: bytes = field(repr=False)
    reason: str
    is_oversized: bool = False
    is_restart: bool = False


def encode_block(message: bytes) -> bytes:
    """Return `message` between its marks."""
    return VT + message + FS + CR


class MllpDecoder:
    """Collects bytes in whatever pieces TCP delivers and yields whole messages.

    One decoder per connection. It never yields part of a message, and the same bytes give the same blocks however
    they are cut up.

    Attributes:
        skipped_bytes: Bytes between blocks that belonged to nothing (CR after FS excepted).
    """

    def __init__(self, max_message_bytes: int = MAX_MESSAGE_BYTES) -> None:
        self._limit = max_message_bytes
        self._body = bytearray()
        self._is_open = False
        self._is_oversized = False
        self._after_end = False
        self.skipped_bytes = 0

    @property
    def is_open(self) -> bool:
        """True while a message has begun and not ended."""
        return self._is_open

    @property
    def open_bytes(self) -> int:
        """What has arrived of the message that has begun and not ended."""
        return len(self._body)

    def feed(self, data: bytes) -> list[Block | BrokenBlock]:
        """Take the next bytes of the stream and return the blocks they complete. Empty blocks are no messages."""
        blocks: list[Block | BrokenBlock] = []
        position = 0
        while position < len(data):
            if not self._is_open:
                position = self._find_start(data, position)
                continue
            end = _next_mark(data, position)
            blocks += self._collect(data, position, end)
            if end == len(data):
                break
            if data[end] == FS[0]:
                blocks += self._end()
            else:
                blocks += self.give_up("the device started again before the message was complete", is_restart=True)
                self._is_open = True
            position = end + 1
        return blocks

    def give_up(self, reason: str, *, is_restart: bool = False) -> list[Block | BrokenBlock]:
        """Forget an unfinished message and return its bytes, if there are any."""
        raw, was_oversized = bytes(self._body), self._is_oversized
        self._reset()
        return [BrokenBlock(raw, reason, is_restart=is_restart)] if raw and not was_oversized else []

    def _find_start(self, data: bytes, position: int) -> int:
        start = data.find(VT, position)
        end = start if start >= 0 else len(data)
        skipped = data[position:end]
        if self._after_end and skipped:
            self._after_end = False
            self.skipped_bytes -= skipped.startswith(CR)
        self.skipped_bytes += len(skipped)
        if start < 0:
            return end
        self._after_end = False
        self._is_open = True
        return start + 1

    def _collect(self, data: bytes, start: int, end: int) -> list[Block | BrokenBlock]:
        if self._is_oversized:
            return []
        room = self._limit - len(self._body)
        self._body += data[start : min(end, start + room)]
        if end - start <= room:
            return []
        self._is_oversized = True
        reason = f"message longer than {self._limit} bytes"
        return [BrokenBlock(bytes(self._body), reason, is_oversized=True)]

    def _end(self) -> list[Block | BrokenBlock]:
        message, was_oversized = bytes(self._body), self._is_oversized
        self._reset()
        self._after_end = True
        if was_oversized or not message.strip() or message in _COMMIT_BYTES:
            return []
        return [Block(message)]

    def _reset(self) -> None:
        self._body.clear()
        self._is_open = self._is_oversized = False


def _next_mark(data: bytes, position: int) -> int:
    """Return where the next VT or FS is, or the length of `data`; two searches are quicker than one for either."""
    end = data.find(FS, position)
    restart = data.find(VT, position, end if end >= 0 else len(data))
    if restart >= 0:
        return restart
    return end if end >= 0 else len(data)


def split_http_body(body: bytes) -> list[bytes]:
    """Return the messages in the body of an HTTP request: one bare message, MLLP blocks, or a batch of bare messages.

    A block that is not ended counts as it is.
    """
    if VT in body:
        decoder = MllpDecoder(max_message_bytes=len(body))
        blocks = [*decoder.feed(body), *decoder.give_up("block not ended")]
        return [block.message if isinstance(block, Block) else block.raw for block in blocks]
    return split_batch(body.replace(FS, b""))


def split_batch(text: bytes) -> list[bytes]:
    """Return the messages in `text`, which may be a batch (FHS, BHS, messages, BTS, FTS) or one bare message.

    The batch segments are dropped; they say nothing that the messages do not.

    Source: HL7 2.5.1, 2.10.3, read in specs.
    """
    parts = _MESSAGE_START.split(text) if text.count(b"MSH") > 1 or b"HS" in text or b"TS" in text else [text]
    without_batch = (_BATCH_SEGMENT.sub(b"", part) for part in parts)
    return [part for part in without_batch if part.strip()]
