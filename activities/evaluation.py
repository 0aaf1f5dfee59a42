"""What follows by rule when results of an order changed: one step after the other, in the transaction of the change.

Each step looks at the order as it stands and may be repeated: it does what is still to be done and nothing twice.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final, TypeAlias

from sqlmodel.ext.asyncio.session import AsyncSession

from domain.enums import OrderStage
from store.progress import OrderFacts

Step: TypeAlias = Callable[[AsyncSession, OrderFacts], Awaitable[None]]

STEPS: Final[tuple[Step, ...]] = ()
"""In their order: what is calculated from results, what is added by reflex, what may be released without a person."""

_OVER = frozenset({OrderStage.REPORTED, OrderStage.CLOSED, OrderStage.CANCELLED})


async def evaluate(session: AsyncSession, facts: OrderFacts) -> None:
    """Do what follows from an order's results; the caller holds the order's lock."""
    if facts.order.stage in _OVER or facts.order.cancel_reason:
        return
    for step in STEPS:
        await step(session, facts)
