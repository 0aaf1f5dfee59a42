"""Bills as read: their lines, what is owed, and where their e-invoice stands. All amounts are paise."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from decimal import Decimal
from uuid import UUID

from sqlalchemy import text
from sqlmodel.ext.asyncio.session import AsyncSession

from domain.enums import CollectionMode, EInvoiceState, InvoiceState
from domain.errors import NotFoundError
from store.reading import ReadRow, row_of, rows_of

_COLUMNS = (
    "i.id, i.document_no, i.kind, i.document_date, i.mode, i.state, i.taxable_paise, i.cgst_paise, i.sgst_paise,"
    " i.igst_paise, i.total_paise, i.order_id, o.order_no, coalesce(p.code, '') as payer_code,"
    " coalesce(r.document_no, '') as reverses,"
    " (select coalesce(sum(e.amount_paise), 0)::bigint from ledger_entries e where e.invoice_id = i.id)"
    "   as balance_paise,"
    " coalesce((select l.short_url from payment_links l where l.invoice_id = i.id order by l.id desc limit 1), '')"
    "   as payment_url,"
    " d.state as einvoice_state, d.reason_code as einvoice_reason, d.irn, d.ack_no"
    " from invoices i join orders o on o.id = i.order_id left join payers p on p.id = i.payer_id"
    " left join invoices r on r.id = i.reverses_id left join einvoice_documents d on d.invoice_id = i.id"
)
_OF_ORDER = text(f"select {_COLUMNS} where i.order_id = :order_id order by i.id")
_ONE = text(f"select {_COLUMNS} where i.document_no = :document_no and i.branch_id = any(cast(:branches as uuid[]))")
_LINES = text(
    "select serial, description, sac, quantity, unit_price_paise, taxable_paise, gst_rate, cgst_paise, sgst_paise,"
    " igst_paise, total_paise from invoice_lines where invoice_id = :invoice_id order by serial"
)


class InvoiceRow(ReadRow):
    """A bill.

    Attributes:
        balance_paise: What is still owed; negative when money is to be given back.
        reverses: The document that this credit note reverses, or "".
    """

    id: UUID
    document_no: str
    kind: str
    document_date: date
    mode: CollectionMode
    state: InvoiceState
    taxable_paise: int
    cgst_paise: int
    sgst_paise: int
    igst_paise: int
    total_paise: int
    order_id: UUID
    order_no: str
    payer_code: str
    reverses: str
    balance_paise: int
    payment_url: str
    einvoice_state: EInvoiceState | None
    einvoice_reason: str | None
    irn: str | None
    ack_no: str | None


class InvoiceLineRow(ReadRow):
    """A line of a bill."""

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


async def invoices_of(session: AsyncSession, order_id: UUID) -> list[InvoiceRow]:
    """Return an order's bills and credit notes, oldest first."""
    return await rows_of(session, InvoiceRow, _OF_ORDER, order_id=order_id)


async def invoice_of(session: AsyncSession, document_no: str, branches: Sequence[UUID] | frozenset[UUID]) -> InvoiceRow:
    """Return one bill of the branches.

    Raises:
        NotFoundError: Unknown, or of another branch.
    """
    found = await row_of(session, InvoiceRow, _ONE, document_no=document_no, branches=list(branches))
    if found is None:
        raise NotFoundError("there is no such invoice", code="INVOICE_UNKNOWN")
    return found


async def lines_of(session: AsyncSession, invoice_id: UUID) -> list[InvoiceLineRow]:
    """Return a bill's lines in order."""
    return await rows_of(session, InvoiceLineRow, _LINES, invoice_id=invoice_id)
