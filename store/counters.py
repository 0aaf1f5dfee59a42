"""Gap-free number series. A number is taken under the row's lock and given back if the transaction rolls back.

Take numbers late in a transaction, after everything that can be read or refused: whoever wants the next one of the
series waits for the commit.
"""

from __future__ import annotations

from collections.abc import Mapping

from sqlalchemy import text
from sqlmodel.ext.asyncio.session import AsyncSession

_TAKE = text(
    "insert into counters (series, value)"
    " select series, wanted from unnest(cast(:series as text[]), cast(:wanted as bigint[])) as taken (series, wanted)"
    " order by series"  # the same order everywhere: two takers of the same series never wait for each other
    " on conflict (series) do update set value = counters.value + excluded.value returning series, value"
)


async def next_numbers(session: AsyncSession, wanted: Mapping[str, int]) -> dict[str, range]:
    """Return the next numbers of each series, from 1. Other takers of these series wait for this transaction.

    Args:
        session: The transaction that uses the numbers; if it rolls back, they are taken by the next one.
        wanted: How many numbers, at least one, by series.
    """
    if not wanted:
        return {}
    rows = await session.execute(_TAKE, {"series": list(wanted), "wanted": list(wanted.values())})
    return {row.series: range(row.value - wanted[row.series] + 1, row.value + 1) for row in rows}


async def next_number(session: AsyncSession, series: str) -> int:
    """Return the next number of one series."""
    return (await next_numbers(session, {series: 1}))[series].start
