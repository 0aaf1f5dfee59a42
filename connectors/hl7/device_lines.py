"""The open lines of one device, for devices that take their work over a line of its own.

Such a device has two connections: it speaks on one (queries, results), and is given work on the other. Where we open
the one for work ourselves it is known from the start; else it is known once the device has spoken: the newest of its
lines on which it has not. Answers to its queries wait here until that line takes them.

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


class Place:
    """One line among those of its device.

    Attributes:
        is_opened_for_work: We opened it to give the device its work.
        has_spoken: The device has sent a message of its own on it.
    """

    def __init__(self, *, is_opened_for_work: bool) -> None:
        self.is_opened_for_work = is_opened_for_work
        self.has_spoken = False
        self._may_send = asyncio.Event()
        self._must_not = asyncio.Event()
        self.allow(is_allowed=is_opened_for_work)

    @property
    def is_for_work(self) -> bool:
        """True while work goes over this line."""
        return self._may_send.is_set()

    def allow(self, *, is_allowed: bool) -> None:
        """Say whether work goes over this line from now on."""
        yes, no = (self._may_send, self._must_not) if is_allowed else (self._must_not, self._may_send)
        yes.set()
        no.clear()

    async def until_for_work(self) -> None:
        """Wait until work goes over this line."""
        await self._may_send.wait()

    async def until_not_for_work(self) -> None:
        """Wait until it does not."""
        await self._must_not.wait()


class DeviceLines:
    """What the lines of one device share."""

    def __init__(self) -> None:
        self._places: list[Place] = []
        self._waiting: asyncio.Queue[tuple[float, Outgoing]] = asyncio.Queue(MOST_WAITING)
        self.header: Segment | None = None
        """MSH of the last message the device sent, whose words ours use."""

    def join(self, *, is_opened_for_work: bool = False) -> Place:
        """Add a line that has just been opened; it takes the work where no other one does."""
        place = Place(is_opened_for_work=is_opened_for_work)
        self._places.append(place)
        if not any(each.is_for_work for each in self._places):
            self._choose()
        return place

    def leave(self, place: Place) -> None:
        """Remove a line that is closed."""
        self._places.remove(place)
        if place.is_for_work:
            place.allow(is_allowed=False)
            self._choose()

    def hear(self, place: Place, header: Segment | None) -> None:
        """Note that the device has spoken on one of its lines.

        A line that was opened meanwhile takes the work then: the one before it may be dead without our knowing.
        """
        place.has_spoken = True
        self.header = header or self.header
        self._choose()

    def _choose(self) -> None:
        """Let work go over the lines opened for it, else over the newest one on which the device has not spoken."""
        chosen = [each for each in self._places if each.is_opened_for_work]
        if not chosen and any(each.has_spoken for each in self._places):
            chosen = [each for each in self._places if not each.has_spoken][-1:]
        for each in self._places:
            each.allow(is_allowed=each in chosen)

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
