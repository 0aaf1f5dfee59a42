"""Invoices, the ledger, payment links, refunds and e-invoice documents. All amounts are paise."""

from __future__ import annotations

from datetime import date, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from sqlalchemy import UniqueConstraint
from sqlmodel import Field

from domain.enums import CollectionMode, EInvoiceState, InvoiceState, LedgerKind, RefundState
from store.tables.base import Amount, Exact, Json, Row, UtcDateTime, stored


class Invoice(Row, table=True):
    """A bill of supply, tax invoice or credit note."""

    __tablename__ = "invoices"
    __table_args__ = (UniqueConstraint("supplier_gstin", "financial_year", "document_no"),)

    order_id: UUID = Field(foreign_key="orders.id", index=True)
    branch_id: UUID = Field(foreign_key="branches.id")
    payer_id: UUID | None = Field(default=None, foreign_key="payers.id")
    document_no: str = Field(unique=True, max_length=16)
    kind: str
    """`domain.einvoice.DocumentKind`."""
    supplier_gstin: str
    financial_year: str
    document_date: date
    place_of_supply: str
    mode: CollectionMode = Field(sa_type=stored(CollectionMode))
    state: InvoiceState = Field(default=InvoiceState.ISSUED, sa_type=stored(InvoiceState))
    taxable_paise: int = Field(sa_type=Amount)
    cgst_paise: int = Field(default=0, sa_type=Amount)
    sgst_paise: int = Field(default=0, sa_type=Amount)
    igst_paise: int = Field(default=0, sa_type=Amount)
    total_paise: int = Field(sa_type=Amount)
    document: dict[str, Any] = Field(sa_type=Json)
    """The whole `domain.einvoice.TaxDocument` as issued: names and addresses as they were on that day."""
    reverses_id: UUID | None = Field(default=None, foreign_key="invoices.id", unique=True)
    """The invoice that this credit note reverses; at most one."""
    cancel_reason: str = ""


class InvoiceLine(Row, table=True):
    """One line of an invoice."""

    __tablename__ = "invoice_lines"
    __table_args__ = (UniqueConstraint("invoice_id", "serial"),)

    invoice_id: UUID = Field(foreign_key="invoices.id")
    serial: int
    description: str
    sac: str
    quantity: int = 1
    unit_price_paise: int = Field(sa_type=Amount)
    taxable_paise: int = Field(sa_type=Amount)
    gst_rate: Decimal = Field(default=Decimal(0), sa_type=Exact)
    cgst_paise: int = Field(default=0, sa_type=Amount)
    sgst_paise: int = Field(default=0, sa_type=Amount)
    igst_paise: int = Field(default=0, sa_type=Amount)
    total_paise: int = Field(sa_type=Amount)
    is_exempt: bool = False


class LedgerEntry(Row, table=True):
    """One movement of what a payer owes. Append-only; the balance is the sum."""

    __tablename__ = "ledger_entries"
    __table_args__ = (UniqueConstraint("gateway", "gateway_ref"),)

    invoice_id: UUID = Field(foreign_key="invoices.id", index=True)
    kind: LedgerKind = Field(sa_type=stored(LedgerKind))
    amount_paise: int = Field(sa_type=Amount)
    method: str = ""
    gateway: str
    """`razorpay`, `counter`, or `internal` for charges and cancellations."""
    gateway_ref: str
    """Unique at the gateway: payment id, refund id, receipt id of the command."""
    note: str = ""
    entered_by: UUID | None = Field(default=None, foreign_key="users.id")


class PaymentLinkRow(Row, table=True):
    """A payment link at the gateway."""

    __tablename__ = "payment_links"

    invoice_id: UUID = Field(foreign_key="invoices.id", index=True)
    gateway: str
    link_id: str = Field(unique=True)
    reference: str = Field(unique=True)
    state: str
    amount_paise: int = Field(sa_type=Amount)
    short_url: str
    expires_at: datetime | None = Field(default=None, sa_type=UtcDateTime)


class RefundRow(Row, table=True):
    """Money going back for one captured payment."""

    __tablename__ = "refunds"

    invoice_id: UUID = Field(foreign_key="invoices.id", index=True)
    payment_ref: str = Field(unique=True)
    """The captured payment; one refund each."""
    amount_paise: int = Field(sa_type=Amount)
    gateway: str
    idempotency_key: str = Field(unique=True)
    refund_ref: str = ""
    state: RefundState = Field(default=RefundState.REQUESTED, sa_type=stored(RefundState))
    reason: str = ""


class EInvoiceDocument(Row, table=True):
    """The e-invoice side of a tax document."""

    __tablename__ = "einvoice_documents"

    invoice_id: UUID = Field(foreign_key="invoices.id", unique=True)
    state: EInvoiceState = Field(sa_type=stored(EInvoiceState))
    reason_code: str = ""
    """Why an IRN is or is not required, or why it was skipped."""
    irn: str | None = Field(default=None, unique=True)
    """Precomputed before the first call; the portal confirms it."""
    ack_no: str = ""
    ack_at: datetime | None = Field(default=None, sa_type=UtcDateTime)
    signed_invoice: str = ""
    signed_qr: str = ""
    cancelled_at: datetime | None = Field(default=None, sa_type=UtcDateTime)
    rules: dict[str, Any] = Field(default_factory=dict, sa_type=Json)
    """Rule-set version and findings."""
