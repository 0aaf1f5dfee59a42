"""Writing raw instrument messages, many in one statement.

Each statement is a transaction of its own: when it returns, its rows are on disk. It goes straight to the driver,
because the acknowledgement of an analyzer waits for it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

import asyncpg
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.ext.asyncio import AsyncConnection

from domain.ids import new_id
from store.session import Database, StoreUnavailableError, is_retryable

WRITE = (
    "insert into instrument_messages (id, created_at, analyzer_id, protocol, transport, peer, raw, sha256,"
    " received_at, framing_error, state, reason, control_id, specimen_ids, readings)"
    " select id, at, analyzer_id, protocol, transport, peer, raw, sha256, at, framing_error, 'received', '', '',"
    " '{}', 0"
    " from unnest($1::uuid[], $2::timestamptz[], $3::uuid[], $4::text[], $5::text[], $6::text[], $7::bytea[],"
    " $8::text[], $9::text[])"
    " as arrived (id, at, analyzer_id, protocol, transport, peer, raw, sha256, framing_error)"
)
"""Takes one array for each column, see `columns`."""


@dataclass(frozen=True)
class RawMessage:
    """A message to be stored exactly as it came.

    Attributes:
        analyzer_id: The device that sent it, None where it is not known.
        protocol: `astm`, `hl7`, `au` or `dimension`.
        transport: `tcp`, `serial`, `folder` or `http`.
        peer: Address of the sender.
        received_at: Aware UTC.
        framing_error: What broke the link protocol, or "".
    """

    raw: bytes = field(repr=False)
    analyzer_id: UUID | None
    protocol: str
    transport: str
    peer: str
    received_at: datetime
    framing_error: str = ""
    id: UUID = field(default_factory=new_id)


class MessageWriter:
    """One connection that writes messages; it is kept from one group to the next and replaced when it is lost."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._connection: AsyncConnection | None = None
        self._driver: Any = None

    async def write(self, messages: Sequence[RawMessage]) -> None:
        """Store all of `messages`, or none.

        Raises:
            StoreUnavailableError: PostgreSQL is away; whether they were stored is not known.
            asyncpg.PostgresError: PostgreSQL refuses one of them.
        """
        try:
            driver = await self._connected()
            await driver.execute(WRITE, *columns(messages))
        except (asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError, OSError) as error:
            await self._give_up()
            if not is_retryable(error):
                raise
            raise StoreUnavailableError("PostgreSQL did not answer") from error
        except BaseException:  # cancelled in the middle: what the connection is doing is not known
            await self._give_up()
            raise

    async def close(self) -> None:
        """Give the connection back to the pool."""
        connection, self._connection, self._driver = self._connection, None, None
        if connection is not None:
            await connection.close()

    async def _give_up(self) -> None:
        """Have the pool throw the connection away."""
        if self._connection is not None:
            await self._connection.invalidate()
        await self.close()

    async def _connected(self) -> Any:
        if self._driver is not None and not self._driver.is_closed():
            return self._driver
        await self._give_up()
        try:
            self._connection = await self._database.engine.connect()
            self._driver = (await self._connection.get_raw_connection()).driver_connection
        except (DBAPIError, PoolTimeoutError) as error:
            raise StoreUnavailableError("PostgreSQL did not answer") from error
        return self._driver


def columns(messages: Sequence[RawMessage]) -> tuple[list[Any], ...]:
    """Return what `WRITE` takes: one array for each column."""
    return (
        [message.id for message in messages],
        [message.received_at for message in messages],
        [message.analyzer_id for message in messages],
        [message.protocol for message in messages],
        [message.transport for message in messages],
        [message.peer for message in messages],
        [message.raw for message in messages],
        [hashlib.sha256(message.raw).hexdigest() for message in messages],
        [message.framing_error for message in messages],
    )
