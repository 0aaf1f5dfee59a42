"""Instrument messages: every one that came, raw and as it is read, and reading one again after a correction."""

from __future__ import annotations

import asyncio
from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Depends, Query, Response
from pydantic import BaseModel, ConfigDict, TypeAdapter
from sqlmodel.ext.asyncio.session import AsyncSession

from api.deps import FromApp
from api.errors import responses
from api.etags import TaggedRoute
from api.idempotency import Answer, OneRequest, answered_once
from api.pagination import DEFAULT_PAGE, Cursor, Limit, Page, page_of, row_id_of
from api.permissions import Permission, Principal, require
from connectors.astm import messages as astm
from connectors.hl7 import messages as hl7
from domain.device_profile import DeviceProfile
from domain.enums import MessageState
from domain.errors import FrameError, MessageError
from domain.observations import InstrumentMessage
from store import audit, instrument_messages
from store.instrument_messages import MessageRow
from store.tables.results import Analyzer

router = APIRouter(prefix="/v1", tags=["instruments"], route_class=TaggedRoute)

MayRead = Annotated[Principal, Depends(require(Permission.MESSAGE_READ))]
MayReprocess = Annotated[Principal, Depends(require(Permission.MESSAGE_REPROCESS))]

_READ = TypeAdapter(InstrumentMessage)
_READERS = {"astm": astm.read_message, "hl7": hl7.read_message}


class MessageOut(BaseModel):
    """A message as listed."""

    model_config = ConfigDict(from_attributes=True)

    id: UUID
    analyzer: str
    protocol: str
    transport: str
    peer: str
    received_at: datetime
    state: MessageState
    reason: str
    framing_error: str
    control_id: str
    specimen_ids: list[str]
    read_at: datetime | None
    duplicate_of: UUID | None
    size_bytes: int


class MessageDetail(MessageOut):
    """A message with its bytes and what the device's profile makes of them now.

    Attributes:
        raw: The bytes, one character each (Latin-1), so that nothing is lost.
        parsed: None where it cannot be read; then `parse_error` says why. Only for roles that may see results.
    """

    raw: str | None
    parsed: dict[str, Any] | None
    parse_error: str


@router.get("/instrument-messages", responses=responses(400))
async def search(
    principal: MayRead,
    resources: FromApp,
    *,
    state: Annotated[MessageState | None, Query()] = None,
    analyzer: Annotated[str, Query(max_length=40)] = "",
    limit: Limit = DEFAULT_PAGE,
    cursor: Cursor = "",
) -> Page[MessageOut]:
    """List messages of the caller's branches, newest first."""
    async with resources.database.transaction(branches=principal.branch_ids) as session:
        rows = await instrument_messages.message_page(
            session, branches=list(principal.branch_ids), state=state.value if state else "", analyzer=analyzer,
            specimen="", before=row_id_of(cursor), limit=limit + 1,
        )  # fmt: skip
    return page_of(rows, limit, show=MessageOut.model_validate, key=lambda row: str(row.id))


@router.get("/worklists/unmatched", responses=responses(400), tags=["worklists"])
async def unmatched(
    principal: MayRead, resources: FromApp, limit: Limit = DEFAULT_PAGE, cursor: Cursor = ""
) -> Page[MessageOut]:
    """List messages whose barcode no sample carries, newest first."""
    async with resources.database.transaction(branches=principal.branch_ids) as session:
        rows = await instrument_messages.message_page(
            session, branches=list(principal.branch_ids), state=MessageState.UNMATCHED.value, analyzer="",
            specimen="", before=row_id_of(cursor), limit=limit + 1,
        )  # fmt: skip
    return page_of(rows, limit, show=MessageOut.model_validate, key=lambda row: str(row.id))


@router.get("/instrument-messages/{message_id}", responses=responses(404))
async def read(message_id: UUID, principal: MayRead, resources: FromApp) -> MessageDetail:
    """Show one message, raw and as it would be read now. Raw bytes hold results: clinical roles only."""
    sees = bool(principal.reach(Permission.RESULT_READ))
    async with resources.database.transaction(branches=principal.branch_ids) as session:
        row = await instrument_messages.message_of(session, message_id, list(principal.branch_ids))
        raw = await instrument_messages.raw_of(session, message_id)
        analyzer = await session.get(Analyzer, row.analyzer_id) if row.analyzer_id else None
    # off the event loop: a hostile message may take long to read
    parsed, error = await asyncio.to_thread(_parsed, row, raw, analyzer.profile if analyzer else {})
    return MessageDetail(
        **MessageOut.model_validate(row).model_dump(),
        raw=raw.decode("latin-1") if sees else None,
        parsed=parsed if sees else None,
        parse_error=error,
    )


def _parsed(row: MessageRow, raw: bytes, profile: dict[str, Any]) -> tuple[dict[str, Any] | None, str]:
    reader = _READERS.get(row.protocol)
    if reader is None:
        return None, "no reader for this protocol"
    try:
        message = reader(raw, DeviceProfile.model_validate(profile or {"protocol": row.protocol}))
    except (MessageError, FrameError) as error:
        return None, f"{error.code}: {error.message}"
    shown: dict[str, Any] = _READ.dump_python(message, mode="json")
    return shown, ""


@router.post(
    "/instrument-messages/{message_id}/reprocess", responses=responses(400, 404, 409), response_model=MessageOut
)
async def reprocess(message_id: UUID, principal: MayReprocess, request: OneRequest, resources: FromApp) -> Response:
    """Have a message read again, after its device's mapping was corrected."""

    async def work(session: AsyncSession) -> Answer:
        row = await instrument_messages.message_of(session, message_id, list(principal.branch_ids))
        await instrument_messages.reopen(session, row)
        await audit.record(
            session, chain="lab", actor=principal.username, action="message.reprocessed",
            object_kind="instrument_message", object_id=str(message_id), body={"was": row.state.value},
        )  # fmt: skip
        return Answer(MessageOut.model_validate(row.model_copy(update={"state": MessageState.RECEIVED, "reason": ""})))

    return await answered_once(resources, principal, request, work)
