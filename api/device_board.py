"""The board of analyzers: what the database counted, and what it means. For the status call, the metrics, the alarm."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID

from sqlmodel.ext.asyncio.session import AsyncSession

from domain.clock import utc_now
from domain.working_hours import WorkingHours
from rules.device_watch import DeviceNumbers, Hint, LinkNumbers, hints_of, silent_minutes
from store.monitor import DeviceRow, LinkRow, devices, links
from telemetry import metrics

_LASTING: Final = frozenset({"tcp_client", "serial"})
"""Transports of which we hold our end open ourselves; a device that connects to us may do so for each batch."""


@dataclass(frozen=True)
class DeviceStatus:
    """One device now.

    Attributes:
        silent_minutes: Working minutes since it was last heard from.
    """

    row: DeviceRow
    links: tuple[LinkRow, ...]
    hints: tuple[Hint, ...]
    silent_minutes: int

    @property
    def is_silent(self) -> bool:
        """Tell whether somebody should be told of its silence."""
        return Hint.SILENT in self.hints


async def board(session: AsyncSession, hours: WorkingHours, branches: Sequence[UUID] | None) -> list[DeviceStatus]:
    """Return the status of the branches' devices by code; None for every branch."""
    found = await links(session)
    now = utc_now()
    return [_status(row, [link for link in found if link.analyzer_id == row.id], hours, now)
            for row in await devices(session, branches)]  # fmt: skip


async def strangers(session: AsyncSession) -> list[LinkRow]:
    """Return open connections of senders that nobody has registered."""
    return [link for link in await links(session) if link.analyzer_id is None]


def show_metrics(statuses: Sequence[DeviceStatus]) -> None:
    """Set the gauges of every active device."""
    metrics.devices(
        {
            status.row.code: metrics.DeviceGauges(
                connections=len(status.links),
                is_silent=status.is_silent,
                silent_minutes=status.silent_minutes,
                messages_hour=status.row.messages_hour,
                errors_hour=status.row.errors_hour,
                repeats_hour=status.row.repeats_hour,
                open_exceptions=status.row.open_exceptions,
                query_seconds=(status.row.query_p95_ms or 0) / 1000,
            )
            for status in statuses
            if status.row.is_active
        }
    )


def _status(row: DeviceRow, own: list[LinkRow], hours: WorkingHours, now: datetime) -> DeviceStatus:
    numbers = DeviceNumbers(
        heard_from_at=row.last_message_at or row.created_at,
        silent_after_minutes=row.silent_after_minutes,
        messages_hour=row.messages_hour,
        errors_hour=row.errors_hour,
        repeats_hour=row.repeats_hour,
        open_exceptions=row.open_exceptions,
        query_p95_ms=row.query_p95_ms,
        holds_a_line=row.transport in _LASTING,
        links=[LinkNumbers(link.received, link.acknowledged, link.refused, link.broken) for link in own],
    )
    hints = tuple(hints_of(numbers, hours, now)) if row.is_active else ()
    return DeviceStatus(row=row, links=tuple(own), hints=hints, silent_minutes=silent_minutes(numbers, hours, now))
