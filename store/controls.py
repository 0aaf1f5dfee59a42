"""Values measured on control material: kept once each, apart from every patient's."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.dialects.postgresql import insert
from sqlmodel.ext.asyncio.session import AsyncSession

from store.reading import ReadRow, rows_of
from store.tables.devices import ControlResult

_PAGE = text(
    "select c.id, c.message_id, c.control_name, c.specimen_id, c.device_code, coalesce(t.code, '') as test_code,"
    " c.value_text, c.number, c.unit, c.device_flags, c.observed_at from control_results c"
    " left join tests t on t.id = c.test_id where c.analyzer_id = :analyzer_id"
    " and (:code = '' or c.device_code = :code) and (cast(:before as uuid) is null or c.id < :before)"
    " order by c.id desc limit :limit"
)


class ControlRow(ReadRow):
    """A control value as listed."""

    id: UUID
    message_id: UUID
    control_name: str
    specimen_id: str
    device_code: str
    test_code: str
    value_text: str
    number: Decimal | None
    unit: str
    device_flags: list[str]
    observed_at: datetime


async def add_controls(session: AsyncSession, rows: Sequence[ControlResult]) -> None:
    """Store control values; one that is there already, by its key, is left as it is."""
    for row in rows:
        statement = insert(ControlResult).values(**row.model_dump())
        await session.execute(statement.on_conflict_do_nothing(index_elements=["dedupe_key"]))


async def control_page(
    session: AsyncSession, analyzer_id: UUID, *, code: str, before: UUID | None, limit: int
) -> list[ControlRow]:
    """Return control values of an analyzer, newest first, older than `before`."""
    return await rows_of(session, ControlRow, _PAGE, analyzer_id=analyzer_id, code=code, before=before, limit=limit)
