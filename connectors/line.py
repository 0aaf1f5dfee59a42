"""One connection with a device as its protocol sees it, wherever the bytes come from.

The protocol's own state machine runs in a *conversation*, given a `Line`. What every protocol needs is here: reading
with a time limit, writing to a peer that may not read, a store that cannot fail, the desk that knows the work.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from domain.clock import utc_now
from domain.device_orders import WorkDesk
from domain.device_profile import DeviceProfile
from domain.observations import ReceivedMessage, StoreOutcome

_log = logging.getLogger(__name__)

Store = Callable[[ReceivedMessage], Awaitable[StoreOutcome]]
"""Makes the bytes durable and says so. May raise or take too long: both count as "not accepted"."""
ProfileFor = Callable[[str], DeviceProfile]
"""Returns the profile of the device at a peer (`ip:port`); it decides how the link is read and answered."""
DeskFor = Callable[[str], "WorkDesk | None"]
"""Returns the desk of the device at a peer; None for devices that are given no work."""
PointFor = Callable[[str], "TapPoint"]
"""Returns where recordings of the device at a peer are attached."""

_READ_BYTES = 65_536


@dataclass(frozen=True)
class ListenerLimits:
    """Bounds of one listener; times in seconds."""

    max_message_bytes: int = 1 << 20
    max_connections: int = 256
    max_connections_per_source: int = 16
    message_seconds: float = 60.0
    """Most time from the first byte of a message to its last."""
    store_seconds: float = 30.0
    """Most time the store may take before the device is told to try again."""
    write_seconds: float = 15.0
    """Most time a device may take to read our answer before the connection is dropped."""


class Tap(Protocol):
    """Hears what goes over lines. It must not wait and must not raise: the device waits for the line."""

    def keep(self, connection: ConnectionState, data: bytes, *, is_sent: bool) -> None:
        """Take bytes that were read from a device or given to the line to it."""
        ...


class TapPoint:
    """Where a tap is put on all lines of one device, while they run.

    Attributes:
        tap: None while nothing is recorded.
    """

    __slots__ = ("tap",)

    def __init__(self) -> None:
        self.tap: Tap | None = None


@dataclass
class ConnectionState:
    """What is known of one connection, for the device board and for metrics.

    Attributes:
        peer: `ip:port`.
        since: Aware UTC.
        last_message_at: When the last whole message arrived, aware UTC, or None.
        received: Whole messages.
        acknowledged: Positive answers to messages.
        refused: Negative answers, to messages or parts of them.
        broken: Pieces of bytes that were no message.
        repeated: Messages that came again although we had acknowledged them.
        tap_point: Where a recording of the device is attached.
    """

    peer: str
    local_port: int
    since: datetime
    last_message_at: datetime | None = None
    received: int = 0
    acknowledged: int = 0
    refused: int = 0
    broken: int = 0
    repeated: int = 0
    tap_point: TapPoint = field(default_factory=TapPoint, repr=False, compare=False)


class Source(Protocol):
    """Where the bytes of a device come from; asyncio's `StreamReader` is one."""

    async def read(self, n: int = -1, /) -> bytes:
        """Return up to `n` bytes, b"" at the end."""
        ...


class Sink(Protocol):
    """Where bytes to a device go; asyncio's `StreamWriter` is one."""

    def write(self, data: bytes, /) -> None:
        """Take bytes to be sent."""
        ...

    async def drain(self) -> None:
        """Wait until the device has read enough of them."""
        ...


class Line:
    """One connection as the protocol sees it: bytes in, bytes out, and a store that cannot fail."""

    def __init__(
        self,
        reader: Source,
        writer: Sink,
        *,
        protocol: str,
        state: ConnectionState,
        store: Store,
        store_seconds: float,
        write_seconds: float,
        transport: str = "tcp",
        device: str = "",
        desk: WorkDesk | None = None,
        is_for_work: bool = False,
    ) -> None:
        """Take over a connection.

        Args:
            reader: Bytes from the device.
            writer: Bytes to the device.
            protocol: For the stored message.
            state: Counted here.
            store: Called with every message and every broken piece.
            store_seconds: Most time the store may take.
            write_seconds: Most time the device may take to read.
            transport: `tcp`, `serial` or `folder`, for the stored message.
            device: Code of the device whose own line this is, for the stored message.
            desk: Where work for the device comes from.
            is_for_work: The line was opened only to give the device its work.
        """
        self._reader = reader
        self._writer = writer
        self._protocol = protocol
        self._store = store
        self._store_seconds = store_seconds
        self._write_seconds = write_seconds
        self._transport = transport
        self._device = device
        self.state = state
        self.desk = desk
        self.is_for_work = is_for_work

    async def read(self, seconds: float | None) -> bytes | None:
        """Return the next bytes, b"" at the end of the stream, None when `seconds` pass without any."""
        if seconds is None:  # a time limit that never comes costs as much as one that does
            data = await self._reader.read(_READ_BYTES)
        else:
            try:
                async with asyncio.timeout(seconds):
                    data = await self._reader.read(_READ_BYTES)
            except TimeoutError:
                return None
        if self.state.tap_point.tap is not None:
            self.state.tap_point.tap.keep(self.state, data, is_sent=False)
        return data

    async def write(self, data: bytes) -> None:
        """Send `data`.

        Raises:
            ConnectionError: The peer is gone, or does not read.
        """
        self._writer.write(data)
        if self.state.tap_point.tap is not None:
            self.state.tap_point.tap.keep(self.state, data, is_sent=True)
        try:
            async with asyncio.timeout(self._write_seconds):
                await self._writer.drain()
        except TimeoutError as error:
            raise ConnectionError("the device does not read our answers") from error

    async def keep(self, raw: bytes, framing_error: str = "") -> StoreOutcome:
        """Hand bytes to the store; whatever goes wrong there is an outcome, not an error."""
        self._count(framing_error)
        message = ReceivedMessage(
            protocol=self._protocol,
            transport=self._transport,
            peer=self.state.peer,
            local_port=self.state.local_port,
            raw=raw,
            received_at=utc_now(),
            framing_error=framing_error,
            device=self._device,
        )
        try:
            async with asyncio.timeout(self._store_seconds):
                return await self._store(message)
        except TimeoutError:
            _log.warning("store took longer than %s s for a message from %s", self._store_seconds, self.state.peer)
        except Exception as error:  # noqa: BLE001  the edge: a failing store must not cost the connection
            _log.warning("store failed for a message from %s: %s", self.state.peer, type(error).__name__)
        return StoreOutcome(accepted=False, readable=False, note="not stored, send again")

    def _count(self, framing_error: str) -> None:
        if framing_error:
            self.state.broken += 1
        else:
            self.state.received += 1
            self.state.last_message_at = utc_now()


Conversation = Callable[[Line, DeviceProfile, ListenerLimits], Awaitable[None]]
"""Speaks a protocol on a line until the peer closes it."""
