"""The timeline of an order: numbered without gaps, in the order of the commits."""

import asyncio

from sqlalchemy import text

from store.timeline import add_event, events_of
from tests.fixtures.bench import Bench


async def test_events_are_numbered_in_the_order_of_their_commits(bench: Bench):
    order = await bench.order()
    taken: list[int] = []

    async def write(number: int) -> None:
        async with bench.database.transaction() as session:
            seq = await add_event(session, order.order_id, source="staff", kind=f"n{number}_done")
            # the order's row is held from here to the commit, so numbers are taken in the order of the commits
            taken.append(seq)
            await asyncio.sleep(0.005 * (number % 3))

    await asyncio.gather(*(write(number) for number in range(20)))
    numbers = [event.seq for event in await bench.events(order)]
    assert numbers == list(range(1, 22))
    assert taken == sorted(taken)


async def test_nobody_sees_a_later_event_before_an_earlier_one(bench: Bench):
    """Whoever asks for what is new after a number misses nothing."""
    order = await bench.order()
    seen: list[int] = [1]

    async def write() -> None:
        for number in range(15):
            async with bench.database.transaction() as session:
                await add_event(session, order.order_id, source="staff", kind=f"n{number}_done")

    async def follow() -> None:
        while seen[-1] < 46:
            async with bench.database.transaction() as session:
                seen.extend(event.seq for event in await events_of(session, order.order_id, after=seen[-1]))

    await asyncio.gather(write(), write(), write(), follow())
    assert seen == list(range(1, 47))


async def test_an_event_that_is_rolled_back_leaves_no_gap(bench: Bench):
    order = await bench.order()
    async with bench.database.transaction() as session:
        await add_event(session, order.order_id, source="staff", kind="lost")
        await session.rollback()
    async with bench.database.transaction() as session:
        assert await add_event(session, order.order_id, source="staff", kind="kept") == 2


async def test_orders_do_not_wait_for_each_other(bench: Bench):
    held, free = await bench.order(), await bench.order()
    async with bench.database.transaction() as holder:
        await add_event(holder, held.order_id, source="staff", kind="slow")
        async with bench.database.transaction() as session:
            await session.execute(text("set local lock_timeout = '500ms'"))
            assert await add_event(session, free.order_id, source="staff", kind="fast") == 2


async def test_a_page_begins_after_a_number(bench: Bench):
    order = await bench.order()
    async with bench.database.transaction() as session:
        for number in range(5):
            await add_event(session, order.order_id, source="staff", kind=f"n{number}", detail={"codes": ["CREA"]})
    async with bench.database.transaction() as session:
        page = await events_of(session, order.order_id, after=2, limit=2)
    assert [event.seq for event in page] == [3, 4]
    assert page[0].detail == {"codes": ["CREA"]}
