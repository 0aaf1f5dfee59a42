"""Orders: place, list, read, follow, cancel, and fetch the report."""

from __future__ import annotations

import asyncio
from datetime import date, datetime
from decimal import Decimal
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request, Response
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field
from sqlmodel.ext.asyncio.session import AsyncSession

from activities.people import Actor
from activities.placement import PlacedOrder, PlaceOrder, place_order
from api.commanding import CommandAnswer, carry_out, ensure_started
from api.deps import FromApp
from api.errors import responses
from api.etags import TaggedRoute, is_known
from api.idempotency import Answer, OneRequest, answered_once
from api.pagination import DEFAULT_PAGE, MAX_PAGE, Cursor, Limit, Page, cursor_of, number_of, page_of, row_id_of
from api.permissions import Permission, Principal, require
from domain.enums import LineState, OrderStage, Priority, ReportState, ResultState, SampleState
from domain.messages import CancelOrder, CommandKind, ReleaseReport
from store import orders
from store.invoices import invoices_of
from store.orders import LineRow, OrderFilter, OrderHead, OrderListRow
from store.reports import report_in_force
from store.timeline import events_of

router = APIRouter(prefix="/v1/orders", tags=["orders"], route_class=TaggedRoute)

MayPlace = Annotated[Principal, Depends(require(Permission.ORDER_PLACE))]
MayRead = Annotated[Principal, Depends(require(Permission.ORDER_READ))]
MayCancel = Annotated[Principal, Depends(require(Permission.ORDER_CANCEL))]
MayRelease = Annotated[Principal, Depends(require(Permission.REPORT_RELEASE))]
MayReadReport = Annotated[Principal, Depends(require(Permission.REPORT_READ))]

HIDDEN = "***"


class OrderSummary(BaseModel):
    """An order in a list. The name is shown to roles that may read patients."""

    model_config = ConfigDict(from_attributes=True)

    order_no: str
    branch_code: str
    patient_no: str
    patient_name: str
    priority: Priority
    stage: OrderStage
    attention: list[str]
    created_at: datetime
    closed_at: datetime | None
    test_count: int


class OrderQuery(BaseModel):
    """What narrows the list of orders.

    Attributes:
        attention: Only those that need a person, or only the others.
        q: A whole order, patient or accession number.
        since: Placed at or after.
        until: Placed before.
    """

    model_config = ConfigDict(extra="forbid", str_strip_whitespace=True, hide_input_in_errors=True)

    stage: OrderStage | None = None
    attention: bool | None = None
    branch: Annotated[str, Field(max_length=4)] = ""
    q: Annotated[str, Field(max_length=30)] = ""
    since: AwareDatetime | None = None
    until: AwareDatetime | None = None
    limit: Annotated[int, Field(ge=1, le=MAX_PAGE)] = DEFAULT_PAGE
    cursor: Annotated[str, Field(max_length=200)] = ""


class OrderPatient(BaseModel):
    """The patient on an order; None fields are not for the caller's role."""

    patient_no: str
    name: str | None
    sex: str | None
    birth_date: date | None
    is_birth_date_estimated: bool
    phone: str | None


class OrderSample(BaseModel):
    """A tube."""

    model_config = ConfigDict(from_attributes=True)

    accession_no: str
    specimen: str
    container: str
    state: SampleState
    collected_at: datetime | None
    received_at: datetime | None
    rejected_at: datetime | None
    reject_reason: str
    replaces: str


class LineResult(BaseModel):
    """A result in force, or one that is held for a person."""

    version: int
    state: ResultState
    value: str
    unit: str
    flag: str
    is_critical: bool
    reference_low: Decimal | None
    reference_high: Decimal | None
    reference_text: str
    comments: list[str]
    hold_reason: str
    observed_at: datetime
    source: str
    accepted_levels: list[str]


class OrderLineOut(BaseModel):
    """An ordered test. `result` is shown to clinical roles; a confidential test is named to them only."""

    test_code: str
    test_name: str
    panel_code: str
    payer_code: str
    accession_no: str
    price_paise: int
    state: LineState
    result: LineResult | None


class OrderInvoice(BaseModel):
    """A bill of the order, in short."""

    model_config = ConfigDict(from_attributes=True)

    document_no: str
    kind: str
    mode: str
    state: str
    payer_code: str
    total_paise: int
    balance_paise: int
    einvoice_state: str | None


class OrderReport(BaseModel):
    """A version of the report."""

    model_config = ConfigDict(from_attributes=True)

    report_no: str
    version: int
    state: ReportState
    issued_at: datetime
    sha256: str
    is_confidential: bool


class OrderDetail(BaseModel):
    """An order with everything on it."""

    order_no: str
    branch_code: str
    priority: Priority
    stage: OrderStage
    attention: list[str]
    is_started: bool
    clinical_notes: str | None
    doctor: str
    placed_by: str
    created_at: datetime
    closed_at: datetime | None
    cancel_reason: str
    patient: OrderPatient
    samples: list[OrderSample]
    lines: list[OrderLineOut]
    invoices: list[OrderInvoice]
    reports: list[OrderReport]


class Event(BaseModel):
    """One line of the timeline."""

    model_config = ConfigDict(from_attributes=True)

    seq: int
    at: datetime
    source: str
    kind: str
    actor: str
    detail: dict[str, Any]


class ReportLink(BaseModel):
    """An expiring address of the report."""

    url: str
    expires_in: int


@router.post("", status_code=201, responses=responses(400, 404), response_model=PlacedOrder)
async def place(wanted: PlaceOrder, principal: MayPlace, request: OneRequest, resources: FromApp) -> Response:
    """Place an order. It is accepted while Temporal is away; its workflow starts when Temporal is back."""
    principal.branch_id(wanted.branch_code)

    async def work(session: AsyncSession) -> Answer:
        actor = Actor(principal.user_id, principal.username)
        placed = await place_order(session, wanted, actor, lab=resources.config.lab)
        return Answer(placed, 201, f"/v1/orders/{placed.order_no}")

    response = await answered_once(resources, principal, request, work)
    order_no = response.headers["Location"].rpartition("/")[2]
    async with resources.database.transaction(branches=principal.branch_ids) as session:
        order = await orders.order_ref(session, order_no, principal.branch_ids)
    await ensure_started(resources.database, resources.gateway, order, summary=_summary(order_no, len(wanted.items)))
    return response


def _summary(order_no: str, items: int) -> str:
    return f"{order_no}: {items} item" + ("s" if items > 1 else "")


@router.get("", responses=responses(400))
async def search(wanted: Annotated[OrderQuery, Query()], principal: MayRead, resources: FromApp) -> Page[OrderSummary]:
    """List orders of the caller's branches, newest first."""
    narrowed = OrderFilter(
        stage=wanted.stage.value if wanted.stage else "",
        **wanted.model_dump(include={"branch", "attention", "q", "since", "until"}),
    )
    async with resources.database.transaction(branches=principal.branch_ids) as session:
        rows = await orders.order_page(
            session, narrowed, branches=list(principal.branch_ids), before=row_id_of(wanted.cursor),
            limit=wanted.limit + 1,
        )  # fmt: skip
    names = principal.reach(Permission.PATIENT_READ)
    return page_of(rows, wanted.limit, show=lambda row: _listed(row, names), key=lambda row: str(row.id))


def _listed(row: OrderListRow, names: frozenset[str]) -> OrderSummary:
    shown = OrderSummary.model_validate(row)
    return shown if row.branch_code in names else shown.model_copy(update={"patient_name": HIDDEN})


@router.get("/{order_no}", responses=responses(404))
async def read(order_no: str, principal: MayRead, resources: FromApp) -> OrderDetail:
    """Show one order: patient, samples, tests with results, bills, reports."""
    async with resources.database.transaction(branches=principal.branch_ids) as session:
        order = await orders.order_ref(session, order_no, principal.branch_ids)
        head = await orders.order_head(session, order.id)
        samples = await orders.samples_of(session, order.id)
        lines = await orders.lines_of(session, order.id)
        invoices = await invoices_of(session, order.id)
        reports = await orders.reports_of(session, order.id)
    sees_results = principal.may(Permission.RESULT_READ, order.branch_id)
    return OrderDetail(
        **head.model_dump(include=_HEAD_FIELDS),
        is_started=head.workflow_started_at is not None,
        clinical_notes=head.clinical_notes if sees_results else None,
        patient=_patient(head, shows=principal.may(Permission.PATIENT_READ, order.branch_id)),
        samples=[OrderSample.model_validate(row) for row in samples],
        lines=[_line(row, shows=sees_results) for row in lines],
        invoices=[OrderInvoice.model_validate(row) for row in invoices],
        reports=[OrderReport.model_validate(row) for row in reports],
    )


_HEAD_FIELDS = {
    "order_no", "branch_code", "priority", "stage", "attention", "doctor", "placed_by", "created_at", "closed_at",
    "cancel_reason",
}  # fmt: skip


def _patient(head: OrderHead, *, shows: bool) -> OrderPatient:
    return OrderPatient(
        patient_no=head.patient_no,
        name=head.patient_name if shows else None,
        sex=head.sex if shows else None,
        birth_date=head.birth_date if shows else None,
        is_birth_date_estimated=head.is_birth_date_estimated,
        phone=head.phone if shows else None,
    )


def _line(row: LineRow, *, shows: bool) -> OrderLineOut:
    is_hidden = row.is_confidential and not shows
    return OrderLineOut(
        test_code=HIDDEN if is_hidden else row.test_code,
        test_name=HIDDEN if is_hidden else row.test_name,
        panel_code=HIDDEN if is_hidden and row.panel_code else row.panel_code,
        payer_code=row.payer_code,
        accession_no=row.accession_no,
        price_paise=row.price_paise,
        state=row.state,
        result=_result(row) if shows else None,
    )


def _result(row: LineRow) -> LineResult | None:
    if row.result_version is None:
        return None
    return LineResult.model_validate(
        {
            **row.model_dump(include=set(LineResult.model_fields)),
            "version": row.result_version,
            "state": row.result_state,
            "value": row.value_text,
            "unit": row.unit_display or row.unit,
        }
    )


@router.get("/{order_no}/timeline", responses=responses(400, 404))
async def timeline(
    order_no: str, principal: MayRead, resources: FromApp, limit: Limit = DEFAULT_PAGE, cursor: Cursor = ""
) -> Page[Event]:
    """Show every event of every workflow and person on the order, oldest first."""
    async with resources.database.transaction(branches=principal.branch_ids) as session:
        order = await orders.order_ref(session, order_no, principal.branch_ids)
        rows = await events_of(session, order.id, after=number_of(cursor), limit=limit + 1)
    items = [Event.model_validate(row) for row in rows[:limit]]
    return Page(items=items, next_cursor=cursor_of(str(items[-1].seq)) if len(rows) > limit else None)


@router.post("/{order_no}/cancel", responses=responses(400, 404, 409), response_model=CommandAnswer)
async def cancel(
    order_no: str, payload: CancelOrder, principal: MayCancel, request: OneRequest, resources: FromApp
) -> Response:
    """Cancel the whole order; what was paid is refunded."""
    return await carry_out(
        resources, principal, request, order_no=order_no, kind=CommandKind.CANCEL_ORDER, payload=payload
    )


@router.post("/{order_no}/release", responses=responses(400, 404, 409), response_model=CommandAnswer)
async def release(
    order_no: str, payload: ReleaseReport, principal: MayRelease, request: OneRequest, resources: FromApp
) -> Response:
    """Release the report although it is not paid."""
    return await carry_out(
        resources, principal, request, order_no=order_no, kind=CommandKind.RELEASE_REPORT, payload=payload
    )


@router.get("/{order_no}/report", responses=responses(404, 502), response_model=ReportLink)
async def report(
    order_no: str,
    principal: MayReadReport,
    resources: FromApp,
    request: Request,
    link: Annotated[bool, Query(description="Answer with an expiring address instead of the document.")] = False,
) -> Response | ReportLink:
    """Fetch the report in force as PDF; its ETag is the document's SHA-256."""
    async with resources.database.transaction(branches=principal.branch_ids) as session:
        order = await orders.order_ref(session, order_no, principal.branch_ids)
        found = await report_in_force(session, order.id)
    name = f"{found.report_no}-v{found.version}.pdf"
    if link:
        life = resources.config.staff_link_life
        url = await asyncio.to_thread(
            resources.documents.presign_get, found.object_key, life, name, found.object_version
        )
        return ReportLink(url=url, expires_in=int(life.total_seconds()))
    tag = f'"{found.sha256}"'
    if is_known(request, tag):
        return Response(status_code=304, headers={"ETag": tag})
    content = await asyncio.to_thread(
        resources.documents.get, found.object_key, found.object_version, sha256=found.sha256
    )
    headers = {"ETag": tag, "Content-Disposition": f'attachment; filename="{name}"'}
    return Response(content, media_type="application/pdf", headers=headers)
