"""Connections to devices as the processes that have them write them down, for the device board."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import text
from sqlmodel.ext.asyncio.session import AsyncSession

from domain.clock import utc_now
from domain.ids import new_id

STALE_AFTER = timedelta(seconds=60)
"""Age after which a row belongs to a process that is no more."""

_UPSERT = text(
    "insert into device_links (id, created_at, process, analyzer_id, protocol, transport, peer, local_port, since,"
    " seen_at, last_message_at, received, acknowledged, refused, broken, repeated, trouble)"
    " values (:id, :now, :process, :analyzer_id, :protocol, :transport, :peer, :local_port, :since,"
    " :now, :last_message_at, :received, :acknowledged, :refused, :broken, :repeated, :trouble)"
    " on conflict (process, peer, local_port) do update set analyzer_id = excluded.analyzer_id,"
    " protocol = excluded.protocol, transport = excluded.transport, since = excluded.since,"
    " seen_at = excluded.seen_at, last_message_at = excluded.last_message_at, received = excluded.received,"
    " acknowledged = excluded.acknowledged, refused = excluded.refused, broken = excluded.broken,"
    " repeated = excluded.repeated, trouble = excluded.trouble"
)
_DROP = text("delete from device_links where (process = :process and seen_at < :now) or seen_at < :stale")


@dataclass(frozen=True)
class LinkState:
    """One connection, or a line that should be there and has `trouble`."""

    analyzer_id: UUID | None
    protocol: str
    transport: str
    peer: str
    local_port: int
    since: datetime
    last_message_at: datetime | None = None
    received: int = 0
    acknowledged: int = 0
    refused: int = 0
    broken: int = 0
    repeated: int = 0
    trouble: str = ""


async def write_links(session: AsyncSession, process: str, links: Sequence[LinkState]) -> None:
    """Make the rows of a process those of `links`, and remove the rows of dead processes.

    Args:
        session: The transaction; nothing else belongs in it.
        process: Host and pid.
        links: All of this process.
    """
    now = utc_now()
    rows = [{**asdict(link), "id": new_id(), "now": now, "process": process} for link in links]
    if rows:
        await session.execute(_UPSERT, rows)
    await session.execute(_DROP, {"process": process, "now": now, "stale": now - STALE_AFTER})
