"""Images and histograms that came with results: a row when the message is read, bytes in object storage soon after."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.dialects.postgresql import insert
from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from store.tables.devices import InstrumentFile

_STORED = text("update instrument_files set bucket = :bucket, object_key = :key where id = :id and object_key = ''")


async def add_files(session: AsyncSession, rows: Sequence[InstrumentFile]) -> None:
    """Note the files of a message; those that are there already, by position, are left as they are."""
    for row in rows:
        statement = insert(InstrumentFile).values(**row.model_dump())
        await session.execute(statement.on_conflict_do_nothing(index_elements=["message_id", "position"]))


async def files_of(session: AsyncSession, message_id: UUID) -> list[InstrumentFile]:
    """Return the files of a message in its order."""
    query = select(InstrumentFile).where(InstrumentFile.message_id == message_id)
    return list((await session.exec(query.order_by(col(InstrumentFile.position)))).all())


async def missing_files(session: AsyncSession, *, leave_out: Sequence[UUID], limit: int) -> list[UUID]:
    """Return files that are not in object storage yet, oldest first."""
    query = select(InstrumentFile.id).where(
        InstrumentFile.object_key == "", InstrumentFile.bucket == "", col(InstrumentFile.id).not_in(list(leave_out))
    )
    return list((await session.exec(query.order_by(col(InstrumentFile.id)).limit(limit))).all())


async def mark_stored(session: AsyncSession, file_id: UUID, *, bucket: str, key: str) -> None:
    """Note where a file is; the first word stands."""
    await session.execute(_STORED, {"id": file_id, "bucket": bucket, "key": key})
