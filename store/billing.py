"""Reads invoices, what is owed on them, and what hangs on them: links, refunds, the e-invoice, staff commands."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import func
from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from domain.enums import CommandState, InvoiceState, LedgerKind
from domain.errors import NotFoundError
from domain.messages import CommandKind
from store.tables.billing import EInvoiceDocument, Invoice, LedgerEntry, PaymentLinkRow, RefundRow
from store.tables.exchange import Command
from store.tables.orders import Order, OrderEvent
from store.tables.organisation import Branch
from store.timeline import EventDetail, add_event

COUNTER = "counter"
"""The gateway name of money taken by staff."""
RAZORPAY = "razorpay"
INTERNAL = "internal"
"""The gateway name of charges and cancellations, where no money moves."""

REVERSED = frozenset({InvoiceState.CANCELLED, InvoiceState.CREDITED})


@dataclass(frozen=True)
class Bill:
    """An invoice with its order and branch, as activities need them."""

    invoice: Invoice
    order: Order
    branch: Branch

    @property
    def is_reversed(self) -> bool:
        """True when the invoice is taken back, or staff have asked for it."""
        return self.invoice.state in REVERSED or bool(self.invoice.cancel_reason)


async def bill_of(session: AsyncSession, document_no: str, *, for_update: bool = False) -> Bill:
    """Load an invoice by number.

    Args:
        session: The transaction.
        document_no: As printed.
        for_update: Lock the order, then the invoice: everything that changes its ledger or state does, and staff's
            commands lock in the same order.

    Raises:
        NotFoundError: There is none, or it is out of the transaction's branches.
    """
    if for_update:
        owner = select(Invoice.order_id).where(Invoice.document_no == document_no).scalar_subquery()
        await session.exec(select(Order.id).where(Order.id == owner).with_for_update())
    query = (
        select(Invoice, Order, Branch)
        .join(Order, col(Order.id) == col(Invoice.order_id))
        .join(Branch, col(Branch.id) == col(Invoice.branch_id))
        .where(Invoice.document_no == document_no)
    )
    if for_update:
        query = query.with_for_update(of=Invoice).execution_options(populate_existing=True)
    found = (await session.exec(query)).one_or_none()
    if found is None:
        raise NotFoundError(f"there is no invoice {document_no}", code="INVOICE_NOT_FOUND")
    return Bill(*found)


async def balance_paise(session: AsyncSession, invoice_id: UUID) -> int:
    """Return what is still owed on an invoice; negative is owed to the payer."""
    await session.flush()
    query = select(func.coalesce(func.sum(LedgerEntry.amount_paise), 0)).where(LedgerEntry.invoice_id == invoice_id)
    return int((await session.exec(query)).one())


async def count_entries(session: AsyncSession, invoice_id: UUID) -> int:
    """Return how many ledger entries an invoice has; it only ever grows."""
    query = select(func.count()).select_from(LedgerEntry).where(LedgerEntry.invoice_id == invoice_id)
    return int((await session.exec(query)).one())


async def payments_of(session: AsyncSession, invoice_id: UUID) -> Sequence[LedgerEntry]:
    """Return the payments posted to an invoice, oldest first."""
    query = (
        select(LedgerEntry)
        .where(LedgerEntry.invoice_id == invoice_id, LedgerEntry.kind == LedgerKind.PAYMENT)
        .order_by(col(LedgerEntry.id))
    )
    return (await session.exec(query)).all()


async def ledger_entry(session: AsyncSession, gateway: str, gateway_ref: str) -> LedgerEntry | None:
    """Return the one entry of a gateway's payment or refund."""
    query = select(LedgerEntry).where(LedgerEntry.gateway == gateway, LedgerEntry.gateway_ref == gateway_ref)
    return (await session.exec(query)).one_or_none()


async def links_of(session: AsyncSession, invoice_id: UUID) -> Sequence[PaymentLinkRow]:
    """Return an invoice's payment links, oldest first; the last one is in force."""
    query = select(PaymentLinkRow).where(PaymentLinkRow.invoice_id == invoice_id).order_by(col(PaymentLinkRow.id))
    return (await session.exec(query)).all()


async def refunds_of(session: AsyncSession, invoice_id: UUID) -> Sequence[RefundRow]:
    """Return an invoice's refunds, oldest first."""
    query = select(RefundRow).where(RefundRow.invoice_id == invoice_id).order_by(col(RefundRow.id))
    return (await session.exec(query)).all()


async def refund_of(session: AsyncSession, payment_ref: str, *, for_update: bool = False) -> RefundRow | None:
    """Return the refund of one captured payment."""
    query = select(RefundRow).where(RefundRow.payment_ref == payment_ref)
    if for_update:
        query = query.with_for_update()
    return (await session.exec(query)).one_or_none()


async def einvoice_of(session: AsyncSession, invoice_id: UUID, *, for_update: bool = False) -> EInvoiceDocument:
    """Return the e-invoice side of a document; every document has one."""
    query = select(EInvoiceDocument).where(EInvoiceDocument.invoice_id == invoice_id)
    if for_update:
        query = query.with_for_update()
    return (await session.exec(query)).one()


async def note_of(session: AsyncSession, invoice_id: UUID) -> Invoice | None:
    """Return the credit note that reverses an invoice."""
    return (await session.exec(select(Invoice).where(Invoice.reverses_id == invoice_id))).one_or_none()


async def event(session: AsyncSession, bill: Bill, *, source: str, kind: str, detail: EventDetail) -> None:
    """Add a line about this invoice to the order's timeline."""
    await add_event(
        session, bill.order.id, source=source, kind=kind, detail={"invoice_no": bill.invoice.document_no, **detail}
    )


async def event_once(session: AsyncSession, bill: Bill, *, source: str, kind: str, detail: EventDetail) -> bool:
    """Add a line about this invoice to the order's timeline unless it is there; the invoice must be locked.

    Returns:
        True when it was added.
    """
    document_no = bill.invoice.document_no
    query = select(OrderEvent.seq).where(
        OrderEvent.order_id == bill.order.id,
        OrderEvent.kind == kind,
        col(OrderEvent.detail)["invoice_no"].astext == document_no,
    )
    if (await session.exec(query)).first() is not None:
        return False
    await event(session, bill, source=source, kind=kind, detail=detail)
    return True


async def reversal_commands(session: AsyncSession, bill: Bill) -> Sequence[UUID]:
    """Return staff's commands to take the invoice back that nobody has applied yet, oldest first."""
    query = (
        select(Command.id)
        .where(
            Command.kind == CommandKind.REVERSE_INVOICE.value,
            Command.state == CommandState.ACCEPTED,
            col(Command.payload)["invoice_no"].astext == bill.invoice.document_no,
        )
        .order_by(col(Command.id))
    )
    return (await session.exec(query)).all()


async def settle_state(session: AsyncSession, invoice: Invoice) -> int:
    """Bring an invoice's state in line with its ledger and return what is still owed.

    A reversed invoice keeps its state: what arrives afterwards is given back, never applied.
    """
    due = await balance_paise(session, invoice.id)
    if invoice.state in REVERSED:
        return due
    if due <= 0:
        state = InvoiceState.PAID
    elif due < invoice.total_paise:
        state = InvoiceState.PARTIALLY_PAID
    else:
        state = InvoiceState.ISSUED
    if invoice.state is not state:
        invoice.state = state
        session.add(invoice)
        await session.flush()
    return due
