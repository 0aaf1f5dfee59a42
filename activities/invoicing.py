"""Turns ordered items into issued tax documents: who pays what, on which kind of document, under which number."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Any
from uuid import UUID

from pydantic import TypeAdapter
from sqlmodel.ext.asyncio.session import AsyncSession

from domain.clock import financial_year
from domain.einvoice import UNREGISTERED, DocumentKind, GstPolicy, Party, SupplyType, TaxDocument
from domain.enums import CollectionMode, EInvoiceState, LedgerKind
from domain.ids import InvoiceNo, new_id
from rules import gst, gst_tax
from store.counters import next_numbers
from store.tables.billing import EInvoiceDocument, Invoice, InvoiceLine, LedgerEntry
from store.tables.organisation import Branch, Organisation, Payer
from store.tables.patients import Patient

DOCUMENTS: TypeAdapter[TaxDocument] = TypeAdapter(TaxDocument)
_POLICIES: TypeAdapter[GstPolicy] = TypeAdapter(GstPolicy)

SERIES = {
    DocumentKind.BILL_OF_SUPPLY: "B",
    DocumentKind.TAX_INVOICE: "T",
    DocumentKind.INVOICE_CUM_BILL_OF_SUPPLY: "M",
    DocumentKind.CREDIT_NOTE: "C",
    DocumentKind.DEBIT_NOTE: "D",
}
"""One series of numbers per kind of document, branch and financial year."""


@dataclass(frozen=True)
class BillItem:
    """One ordered test or panel on its way to a bill."""

    description: str
    sac: str
    price_paise: int
    gst_rate: Decimal
    is_taxable: bool
    payer: Payer | None


@dataclass(frozen=True)
class Billing:
    """What a bill needs to know beyond its items."""

    order_id: UUID
    organisation: Organisation
    branch: Branch
    patient: Patient
    mode: CollectionMode
    day: date


def gst_policy(branch: Branch) -> GstPolicy:
    """Return what the accountant settled for the branch's GSTIN; by default it is not enabled for e-invoicing."""
    return _POLICIES.validate_python(branch.gst_policy or {})


@dataclass(frozen=True)
class IssuedInvoice:
    """A document that was written, and what was decided about its e-invoice."""

    invoice: Invoice
    einvoice: EInvoiceDocument


@dataclass(frozen=True)
class _Draft:
    """A document that lacks only its number."""

    kind: DocumentKind
    payer: Payer | None
    buyer: Party
    supplies: Sequence[gst_tax.Supply]


async def next_document_nos(
    session: AsyncSession, branch: Branch, kinds: Sequence[DocumentKind], day: date
) -> list[InvoiceNo]:
    """Return the next gap-free number for each of `kinds`: branch, series, year and six digits, 16 characters at most.

    Source: CGST Rules 46(b) and 49(b): consecutive, unique in a financial year, at most sixteen characters.
    """
    year = financial_year(day)
    names = [f"document:{branch.code}:{SERIES[kind]}:{year}" for kind in kinds]
    taken = {name: iter(serials) for name, serials in (await next_numbers(session, Counter(names))).items()}
    prefixes = [f"{branch.code}{SERIES[kind]}{year[2:4]}{year[5:7]}" for kind in kinds]
    return [InvoiceNo(f"{prefix}-{next(taken[name]):06d}") for prefix, name in zip(prefixes, names, strict=True)]


async def issue_invoices(session: AsyncSession, billing: Billing, items: Sequence[BillItem]) -> list[IssuedInvoice]:
    """Issue every document that the items ask for, with its ledger charge and its e-invoice decision.

    Raises:
        RuleError: The items do not make a valid document.
    """
    drafts = _drafts(billing, items)
    numbers = await next_document_nos(session, billing.branch, [draft.kind for draft in drafts], billing.day)
    return [
        await _issue(session, billing, draft, document_no) for draft, document_no in zip(drafts, numbers, strict=True)
    ]


def _drafts(billing: Billing, items: Sequence[BillItem]) -> list[_Draft]:
    drafts = []
    for payer_id in dict.fromkeys(item.payer.id if item.payer else None for item in items):
        own = [item for item in items if (item.payer.id if item.payer else None) == payer_id]
        payer = own[0].payer
        buyer = _payer_party(payer) if payer else _patient_party(billing.patient, billing.branch)
        split = gst_tax.split_bill([_supply(item) for item in own], buyer_registered=buyer.is_registered)
        drafts += [_Draft(kind, payer, buyer, supplies) for kind, supplies in split]
    return drafts


def _supply(item: BillItem) -> gst_tax.Supply:
    return gst_tax.Supply(
        description=item.description,
        sac=item.sac,
        unit_price_paise=item.price_paise,
        gst_rate=item.gst_rate,
        is_exempt=not item.is_taxable,
    )


async def _issue(session: AsyncSession, billing: Billing, draft: _Draft, document_no: InvoiceNo) -> IssuedInvoice:
    document = gst_tax.build_document(
        document_no=document_no,
        kind=draft.kind,
        document_date=billing.day,
        supplier=_supplier_party(billing.organisation, billing.branch),
        buyer=draft.buyer,
        place_of_supply=draft.buyer.state_code,
        supply_type=SupplyType.B2B if draft.buyer.is_registered else SupplyType.B2C,
        supplies=draft.supplies,
    )
    return await record_document(
        session,
        document,
        order_id=billing.order_id,
        branch=billing.branch,
        payer_id=draft.payer.id if draft.payer else None,
        mode=CollectionMode.CREDIT if draft.payer else billing.mode,
    )


async def record_document(
    session: AsyncSession,
    document: TaxDocument,
    *,
    order_id: UUID,
    branch: Branch,
    payer_id: UUID | None,
    mode: CollectionMode,
    reverses: Invoice | None = None,
) -> IssuedInvoice:
    """Write a document with its lines, its ledger entry and its e-invoice decision."""
    invoice = Invoice(
        order_id=order_id,
        branch_id=branch.id,
        payer_id=payer_id,
        document_no=document.document_no,
        kind=document.kind.value,
        supplier_gstin=document.supplier.gstin,
        financial_year=financial_year(document.document_date),
        document_date=document.document_date,
        place_of_supply=document.place_of_supply,
        mode=mode,
        taxable_paise=document.taxable_paise,
        cgst_paise=document.cgst_paise,
        sgst_paise=document.sgst_paise,
        igst_paise=document.igst_paise,
        total_paise=document.total_paise,
        document=_as_json(document),
        reverses_id=reverses.id if reverses else None,
    )
    session.add(invoice)
    await session.flush()
    session.add_all(_line_rows(invoice.id, document))
    session.add(_ledger_entry(invoice, reverses))
    decision = gst.requires_irn(document, gst_policy(branch))
    einvoice = EInvoiceDocument(
        invoice_id=invoice.id,
        state=EInvoiceState.PENDING if decision.required else EInvoiceState.NOT_REQUIRED,
        reason_code=decision.reason.value,
        irn=document.irn if decision.required else None,
        rules={"version": gst.RULES_VERSION, "text": decision.text},
    )
    session.add(einvoice)
    await session.flush()
    return IssuedInvoice(invoice, einvoice)


def document_of(invoice: Invoice) -> TaxDocument:
    """Return the document as it was issued."""
    return DOCUMENTS.validate_python(invoice.document)


def _as_json(document: TaxDocument) -> dict[str, Any]:
    dumped: dict[str, Any] = DOCUMENTS.dump_python(document, mode="json")
    return dumped


def _line_rows(invoice_id: UUID, document: TaxDocument) -> list[InvoiceLine]:
    return [
        InvoiceLine(
            invoice_id=invoice_id,
            serial=line.serial,
            description=line.description,
            sac=line.sac,
            quantity=int(line.quantity),
            unit_price_paise=line.unit_price_paise,
            taxable_paise=line.taxable_paise,
            gst_rate=line.gst_rate,
            cgst_paise=line.cgst_paise,
            sgst_paise=line.sgst_paise,
            igst_paise=line.igst_paise,
            total_paise=line.total_paise,
            is_exempt=line.is_exempt,
        )
        for line in document.lines
    ]


def _ledger_entry(invoice: Invoice, reverses: Invoice | None) -> LedgerEntry:
    if reverses is None:
        kind, amount, owner = LedgerKind.CHARGE, invoice.total_paise, invoice.id
    else:
        kind, amount, owner = LedgerKind.CREDIT_NOTE, -invoice.total_paise, reverses.id
    return LedgerEntry(
        id=new_id(),
        invoice_id=owner,
        kind=kind,
        amount_paise=amount,
        gateway="internal",
        gateway_ref=f"{kind.value}:{invoice.document_no}",
    )


def _supplier_party(organisation: Organisation, branch: Branch) -> Party:
    return Party(
        gstin=branch.gstin,
        legal_name=organisation.legal_name,
        trade_name=organisation.name,
        address1=branch.address1,
        address2=branch.address2,
        location=branch.city,
        pin=int(branch.pin),
        state_code=branch.state_code,
        phone=branch.phone,
        email=branch.email,
    )


def _payer_party(payer: Payer) -> Party:
    return Party(
        gstin=payer.gstin or UNREGISTERED,
        legal_name=payer.legal_name,
        address1=payer.address1,
        address2=payer.address2,
        location=payer.city,
        pin=int(payer.pin or 0),
        state_code=payer.state_code,
        email=payer.email,
    )


def _patient_party(patient: Patient, branch: Branch) -> Party:
    # The place of supply of a service to an unregistered person whose address is not on record is the supplier's
    # (IGST Act s.12(2)(b)(ii)); patients are served at the branch.
    return Party(
        gstin=UNREGISTERED,
        legal_name=patient.name,
        address1="",
        location=branch.city,
        pin=0,
        state_code=branch.state_code,
    )
