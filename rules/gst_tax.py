"""Tax of a bill, exact to the paisa: lines, totals and credit notes.

Tax is rounded half up per line and the rounding error is carried to the next line, so that the lines always add up to
the rounded tax of the whole document. CGST is computed once and SGST is its copy: the IRP refuses a difference of one
paisa between them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from decimal import ROUND_HALF_UP, Decimal

from domain.einvoice import (
    EXPORTS,
    SEZ_SUPPLIES,
    DocumentKind,
    Party,
    SupplyType,
    TaxDocument,
    TaxLine,
)
from domain.errors import RuleError
from rules.gst import MixedSupply, document_kinds

_WITHOUT_PAYMENT = frozenset({SupplyType.SEZ_WITHOUT_PAYMENT, SupplyType.EXPORT_WITHOUT_PAYMENT})
_PAISE_IN_RUPEE = 100


@dataclass(frozen=True)
class Supply:
    """One thing supplied, before tax.

    Attributes:
        sac: SAC or HSN, 4, 6 or 8 digits (999316: diagnostic services).
        gst_rate: Combined rate in percent; ignored for an exempt supply.
        is_exempt: Exempt by notification; not the same as taxable at 0 %.
        unit: Unit Quantity Code.
    """

    description: str
    sac: str
    unit_price_paise: int
    gst_rate: Decimal = Decimal(0)
    is_exempt: bool = False
    quantity: Decimal = Decimal(1)
    discount_paise: int = 0
    is_service: bool = True
    unit: str = "OTH"


def is_interstate(supplier_state: str, place_of_supply: str, supply_type: SupplyType) -> bool:
    """Return whether IGST applies: exports and SEZ always, otherwise by place of supply, not by the buyer's state.

    Source: NIC, "Generate IRN" v1.03, validations 20 and 32, read 2026-09-18.
    """
    return supply_type in EXPORTS | SEZ_SUPPLIES or supplier_state != place_of_supply


@dataclass
class _Carry:
    """Rounds a running sum, so that every amount handed out is at most one paisa off and their sum never is."""

    exact: Decimal = field(default_factory=Decimal)
    given: int = 0

    def next(self, amount: Decimal) -> int:
        self.exact += amount
        whole = int(self.exact.quantize(Decimal(1), rounding=ROUND_HALF_UP))
        share, self.given = whole - self.given, whole
        return share


def taxed_lines(
    supplies: Sequence[Supply], *, interstate: bool, tax_charged: bool = True, buyer_pays_tax: bool = False
) -> tuple[TaxLine, ...]:
    """Return the lines with their tax, numbered from 1.

    Args:
        supplies: In the order of the document.
        interstate: IGST if True, else CGST and SGST.
        tax_charged: False for a zero-rated supply without payment of tax.
        buyer_pays_tax: Reverse charge: the tax is shown but is no part of the line's total.

    Raises:
        RuleError: A quantity, price, discount or rate that cannot be.
    """
    carry = _Carry()
    lines: list[TaxLine] = []
    for serial, supply in enumerate(supplies, start=1):
        gross = _gross_paise(supply, serial)
        taxable = gross - supply.discount_paise
        rate = Decimal(0) if supply.is_exempt else supply.gst_rate
        shared = rate if interstate else rate / 2
        tax = carry.next(Decimal(taxable) * shared / 100) if tax_charged else 0
        cgst, igst = (0, tax) if interstate else (tax, 0)
        lines.append(
            TaxLine(
                serial=serial,
                description=supply.description,
                sac=supply.sac,
                is_service=supply.is_service,
                quantity=supply.quantity,
                unit=supply.unit,
                unit_price_paise=supply.unit_price_paise,
                discount_paise=supply.discount_paise,
                taxable_paise=taxable,
                gst_rate=rate,
                cgst_paise=cgst,
                sgst_paise=cgst,
                igst_paise=igst,
                cess_paise=0,
                total_paise=taxable + (0 if buyer_pays_tax else 2 * cgst + igst),
                is_exempt=supply.is_exempt,
            )
        )
    return tuple(lines)


def _gross_paise(supply: Supply, serial: int) -> int:
    if supply.quantity <= 0 or supply.unit_price_paise < 0 or supply.discount_paise < 0 or supply.gst_rate < 0:
        raise RuleError(f"line {serial} has a negative amount or no quantity", code="TAX_LINE_INVALID")
    gross = int((supply.quantity * supply.unit_price_paise).quantize(Decimal(1), rounding=ROUND_HALF_UP))
    if supply.discount_paise > gross:
        raise RuleError(f"the discount of line {serial} is more than its value", code="TAX_LINE_INVALID")
    return gross


def split_bill(
    supplies: Sequence[Supply], *, buyer_registered: bool, mixed: MixedSupply = MixedSupply.TWO_DOCUMENTS
) -> list[tuple[DocumentKind, list[Supply]]]:
    """Return the documents that a bill becomes with what goes on each, the taxable one first; order is kept.

    Raises:
        RuleError: The bill has no line.
    """
    kinds = document_kinds(
        buyer_registered=buyer_registered,
        has_taxable=any(not supply.is_exempt for supply in supplies),
        has_exempt=any(supply.is_exempt for supply in supplies),
        mixed=mixed,
    )
    if len(kinds) == 1:
        return [(kinds[0], list(supplies))]
    return [
        (kind, [supply for supply in supplies if supply.is_exempt == (kind is DocumentKind.BILL_OF_SUPPLY)])
        for kind in kinds
    ]


def build_document(
    *,
    document_no: str,
    kind: DocumentKind,
    document_date: date,
    supplier: Party,
    buyer: Party,
    place_of_supply: str,
    supply_type: SupplyType,
    supplies: Sequence[Supply],
    reverse_charge: bool = False,
    round_to_rupee: bool = False,
) -> TaxDocument:
    """Return the complete document over `supplies`.

    Raises:
        RuleError: The supplies do not fit the kind of document, or a line cannot be.
    """
    _check_kind(kind, supplies, buyer)
    lines = taxed_lines(
        supplies,
        interstate=is_interstate(supplier.state_code, place_of_supply, supply_type),
        tax_charged=supply_type not in _WITHOUT_PAYMENT,
        buyer_pays_tax=reverse_charge,
    )
    document = TaxDocument(
        document_no=document_no,
        kind=kind,
        document_date=document_date,
        supplier=supplier,
        buyer=buyer,
        place_of_supply=place_of_supply,
        supply_type=supply_type,
        reverse_charge=reverse_charge,
        lines=(),
        taxable_paise=0,
        cgst_paise=0,
        sgst_paise=0,
        igst_paise=0,
        cess_paise=0,
        other_charges_paise=0,
        round_off_paise=0,
        total_paise=0,
    )
    return _with_totals(document, lines, round_to_rupee=round_to_rupee)


def _check_kind(kind: DocumentKind, supplies: Sequence[Supply], buyer: Party) -> None:
    taxable = any(not supply.is_exempt for supply in supplies)
    exempt = any(supply.is_exempt for supply in supplies)
    fits = {
        DocumentKind.BILL_OF_SUPPLY: exempt and not taxable,
        DocumentKind.TAX_INVOICE: taxable,
        DocumentKind.INVOICE_CUM_BILL_OF_SUPPLY: taxable and exempt and not buyer.is_registered,
    }
    if not fits.get(kind, bool(supplies)):
        raise RuleError(f"these supplies do not make a {kind.value.replace('_', ' ')}", code="DOCUMENT_KIND_INVALID")


def _with_totals(document: TaxDocument, lines: tuple[TaxLine, ...], *, round_to_rupee: bool) -> TaxDocument:
    exact = sum(line.total_paise for line in lines) + document.other_charges_paise
    total = (exact + _PAISE_IN_RUPEE // 2) // _PAISE_IN_RUPEE * _PAISE_IN_RUPEE if round_to_rupee else exact
    return replace(
        document,
        lines=lines,
        taxable_paise=sum(line.taxable_paise for line in lines if not line.is_exempt),
        cgst_paise=sum(line.cgst_paise for line in lines),
        sgst_paise=sum(line.sgst_paise for line in lines),
        igst_paise=sum(line.igst_paise for line in lines),
        cess_paise=sum(line.cess_paise for line in lines),
        round_off_paise=total - exact,
        total_paise=total,
    )


def credit_note(
    invoice: TaxDocument,
    *,
    document_no: str,
    document_date: date,
    credited: Mapping[int, int] | None = None,
) -> TaxDocument:
    """Return the credit note over an invoice, in positive amounts, naming the invoice.

    Args:
        invoice: What is corrected.
        document_no: Of the note.
        document_date: Of the note.
        credited: Taxable paise to credit by line serial; None credits everything, round-off included.

    Raises:
        RuleError: A note cannot be credited; or an unknown line, or more than the line's value.

    Source: CGST Act s.34; GSTN e-invoice FAQ v1.4, question 60.
    """
    if invoice.kind in (DocumentKind.CREDIT_NOTE, DocumentKind.DEBIT_NOTE):
        raise RuleError("a note is not corrected by a credit note", code="DOCUMENT_KIND_INVALID")
    note = replace(
        invoice,
        document_no=document_no,
        kind=DocumentKind.CREDIT_NOTE,
        document_date=document_date,
        preceding_document_no=invoice.document_no,
        preceding_document_date=invoice.document_date,
    )
    if credited is None:
        return note
    by_serial = {line.serial: line for line in invoice.lines}
    if not credited or not credited.keys() <= by_serial.keys():
        raise RuleError("the credit note names no line of the invoice", code="CREDIT_NOTE_INVALID")
    lines = tuple(_credited(by_serial[serial], amount) for serial, amount in sorted(credited.items()))
    return _with_totals(replace(note, other_charges_paise=0), lines, round_to_rupee=False)


def _credited(line: TaxLine, amount_paise: int) -> TaxLine:
    """Return the part of a line that is credited; its tax in proportion, rounded half up."""
    if not 0 < amount_paise <= line.taxable_paise:
        raise RuleError(f"line {line.serial} cannot be credited with that amount", code="CREDIT_NOTE_INVALID")
    if amount_paise == line.taxable_paise:
        return line

    def part(tax_paise: int) -> int:
        share = Decimal(tax_paise) * amount_paise / line.taxable_paise
        return int(share.quantize(Decimal(1), rounding=ROUND_HALF_UP))

    cgst, igst, cess = part(line.cgst_paise), part(line.igst_paise), part(line.cess_paise)
    tax_in_total = line.total_paise != line.taxable_paise
    return replace(
        line,
        quantity=Decimal(1),
        unit_price_paise=amount_paise,
        discount_paise=0,
        taxable_paise=amount_paise,
        cgst_paise=cgst,
        sgst_paise=cgst,
        igst_paise=igst,
        cess_paise=cess,
        total_paise=amount_paise + (2 * cgst + igst + cess if tax_in_total else 0),
    )
