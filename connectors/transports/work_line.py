"""A device with two connections of which we open the one for its work: to the caller they are one channel.

Source: IHE LAW, message transport (each side opens the connection for what it begins), read in specs.
"""

from __future__ import annotations

import asyncio
from typing import ClassVar

from connectors.line import ConnectionState
from connectors.transports.channel import Channel


class WithWorkLine:
    """The line on which the device speaks, and the one on which it is given work."""

    transport: ClassVar[str] = "tcp"

    def __init__(self, speaks: Channel, takes_work: Channel) -> None:
        self._lines = (speaks, takes_work)

    @property
    def trouble(self) -> str:
        """Why one of the lines cannot be used now, or ""."""
        speaks, takes_work = (line.trouble for line in self._lines)
        return speaks or (f"line for work: {takes_work}" if takes_work else "")

    def connections(self) -> list[ConnectionState]:
        """Return the state of every open connection, oldest first."""
        return sorted((state for line in self._lines for state in line.connections()), key=lambda state: state.since)

    async def run(self) -> None:
        """Serve both until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            for line in self._lines:
                tasks.create_task(line.run())
