"""Work for devices: what is queued and what became of it, what devices asked, and having tests measured again."""

from __future__ import annotations

from datetime import datetime, timedelta
from decimal import Decimal
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, Query, Response
from pydantic import BaseModel, ConfigDict, Field
from sqlmodel.ext.asyncio.session import AsyncSession

from api.commanding import CommandAnswer, carry_out
from api.deps import FromApp
from api.errors import responses
from api.etags import TaggedRoute
from api.idempotency import Answer, OneRequest, answered_once
from api.pagination import DEFAULT_PAGE, Cursor, Limit, Page, page_of, row_id_of
from api.permissions import Permission, Principal, require
from domain.clock import utc_now
from domain.device_orders import WorkAction
from domain.enums import DeviceWorkState
from domain.messages import Accession, CommandKind, RerunCodes, RerunTests
from store import audit, device_work_lists
from store.device_work_lists import NOT_ANSWERED, LatencyRow, QueryRow, WorkRow
from store.timeline import add_event

router = APIRouter(prefix="/v1", tags=["instruments"], route_class=TaggedRoute)

MayRead = Annotated[Principal, Depends(require(Permission.DEVICE_WORK_READ))]
MayManage = Annotated[Principal, Depends(require(Permission.DEVICE_WORK_MANAGE))]
MayVerify = Annotated[Principal, Depends(require(Permission.RESULT_VERIFY))]

AnalyzerCode = Annotated[str, Query(max_length=40)]


class DeviceWorkOut(BaseModel):
    """Work on one tube for one device.

    Attributes:
        codes: The device's test codes; None for callers who may not see results, because a code can say what is wrong.
        is_being_sent: A connection has it in hand at this moment.
        not_before: Earliest time of the next attempt.
        settled_at: When the last attempt ended, or it was withdrawn.
        note: What the device or the connection said.
    """

    id: UUID
    analyzer: str
    branch_code: str
    order_no: str
    accession_no: str
    priority: str
    action: WorkAction
    codes: list[str] | None
    state: DeviceWorkState
    is_being_sent: bool
    attempts: int
    created_at: datetime
    not_before: datetime
    settled_at: datetime | None
    note: str

    @classmethod
    def of(cls, row: WorkRow, principal: Principal) -> DeviceWorkOut:
        """Show an entry as far as the caller may see it."""
        shown = row.model_dump(exclude={"analyzer_id", "order_id", "branch_id", "codes"})
        sees = principal.may(Permission.RESULT_READ, row.branch_id)
        return cls(**shown, codes=row.codes if sees else None)


class DeviceQueryOut(BaseModel):
    """A query of a device.

    Attributes:
        specimen_ids: What it asked for; empty where it asked for everything.
        found: Tubes with work.
        is_answered: False where the store was away: the device was not told that there is no work.
        elapsed_ms: From the question to our answer.
    """

    id: UUID
    asked_at: datetime
    analyzer: str
    branch_code: str
    specimen_ids: list[str]
    found: int
    is_answered: bool
    elapsed_ms: Decimal

    @classmethod
    def of(cls, row: QueryRow) -> DeviceQueryOut:
        """Show a query."""
        shown = row.model_dump(exclude={"found"})
        return cls(**shown, found=max(row.found, 0), is_answered=row.found != NOT_ANSWERED)


class LatencyOut(BaseModel):
    """How fast one device was answered; times in milliseconds."""

    model_config = ConfigDict(from_attributes=True)

    analyzer: str
    branch_code: str
    queries: int
    unanswered: int
    without_work: int
    p50_ms: Decimal
    p95_ms: Decimal
    max_ms: Decimal
    last_at: datetime


class LatencyList(BaseModel):
    """Every device that asked in the time looked at."""

    items: list[LatencyOut]


class WithdrawalIn(BaseModel):
    """Why work is taken back."""

    model_config = ConfigDict(extra="forbid", str_strip_whitespace=True)

    reason: Annotated[str, Field(min_length=3, max_length=150)]


class RerunIn(BaseModel):
    """What is to be measured again."""

    model_config = ConfigDict(extra="forbid", str_strip_whitespace=True)

    test_codes: RerunCodes
    reason: Annotated[str, Field(max_length=500)] = ""


@router.get("/device-work", responses=responses(400))
async def list_work(
    principal: MayRead,
    resources: FromApp,
    *,
    state: Annotated[DeviceWorkState | None, Query()] = None,
    analyzer: AnalyzerCode = "",
    order_no: Annotated[str, Query(max_length=40)] = "",
    limit: Limit = DEFAULT_PAGE,
    cursor: Cursor = "",
) -> Page[DeviceWorkOut]:
    """List the work that devices are sent unasked, newest first; `state=refused` is what needs a person."""
    async with resources.database.transaction(branches=principal.branch_ids) as session:
        rows = await device_work_lists.work_page(
            session, branches=principal.branch_ids, state=state.value if state else "", analyzer=analyzer,
            order_no=order_no, before=row_id_of(cursor), limit=limit + 1,
        )  # fmt: skip
    return page_of(rows, limit, show=lambda row: DeviceWorkOut.of(row, principal), key=lambda row: str(row.id))


@router.post("/device-work/{work_id}/resend", responses=responses(400, 404, 409), response_model=DeviceWorkOut)
async def resend(work_id: UUID, principal: MayManage, request: OneRequest, resources: FromApp) -> Response:
    """Send work once more, now: after a refusal was cleared up, or when a device has lost what it was told."""

    async def work(session: AsyncSession) -> Answer:
        row = await device_work_lists.work_row(session, work_id, principal.branch_ids)
        await device_work_lists.resend(session, row)
        return await _answer(session, principal, row, "device_work_resent", "")

    return await answered_once(resources, principal, request, work)


@router.post("/device-work/{work_id}/withdraw", responses=responses(400, 404, 409), response_model=DeviceWorkOut)
async def withdraw(
    work_id: UUID, given: WithdrawalIn, principal: MayManage, request: OneRequest, resources: FromApp
) -> Response:
    """Take back work that the device does not have, e.g. because the test is done elsewhere."""

    async def work(session: AsyncSession) -> Answer:
        row = await device_work_lists.work_row(session, work_id, principal.branch_ids)
        await device_work_lists.withdraw(session, row, given.reason)
        return await _answer(session, principal, row, "device_work_withdrawn", given.reason)

    return await answered_once(resources, principal, request, work)


@router.get("/device-queries", responses=responses(400))
async def list_queries(
    principal: MayRead,
    resources: FromApp,
    *,
    analyzer: AnalyzerCode = "",
    limit: Limit = DEFAULT_PAGE,
    cursor: Cursor = "",
) -> Page[DeviceQueryOut]:
    """List what devices asked and how fast they were answered, newest first."""
    async with resources.database.transaction(branches=principal.branch_ids) as session:
        rows = await device_work_lists.query_page(
            session, branches=principal.branch_ids, analyzer=analyzer, before=row_id_of(cursor), limit=limit + 1
        )
    return page_of(rows, limit, show=DeviceQueryOut.of, key=lambda row: str(row.id))


@router.get("/device-queries/latency", responses=responses(400))
async def latency(
    principal: MayRead, resources: FromApp, hours: Annotated[int, Query(ge=1, le=720)] = 24
) -> LatencyList:
    """Show how fast each device was answered in the last hours."""
    since = utc_now() - timedelta(hours=hours)
    async with resources.database.transaction(branches=principal.branch_ids) as session:
        rows: list[LatencyRow] = await device_work_lists.latencies(session, branches=principal.branch_ids, since=since)
    return LatencyList(items=[LatencyOut.model_validate(row) for row in rows])


@router.post(
    "/orders/{order_no}/samples/{accession_no}/rerun", responses=responses(400, 404, 409),
    response_model=CommandAnswer, tags=["samples"],
)  # fmt: skip
async def rerun(
    order_no: str,
    *,
    accession_no: Accession,
    given: RerunIn,
    principal: MayVerify,
    request: OneRequest,
    resources: FromApp,
) -> Response:
    """Have tests of a sample measured again; what was measured goes out of force."""
    payload = RerunTests(accession_no=accession_no, test_codes=given.test_codes, reason=given.reason)
    return await carry_out(
        resources, principal, request, order_no=order_no, kind=CommandKind.RERUN_TESTS, payload=payload
    )


async def _answer(session: AsyncSession, principal: Principal, row: WorkRow, kind: str, reason: str) -> Answer:
    """Note what a person did and return the entry as it is now."""
    detail = {"analyzer": row.analyzer, "accession_no": row.accession_no, "action": row.action.value}
    await add_event(session, row.order_id, source="staff", kind=kind, actor=principal.username, detail=detail)
    now = await device_work_lists.work_row(session, row.id, principal.branch_ids)
    await audit.record(
        session, chain=row.branch_code, actor=principal.username, action=kind.replace("_work_", "_work."),
        object_kind="device_work", object_id=str(row.id), body={**detail, "order_no": row.order_no, "reason": reason},
    )  # fmt: skip
    return Answer(DeviceWorkOut.of(now, principal))
