"""A device that listens: we connect, and connect again, ever less often, when it is away."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from connectors.line import Sink, Source
from connectors.listener import close, keep_alive
from connectors.transports.channel import ChannelSetup, Device, OneConnection
from connectors.transports.tls import client_context
from domain.device_transport import Outgoing, WorkLine

_CONNECT_SECONDS = 10.0


class Dialled(OneConnection):
    """Connects to the device and speaks with it until it hangs up, again and again."""

    def __init__(self, device: Device, setup: ChannelSetup, transport: Outgoing | WorkLine) -> None:
        super().__init__(
            device,
            setup,
            peer=f"{transport.host}:{transport.port}",
            longest_pause=transport.reconnect_s,
            is_for_work=isinstance(transport, WorkLine),
        )
        self._transport = transport

    @asynccontextmanager
    async def _opened(self) -> AsyncIterator[tuple[Source, Sink]]:
        tls = client_context(self._setup.tls) if self._transport.tls else None
        try:
            async with asyncio.timeout(_CONNECT_SECONDS):
                reader, writer = await asyncio.open_connection(self._transport.host, self._transport.port, ssl=tls)
        except TimeoutError as error:
            raise ConnectionError("the device does not answer") from error
        try:
            keep_alive(writer)
            yield reader, writer
        finally:
            await close(writer)
