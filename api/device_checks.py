"""Whether an analyzer's set-up can work beside those of the others, before it is stored."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from sqlmodel.ext.asyncio.session import AsyncSession

from domain.device_transport import TRANSPORT, SerialPort, SharedListener, WatchedFolder
from domain.errors import ConflictError, RuleError
from rules.device_setup import DeviceSetup, clashes
from store.analyzers import SetupRow, setups
from store.tables.results import Analyzer

_ON_SHARED_PORTS: Final = frozenset({"astm", "hl7"})


def setup_of(row: Analyzer | SetupRow) -> DeviceSetup:
    """Return how a device is reached."""
    return DeviceSetup(
        code=row.code, protocol=row.protocol, peers=tuple(row.peers), is_active=row.is_active,
        transport=TRANSPORT.validate_python(row.transport),
    )  # fmt: skip


async def refuse_clashes(
    session: AsyncSession, row: Analyzer, shared_ports: Sequence[int], others: Sequence[SetupRow] | None = None
) -> None:
    """Refuse a set-up that cannot work, or that cannot be told from another device's.

    Args:
        session: The transaction of the change.
        row: The device as it is to be.
        shared_ports: Ports of the shared listeners.
        others: What `store.analyzers.setups` gave before the change; None to ask now.

    Raises:
        RuleError: It cannot work.
        ConflictError: Another device is in the way.
    """
    setup = setup_of(row)
    _refuse_unfit(setup)
    rows = await setups(session) if others is None else others
    for clash in clashes(setup, map(setup_of, rows), shared_ports):
        context = {"analyzer": clash.other} if clash.other else {}
        raise ConflictError(clash.what, code=clash.code, action=clash.action, context=context)


def _refuse_unfit(setup: DeviceSetup) -> None:
    transport = setup.transport
    if isinstance(transport, SharedListener) and setup.protocol not in _ON_SHARED_PORTS:
        raise RuleError(
            f"the shared listeners speak HL7 and ASTM, not {setup.protocol}", code="ANALYZER_TRANSPORT_UNFIT",
            action="Give the device a port of its own (`tcp_server`), a serial line, or let us connect (`tcp_client`).",
        )  # fmt: skip
    path = transport.path if isinstance(transport, WatchedFolder) else ""
    path = transport.device if isinstance(transport, SerialPort) else path
    if path and (not path.startswith("/") or ".." in path.split("/")):
        raise RuleError(
            "a folder or serial device is named by its absolute path", code="ANALYZER_TRANSPORT_UNFIT",
            action="Write the whole path, e.g. /dev/ttyUSB0, without `..`.",
        )  # fmt: skip
