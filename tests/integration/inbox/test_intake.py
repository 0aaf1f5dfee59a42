"""Group commit on PostgreSQL: what is said to be kept is kept, whoever comes, goes or is refused meanwhile."""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Sequence

import pytest
from sqlalchemy import text

from domain.clock import utc_now
from domain.ids import new_id
from inbox import intake as module
from inbox.intake import Intake
from store.intake import MessageWriter, RawMessage
from store.session import Database, StoreUnavailableError


def message(raw: bytes, **changes: object) -> RawMessage:
    facts = {"analyzer_id": None, "protocol": "hl7", "transport": "tcp", "peer": "10.9.8.7:1", "received_at": utc_now()}
    return RawMessage(raw=raw, **{**facts, **changes})  # type: ignore[arg-type]


@pytest.fixture
async def intake(database: Database) -> AsyncIterator[Intake]:
    intake = Intake(database)
    yield intake
    await intake.close()


async def stored(database: Database, prefix: bytes) -> list[bytes]:
    async with database.transaction() as session:
        query = text("select raw from instrument_messages where position(:prefix in raw) = 1 order by raw")
        return [bytes(row.raw) for row in await session.execute(query, {"prefix": prefix})]


async def test_a_message_is_stored_as_it_came(database: Database, intake: Intake):
    sent = message(b"as it came \x00\xff\r", framing_error="cut off")
    await intake.keep(sent)
    async with database.transaction() as session:
        row = (
            (await session.execute(text("select * from instrument_messages where id = :id"), {"id": sent.id}))
            .one()
            ._mapping
        )
    assert (bytes(row["raw"]), row["framing_error"], row["peer"]) == (sent.raw, "cut off", "10.9.8.7:1")
    assert (row["received_at"], row["state"], row["specimen_ids"], row["readings"]) == (
        sent.received_at, "received", [], 0,
    )  # fmt: skip
    assert row["sha256"] == hashlib.sha256(sent.raw).hexdigest()


async def test_many_at_once_share_commits(database: Database, intake: Intake):
    expected = [b"many %04d" % number for number in range(300)]
    await asyncio.gather(*(intake.keep(message(raw)) for raw in expected))
    assert await stored(database, b"many ") == expected
    assert intake.kept == 300
    assert intake.groups < 30


async def test_one_that_postgresql_refuses_does_not_cost_the_others(database: Database, intake: Intake):
    good = [message(b"good %02d" % number) for number in range(20)]
    bad = message(b"bad", analyzer_id=new_id())  # of an analyzer that does not exist
    outcomes = await asyncio.gather(
        *(intake.keep(one) for one in [*good[:10], bad, *good[10:]]), return_exceptions=True
    )
    assert [type(outcome) for outcome in outcomes if outcome is not None] == [StoreUnavailableError]
    assert isinstance(outcomes[10], StoreUnavailableError)
    assert await stored(database, b"good ") == [one.raw for one in good]
    assert await stored(database, b"bad") == []


async def test_a_lost_connection_is_replaced(database: Database, intake: Intake):
    await intake.keep(message(b"before the cut"))
    async with database.transaction() as session:
        await session.execute(
            text(
                "select pg_terminate_backend(pid) from pg_stat_activity"
                " where datname = current_database() and pid <> pg_backend_pid()"
            )
        )
    for _ in range(5):
        try:
            await intake.keep(message(b"after the cut"))
            break
        except StoreUnavailableError:
            continue
    assert b"after the cut" in await stored(database, b"after the cut")


class Slow(MessageWriter):
    """A writer whose commits take until they are let go."""

    def __init__(self, database: Database) -> None:
        super().__init__(database)
        self.go = asyncio.Event()
        self.asked = asyncio.Event()
        self.sizes: list[int] = []

    async def write(self, messages: Sequence[RawMessage]) -> None:
        self.sizes.append(len(messages))
        self.asked.set()
        await self.go.wait()
        await super().write(messages)


@pytest.fixture
async def slow(database: Database) -> AsyncIterator[tuple[Intake, Slow]]:
    intake, writer = Intake(database, writers=0), Slow(database)
    intake._free.append(writer)
    yield intake, writer
    await writer.close()


async def test_who_comes_during_a_commit_is_in_the_next_group(slow: tuple[Intake, Slow]):
    intake, writer = slow
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(intake.keep(message(b"first")))
        await writer.asked.wait()
        for number in range(7):
            tasks.create_task(intake.keep(message(b"next %d" % number)))
        await asyncio.sleep(0)
        writer.go.set()
    assert writer.sizes == [1, 7]


async def test_who_gives_up_hands_the_writer_on(slow: tuple[Intake, Slow], database: Database):
    intake, writer = slow
    async with asyncio.TaskGroup() as tasks:
        first = tasks.create_task(intake.keep(message(b"given up 1")))
        await writer.asked.wait()
        second = tasks.create_task(intake.keep(message(b"given up 2")))
        third = tasks.create_task(intake.keep(message(b"patient")))
        await asyncio.sleep(0)
        first.cancel()
        second.cancel()
        writer.go.set()
    assert first.cancelled()
    assert second.cancelled()
    assert third.exception() is None
    assert await stored(database, b"patient") == [b"patient"]
    await intake.keep(message(b"and the next"))
    assert await stored(database, b"and the next") == [b"and the next"]


async def test_what_waits_is_bounded(slow: tuple[Intake, Slow], monkeypatch: pytest.MonkeyPatch):
    intake, writer = slow
    monkeypatch.setattr(module, "MOST_WAITING_BYTES", 10)
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(intake.keep(message(b"being written")))
        await writer.asked.wait()
        tasks.create_task(intake.keep(message(b"waits")))
        await asyncio.sleep(0)
        with pytest.raises(StoreUnavailableError, match="too many"):
            await intake.keep(message(b"one too many"))
        writer.go.set()


async def test_while_the_database_is_away_everybody_hears_it(bench_away: Intake):
    outcomes = await asyncio.gather(
        *(bench_away.keep(message(b"lost %d" % number)) for number in range(5)), return_exceptions=True
    )
    assert [type(outcome) for outcome in outcomes] == [StoreUnavailableError] * 5


@pytest.fixture
async def bench_away() -> AsyncIterator[Intake]:
    from store.session import open_database
    from tests.fixtures.database import AUDIT_KEY, SEAL_KEY

    away = open_database("postgresql+asyncpg://x:x@127.0.0.1:1/x", audit_key=AUDIT_KEY, seal_key=SEAL_KEY)
    yield Intake(away)
    await away.close()
