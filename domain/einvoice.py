"""Tax documents of a laboratory and what the Invoice Registration Portal (IRP) makes of them.

Amounts are whole paise. A document is always complete: its lines and totals are what is printed, what is sent and what
is compared with the signed answer. Rules that decide kind, tax and duty to report are in `rules/gst*.py`.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from enum import StrEnum

from domain.clock import financial_year

UNREGISTERED = "URP"
"""What stands in the place of the GSTIN of a buyer who has none."""


class DocumentKind(StrEnum):
    """What a document is in GST law. Source: CGST Rules 2017, rules 46, 46A, 49 and 53."""

    BILL_OF_SUPPLY = "bill_of_supply"
    """Exempt supply only."""
    TAX_INVOICE = "tax_invoice"
    INVOICE_CUM_BILL_OF_SUPPLY = "invoice_cum_bill_of_supply"
    """Taxable and exempt supply to one unregistered buyer."""
    CREDIT_NOTE = "credit_note"
    DEBIT_NOTE = "debit_note"


IRP_TYPES = {
    DocumentKind.TAX_INVOICE: "INV",
    DocumentKind.INVOICE_CUM_BILL_OF_SUPPLY: "INV",
    DocumentKind.CREDIT_NOTE: "CRN",
    DocumentKind.DEBIT_NOTE: "DBN",
}
"""`DocDtls.Typ` of each kind that the IRP knows; a bill of supply is never reported.

Source: NIC e-invoice API v1.03, "Generate IRN", schema 1.1, read 2026-09-18.
"""


class SupplyType(StrEnum):
    """Who is supplied. All but `B2C` are `TranDtls.SupTyp` of the IRP in upper case.

    Source: NIC e-invoice API v1.03, "Generate IRN", schema 1.1 and validation 7 (no B2C), read 2026-09-18.
    """

    B2B = "b2b"
    SEZ_WITH_PAYMENT = "sezwp"
    SEZ_WITHOUT_PAYMENT = "sezwop"
    EXPORT_WITH_PAYMENT = "expwp"
    EXPORT_WITHOUT_PAYMENT = "expwop"
    DEEMED_EXPORT = "dexp"
    B2C = "b2c"
    """To an unregistered person; not reported."""


EXPORTS = frozenset({SupplyType.EXPORT_WITH_PAYMENT, SupplyType.EXPORT_WITHOUT_PAYMENT})
SEZ_SUPPLIES = frozenset({SupplyType.SEZ_WITH_PAYMENT, SupplyType.SEZ_WITHOUT_PAYMENT})


class IrnState(StrEnum):
    """Whether a registration stands."""

    ACTIVE = "active"
    CANCELLED = "cancelled"


class CancelReason(StrEnum):
    """Why a registration is cancelled: `CnlRsn` of the IRP. Source: NIC, "Cancel IRN" v1.03, read 2026-09-18."""

    DUPLICATE = "1"
    DATA_ENTRY_MISTAKE = "2"
    ORDER_CANCELLED = "3"
    OTHERS = "4"


class TurnoverBand(StrEnum):
    """Aggregate annual turnover of the PAN, exempt supplies included."""

    UP_TO_5_CRORE = "<=5cr"
    UP_TO_10_CRORE = "5-10cr"
    UP_TO_500_CRORE = "10-500cr"
    ABOVE_500_CRORE = ">500cr"


class BelowThreshold(StrEnum):
    """How a reportable document below the lab's own value threshold is sent."""

    AUTO = "auto"
    BATCH = "batch"
    MANUAL = "manual"


@dataclass(frozen=True)
class GstPolicy:
    """What the lab's accountant has settled for one GSTIN.

    Attributes:
        enabled_from: First document date for which the IRP is used, or None when the GSTIN is not enabled.
        turnover: Decides the 30-day limit; above 5 crore in any year since 2017-18 e-invoicing is the law.
        auto_submit_min_paise: From this total on a document is submitted inside its order's workflow. It is a working
            habit, never the law: Rs 50,000 is the e-way-bill limit for goods (CGST rule 138).
        below_threshold: What happens under it.
    """

    enabled_from: date | None = None
    turnover: TurnoverBand = TurnoverBand.UP_TO_5_CRORE
    auto_submit_min_paise: int = 50_000_00
    below_threshold: BelowThreshold = BelowThreshold.AUTO


@dataclass(frozen=True)
class Party:
    """A supplier or buyer as printed on a document.

    Attributes:
        gstin: 15 characters, or "" for an unregistered buyer.
        state_code: Two digits; 96 is outside India.
        pin: Six digits, or 0 where unknown.
    """

    gstin: str
    legal_name: str
    address1: str
    location: str
    pin: int
    state_code: str
    trade_name: str = ""
    address2: str = ""
    phone: str = ""
    email: str = ""

    @property
    def is_registered(self) -> bool:
        """True when the party has a GSTIN."""
        return self.gstin not in ("", UNREGISTERED)


@dataclass(frozen=True)
class TaxLine:
    """One line with its tax.

    Attributes:
        sac: SAC of a service or HSN of goods, 4, 6 or 8 digits.
        unit: Unit Quantity Code of the IRP, `OTH` for services.
        unit_price_paise: Before tax.
        discount_paise: Off `quantity` x `unit_price_paise`, before tax.
        taxable_paise: What tax is computed on; the value of supply of an exempt line.
        gst_rate: Combined rate in percent (18, not 9).
        is_exempt: An exempt supply. An exempt line is not a line at 0 %.
    """

    serial: int
    description: str
    sac: str
    is_service: bool
    quantity: Decimal
    unit: str
    unit_price_paise: int
    discount_paise: int
    taxable_paise: int
    gst_rate: Decimal
    cgst_paise: int
    sgst_paise: int
    igst_paise: int
    cess_paise: int
    total_paise: int
    is_exempt: bool = False

    @property
    def gross_paise(self) -> int:
        """Value before the discount."""
        return self.taxable_paise + self.discount_paise


@dataclass(frozen=True)
class TaxDocument:
    """A complete tax document; notes carry positive amounts, like invoices.

    Attributes:
        place_of_supply: State code; it, not the buyer's state, decides between IGST and CGST + SGST.
        other_charges_paise: Added after tax: the exempt value of a mixed supply printed on one tax invoice.
        round_off_paise: Signed; brings `total_paise` to whole rupees where the lab rounds.
        total_paise: What is printed as payable.
        preceding_document_no: Invoice that a note corrects, or "".
    """

    document_no: str
    kind: DocumentKind
    document_date: date
    supplier: Party
    buyer: Party
    place_of_supply: str
    supply_type: SupplyType
    reverse_charge: bool
    lines: tuple[TaxLine, ...]
    taxable_paise: int
    cgst_paise: int
    sgst_paise: int
    igst_paise: int
    cess_paise: int
    other_charges_paise: int
    round_off_paise: int
    total_paise: int
    preceding_document_no: str = ""
    preceding_document_date: date | None = None

    @property
    def irn(self) -> str:
        """The registration number that the IRP will give or has given.

        Raises:
            ValueError: A bill of supply has none.
        """
        if self.kind not in IRP_TYPES:
            raise ValueError("a bill of supply has no IRN")
        return precompute_irn(self.supplier.gstin, self.document_date, IRP_TYPES[self.kind], self.document_no)


@dataclass(frozen=True)
class IrnRecord:
    """What the IRP says of one registration.

    Attributes:
        ack_no: Up to 15 digits; "" where the answer does not carry it (a cancellation).
        ack_at: Aware UTC, or None likewise. The answer of a look-up is rounded to the minute, the signed one is not:
            never compare two of them for equality.
        signed_invoice: Compact JWS over the whole invoice, or "".
        signed_qr: Compact JWS that is printed as the QR code, unchanged, or "".
        cancelled_at: Aware UTC, or None where not cancelled or not told.
    """

    irn: str
    ack_no: str
    ack_at: datetime | None
    signed_invoice: str
    signed_qr: str
    state: IrnState
    cancelled_at: datetime | None = None


def precompute_irn(
    gstin: str, document_date: date, document_type: str, document_no: str, *, fold_case: bool = True
) -> str:
    """Return the IRN before anybody is asked: SHA-256 over GSTIN, financial year, type and number.

    Knowing it beforehand makes it the idempotency key of a registration.

    Args:
        gstin: Of the supplier.
        document_date: Its financial year counts, not that of the call.
        document_type: `INV`, `CRN` or `DBN`.
        document_no: As printed.
        fold_case: False only for registrations before 1 June 2025, which kept the case of the number.

    Source: GSTN e-invoice FAQ v1.4 (2021-03-30), "IRN"; GSTN advisory of 4 April 2025 (upper case).
    """
    number = document_no.upper() if fold_case else document_no
    return hashlib.sha256(f"{gstin}{financial_year(document_date)}{document_type}{number}".encode()).hexdigest()


_ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"
_GSTIN_SHAPE = re.compile(r"[0-9]{2}[0-9A-Z]{13}", re.ASCII)


def is_gstin_shaped(gstin: str) -> bool:
    """Return whether it has the form that the IRP accepts: two digits and thirteen letters or digits."""
    return _GSTIN_SHAPE.fullmatch(gstin) is not None


def gstin_check_character(first_fourteen: str) -> str:
    """Return the fifteenth character of a GSTIN.

    The IRP's sandbox GSTINs break this rule, so a caller must be able to leave the check out.

    Raises:
        ValueError: Not fourteen letters or digits.

    Source: GSTN, check digit of the GSTIN (base 36, factors 1 and 2 alternating).
    """
    if len(first_fourteen) != len("29AAAAA0000A1Z") or any(sign not in _ALPHABET for sign in first_fourteen):
        raise ValueError("a GSTIN starts with fourteen capital letters or digits")
    total = 0
    for position, sign in enumerate(first_fourteen):
        high, low = divmod(_ALPHABET.index(sign) * (1 + position % 2), len(_ALPHABET))
        total += high + low
    return _ALPHABET[-total % len(_ALPHABET)]


def has_valid_check_character(gstin: str) -> bool:
    """Return whether `gstin` is well-formed and its last character is right."""
    return is_gstin_shaped(gstin) and gstin_check_character(gstin[:14]) == gstin[14]
