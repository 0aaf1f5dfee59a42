"""Which channel a transport means, and what it takes for itself alone."""

from __future__ import annotations

from os.path import realpath

from connectors.transports.channel import Channel, ChannelSetup, Device
from connectors.transports.folder import Folder
from connectors.transports.serial import SerialLine
from connectors.transports.tcp_client import Dialled
from connectors.transports.tcp_server import OwnPort
from connectors.transports.work_line import WithWorkLine
from domain.device_transport import DeviceTransport, Outgoing, OwnListener, SerialPort, WatchedFolder, WorkLine


def channel_for(transport: DeviceTransport, device: Device, setup: ChannelSetup) -> Channel | None:
    """Return the channel of a device, not yet running; None where it has none of its own (shared port, HTTP)."""
    match transport:
        case OwnListener(work_line=work_line):
            return _with(work_line, OwnPort(device, setup, transport), device, setup)
        case Outgoing(work_line=work_line):
            return _with(work_line, Dialled(device, setup, transport), device, setup)
        case SerialPort():
            return SerialLine(device, setup, transport)
        case WatchedFolder():
            return Folder(device, setup, transport)
        case _:
            return None


def _with(work_line: WorkLine | None, speaks: Channel, device: Device, setup: ChannelSetup) -> Channel:
    return speaks if work_line is None else WithWorkLine(speaks, Dialled(device, setup, work_line))


def endpoint_of(transport: DeviceTransport) -> str:
    """Return what a transport takes for itself alone, the same text for the same thing; "" where it takes nothing."""
    match transport:
        case OwnListener():
            return f"port {transport.port}"
        case Outgoing():
            return f"address {transport.host.lower()}:{transport.port}"
        case SerialPort():
            return f"serial port {realpath(transport.device)}"
        case WatchedFolder():
            return f"folder {realpath(transport.path)}"
        case _:
            return ""
