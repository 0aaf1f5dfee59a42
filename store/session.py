"""Connections and transactions.

Every transaction names the branches it may see. PostgreSQL's row-level security holds queries to them, so a query
that forgets its branch predicate shows nothing rather than another branch's patients.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from uuid import UUID

import asyncpg
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.ext.asyncio import AsyncEngine, async_sessionmaker, create_async_engine
from sqlalchemy.ext.asyncio import AsyncSession as SqlAlchemyAsyncSession
from sqlalchemy.orm import Session as SqlAlchemySession
from sqlmodel import Session
from sqlmodel.ext.asyncio.session import AsyncSession

from domain.errors import LabError
from store.connections import look_before_use

EVERY_BRANCH = "*"

_RETRYABLE = (
    asyncpg.InternalClientError,  # raised when the server is killed while a query runs
    asyncpg.PostgresConnectionError,
    asyncpg.OperatorInterventionError,  # shut down, starting up, statement_timeout
    asyncpg.InsufficientResourcesError,  # connections, memory, disk
    asyncpg.LockNotAvailableError,  # lock_timeout
    asyncpg.IdleInTransactionSessionTimeoutError,
    asyncpg.ReadOnlySQLTransactionError,  # a standby that is about to become primary
    asyncpg.SerializationError,
    asyncpg.DeadlockDetectedError,
    asyncpg.InterfaceError,
    OSError,
    TimeoutError,
    PoolTimeoutError,  # every connection is in use
)


class StoreUnavailableError(LabError):
    """PostgreSQL is away or asks to try again; nothing is known to have been committed."""

    default_code = "STORE_UNAVAILABLE"
    default_action = "Nothing: it is retried by itself. If it lasts, check PostgreSQL (`labsetu doctor`)."


def is_retryable(error: BaseException) -> bool:
    """Tell whether a database error goes away by itself.

    Source: measured by killing PostgreSQL 15 and 18 under asyncpg; the driver's own `InternalClientError` is what a
    SIGKILLed server looks like in the middle of a query.
    """
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, _RETRYABLE):
            return True
        if isinstance(cause, DBAPIError) and cause.connection_invalidated:
            return True
        cause = cause.__cause__ or getattr(cause, "orig", None)
    return False


class _Session(Session):
    """SQLModel's session without its warning on every `execute`: hand-written statements are meant to go there."""

    execute = SqlAlchemySession.execute


class _AsyncSession(AsyncSession):
    sync_session_class = _Session
    execute = SqlAlchemyAsyncSession.execute


@dataclass(frozen=True)
class Database:
    """The lab's database as one process sees it.

    Attributes:
        audit_key: Key of the audit chain's HMAC; never stored in the database.
        seal_key: 32-byte key for the few partner tokens kept at rest.
    """

    engine: AsyncEngine
    sessions: async_sessionmaker[_AsyncSession]
    audit_key: bytes
    seal_key: bytes

    def __repr__(self) -> str:
        return f"Database({self.engine.url!r})"

    @asynccontextmanager
    async def transaction(self, branches: Iterable[UUID] | None = None) -> AsyncIterator[AsyncSession]:
        """Run one transaction; it commits when the block ends and rolls back when it raises.

        Args:
            branches: The branches that may be seen and written; None is every branch, for workers and dispatchers.

        Raises:
            StoreUnavailableError: PostgreSQL is away; the transaction may be tried again.
        """
        scope = EVERY_BRANCH if branches is None else ",".join(str(branch) for branch in branches)
        try:
            async with self.sessions() as session, session.begin():
                session.info.update(audit_key=self.audit_key, seal_key=self.seal_key)
                await session.execute(text("select set_config('app.branches', :scope, true)"), {"scope": scope})
                yield session
        except (DBAPIError, PoolTimeoutError, OSError, asyncpg.InternalClientError, asyncpg.InterfaceError) as error:
            if not is_retryable(error):
                raise
            raise StoreUnavailableError("PostgreSQL did not answer") from error

    async def close(self) -> None:
        """Close every connection."""
        await self.engine.dispose()


def open_database(
    url: str, *, audit_key: bytes, seal_key: bytes, pool_size: int = 10, statement_timeout_ms: int = 15_000
) -> Database:
    """Return a database handle; connections are made when first used.

    Args:
        url: `postgresql+asyncpg://…` of the application role, which owns no table and cannot bypass row security.
        audit_key: At least 16 bytes.
        seal_key: 32 bytes.
        pool_size: Connections kept; up to as many again under load.
        statement_timeout_ms: Server-side bound of one statement.
    """
    engine = create_async_engine(
        url,
        pool_size=pool_size,
        max_overflow=pool_size,
        pool_timeout=10,
        hide_parameters=True,  # values are patients' data and must not reach an error text
        connect_args={
            "timeout": 10,
            "server_settings": {
                "application_name": "labsetu",
                "statement_timeout": str(statement_timeout_ms),
                "lock_timeout": "5000",
                "idle_in_transaction_session_timeout": "30000",
            },
        },
    )
    look_before_use(engine)
    sessions = async_sessionmaker(engine, class_=_AsyncSession, expire_on_commit=False)
    return Database(engine=engine, sessions=sessions, audit_key=audit_key, seal_key=seal_key)


async def also_see(session: AsyncSession, branch_id: UUID) -> None:
    """Let the rest of the transaction also see another branch, where a rule of the laboratory gives it the right."""
    now = (await session.execute(text("select current_setting('app.branches')"))).scalar_one()
    if now != EVERY_BRANCH:
        scope = f"{now},{branch_id}"
        await session.execute(text("select set_config('app.branches', :scope, true)"), {"scope": scope})
