"""Devices that send bare ASTM records: no ENQ, no frames, no checksums, and no ear for answers.

Records end with CR, LF or both; a message is complete with its L record. What such a device sends is acknowledged by
nobody, so a message the store could not take stays here until the next one arrives or the connection ends. What is
sent to them is written and confirmed by nobody either.

Source: Agappe Mispa Maestro and the OpenELIS bridge's unframed mode, read in specs.
"""

from __future__ import annotations

from connectors.astm.framing import CR
from connectors.astm.records import RecordAssembler
from connectors.astm.sender import Finished, SendResult
from connectors.astm.session import FRAME_SECONDS, MAX_MESSAGE_BYTES, Arrived, Broken, Event, Reply, Timer

_NOISE = bytes([*range(0x09), 0x0B, 0x0C, *range(0x0E, 0x20)])


END_SECONDS = 1.0
"""Silence after an L record without CR that ends the message; such devices name no time."""


class BareReceiver:
    """One per connection; has the same face as `AstmReceiver` and never replies."""

    def __init__(self, *, max_message_bytes: int = MAX_MESSAGE_BYTES, silence_seconds: float = FRAME_SECONDS) -> None:
        self._limit = max_message_bytes
        self._seconds = silence_seconds
        self._records = RecordAssembler()
        self._unsaved: list[bytes] = []
        self._serial = 0
        self._is_owed = False

    @property
    def timers(self) -> tuple[Timer, ...]:
        """Silence ends a message without L, and soon one whose L record has no CR."""
        is_running = self._records.size and not self._is_owed
        seconds = min(END_SECONDS, self._seconds) if self._records.is_in_terminator else self._seconds
        return (Timer(self._serial, seconds),) if is_running else ()

    @property
    def is_neutral(self) -> bool:
        """True between messages."""
        return not self._records.size and not self._is_owed

    def feed(self, data: bytes) -> list[Event]:
        """Take the next bytes from the device."""
        text = data.translate(None, _NOISE).replace(b"\n", CR)
        self._serial += 1
        messages = self._records.add(text, is_last=False)
        if messages:
            return self._hand_out(messages)
        if self._records.size > self._limit:
            self._is_owed = True
            return [Broken(self._records.drain(), f"message longer than {self._limit} bytes")]
        return []

    def settle(self, *, is_durable: bool) -> list[Event]:
        """Say whether what the last event handed out is safe."""
        self._is_owed = False
        if is_durable:
            self._unsaved.clear()
        return []

    def expire(self) -> list[Event]:
        """The device has been silent: what there is counts as a message."""
        if self._records.is_in_terminator:
            return self._hand_out(self._records.add(CR, is_last=False))
        return self._rest()

    def close(self) -> list[Event]:
        """The connection is gone: what there is counts as a message."""
        return self._rest()

    def _rest(self) -> list[Event]:
        rest = self._records.drain()
        if not rest and not self._unsaved:
            return []
        return self._hand_out([rest] if rest else [], flag="no_terminator")

    def _hand_out(self, messages: list[bytes], flag: str = "") -> list[Event]:
        self._is_owed = True
        held = sum(len(message) for message in self._unsaved)
        self._unsaved = [*self._unsaved, *messages] if held <= self._limit else messages
        return [Arrived(tuple(self._unsaved), flag=flag)]


class BareSender:
    """Sends one message to a device that confirms nothing; has the same face as `AstmSender`."""

    def __init__(self, message: bytes) -> None:
        self._message = message
        self.timer: Timer | None = None
        self.is_paused = False
        self.is_line_wanted = False

    def start(self) -> list[Reply | Finished]:
        """Send it all; it is out of our hands then."""
        return [Reply(self._message), Finished(SendResult.SENT)]

    def feed(self, data: bytes) -> list[Reply | Finished]:  # noqa: ARG002  one face for all senders
        """Such a device answers nothing."""
        return []

    def expire(self) -> list[Reply | Finished]:
        """No timer runs."""
        return []

    def abandon(self) -> list[Reply | Finished]:
        """Nothing is under way."""
        return []
