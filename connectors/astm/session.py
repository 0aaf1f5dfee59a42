"""The receiving side of an ASTM link as a state machine: bytes, answers and silence in, events out.

```
IDLE  ENQ -> ACK, WAIT (NAK while messages wait to be kept)         everything else is ignored
WAIT  frame, number as expected, good      -> taken, ACK
      frame with the last number again     -> ACK, not taken (our ACK was lost)
      any other frame, bad frame           -> its bytes are handed out, then NAK
      ENQ (the peer started again)         -> what is unfinished is handed out, ACK
      EOT                                  -> what is left is handed out, IDLE
      30 s without a frame                 -> what is unfinished is handed out, IDLE
FRAME ENQ, then 3 s of silence             -> as ENQ in WAIT: the peer was restarted in the middle of a frame
      checksum, then 3 s of silence        -> judged without its CR LF
```

The frame that completes a message is answered only after the caller has said through `settle` whether the message is
durable: ACK means "kept". No sockets and no clock: `timers` says how long the caller must wait before `expire`.

Source: ASTM E1381-95, 6.2 to 6.5, 6.7 and figure A1.1; CLSI LIS01-A2, 8, read in specs.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from enum import Enum, auto

from connectors.astm.framing import ACK, ENQ, EOT, MAX_FRAME_NUMBER, NAK, STX, BadFrame, Frame, FrameCollector
from connectors.astm.records import RecordAssembler

FRAME_SECONDS = 30.0
"""Silence after which an unfinished message is given up. Source: E1381-95, 6.7.2."""
STALL_SECONDS = 3.0
"""Silence after an ENQ inside a frame that makes it an ENQ: in text the next byte would follow. Not in the standard.

The same silence ends a frame of which only CR LF are missing."""
MESSAGE_SECONDS = 1800.0
"""Most time from the first frame of a message to its last. The standard names none: at 9600 baud 1 MiB takes 18 min."""
MAX_MESSAGE_BYTES = 1 << 20


@dataclass(frozen=True)
class Reply:
    """Bytes to send now."""

    data: bytes


@dataclass(frozen=True)
class Arrived:
    """Whole messages, to be kept; call `settle` with the outcome before anything else is read.

    Attributes:
        messages: Records ended by CR.
        flag: `no_terminator` where the peer ended without an L record, else "".
    """

    messages: tuple[bytes, ...] = field(repr=False)
    flag: str = ""


@dataclass(frozen=True)
class Broken:
    """Bytes that are no message, to be kept as evidence; call `settle` when that is done or has failed."""

    raw: bytes = field(repr=False)
    reason: str


Event = Reply | Arrived | Broken

_MARKS = re.compile(b"[" + ENQ + STX + EOT + b"]")
"""All that counts between frames; what lies between them is passed over at once, however much it is."""


@dataclass(frozen=True)
class Timer:
    """A running timer. The caller starts it when it sees a new `serial` and calls `expire` after `seconds`."""

    serial: int
    seconds: float


class _Phase(Enum):
    IDLE = auto()
    WAIT = auto()
    FRAME = auto()


class _Due(Enum):
    """What happens when the caller settles."""

    COMPLETE = auto()
    """A frame completed a message: ACK if it is durable, else NAK as if the frame had been bad."""
    BAD = auto()
    """A frame was not taken: NAK."""
    ENQUIRY = auto()
    """A message was left over from the transmission before: ACK the ENQ if it is durable now, else NAK."""
    RESTART = auto()
    """The peer began anew: ACK its ENQ."""
    END = auto()
    """A message without L at EOT: it waits for the next ENQ if it is not durable."""
    NOTHING = auto()


class AstmReceiver:
    """One receiver per connection.

    Attributes:
        is_accepting: Set False to answer every ENQ with NAK, e.g. before a shutdown.
        ignored_bytes: Bytes skipped because they belonged to nothing.
        duplicates: Frames that came a second time.
    """

    def __init__(
        self,
        *,
        max_message_bytes: int = MAX_MESSAGE_BYTES,
        check: bool = True,
        frame_seconds: float = FRAME_SECONDS,
        message_seconds: float = MESSAGE_SECONDS,
        joins_until_cr: bool = False,
    ) -> None:
        """Prepare for one connection.

        Args:
            max_message_bytes: A longer message is refused.
            check: False takes frames with any checksum, or none.
            frame_seconds: Silence after which an unfinished message is given up.
            message_seconds: Most time for one message.
            joins_until_cr: The device ends every piece of a long record with ETX.
        """
        self._limit = max_message_bytes
        self._frame_seconds = frame_seconds
        self._message_seconds = message_seconds
        self._collector = FrameCollector(check=check)
        self._phase = _Phase.IDLE
        self._buffer = bytearray()
        self._due: _Due | None = None
        self._records = RecordAssembler(joins_until_cr=joins_until_cr)
        self._unsaved: tuple[bytes, ...] = ()
        self._expected = 1
        self._last: int | None = None
        self._is_refusing = False
        self._was_refused = False
        self._serial = 0
        self._frame_timer: Timer | None = None
        self._message_timer: Timer | None = None
        self._stall_timer: Timer | None = None
        self.is_accepting = True
        self.ignored_bytes = 0
        self.duplicates = 0

    @property
    def timers(self) -> tuple[Timer, ...]:
        """The timers that run now; none while the caller owes a `settle`."""
        if self._due is not None:
            return ()
        return tuple(timer for timer in (self._frame_timer, self._message_timer, self._stall_timer) if timer)

    @property
    def is_neutral(self) -> bool:
        """True between transmissions: the line is free for the host."""
        return self._phase is _Phase.IDLE and self._due is None

    @property
    def is_settled(self) -> bool:
        """False while an `Arrived` or `Broken` waits for `settle`."""
        return self._due is None

    def feed(self, data: bytes) -> list[Event]:
        """Take the next bytes from the peer. While a `settle` is owed they are only remembered."""
        self._buffer += data
        events = self._run()
        may_be_over = self._collector.ends_in_enquiry or self._collector.may_be_whole
        is_stalled = self._phase is _Phase.FRAME and may_be_over
        self._stall_timer = self._new_timer(STALL_SECONDS) if is_stalled else None
        return events

    def settle(self, *, is_durable: bool) -> list[Event]:
        """Say whether what the last event handed out is safe, and go on.

        Raises:
            RuntimeError: Nothing was handed out.
        """
        if self._due is None:
            raise RuntimeError("nothing waits to be settled")
        due, self._due = self._due, None
        return [*self._answer(due, is_durable=is_durable), *self._run()]

    def expire(self) -> list[Event]:
        """A timer ran out: give the unfinished message up and fall back to neutral."""
        if self._stall_timer is not None:
            self._stall_timer = None
            if self._collector.may_be_whole:
                return self._end_frame()
            self._due = _Due.RESTART
            unfinished = self._records.drain() + self._collector.finish_raw()[: -len(ENQ)]
            return [Broken(unfinished, "the device started again in the middle of a frame")]
        return self._give_up("not completed in time")

    def _end_frame(self) -> list[Event]:
        frame = self._collector.finish()
        self._phase = _Phase.WAIT
        return self._on_frame(frame) if frame is not None else []

    def close(self) -> list[Event]:
        """The connection is gone: hand out what is unfinished."""
        if self._unsaved and self._due is None:
            self._due = _Due.END
            return [Arrived(self._unsaved, flag="no_terminator")]
        return self._give_up("connection closed before the message was complete")

    def _answer(self, due: _Due, *, is_durable: bool) -> list[Event]:
        match due:
            case _Due.COMPLETE if is_durable:
                self._message_timer = self._new_timer(self._message_seconds) if self._records.size else None
                return [self._acknowledge()]
            case _Due.COMPLETE | _Due.BAD:
                if due is _Due.COMPLETE:
                    self._records.undo()
                return [self._refuse()]
            case _Due.ENQUIRY if not is_durable:
                return [Reply(NAK)]
            case _Due.ENQUIRY | _Due.RESTART:
                self._unsaved = ()
                return [self._enter_wait()]
            case _Due.END if is_durable:
                self._unsaved = ()
        return []

    def _run(self) -> list[Event]:
        events: list[Event] = []
        position = 0
        while self._due is None and position < len(self._buffer):
            if self._phase is _Phase.FRAME:
                frame, position = self._collector.take(self._buffer, position)
                if frame is not None:
                    self._phase = _Phase.WAIT
                    events += self._on_frame(frame)
            else:
                mark = _MARKS.search(self._buffer, position)
                if mark is None:
                    self.ignored_bytes += len(self._buffer) - position
                    position = len(self._buffer)
                    break
                self.ignored_bytes += mark.start() - position
                position = mark.end()
                events += self._on_byte(mark[0])
        del self._buffer[:position]
        return events

    def _on_byte(self, byte: bytes) -> list[Event]:
        if byte == ENQ:
            return self._on_enquiry()
        if self._phase is _Phase.WAIT and byte == STX:
            self._collector.open()
            self._phase = _Phase.FRAME
        elif self._phase is _Phase.WAIT and byte == EOT:
            return self._on_end()
        else:
            self.ignored_bytes += 1
        return []

    def _on_enquiry(self) -> list[Event]:
        if self._unsaved:
            self._due = _Due.ENQUIRY
            return [Arrived(self._unsaved, flag="no_terminator")]
        if not self.is_accepting:
            return [Reply(NAK)]
        unfinished = self._records.drain()
        if unfinished:
            self._due = _Due.RESTART
            return [Broken(unfinished, "the device started again before the message was complete")]
        return [self._enter_wait()]

    def _on_end(self) -> list[Event]:
        is_clean = self._records.is_clean
        left = self._records.drain()
        self._enter_idle()
        if not left:
            return []
        if self._was_refused or not is_clean:
            # the device knows that it must send the whole message again
            self._due = _Due.NOTHING
            how = "after a refused frame" if self._was_refused else "inside a record"
            return [Broken(left, f"the transmission ended {how}")]
        # its frames are acknowledged already, so it must not be lost: no new ENQ is accepted before it is durable
        self._unsaved = (left,)
        self._due = _Due.END
        return [Arrived(self._unsaved, flag="no_terminator")]

    def _on_frame(self, frame: Frame | BadFrame) -> list[Event]:
        if isinstance(frame, BadFrame):
            return self._hand_out_bad(frame.raw, frame.reason)
        if frame.number == self._last:
            self.duplicates += 1
            self._frame_timer = self._new_timer(self._frame_seconds)
            return [Reply(ACK)]
        if self._is_refusing:
            return [self._refuse()]
        if frame.number != self._expected:
            return self._hand_out_bad(frame.text, f"frame number {frame.number} where {self._expected} was due")
        return self._on_next_frame(frame)

    def _on_next_frame(self, frame: Frame) -> list[Event]:
        if self._records.size + len(frame.text) > self._limit:
            self._is_refusing = True
            reason = f"message longer than {self._limit} bytes"
            return self._hand_out_bad(self._records.drain() + frame.text, reason)
        messages = self._records.add(frame.text, is_last=frame.is_last)
        if messages:
            self._due = _Due.COMPLETE
            return [Arrived(tuple(messages))]
        if self._message_timer is None:
            self._message_timer = self._new_timer(self._message_seconds)
        return [self._acknowledge()]

    def _hand_out_bad(self, raw: bytes, reason: str) -> list[Event]:
        self._due = _Due.BAD
        return [Broken(raw, reason)]

    def _refuse(self) -> Reply:
        self._was_refused = True
        self._frame_timer = self._new_timer(self._frame_seconds)
        return Reply(NAK)

    def _acknowledge(self) -> Reply:
        self._was_refused = False
        self._last = self._expected
        self._expected = (self._expected + 1) % (MAX_FRAME_NUMBER + 1)
        self._frame_timer = self._new_timer(self._frame_seconds)
        return Reply(ACK)

    def _enter_wait(self) -> Reply:
        self._phase = _Phase.WAIT
        self._expected, self._last = 1, None
        self._is_refusing = self._was_refused = False
        self._frame_timer = self._new_timer(self._frame_seconds)
        self._message_timer = None
        return Reply(ACK)

    def _enter_idle(self) -> None:
        self._phase = _Phase.IDLE
        self._is_refusing = False
        self._frame_timer = self._message_timer = None

    def _new_timer(self, seconds: float) -> Timer:
        self._serial += 1
        return Timer(self._serial, seconds)

    def _give_up(self, reason: str) -> list[Event]:
        unfinished = self._records.drain() + self._collector.finish_raw()
        self._enter_idle()
        if not unfinished or self._due is not None:
            return []
        self._due = _Due.NOTHING
        return [Broken(unfinished, reason)]
