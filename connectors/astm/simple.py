"""The "simple" link of SNIBE MAGLUMI devices: the marks of E1381 without frame numbers and checksums.

```
ENQ -> ACK   STX -> ACK   records -> ACK   ETX -> ACK   EOT
```

Records come in one block, in several, or one between each STX and ETX; some devices wait for an ACK after every step,
others only after ETX. Both are served: ETX is always answered, a step before it only when the device waits for it,
which is known from its silence. Bytes in, events out; no sockets, no clock.

Source: SNIBE MAGLUMI X3 at a laboratory in India and the variant of the vendor's manual, read in specs.
"""

from __future__ import annotations

import re
from enum import Enum, auto

from connectors.astm.framing import ACK, CR, ENQ, EOT, ETX, NAK, STX
from connectors.astm.records import RecordAssembler
from connectors.astm.session import (
    FRAME_SECONDS,
    MAX_MESSAGE_BYTES,
    MESSAGE_SECONDS,
    Arrived,
    Broken,
    Event,
    Reply,
    Timer,
)

STEP_SECONDS = 0.15
"""Silence after which a device is taken to wait for the answer to STX or to its records; the vendor names no time."""

_TEXT_END = re.compile(b"[" + ETX + ENQ + EOT + b"]")


class _Phase(Enum):
    IDLE = auto()
    WAIT = auto()
    TEXT = auto()


class _Due(Enum):
    """What happens when the caller settles."""

    STEP = auto()
    """Records completed a message."""
    END = auto()
    """A message without L at EOT."""
    ENQUIRY = auto()
    """A message was left over from the transmission before."""
    RESTART = auto()
    """Evidence was handed out at an ENQ in the middle: ACK it."""
    BAD = auto()
    """Too long: NAK."""
    NOTHING = auto()


class SimpleReceiver:
    """One per connection; has the same face as `AstmReceiver`.

    Attributes:
        is_accepting: Set False to answer every ENQ with NAK.
    """

    def __init__(
        self,
        *,
        max_message_bytes: int = MAX_MESSAGE_BYTES,
        frame_seconds: float = FRAME_SECONDS,
        message_seconds: float = MESSAGE_SECONDS,
        step_seconds: float = STEP_SECONDS,
    ) -> None:
        self._limit = max_message_bytes
        self._frame_seconds = frame_seconds
        self._message_seconds = message_seconds
        self._step_seconds = step_seconds
        self._phase = _Phase.IDLE
        self._buffer = bytearray()
        self._text = bytearray()
        self._records = RecordAssembler()
        self._unsaved: tuple[bytes, ...] = ()
        self._due: _Due | None = None
        self._step_is_owed = False
        self._was_refused = False
        self._serial = 0
        self._silence: Timer | None = None
        self._message_timer: Timer | None = None
        self.is_accepting = True

    @property
    def timers(self) -> tuple[Timer, ...]:
        """The timers that run now; none while the caller owes a `settle`."""
        if self._due is not None:
            return ()
        return tuple(timer for timer in (self._silence, self._message_timer) if timer)

    @property
    def is_neutral(self) -> bool:
        """True between transmissions: the line is free for the host."""
        return self._phase is _Phase.IDLE and self._due is None

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
        return [*self._answer(due, is_durable=is_durable), *self._run()]

    def expire(self) -> list[Event]:
        """The device is silent: it waits for the answer to a step, or it has gone."""
        if self._step_is_owed and self._silence is not None:
            return self._end_step()
        return self._give_up("not completed in time")

    def close(self) -> list[Event]:
        """The connection is gone: hand out what is unfinished."""
        if self._unsaved and self._due is None:
            self._due = _Due.END
            return [Arrived(self._unsaved, flag="no_terminator")]
        return self._give_up("connection closed before the message was complete")

    def _answer(self, due: _Due, *, is_durable: bool) -> list[Event]:
        match due:
            case _Due.STEP if is_durable:
                self._message_timer = None
                return [self._reply(ACK)]
            case _Due.STEP | _Due.BAD:
                if due is _Due.STEP:
                    self._records.undo()
                self._was_refused = True
                return [self._reply(NAK)]
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
            if self._phase is _Phase.TEXT:
                position, found = self._in_text(position)
            else:
                position, found = position + 1, self._between(bytes(self._buffer[position : position + 1]))
            events += found
        del self._buffer[:position]
        return events

    def _between(self, byte: bytes) -> list[Event]:
        if byte == ENQ:
            return self._on_enquiry()
        if self._phase is _Phase.IDLE:
            return []
        if byte == STX:
            self._phase = _Phase.TEXT
            self._text.clear()
            self._wait_for_step()
        elif byte == EOT:
            return self._on_end()
        return []

    def _in_text(self, start: int) -> tuple[int, list[Event]]:
        """Take text from the buffer up to a mark; returns where to go on."""
        mark = _TEXT_END.search(self._buffer, start)
        end = mark.start() if mark else len(self._buffer)
        if end > start:
            room = max(self._limit - self._records.size - len(self._text), 0)
            self._text += self._buffer[start : min(end, start + room)]
            if end - start > room:
                self._phase, self._due = _Phase.WAIT, _Due.BAD
                return end, [Broken(self._drain(), f"message longer than {self._limit} bytes")]
            if self._message_timer is None:
                self._message_timer = self._new_timer(self._message_seconds)
            self._wait_for_step()
        if mark is None:
            return end, []
        if mark[0] == ETX:
            self._phase = _Phase.WAIT
            return end + 1, self._end_step()
        # never part of a record: the device has given up or begun anew
        return end + 1, self._on_enquiry() if mark[0] == ENQ else self._on_end()

    def _end_step(self) -> list[Event]:
        """Take what came since the last answer; the answer follows once a message in it is durable."""
        self._step_is_owed = False
        text = bytes(self._text)
        if self._phase is _Phase.TEXT and text and not text.endswith((CR, b"\n")):
            self._silence = self._new_timer(self._frame_seconds)  # in the middle of a record: no step yet
            return []
        self._text.clear()
        messages = self._records.add(text, is_last=True) if text else []
        if messages:
            self._due = _Due.STEP
            return [Arrived(tuple(messages))]
        return [self._reply(ACK)]

    def _on_enquiry(self) -> list[Event]:
        if self._unsaved:
            self._due = _Due.ENQUIRY
            return [Arrived(self._unsaved, flag="no_terminator")]
        if not self.is_accepting:
            return [Reply(NAK)]
        unfinished = self._drain()
        if unfinished:
            self._due = _Due.RESTART
            return [Broken(unfinished, "the device started again before the message was complete")]
        return [self._enter_wait()]

    def _on_end(self) -> list[Event]:
        is_clean = not self._text
        left = self._drain()
        self._enter_idle()
        if not left:
            return []
        if self._was_refused or not is_clean:
            self._due = _Due.NOTHING
            how = "after a refusal" if self._was_refused else "inside a record"
            return [Broken(left, f"the transmission ended {how}")]
        self._unsaved = (left,)
        self._due = _Due.END
        return [Arrived(self._unsaved, flag="no_terminator")]

    def _give_up(self, reason: str) -> list[Event]:
        unfinished = self._drain()
        self._enter_idle()
        if not unfinished or self._due is not None:
            return []
        self._due = _Due.NOTHING
        return [Broken(unfinished, reason)]

    def _drain(self) -> bytes:
        unfinished = self._records.drain() + bytes(self._text)
        self._text.clear()
        return unfinished

    def _reply(self, data: bytes) -> Reply:
        self._was_refused = data == NAK
        self._silence = self._new_timer(self._frame_seconds)
        return Reply(data)

    def _enter_wait(self) -> Reply:
        self._phase = _Phase.WAIT
        self._step_is_owed = False
        self._message_timer = None
        return self._reply(ACK)

    def _enter_idle(self) -> None:
        self._phase = _Phase.IDLE
        self._step_is_owed = False
        self._silence = self._message_timer = None

    def _wait_for_step(self) -> None:
        self._step_is_owed = True
        self._silence = self._new_timer(self._step_seconds)

    def _new_timer(self, seconds: float) -> Timer:
        self._serial += 1
        return Timer(self._serial, seconds)
