"""Records the lines of a device while staff asked for it: taps in memory, written to the database beside the lines.

A tap never waits. What the database does not take in time fills a bounded buffer; what finds no room there is left out
and counted, so that a recording with a gap says so. While nothing is recorded a line pays for one look at an attribute.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from sqlalchemy.exc import DBAPIError

from connectors.line import ConnectionState, TapPoint
from connectors.listener import Listener
from domain.clock import utc_now
from domain.ids import new_id
from domain.line_recordings import MAX_PIECES, LinePiece
from store import line_recordings
from store.line_recordings import ActiveRecording, NewPiece
from store.session import Database, StoreUnavailableError

logger = logging.getLogger(__name__)

LOOK_SECONDS: Final = 1.0
"""How often recordings are looked for and what was heard is written down."""
MAX_PENDING: Final = 256 * 1024
"""Bytes of one recording that wait for the database."""
_LAST_SECONDS: Final = 3.0
_TOGETHER: Final = timedelta(milliseconds=50)
"""Bytes that follow so closely are one piece: serial lines give them one by one."""
_LONGEST_PIECE: Final = 64 * 1024

CodeAt = Callable[[str, str, int], str]
"""Given protocol, peer and local port, returns the code of the device there, or ""."""


class TapPoints:
    """The points where taps are put, one per device; that of "" is of connections from nobody known."""

    def __init__(self) -> None:
        self._points: dict[str, TapPoint] = {"": TapPoint()}

    def of(self, code: str) -> TapPoint:
        """Return the point of a device."""
        return self._points.setdefault(code, TapPoint())


@dataclass
class _Heard:
    """A piece that may still grow."""

    connection: ConnectionState
    is_sent: bool
    at: datetime
    latest: datetime
    data: bytearray = field(repr=False)

    def continues_with(self, connection: ConnectionState, size: int, now: datetime, *, is_sent: bool) -> bool:
        return (
            self.connection is connection
            and self.is_sent is is_sent
            and now - self.latest <= _TOGETHER
            and len(self.data) + size <= _LONGEST_PIECE
        )

    def piece(self) -> NewPiece:
        state = self.connection
        return NewPiece(new_id(), LinePiece(self.at, self.is_sent, bytes(self.data), state.peer, state.since))


class Tape:
    """What was heard on the lines of one device and is not yet written down."""

    def __init__(self, ends_at: datetime, *, most: int = MAX_PENDING) -> None:
        """Begin.

        Args:
            ends_at: Nothing is heard from then on.
            most: Bytes that may wait.
        """
        self._ends_at = ends_at
        self._most = most
        self._heard: list[_Heard] = []
        self._given_back: list[NewPiece] = []
        self._size = 0
        self._left_out = 0

    def keep(self, connection: ConnectionState, data: bytes, *, is_sent: bool) -> None:
        """Take bytes; where there is no room for all of them, none, and they are counted."""
        now = utc_now()
        if not data or now >= self._ends_at:
            return
        if self._size + len(data) > self._most:
            self._left_out += len(data)
            return
        last = self._heard[-1] if self._heard else None
        if last is not None and last.continues_with(connection, len(data), now, is_sent=is_sent):
            last.data += data
            last.latest = now
        elif len(self._heard) < MAX_PIECES:
            self._heard.append(_Heard(connection, is_sent, now, now, bytearray(data)))
        else:
            self._left_out += len(data)
            return
        self._size += len(data)

    def take(self) -> tuple[list[NewPiece], int]:
        """Give what waits, and how many bytes were left out since the last time; nothing waits any more."""
        found = [*self._given_back, *(heard.piece() for heard in self._heard)]
        left_out = self._left_out
        self._given_back, self._heard, self._size, self._left_out = [], [], 0, 0
        return found, left_out

    def give_back(self, pieces: Sequence[NewPiece], left_out: int) -> None:
        """Let pieces wait again that could not be written; they count against the room for new ones."""
        self._given_back = list(pieces)
        self._size += sum(len(one.piece.data) for one in pieces)
        self._left_out += left_out


@dataclass
class _Running:
    recording: ActiveRecording
    tape: Tape


class Recorder:
    """Puts taps on the lines of devices that are to be recorded, and writes down what they hear."""

    def __init__(self, database: Database, points: TapPoints, shared: Sequence[Listener], code_at: CodeAt) -> None:
        """Prepare; nothing is recorded before `look`.

        Args:
            database: Where recordings are asked for and kept.
            points: Of all devices of this process.
            shared: Listeners whose connections are told apart by their address.
            code_at: Which device is at an address.
        """
        self._database = database
        self._points = points
        self._shared = shared
        self._code_at = code_at
        self._running: dict[UUID, _Running] = {}

    async def run(self) -> None:
        """Look again and again until cancelled; then write down what waits."""
        try:
            while True:
                try:
                    await self.look()
                except (StoreUnavailableError, DBAPIError) as error:
                    # e.g. a schema that is not migrated yet: the lines must go on
                    logger.warning("recordings of lines are not written down: %s", type(error).__name__)
                await asyncio.sleep(LOOK_SECONDS)
        finally:
            await self._finish()

    async def look(self) -> None:
        """Start what was asked for, end what has ended, write down what was heard.

        Raises:
            StoreUnavailableError: The database is away; what was heard waits.
        """
        async with self._database.transaction() as session:
            wanted = {row.id: row for row in await line_recordings.active(session, utc_now())}
        for key in wanted.keys() - self._running.keys():
            await self._begin(wanted[key])
        if self._running:
            self._point_shared()
        for key, running in list(self._running.items()):
            if key not in wanted:
                self._detach(running)
            is_open = await self._write(running)
            if key not in wanted or not is_open:
                self._detach(running)
                del self._running[key]
                logger.info("recording of %s has ended", running.recording.code)

    async def _begin(self, recording: ActiveRecording) -> None:
        async with self._database.transaction() as session:
            await line_recordings.mark_started(session, recording.id, utc_now())
        running = self._running[recording.id] = _Running(recording, Tape(recording.ends_at))
        self._points.of(recording.code).tap = running.tape
        logger.info("recording of %s has begun", recording.code)

    def _detach(self, running: _Running) -> None:
        point = self._points.of(running.recording.code)
        if point.tap is running.tape:
            point.tap = None

    def _point_shared(self) -> None:
        """Connections that were open before their device was entered, or moved, belong to it now."""
        for listener in self._shared:
            for state in listener.connections():
                state.tap_point = self._points.of(self._code_at(listener.protocol, state.peer, state.local_port))

    async def _write(self, running: _Running) -> bool:
        """Write down what waits; False when the recording takes nothing more."""
        pieces, left_out = running.tape.take()
        if not pieces and not left_out:
            return True
        try:
            async with self._database.transaction() as session:
                return await line_recordings.append(session, running.recording.id, pieces, left_out, utc_now())
        except StoreUnavailableError:
            running.tape.give_back(pieces, left_out)
            raise
        except DBAPIError:  # refused for good: said as left out where the next piece is taken
            running.tape.give_back([], left_out + sum(len(one.piece.data) for one in pieces))
            raise

    async def _finish(self) -> None:
        try:
            async with asyncio.timeout(_LAST_SECONDS):
                for running in self._running.values():
                    self._detach(running)
                    await self._write(running)
        except (StoreUnavailableError, DBAPIError, TimeoutError):
            logger.warning("the last seconds of recordings are not written down")
