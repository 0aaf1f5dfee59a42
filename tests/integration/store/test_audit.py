"""The audit chain: whoever changes it without the key is found out, and writers at once keep it whole."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg
import pytest
from sqlalchemy.exc import DBAPIError
from sqlmodel import select

from store import audit
from store.session import Database
from store.tables.exchange import AuditEntry, AuditHead
from tests.fixtures.database import AUDIT_KEY


async def write(database: Database, chain: str, *actions: str, body: audit.Body | None = None) -> None:
    for action in actions:
        async with database.transaction() as session:
            await audit.record(
                session, chain=chain, actor="admin", action=action, object_kind="thing", object_id="1", body=body
            )


async def broken(database: Database, key: bytes = AUDIT_KEY) -> list[audit.BrokenLink]:
    async with database.transaction() as session:
        return (await audit.verify(session, key))[1]


@asynccontextmanager
async def unguarded(superuser: asyncpg.Connection) -> AsyncIterator[asyncpg.Connection]:
    """Let a superuser do what no other role can, and undo it afterwards."""
    transaction = superuser.transaction()
    await transaction.start()
    await superuser.execute("set local session_replication_role = replica")
    yield superuser
    await transaction.commit()


@pytest.fixture
async def chain(database: Database, superuser: asyncpg.Connection) -> AsyncIterator[str]:
    """A chain of four entries; gone after the test."""
    await write(database, "T", "a.made", "b.made", "c.made", "d.made")
    yield "T"
    async with unguarded(superuser) as hand:
        await hand.execute("delete from audit_entries where chain in ('T', 'U')")
        await hand.execute("delete from audit_heads where chain in ('T', 'U')")


async def test_an_untouched_chain_holds(database: Database, chain):
    assert await broken(database) == []


async def test_the_seeded_laboratory_holds(database: Database):
    assert await broken(database) == []


async def test_heads_are_given_for_an_outside_anchor(database: Database, chain):
    async with database.transaction() as session:
        heads, _ = await audit.verify(session, AUDIT_KEY)
        last = (await session.exec(select(AuditEntry).where(AuditEntry.chain == chain, AuditEntry.seq == 4))).one()
    (head,) = [head for head in heads if head.chain == chain]
    assert (head.seq, head.hash) == (4, last.hash)


@pytest.mark.parametrize(
    "change",
    [
        "body = '{\"a\":1}'", "actor = 'somebody'", "action = 'x.made'", "object_id = '2'", "object_kind = 'other'",
        "at = at + interval '1 microsecond'",
    ],
)  # fmt: skip
async def test_an_edited_entry(database: Database, superuser, chain, change):
    async with unguarded(superuser) as hand:
        await hand.execute(f"update audit_entries set {change} where chain = 'T' and seq = 2")
    assert await broken(database) == [audit.BrokenLink("T", 2, "entry changed")]


async def test_an_edited_hash_breaks_the_next_as_well(database: Database, superuser, chain):
    async with unguarded(superuser) as hand:
        await hand.execute("update audit_entries set hash = repeat('0', 64) where chain = 'T' and seq = 2")
    assert [link.seq for link in await broken(database)] == [2, 3]


async def test_a_removed_entry(database: Database, superuser, chain):
    async with unguarded(superuser) as hand:
        await hand.execute("delete from audit_entries where chain = 'T' and seq = 2")
    assert await broken(database) == [
        audit.BrokenLink("T", 2, "entry missing"), audit.BrokenLink("T", 3, "entry changed"),
    ]  # fmt: skip


async def test_a_removed_tail(database: Database, superuser, chain):
    async with unguarded(superuser) as hand:
        await hand.execute("delete from audit_entries where chain = 'T' and seq = 4")
    assert await broken(database) == [audit.BrokenLink("T", 4, "tail missing")]


async def test_a_removed_tail_with_its_head_set_back_shows_in_the_head_only(database: Database, superuser, chain):
    """Nothing inside the database can tell: that is what the printed heads are kept elsewhere for."""
    async with database.transaction() as session:
        anchor = next(head for head in (await audit.verify(session, AUDIT_KEY))[0] if head.chain == chain)
    async with unguarded(superuser) as hand:
        await hand.execute("delete from audit_entries where chain = 'T' and seq = 4")
        await hand.execute(
            "update audit_heads set seq = 3, hash = (select hash from audit_entries where chain = 'T' and seq = 3)"
            " where chain = 'T'"
        )
    assert await broken(database) == []
    async with database.transaction() as session:
        head = next(head for head in (await audit.verify(session, AUDIT_KEY))[0] if head.chain == chain)
    assert (head.seq, head.hash) != (anchor.seq, anchor.hash)


async def test_a_head_set_back_alone(database: Database, superuser, chain):
    async with unguarded(superuser) as hand:
        await hand.execute(
            "update audit_heads set seq = 3, hash = (select hash from audit_entries where chain = 'T' and seq = 3)"
            " where chain = 'T'"
        )
    assert await broken(database) == [audit.BrokenLink("T", 3, "entries after the head")]


async def test_a_removed_head(database: Database, superuser, chain):
    async with unguarded(superuser) as hand:
        await hand.execute("delete from audit_heads where chain = 'T'")
    assert await broken(database) == [audit.BrokenLink("T", 0, "entries without a head")]


async def test_an_entry_moved_to_another_chain(database: Database, superuser, chain):
    await write(database, "U", "a.made")
    async with unguarded(superuser) as hand:
        await hand.execute("update audit_entries set chain = 'U', seq = 2 where chain = 'T' and seq = 4")
        await hand.execute("update audit_heads set seq = 2 where chain = 'U'")
    assert {link.chain for link in await broken(database)} == {"T", "U"}


async def test_another_key(database: Database, chain):
    assert {link.what for link in await broken(database, b"somebody else's key, long enough")} == {"entry changed"}


async def test_writers_at_once_keep_it_whole(database: Database, chain):
    await asyncio.gather(*(write(database, chain, f"n{number}.made") for number in range(20)))
    assert await broken(database) == []
    async with database.transaction() as session:
        numbers = (await session.exec(select(AuditEntry.seq).where(AuditEntry.chain == chain))).all()
    assert sorted(numbers) == list(range(1, 25))


async def test_checking_while_others_write_raises_no_alarm(database: Database, chain):
    async def keep_writing() -> None:
        for number in range(30):
            await write(database, chain, f"n{number}.made")

    async def keep_checking() -> list[audit.BrokenLink]:
        return [link for _ in range(15) for link in await broken(database)]

    _, found = await asyncio.gather(keep_writing(), keep_checking())
    assert found == []


async def test_a_change_that_is_rolled_back_leaves_no_entry(database: Database, chain):
    async def half() -> None:
        async with database.transaction() as session:
            await audit.record(session, chain=chain, actor="a", action="x.made", object_kind="thing", object_id="1")
            raise ValueError("on second thoughts")

    with pytest.raises(ValueError, match="second"):
        await half()
    assert await broken(database) == []
    async with database.transaction() as session:
        assert (await session.get_one(AuditHead, chain)).seq == 4


async def test_the_body_is_kept_as_it_was_hashed(database: Database, chain):
    await write(database, chain, "e.made", body={"b": "ज", "a": ["x", "y"], "n": None})
    async with database.transaction() as session:
        last = (await session.exec(select(AuditEntry).where(AuditEntry.chain == chain, AuditEntry.seq == 5))).one()
    assert last.body == '{"a":["x","y"],"b":"ज","n":null}'
    assert await broken(database) == []


@pytest.mark.parametrize("table", ["audit_entries", "order_events", "ledger_entries", "verifications"])
@pytest.mark.parametrize("statement", ["update {} set {} = null", "delete from {}", "truncate {} cascade"])
async def test_history_is_added_to_only(database: Database, owner: asyncpg.Connection, bench, table, statement):
    order = await bench.authorised(CREA="1.0")
    assert order.order_no
    column = {"audit_entries": "body", "order_events": "kind"}.get(table, "id")
    with pytest.raises(asyncpg.RestrictViolationError, match="append-only"):
        await owner.execute(statement.format(table, column))
    async with database.engine.connect() as connection:
        with pytest.raises(DBAPIError):
            await connection.exec_driver_sql(statement.format(table, column))


@pytest.mark.parametrize("table", ["instrument_messages", "partner_events"])
async def test_raw_bytes_never_change(database: Database, owner: asyncpg.Connection, inbox, table):
    await inbox.keep(b"H|\\^&\r")
    await owner.execute(
        "insert into partner_events (id, created_at, source, event_id, kind, reference, entity_id, headers, raw,"
        " received_at, state, reason, workflow_id) values (gen_random_uuid(), now(), 's', gen_random_uuid(), 'k', '',"
        " '', '{}', 'raw', now(), 'ignored', '', '')"
    )
    with pytest.raises(asyncpg.RestrictViolationError, match="never changed"):
        await owner.execute(f"update {table} set raw = 'other'")
    await owner.execute(f"update {table} set reason = 'looked at'")
    async with database.engine.connect() as connection:
        with pytest.raises(DBAPIError, match="permission denied"):
            await connection.exec_driver_sql(f"delete from {table}")
