"""Group commit: what arrives while one group is being committed makes up the next one.

Alone, a message is written at once; under load the cost of a commit is shared. Nobody is told that a message is kept
before its own commit has returned. When the outcome of a commit is not known, the device is asked to send again, and
the reader recognises what it had stored before by its bytes.

There is no task that writes: whoever comes while a writer is free writes the group, and then hands the writer to the
first of those who came meanwhile.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

import asyncpg

from store.intake import MessageWriter, RawMessage
from store.session import Database, StoreUnavailableError

logger = logging.getLogger(__name__)

WRITERS = 2
"""Commits under way at the same time: while one waits for the disk, the other's rows are sent."""
MOST_MESSAGES = 64
MOST_BYTES = 4 << 20
"""Bounds of one group; a longer message makes a group of its own."""
MOST_WAITING_BYTES = 64 << 20
"""What may wait in memory; beyond it devices are told to send again."""


@dataclass(frozen=True, eq=False)
class _Waiting:
    """A message and its turn: a writer to write with, None when somebody else wrote it, or why it was not written."""

    message: RawMessage
    turn: asyncio.Future[MessageWriter | None]


class Intake:
    """Keeps messages of all connections of one process.

    Attributes:
        groups: Commits so far.
        kept: Messages they held.
    """

    def __init__(self, database: Database, *, writers: int = WRITERS) -> None:
        self._writers = [MessageWriter(database) for _ in range(writers)]
        self._free = list(self._writers)
        self._queue: deque[_Waiting] = deque()
        self._bytes = 0
        self.groups = 0
        self.kept = 0

    async def keep(self, message: RawMessage) -> None:
        """Return when the message is on disk.

        Raises:
            StoreUnavailableError: It is not, or that is not known, or too much waits already: send again.
        """
        if self._queue and self._bytes + len(message.raw) > MOST_WAITING_BYTES:
            raise StoreUnavailableError("too many messages wait to be stored")
        own = _Waiting(message, asyncio.get_running_loop().create_future())
        writer: MessageWriter | None
        if self._free:
            writer = self._free.pop()
        else:
            self._queue.append(own)
            self._bytes += len(message.raw)
            writer = await self._turn_of(own)
        if writer is None:
            return
        try:
            await self._write(writer, self._group_of(own), own)
        finally:
            self._hand_on(writer)

    async def close(self) -> None:
        """Give the connections back; call it when nobody sends any more."""
        for writer in self._writers:
            await writer.close()

    async def _turn_of(self, own: _Waiting) -> MessageWriter | None:
        try:
            return await own.turn
        except asyncio.CancelledError:
            if not own.turn.cancelled() and own.turn.exception() is None and (writer := own.turn.result()):
                self._hand_on(writer)  # it was our turn just now: somebody else's, then
            raise

    def _hand_on(self, writer: MessageWriter) -> None:
        while self._queue:
            first = self._drop()
            if not first.turn.done():  # else nobody waits for it any more: the device will send it again
                first.turn.set_result(writer)
                return
        self._free.append(writer)

    def _drop(self) -> _Waiting:
        waiting = self._queue.popleft()
        self._bytes -= len(waiting.message.raw)
        return waiting

    def _group_of(self, own: _Waiting) -> list[_Waiting]:
        """Return the writer's own message and what else waits, within bounds."""
        group = [own]
        size = len(own.message.raw)
        while self._queue and len(group) < MOST_MESSAGES:
            size += len(self._queue[0].message.raw)
            if size > MOST_BYTES:
                break
            waiting = self._drop()
            if not waiting.turn.done():
                group.append(waiting)
        return group

    async def _write(self, writer: MessageWriter, group: Sequence[_Waiting], own: _Waiting) -> None:
        """Write a group and tell everybody in it.

        Raises:
            StoreUnavailableError: `own` was not stored, or that is not known.
        """
        failed = list(group)
        try:
            failed = await self._written(writer, group)
        finally:  # whatever went wrong, everybody in the group hears of it
            for waiting in group:
                if waiting is not own and not waiting.turn.done():
                    if waiting in failed:
                        waiting.turn.set_exception(StoreUnavailableError("the message was not stored"))
                    else:
                        waiting.turn.set_result(None)
        if own in failed:
            raise StoreUnavailableError("the message was not stored")

    async def _written(self, writer: MessageWriter, group: Sequence[_Waiting]) -> list[_Waiting]:
        """Write a group, one by one if PostgreSQL refuses one of them; return those that it refuses."""
        try:
            await writer.write([waiting.message for waiting in group])
        except asyncpg.PostgresError as error:
            if len(group) == 1:
                logger.warning("PostgreSQL refuses a message: %s", type(error).__name__)
                return list(group)
            return [waiting for one in group for waiting in await self._written(writer, [one])]
        self.groups += 1
        self.kept += len(group)
        return []
