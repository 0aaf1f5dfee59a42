"""Keeps the lines to devices as the list of analyzers has them: starts, stops and restarts those whose entry changed.

The list is read again every few seconds, so that a new device, another port or another profile needs no restart and
touches no other device. What two devices claim for themselves alone (a port, a serial port, a folder) is given to the
one that has it already, else to neither: results must not be read with another device's mapping.
"""

from __future__ import annotations

import asyncio
import logging
from collections import defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Self, TypeAlias
from uuid import UUID

from pydantic import ValidationError

from connectors.line import ConnectionState, TapPoint
from connectors.transports import Channel, ChannelSetup, Device, channel_for, endpoint_of
from domain.clock import utc_now
from domain.device_orders import WorkDesk
from domain.device_profile import DeviceProfile
from domain.device_transport import TRANSPORT, DeviceTransport
from store.device_links import LinkState
from store.tables.results import Analyzer

logger = logging.getLogger(__name__)

_RESTART_SECONDS = 5.0

NewDesk: TypeAlias = Callable[[Analyzer], WorkDesk | None]
"""Makes the desk of one connection to a device; None where it is given no work."""


def no_desk(_analyzer: Analyzer) -> WorkDesk | None:
    """Give no device any work."""
    return None


def no_point(_code: str) -> TapPoint:
    """Attach no recording to any device."""
    return TapPoint()


@dataclass(frozen=True)
class Wanted:
    """A line as an entry in the list asks for it; equal while nothing that matters to it was changed.

    Attributes:
        endpoint: What the line takes for itself alone.
    """

    analyzer_id: UUID
    code: str
    transport: DeviceTransport
    profile: DeviceProfile
    peers: frozenset[str]
    endpoint: str


@dataclass
class _Running:
    wanted: Wanted
    channel: Channel
    task: asyncio.Task[None]
    crash: str = ""
    since: datetime = field(default_factory=utc_now)


class Devices:
    """The lines of one process.

    Attributes:
        refused: Why a device in the list has no line, by the device's id.
    """

    def __init__(
        self,
        setup: ChannelSetup,
        *,
        taken_ports: Collection[int] = (),
        new_desk: NewDesk = no_desk,
        point_of: Callable[[str], TapPoint] = no_point,
    ) -> None:
        """Prepare; nothing is opened before `fit`.

        Args:
            setup: What all lines share.
            taken_ports: Ports of this process that no device may have.
            new_desk: Where the work of a device comes from.
            point_of: Where recordings of the device with a code are attached.
        """
        self._setup = setup
        self._taken = {f"port {port}" for port in taken_ports}
        self._new_desk = new_desk
        self._point_of = point_of
        self._tasks: asyncio.TaskGroup | None = None
        self._running: dict[UUID, _Running] = {}
        self._refused_since: dict[UUID, datetime] = {}
        self._listed: dict[UUID, Analyzer] = {}
        self.refused: dict[UUID, str] = {}

    async def __aenter__(self) -> Self:
        self._tasks = await asyncio.TaskGroup().__aenter__()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stop(list(self._running))
        if self._tasks is not None:
            await self._tasks.__aexit__(None, None, None)

    async def fit(self, analyzers: Sequence[Analyzer]) -> None:
        """Start, stop and restart lines until they are those of the list; the others are not touched.

        Raises:
            RuntimeError: Outside of the `async with` block.
        """
        if self._tasks is None:
            raise RuntimeError("enter the block first")
        wanted, refused = self._wanted(analyzers)
        self._listed = {row.id: row for row in analyzers}
        gone = [key for key, line in self._running.items() if wanted.get(key) != line.wanted]
        await self._stop(gone)
        for key, want in wanted.items():
            if key not in self._running:
                self._start(want, self._tasks)
        self._refuse(refused)

    def links(self) -> list[LinkState]:
        """Return every connection on these lines, and every line that has trouble."""
        found = []
        for key, line in self._running.items():
            trouble = line.crash or line.channel.trouble
            states = line.channel.connections()
            found += [_link(line, state) for state in states]
            if trouble and not states:
                found.append(_troubled(self._listed[key], line.wanted.endpoint, line.since, trouble))
        for key, reason in self.refused.items():
            found.append(_troubled(self._listed[key], "refused", self._refused_since[key], reason))
        return found

    def troubles(self) -> dict[str, str]:
        """Return what is wrong, by the device's code."""
        found = {self._listed[key].code: reason for key, reason in self.refused.items()}
        for line in self._running.values():
            if trouble := line.crash or line.channel.trouble:
                found[line.wanted.code] = trouble
        return found

    def connected(self) -> dict[tuple[str, str], int]:
        """Return the number of open connections by protocol and device code."""
        return {
            (line.wanted.profile.protocol, line.wanted.code): len(line.channel.connections())
            for line in self._running.values()
        }

    def _wanted(self, analyzers: Sequence[Analyzer]) -> tuple[dict[UUID, Wanted], dict[UUID, str]]:
        wanted: dict[UUID, Wanted] = {}
        refused: dict[UUID, str] = {}
        for row in analyzers:
            try:
                want = wanted_line(row)
            except ValidationError as error:
                where = ", ".join(sorted({".".join(str(part) for part in item["loc"]) for item in error.errors()}))
                refused[row.id] = f"its transport or profile is not understood: {where or 'kind'}"[:300]
                continue
            if want.endpoint:
                wanted[row.id] = want
        held = {line.wanted.endpoint: key for key, line in self._running.items()}
        for key, reason in conflicts(wanted.values(), held, self._taken).items():
            refused[key] = reason
            del wanted[key]
        return wanted, refused

    def _start(self, want: Wanted, tasks: asyncio.TaskGroup) -> None:
        row = self._listed[want.analyzer_id]
        device = Device(
            code=want.code, profile=want.profile, peers=want.peers, new_desk=lambda: self._new_desk(row),
            tap_point=self._point_of(want.code),
        )  # fmt: skip
        channel = channel_for(want.transport, device, self._setup)
        if channel is None:
            return
        task = tasks.create_task(self._hold(want.analyzer_id, channel), name=f"line {want.code}")
        self._running[want.analyzer_id] = _Running(want, channel, task)
        logger.info("line to %s is started on %s", want.code, want.endpoint)

    async def _hold(self, key: UUID, channel: Channel) -> None:
        """Run a line; what fails in it is for the log and this line alone."""
        while True:
            try:
                await channel.run()
            except Exception as error:
                # the edge: one line must not end the others
                line = self._running[key]
                line.crash = f"it failed: {type(error).__name__}"
                logger.exception("line to %s failed, it is opened again", line.wanted.code)
            await asyncio.sleep(_RESTART_SECONDS)
            self._running[key].crash = ""

    async def _stop(self, keys: Sequence[UUID]) -> None:
        lines = [self._running[key] for key in keys]
        for line in lines:
            line.task.cancel()
        if lines:
            await asyncio.wait([line.task for line in lines])
        for key in keys:
            logger.info("line to %s is closed", self._running.pop(key).wanted.code)

    def _refuse(self, refused: Mapping[UUID, str]) -> None:
        for key, reason in refused.items():
            if self.refused.get(key) != reason:
                logger.error("no line to %s: %s", self._listed[key].code, reason)
        now = utc_now()
        self._refused_since = {key: self._refused_since.get(key, now) for key in refused}
        self.refused = dict(refused)


def wanted_line(row: Analyzer) -> Wanted:
    """Return the line that an entry asks for.

    Raises:
        ValidationError: Its transport or profile is not understood.
    """
    transport = TRANSPORT.validate_python(row.transport or {"kind": "listener"})
    return Wanted(
        analyzer_id=row.id,
        code=row.code,
        transport=transport,
        profile=DeviceProfile.model_validate(_profile_json(row)),
        peers=frozenset(row.peers),
        endpoint=endpoint_of(transport),
    )


def conflicts(wanted: Collection[Wanted], held: Mapping[str, UUID], taken: Collection[str]) -> dict[UUID, str]:
    """Return the lines that must not be opened, with the reason.

    Args:
        wanted: Lines asked for.
        held: Which device has an endpoint now: it keeps it.
        taken: Endpoints that no device may have.
    """
    claims: defaultdict[str, list[Wanted]] = defaultdict(list)
    for want in wanted:
        claims[want.endpoint].append(want)
    refused = {}
    for endpoint, claimants in claims.items():
        if endpoint in taken:
            refused.update({want.analyzer_id: f"{endpoint} is one of this program's own" for want in claimants})
        elif len(claimants) > 1:
            codes = ", ".join(sorted(want.code for want in claimants))
            for want in claimants:
                if held.get(endpoint) != want.analyzer_id:
                    refused[want.analyzer_id] = f"{endpoint} is claimed by {codes}: give each its own"
    return refused


def _profile_json(row: Analyzer) -> dict[str, Any]:
    return {"protocol": row.protocol, **row.profile}


def _link(line: _Running, state: ConnectionState) -> LinkState:
    return link_state(state, line.wanted.analyzer_id, line.wanted.profile.protocol, line.channel.transport)


def link_state(state: ConnectionState, analyzer_id: UUID | None, protocol: str, transport: str) -> LinkState:
    """Return a connection as it is written down."""
    return LinkState(
        analyzer_id=analyzer_id,
        protocol=protocol,
        transport=transport,
        peer=state.peer,
        local_port=state.local_port,
        since=state.since,
        last_message_at=state.last_message_at,
        received=state.received,
        acknowledged=state.acknowledged,
        refused=state.refused,
        broken=state.broken,
        repeated=state.repeated,
    )


def _troubled(row: Analyzer, endpoint: str, since: datetime, trouble: str) -> LinkState:
    return LinkState(
        analyzer_id=row.id,
        protocol=row.protocol,
        transport=str(row.transport.get("kind", ""))[:20],
        peer=f"{row.code}: {endpoint}",
        local_port=0,
        since=since,
        trouble=trouble,
    )
