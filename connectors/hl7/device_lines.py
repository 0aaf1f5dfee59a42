"""The open lines of one device, for devices that take their work over a line of its own.

Such a device has two connections: it speaks on one (queries, results), and is given work on the other. Which is which
is known once it has spoken: every other line of the same address is for work. Answers to its queries wait here until
that line takes them.

Source: IHE LAW, message transport (two MLLP connections), read in specs.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict

from connectors.hl7.codec import Segment
from connectors.hl7.replies import Outgoing

_MOST_DEVICES = 1024
MOST_WAITING = 2000
"""Messages with work that wait for one device; a query beyond is told to try again."""


class DeviceLines:
    """What the lines of one device share."""

    def __init__(self) -> None:
        self._spoken = asyncio.Event()
        self._waiting: asyncio.Queue[tuple[float, Outgoing]] = asyncio.Queue(MOST_WAITING)
        self.header: Segment | None = None
        """MSH of the last message the device sent, whose words ours use."""

    def hear(self, header: Segment | None) -> None:
        """Note that the device has spoken on one of its lines."""
        self._spoken.set()
        self.header = header or self.header

    async def until_it_speaks(self) -> None:
        """Wait for the first message of the device on any line."""
        await self._spoken.wait()

    def has_room_for(self, messages: int) -> bool:
        """Tell whether so many messages can wait."""
        return self._waiting.qsize() + messages <= MOST_WAITING

    def queue(self, messages: tuple[Outgoing, ...], seconds: float) -> None:
        """Let messages wait to be sent, each at most `seconds` longer than the one before; what has no room is lost."""
        now = asyncio.get_running_loop().time()
        room = MOST_WAITING - self._waiting.qsize()
        for position, message in enumerate(messages[:room], start=self._waiting.qsize() + 1):
            self._waiting.put_nowait((now + seconds * position, message))

    async def next(self) -> Outgoing:
        """Wait for a message whose time is not over, and return it."""
        while True:
            ends_at, message = await self._waiting.get()
            if asyncio.get_running_loop().time() < ends_at:
                return message

    def forget(self) -> None:
        """Drop what waits: the device took its query back."""
        while not self._waiting.empty():
            self._waiting.get_nowait()


class LineRegistry:
    """Finds the other lines of the device at a peer. One per listener; devices are told apart by their address."""

    def __init__(self) -> None:
        self._devices: OrderedDict[str, DeviceLines] = OrderedDict()

    def of(self, peer: str) -> DeviceLines:
        """Return what the lines of the device at `peer` (`ip:port`) share."""
        address = peer.rpartition(":")[0] or peer
        lines = self._devices.setdefault(address, DeviceLines())
        self._devices.move_to_end(address)
        while len(self._devices) > _MOST_DEVICES:
            self._devices.popitem(last=False)
        return lines
