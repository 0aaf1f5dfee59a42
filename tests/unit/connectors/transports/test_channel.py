"""Pauses between attempts grow to their ceiling and begin small again."""

import asyncio

from connectors.transports.channel import Pauses


async def test_pauses_grow_to_the_ceiling():
    loop = asyncio.get_running_loop()
    pauses = Pauses(0.02)
    began = loop.time()
    for _ in range(3):
        await pauses.wait()
    assert 0.05 < loop.time() - began < 1
    assert pauses._next == 0.02
    pauses.reset()
    assert pauses._next > 0.02
