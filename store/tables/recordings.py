"""Recordings of devices' lines: raw bytes in both directions. They hold patients and are forgotten after some days."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from sqlalchemy import BigInteger, UniqueConstraint
from sqlmodel import Field

from store.tables.base import Row, UtcDateTime


class LineRecording(Row, table=True):
    """One recording. It ends at `ends_at` by itself, whether or not anybody writes `ended_at`."""

    __tablename__ = "line_recordings"

    analyzer_id: UUID = Field(foreign_key="analyzers.id", index=True)
    asked_by: UUID = Field(foreign_key="users.id")
    ends_at: datetime = Field(sa_type=UtcDateTime)
    max_bytes: int
    started_at: datetime | None = Field(default=None, sa_type=UtcDateTime)
    """When a listener process began to hear."""
    ended_at: datetime | None = Field(default=None, sa_type=UtcDateTime)
    """When it ended before its time."""
    end_reason: str = ""
    """`stopped` or `size`; "" where its time was over, or it runs."""
    size_bytes: int = 0
    piece_count: int = 0
    left_out_bytes: int = Field(default=0, sa_type=BigInteger)
    """Heard, and not kept because the database was too slow."""


class LineRecordingPiece(Row, table=True):
    """Bytes that went over a line in one go. Never changed."""

    __tablename__ = "line_recording_pieces"
    __table_args__ = (UniqueConstraint("recording_id", "position"),)

    recording_id: UUID = Field(foreign_key="line_recordings.id")
    position: int
    at: datetime = Field(sa_type=UtcDateTime)
    is_sent: bool
    """By us, to the device."""
    peer: str
    connected_at: datetime = Field(sa_type=UtcDateTime)
    data: bytes
