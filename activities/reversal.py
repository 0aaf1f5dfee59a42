"""Taking an invoice back: how far it is, its cancellation or credit note, and its last ledger entry."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from pydantic import BaseModel, ConfigDict
from sqlmodel.ext.asyncio.session import AsyncSession
from temporalio import activity

from activities.billing import InvoiceKey, shares_to_give_back
from activities.invoicing import document_of, next_document_nos, record_document
from activities.people import system
from activities.refunds import is_closed
from domain.clock import lab_day, utc_now
from domain.einvoice import DocumentKind
from domain.enums import EInvoiceState, InvoiceState, LedgerKind, RefundState
from domain.messages import WorkflowType
from domain.payments import PaymentLinkState
from rules import gst_tax
from store import audit, billing
from store.billing import Bill
from store.session import Database
from store.tables.billing import Invoice, LedgerEntry
from store.timeline import EventDetail

SOURCE = WorkflowType.INVOICE_REVERSAL.value


class ReversalFacts(BaseModel):
    """How far an invoice has been taken back.

    Attributes:
        branch: Branch code.
        commands: Staff's commands that ask for it and are not applied yet.
        is_marked: Staff or a cancelled order have asked for it.
        open_links: Links through which money can still come.
        refundable: Payments that are to be given back and have no refund yet.
        refunds_open: Payments whose refund is under way.
        is_settled: The ledger has nothing left to move, or staff decided against a refund.
        note_no: The credit note, or "".
    """

    model_config = ConfigDict(frozen=True)
    invoice_no: str
    order_no: str
    branch: str
    state: InvoiceState
    commands: tuple[str, ...] = ()
    is_marked: bool = False
    open_links: int = 0
    refundable: tuple[str, ...] = ()
    refunds_open: tuple[str, ...] = ()
    is_settled: bool = False
    note_no: str = ""


class CreditNote(BaseModel):
    """The note that reverses an invoice."""

    model_config = ConfigDict(frozen=True)
    document_no: str
    requires_irn: bool


@dataclass(frozen=True)
class ReversalActivities:
    """Steps of the InvoiceReversal workflow, one transaction each.

    Attributes:
        now: Aware clock.
    """

    database: Database
    now: Callable[[], datetime] = utc_now

    @activity.defn(name="billing.begin_reversal")
    async def begin_reversal(self, key: InvoiceKey) -> ReversalFacts:
        """Mark the invoice as being taken back, so that nothing new is collected or registered for it."""
        async with self.database.transaction() as session:
            bill = await billing.bill_of(session, key.invoice_no, for_update=True)
            if not bill.is_reversed:
                bill.invoice.cancel_reason = "order cancelled"
                session.add(bill.invoice)
                await session.flush()
            await billing.event_once(session, bill, source=SOURCE, kind="invoice_reversal_started", detail={})
            return await _facts(session, bill)

    @activity.defn(name="billing.reversal_facts")
    async def reversal_facts(self, key: InvoiceKey) -> ReversalFacts:
        """Read how far it is."""
        async with self.database.transaction() as session:
            return await _facts(session, await billing.bill_of(session, key.invoice_no))

    @activity.defn(name="billing.cancel_invoice")
    async def cancel_invoice(self, key: InvoiceKey) -> None:
        """Cancel the invoice and take its charge out of the ledger, once; one that is credited stays so."""
        async with self.database.transaction() as session:
            bill = await billing.bill_of(session, key.invoice_no, for_update=True)
            if bill.invoice.state in billing.REVERSED:
                return
            bill.invoice.state = InvoiceState.CANCELLED
            session.add(bill.invoice)
            session.add(
                LedgerEntry(
                    invoice_id=bill.invoice.id,
                    kind=LedgerKind.CANCELLATION,
                    amount_paise=-bill.invoice.total_paise,
                    gateway=billing.INTERNAL,
                    gateway_ref=f"{LedgerKind.CANCELLATION.value}:{key.invoice_no}",
                )
            )
            await _tell(session, bill, "invoice_cancelled", "invoice.cancelled", {})

    @activity.defn(name="billing.issue_credit_note")
    async def issue_credit_note(self, key: InvoiceKey) -> CreditNote:
        """Issue the credit note over the whole invoice, or return the one that was issued before.

        Raises:
            RuleError: The document is no invoice.
        """
        async with self.database.transaction() as session:
            bill = await billing.bill_of(session, key.invoice_no, for_update=True)
            note = await billing.note_of(session, bill.invoice.id)
            if note is None:
                note = await self._issue(session, bill)
            einvoice = await billing.einvoice_of(session, note.id)
            return CreditNote(
                document_no=note.document_no, requires_irn=einvoice.state is not EInvoiceState.NOT_REQUIRED
            )

    async def _issue(self, session: AsyncSession, bill: Bill) -> Invoice:
        day = lab_day(self.now())
        (document_no,) = await next_document_nos(session, bill.branch, [DocumentKind.CREDIT_NOTE], day)
        document = gst_tax.credit_note(
            document_of(bill.invoice),
            document_no=document_no,
            document_date=day,
        )
        issued = await record_document(
            session,
            document,
            order_id=bill.order.id,
            branch=bill.branch,
            payer_id=bill.invoice.payer_id,
            mode=bill.invoice.mode,
            reverses=bill.invoice,
        )
        note = issued.invoice
        bill.invoice.state = InvoiceState.CREDITED
        session.add(bill.invoice)
        detail: EventDetail = {"note_no": note.document_no}
        await _tell(session, bill, "credit_note_issued", "invoice.credited", detail)
        return note


async def _facts(session: AsyncSession, bill: Bill) -> ReversalFacts:
    invoice = bill.invoice
    links = await billing.links_of(session, invoice.id)
    refunds = await billing.refunds_of(session, invoice.id)
    note = await billing.note_of(session, invoice.id)
    return ReversalFacts(
        invoice_no=invoice.document_no,
        order_no=bill.order.order_no,
        branch=bill.branch.code,
        state=invoice.state,
        commands=tuple(str(row_id) for row_id in await billing.reversal_commands(session, bill)),
        is_marked=bill.is_reversed or bool(bill.order.cancel_reason),
        open_links=sum(PaymentLinkState(row.state).is_open for row in links),
        refundable=tuple(await shares_to_give_back(session, bill)) if bill.is_reversed else (),
        refunds_open=tuple(
            row.payment_ref for row in refunds if row.state is not RefundState.PROCESSED and not is_closed(row)
        ),
        is_settled=await billing.balance_paise(session, invoice.id) == 0 or any(is_closed(row) for row in refunds),
        note_no=note.document_no if note else "",
    )


async def _tell(session: AsyncSession, bill: Bill, kind: str, action: str, detail: EventDetail) -> None:
    await billing.event(session, bill, source=SOURCE, kind=kind, detail=detail)
    await audit.record(
        session, chain=bill.branch.code, actor=system(SOURCE), action=action, object_kind="invoice",
        object_id=bill.invoice.document_no, body=detail,
    )  # fmt: skip
