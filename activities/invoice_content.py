"""Reads everything that a bill prints from PostgreSQL into one immutable value: the document as it was issued."""

from __future__ import annotations

from collections.abc import Collection
from decimal import Decimal
from uuid import UUID

from sqlalchemy import func
from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from activities.invoicing import document_of
from domain.clock import on_paper
from domain.einvoice import DocumentKind, Party, TaxDocument, TaxLine
from domain.enums import EInvoiceState, InvoiceState, LedgerKind
from domain.errors import NotFoundError
from domain.gst_masters import STATES
from domain.invoice_paper import InvoiceContent, PaperLine, PaperParty
from store.tables.billing import EInvoiceDocument, Invoice, LedgerEntry
from store.tables.orders import Order
from store.tables.patients import Patient

TITLES = {
    DocumentKind.BILL_OF_SUPPLY: "Bill of Supply",
    DocumentKind.TAX_INVOICE: "Tax Invoice",
    DocumentKind.INVOICE_CUM_BILL_OF_SUPPLY: "Invoice-cum-Bill of Supply",
    DocumentKind.CREDIT_NOTE: "Credit Note",
    DocumentKind.DEBIT_NOTE: "Debit Note",
}
_RECEIVED = (LedgerKind.PAYMENT, LedgerKind.REFUND)


async def invoice_content(session: AsyncSession, document_no: str, branches: Collection[UUID]) -> InvoiceContent:
    """Return what the bill prints.

    Args:
        session: Its scope decides what is visible, too.
        document_no: Of the bill.
        branches: Those the caller may read.

    Raises:
        NotFoundError: There is no such bill there.
    """
    query = select(Invoice, Order, Patient).join(Order, col(Order.id) == col(Invoice.order_id))
    query = query.join(Patient, col(Patient.id) == col(Order.patient_id))
    wanted = (Invoice.document_no == document_no, col(Invoice.branch_id).in_(branches))
    found = (await session.exec(query.where(*wanted))).one_or_none()
    if found is None:
        raise NotFoundError(f"there is no document {document_no}", code="INVOICE_UNKNOWN")
    invoice, order, patient = found
    einvoice = (
        await session.exec(select(EInvoiceDocument).where(EInvoiceDocument.invoice_id == invoice.id))
    ).one_or_none()
    document = document_of(invoice)
    is_registered = einvoice is not None and einvoice.state is EInvoiceState.GENERATED and bool(einvoice.signed_qr)
    return InvoiceContent(
        title=TITLES[document.kind],
        number=document.document_no,
        document_date=document.document_date,
        issued_at=invoice.created_at,
        supplier=_paper(document.supplier),
        buyer=_paper(document.buyer),
        lines=tuple(_line(line) for line in document.lines),
        cgst_paise=document.cgst_paise,
        sgst_paise=document.sgst_paise,
        igst_paise=document.igst_paise,
        round_off_paise=document.round_off_paise,
        paid_paise=await _received(session, invoice),
        order_no=order.order_no,
        patient=patient.patient_no,
        place_of_supply=_state(document.place_of_supply),
        irn=(einvoice.irn or "") if is_registered and einvoice else "",
        signed_qr=einvoice.signed_qr if is_registered and einvoice else "",
        acknowledgement=_acknowledgement(einvoice) if is_registered and einvoice else "",
        irn_note="" if is_registered or einvoice is None else _why_none(einvoice),
        reference=document.preceding_document_no,
        notes=_notes(invoice, document),
    )


async def _received(session: AsyncSession, invoice: Invoice) -> int:
    query = select(func.coalesce(func.sum(LedgerEntry.amount_paise), 0)).where(
        LedgerEntry.invoice_id == invoice.id, col(LedgerEntry.kind).in_(_RECEIVED)
    )
    return -int((await session.exec(query)).one())


def _paper(party: Party) -> PaperParty:
    place = " ".join(part for part in (party.location, f"{party.pin:06d}" if party.pin else "") if part)
    return PaperParty(
        name=party.trade_name or party.legal_name,
        address=tuple(part for part in (party.address1, party.address2, place) if part),
        gstin=party.gstin if party.is_registered else "",
        state=_state(party.state_code),
        contact=" · ".join(part for part in (party.phone, party.email) if part),
    )


def _state(code: str) -> str:
    return f"{STATES.get(code, 'State')} ({code})" if code else ""


def _line(line: TaxLine) -> PaperLine:
    return PaperLine(
        description=line.description,
        sac=line.sac,
        amount_paise=line.gross_paise,
        discount_paise=line.discount_paise,
        gst_rate=Decimal(0) if line.is_exempt else line.gst_rate,
        tax_paise=line.cgst_paise + line.sgst_paise + line.igst_paise,
        quantity=int(line.quantity),
    )


def _acknowledgement(einvoice: EInvoiceDocument) -> str:
    return f"{einvoice.ack_no}, {on_paper(einvoice.ack_at)} IST" if einvoice.ack_at else einvoice.ack_no


def _why_none(einvoice: EInvoiceDocument) -> str:
    if einvoice.state is EInvoiceState.NOT_REQUIRED:
        return f"IRN not required. {einvoice.rules.get('text', '')}".strip()
    if einvoice.state is EInvoiceState.CANCELLED:
        return "The registration of this document was cancelled."
    return "The registration of this document is pending: it is not a tax invoice yet."


def _notes(invoice: Invoice, document: TaxDocument) -> tuple[str, ...]:
    notes = []
    if invoice.state in {InvoiceState.CANCELLED, InvoiceState.CREDITED}:
        notes.append(f"This document is {invoice.state.value}.")
    if document.kind is DocumentKind.BILL_OF_SUPPLY:
        notes.append("Diagnostic services of a clinical establishment are exempt from GST.")
    return tuple(notes)
