"""Numbers for the metrics page, counted in the database when it is asked for."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import text
from sqlmodel.ext.asyncio.session import AsyncSession

from store.reading import ReadRow, rows_of

_STAGES = text("select stage as label, count(*) as value from orders where stage not in ('closed') group by stage")
_ATTENTION = text(
    "select split_part(reason, ':', 1) as label, count(*) as value from orders, unnest(attention) as reason group by 1"
)
_WAITING = text(
    "select state as label, count(*) as value from instrument_messages"
    " where state in ('received', 'unmatched', 'partial', 'unreadable') group by state"
)
_LAG = text(
    "select 'instruments' as label, coalesce(extract(epoch from now() - min(received_at)), 0)::int as value"
    "   from instrument_messages where state = 'received'"
    " union all select 'partners', coalesce(extract(epoch from now() - min(received_at)), 0)::int"
    "   from partner_events where state = 'received'"
    " union all select 'commands', coalesce(extract(epoch from now() - min(created_at)), 0)::int"
    "   from commands where state = 'accepted'"
    " union all select 'orders', coalesce(extract(epoch from now() - min(created_at)), 0)::int"
    "   from orders where workflow_started_at is null"
)


class _Number(ReadRow):
    label: str
    value: int


@dataclass(frozen=True)
class Gauges:
    """What is going on in the lab, by label; lags in seconds."""

    stages: dict[str, int]
    attention: dict[str, int]
    waiting: dict[str, int]
    lag_s: dict[str, int]


async def gauges(session: AsyncSession) -> Gauges:
    """Count."""
    counted = [
        {row.label: row.value for row in await rows_of(session, _Number, query)}
        for query in (_STAGES, _ATTENTION, _WAITING, _LAG)
    ]
    return Gauges(*counted)
