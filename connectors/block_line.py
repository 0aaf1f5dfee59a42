"""Runs a `BlockLink` on a line: reads with its timers, stores what arrives, sends what the host has to say."""

from __future__ import annotations

import asyncio
import logging
from typing import Protocol

from connectors.blocks import NAK, Answered, Arrived, BlockLink, Broken, Event, Reply
from connectors.line import Line

_log = logging.getLogger(__name__)

REPEATS_ALARM = 3
"""So many repeats in a row mean that the device does not hear us."""


DESK_SECONDS = 8.0
"""Longest wait for the work on a tube: an answer that comes later meets a device that has given up."""


class Host(Protocol):
    """What a protocol does with the messages of its device."""

    def is_kept(self, message: bytes) -> bool:
        """Tell whether a message is stored."""
        ...

    def is_acknowledged(self, *, is_durable: bool) -> bool:
        """Tell whether a message is answered by ACK, else by NAK."""
        ...

    async def answers(self, message: bytes, *, is_durable: bool) -> bytes:
        """Return the framed block that is sent after the ACK of a message, or b""."""
        ...

    async def sent(self, *, is_accepted: bool) -> None:
        """Hear what became of the block sent last."""
        ...


async def play(line: Line, link: BlockLink, host: Host) -> None:
    """Carry out what the link says until the peer closes the connection."""
    player = _Player(line, link, host)
    deadline: float | None = None
    serial = -1
    loop = asyncio.get_running_loop()
    data: bytes | None = None
    while data != b"":
        timer = link.timers[0] if link.timers else None
        if timer is None:
            deadline = None
        elif timer.serial != serial or deadline is None:
            serial, deadline = timer.serial, loop.time() + timer.seconds
        left = None if deadline is None else max(deadline - loop.time(), 0.0)
        data = await line.read(left) if left is None or left > 0 else None
        await player.play(link.expire() if data is None else link.feed(data))
    await player.play(link.close(), is_open=False)


class _Player:
    def __init__(self, line: Line, link: BlockLink, host: Host) -> None:
        self._line = line
        self._link = link
        self._host = host
        self._was_durable = True
        self._is_alarmed = False

    async def play(self, events: list[Event], *, is_open: bool = True) -> None:
        """Carry out events; the ones that `settle` and `send` bring come after those already there."""
        pending = list(events)
        while pending:
            match pending.pop(0):
                case Reply(data):
                    self._line.state.refused += data == NAK
                    if is_open:
                        await self._line.write(data)
                case Arrived(message, is_repeat):
                    pending += await self._take(message, is_repeat=is_repeat)
                case Broken(raw, reason):
                    outcome = await self._line.keep(raw, reason)
                    pending += self._link.settle(is_durable=outcome.accepted)
                case Answered(is_accepted):
                    await self._host.sent(is_accepted=is_accepted)

    async def _take(self, message: bytes, *, is_repeat: bool) -> list[Event]:
        """Store, acknowledge, answer: in this order, so that the device does not wait for the answer's ACK."""
        is_durable = True
        if is_repeat and self._was_durable:
            self._count_repeats()
        elif self._host.is_kept(message):
            is_durable = (await self._line.keep(message)).accepted
            self._line.state.acknowledged += is_durable
        self._was_durable = is_durable
        if not self._host.is_acknowledged(is_durable=is_durable):
            return self._link.settle(is_durable=False)
        reply, *later = self._link.settle(is_durable=True)
        if isinstance(reply, Reply):
            await self._line.write(reply.data)
        block = await self._answer(message, is_durable=is_durable)
        return [*later, *(self._link.send(block) if block else [])]

    async def _answer(self, message: bytes, *, is_durable: bool) -> bytes:
        try:
            async with asyncio.timeout(DESK_SECONDS):
                return await self._host.answers(message, is_durable=is_durable)
        except TimeoutError:
            _log.warning("the work for %s was not found in time", self._line.state.peer)
            return b""

    def _count_repeats(self) -> None:
        self._line.state.repeated += 1
        if self._link.repeats >= REPEATS_ALARM and not self._is_alarmed:
            self._is_alarmed = True
            _log.error(
                "%s sends the same message again and again: our acknowledgements do not arrive, check the cable "
                "and whether the line is receive-only",
                self._line.state.peer,
            )
