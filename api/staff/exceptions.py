"""The exception queue: what instruments sent and nothing could take; looked at, reassigned, dismissed, read again."""

from __future__ import annotations

import asyncio
from datetime import datetime
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, Query, Response
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field
from sqlmodel import select
from sqlmodel.ext.asyncio.session import AsyncSession

from activities.instruments.context import Context, context_of
from activities.instruments.rehearsal import MAX_MESSAGES, Rehearsal, rehearse
from activities.instruments.undoing import Undoing, undo_assignment
from api.commanding import CommandAnswer, carry_out
from api.deps import FromApp
from api.errors import responses
from api.etags import TaggedRoute
from api.idempotency import Answer, OneRequest, answered_once
from api.pagination import DEFAULT_PAGE, Cursor, Limit, Page, page_of, row_id_of
from api.permissions import Permission, Principal, require
from domain.accession import is_accession_no
from domain.device_profile import DeviceProfile
from domain.enums import ExceptionKind, ExceptionState, MessageState
from domain.errors import ConflictError, NotFoundError, RuleError
from domain.messages import CommandKind, DecideHeld
from store import audit, exceptions
from store.exceptions import ExceptionRow, Filter
from store.tables.orders import Sample
from store.tables.results import Analyzer, InstrumentMessage

router = APIRouter(prefix="/v1", tags=["instruments"], route_class=TaggedRoute)

MayRead = Annotated[Principal, Depends(require(Permission.MESSAGE_READ))]
MayReprocess = Annotated[Principal, Depends(require(Permission.MESSAGE_REPROCESS))]
MayDecide = Annotated[Principal, Depends(require(Permission.RESULT_VERIFY))]

Word = Annotated[str, Query(max_length=100)]
Reason = Annotated[str, Field(min_length=3, max_length=500)]


class ExceptionOut(BaseModel):
    """Something of a message that waits, or waited, for a person.

    Attributes:
        codes: Where it is about several of the device's codes; `device_code` is empty then.
    """

    model_config = ConfigDict(from_attributes=True)

    id: UUID
    created_at: datetime
    message_id: UUID
    analyzer: str
    kind: ExceptionKind
    specimen_id: str
    device_code: str
    codes: list[str]
    detail: str
    state: ExceptionState
    closed_at: datetime | None
    closed_by: str
    close_reason: str
    received_at: datetime
    message_state: MessageState


class ExceptionDetail(ExceptionOut):
    """An exception with the part of its message that it is about, for roles that may see results.

    Attributes:
        rows: The values concerned as the device's profile reads them now.
        raw: The message, one character per byte, cut where it is long.
    """

    context: Context | None


class DismissIn(BaseModel):
    """Why nothing is to be done, or why it is undone."""

    model_config = ConfigDict(extra="forbid", str_strip_whitespace=True)

    reason: Reason


class AssignIn(BaseModel):
    """Which tube a specimen is."""

    model_config = ConfigDict(extra="forbid", str_strip_whitespace=True)

    accession_no: Annotated[str, Field(max_length=20)]
    reason: Reason


class UnassignedOut(BaseModel):
    """What undoing an assignment took back.

    Attributes:
        order_no: Of the order that had the results, or "".
        superseded: Tests whose values went out of force.
        held: Those among them for which the value before is held for a decision.
    """

    accession_no: str
    order_no: str
    superseded: list[str]
    held: list[str]


class ReplayIn(BaseModel):
    """Which messages are to be read again.

    Attributes:
        dry_run: Only count; nothing is changed. The default.
        limit: Messages at once; ask again while `remaining` is 1.
        after: Only messages later than this one: `last` of the answer before.
    """

    model_config = ConfigDict(extra="forbid", str_strip_whitespace=True)

    kind: ExceptionKind | None = None
    analyzer: Annotated[str, Field(max_length=40)] = ""
    specimen: Annotated[str, Field(max_length=100)] = ""
    code: Annotated[str, Field(max_length=60)] = ""
    since: AwareDatetime | None = None
    dry_run: bool = True
    after: UUID | None = None
    limit: Annotated[int, Field(ge=1, le=MAX_MESSAGES)] = MAX_MESSAGES


class ReplayOut(BaseModel):
    """What reading messages again would bring (dry run), or how many were given back to the reader.

    Attributes:
        messages: Read, or given back.
        results: Values that would become results.
        placed: Exceptions that would be resolved, by kind.
        still_open: Exceptions that would be open, by kind.
        failed: Messages that could not be read, by code.
        remaining: 1 where there are more messages than were looked at, else 0.
        last: The last message looked at.
    """

    dry_run: bool
    messages: int
    results: int = 0
    placed: dict[str, int] = {}
    still_open: dict[str, int] = {}
    failed: dict[str, int] = {}
    remaining: int = 0
    last: UUID | None = None

    @classmethod
    def of(cls, found: Rehearsal, *, is_dry_run: bool, remaining: int, last: UUID | None = None) -> ReplayOut:
        """Show a rehearsal."""
        return cls(
            dry_run=is_dry_run, messages=found.messages, results=found.results, placed=dict(found.placed),
            still_open=dict(found.still_open), failed=dict(found.failed), remaining=remaining,
            last=last,
        )  # fmt: skip


@router.get("/instrument-exceptions", responses=responses(400))
async def search(
    principal: MayRead,
    resources: FromApp,
    *,
    state: Annotated[ExceptionState | None, Query()] = None,
    kind: Annotated[ExceptionKind | None, Query()] = None,
    analyzer: Word = "",
    specimen: Word = "",
    code: Word = "",
    since: Annotated[AwareDatetime | None, Query()] = None,
    limit: Limit = DEFAULT_PAGE,
    cursor: Cursor = "",
) -> Page[ExceptionOut]:
    """List exceptions of the caller's branches and of unknown devices, newest first."""
    wanted = Filter(state, kind, analyzer, specimen, code, since)
    async with resources.database.transaction(branches=principal.branch_ids) as session:
        rows = await exceptions.exception_page(
            session, wanted, branches=list(principal.branch_ids), before=row_id_of(cursor), limit=limit + 1
        )
    return page_of(rows, limit, show=ExceptionOut.model_validate, key=lambda row: str(row.id))


@router.get("/instrument-exceptions/{exception_id}", responses=responses(404))
async def read(exception_id: UUID, principal: MayRead, resources: FromApp) -> ExceptionDetail:
    """Show one exception with the values it is about; those for clinical roles only."""
    sees = bool(principal.reach(Permission.RESULT_READ))
    async with resources.database.transaction(branches=principal.branch_ids) as session:
        row = await exceptions.exception_of(session, exception_id, list(principal.branch_ids))
        message = await session.get_one(InstrumentMessage, row.message_id)
        profile = await _profile_of(session, message)
    context = await asyncio.to_thread(context_of, row, message.raw, profile) if sees else None
    return ExceptionDetail(**ExceptionOut.model_validate(row).model_dump(), context=context)


async def _profile_of(session: AsyncSession, message: InstrumentMessage) -> DeviceProfile:
    analyzer = await session.get(Analyzer, message.analyzer_id) if message.analyzer_id else None
    own = {"protocol": analyzer.protocol, **analyzer.profile} if analyzer else {"protocol": message.protocol}
    return DeviceProfile.model_validate(own)


@router.post(
    "/instrument-exceptions/{exception_id}/dismiss", responses=responses(400, 404, 409), response_model=ExceptionOut
)
async def dismiss(
    exception_id: UUID, given: DismissIn, principal: MayReprocess, request: OneRequest, resources: FromApp
) -> Response:
    """Decide that nothing is to be done about an exception; it stays dismissed when its message is read again."""

    async def work(session: AsyncSession) -> Answer:
        row = await exceptions.exception_of(session, exception_id, list(principal.branch_ids))
        closed = await exceptions.close(
            session, row, ExceptionState.DISMISSED, user_id=principal.user_id, reason=given.reason
        )
        await _audit(session, principal, "exception.dismissed", row, {"reason": given.reason})
        shown = closed.model_copy(update={"closed_by": principal.username})
        return Answer(ExceptionOut.model_validate(shown))

    return await answered_once(resources, principal, request, work)


@router.post(
    "/instrument-exceptions/{exception_id}/assign", responses=responses(400, 404, 409), response_model=ExceptionOut
)
async def assign(
    exception_id: UUID, given: AssignIn, principal: MayDecide, request: OneRequest, resources: FromApp
) -> Response:
    """Say which tube an unmatched specimen is; its message is read again, and its results await verification."""

    async def work(session: AsyncSession) -> Answer:
        row = await exceptions.exception_of(session, exception_id, list(principal.branch_ids))
        await _require_assignable(session, row, given.accession_no)
        message = await session.get_one(InstrumentMessage, row.message_id)
        profile = await _profile_of(session, message)
        context = await asyncio.to_thread(context_of, row, message.raw, profile)
        if context.is_mixed:
            raise ConflictError(
                "the message has several specimens under this id", code="SPECIMENS_MIXED",
                action="Nobody can tell them apart in it: measure them again with their barcodes.",
            )  # fmt: skip
        await exceptions.add_correction(
            session, message_id=row.message_id, specimen_id=message_specimen(context, row),
            accession_no=given.accession_no, user_id=principal.user_id, reason=given.reason,
        )  # fmt: skip
        await exceptions.requeue(session, [row.message_id], reason="assigned to a tube")
        await _audit(
            session, principal, "specimen.assigned", row,
            {"accession_no": given.accession_no, "reason": given.reason},
        )  # fmt: skip
        return Answer(ExceptionOut.model_validate(row.model_copy(update={"message_state": MessageState.RECEIVED})))

    return await answered_once(resources, principal, request, work)


@router.post(
    "/instrument-exceptions/{exception_id}/unassign", responses=responses(400, 404, 409), response_model=UnassignedOut
)
async def unassign(
    exception_id: UUID, given: DismissIn, principal: MayDecide, request: OneRequest, resources: FromApp
) -> Response:
    """Undo an assignment to the wrong tube, while nothing of it is authorised; its message is read again."""

    async def work(session: AsyncSession) -> Answer:
        row = await exceptions.exception_of(session, exception_id, list(principal.branch_ids))
        undone = await undo_assignment(
            session, Undoing(row.message_id, row.specimen_id, principal.user_id, principal.username, given.reason)
        )
        await _audit(
            session, principal, "specimen.unassigned", row,
            {
                "accession_no": undone.accession_no, "order_no": undone.order_no, "tests": ", ".join(undone.tests),
                "reason": given.reason,
            },
        )  # fmt: skip
        return Answer(
            UnassignedOut(
                accession_no=undone.accession_no, order_no=undone.order_no, superseded=list(undone.tests),
                held=list(undone.offered),
            )
        )  # fmt: skip

    return await answered_once(resources, principal, request, work)


def message_specimen(context: Context, row: ExceptionRow) -> str:
    """Return a specimen id as the reader gives it; the exception may hold only its beginning."""
    return context.specimen_id or row.specimen_id


async def _require_assignable(session: AsyncSession, row: ExceptionRow, accession_no: str) -> None:
    if row.kind is not ExceptionKind.UNMATCHED_SPECIMEN or row.state is not ExceptionState.OPEN:
        raise ConflictError(
            f"the exception is {row.state.value} and of kind {row.kind.value}", code="EXCEPTION_NOT_ASSIGNABLE",
            action="Only an open exception about an unmatched specimen is assigned to a tube.",
        )  # fmt: skip
    if not is_accession_no(accession_no):
        raise RuleError(
            "that is not an accession number", code="LABEL_INVALID",
            action="Scan the label again: its check digit is wrong.",
        )  # fmt: skip
    # only the caller's branches are visible here
    known = await session.exec(select(Sample.id).where(Sample.accession_no == accession_no))
    if known.one_or_none() is None:
        raise NotFoundError(
            "there is no sample with this number", code="SAMPLE_NOT_FOUND",
            action="Scan the label again; if it persists, look the number up in the sample search.",
        )  # fmt: skip


@router.post("/instrument-exceptions/reprocess", responses=responses(400), response_model=ReplayOut)
async def reprocess(given: ReplayIn, principal: MayReprocess, request: OneRequest, resources: FromApp) -> Response:
    """Read the messages of open exceptions again: first as a dry run that changes nothing, then for real."""
    wanted = Filter(ExceptionState.OPEN, given.kind, given.analyzer, given.specimen, given.code, given.since)

    async def work(session: AsyncSession) -> Answer:
        branches = list(principal.branch_ids)
        found = await exceptions.messages_with(
            session, wanted, branches=branches, limit=given.limit + 1, after=given.after
        )
        chosen, remaining = found[: given.limit], int(len(found) > given.limit)
        last = chosen[-1] if chosen else None
        if given.dry_run:
            return Answer(
                ReplayOut.of(await rehearse(session, chosen), is_dry_run=True, remaining=remaining, last=last)
            )
        requeued = await exceptions.requeue(session, chosen, reason="read again after a correction")
        await audit.record(
            session, chain="lab", actor=principal.username, action="messages.reprocessed",
            object_kind="instrument_message", object_id=given.analyzer or "all",
            body={"messages": [str(message_id) for message_id in requeued], "code": given.code},
        )  # fmt: skip
        return Answer(ReplayOut(dry_run=False, messages=len(requeued), remaining=remaining, last=last))

    return await answered_once(resources, principal, request, work)


@router.post(
    "/orders/{order_no}/held-results", responses=responses(400, 404, 409), response_model=CommandAnswer,
    tags=["results"],
)  # fmt: skip
async def decide_held(
    order_no: str, payload: DecideHeld, principal: MayDecide, request: OneRequest, resources: FromApp
) -> Response:
    """Accept results that were held, or reject them; what is accepted is verified by somebody else."""
    return await carry_out(
        resources, principal, request, order_no=order_no, kind=CommandKind.DECIDE_HELD, payload=payload
    )


async def _audit(
    session: AsyncSession, principal: Principal, action: str, row: ExceptionRow, body: dict[str, str]
) -> None:
    await audit.record(
        session, chain="lab", actor=principal.username, action=action, object_kind="instrument_exception",
        object_id=str(row.id),
        body={
            **body, "message": str(row.message_id), "kind": row.kind.value, "specimen": row.specimen_id,
            "code": row.device_code,
        },
    )  # fmt: skip
