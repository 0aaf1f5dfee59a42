"""Number series: no gap and no number twice, whatever is rolled back."""

import asyncio
import contextlib

from store.counters import next_number, next_numbers
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


async def test_blocks_of_several_series_are_taken_at_once(database: Database):
    async with database.transaction() as session:
        assert await next_numbers(session, {"t:block": 3, "t:other": 1}) == {
            "t:block": range(1, 4),
            "t:other": range(1, 2),
        }
        assert await next_numbers(session, {"t:block": 2}) == {"t:block": range(4, 6)}
        assert await next_numbers(session, {}) == {}


async def test_takers_that_name_the_same_series_in_another_order_do_not_lock_each_other_out(database: Database):
    async def take(*series: str) -> None:
        async with database.transaction() as session:
            await next_numbers(session, dict.fromkeys(series, 1))

    names = ("t:x", "t:y", "t:z")
    await asyncio.gather(*(take(*names[:: 1 if number % 2 else -1]) for number in range(30)))
    async with database.transaction() as session:
        assert await next_numbers(session, dict.fromkeys(names, 1)) == dict.fromkeys(names, range(31, 32))
