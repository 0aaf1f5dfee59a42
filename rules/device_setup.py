"""Whether two devices can be told apart: by the address they come from, a port of their own, or a line of their own."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from domain.device_transport import (
    DeviceTransport,
    Outgoing,
    OwnListener,
    SerialPort,
    SharedListener,
    WatchedFolder,
    WorkLine,
)


@dataclass(frozen=True)
class DeviceSetup:
    """How one device is reached.

    Attributes:
        code: The laboratory's name of the device.
        peers: Addresses it may connect from.
    """

    code: str
    protocol: str
    peers: tuple[str, ...]
    transport: DeviceTransport
    is_active: bool = True


@dataclass(frozen=True)
class Clash:
    """What two devices may not share; `what` and `action` are for people."""

    code: str
    other: str
    what: str
    action: str


def clashes(device: DeviceSetup, others: Iterable[DeviceSetup], shared_ports: Sequence[int] = ()) -> list[Clash]:
    """Return what keeps `device` from being told apart from the active ones of `others`.

    A device that is switched off clashes with nothing.

    Args:
        device: As it is to be.
        others: Every device of the laboratory, whichever branch; one with the same code is passed over.
        shared_ports: Ports of the shared listeners.
    """
    if not device.is_active:
        return []
    found: list[Clash] = []
    if isinstance(device.transport, OwnListener) and device.transport.port in shared_ports:
        found.append(
            Clash(
                code="ANALYZER_PORT_TAKEN", other="",
                what=f"port {device.transport.port} is that of the shared listener",
                action="Choose a free port, or the transport `listener`.",
            )
        )  # fmt: skip
    for other in others:
        if other.code != device.code and other.is_active:
            found += _between(device, other)
    return found


def _between(device: DeviceSetup, other: DeviceSetup) -> list[Clash]:
    mine, theirs = device.transport, other.transport
    found: list[Clash] = []
    if isinstance(mine, SerialPort) and isinstance(theirs, SerialPort) and mine.device == theirs.device:
        found.append(
            Clash(
                code="ANALYZER_SERIAL_PORT_TAKEN", other=other.code,
                what=f"{mine.device} is the serial port of {other.code}",
                action="Give each device a port of its own: two on one line destroy each other's messages.",
            )
        )  # fmt: skip
    if isinstance(mine, OwnListener) and isinstance(theirs, OwnListener) and mine.port == theirs.port:
        found.append(
            Clash(
                code="ANALYZER_PORT_TAKEN", other=other.code,
                what=f"port {mine.port} is that of {other.code}",
                action="Choose another port and set it on the device.",
            )
        )  # fmt: skip
    if isinstance(mine, WatchedFolder) and isinstance(theirs, WatchedFolder) and _same_files(mine, theirs):
        found.append(
            Clash(
                code="ANALYZER_FOLDER_TAKEN", other=other.code,
                what=f"{other.code} reads the same files of this folder",
                action="Give each device a folder or a file pattern of its own.",
            )
        )  # fmt: skip
    if both := sorted(_ends(mine) & _ends(theirs)):
        found.append(
            Clash(
                code="ANALYZER_ADDRESS_TAKEN", other=other.code,
                what=f"{both[0]} is the address of {other.code}",
                action="Connect each device at an address or port of its own.",
            )
        )  # fmt: skip
    both_shared = isinstance(mine, SharedListener) and isinstance(theirs, SharedListener)
    common = sorted(set(device.peers) & set(other.peers))
    if both_shared and common and device.protocol == other.protocol:
        found.append(
            Clash(
                code="ANALYZER_ADDRESS_TAKEN", other=other.code,
                what=f"{common[0]} with protocol {device.protocol} is the address of {other.code}",
                action="Give the device another address, a port of its own (`tcp_server`), or let its middleware"
                " post over HTTP: messages from an address that two devices share are filed under neither.",
            )
        )  # fmt: skip
    return found


def _same_files(mine: WatchedFolder, theirs: WatchedFolder) -> bool:
    return mine.path.rstrip("/") == theirs.path.rstrip("/") and mine.pattern == theirs.pattern


def _ends(transport: DeviceTransport) -> set[str]:
    """Return the addresses that we connect to."""
    lines: list[Outgoing | WorkLine | None] = []
    if isinstance(transport, Outgoing):
        lines.append(transport)
    if isinstance(transport, OwnListener | Outgoing):
        lines.append(transport.work_line)
    return {f"{line.host.lower()}:{line.port}" for line in lines if line is not None}
