"""A simulated host for devices of any known model: takes results, answers questions with given work.

For field engineers who want to try a device without the laboratory's system, and for the tests of the simulators.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from types import TracebackType
from typing import Self

from connectors.analyzers.driver import MODELS
from connectors.analyzers.simulator.faults import SimulatorFaults
from connectors.analyzers.simulator.link import BoundLine, LinkTimes, SimulatedLink
from connectors.analyzers.simulator.registry import dialect_of, link_for
from connectors.astm.sender import SenderRole
from domain.clock import IST, utc_now

_IDLE_SECONDS = 3600.0


class HostSimulator:
    """Listens for devices of one model.

    Attributes:
        port: It listens on, once started.
        received: Every message of the devices, without frames or marks, in the order received.
        work: Codes by barcode; may be changed while the host runs.
        on_message: Called with every message received.
    """

    def __init__(
        self,
        model_key: str,
        work: Mapping[str, Sequence[str]] | None = None,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        faults: SimulatorFaults | None = None,
        times: LinkTimes | None = None,
        clock: Callable[[], datetime] = utc_now,
        on_message: Callable[[bytes], None] | None = None,
    ) -> None:
        """Prepare the host.

        Raises:
            KeyError: No such model.
        """
        self.port = port
        self.received: list[bytes] = []
        self.work: dict[str, Sequence[str]] = dict(work or {})
        self.on_message = on_message
        self._model = MODELS[model_key]
        self._dialect = dialect_of(model_key)
        self._host = host
        self._faults = faults
        self._times = times or LinkTimes()
        self._clock = clock
        self._serial = 0
        self._server: asyncio.Server | None = None
        self._conversations: set[asyncio.Task[None]] = set()
        self._links: list[SimulatedLink] = []
        self._downloads: asyncio.Queue[bytes] = asyncio.Queue()
        self._heard = asyncio.Condition()

    async def start(self) -> None:
        """Listen.

        Raises:
            OSError: The port is taken.
        """
        self._server = await asyncio.start_server(self._converse, self._host, self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        """Hang up on all devices and stop listening."""
        if self._server is not None:
            self._server.close()
        conversations = list(self._conversations)
        for conversation in conversations:
            conversation.cancel()
        await asyncio.gather(*conversations, return_exceptions=True)

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    async def send_work(self, specimen_id: str, codes: Sequence[str]) -> bool:
        """Bring work unasked to the device that called last, or calls next; False where the model takes none."""
        raw = self._dialect.download(specimen_id, codes, self._next(), self._now())
        if raw:
            await self._downloads.put(raw)
        return bool(raw)

    async def until(self, is_enough: Callable[[Sequence[bytes]], bool]) -> None:
        """Wait until what was received is enough."""
        async with self._heard:
            await self._heard.wait_for(lambda: is_enough(self.received))

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        if task is not None:
            self._conversations.add(task)
        line = BoundLine(reader, writer, self._faults)
        link = link_for(self._model.profile, line, role=SenderRole.COMPUTER, faults=self._faults, times=self._times)
        self._links.append(link)
        try:
            # nobody waits for this task, and a server whose task was cancelled complains
            with contextlib.suppress(OSError, asyncio.CancelledError):
                await self._serve(link)
        finally:
            self._links.remove(link)
            if task is not None:
                self._conversations.discard(task)
            await line.close()

    async def _serve(self, link: SimulatedLink) -> None:
        waited = 0.0
        while waited < _IDLE_SECONDS:
            raw = await link.receive(0.02)
            if raw is None:
                waited += 0.02
                if not self._downloads.empty() and link is self._links[-1]:
                    await link.send(self._downloads.get_nowait())
                continue
            waited = 0.0
            async with self._heard:
                self.received.append(raw)
                self._heard.notify_all()
            if self.on_message is not None:
                self.on_message(raw)
            for outgoing in self._dialect.respond(raw, self.work, self._next(), self._now()):
                if outgoing.wants_answer:
                    await link.send(outgoing.raw)
                else:
                    await link.reply(outgoing.raw)

    def _next(self) -> int:
        self._serial += 1
        return self._serial

    def _now(self) -> datetime:
        return self._clock().astimezone(IST)
