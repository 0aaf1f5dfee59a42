"""The work desk: answers host queries from PostgreSQL and hands out work that is sent to devices unasked.

No workflow takes part: the sample is under the probe while the device waits. A query is one indexed statement on a
connection that is kept open and prepared; that a device asked is written down after it has its answer. Downloads come
from the queue in `device_work`; a notification wakes the desk, polling finds what a lost notification left.

Source: instruments time out on host queries within seconds (Roche cobas infinity: 15 s), read in specs.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Final
from uuid import UUID

import asyncpg
from sqlalchemy.exc import DBAPIError

from connectors.line import DeskFor
from domain.clock import utc_now
from domain.device_orders import DeviceWork, Download, DownloadResult, WorkQuery
from domain.device_profile import DeviceProfile
from store.device_work import CHANNEL, Outcome, give_back, outcome_of, settle, take_next
from store.device_work_lists import NOT_ANSWERED, AnsweredQuery, forget_queries, keep_queries
from store.session import EVERY_BRANCH, Database, StoreUnavailableError
from store.tables.results import Analyzer
from store.tube_work import MAX_BARCODE_CHARS, MAX_BARCODES, WorkPolicy, all_work, work_on

logger = logging.getLogger(__name__)

_AWAY: Final = (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError)
"""Everything that a store which is away, starting or broken does to a statement."""
_NOT_KEPT: Final = (StoreUnavailableError, DBAPIError, *_AWAY)
"""The same for a transaction as well. Nothing that the store does may end the process that devices talk to."""
_ANSWERED_BY: Final = frozenset({"hl7", "dimension"})
"""Protocols in which a device answers an order; of the others only the delivery is known."""
_MOST_UNWRITTEN: Final = 10_000
_BATCH: Final = 200
_RECONNECT_S: Final = 0.05


@dataclass(frozen=True)
class DeskPolicy:
    """How the desk works; times in seconds.

    Attributes:
        work: Which work is given.
        answer_s: Longest wait for the store before a query is left unanswered.
        most_tubes: Of an answer to "everything".
        poll_s: Longest wait between two looks for work to send.
        lease_s: Time after which work that was taken and not settled is sent again: longer than any device takes.
        connections: To PostgreSQL, for queries and downloads of all devices.
        kept_for: Age at which records of queries are deleted.
    """

    work: WorkPolicy = field(default_factory=WorkPolicy)
    answer_s: float = 2.0
    most_tubes: int = 100
    poll_s: float = 5.0
    lease_s: float = 300.0
    connections: int = 8
    kept_for: timedelta = timedelta(days=30)


async def keep_as_it_is(_connection: asyncpg.Connection) -> None:
    """Spare the round trip that would reset a session in which nothing is ever set."""


class Desk:
    """The desk of one connection with one device, see `domain.device_orders.WorkDesk`."""

    def __init__(self, office: DeskFactory, analyzer_id: UUID, code: str, profile: DeviceProfile) -> None:
        """Open a desk.

        Args:
            office: What all desks of the process share.
            analyzer_id: Row id of the device.
            code: Its code, for the log.
            profile: As it was when the device connected.
        """
        self._office = office
        self._analyzer_id = analyzer_id
        self._code = code
        self._profile = profile

    async def work_for(self, query: WorkQuery) -> tuple[DeviceWork, ...] | None:
        """Return the work on the tubes asked for; None within `answer_s` where the store cannot be asked."""
        if query.is_cancelled:
            return ()
        clock = asyncio.get_running_loop()
        asked_at, begun = utc_now(), clock.time()
        found = await self._office.ask(self._analyzer_id, query)
        count = NOT_ANSWERED if found is None else len(found)
        took = (clock.time() - begun) * 1000
        names = tuple(name[:MAX_BARCODE_CHARS] for name in query.specimen_ids[:MAX_BARCODES] if name.isprintable())
        self._office.note(AnsweredQuery(self._analyzer_id, names, count, took, asked_at))
        logger.info("query: %s tubes in %.1f ms", count, took, extra={"analyzer": self._code})
        return None if found is None else tuple(found)

    async def next_download(self) -> Download:
        """Wait for work to send. For a device that is sent nothing unasked, that is for ever."""
        if not self._profile.work.sends_unasked:
            await asyncio.get_running_loop().create_future()
        while True:
            woken = self._office.wake_of(self._analyzer_id)
            download = await self._office.take(self._analyzer_id)
            if download is not None:
                return download
            with suppress(TimeoutError):
                async with asyncio.timeout(self._office.policy.poll_s):
                    await woken.wait()

    async def settle(self, download: Download, result: DownloadResult, note: str = "") -> None:
        """Say what became of a download; kept in memory until the store has it."""
        is_answered = self._profile.protocol in _ANSWERED_BY
        await self._office.settle(outcome_of(download, result, note, is_answered=is_answered))
        logger.info("download %s", result.value, extra={"analyzer": self._code, "row_id": str(download.id)})


class DeskFactory:
    """Opens desks and does what they share: connections, notifications, the record of queries, outcomes to be kept.

    Attributes:
        policy: For every device.
    """

    def __init__(self, database: Database, policy: DeskPolicy | None = None) -> None:
        """Prepare; nothing is connected before the first question. `run` must run beside the desks.

        Args:
            database: Where the lab's rows are.
            policy: Times and choices.
        """
        self.policy = policy or DeskPolicy()
        self._database = database
        self._dsn = database.engine.url.set(drivername="postgresql").render_as_string(hide_password=False)
        self._pool: asyncpg.Pool | None = None
        self._opening = asyncio.Lock()
        self._turns = asyncio.Semaphore(self.policy.connections)
        self._answered_at = 0.0
        self._wakes: dict[UUID, asyncio.Event] = {}
        self._queries: deque[AnsweredQuery] = deque(maxlen=_MOST_UNWRITTEN)
        self._outcomes: deque[Outcome] = deque()
        self._unwritten = asyncio.Event()

    def desk(self, analyzer: Analyzer) -> Desk | None:
        """Return a desk for a connection of the device, None where its profile says that it is given no work."""
        profile = DeviceProfile.model_validate({"protocol": analyzer.protocol, **analyzer.profile})
        if not (profile.work.answers_queries or profile.work.sends_unasked):
            return None
        return Desk(self, analyzer.id, analyzer.code, profile)

    def desk_for(self, protocol: str, analyzer_at: Callable[[str, str], Analyzer | None]) -> DeskFor:
        """Return the function that gives a listener the desk of a peer.

        Args:
            protocol: Of the listener.
            analyzer_at: The device registered for a protocol and a peer, see `inbox.listener.Door`.
        """

        def found(peer: str) -> Desk | None:
            analyzer = analyzer_at(protocol, peer)
            return self.desk(analyzer) if analyzer is not None else None

        return found

    async def run(self) -> None:
        """Listen for new work and write down what was asked, until cancelled; then close the connections."""
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._listen())
                tasks.create_task(self._write_down())
                tasks.create_task(self._forget())
        finally:
            with suppress(*_NOT_KEPT):
                async with asyncio.timeout(self.policy.answer_s):
                    await self.flush()
            await self.close()

    async def close(self) -> None:
        """Close the connections; desks that are asked afterwards open new ones."""
        pool, self._pool = self._pool, None
        self._turns = asyncio.Semaphore(self.policy.connections)
        if pool is not None:
            pool.terminate()

    # Queries

    async def ask(self, analyzer_id: UUID, query: WorkQuery) -> list[DeviceWork] | None:
        """Return the work, or None where the store did not answer in time. A lost connection is replaced at once.

        The wait is over in time even where ending the statement is not, as with a server that fell silent.
        """
        asking = asyncio.ensure_future(self._look_up(analyzer_id, query))
        try:
            done, _ = await asyncio.wait({asking}, timeout=self.policy.answer_s)
        finally:
            asking.cancel()
        if done:
            return asking.result()
        asking.add_done_callback(lambda late: late.cancelled() or late.exception())
        logger.warning("the store did not answer a query in time")
        now = asyncio.get_running_loop().time()
        if now - self._answered_at >= self.policy.answer_s:
            # nobody was answered: the connections lead nowhere, though nothing has closed them
            await self.close()
        return None

    async def _look_up(self, analyzer_id: UUID, query: WorkQuery) -> list[DeviceWork]:
        while True:
            try:
                async with self._connection() as connection:
                    if query.wants_all:
                        found = await all_work(connection, analyzer_id, self.policy.work, self.policy.most_tubes)
                    else:
                        found = await work_on(connection, analyzer_id, query.specimen_ids, self.policy.work)
            except _AWAY as error:
                logger.debug("query: %s", type(error).__name__)
                await asyncio.sleep(_RECONNECT_S)
            else:
                self._answered_at = asyncio.get_running_loop().time()
                return found

    @asynccontextmanager
    async def _connection(self) -> AsyncIterator[asyncpg.Connection]:
        # in turn: by itself the pool gives a connection to whoever comes when it is free, however long others wait
        async with self._turns:
            pool = self._pool or await self._opened()
            async with pool.acquire() as connection:
                yield connection

    async def _opened(self) -> asyncpg.Pool:
        async with self._opening:
            if self._pool is None:
                self._pool = await asyncpg.create_pool(
                    self._dsn, min_size=0, max_size=self.policy.connections, timeout=self.policy.answer_s,
                    max_inactive_connection_lifetime=0, command_timeout=self.policy.answer_s * 2, reset=keep_as_it_is,
                    server_settings={"application_name": "labsetu desk", "app.branches": EVERY_BRANCH, "jit": "off"},
                )  # fmt: skip
            return self._pool

    def note(self, query: AnsweredQuery) -> None:
        """Remember a query to be written down; while the store is away the oldest make room."""
        self._queries.append(query)
        self._unwritten.set()

    # Downloads

    def wake_of(self, analyzer_id: UUID) -> asyncio.Event:
        """Return what is set at the next notification of work for the device; ask before looking for work."""
        return self._wakes.setdefault(analyzer_id, asyncio.Event())

    async def take(self, analyzer_id: UUID) -> Download | None:
        """Take the next entry for a device; None where there is none or the store is away. Safe to cancel."""
        taking = asyncio.ensure_future(self._take(analyzer_id))
        try:
            return await asyncio.shield(taking)
        except asyncio.CancelledError:
            # it may be taken already: nobody would send it before its lease is over
            done, _ = await asyncio.wait({taking}, timeout=self.policy.answer_s)
            if done:
                with suppress(*_AWAY):
                    await self._give_back(taking.result())
            raise

    async def _take(self, analyzer_id: UUID) -> Download | None:
        lease = timedelta(seconds=self.policy.lease_s)
        try:
            # what we know to be sent must not be taken again
            await self._write_outcomes()
            async with asyncio.timeout(self.policy.answer_s), self._connection() as connection:
                return await take_next(connection, analyzer_id, self.policy.work, lease)
        except _NOT_KEPT as error:
            logger.debug("looking for work: %s", type(error).__name__)
            return None

    async def _give_back(self, download: Download | None) -> None:
        if download is not None:
            async with asyncio.timeout(self.policy.answer_s), self._connection() as connection:
                await give_back(connection, download.id)

    async def settle(self, outcome: Outcome) -> None:
        """Keep an outcome; where the store is away it is kept in memory and written when it is back."""
        self._outcomes.append(outcome)
        try:
            async with asyncio.timeout(self.policy.answer_s):
                await self._write_outcomes()
        except _NOT_KEPT as error:
            logger.warning("an outcome is kept in memory: %s", type(error).__name__)
            self._unwritten.set()

    # In the background

    async def flush(self) -> None:
        """Write down every outcome and query that is still in memory.

        Raises whatever the store does to statements while it is away; then they stay in memory.
        """
        await self._write_outcomes()
        while self._queries:
            batch = [self._queries[at] for at in range(min(_BATCH, len(self._queries)))]
            async with self._connection() as connection:
                await keep_queries(connection, batch)
            for written in batch:
                if self._queries and self._queries[0] is written:
                    self._queries.popleft()

    async def _write_outcomes(self) -> None:
        while self._outcomes:
            outcome = self._outcomes[0]
            async with self._database.transaction() as session:
                await settle(session, outcome)
            # several may write the same one: the second changes nothing
            if self._outcomes and self._outcomes[0] is outcome:
                self._outcomes.popleft()

    async def _write_down(self) -> None:
        while True:
            await self._unwritten.wait()
            self._unwritten.clear()
            try:
                await self.flush()
            except _NOT_KEPT as error:
                logger.warning("queries are written down later: %s", type(error).__name__)
                await asyncio.sleep(self.policy.poll_s)
                self._unwritten.set()

    async def _forget(self) -> None:
        while True:
            with suppress(*_NOT_KEPT):
                async with self._database.transaction() as session:
                    await forget_queries(session, utc_now() - self.policy.kept_for)
            await asyncio.sleep(timedelta(hours=6).total_seconds())

    async def _listen(self) -> None:
        while True:
            with suppress(*_AWAY):
                connection = await asyncpg.connect(self._dsn, timeout=10)
                try:
                    await connection.add_listener(CHANNEL, self._on_work)
                    self._wake_all()
                    while not connection.is_closed():  # noqa: ASYNC110  asyncpg has no event for a lost connection
                        await asyncio.sleep(1)
                finally:
                    connection.terminate()
            logger.warning("listening for device work failed, polling goes on")
            await asyncio.sleep(1)

    def _on_work(self, _connection: object, _pid: int, _channel: str, payload: str) -> None:
        with suppress(ValueError):
            woken = self._wakes.pop(UUID(payload), None)
            if woken is not None:
                woken.set()

    def _wake_all(self) -> None:
        for analyzer_id in list(self._wakes):
            self._wakes.pop(analyzer_id).set()
