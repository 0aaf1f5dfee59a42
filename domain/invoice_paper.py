"""Everything that is printed on a bill of supply, tax invoice, receipt or credit note, as one immutable value.

Source: CGST Rules 2017, rules 46 (tax invoice), 46A (invoice-cum-bill of supply) and 49 (bill of supply), specs.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal

MAX_LINES = 1000
MAX_TEXT_CHARS = 500
MAX_QR_CHARS = 2900
"""A QR code of error level L holds 2953 bytes."""


@dataclass(frozen=True)
class PaperParty:
    """Supplier or buyer as printed.

    Attributes:
        gstin: GST identification number, or "" for a person who is not registered.
        state: Name and code, e.g. `Delhi (07)`.
        contact: Telephone or e-mail, or "".
    """

    name: str
    address: tuple[str, ...] = ()
    gstin: str = ""
    state: str = ""
    contact: str = ""


@dataclass(frozen=True)
class PaperLine:
    """One line of the document. Amounts are paise.

    Attributes:
        sac: Services accounting code.
        amount_paise: Value before discount and tax.
        discount_paise: Subtracted from the amount.
        gst_rate: Combined rate in per cent; zero for exempt services.
        tax_paise: Tax on the line, all kinds together.
    """

    description: str
    sac: str
    amount_paise: int
    discount_paise: int = 0
    gst_rate: Decimal = Decimal(0)
    tax_paise: int = 0
    quantity: int = 1

    @property
    def total_paise(self) -> int:
        """What the line adds to the document."""
        return self.amount_paise - self.discount_paise + self.tax_paise


@dataclass(frozen=True)
class InvoiceContent:
    """One document.

    Attributes:
        title: `Bill of Supply`, `Tax Invoice`, `Invoice-cum-Bill of Supply`, `Credit Note`, `Receipt`.
        document_date: IST date of the document.
        issued_at: Creation date of the printed file.
        round_off_paise: Added to the lines and taxes to give the total.
        total_in_words: Or "".
        irn: Invoice reference number, or "".
        signed_qr: The signed QR code of the invoice registration portal, printed exactly, or "".
        acknowledgement: Acknowledgement number and date of the portal as printed, or "".
        irn_note: Why there is no IRN, or "".
        reference: The document that a credit note corrects, or "".
        paid_paise: Received so far.
        notes: Terms and legal sentences.
    """

    title: str
    number: str
    document_date: date
    issued_at: datetime
    supplier: PaperParty
    buyer: PaperParty
    lines: tuple[PaperLine, ...]
    cgst_paise: int = 0
    sgst_paise: int = 0
    igst_paise: int = 0
    round_off_paise: int = 0
    paid_paise: int = 0
    order_no: str = ""
    patient: str = ""
    place_of_supply: str = ""
    total_in_words: str = ""
    irn: str = ""
    signed_qr: str = ""
    acknowledgement: str = ""
    irn_note: str = ""
    reference: str = ""
    notes: tuple[str, ...] = ()

    @property
    def total_paise(self) -> int:
        """Value of the document."""
        value = sum(line.amount_paise - line.discount_paise for line in self.lines)
        return value + self.cgst_paise + self.sgst_paise + self.igst_paise + self.round_off_paise


def faults_of(content: InvoiceContent) -> list[str]:
    """Return why `content` may not be printed, in words fit for a person; empty when it may."""
    found: list[str] = []
    needed = {"title": content.title, "number": content.number, "supplier": content.supplier.name}
    found += [f"the {name} is missing" for name, value in needed.items() if not value.strip()]
    if not content.buyer.name.strip():
        found.append("the buyer is missing")
    if not 1 <= len(content.lines) <= MAX_LINES:
        found.append(f"it has {len(content.lines)} lines; 1 to {MAX_LINES} are possible")
    if sum(line.tax_paise for line in content.lines) != content.cgst_paise + content.sgst_paise + content.igst_paise:
        found.append("the taxes of the lines do not add up to the taxes of the document")
    if bool(content.irn) != bool(content.signed_qr):
        found.append("an invoice reference number and its signed QR code come together")
    if content.issued_at.tzinfo is None:
        found.append("a time has no time zone")
    parties = [content.supplier, content.buyer]
    texts = [content.title, content.number, content.order_no, content.patient, content.place_of_supply]
    texts += [content.total_in_words, content.irn, content.acknowledgement, content.irn_note, content.reference]
    texts += [*content.notes, *(line.description for line in content.lines), *(line.sac for line in content.lines)]
    for party in parties:
        texts += [party.name, party.gstin, party.state, party.contact, *party.address]
    if any(len(text) > MAX_TEXT_CHARS for text in texts) or len(content.notes) > MAX_LINES:
        found.append(f"a field has more than {MAX_TEXT_CHARS} characters")
    if len(content.signed_qr.encode()) > MAX_QR_CHARS:
        found.append(f"the signed QR code has more than {MAX_QR_CHARS} bytes")
    return found
