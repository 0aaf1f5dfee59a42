"""What the simulated ends of all links have in common: sending until it is acknowledged, receiving, a line of TCP."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections import deque
from dataclasses import dataclass, field

from connectors.analyzers.simulator.faults import SimulatorFaults
from connectors.device_side import DeviceLine

MAX_ATTEMPTS = 5


@dataclass(frozen=True)
class LinkTimes:
    """Waiting times in seconds.

    Attributes:
        answer: For the peer's answer to a frame, block or message.
        retry: Between two attempts.
        busy: Before another ENQ after a NAK.
        contention: Before another ENQ where both sides asked for the line.
    """

    answer: float = 15.0
    retry: float = 1.0
    busy: float = 10.0
    contention: float = 1.0


@dataclass(frozen=True)
class Sent:
    """What became of a message.

    Attributes:
        attempts: How often it was sent.
        answer: `ACK`, an HL7 acknowledgement code, or the reason why the last attempt failed.
        raw: The message that acknowledged it (HL7), or b"".
    """

    attempts: int
    answer: str
    raw: bytes = field(default=b"", repr=False)


class BoundLine(DeviceLine):
    """A connection that the peer has opened."""

    def __init__(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, faults: SimulatorFaults | None = None
    ) -> None:
        super().__init__("", 0, faults)
        self._reader, self._writer = reader, writer

    async def write(self, data: bytes) -> None:
        """Send `data`.

        Raises:
            OSError: The peer is gone.
        """
        if self._writer is None:
            raise ConnectionError("the connection is closed")
        await super().write(data)


class SimulatedLink(ABC):
    """One end of a link.

    Attributes:
        line: The connection below.
        faults: What shall go wrong.
        times: Waiting times.
    """

    def __init__(
        self, line: DeviceLine, *, faults: SimulatorFaults | None = None, times: LinkTimes | None = None
    ) -> None:
        self.line = line
        self.faults = faults or SimulatorFaults()
        self.times = times or LinkTimes()
        self._inbox: deque[bytes] = deque()
        self._to_refuse = self.faults.refuse_first
        self._to_ignore = self.faults.ignore_first

    async def send(self, message: bytes) -> Sent:
        """Send a message, again and again if need be, until it is acknowledged or the attempts are used up."""
        copies = 2 if self.faults.duplicate else 1
        attempts, answer, raw = 0, "", b""
        while copies and attempts < MAX_ATTEMPTS:
            attempts += 1
            try:
                answer, raw = await self._attempt(message, is_first=attempts == 1)
            except OSError:
                await self.line.close()
                answer, raw = "connection lost", b""
            if self._is_settled(answer):
                copies -= 1
            else:
                await asyncio.sleep(self.times.retry)
        if self.faults.reconnect:
            await self.line.close()
        return Sent(attempts, answer, raw)

    async def receive(self, seconds: float) -> bytes | None:
        """Return the next message of the peer, acknowledged on the level of the link; None after `seconds` of silence.

        Raises:
            ConnectionError: The peer has closed.
        """
        while not self._inbox:
            try:
                data = await self.line.read(seconds)
            except ConnectionError:
                self._inbox.extend(self._rest())
                if not self._inbox:
                    raise
                break
            if data is None:
                return None
            await self._take(data)
        return self._inbox.popleft()

    async def reply(self, message: bytes) -> None:
        """Send a message that nobody acknowledges, such as an HL7 acknowledgement."""
        await self.send(message)

    def _is_settled(self, answer: str) -> bool:
        return answer == "ACK"

    def _rest(self) -> list[bytes]:
        """Return messages that were acknowledged and are still held back when the connection ends."""
        return []

    def _refuses(self) -> bool:
        """Count one refusal of the storm; False when it is over."""
        is_on = self._to_refuse > 0
        self._to_refuse -= is_on
        return is_on

    def _ignores(self) -> bool:
        """Count one opening that is left unanswered; False when the peer is heard again."""
        is_on = self._to_ignore > 0
        self._to_ignore -= is_on
        return is_on

    @abstractmethod
    async def _attempt(self, message: bytes, *, is_first: bool) -> tuple[str, bytes]:
        """Send once; return the answer and the message that carried it."""

    @abstractmethod
    async def _take(self, data: bytes) -> None:
        """Take bytes while nothing is being sent."""
