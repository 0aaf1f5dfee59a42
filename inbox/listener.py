"""The process that analyzers talk to: TCP in, one committed row, then the acknowledgement. It reads no message itself.

It stays up while PostgreSQL is down: the ports stay open, nothing is acknowledged, and analyzers send again.
"""

from __future__ import annotations

import asyncio
import logging
import signal
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

from sqlmodel import col, select

from connectors.astm.server import AstmServer
from connectors.hl7.server import Hl7Server
from connectors.line import ConnectionState, DeskFor, ListenerLimits, PointFor, Store, TapPoint
from connectors.listener import Listener
from connectors.transports.channel import ChannelSetup
from connectors.transports.tls import TlsFiles
from domain.device_orders import WorkDesk
from domain.device_profile import DeviceProfile
from domain.errors import LabError, MessageError
from domain.observations import ReceivedMessage, StoreOutcome
from inbox.board import Board
from inbox.desk import DeskFactory, DeskPolicy
from inbox.devices import Devices, NewDesk, no_desk, no_point
from inbox.instruments import read
from inbox.intake import Intake
from inbox.known_devices import KnownDevices
from inbox.readable import is_surely_readable
from inbox.recorder import Recorder, TapPoints
from store.intake import RawMessage
from store.session import Database, StoreUnavailableError
from store.tables.results import Analyzer
from store.tube_work import WorkPolicy
from telemetry import metrics

if TYPE_CHECKING:
    from settings import InstrumentSettings, Settings

logger = logging.getLogger(__name__)

_STANDARD: dict[str, Any] = {}
"""The profile of a device that is not registered."""


@dataclass
class Door:
    """Stores what comes in and knows who may send.

    Attributes:
        known: Registered devices, read again every few seconds.
        shared_ports: Ports on which devices are known by their address; none given means every port.
    """

    database: Database
    known: KnownDevices = field(default_factory=KnownDevices)
    shared_ports: Collection[int] = ()
    intake: Intake = field(init=False)
    _profiles: dict[tuple[str, str], tuple[dict[str, Any], DeviceProfile]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Make the intake over the same database."""
        self.intake = Intake(self.database)

    async def close(self) -> None:
        """Give the connections back; nobody may send any more."""
        await self.intake.close()

    @property
    def analyzers(self) -> Sequence[Analyzer]:
        """All registered devices, by code."""
        return self.known.rows

    async def reload(self) -> None:
        """Read the registered devices again."""
        async with self.database.transaction() as session:
            rows = await session.exec(select(Analyzer).where(Analyzer.is_active).order_by(col(Analyzer.code)))
            self.known = KnownDevices(rows.all())

    def analyzer_at(self, protocol: str, peer: str, local_port: int = 0) -> Analyzer | None:
        """Return the device registered for what a connection shows, if exactly one is.

        Args:
            protocol: Spoken on the connection.
            peer: `ip:port` of the other end.
            local_port: The port it came to, 0 for a shared one: a device that has it for itself is known by it, others
                by their address.
        """
        return self._at(self.known, protocol, peer, local_port)

    def is_changed(self, before: KnownDevices, protocol: str, peer: str, local_port: int) -> bool:
        """Tell whether a connection is another device's than `before`, or its device speaks differently by now."""
        rows = [self._at(known, protocol, peer, local_port) for known in (before, self.known)]
        then, now = [(row.id, row.profile) if row else None for row in rows]
        return then != now

    def _at(self, known: KnownDevices, protocol: str, peer: str, local_port: int) -> Analyzer | None:
        found = known.on_port(protocol, local_port) if local_port else []
        is_shared = not local_port or not self.shared_ports or local_port in self.shared_ports
        if not found and is_shared:
            found = known.at_address(protocol, peer.rsplit(":", 1)[0])
        return found[0] if len(found) == 1 else None

    def code_at(self, protocol: str, peer: str, local_port: int = 0) -> str:
        """Return the code of the device registered for what a connection shows, or ""."""
        row = self.analyzer_at(protocol, peer, local_port)
        return row.code if row is not None else ""

    def analyzer_of(self, message: ReceivedMessage) -> Analyzer | None:
        """Return the device that sent a message: the one whose line it came on, else the one at its address."""
        if message.device:
            return self.known.coded(message.device)
        return self.analyzer_at(message.protocol, message.peer, message.local_port)

    def profile_for(self, protocol: str) -> Callable[[str], DeviceProfile]:
        """Return the function that gives a listener the profile of a peer."""

        def profile(peer: str) -> DeviceProfile:
            return self._profile_of(protocol, self.analyzer_at(protocol, peer))

        return profile

    def _profile_of(self, protocol: str, analyzer: Analyzer | None) -> DeviceProfile:
        """Return a device's profile; it is read from its row once, however many messages come."""
        code, given = (analyzer.code, analyzer.profile) if analyzer else ("", _STANDARD)
        kept = self._profiles.get((protocol, code))
        if kept is None or kept[0] is not given:
            kept = (given, DeviceProfile.model_validate({"protocol": protocol, **given}))
            self._profiles[protocol, code] = kept
        return kept[1]

    async def store(self, message: ReceivedMessage) -> StoreOutcome:
        """Commit the bytes, then say whether they can be read. Only what is committed is accepted."""
        analyzer = self.analyzer_of(message)
        await self.intake.keep(
            RawMessage(
                raw=message.raw,
                analyzer_id=analyzer.id if analyzer else None,
                protocol=message.protocol,
                transport=message.transport,
                peer=message.peer,
                received_at=message.received_at,
                framing_error=message.framing_error,
            )
        )
        metrics.instrument_message(message.protocol, "stored", analyzer.code if analyzer else "")
        if not message.framing_error and is_surely_readable(message.protocol, message.raw):
            return StoreOutcome(accepted=True)
        return await asyncio.to_thread(_readable, message, self._profile_of(message.protocol, analyzer))


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
    door: Door,
    host: str,
    ports: Mapping[str, int],
    limits: ListenerLimits,
    new_desk: NewDesk = no_desk,
    *,
    point_of: Callable[[str], TapPoint] = no_point,
) -> list[Listener]:
    """Return one shared listener per protocol, not yet started; `ports` may name 0 for a free one."""
    kinds: dict[str, type[Listener]] = {"astm": AstmServer, "hl7": Hl7Server}

    def desks(protocol: str) -> DeskFor:
        def desk(peer: str) -> WorkDesk | None:
            row = door.analyzer_at(protocol, peer)
            return new_desk(row) if row is not None else None

        return desk

    def points(protocol: str) -> PointFor:
        def point(peer: str) -> TapPoint:
            return point_of(door.code_at(protocol, peer))

        return point

    return [
        kinds[protocol](
            host, port, door.store, limits=limits, profile_for=door.profile_for(protocol), desk_for=desks(protocol),
            point_for=points(protocol),
        )
        for protocol, port in ports.items()
    ]  # fmt: skip


async def keep_fitting(door: Door, devices: Devices, seconds: float, shared: Sequence[Listener] = ()) -> None:
    """Read the list of devices again and again and fit the lines to it; while the database is away the last counts."""
    while True:
        before = door.known
        try:
            await door.reload()
        except StoreUnavailableError:
            # devices are refused politely instead of not at all; who sent what is settled again when it is read
            logger.warning("the database is away, analyzers are told to send again")
        hang_up_changed(door, before, shared)
        await devices.fit(door.analyzers)
        await asyncio.sleep(seconds)


def hang_up_changed(door: Door, before: KnownDevices, shared: Sequence[Listener]) -> None:
    """End the connections on shared ports whose device or profile is not what it was when they began.

    Such a connection would go on with the old profile, and be given the work of the device that had its address
    before. Nothing is lost: what was not acknowledged is sent again. All other connections stay.
    """
    if before is door.known:
        return
    for listener in shared:
        ended = listener.hang_up(partial(_is_changed, door, before, listener.protocol))
        if ended:
            logger.info("%d connections are ended because their device was changed", ended)


def _is_changed(door: Door, before: KnownDevices, protocol: str, state: ConnectionState) -> bool:
    return door.is_changed(before, protocol, state.peer, state.local_port)


def _setup(own: InstrumentSettings, store: Store, limits: ListenerLimits) -> ChannelSetup:
    return ChannelSetup(
        store=store,
        limits=limits,
        host=own.host,
        tls=TlsFiles(own.tls_certificate, own.tls_key, own.tls_client_ca, own.tls_server_ca),
        folder_roots=own.folder_roots,
        serial_roots=own.serial_roots,
    )


async def serve(settings: Settings, database: Database) -> None:
    """Listen until SIGTERM or SIGINT; conversations under way are ended, nothing unacknowledged is lost."""
    door = Door(database)
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
    points = TapPoints()
    running = listeners(
        door, own.host, {"astm": own.astm_port, "hl7": own.hl7_port}, limits, desks.desk, point_of=points.of
    )
    try:
        await door.reload()
    except StoreUnavailableError:
        logger.warning("the database is away, analyzers are told to send again")
    async with AsyncExitStack() as stack:
        stack.push_async_callback(door.close)
        for listener in running:
            await stack.enter_async_context(listener)
            logger.info("listening for %s", listener.protocol, extra={"port": listener.port})
        door.shared_ports = {listener.port for listener in running}
        taken = door.shared_ports | {settings.telemetry.listener_metrics_port}
        setup = _setup(own, door.store, limits)
        devices = Devices(setup, taken_ports=taken, new_desk=desks.desk, point_of=points.of)
        await stack.enter_async_context(devices)
        async with asyncio.TaskGroup() as tasks:
            beside = (
                keep_fitting(door, devices, own.reload_s, running),
                Board(door, running, devices).run(),
                desks.run(),
                Recorder(database, points, running, door.code_at).run(),
            )
            helpers = [tasks.create_task(each) for each in beside]
            await stop.wait()
            for helper in helpers:
                helper.cancel()
