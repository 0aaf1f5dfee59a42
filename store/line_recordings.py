"""Recordings of devices' lines: asked for by staff, filled by the listener, read by clinical roles, forgotten."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from pydantic import Field
from sqlalchemy import text
from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from domain.clock import utc_now
from domain.errors import ConflictError, NotFoundError
from domain.line_recordings import MAX_PIECES, LinePiece
from store.reading import ReadRow, row_of, rows_of
from store.tables.recordings import LineRecording
from store.tables.results import Analyzer

LATE: Final = timedelta(seconds=60)
"""So long after its end a recording still takes what was heard before it."""

_ACTIVE = text(
    "select r.id, a.code, r.ends_at from line_recordings r join analyzers a on a.id = r.analyzer_id"
    " where r.ended_at is null and r.ends_at > :now order by r.id"
)
_STARTED = text("update line_recordings set started_at = :now where id = :id and started_at is null")
_COLUMNS = (
    "select r.id, r.created_at, r.ends_at, r.max_bytes, r.started_at, r.ended_at, r.end_reason, r.size_bytes,"
    " r.piece_count, r.left_out_bytes, u.username as asked_by from line_recordings r join users u on u.id = r.asked_by"
)
_OF_DEVICE = text(f"{_COLUMNS} where r.analyzer_id = :analyzer_id order by r.id desc limit :limit")
_ONE = text(f"{_COLUMNS} where r.analyzer_id = :analyzer_id and r.id = :id")
_DEVICE_OF = text(
    "select a.code, a.branch_id, r.left_out_bytes from line_recordings r join analyzers a on a.id = r.analyzer_id"
    " where r.id = :id and a.branch_id = any(cast(:branches as uuid[]))"
)
_INSERT = text(  # the id is the listener's: what is sent again after a lost answer is not kept twice
    "insert into line_recording_pieces (id, created_at, recording_id, position, at, is_sent, peer, connected_at, data)"
    " select n.id, :now, :recording_id, :first + n.place - 1, n.at, n.is_sent, n.peer, n.connected_at, n.data"
    " from unnest(cast(:ids as uuid[]), cast(:ats as timestamptz[]), cast(:sent as boolean[]), cast(:peers as text[]),"
    " cast(:connected as timestamptz[]), cast(:data as bytea[])) with ordinality"
    " as n(id, at, is_sent, peer, connected_at, data, place)"
    " where not exists (select from line_recording_pieces p where p.id = n.id) returning octet_length(data) as size"
)
_PIECES = text(
    "select at, is_sent, data, peer, connected_at from line_recording_pieces where recording_id = :id"
    " order by connected_at, peer, position"
)
_FORGET = text("select id, piece_count, size_bytes from forget_line_recordings(cast(:before as timestamptz), :most)")


@dataclass(frozen=True)
class NewPiece:
    """A piece with the id under which it is stored, however often it is tried."""

    id: UUID
    piece: LinePiece


class ActiveRecording(ReadRow):
    """A recording that a listener fills."""

    id: UUID
    code: str
    ends_at: datetime


class RecordingRow(ReadRow):
    """A recording as listed."""

    id: UUID
    created_at: datetime
    asked_by: str
    ends_at: datetime
    max_bytes: int
    started_at: datetime | None
    ended_at: datetime | None
    end_reason: str
    size_bytes: int
    piece_count: int
    left_out_bytes: int

    def is_ended(self, now: datetime) -> bool:
        """Tell whether nothing more is heard."""
        return self.ended_at is not None or now >= self.ends_at


class RecordedDevice(ReadRow):
    """Whose lines a recording is of, and what is missing in it."""

    code: str
    branch_id: UUID
    left_out_bytes: int


class ForgottenRecording(ReadRow):
    """What remains of a recording that was deleted."""

    id: UUID
    piece_count: int
    size_bytes: int


class _Piece(ReadRow):
    at: datetime
    is_sent: bool
    data: bytes = Field(repr=False)
    peer: str
    connected_at: datetime


async def start(
    session: AsyncSession, analyzer_id: UUID, *, user_id: UUID, lasts: timedelta, max_bytes: int
) -> LineRecording:
    """Ask for a recording; a listener begins within seconds.

    Raises:
        ConflictError: The device is recorded already.
    """
    # two requests at once: the second waits here and then sees the first one's recording
    await session.exec(select(Analyzer.id).where(Analyzer.id == analyzer_id).with_for_update())
    now = utc_now()
    running = select(LineRecording.id).where(
        LineRecording.analyzer_id == analyzer_id, col(LineRecording.ended_at).is_(None), LineRecording.ends_at > now
    )
    if (await session.exec(running)).first() is not None:
        raise ConflictError(
            "the lines of this device are being recorded already", code="RECORDING_RUNNING",
            action="Wait for that recording to end, or stop it.",
        )  # fmt: skip
    row = LineRecording(analyzer_id=analyzer_id, asked_by=user_id, ends_at=now + lasts, max_bytes=max_bytes)
    session.add(row)
    await session.flush()
    return row


async def active(session: AsyncSession, now: datetime) -> list[ActiveRecording]:
    """Return the recordings that have not ended, oldest first."""
    return await rows_of(session, ActiveRecording, _ACTIVE, now=now)


async def mark_started(session: AsyncSession, recording_id: UUID, now: datetime) -> None:
    """Write down that a listener hears; the first one counts."""
    await session.execute(_STARTED, {"id": recording_id, "now": now})


async def append(
    session: AsyncSession, recording_id: UUID, pieces: Sequence[NewPiece], left_out: int, now: datetime
) -> bool:
    """Keep pieces that were heard while the recording ran, up to its bounds; it ends where they are reached.

    Args:
        session: The transaction.
        recording_id: Of the recording.
        pieces: In the order in which they were heard.
        left_out: Bytes heard that are not among them.
        now: Aware.

    Returns:
        Whether it takes more.
    """
    query = select(LineRecording).where(LineRecording.id == recording_id).with_for_update()
    row = (await session.exec(query)).one_or_none()
    end = min(row.ended_at or row.ends_at, row.ends_at) if row else now
    if row is None or row.end_reason == "size" or now >= end + LATE:
        return False
    fitting = _fitting([one for one in pieces if one.piece.at <= end], row)
    sizes = await _insert(session, row, fitting, now)
    row.size_bytes += sum(sizes)
    row.piece_count += len(sizes)
    row.left_out_bytes += left_out
    if row.size_bytes >= row.max_bytes or row.piece_count >= MAX_PIECES:
        row.ended_at, row.end_reason = min(now, end), "size"
    session.add(row)
    await session.flush()
    return row.ended_at is None


def _fitting(pieces: Sequence[NewPiece], row: LineRecording) -> list[NewPiece]:
    """Return the pieces up to the bounds of a recording; the last one may be cut."""
    found: list[NewPiece] = []
    room = row.max_bytes - row.size_bytes
    for one in pieces[: max(MAX_PIECES - row.piece_count, 0)]:
        if room <= 0:
            break
        old = one.piece
        piece = LinePiece(old.at, old.is_sent, old.data[:room], old.peer, old.connected_at)
        found.append(NewPiece(one.id, piece))
        room -= len(piece.data)
    return found


async def _insert(session: AsyncSession, row: LineRecording, pieces: Sequence[NewPiece], now: datetime) -> list[int]:
    facts = {
        "now": now, "recording_id": row.id, "first": row.piece_count, "ids": [one.id for one in pieces],
        "ats": [one.piece.at for one in pieces], "sent": [one.piece.is_sent for one in pieces],
        "peers": [one.piece.peer for one in pieces], "connected": [one.piece.connected_at for one in pieces],
        "data": [one.piece.data for one in pieces],
    }  # fmt: skip
    return list((await session.execute(_INSERT, facts)).scalars()) if pieces else []


async def stop(session: AsyncSession, analyzer_id: UUID, recording_id: UUID, now: datetime) -> bool:
    """End a recording; False where it has ended already.

    Raises:
        NotFoundError: The device has no such recording.
    """
    query = select(LineRecording).where(LineRecording.id == recording_id, LineRecording.analyzer_id == analyzer_id)
    row = (await session.exec(query.with_for_update())).one_or_none()
    if row is None:
        raise _unknown()
    if row.ended_at is not None or now >= row.ends_at:
        return False
    row.ended_at, row.end_reason = now, "stopped"
    session.add(row)
    await session.flush()
    return True


async def recordings_of(session: AsyncSession, analyzer_id: UUID, *, limit: int) -> list[RecordingRow]:
    """Return the recordings of a device, newest first."""
    return await rows_of(session, RecordingRow, _OF_DEVICE, analyzer_id=analyzer_id, limit=limit)


async def recording_of(session: AsyncSession, analyzer_id: UUID, recording_id: UUID) -> RecordingRow:
    """Return one recording of a device.

    Raises:
        NotFoundError: The device has no such recording.
    """
    found = await row_of(session, RecordingRow, _ONE, analyzer_id=analyzer_id, id=recording_id)
    if found is None:
        raise _unknown()
    return found


async def device_of(session: AsyncSession, recording_id: UUID, branches: Sequence[UUID]) -> RecordedDevice:
    """Return the device of a recording, where it is one of the branches.

    Raises:
        NotFoundError: There is no such recording there.
    """
    found = await row_of(session, RecordedDevice, _DEVICE_OF, id=recording_id, branches=list(branches))
    if found is None:
        raise _unknown()
    return found


async def pieces_of(session: AsyncSession, recording_id: UUID) -> list[LinePiece]:
    """Return what was heard, connection by connection, each in order."""
    return [LinePiece(**dict(row)) for row in await rows_of(session, _Piece, _PIECES, id=recording_id)]


async def forget_before(session: AsyncSession, before: datetime, most: int) -> list[ForgottenRecording]:
    """Delete recordings that ended before a time, with their bytes, and return what they were.

    Args:
        session: The transaction.
        before: Aware, at least 12 hours ago.
        most: At most so many.
    """
    return sorted(await rows_of(session, ForgottenRecording, _FORGET, before=before, most=most), key=lambda row: row.id)


def _unknown() -> NotFoundError:
    return NotFoundError("the device has no such recording", code="RECORDING_UNKNOWN")
