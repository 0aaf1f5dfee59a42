"""A TCP listener for analyzers: the only place where instrument protocols meet sockets.

The protocol's own state machine runs in `converse`, given a `Line`. What every protocol needs is here: limits on
connections, keep-alive, a record of every connection, a clean stop.

Idle sockets are never closed: analyzers are silent for hours and do not all reconnect. TCP keep-alive finds dead ones.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable
from types import TracebackType
from typing import Self

from connectors.line import ConnectionState, DeskFor, Line, ListenerLimits, PointFor, ProfileFor, Store, TapPoint
from domain.clock import utc_now
from domain.device_profile import DeviceProfile

_log = logging.getLogger(__name__)

_CLOSE_SECONDS = 1.0
_HANDSHAKE_SECONDS = 15.0
_KEEPALIVE_IDLE_SECONDS = 60
_KEEPALIVE_INTERVAL_SECONDS = 20
_KEEPALIVE_PROBES = 3


class Listener(ABC):
    """Accepts connections and runs one conversation on each.

    Attributes:
        totals: `accepted`, `refused` and `failed` connections since the start.
    """

    protocol: str
    answer_seconds: float = float("inf")
    """Longest wait for the store after which an answer would still be understood by the device."""
    device: str = ""
    """Code of the only device that connects here, if there is one."""

    def __init__(
        self,
        host: str,
        port: int,
        store: Store,
        *,
        limits: ListenerLimits | None = None,
        profile_for: ProfileFor | None = None,
        desk_for: DeskFor | None = None,
        point_for: PointFor | None = None,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        """Prepare a listener; nothing is bound before `start`.

        Args:
            host: Address to bind.
            port: Port to bind; 0 takes a free one, see `port`.
            store: Called with every message and every broken piece.
            limits: Bounds.
            profile_for: Profile by peer; by default the protocol's standard for everybody.
            desk_for: Where work for the device at a peer comes from; by default none is given.
            point_for: Where recordings of the device at a peer are attached; by default nothing is.
            tls: For devices behind a TLS terminal server.
        """
        self._host = host
        self._port = port
        self._store = store
        self._tls = tls
        self._server: asyncio.Server | None = None
        self._open: dict[asyncio.Task[None], ConnectionState] = {}
        self._sources: Counter[str] = Counter()
        standard = DeviceProfile.model_validate({"protocol": self.protocol})
        self.limits = limits or ListenerLimits()
        self.profile_for: ProfileFor = profile_for or (lambda _peer: standard)
        self.desk_for: DeskFor = desk_for or (lambda _peer: None)
        self.point_for: PointFor = point_for or (lambda _peer: TapPoint())
        self.totals: Counter[str] = Counter()

    @abstractmethod
    async def converse(self, line: Line, profile: DeviceProfile) -> None:
        """Speak the protocol on `line` until the peer closes it."""

    @property
    def host(self) -> str:
        """The address asked for."""
        return self._host

    @property
    def port(self) -> int:
        """The port bound, or asked for while not started."""
        if self._server is not None and self._server.sockets:
            return int(self._server.sockets[0].getsockname()[1])
        return self._port

    def connections(self) -> list[ConnectionState]:
        """Return the state of every open connection, oldest first."""
        return sorted(self._open.values(), key=lambda state: state.since)

    async def start(self) -> None:
        """Bind and accept.

        Raises:
            OSError: The address cannot be bound.
        """
        handshake = None if self._tls is None else _HANDSHAKE_SECONDS
        self._server = await asyncio.start_server(
            self._accept, self._host, self._port, ssl=self._tls, ssl_handshake_timeout=handshake
        )

    async def stop(self) -> None:
        """Stop accepting, end every conversation and wait until all have ended."""
        if self._server is None:
            return
        self._server.close()
        tasks = list(self._open)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._server.wait_closed()
        self._server = None

    def hang_up(self, is_meant: Callable[[ConnectionState], bool]) -> int:
        """End the conversations on some connections and return how many; the others and the port are not touched."""
        tasks = [task for task, state in self._open.items() if is_meant(state)]
        for task in tasks:
            task.cancel()
        return len(tasks)

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        address = writer.get_extra_info("peername") or ("unknown", 0)
        source, peer = str(address[0]), f"{address[0]}:{address[1]}"
        refusal = self.refusal(source)
        if task is None or refusal:
            self.totals["refused"] += 1
            _log.warning("refused a connection from %s: %s", source, refusal)
            await close(writer)
            return
        state = ConnectionState(peer=peer, local_port=self.port, since=utc_now(), tap_point=self.point_for(peer))
        self._open[task] = state
        self._sources[source] += 1
        self.totals["accepted"] += 1
        try:
            keep_alive(writer)
            await self.converse(self._line(reader, writer, state), self.profile_for(peer))
        except (ConnectionError, asyncio.CancelledError):
            _log.info("connection with %s ended", peer)
        except Exception:  # noqa: BLE001  the edge: one conversation must not end the listener
            self.totals["failed"] += 1
            _log.exception("conversation with %s failed", peer)
        finally:
            self._open.pop(task, None)
            self._sources[source] -= 1
            if not self._sources[source]:
                del self._sources[source]
            await close(writer)

    def _line(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, state: ConnectionState) -> Line:
        return Line(
            reader,
            writer,
            protocol=self.protocol,
            state=state,
            store=self._store,
            store_seconds=min(self.limits.store_seconds, self.answer_seconds),
            write_seconds=self.limits.write_seconds,
            device=self.device,
            desk=self.desk_for(state.peer),
        )

    def refusal(self, source: str) -> str:
        """Return why a connection from an address is not taken, or ""."""
        has_room = (
            len(self._open) < self.limits.max_connections
            and self._sources[source] < self.limits.max_connections_per_source
        )
        return "" if has_room else "too many are open"


def keep_alive(writer: asyncio.StreamWriter) -> None:
    """Let TCP find out within two minutes that a silent peer is gone."""
    connection = writer.get_extra_info("socket")
    if connection is None:
        return
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for option, value in (
        ("TCP_KEEPIDLE", _KEEPALIVE_IDLE_SECONDS),
        ("TCP_KEEPINTVL", _KEEPALIVE_INTERVAL_SECONDS),
        ("TCP_KEEPCNT", _KEEPALIVE_PROBES),
    ):
        if hasattr(socket, option):
            connection.setsockopt(socket.IPPROTO_TCP, getattr(socket, option), value)


async def close(writer: asyncio.StreamWriter) -> None:
    """Close a connection; what the peer does not take within a second is thrown away."""
    writer.close()
    try:
        async with asyncio.timeout(_CLOSE_SECONDS):
            await writer.wait_closed()
    except (OSError, TimeoutError):
        writer.transport.abort()
