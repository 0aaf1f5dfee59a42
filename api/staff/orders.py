"""Orders: place, list, read, follow, cancel, and fetch the report."""

from __future__ import annotations

import asyncio
from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request, Response
from sqlmodel.ext.asyncio.session import AsyncSession

from activities.people import Actor
from activities.placement import PlacedOrder, PlaceOrder, place_order
from api.commanding import CommandAnswer, carry_out, ensure_started
from api.deps import FromApp
from api.errors import responses
from api.etags import TaggedRoute, is_known
from api.idempotency import Answer, OneRequest, answered_once
from api.pagination import DEFAULT_PAGE, Cursor, Limit, Page, cursor_of, number_of, page_of, row_id_of
from api.permissions import Permission, Principal, require
from api.staff.order_views import (
    HEAD_FIELDS,
    Event,
    OrderDetail,
    OrderInvoice,
    OrderQuery,
    OrderReport,
    OrderSample,
    OrderSummary,
    ReportLink,
    listed,
    shown_line,
    shown_patient,
)
from domain.messages import CancelOrder, CommandKind, ReleaseReport
from store import orders
from store.invoices import invoices_of
from store.orders import OrderFilter
from store.reports import report_in_force
from store.timeline import events_of

router = APIRouter(prefix="/v1/orders", tags=["orders"], route_class=TaggedRoute)

MayPlace = Annotated[Principal, Depends(require(Permission.ORDER_PLACE))]
MayRead = Annotated[Principal, Depends(require(Permission.ORDER_READ))]
MayCancel = Annotated[Principal, Depends(require(Permission.ORDER_CANCEL))]
MayRelease = Annotated[Principal, Depends(require(Permission.REPORT_RELEASE))]
MayReadReport = Annotated[Principal, Depends(require(Permission.REPORT_READ))]


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
    return page_of(rows, wanted.limit, show=lambda row: listed(row, names), key=lambda row: str(row.id))


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
        **head.model_dump(include=HEAD_FIELDS),
        is_started=head.workflow_started_at is not None,
        clinical_notes=head.clinical_notes if sees_results else None,
        patient=shown_patient(head, shows=principal.may(Permission.PATIENT_READ, order.branch_id)),
        samples=[OrderSample.model_validate(row) for row in samples],
        lines=[shown_line(row, shows=sees_results) for row in lines],
        invoices=[OrderInvoice.model_validate(row) for row in invoices],
        reports=[OrderReport.model_validate(row) for row in reports],
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
