"""The sending side of the "simple" link of SNIBE MAGLUMI devices: every step waits for its ACK.

Source: SNIBE MAGLUMI X3 at a laboratory in India and the variant of the vendor's manual, read in specs.
"""

from __future__ import annotations

from connectors.astm.framing import ACK, CR, ENQ, EOT, ETX, NAK, STX
from connectors.astm.sender import MAX_ENQUIRIES, MAX_REFUSALS, Finished, SenderRole, SenderTimers, SendResult
from connectors.astm.session import Reply, Timer


def steps_of(message: bytes, *, one_record_each: bool = False) -> tuple[bytes, ...]:
    """Return the pieces that carry `message`, each of which the device acknowledges.

    Args:
        message: Records, each ended by CR.
        one_record_each: Every record between an STX and an ETX of its own, as the vendor's manual has it.
    """
    if one_record_each:
        return tuple(STX + record + CR + ETX for record in message.split(CR) if record)
    return STX, message, ETX


class SimpleSender:
    """Sends one message in steps; has the same face as `AstmSender`.

    Attributes:
        is_line_wanted: The device answered EOT: it wants to send.
    """

    def __init__(
        self,
        steps: tuple[bytes, ...],
        *,
        role: SenderRole = SenderRole.COMPUTER,
        timers: SenderTimers | None = None,
    ) -> None:
        self._steps = (ENQ, *steps)
        self._role = role
        self._times = timers or SenderTimers()
        self._next = 0
        self._refusals = 0
        self._serial = 0
        self._is_done = False
        self.timer: Timer | None = None
        self.is_paused = False
        self.is_line_wanted = False

    def start(self) -> list[Reply | Finished]:
        """Ask for the line."""
        return self._send()

    def feed(self, data: bytes) -> list[Reply | Finished]:
        """Take what the device answers."""
        events: list[Reply | Finished] = []
        for value in data:
            if not self._is_done and not self.is_paused:
                events += self._on_answer(bytes((value,)))
        return events

    def expire(self) -> list[Reply | Finished]:
        """The timer ran out."""
        if self._is_done:
            return []
        if self.is_paused:
            return self._send()
        return self._end(SendResult.RETRY_LATER)

    def abandon(self) -> list[Reply | Finished]:
        """Leave the line to the device, which has begun to send in the middle of our transmission."""
        return self._end(SendResult.INTERRUPTED)

    def _on_answer(self, byte: bytes) -> list[Reply | Finished]:
        is_enquiry = self._next == 0
        if byte == ACK or (byte == EOT and not is_enquiry):
            self.is_line_wanted = byte == EOT
            self._next += 1
            self._refusals = 0
            if self._next == len(self._steps):
                return self._end(SendResult.SENT)
            return self._end(SendResult.INTERRUPTED) if byte == EOT else self._send()
        if is_enquiry:
            return self._on_enquiry_refused(byte)
        return self._refused(MAX_REFUSALS) or self._send()

    def _on_enquiry_refused(self, byte: bytes) -> list[Reply | Finished]:
        if byte == NAK:
            return self._refused(MAX_ENQUIRIES) or self._pause(self._times.busy)
        if byte != ENQ:
            return []
        if self._role is SenderRole.INSTRUMENT:
            return self._pause(self._times.contention)
        self._finish()
        return [Finished(SendResult.YIELDED)]

    def _refused(self, most: int) -> list[Reply | Finished]:
        self._refusals += 1
        return self._end(SendResult.RETRY_LATER) if self._refusals >= most else []

    def _send(self) -> list[Reply | Finished]:
        self.is_paused = False
        self._arm(self._times.answer)
        return [Reply(self._steps[self._next])]

    def _pause(self, seconds: float) -> list[Reply | Finished]:
        self.is_paused = True
        self._arm(seconds)
        return []

    def _end(self, result: SendResult) -> list[Reply | Finished]:
        self._finish()
        return [Reply(EOT), Finished(result)]

    def _finish(self) -> None:
        self._is_done = True
        self.timer = None

    def _arm(self, seconds: float) -> None:
        self._serial += 1
        self.timer = Timer(self._serial, seconds)
