"""The process that analyzers talk to: TCP in, one committed row, then the acknowledgement. It reads no message itself.

It stays up while PostgreSQL is down: the ports stay open, nothing is acknowledged, and analyzers send again.
"""

from __future__ import annotations

import asyncio
import logging
import signal
from collections.abc import Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from sqlmodel import col, select

from connectors.astm.server import AstmServer
from connectors.hl7.server import Hl7Server
from connectors.line import ListenerLimits
from connectors.listener import Listener
from domain.device_profile import DeviceProfile
from domain.errors import LabError, MessageError
from domain.observations import ReceivedMessage, StoreOutcome
from inbox.desk import DeskFactory, DeskPolicy
from inbox.instruments import read
from store.instrument_messages import keep_message
from store.session import Database, StoreUnavailableError
from store.tables.results import Analyzer
from store.tube_work import WorkPolicy
from telemetry import metrics

if TYPE_CHECKING:
    from settings import Settings

logger = logging.getLogger(__name__)

RELOAD_SECONDS = 5.0
"""How often the list of analyzers is read again: a new device needs no restart."""


@dataclass
class Door:
    """Stores what comes in and knows who may send.

    Attributes:
        analyzers: Registered devices, read again every few seconds.
    """

    database: Database
    analyzers: Sequence[Analyzer] = field(default_factory=tuple)

    async def reload(self) -> None:
        """Read the registered devices again."""
        async with self.database.transaction() as session:
            rows = await session.exec(select(Analyzer).where(Analyzer.is_active).order_by(col(Analyzer.code)))
            self.analyzers = rows.all()

    async def keep_reloading(self) -> None:
        """Read the devices again and again; while the database is away the last list counts."""
        while True:
            await asyncio.sleep(RELOAD_SECONDS)
            try:
                await self.reload()
            except StoreUnavailableError:
                logger.warning("the database is away, analyzers are told to send again")

    def analyzer_at(self, protocol: str, peer: str) -> Analyzer | None:
        """Return the device registered for the peer's address, if exactly one is."""
        address = peer.rsplit(":", 1)[0]
        found = [row for row in self.analyzers if row.protocol == protocol and address in row.peers]
        return found[0] if len(found) == 1 else None

    def profile_for(self, protocol: str) -> Callable[[str], DeviceProfile]:
        """Return the function that gives a listener the profile of a peer."""

        def profile(peer: str) -> DeviceProfile:
            return _profile(protocol, self.analyzer_at(protocol, peer))

        return profile

    async def store(self, message: ReceivedMessage) -> StoreOutcome:
        """Commit the bytes, then say whether they can be read. Only what is committed is accepted."""
        analyzer = self.analyzer_at(message.protocol, message.peer)
        async with self.database.transaction() as session:
            await keep_message(
                session,
                message.raw,
                analyzer_id=analyzer.id if analyzer else None,
                protocol=message.protocol,
                transport=message.transport,
                peer=message.peer,
                framing_error=message.framing_error,
            )
        metrics.instrument_message(message.protocol, "stored")
        return await asyncio.to_thread(_readable, message, _profile(message.protocol, analyzer))


def _profile(protocol: str, analyzer: Analyzer | None) -> DeviceProfile:
    return DeviceProfile.model_validate({"protocol": protocol, **(analyzer.profile if analyzer else {})})


def _readable(message: ReceivedMessage, profile: DeviceProfile) -> StoreOutcome:
    """Tell whether the committed bytes can be read; if not, the device hears so and the message waits for a person."""
    if message.framing_error:
        return StoreOutcome(accepted=True, readable=False, note=message.framing_error)
    try:
        read(message.raw, profile)
    except MessageError as error:
        return StoreOutcome(accepted=True, readable=False, note=error.code)
    except LabError as error:
        return StoreOutcome(accepted=True, readable=False, note=error.code)
    return StoreOutcome(accepted=True)


def listeners(
    door: Door, host: str, ports: Mapping[str, int], limits: ListenerLimits, desks: DeskFactory | None = None
) -> list[Listener]:
    """Return one listener per protocol, not yet started; `ports` may name 0 for a free one."""
    kinds: dict[str, type[Listener]] = {"astm": AstmServer, "hl7": Hl7Server}
    return [
        kinds[protocol](
            host, port, door.store, limits=limits, profile_for=door.profile_for(protocol),
            desk_for=desks.desk_for(protocol, door.analyzer_at) if desks else None,
        )
        for protocol, port in ports.items()
    ]  # fmt: skip


async def _count_connections(running: Sequence[Listener]) -> None:
    known = dict.fromkeys((listener.protocol for listener in running), 0)
    while True:
        for listener in running:
            now = len(listener.connections())
            metrics.instrument_connected(listener.protocol, now - known[listener.protocol])
            known[listener.protocol] = now
        await asyncio.sleep(1)


async def serve(settings: Settings, database: Database) -> None:
    """Listen until SIGTERM or SIGINT; conversations under way are ended, nothing unacknowledged is lost."""
    door = Door(database)
    try:
        await door.reload()
    except StoreUnavailableError:
        # devices are refused politely instead of not at all; who sent what is settled again when it is read
        logger.warning("the database is away, analyzers are told to send again")
    own = settings.instruments
    limits = ListenerLimits(
        max_message_bytes=own.max_message_bytes,
        max_connections=own.max_connections,
        max_connections_per_source=own.max_connections_per_address,
        message_seconds=own.message_timeout_s,
    )
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    work = WorkPolicy.of(needs_receipt=own.work_needs_receipt, skips_resulted=own.work_skips_resulted)
    desks = DeskFactory(database, DeskPolicy(work=work))
    running = listeners(door, own.host, {"astm": own.astm_port, "hl7": own.hl7_port}, limits, desks)
    async with AsyncExitStack() as stack:
        for listener in running:
            await stack.enter_async_context(listener)
            logger.info("listening for %s", listener.protocol, extra={"port": listener.port})
        async with asyncio.TaskGroup() as tasks:
            beside = (door.keep_reloading(), _count_connections(running), desks.run())
            helpers = [tasks.create_task(each) for each in beside]
            await stop.wait()
            for helper in helpers:
                helper.cancel()
