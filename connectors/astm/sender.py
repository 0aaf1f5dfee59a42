"""The sending side of an ASTM link as a state machine; the analyzer's side in the simulator, the host's in a download.

```
start -> ENQ, 15 s      ACK -> first frame     NAK -> 10 s, ENQ again      ENQ -> contention     silence -> EOT, later
frame, 15 s             ACK -> next frame, after the last EOT              EOT -> taken, but the peer wants to send
                        anything else -> the same frame again, after six refusals EOT, later     silence -> EOT, later
contention              instrument: 1 s, ENQ again                         computer: yields, the peer's next ENQ decides
```

Source: ASTM E1381-95, 6.2.7, 6.3.4, 6.5.1 and figure A1.2; CLSI LIS01-A2, 8, read in specs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum, StrEnum, auto

from connectors.astm.framing import ACK, ENQ, EOT, NAK
from connectors.astm.session import Reply, Timer

MAX_REFUSALS = 6
"""A frame refused this often ends the attempt. Source: E1381-95, 6.5.1.2."""
MAX_ENQUIRIES = 6
"""Busy answers to ENQ before the attempt ends; the standard names no number."""


class SenderRole(StrEnum):
    """Who gives way when both sides send ENQ: the computer."""

    INSTRUMENT = "instrument"
    COMPUTER = "computer"


class SendResult(StrEnum):
    """How an attempt to send ended."""

    SENT = "sent"
    RETRY_LATER = "retry_later"
    """Nothing may be taken as received: the whole message must be sent again."""
    INTERRUPTED = "interrupted_resume_later"
    """The peer asked for the line; wait until it has sent, or 15 s."""
    YIELDED = "now_receiver"
    """The peer had the same idea; listen for its ENQ for up to 20 s."""


@dataclass(frozen=True)
class Finished:
    """The attempt is over."""

    result: SendResult


@dataclass(frozen=True)
class SenderTimers:
    """Waiting times in seconds; the defaults are the standard's."""

    answer: float = 15.0
    busy: float = 10.0
    contention: float = 1.0


class _Phase(Enum):
    NEW = auto()
    ENQUIRED = auto()
    PAUSED = auto()
    SENDING = auto()
    DONE = auto()


class AstmSender:
    """Sends one transmission, made of ready frames.

    Attributes:
        refusals: Answers other than ACK so far, over all frames.
        is_line_wanted: The peer answered EOT: it wants to send; no ENQ for 15 s or until it has sent.
    """

    def __init__(
        self, frames: Sequence[bytes], *, role: SenderRole = SenderRole.INSTRUMENT, timers: SenderTimers | None = None
    ) -> None:
        if not frames:
            raise ValueError("nothing to send")
        self._frames = tuple(frames)
        self._role = role
        self._times = timers or SenderTimers()
        self._phase = _Phase.NEW
        self._next = 0
        self._frame_refusals = 0
        self._enquiries = 0
        self._serial = 0
        self.timer: Timer | None = None
        self.refusals = 0
        self.is_line_wanted = False

    @property
    def is_paused(self) -> bool:
        """True between two ENQ: the line is neutral, and what the peer sends meanwhile is no answer."""
        return self._phase is _Phase.PAUSED

    def start(self) -> list[Reply | Finished]:
        """Ask for the line."""
        return self._enquire()

    def feed(self, data: bytes) -> list[Reply | Finished]:
        """Take what the peer answers."""
        events: list[Reply | Finished] = []
        for value in data:
            byte = bytes((value,))
            if self._phase is _Phase.ENQUIRED:
                events += self._on_enquiry_answer(byte)
            elif self._phase is _Phase.SENDING:
                events += self._on_frame_answer(byte)
        return events

    def expire(self) -> list[Reply | Finished]:
        """The timer ran out."""
        if self._phase is _Phase.PAUSED:
            return self._enquire()
        if self._phase in {_Phase.ENQUIRED, _Phase.SENDING}:
            return self._end(SendResult.RETRY_LATER)
        return []

    def abandon(self) -> list[Reply | Finished]:
        """Leave the line to the peer, which has begun to send in the middle of our transmission."""
        return self._end(SendResult.INTERRUPTED)

    def _on_enquiry_answer(self, byte: bytes) -> list[Reply | Finished]:
        if byte == ACK:
            self._phase = _Phase.SENDING
            return self._send()
        if byte == NAK:
            if self._enquiries >= MAX_ENQUIRIES:
                return self._end(SendResult.RETRY_LATER)
            return self._pause(self._times.busy)
        if byte == ENQ:
            if self._role is SenderRole.INSTRUMENT:
                return self._pause(self._times.contention)
            self._finish()
            return [Finished(SendResult.YIELDED)]
        return []

    def _on_frame_answer(self, byte: bytes) -> list[Reply | Finished]:
        if byte in {ACK, EOT}:
            self.is_line_wanted = byte == EOT
            self._next += 1
            self._frame_refusals = 0
            if self._next == len(self._frames):
                return self._end(SendResult.SENT)
            return self._end(SendResult.INTERRUPTED) if byte == EOT else self._send()
        self.refusals += 1
        self._frame_refusals += 1
        if self._frame_refusals >= MAX_REFUSALS:
            return self._end(SendResult.RETRY_LATER)
        return self._send()

    def _enquire(self) -> list[Reply | Finished]:
        self._phase = _Phase.ENQUIRED
        self._enquiries += 1
        self._arm(self._times.answer)
        return [Reply(ENQ)]

    def _send(self) -> list[Reply | Finished]:
        self._arm(self._times.answer)
        return [Reply(self._frames[self._next])]

    def _pause(self, seconds: float) -> list[Reply | Finished]:
        self._phase = _Phase.PAUSED
        self._arm(seconds)
        return []

    def _end(self, result: SendResult) -> list[Reply | Finished]:
        self._finish()
        return [Reply(EOT), Finished(result)]

    def _finish(self) -> None:
        self._phase = _Phase.DONE
        self.timer = None

    def _arm(self, seconds: float) -> None:
        self._serial += 1
        self.timer = Timer(self._serial, seconds)
