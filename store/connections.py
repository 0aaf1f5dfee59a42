"""Pooled connections are looked at before use, without asking the server each time.

SQLAlchemy's own `pool_pre_ping` costs asyncpg three round trips for each transaction, about a third of all of them. A
server that goes away closes its sockets, and the event loop notices that by itself; only a connection that was idle for
long may have been lost silently on the way, so that one is asked.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from sqlalchemy import event
from sqlalchemy.exc import DBAPIError, DisconnectionError
from sqlalchemy.ext.asyncio import AsyncEngine

if TYPE_CHECKING:
    from sqlalchemy.pool import ConnectionPoolEntry, PoolProxiedConnection

IDLE_S = 15.0
"""From this idle time on a connection is asked whether the server still hears it."""

_SINCE = "idle_since"


def look_before_use(engine: AsyncEngine) -> None:
    """Have the pool of `engine` replace connections that are gone."""
    pool, dialect = engine.sync_engine.pool, engine.sync_engine.dialect

    def put_back(_connection: Any, entry: ConnectionPoolEntry) -> None:
        entry.info[_SINCE] = time.monotonic()

    def take_out(connection: Any, entry: ConnectionPoolEntry, _proxy: PoolProxiedConnection) -> None:
        if connection.driver_connection.is_closed():
            raise DisconnectionError("the server has closed it")
        idle = time.monotonic() - entry.info.get(_SINCE, time.monotonic())
        if idle < IDLE_S:
            return
        try:
            dialect.do_ping(connection)
        except (DBAPIError, dialect.loaded_dbapi.Error) as error:
            raise DisconnectionError("the server does not answer on it") from error

    event.listen(pool, "checkin", put_back)
    event.listen(pool, "checkout", take_out)
