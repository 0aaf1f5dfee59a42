"""Reading with hand-written SQL: rows come back as frozen models, without the cost of the object mapper."""

from __future__ import annotations

from typing import TypeVar

from pydantic import BaseModel, ConfigDict
from sqlalchemy import TextClause
from sqlmodel.ext.asyncio.session import AsyncSession


class ReadRow(BaseModel):
    """Base of a row as a query returns it."""

    model_config = ConfigDict(frozen=True, extra="forbid")


RowT = TypeVar("RowT", bound=ReadRow)


async def rows_of(session: AsyncSession, model: type[RowT], query: TextClause, **facts: object) -> list[RowT]:
    """Return every row of a query as `model`; its columns are the model's fields."""
    result = await session.execute(query, facts)
    return [model.model_validate(dict(row)) for row in result.mappings()]


async def row_of(session: AsyncSession, model: type[RowT], query: TextClause, **facts: object) -> RowT | None:
    """Return the first row of a query as `model`, or None."""
    rows = await rows_of(session, model, query, **facts)
    return rows[0] if rows else None
