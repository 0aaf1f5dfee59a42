"""Gap-free number series. A number is taken under the row's lock and given back if the transaction rolls back."""

from __future__ import annotations

from sqlalchemy import text
from sqlmodel.ext.asyncio.session import AsyncSession

_NEXT = text(
    "insert into counters (series, value) values (:series, 1)"
    " on conflict (series) do update set value = counters.value + 1 returning value"
)


async def next_number(session: AsyncSession, series: str) -> int:
    """Return the next number of `series`, from 1. Other takers of the series wait for this transaction."""
    result = await session.execute(_NEXT, {"series": series})
    return int(result.scalar_one())
