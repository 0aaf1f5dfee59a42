"""Transactions on real PostgreSQL: what a branch sees, what is refused, and what counts as away."""

import asyncio
from dataclasses import replace

import asyncpg
import pytest
from sqlalchemy import func, text
from sqlalchemy import table as named
from sqlalchemy.exc import DBAPIError, StatementError
from sqlmodel import select

from activities.placement import PlacedOrder
from domain.clock import utc_now
from domain.messages import CommandKind
from store.session import Database, StoreUnavailableError, is_retryable, open_database
from store.tables.exchange import Command
from store.tables.orders import Order, Sample
from tests.fixtures.bench import Bench
from tests.fixtures.database import AUDIT_KEY, SEAL_KEY
from tests.fixtures.workflows import eventually

SCOPED = ("orders", "samples", "invoices", "reports", "commands")


def _count(name: str):
    return select(func.count()).select_from(named(name))


async def _one_each(bench: Bench) -> tuple[PlacedOrder, PlacedOrder]:
    orders = await bench.order(branch="DEL"), await bench.order(branch="BLR")
    for order in orders:
        await bench.store(CommandKind.CANCEL_ORDER, order, {"reason": "for the list"})
    return orders


async def test_a_branch_sees_its_own(bench: Bench):
    here, there = await _one_each(bench)
    async with bench.database.transaction([bench.lab.branches["DEL"]]) as session:
        assert await session.get(Order, here.order_id) is not None
        assert await session.get(Order, there.order_id) is None
        for table in (Sample, Command):
            assert {row.order_id for row in (await session.exec(select(table))).all()} >= {here.order_id}
            assert there.order_id not in {row.order_id for row in (await session.exec(select(table))).all()}
    async with bench.database.transaction(bench.lab.branches.values()) as session:
        assert await session.get(Order, there.order_id) is not None


@pytest.mark.parametrize("table", SCOPED)
async def test_without_a_branch_nothing_is_seen(bench: Bench, table):
    await _one_each(bench)
    async with bench.database.transaction([]) as session:
        assert (await session.execute(_count(table))).scalar_one() == 0


@pytest.mark.parametrize("table", SCOPED)
async def test_a_connection_that_names_no_scope_sees_nothing(bench: Bench, table):
    await _one_each(bench)
    async with bench.database.engine.connect() as connection:
        assert (await connection.execute(_count(table))).scalar_one() == 0


async def test_the_scope_ends_with_its_transaction(bench: Bench):
    await _one_each(bench)
    single = open_database(str(_url(bench.database)), audit_key=AUDIT_KEY, seal_key=SEAL_KEY, pool_size=1)
    try:
        async with single.transaction() as session:
            assert (await session.exec(select(Order.id))).first() is not None
        async with single.engine.connect() as connection:
            assert (await connection.execute(text("select count(*) from orders"))).scalar_one() == 0
    finally:
        await single.close()


async def test_a_branch_writes_only_its_own(bench: Bench):
    _, there = await _one_each(bench)
    async with bench.database.transaction([bench.lab.branches["DEL"]]) as session:
        update = text("update orders set clinical_notes = 'x' where id = :id returning id")
        assert (await session.execute(update, {"id": there.order_id})).first() is None
    stray = Order(
        order_no="DEL-000000-0001", branch_id=bench.lab.branches["BLR"], patient_id=(await bench.row(there)).patient_id,
        placed_by=bench.lab.users["front_desk"],
    )  # fmt: skip
    with pytest.raises(DBAPIError, match="row-level security"):
        async with bench.database.transaction([bench.lab.branches["DEL"]]) as session:
            session.add(stray)


async def test_an_injected_scope_is_no_scope(bench: Bench):
    await _one_each(bench)
    async with bench.database.transaction() as session:
        await session.execute(text("select set_config('app.branches', :scope, true)"), {"scope": "' or true --"})
        assert (await session.exec(select(Order.id))).first() is None


@pytest.mark.parametrize("table", SCOPED)
async def test_the_owner_is_held_to_the_scope_as_well(postgres_server, database_name, bench: Bench, table):
    await _one_each(bench)
    connection = await asyncpg.connect(postgres_server.owner_url(database_name).replace("+asyncpg", ""))
    try:
        assert await connection.fetchval(str(_count(table))) == 0
    finally:
        await connection.close()


async def test_the_application_owns_nothing(superuser: asyncpg.Connection):
    role = await superuser.fetchrow("select rolsuper, rolbypassrls, rolcreaterole from pg_roles where rolname = $1",
                                    "labsetu_app")  # fmt: skip
    assert not any(role)
    assert await superuser.fetchval("select count(*) from pg_tables where tableowner = 'labsetu_app'") == 0


async def test_what_raises_leaves_nothing(bench: Bench):
    order = await bench.order()

    async def half() -> None:
        async with bench.database.transaction() as session:
            (await session.get_one(Order, order.order_id)).clinical_notes = "half done"
            await session.flush()
            raise ValueError("on second thoughts")

    with pytest.raises(ValueError, match="on second thoughts"):
        await half()
    assert (await bench.row(order)).clinical_notes == ""


async def test_a_naive_time_is_refused(bench: Bench):
    order = await bench.order()
    with pytest.raises(StatementError, match="naive"):
        async with bench.database.transaction() as session:
            (await session.get_one(Order, order.order_id)).closed_at = utc_now().replace(tzinfo=None)


async def test_a_backend_that_is_ended_in_a_query_is_away(database: Database, superuser: asyncpg.Connection):
    pid: asyncio.Future[int] = asyncio.get_running_loop().create_future()

    async def wait_long() -> None:
        async with database.transaction() as session:
            pid.set_result((await session.execute(text("select pg_backend_pid()"))).scalar_one())
            await session.execute(text("select pg_sleep(30)"))

    async def end() -> None:
        number = await pid
        sleeping = "select query like '%pg_sleep%' from pg_stat_activity where pid = $1"
        await eventually(lambda: superuser.fetchval(sleeping, number))
        assert await superuser.fetchval("select pg_terminate_backend($1)", number)

    with pytest.raises(StoreUnavailableError):
        await asyncio.gather(wait_long(), end())
    async with database.transaction() as session:
        assert (await session.execute(text("select 1"))).scalar_one() == 1


async def test_a_backend_that_is_ended_between_queries_is_away(database: Database, superuser: asyncpg.Connection):
    async def pause() -> None:
        async with database.transaction() as session:
            number = (await session.execute(text("select pg_backend_pid()"))).scalar_one()
            await superuser.fetchval("select pg_terminate_backend($1)", number)
            await asyncio.sleep(0.2)
            await session.execute(text("select 1"))

    with pytest.raises(StoreUnavailableError):
        await pause()


async def test_a_backend_that_is_ended_while_it_idles_is_replaced(database: Database, superuser: asyncpg.Connection):
    async with database.transaction() as session:
        number = (await session.execute(text("select pg_backend_pid()"))).scalar_one()
    await superuser.fetchval("select pg_terminate_backend($1)", number)
    await asyncio.sleep(0.2)
    async with database.transaction() as session:
        assert (await session.execute(text("select pg_backend_pid()"))).scalar_one() != number


async def test_a_server_that_is_not_there_is_away():
    gone = open_database("postgresql+asyncpg://nobody:x@127.0.0.1:1/x", audit_key=AUDIT_KEY, seal_key=SEAL_KEY)
    with pytest.raises(StoreUnavailableError):
        async with gone.transaction():
            pass
    await gone.close()


@pytest.mark.parametrize("setting", ["lock_timeout = '50ms'", "statement_timeout = '50ms'"])
async def test_a_lock_that_is_held_too_long_is_tried_again(bench: Bench, setting):
    order = await bench.order()
    lock = select(Order.id).where(Order.id == order.order_id).with_for_update()

    async def wait() -> None:
        async with bench.database.transaction() as session:
            await session.execute(text(f"set local {setting}"))
            await session.exec(lock)

    async with bench.database.transaction() as holder:
        await holder.exec(lock)
        with pytest.raises(StoreUnavailableError):
            await wait()


async def test_a_deadlock_is_tried_again(bench: Bench):
    orders = await bench.order(), await bench.order()
    meet = asyncio.Barrier(2)

    async def take(first: PlacedOrder, second: PlacedOrder) -> None:
        async with bench.database.transaction() as session:
            await session.exec(select(Order.id).where(Order.id == first.order_id).with_for_update())
            await meet.wait()
            await session.exec(select(Order.id).where(Order.id == second.order_id).with_for_update())

    outcomes = await asyncio.gather(take(*orders), take(*reversed(orders)), return_exceptions=True)
    assert sorted(type(outcome).__name__ for outcome in outcomes) == ["NoneType", "StoreUnavailableError"]


@pytest.mark.parametrize(
    "statement",
    [
        "select cast(:value as bigint)",  # the driver cannot encode it
        "select 1 / 0",
        "select * from there_is_no_such_table",
        "insert into counters (series, value) values (null, 1)",
    ],
)
async def test_what_is_wrong_by_itself_is_not_away(database: Database, statement):
    with pytest.raises(DBAPIError) as caught:
        async with database.transaction() as session:
            await session.execute(text(statement), {"value": "no number"} if ":value" in statement else {})
    assert not is_retryable(caught.value)


async def test_text_that_postgresql_cannot_hold_is_not_away(bench: Bench):
    order = await bench.order()
    with pytest.raises(DBAPIError) as caught:
        async with bench.database.transaction() as session:
            (await session.get_one(Order, order.order_id)).clinical_notes = "nul \x00"
    assert not is_retryable(caught.value)


async def test_values_are_in_no_error(bench: Bench):
    order = await bench.order()
    with pytest.raises(DBAPIError) as caught:
        async with bench.database.transaction() as session:
            (await session.get_one(Order, order.order_id)).clinical_notes = "Asha Verma \x00"
    assert "Asha" not in str(caught.value)


def test_the_password_is_in_no_repr(database: Database):
    assert "test-app-password" not in repr(database)
    assert AUDIT_KEY.decode() not in repr(replace(database))


def _url(database: Database) -> str:
    return database.engine.url.render_as_string(hide_password=False)
