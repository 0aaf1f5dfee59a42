"""Writes down what is connected: for metrics, and in the database for the device board."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from connectors.line import ConnectionState
from connectors.listener import Listener
from inbox.devices import Devices, link_state
from store.device_links import write_links
from store.session import StoreUnavailableError
from telemetry import metrics

if TYPE_CHECKING:
    from inbox.listener import Door

logger = logging.getLogger(__name__)

LINKS_SECONDS = 3.0
"""How often the connections are written down."""


class Board:
    """Writes down what is connected, for metrics and for the device board."""

    def __init__(self, door: Door, running: Sequence[Listener], devices: Devices) -> None:
        self._door = door
        self._running = running
        self._devices = devices
        self._process = f"{socket.gethostname()}:{os.getpid()}"
        self._known: Counter[tuple[str, str]] = Counter()

    async def run(self) -> None:
        """Write until cancelled; while the database is away only metrics are."""
        while True:
            self.count()
            try:
                await self.write()
            except StoreUnavailableError:
                logger.warning("the database is away, connections are not written down")
            await asyncio.sleep(LINKS_SECONDS)

    def count(self) -> None:
        """Bring the metrics up to date."""
        now: Counter[tuple[str, str]] = Counter(self._devices.connected())
        for listener, state in self._shared():
            row = self._door.analyzer_at(listener.protocol, state.peer, state.local_port)
            now[listener.protocol, row.code if row else ""] += 1
        for key in now.keys() | self._known.keys():
            metrics.instrument_connected(key[0], now[key] - self._known[key], key[1])
        self._known = now
        metrics.lines_in_trouble(self._devices.troubles())

    async def write(self) -> None:
        """Write the connections of this process to the database.

        Raises:
            StoreUnavailableError: It is away.
        """
        links = self._devices.links()
        for listener, state in self._shared():
            row = self._door.analyzer_at(listener.protocol, state.peer, state.local_port)
            links.append(link_state(state, row.id if row else None, listener.protocol, "tcp"))
        async with self._door.database.transaction() as session:
            await write_links(session, self._process, links)

    def _shared(self) -> Iterator[tuple[Listener, ConnectionState]]:
        for listener in self._running:
            for state in listener.connections():
                yield listener, state
