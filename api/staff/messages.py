"""Instrument messages: found, shown raw and as they are read, read again after a correction, sent to a test device."""

from __future__ import annotations

import asyncio
from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Depends, Query, Response
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field
from sqlmodel.ext.asyncio.session import AsyncSession

from api.deps import FromApp, Resources
from api.errors import responses
from api.etags import TaggedRoute
from api.idempotency import Answer, OneRequest, answered_once
from api.message_view import RecordOut, view_of
from api.pagination import DEFAULT_PAGE, Cursor, Limit, Page, page_of, row_id_of
from api.permissions import Permission, Principal, require
from connectors.analyzers.replay import replay
from domain.device_profile import DeviceProfile
from domain.enums import ExceptionKind, ExceptionState, MessageState
from domain.errors import ConflictError
from store import audit, instrument_messages
from store.instrument_messages import MessageSearch
from store.tables.results import Analyzer

router = APIRouter(prefix="/v1", tags=["instruments"], route_class=TaggedRoute)

MayRead = Annotated[Principal, Depends(require(Permission.MESSAGE_READ))]
MayReplay = Annotated[Principal, Depends(require(Permission.ANALYZER_MANAGE))]
MayReprocess = Annotated[Principal, Depends(require(Permission.MESSAGE_REPROCESS))]


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


class ExceptionOut(BaseModel):
    """Something of a message that found no place by itself."""

    model_config = ConfigDict(from_attributes=True)

    kind: ExceptionKind
    specimen_id: str
    device_code: str
    codes: list[str]
    detail: str
    state: ExceptionState


class MessageDetail(MessageOut):
    """A message with its bytes and what the device's profile makes of them now.

    Attributes:
        raw: The bytes, one character each (Latin-1), so that nothing is lost; None for roles that may not see results,
            as are the members that follow.
        raw_hex: The same, two digits per byte.
        raw_text: The same for people: control characters by name.
        is_cut: Longer than what is shown.
        records: Its fields that are not empty, with their names.
        parsed: None where it cannot be read; then `parse_error` says why.
        exceptions: What of it waits for a person, or did.
    """

    raw: str | None
    raw_hex: str | None
    raw_text: str | None
    is_cut: bool
    records: list[RecordOut] | None
    parsed: dict[str, Any] | None
    parse_error: str
    exceptions: list[ExceptionOut]


class ReplayIn(BaseModel):
    """Where a message is sent: a test device that the settings allow."""

    model_config = ConfigDict(extra="forbid", str_strip_whitespace=True)

    target: Annotated[str, Field(pattern=r"^[A-Za-z0-9._\[\]:-]{1,253}:\d{1,5}$")]


class ReplayOut(BaseModel):
    """How sending a message to a test device ended."""

    message_id: UUID
    target: str
    is_delivered: bool
    answer: str
    note: str
    sent_bytes: int


@router.get("/instrument-messages", responses=responses(400))
async def search(
    principal: MayRead,
    resources: FromApp,
    *,
    state: Annotated[MessageState | None, Query()] = None,
    analyzer: Annotated[str, Query(max_length=40)] = "",
    unknown_device: Annotated[bool, Query(description="Only those whose sender is not registered.")] = False,
    specimen: Annotated[str, Query(max_length=64, description="A barcode, whole, as the device sent it.")] = "",
    patient_no: Annotated[str, Query(max_length=40)] = "",
    since: Annotated[AwareDatetime | None, Query(description="Received at or after.")] = None,
    until: Annotated[AwareDatetime | None, Query(description="Received before.")] = None,
    exception: Annotated[ExceptionKind | None, Query()] = None,
    open_exceptions: Annotated[bool, Query(description="Only those with something that waits for a person.")] = False,
    limit: Limit = DEFAULT_PAGE,
    cursor: Cursor = "",
) -> Page[MessageOut]:
    """Find messages of the caller's branches, newest first."""
    wanted = MessageSearch(
        state=state.value if state else "", analyzer=analyzer, is_unknown=unknown_device, specimen=specimen,
        patient_no=patient_no, since=since, until=until, exception=exception.value if exception else "",
        open_only=open_exceptions,
    )  # fmt: skip
    return await _page(principal, resources, wanted, limit, cursor)


@router.get("/worklists/unmatched", responses=responses(400), tags=["worklists"])
async def unmatched(
    principal: MayRead, resources: FromApp, limit: Limit = DEFAULT_PAGE, cursor: Cursor = ""
) -> Page[MessageOut]:
    """List messages whose barcode no sample carries, newest first."""
    return await _page(principal, resources, MessageSearch(state=MessageState.UNMATCHED.value), limit, cursor)


async def _page(
    principal: Principal, resources: Resources, wanted: MessageSearch, limit: int, cursor: str
) -> Page[MessageOut]:
    async with resources.database.transaction(branches=principal.branch_ids) as session:
        rows = await instrument_messages.message_page(
            session, branches=list(principal.branch_ids), wanted=wanted, before=row_id_of(cursor), limit=limit + 1
        )
    return page_of(rows, limit, show=MessageOut.model_validate, key=lambda row: str(row.id))


@router.get("/instrument-messages/{message_id}", responses=responses(404))
async def read(message_id: UUID, principal: MayRead, resources: FromApp) -> MessageDetail:
    """Show one message, raw and as it would be read now. Raw bytes hold results: clinical roles only."""
    async with resources.database.transaction(branches=principal.branch_ids) as session:
        row = await instrument_messages.message_of(session, message_id, list(principal.branch_ids))
        raw = await instrument_messages.raw_of(session, message_id)
        analyzer = await session.get(Analyzer, row.analyzer_id) if row.analyzer_id else None
        exceptions = await instrument_messages.exceptions_of(session, message_id)
    # a message of a device nobody registered belongs to no branch: a role that may see results anywhere sees it
    sees = (
        principal.may(Permission.RESULT_READ, analyzer.branch_id)
        if analyzer
        else bool(principal.reach(Permission.RESULT_READ))
    )
    # off the event loop: a hostile message may take long to read
    view = await asyncio.to_thread(view_of, raw, row.protocol, analyzer.profile if analyzer else {})
    return MessageDetail(
        **MessageOut.model_validate(row).model_dump(),
        raw=raw.decode("latin-1") if sees else None,
        raw_hex=view.raw_hex if sees else None,
        raw_text=view.raw_text if sees else None,
        is_cut=view.is_cut,
        records=view.records if sees else None,
        parsed=view.parsed if sees else None,
        parse_error=view.parse_error,
        exceptions=[ExceptionOut.model_validate(one) for one in exceptions],
    )


@router.post("/instrument-messages/{message_id}/replay", responses=responses(400, 404, 409), response_model=ReplayOut)
async def replay_message(
    message_id: UUID, given: ReplayIn, principal: MayReplay, request: OneRequest, resources: FromApp
) -> Response:
    """Send a stored message to a test device that the settings allow, as its analyzer would."""
    if given.target not in resources.config.replay_targets:
        raise ConflictError(
            "messages are sent to test devices that the settings name, and this is none", code="REPLAY_NOT_ALLOWED",
            action="Add the address to LABSETU_WATCH__REPLAY_TARGETS; never that of a system with real patients.",
        )  # fmt: skip
    host, _, port = given.target.rpartition(":")

    async def work(session: AsyncSession) -> Answer:
        row = await instrument_messages.message_of(session, message_id, list(principal.branch_ids))
        raw = await instrument_messages.raw_of(session, message_id)
        analyzer = await session.get(Analyzer, row.analyzer_id) if row.analyzer_id else None
        profile = DeviceProfile.model_validate({"protocol": row.protocol, **(analyzer.profile if analyzer else {})})
        done = await replay(raw, profile, host=host.strip("[]"), port=int(port))
        await audit.record(
            session, chain="lab", actor=principal.username, action="message.replayed",
            object_kind="instrument_message", object_id=str(message_id),
            body={"target": given.target, "delivered": done.is_delivered, "answer": done.answer},
        )  # fmt: skip
        return Answer(
            ReplayOut(
                message_id=message_id, target=given.target, is_delivered=done.is_delivered, answer=done.answer,
                note=done.note, sent_bytes=done.sent_bytes,
            )
        )  # fmt: skip

    return await answered_once(resources, principal, request, work)


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
