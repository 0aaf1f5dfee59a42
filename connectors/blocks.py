"""Links that put each text between STX and an end mark and answer each block by ACK or NAK, as a state machine.

```
IDLE   STX -> TEXT                                                       everything else is ignored
TEXT   end mark -> TRAILER, or the block is opened at once
       STX (the device moved on), too long -> its bytes are handed out
TRAILER so many bytes more -> the block is opened: checked, its text taken out
block  bad                                     -> its bytes are handed out, then NAK
       more to come                            -> held, ACK
       the last one accepted again             -> ACK, not taken (our ACK was lost)
       complete                                -> handed out; ACK when the caller says that it is safe, else NAK
```

The host's own blocks wait for an ACK of the device. A new STX meanwhile means that the device moved on: the wait is
dropped and the block is read. What differs between devices stands in `BlockRules`. No sockets and no clock: `timers`
says how long the caller must wait before `expire`.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Final

from domain.errors import FrameError, MessageError

STX: Final = 0x02
ETX: Final = 0x03
ACK: Final = b"\x06"
NAK: Final = b"\x15"
ETB: Final = 0x17

BLOCK_SECONDS = 60.0
"""Most time from the beginning of a block to its end, and to the next block; none of the protocols names one."""
ANSWER_SECONDS = 5.0
"""Longest wait for the device's ACK of what we sent."""
MAX_TRIES = 3
"""So often a block of ours is sent while the device answers NAK."""


@dataclass(frozen=True)
class BlockRules:
    """What differs between the links.

    Attributes:
        trailer_bytes: Bytes that follow the end mark and belong to the block.
        open: Takes text, end mark and trailer; returns the text without check characters. Raises FrameError.
        continues: Whether a block ended by ETB goes on in the next one.
        repeats: Whether a message that comes again, byte by byte, is taken as sent again because our ACK was lost.
    """

    open: Callable[[bytes, int, bytes], bytes]
    trailer_bytes: int = 0
    continues: bool = False
    repeats: Callable[[bytes], bool] = lambda _message: True


@dataclass(frozen=True)
class Reply:
    """Bytes to send now."""

    data: bytes = field(repr=False)


@dataclass(frozen=True)
class Arrived:
    """A whole message; call `settle` before anything else is read.

    Attributes:
        message: The text; the texts of several blocks are joined by ETB.
        is_repeat: The device sent it before and we have acknowledged it.
    """

    message: bytes = field(repr=False)
    is_repeat: bool = False


@dataclass(frozen=True)
class Broken:
    """Bytes that are no message, to be kept as evidence; call `settle` when that is done or has failed."""

    raw: bytes = field(repr=False)
    reason: str


@dataclass(frozen=True)
class Answered:
    """What became of the block sent last.

    Attributes:
        is_accepted: The device acknowledged it.
    """

    is_accepted: bool


Event = Reply | Arrived | Broken | Answered


@dataclass(frozen=True)
class Timer:
    """A running timer. The caller starts it when it sees a new `serial` and calls `expire` after `seconds`."""

    serial: int
    seconds: float


class _Phase(Enum):
    IDLE = auto()
    TEXT = auto()
    TRAILER = auto()


class _Due(Enum):
    """What happens when the caller settles."""

    COMPLETE = auto()
    """A message: ACK if it is safe, else NAK as if its last block had been bad."""
    REPEAT = auto()
    """A message that is safe already: ACK."""
    BAD = auto()
    """A block was not taken: NAK."""
    NOTHING = auto()


class BlockLink:
    """One per connection.

    Attributes:
        ignored_bytes: Bytes skipped because they belonged to nothing.
        repeats: Blocks in a row that the device sent again although they were acknowledged.
    """

    def __init__(self, rules: BlockRules, *, max_message_bytes: int, block_seconds: float = BLOCK_SECONDS) -> None:
        self._rules = rules
        self._limit = max_message_bytes
        self._block_seconds = block_seconds
        self._phase = _Phase.IDLE
        self._buffer = bytearray()
        self._text = bytearray()
        self._trailer = bytearray()
        self._mark = ETX
        self._due: _Due | None = None
        self._held: list[bytes] = []
        self._open: bytes = b""
        self._last_block: tuple[bytes, int] | None = None
        self._last_message: bytes | None = None
        self._sent: bytes | None = None
        self._tries = 0
        self._serial = 0
        self._timer: Timer | None = None
        self.ignored_bytes = 0
        self.repeats = 0

    @property
    def timers(self) -> tuple[Timer, ...]:
        """The timer that runs now; none while the caller owes a `settle`."""
        return (self._timer,) if self._timer is not None and self._due is None else ()

    @property
    def is_waiting(self) -> bool:
        """True while the device owes the ACK of what was sent."""
        return self._sent is not None

    def feed(self, data: bytes) -> list[Event]:
        """Take the next bytes from the device. While a `settle` is owed they are only remembered."""
        self._buffer += data
        return self._run()

    def settle(self, *, is_durable: bool) -> list[Event]:
        """Say whether what the last event handed out is safe, and go on.

        Raises:
            RuntimeError: Nothing was handed out.
        """
        if self._due is None:
            raise RuntimeError("nothing waits to be settled")
        due, self._due = self._due, None
        events: list[Event] = []
        if due is _Due.COMPLETE:
            events.append(self._close_message(is_durable=is_durable))
        elif due is not _Due.NOTHING:
            events.append(Reply(ACK if due is _Due.REPEAT else NAK))
        return [*events, *self._run()]

    def send(self, block: bytes) -> list[Event]:
        """Send a framed block of our own, unless the device is sending again already: then it is not accepted.

        A block that still waits for its ACK counts as not accepted.
        """
        events = self._drop_wait()
        if self._phase is not _Phase.IDLE or self._due is not None:
            return [*events, Answered(is_accepted=False)]
        self._sent, self._tries = block, 1
        self._start_timer(ANSWER_SECONDS)
        return [*events, Reply(block)]

    def expire(self) -> list[Event]:
        """The timer ran out: give up the block that is open, or the wait for an ACK."""
        self._timer = None
        events = self._drop_wait()
        if self._phase is _Phase.IDLE and not self._held:
            return events
        return [*events, *self._give_up("not completed in time")]

    def close(self) -> list[Event]:
        """The connection is gone: hand out what is unfinished."""
        self._timer = None
        return [*self._drop_wait(), *self._give_up("connection closed before the message was complete")]

    def _run(self) -> list[Event]:
        events: list[Event] = []
        position = 0
        while self._due is None and position < len(self._buffer):
            if self._phase is _Phase.IDLE:
                events += self._on_idle_byte(self._buffer[position])
                position += 1
            elif self._phase is _Phase.TEXT:
                position, found = self._take_text(position)
                events += found
            else:
                self._trailer.append(self._buffer[position])
                position += 1
                if len(self._trailer) >= self._rules.trailer_bytes:
                    events += self._on_block()
        del self._buffer[:position]
        return events

    def _on_idle_byte(self, byte: int) -> list[Event]:
        if byte == STX:
            self._phase = _Phase.TEXT
            self._start_timer(self._block_seconds)
            return self._drop_wait()
        if self._sent is not None and byte == ACK[0]:
            self._timer = None
            self._sent = None
            return [Answered(is_accepted=True)]
        if self._sent is not None and byte == NAK[0]:
            return self._send_again()
        self.ignored_bytes += 1
        return []

    def _take_text(self, position: int) -> tuple[int, list[Event]]:
        """Move text from the buffer up to a mark; returns where to go on."""
        marks = (STX, ETX, ETB) if self._rules.continues else (STX, ETX)
        found = [at for mark in marks if (at := self._buffer.find(mark, position)) >= 0]
        end = min(found, default=len(self._buffer))
        room = self._limit - sum(len(text) + 1 for text in self._held) - len(self._text)
        if end - position > room:
            self._text += self._buffer[position : position + max(room, 0)]
            reason = f"message longer than {self._limit} bytes"
            return position + max(room, 0), self._hand_out_bad(reason, _Due.BAD)
        self._text += self._buffer[position:end]
        if end == len(self._buffer):
            return end, []
        return end + 1, self._on_mark(self._buffer[end])

    def _on_mark(self, mark: int) -> list[Event]:
        if mark == STX:
            events = self._hand_out_bad("the device began again before the block ended", _Due.NOTHING)
            self._phase = _Phase.TEXT
            self._start_timer(self._block_seconds)
            return events
        self._mark = mark
        self._phase = _Phase.TRAILER
        return self._on_block() if self._rules.trailer_bytes == 0 else []

    def _on_block(self) -> list[Event]:
        try:
            text = self._rules.open(bytes(self._text), self._mark, bytes(self._trailer))
        except FrameError as error:
            self._text += bytes([self._mark]) + self._trailer
            return self._hand_out_bad(error.message, _Due.BAD, keep_held=True)
        self._reset_block()
        block = (text, self._mark)
        message = bytes([ETB]).join([*self._held, text])
        if self._is_repeated(block, message):
            return self._on_repeat(block)
        self.repeats = 0
        if self._mark == ETB:
            self._held.append(text)
            self._last_block = block
            self._start_timer(self._block_seconds)
            return [Reply(ACK)]
        self._open = text
        self._due = _Due.COMPLETE
        return [Arrived(message)]

    def _is_repeated(self, block: tuple[bytes, int], message: bytes) -> bool:
        if not self._rules.repeats(block[0]):
            return False
        return block == self._last_block or (not self._held and message == self._last_message)

    def _on_repeat(self, block: tuple[bytes, int]) -> list[Event]:
        self.repeats += 1
        if block[1] == ETB or self._last_message is None:
            self._start_timer(self._block_seconds)
            return [Reply(ACK)]
        self._due = _Due.REPEAT
        return [Arrived(self._last_message, is_repeat=True)]

    def _close_message(self, *, is_durable: bool) -> Reply:
        if not is_durable:
            # the device sends its last block again: those before it stay
            if self._held:
                self._start_timer(self._block_seconds)
            return Reply(NAK)
        self._last_message = bytes([ETB]).join([*self._held, self._open])
        self._last_block = (self._open, ETX)
        self._held.clear()
        return Reply(ACK)

    def _send_again(self) -> list[Event]:
        if self._sent is None or self._tries >= MAX_TRIES:
            self._timer = None
            return self._drop_wait()
        self._tries += 1
        self._start_timer(ANSWER_SECONDS)
        return [Reply(self._sent)]

    def _drop_wait(self) -> list[Event]:
        if self._sent is None:
            return []
        self._sent = None
        return [Answered(is_accepted=False)]

    def _hand_out_bad(self, reason: str, due: _Due, *, keep_held: bool = False) -> list[Event]:
        """Hand out the block that is open; with it what was held, unless the device will send just this one again."""
        raw = bytes(self._text)
        if not keep_held and due is not _Due.NOTHING:
            raw = bytes([ETB]).join([*self._held, raw])
            self._held.clear()
        self._reset_block()
        if keep_held and self._held:
            self._start_timer(self._block_seconds)
        if not raw:
            return []
        self._due = due
        return [Broken(raw, reason)]

    def _give_up(self, reason: str) -> list[Event]:
        raw = bytes([ETB]).join([*self._held, bytes(self._text)]) if self._held else bytes(self._text)
        self._held.clear()
        self._reset_block()
        if not raw or self._due is not None:
            return []
        self._due = _Due.NOTHING
        return [Broken(raw, reason)]

    def _reset_block(self) -> None:
        self._phase = _Phase.IDLE
        self._text.clear()
        self._trailer.clear()
        self._timer = None

    def _start_timer(self, seconds: float) -> None:
        self._serial += 1
        self._timer = Timer(self._serial, seconds)


def bare_message(raw: bytes, rules: BlockRules, skipped: Collection[str] = ()) -> bytes:
    """Return a message as a link hands it out, also where the frames are still around it.

    Args:
        raw: The text, or blocks from STX on.
        rules: Of the device.
        skipped: Texts that are no messages of their own.

    Raises:
        MessageError: There are frames, but not those of exactly one message.
    """
    if raw[:1] != bytes([STX]):
        return raw
    link = BlockLink(rules, max_message_bytes=len(raw))
    events = link.feed(raw)
    messages, reasons = [], []
    while events:
        match events.pop(0):
            case Arrived(message):
                messages.append(message)
                events += link.settle(is_durable=True)
            case Broken(_, reason):
                reasons.append(reason)
                events += link.settle(is_durable=True)
            case _:
                continue
    messages = [message for message in messages if message.decode("latin-1") not in skipped]
    if len(messages) != 1 or reasons:
        raise MessageError(
            reasons[0] if reasons else f"{len(messages)} messages where one was expected",
            code="BLOCK_FRAMES", action="Store each message by itself; look at the raw bytes.",
        )  # fmt: skip
    return messages[0]
