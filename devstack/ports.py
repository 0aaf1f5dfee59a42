"""Which ports the dev stack uses, and who holds one that is taken. Reads `/proc` only; Linux."""

from __future__ import annotations

import os
import secrets
import socket
from dataclasses import astuple, dataclass, fields, replace
from pathlib import Path
from typing import Self

from domain.errors import LabError

LOOPBACK = "127.0.0.1"
_LISTEN = "0A"
"""TCP_LISTEN in the `st` column of /proc/net/tcp. Source: Linux, Documentation/networking/proc_net_tcp.rst, specs."""
_FIRST_UNPRIVILEGED, _LAST = 1024, 65535


class StackError(LabError):
    """A part of the dev stack cannot start; `action` says what to do."""

    default_code = "STACK_NOT_READY"
    default_action = "Read the log file named in the message, then start again."


@dataclass(frozen=True)
class Ports:
    """Every port of the dev stack, all on loopback. With a base, they are numbered from it in this order."""

    api: int = 8080
    postgres: int = 5433
    temporal: int = 7233
    temporal_ui: int = 8233
    temporal_http: int = 7243
    temporal_metrics: int = 7244
    objects: int = 8333
    objects_grpc: int = 18333
    objects_master: int = 9333
    objects_master_grpc: int = 19333
    objects_volume: int = 9340
    objects_volume_grpc: int = 19340
    objects_filer: int = 8888
    objects_filer_grpc: int = 18888
    objects_admin: int = 23646
    objects_admin_grpc: int = 33646
    hl7: int = 6661
    astm: int = 6662
    worker_metrics: int = 9464
    listener_metrics: int = 9465
    simulator_razorpay: int = 9501
    simulator_einvoice: int = 9502
    simulator_whatsapp: int = 9503
    simulator_sms: int = 9504
    simulator_mailbox: int = 9505
    simulator_smtp: int = 9525
    simulator_abdm: int = 9506

    @classmethod
    def planned(cls, base: int = 0) -> Self:
        """Return the fixed default ports, or ports numbered upwards from `base` when it is given.

        Raises:
            StackError: `base` leaves no room below 65536 or needs root.
        """
        if not base:
            return cls()
        names = [field.name for field in fields(cls)]
        if not _FIRST_UNPRIVILEGED <= base <= _LAST - len(names):
            raise StackError(
                f"LABSETU_PORT_BASE={base} is out of range",
                action=f"Choose a number from {_FIRST_UNPRIVILEGED} to {_LAST - len(names)}.",
            )
        return cls(**{name: base + index for index, name in enumerate(names)})

    @classmethod
    def free(cls) -> Self:
        """Return ports that nobody listens on right now, below those that outgoing connections get; for tests."""
        while True:
            ports = cls.planned(secrets.choice(range(20000, 32000)))
            if all(owner_of(port) is None for port in astuple(ports)):
                return ports


_OWN_VARIABLES = {
    "api": "LABSETU_API__PORT",
    "hl7": "LABSETU_INSTRUMENTS__HL7_PORT",
    "astm": "LABSETU_INSTRUMENTS__ASTM_PORT",
}


def ports_from_environment() -> Ports:
    """Return the ports that `LABSETU_PORT_BASE` and the three ports' own variables ask for.

    Raises:
        StackError: One of them is not a port number.
    """
    ports = Ports.planned(_number("LABSETU_PORT_BASE"))
    return replace(ports, **{name: asked for name, variable in _OWN_VARIABLES.items() if (asked := _number(variable))})


def _number(variable: str) -> int:
    text = os.environ.get(variable, "") or "0"
    if not text.isascii() or not text.isdigit() or int(text) > _LAST:
        raise StackError(
            f"{variable}={text!r} is not a port number", action=f"Set it to a number, e.g. {variable}=20000."
        )
    return int(text)


@dataclass(frozen=True)
class PortOwner:
    """The process that listens on a port; pid 0 where it belongs to somebody we may not look at."""

    pid: int
    command: str

    def __str__(self) -> str:
        """Return e.g. `pid 812 (postgres -D /var/lib/…)`."""
        return f"pid {self.pid} ({self.command})" if self.pid else "a process of another user"


def owner_of(port: int) -> PortOwner | None:
    """Return who listens on TCP `port` of any local address, or None when nobody does."""
    inodes = _listening_inodes(port)
    if not inodes:
        return None
    wanted = {f"socket:[{inode}]" for inode in inodes}
    for process in Path("/proc").iterdir():
        if process.name.isdigit() and _holds(process, wanted):
            command = (process / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
            return PortOwner(int(process.name), command[:200])
    return PortOwner(0, "")


def require_free(port: int, purpose: str) -> None:
    """Check that `port` can be listened on.

    Raises:
        StackError: It is taken; the message names the owner.
    """
    try:
        with socket.create_server((LOOPBACK, port)):
            return
    except OSError as error:
        owner = owner_of(port)
        raise StackError(
            f"port {port}, wanted for {purpose}, is taken by {owner or 'a socket that is just closing'}",
            code="PORT_TAKEN",
            action="Stop that process, or move the whole stack: LABSETU_PORT_BASE=20000 make dev",
        ) from error


def _listening_inodes(port: int) -> set[str]:
    inodes: set[str] = set()
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        try:
            lines = Path(table).read_text(encoding="ascii").splitlines()[1:]
        except OSError:
            continue
        for line in lines:
            columns = line.split()
            if columns[3] == _LISTEN and int(columns[1].rpartition(":")[2], 16) == port:
                inodes.add(columns[9])
    return inodes


def _holds(process: Path, wanted: set[str]) -> bool:
    try:
        return any(str(descriptor.readlink()) in wanted for descriptor in (process / "fd").iterdir())
    except OSError:  # it ended while we looked, or it is somebody else's
        return False
