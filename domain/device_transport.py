"""How the bytes of a device get here: the shared listeners, a line of its own, a folder, or HTTP.

Which machine, port or folder a device has is a matter of the site; how it speaks is its profile.
"""

from __future__ import annotations

from typing import Annotated, Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

Port: TypeAlias = Annotated[int, Field(ge=1, le=65_535)]


class _Transport(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class _Address(_Transport):
    host: Annotated[str, Field(min_length=1, max_length=253)]
    port: Port
    tls: bool = False
    reconnect_s: Annotated[float, Field(ge=0.05, le=600)] = 30.0


class WorkLine(_Address):
    """A second connection, which we open to give the device its work (profile: `work.connections` is `two`).

    Attributes:
        reconnect_s: Longest wait between two attempts, seconds.
    """


class SharedListener(_Transport):
    """The device connects to the laboratory's HL7 or ASTM port and is known by its address."""

    kind: Literal["listener"] = "listener"


class OwnListener(_Transport):
    """The device connects to a port that only it uses.

    Attributes:
        tls: Whether the line is encrypted with the laboratory's certificate.
        work_line: Where the device listens for its work, if it does not open that connection too.
    """

    kind: Literal["tcp_server"] = "tcp_server"
    port: Port
    tls: bool = False
    work_line: WorkLine | None = None


class Outgoing(_Address):
    """The device listens and we connect, again and again if need be.

    Attributes:
        reconnect_s: Longest wait between two attempts, seconds.
        work_line: Where it listens for its work, if that is another address or port.
    """

    kind: Literal["tcp_client"] = "tcp_client"
    work_line: WorkLine | None = None


class SerialPort(_Transport):
    """A serial line. Source of the defaults: ASTM E1381-95, 4 (8 data bits, no parity, 1 stop bit, 9600 preferred)."""

    kind: Literal["serial"] = "serial"
    device: Annotated[str, Field(min_length=1, max_length=200)]
    baud: Annotated[int, Field(ge=300, le=921_600)] = 9600
    bits: Literal[7, 8] = 8
    parity: Literal["none", "even", "odd"] = "none"
    stop_bits: Literal[1, 2] = 1
    flow: Literal["none", "xonxoff", "rtscts"] = "none"


class WatchedFolder(_Transport):
    """A folder into which the device or its PC writes one file per message.

    Attributes:
        path: Absolute, under one of the folders that the settings allow.
        pattern: Glob of the files taken.
        settled_s: Age without change after which a file counts as complete, seconds.
    """

    kind: Literal["folder"] = "folder"
    path: Annotated[str, Field(min_length=1, max_length=500)]
    pattern: Annotated[str, Field(min_length=1, max_length=100)] = "*"
    settled_s: Annotated[float, Field(ge=0.05, le=3600)] = 2.0


class HttpPush(_Transport):
    """The device or its middleware posts messages with an API key."""

    kind: Literal["http"] = "http"


DeviceTransport: TypeAlias = Annotated[
    SharedListener | OwnListener | Outgoing | SerialPort | WatchedFolder | HttpPush, Field(discriminator="kind")
]
TRANSPORT: TypeAdapter[DeviceTransport] = TypeAdapter(DeviceTransport)
"""Reads and writes the JSON in `analyzers.transport`."""
