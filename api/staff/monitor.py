"""The live monitor of analyzers: who is connected, who is silent, who is not understood."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Depends
from pydantic import BaseModel, ConfigDict

from api.deps import FromApp
from api.device_board import DeviceStatus, board, strangers
from api.errors import responses
from api.etags import TaggedRoute
from api.permissions import Permission, Principal, require
from domain.clock import utc_now
from domain.working_hours import WorkingHours
from rules.device_watch import Hint

router = APIRouter(prefix="/v1", tags=["analyzers"], route_class=TaggedRoute)

MayWatch = Annotated[Principal, Depends(require(Permission.MESSAGE_READ))]


class LinkOut(BaseModel):
    """One open connection, with what was counted since it was opened."""

    model_config = ConfigDict(from_attributes=True)

    protocol: str
    transport: str
    peer: str
    local_port: int
    since: datetime
    seen_at: datetime
    last_message_at: datetime | None
    received: int
    acknowledged: int
    refused: int
    broken: int


class DeviceStatusOut(BaseModel):
    """One analyzer now; `*_hour` of the last hour, `*_day` of the last 24.

    Attributes:
        silent_minutes: Working minutes since it was last heard from.
        query_p95_ms: 95 of 100 host queries of the last hour were answered within this; None: none was asked.
        hints: What a person should look at, most urgent first.
    """

    code: str
    name: str
    branch_code: str
    protocol: str
    is_active: bool
    is_silent: bool
    silent_minutes: int
    silent_after_minutes: int | None
    last_message_at: datetime | None
    messages_hour: int
    errors_hour: int
    repeats_hour: int
    messages_day: int
    errors_day: int
    queries_hour: int
    query_p95_ms: int | None
    open_exceptions: int
    waiting_work: int
    hints: list[Hint]
    links: list[LinkOut]

    @classmethod
    def of(cls, status: DeviceStatus) -> DeviceStatusOut:
        """Show a device."""
        return cls(
            **status.row.model_dump(exclude={"id", "transport", "created_at"}),
            is_silent=status.is_silent,
            silent_minutes=status.silent_minutes,
            hints=list(status.hints),
            links=[LinkOut.model_validate(link) for link in status.links],
        )


class BoardOut(BaseModel):
    """Every analyzer of the caller's branches.

    Attributes:
        is_open: The laboratory works now, so that silence counts.
        unknown: Open connections of senders that nobody has registered.
    """

    at: datetime
    is_open: bool
    items: list[DeviceStatusOut]
    unknown: list[LinkOut]


@router.get("/analyzers/status", responses=responses())
async def status(principal: MayWatch, resources: FromApp) -> BoardOut:
    """Show how the analyzers of the caller's branches are doing now."""
    hours = WorkingHours.parse(resources.config.working_hours)
    async with resources.database.transaction(branches=principal.branch_ids) as session:
        found = await board(session, hours, list(principal.branch_ids))
        unknown = await strangers(session)
    now = utc_now()
    return BoardOut(
        at=now,
        is_open=hours.is_open(now),
        items=[DeviceStatusOut.of(one) for one in found],
        unknown=[LinkOut.model_validate(link) for link in unknown],
    )
