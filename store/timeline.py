"""The timeline of an order: every event of every workflow and person, in commit order."""

from __future__ import annotations

from collections.abc import Mapping
from uuid import UUID

from sqlalchemy import text
from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from domain.clock import utc_now
from store.tables.orders import OrderEvent

_NEXT = text("update orders set event_seq = event_seq + 1 where id = :order_id returning event_seq")

EventDetail = Mapping[str, str | int | bool | list[str] | None]


async def add_event(
    session: AsyncSession,
    order_id: UUID,
    *,
    source: str,
    kind: str,
    actor: str = "",
    detail: EventDetail | None = None,
) -> int:
    """Append one event and return its number. Locks the order's row until the commit.

    Args:
        session: The transaction in which it happened.
        order_id: Row id of the order.
        source: Workflow type, or `staff`, `analyzer`, `partner`.
        kind: Fact in the past tense, e.g. `sample_received`.
        actor: Username, analyzer code or connector name.
        detail: Ids, codes and amounts only: the timeline is shown to every role.
    """
    seq = int((await session.execute(_NEXT, {"order_id": order_id})).scalar_one())
    session.add(
        OrderEvent(
            order_id=order_id, seq=seq, at=utc_now(), source=source, kind=kind, actor=actor, detail=dict(detail or {})
        )
    )
    return seq


async def events_of(session: AsyncSession, order_id: UUID, *, after: int = 0, limit: int = 200) -> list[OrderEvent]:
    """Return events with a number above `after`, oldest first."""
    query = (
        select(OrderEvent)
        .where(OrderEvent.order_id == order_id, col(OrderEvent.seq) > after)
        .order_by(col(OrderEvent.seq))
        .limit(limit)
    )
    return list((await session.exec(query)).all())


async def has_event(session: AsyncSession, order_id: UUID, kind: str) -> bool:
    """Tell whether the timeline has an event of this kind."""
    query = select(OrderEvent.seq).where(OrderEvent.order_id == order_id, OrderEvent.kind == kind).limit(1)
    return (await session.exec(query)).one_or_none() is not None
