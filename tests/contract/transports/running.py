"""Runs a channel for the length of a block, and waits for what it shows."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Callable

from connectors.transports import Channel


@contextlib.asynccontextmanager
async def running(channel: Channel) -> AsyncIterator[Channel]:
    task = asyncio.ensure_future(channel.run())
    try:
        yield channel
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def until(holds: Callable[[], object], seconds: float = 10) -> None:
    async with asyncio.timeout(seconds):
        while not holds():  # noqa: ASYNC110  a channel shows its state and announces nothing
            await asyncio.sleep(0.01)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
