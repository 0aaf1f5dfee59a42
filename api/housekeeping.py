"""Forgets stored answers that nobody will ask for again. Every API process does it; doing it twice is harmless."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta

from domain.clock import utc_now
from store.idempotency import forget_before
from store.session import Database, StoreUnavailableError

log = logging.getLogger("labsetu.api")

KEPT_FOR = timedelta(days=7)
"""A client repeats a request within minutes, or after a weekend; not later."""
EVERY = timedelta(hours=1)


@asynccontextmanager
async def keeping_house(database: Database, *, every: timedelta = EVERY) -> AsyncIterator[None]:
    """Forget old answers now and then while the block runs."""
    async with asyncio.TaskGroup() as tasks:
        keeper = tasks.create_task(_keep(database, every))
        try:
            yield
        finally:
            keeper.cancel()


async def _keep(database: Database, every: timedelta) -> None:
    while True:
        await asyncio.sleep(every.total_seconds())
        try:
            async with database.transaction(branches=()) as session:
                await forget_before(session, utc_now() - KEPT_FOR)
        except StoreUnavailableError:
            log.warning("old answers not forgotten: PostgreSQL is away")
