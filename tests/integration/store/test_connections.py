"""A pooled connection is used without asking the server, unless it idled for long or is known to be gone."""

import asyncio

import asyncpg
import pytest
from sqlalchemy import text

from store import connections
from store.session import Database


async def backend_of(database: Database) -> int:
    async with database.transaction() as session:
        return (await session.execute(text("select pg_backend_pid()"))).scalar_one()


@pytest.fixture
def pings(database: Database, monkeypatch) -> list[object]:
    """What was asked whether the server hears it."""
    dialect, asked = database.engine.sync_engine.dialect, []
    ask = dialect.do_ping

    def noted(connection: object) -> bool:
        asked.append(connection)
        return ask(connection)

    monkeypatch.setattr(dialect, "do_ping", noted)
    return asked


async def test_only_a_connection_that_idled_is_asked(database: Database, pings: list[object], monkeypatch):
    number = await backend_of(database)
    assert (await backend_of(database), len(pings)) == (number, 0)
    monkeypatch.setattr(connections, "IDLE_S", -1.0)
    assert (await backend_of(database), len(pings)) == (number, 1)


@pytest.mark.parametrize("idle_s", [-1.0, 15.0])
async def test_a_connection_that_the_server_closed_is_replaced(
    database: Database, superuser: asyncpg.Connection, monkeypatch, idle_s: float
):
    monkeypatch.setattr(connections, "IDLE_S", idle_s)
    number = await backend_of(database)
    await superuser.fetchval("select pg_terminate_backend($1, 5000)", number)
    await asyncio.sleep(0.1)
    assert await backend_of(database) != number


async def test_a_connection_that_was_lost_silently_is_replaced(
    database: Database, superuser: asyncpg.Connection, monkeypatch
):
    monkeypatch.setattr(connections, "IDLE_S", -1.0)
    number = await backend_of(database)
    await superuser.fetchval("select pg_terminate_backend($1)", number)
    # no time for the event loop to hear of it: only asking tells
    assert await backend_of(database) != number
