"""Number series: no gap and no number twice, whatever is rolled back."""

import asyncio
import contextlib

from store.counters import next_number
from store.session import Database


async def test_numbers_are_gap_free_when_some_takers_give_up(database: Database):
    taken: list[int] = []

    async def take(number: int) -> None:
        async with database.transaction() as session:
            mine = await next_number(session, "t:gap-free")
            await asyncio.sleep(0.002)
            if number % 3 == 0:
                raise ConnectionAbortedError
        taken.append(mine)

    async def attempt(number: int) -> None:
        with contextlib.suppress(Exception):
            await take(number)

    await asyncio.gather(*(attempt(number) for number in range(20)))
    assert sorted(taken) == list(range(1, 14))


async def test_series_do_not_know_each_other(database: Database):
    async with database.transaction() as session:
        assert [await next_number(session, "t:a"), await next_number(session, "t:a")] == [1, 2]
        assert await next_number(session, "t:b") == 1


async def test_the_first_takers_of_a_series_do_not_collide(database: Database):
    async def take() -> int:
        async with database.transaction() as session:
            return await next_number(session, "t:new")

    assert sorted(await asyncio.gather(*(take() for _ in range(8)))) == list(range(1, 9))
