"""Bills: read, paid at the counter, taken back. All amounts are paise."""

from __future__ import annotations

import asyncio
from datetime import date
from decimal import Decimal
from typing import Annotated

from fastapi import APIRouter, Depends, Response
from pydantic import BaseModel, ConfigDict

from activities.invoice_content import invoice_content
from api.commanding import CommandAnswer, carry_out
from api.deps import FromApp
from api.errors import responses
from api.etags import TaggedRoute
from api.idempotency import OneRequest
from api.permissions import Permission, Principal, require
from domain.messages import CommandKind, Reason, RecordPayment, ReverseInvoice
from rendering.receipt import render_invoice
from store import invoices
from store.orders import order_ref

router = APIRouter(prefix="/v1", tags=["billing"], route_class=TaggedRoute)

MayRead = Annotated[Principal, Depends(require(Permission.INVOICE_READ))]
MayRecord = Annotated[Principal, Depends(require(Permission.PAYMENT_RECORD))]
MayReverse = Annotated[Principal, Depends(require(Permission.INVOICE_REVERSE))]


class InvoiceLineOut(BaseModel):
    """A line of a bill."""

    model_config = ConfigDict(from_attributes=True)

    serial: int
    description: str
    sac: str
    quantity: int
    unit_price_paise: int
    taxable_paise: int
    gst_rate: Decimal
    cgst_paise: int
    sgst_paise: int
    igst_paise: int
    total_paise: int


class InvoiceOut(BaseModel):
    """A bill or credit note with what is still owed."""

    model_config = ConfigDict(from_attributes=True)

    document_no: str
    kind: str
    document_date: date
    order_no: str
    payer_code: str
    mode: str
    state: str
    taxable_paise: int
    cgst_paise: int
    sgst_paise: int
    igst_paise: int
    total_paise: int
    balance_paise: int
    payment_url: str
    reverses: str
    einvoice_state: str | None
    einvoice_reason: str | None
    irn: str | None
    ack_no: str | None
    lines: list[InvoiceLineOut] = []


class InvoiceList(BaseModel):
    """Every document of an order, oldest first."""

    items: list[InvoiceOut]


class ReverseRequest(BaseModel):
    """Why a bill is taken back."""

    model_config = ConfigDict(extra="forbid", str_strip_whitespace=True)

    reason: Reason


@router.get("/orders/{order_no}/invoices", responses=responses(404))
async def of_order(order_no: str, principal: MayRead, resources: FromApp) -> InvoiceList:
    """List an order's bills and credit notes with their lines."""
    async with resources.database.transaction(branches=principal.branch_ids) as session:
        order = await order_ref(session, order_no, principal.branch_ids)
        rows = await invoices.invoices_of(session, order.id)
        lines = {row.id: await invoices.lines_of(session, row.id) for row in rows}
    return InvoiceList(items=[_shown(row, lines[row.id]) for row in rows])


@router.get("/invoices/{document_no}", responses=responses(404))
async def read(document_no: str, principal: MayRead, resources: FromApp) -> InvoiceOut:
    """Show one bill with its lines."""
    async with resources.database.transaction(branches=principal.branch_ids) as session:
        row = await invoices.invoice_of(session, document_no, principal.branch_ids)
        lines = await invoices.lines_of(session, row.id)
    return _shown(row, lines)


@router.get("/invoices/{document_no}/document", responses=responses(404), response_class=Response)
async def print_document(document_no: str, principal: MayRead, resources: FromApp) -> Response:
    """Fetch one bill as PDF, as it was issued; with IRN and signed QR code where the law wants one."""
    async with resources.database.transaction(branches=principal.branch_ids) as session:
        content = await invoice_content(session, document_no, principal.branch_ids)
    pdf = await asyncio.to_thread(render_invoice, content)
    headers = {"Content-Disposition": f'attachment; filename="{document_no}.pdf"', "Cache-Control": "private, no-store"}
    return Response(pdf, media_type="application/pdf", headers=headers)


@router.post("/orders/{order_no}/payments", responses=responses(400, 404, 409), response_model=CommandAnswer)
async def record_payment(
    order_no: str, payload: RecordPayment, principal: MayRecord, request: OneRequest, resources: FromApp
) -> Response:
    """Record money taken at the counter or received on account."""
    return await carry_out(
        resources, principal, request, order_no=order_no, kind=CommandKind.RECORD_PAYMENT, payload=payload
    )


@router.post("/invoices/{document_no}/reverse", responses=responses(400, 404, 409), response_model=CommandAnswer)
async def reverse(
    document_no: str, body: ReverseRequest, principal: MayReverse, request: OneRequest, resources: FromApp
) -> Response:
    """Take a bill back: refund it, and cancel its IRN or issue a credit note."""
    async with resources.database.transaction(branches=principal.branch_ids) as session:
        invoice = await invoices.invoice_of(session, document_no, principal.branch_ids)
    payload = ReverseInvoice(invoice_no=document_no, reason=body.reason)
    return await carry_out(
        resources, principal, request, order_no=invoice.order_no, kind=CommandKind.REVERSE_INVOICE, payload=payload
    )


def _shown(row: invoices.InvoiceRow, lines: list[invoices.InvoiceLineRow]) -> InvoiceOut:
    shown = InvoiceOut.model_validate(row.model_dump(include=set(InvoiceOut.model_fields)))
    return shown.model_copy(update={"lines": [InvoiceLineOut.model_validate(line) for line in lines]})
