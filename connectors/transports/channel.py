"""What every channel to one device is given, and what it shows of itself."""

from __future__ import annotations

import asyncio
import logging
from abc import ABC, abstractmethod
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import ClassVar, Protocol

from connectors.conversations import speech_of
from connectors.line import ConnectionState, Conversation, Line, ListenerLimits, Sink, Source, Store, TapPoint
from connectors.transports.tls import TlsFiles
from domain.clock import utc_now
from domain.device_orders import WorkDesk
from domain.device_profile import DeviceProfile

_log = logging.getLogger(__name__)

_FIRST_PAUSE_SECONDS = 0.5
_PAUSE_GROWTH = 2.0
_STEADY_SECONDS = 60.0


@dataclass(frozen=True)
class Device:
    """The device at the end of a channel.

    Attributes:
        code: The laboratory's code of it.
        peers: Addresses it may connect from; empty is any.
        new_desk: Makes the desk of one connection; None for devices that are given no work.
        tap_point: Where recordings of its lines are attached.
    """

    code: str
    profile: DeviceProfile
    peers: frozenset[str] = frozenset()
    new_desk: Callable[[], WorkDesk | None] = lambda: None
    tap_point: TapPoint = field(default_factory=TapPoint, compare=False)

    @cached_property
    def converse(self) -> Conversation:
        """What speaks the device's protocol, one for all its lines."""
        return speech_of(self.profile).conversation()


@dataclass(frozen=True)
class ChannelSetup:
    """What all channels of a process share.

    Attributes:
        store: Called with every message and every broken piece.
        limits: Bounds.
        host: Address that ports are bound to.
        tls: Certificate files for encrypted lines.
        folder_roots: Folders under which watched folders must be.
        serial_roots: Folders under which serial ports must be.
    """

    store: Store
    limits: ListenerLimits = field(default_factory=ListenerLimits)
    host: str = "127.0.0.1"
    tls: TlsFiles = field(default_factory=TlsFiles)
    folder_roots: tuple[Path, ...] = ()
    serial_roots: tuple[Path, ...] = (Path("/dev"),)


class Channel(Protocol):
    """One way to one device."""

    transport: ClassVar[str]

    @property
    def trouble(self) -> str:
        """Why the channel cannot be used now, in words for people, or ""."""
        ...

    def connections(self) -> list[ConnectionState]:
        """Return the state of every open connection, oldest first."""
        ...

    async def run(self) -> None:
        """Serve the device until cancelled."""
        ...


@dataclass
class Pauses:
    """Growing pauses between attempts, with a ceiling; short again after an attempt that lasted.

    Attributes:
        longest: Seconds.
    """

    longest: float
    _next: float = field(default=_FIRST_PAUSE_SECONDS, init=False)

    async def wait(self) -> None:
        """Wait before the next attempt."""
        pause = min(self._next, self.longest)
        self._next = min(self._next * _PAUSE_GROWTH, self.longest)
        await asyncio.sleep(pause)

    def reset(self) -> None:
        """The last attempt was good."""
        self._next = _FIRST_PAUSE_SECONDS


class OneConnection(ABC):
    """The part that channels with one connection at a time share: open, converse, pause, open again."""

    transport: ClassVar[str] = "tcp"

    def __init__(
        self, device: Device, setup: ChannelSetup, *, peer: str, longest_pause: float, is_for_work: bool = False
    ) -> None:
        self._device = device
        self._setup = setup
        self._peer = peer
        self._is_for_work = is_for_work
        self._pauses = Pauses(longest_pause)
        self._state: ConnectionState | None = None
        self._trouble = ""

    @property
    def trouble(self) -> str:
        """Why the channel cannot be used now, or ""."""
        return self._trouble

    def connections(self) -> list[ConnectionState]:
        """Return the state of the connection, if it is open."""
        return [self._state] if self._state is not None else []

    async def run(self) -> None:
        """Serve the device until cancelled; a connection that ends is opened again, ever less often."""
        loop = asyncio.get_running_loop()
        while True:
            began = loop.time()
            try:
                await self._serve_once()
                self._complain("the device closed the connection")
            except ConnectionError as error:
                self._complain(f"the connection ended: {error}")
            except OSError as error:
                self._complain(f"the line failed: {error.strerror or type(error).__name__}")
            if loop.time() - began > _STEADY_SECONDS:
                self._pauses.reset()
            await self._pauses.wait()

    @abstractmethod
    def _opened(self) -> AbstractAsyncContextManager[tuple[Source, Sink]]:
        """Open the connection and close it in the end. Raises OSError."""

    async def _serve_once(self) -> None:
        async with self._opened() as (source, sink):
            self._trouble = ""
            state = self._state = ConnectionState(
                peer=self._peer, local_port=0, since=utc_now(), tap_point=self._device.tap_point
            )
            line = line_to(
                self._device,
                self._setup,
                state,
                (source, sink),
                transport=self.transport,
                is_for_work=self._is_for_work,
            )
            _log.info("line to %s is open", self._device.code)
            try:
                await self._device.converse(line, self._device.profile, self._setup.limits)
            finally:
                if state.received:
                    self._pauses.reset()
                self._state = None

    def _complain(self, trouble: str) -> None:
        if trouble != self._trouble:
            _log.warning("line to %s: %s", self._device.code, trouble)
        self._trouble = trouble


def line_to(
    device: Device,
    setup: ChannelSetup,
    state: ConnectionState,
    ends: tuple[Source, Sink],
    *,
    transport: str,
    is_for_work: bool = False,
) -> Line:
    """Return the line on which a device's conversation runs, over the two ends of its connection."""
    return Line(
        *ends,
        protocol=device.profile.protocol,
        state=state,
        store=setup.store,
        store_seconds=min(setup.limits.store_seconds, speech_of(device.profile).answer_seconds),
        write_seconds=setup.limits.write_seconds,
        transport=transport,
        device=device.code,
        desk=device.new_desk(),
        is_for_work=is_for_work,
    )
