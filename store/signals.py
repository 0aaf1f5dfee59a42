"""What is to be made known to an order's workflow: kept until the dispatcher has told it."""

from __future__ import annotations

from uuid import UUID

from sqlalchemy import text
from sqlmodel.ext.asyncio.session import AsyncSession

_ADD = text(
    "insert into message_signals (message_id, order_id) values (:message_id, :order_id)"
    " on conflict (message_id, order_id) do update set delivered_at = null"
)


async def signal_order(session: AsyncSession, message_id: UUID, order_id: UUID) -> None:
    """Have an order's workflow look again, because of a message: its results came, or went out of force."""
    await session.execute(_ADD, {"message_id": message_id, "order_id": order_id})
