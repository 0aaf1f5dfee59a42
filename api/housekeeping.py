"""What every API process does beside answering: forgets what is old, and tells when an analyzer falls silent.

Doing it in several processes at once is harmless.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Final

from sqlalchemy.exc import DBAPIError

from api.config import ApiConfig
from api.device_board import DeviceStatus, board
from domain.clock import utc_now
from domain.working_hours import WorkingHours
from store import audit, instrument_messages, line_recordings
from store.idempotency import forget_before
from store.session import Database, StoreUnavailableError

log = logging.getLogger("labsetu.api")

KEPT_FOR = timedelta(days=7)
"""A client repeats a request within minutes, or after a weekend; not later."""
EVERY = timedelta(hours=1)
WATCH_EVERY: Final = timedelta(minutes=1)
BATCH: Final = 1000
"""Messages deleted in one transaction, under one audit entry."""
MAX_BATCHES: Final = 50
"""In one round: the rest is for the next one."""


@asynccontextmanager
async def keeping_house(
    database: Database, config: ApiConfig, *, every: timedelta = EVERY, watch_every: timedelta = WATCH_EVERY
) -> AsyncIterator[None]:
    """Forget what is old and watch the analyzers while the block runs."""
    watch = SilenceWatch(WorkingHours.parse(config.working_hours))

    async def forget() -> None:
        async with database.transaction(branches=()) as session:
            await forget_before(session, utc_now() - KEPT_FOR)
        await forget_messages(database, config.message_days)
        await forget_recordings(database, config.recording_days)

    async with asyncio.TaskGroup() as tasks:
        keepers = [
            tasks.create_task(_again("old answers, messages and recordings not forgotten", forget, every)),
            tasks.create_task(_again("analyzers not watched", lambda: watch.look(database), watch_every)),
        ]
        try:
            yield
        finally:
            for keeper in keepers:
                keeper.cancel()


async def _again(failure: str, work: Callable[[], Awaitable[None]], every: timedelta) -> None:
    while True:
        await asyncio.sleep(every.total_seconds())
        try:
            await work()
        except StoreUnavailableError:
            log.warning("%s: PostgreSQL is away", failure)
        except DBAPIError as error:
            # e.g. a schema that is not migrated yet: requests must still be answered
            log.error("%s: %s", failure, type(error.orig).__name__)  # noqa: TRY400  its text quotes values


async def forget_messages(database: Database, days: int) -> int:
    """Delete messages that are older than `days`, read and closed; 0 days keeps all. Returns how many.

    Each batch is one transaction with one audit entry: how many, the first and last id, and a hash over the ids and
    hashes of what was deleted, so that a copy elsewhere can be shown to be the same.
    """
    if days < 1:
        return 0
    before = utc_now() - timedelta(days=days)
    forgotten = 0
    for _ in range(MAX_BATCHES):
        async with database.transaction() as session:
            gone = await instrument_messages.forget_before(session, before, BATCH)
            if gone:
                await audit.record(
                    session, chain="lab", actor="system:housekeeping", action="messages.forgotten",
                    object_kind="instrument_message", object_id=str(gone[0].id),
                    body={
                        "count": len(gone), "first": str(gone[0].id), "last": str(gone[-1].id),
                        "before": before.isoformat(), "sha256": digest_of(gone),
                    },
                )  # fmt: skip
        forgotten += len(gone)
        if len(gone) < BATCH:
            break
    if forgotten:
        log.info("%s old instrument messages forgotten", forgotten)
    return forgotten


async def forget_recordings(database: Database, days: int) -> int:
    """Delete recordings of lines that ended more than `days` ago, with one audit entry; returns how many."""
    before = utc_now() - timedelta(days=days)
    async with database.transaction() as session:
        gone = await line_recordings.forget_before(session, before, BATCH)
        if gone:
            await audit.record(
                session, chain="lab", actor="system:housekeeping", action="recordings.forgotten",
                object_kind="line_recording", object_id=str(gone[0].id),
                body={
                    "count": len(gone), "first": str(gone[0].id), "last": str(gone[-1].id),
                    "bytes": sum(row.size_bytes for row in gone), "before": before.isoformat(),
                },
            )  # fmt: skip
    if gone:
        log.info("%s old recordings of lines forgotten", len(gone))
    return len(gone)


def digest_of(gone: Sequence[instrument_messages.ForgottenRow]) -> str:
    """Return the SHA-256 over `<id> <sha256>` lines of what was deleted, in the order of ids."""
    lines = "".join(f"{row.id} {row.sha256}\n" for row in gone)
    return hashlib.sha256(lines.encode()).hexdigest()


@dataclass
class SilenceWatch:
    """Tells once when an analyzer falls silent and once when it is heard again.

    Attributes:
        silent: Codes of those that are silent as far as was told.
    """

    hours: WorkingHours
    silent: set[str] = field(default_factory=set)

    async def look(self, database: Database) -> None:
        """Look at every analyzer of the laboratory."""
        async with database.transaction() as session:
            statuses = await board(session, self.hours, None)
        self.tell(statuses)

    def tell(self, statuses: Sequence[DeviceStatus]) -> None:
        """Log what has changed since the last look. The end of working hours ends no silence."""
        for status in statuses:
            code = status.row.code
            if status.is_silent and code not in self.silent:
                self.silent.add(code)
                log.warning(
                    "analyzer %s is silent for %s working minutes", code, status.silent_minutes,
                    extra={"analyzer": code, "branch": status.row.branch_code},
                )  # fmt: skip
            elif code in self.silent and not self._still_silent(status):
                self.silent.discard(code)
                log.info("analyzer %s is heard again", code, extra={"analyzer": code})

    @staticmethod
    def _still_silent(status: DeviceStatus) -> bool:
        limit = status.row.silent_after_minutes
        return status.row.is_active and limit is not None and status.silent_minutes >= limit
