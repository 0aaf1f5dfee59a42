"""What the IRP would refuse in a document, found before anything is sent.

Repeated refusals get a client disabled (errors 3095 and 3096), so nothing leaves with a finding. Codes are those that
the IRP would answer; 5002 is its code for a breach of the schema.

Source: NIC, "Generate IRN" v1.03, schema 1.1 and system validations, and "Error codes", read 2026-09-18.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from datetime import date
from decimal import Decimal

from domain.einvoice import (
    EXPORTS,
    IRP_TYPES,
    SEZ_SUPPLIES,
    DocumentKind,
    GstPolicy,
    Party,
    SupplyType,
    TaxDocument,
    TaxLine,
    has_valid_check_character,
    is_gstin_shaped,
)
from domain.gst_masters import FOREIGN_PIN, OTHER_COUNTRIES, STATES, UNIT_CODES, gst_rates, is_pin_of_state
from rules.gst import Finding, is_document_number, must_report_by_law, reporting_deadline
from rules.gst_tax import is_interstate

EARLIEST_DOCUMENT_DATE = date(2025, 4, 1)
LAST_DOCUMENT_YEAR = 2029
"""The published date pattern ends there."""
MAX_LINES = 1000
NAME_LENGTHS = (3, 100)
ADDRESS_LENGTHS = (1, 100)
SUPPLIER_LOCATION_LENGTHS = (3, 50)
BUYER_LOCATION_LENGTHS = (3, 100)
_CODE_LENGTHS = (4, 6, 8)
_CODE_LENGTH_ABOVE_5_CRORE = 6
_RUPEE = 100
_NOTES = frozenset({DocumentKind.CREDIT_NOTE, DocumentKind.DEBIT_NOTE})


def prevalidate(
    document: TaxDocument, *, today: date, policy: GstPolicy, check_gstin_checksum: bool = True
) -> list[Finding]:
    """Return everything that the IRP would refuse; an empty list means that it may be sent.

    Args:
        document: One that needs an IRN.
        today: IST day of sending.
        policy: Of the supplier's GSTIN.
        check_gstin_checksum: False for the sandbox, whose GSTINs break the check digit.
    """
    if document.kind not in IRP_TYPES or document.supply_type is SupplyType.B2C:
        return [Finding("NOT_REPORTABLE", "kind", "This kind of document is not registered at all.")]
    findings = list(_number_and_dates(document, today, policy))
    findings += _supplier(document, check_gstin_checksum)
    findings += _buyer(document, check_gstin_checksum)
    findings += _place_of_supply(document)
    findings += _lines(document, policy)
    findings += _totals(document)
    return findings


def _number_and_dates(document: TaxDocument, today: date, policy: GstPolicy) -> Iterator[Finding]:
    if not is_document_number(document.document_no):
        yield Finding("2281", "document_no", "At most 16 capitals, digits, - or /; not starting with 0, - or /.")
    day = document.document_date
    if day > today:
        yield Finding("2163", "document_date", "The document date lies in the future.")
    if day < EARLIEST_DOCUMENT_DATE:
        yield Finding("2284", "document_date", f"The IRP takes no document before {EARLIEST_DOCUMENT_DATE:%d/%m/%Y}.")
    if day.year > LAST_DOCUMENT_YEAR:
        yield Finding("5002", "document_date", f"The published schema ends with the year {LAST_DOCUMENT_YEAR}.")
    deadline = reporting_deadline(day, policy)
    if deadline is not None and today > deadline:
        yield Finding("2305", "document_date", f"It had to be reported by {deadline:%d/%m/%Y} (30 days).")
    if document.preceding_document_no and not is_document_number(document.preceding_document_no):
        yield Finding("5002", "preceding_document_no", "The number of the corrected invoice is malformed.")
    if document.reverse_charge and document.supply_type not in SEZ_SUPPLIES | {SupplyType.B2B}:
        yield Finding("2162", "reverse_charge", "Reverse charge exists for B2B and SEZ supplies only.")


def _supplier(document: TaxDocument, checksum: bool) -> Iterator[Finding]:
    party = document.supplier
    yield from _texts(party, "supplier", SUPPLIER_LOCATION_LENGTHS)
    yield from _gstin(party.gstin, "supplier.gstin", "5002", checksum=checksum)
    if party.state_code not in STATES:
        yield Finding("2259", "supplier.state_code", "No such state code.")
    elif party.gstin[:2] != party.state_code:
        yield Finding("2258", "supplier.state_code", "The GSTIN begins with another state code.")
    if party.pin == FOREIGN_PIN:
        yield Finding("2276", "supplier.pin", "999999 is for places outside India.")
    elif not is_pin_of_state(party.pin, party.state_code):
        yield Finding("3039", "supplier.pin", "The PIN code does not lie in the state.")


def _buyer(document: TaxDocument, checksum: bool) -> Iterator[Finding]:
    party, abroad = document.buyer, document.supply_type in EXPORTS
    yield from _texts(party, "buyer", BUYER_LOCATION_LENGTHS)
    if abroad:
        yield from _foreign_buyer(party)
        return
    if not party.is_registered:
        yield Finding("2212", "buyer.gstin", "This supply type needs the buyer's GSTIN.")
    else:
        yield from _gstin(party.gstin, "buyer.gstin", "2288", checksum=checksum)
        if party.gstin == document.supplier.gstin:
            yield Finding("2211", "buyer.gstin", "Supplier and buyer are the same GSTIN.")
        if party.gstin[:2] != party.state_code:
            yield Finding("2265", "buyer.state_code", "The GSTIN begins with another state code.")
    yield from _domestic_place(party)


def _domestic_place(party: Party) -> Iterator[Finding]:
    if party.state_code == OTHER_COUNTRIES:
        yield Finding("2269", "buyer.state_code", "96 is for exports only.")
    elif party.state_code not in STATES:
        yield Finding("2260", "buyer.state_code", "No such state code.")
    if not party.pin:
        yield Finding("2244", "buyer.pin", "The buyer's PIN code is missing.")
    elif party.pin == FOREIGN_PIN:
        yield Finding("2274", "buyer.pin", "999999 is for exports only.")
    elif not is_pin_of_state(party.pin, party.state_code):
        yield Finding("3041", "buyer.pin", "The PIN code does not lie in the state.")


def _foreign_buyer(party: Party) -> Iterator[Finding]:
    if party.is_registered:
        yield Finding("2248", "buyer.gstin", "A buyer outside India has no GSTIN.")
    if party.state_code != OTHER_COUNTRIES:
        yield Finding("2261", "buyer.state_code", "The state code of an export is 96.")
    if party.pin != FOREIGN_PIN:
        yield Finding("2275", "buyer.pin", "The PIN code of an export is 999999.")


def _gstin(gstin: str, field: str, code: str, *, checksum: bool) -> Iterator[Finding]:
    if not is_gstin_shaped(gstin):
        yield Finding(code, field, "A GSTIN has 15 characters: two digits, then capitals or digits.")
    elif checksum and not has_valid_check_character(gstin):
        yield Finding("GSTIN_CHECK_DIGIT", field, "The last character of the GSTIN is wrong: a typing mistake.")


def _texts(party: Party, who: str, location_lengths: tuple[int, int]) -> Iterator[Finding]:
    for name, text, (least, most) in (
        ("legal_name", party.legal_name, NAME_LENGTHS),
        ("address1", party.address1, ADDRESS_LENGTHS),
        ("location", party.location, location_lengths),
    ):
        if not least <= len(text.strip()) <= most:
            yield Finding("5002", f"{who}.{name}", f"Between {least} and {most} characters.")


def _place_of_supply(document: TaxDocument) -> Iterator[Finding]:
    place = document.place_of_supply
    if place not in STATES:
        yield Finding("2243", "place_of_supply", "No such state code.")
    elif document.supply_type in EXPORTS and place != OTHER_COUNTRIES:
        yield Finding("2232", "place_of_supply", "The place of supply of an export is 96.")
    elif document.supply_type not in EXPORTS and place == OTHER_COUNTRIES:
        yield Finding("2242", "place_of_supply", "96 is for exports only.")


def _lines(document: TaxDocument, policy: GstPolicy) -> Iterator[Finding]:
    reported = [line for line in document.lines if not line.is_exempt]
    if not reported:
        yield Finding("2228", "lines", "The document has no taxable line.")
    if len(reported) > MAX_LINES:
        yield Finding("2173", "lines", f"The IRP takes {MAX_LINES} lines at most.")
    if len({line.serial for line in document.lines}) < len(document.lines):
        yield Finding("2233", "lines", "Two lines have the same serial number.")
    interstate = is_interstate(document.supplier.state_code, document.place_of_supply, document.supply_type)
    for line in reported:
        yield from _line_identity(line, document, policy)
        yield from _line_tax(line, document, interstate=interstate)


def _line_identity(line: TaxLine, document: TaxDocument, policy: GstPolicy) -> Iterator[Finding]:
    at = f"lines.{line.serial}"
    if len(line.description.strip()) < NAME_LENGTHS[0]:
        yield Finding("5002", f"{at}.description", "At least three characters.")
    if not line.sac.isascii() or not line.sac.isdigit() or len(line.sac) not in _CODE_LENGTHS:
        yield Finding("5002", f"{at}.sac", "SAC or HSN has 4, 6 or 8 digits.")
    elif must_report_by_law(policy) and len(line.sac) < _CODE_LENGTH_ABOVE_5_CRORE:
        yield Finding("2176", f"{at}.sac", "Above 5 crore of turnover SAC and HSN need 6 digits.")
    if line.is_service != line.sac.startswith("99"):
        kind, code = ("service", "3048") if line.is_service else ("goods", "3047")
        yield Finding(code, f"{at}.sac", f"The code does not belong to {kind}.")
    if not line.is_service and line.quantity <= 0:
        yield Finding("2238", f"{at}.quantity", "Goods need a quantity.")
    if line.unit and line.unit not in UNIT_CODES:
        yield Finding("2177", f"{at}.unit", "No such unit quantity code.")
    if not line.unit and not line.is_service:
        yield Finding("2239", f"{at}.unit", "Goods need a unit quantity code.")
    if line.gst_rate not in gst_rates(document.document_date):
        yield Finding("2240", f"{at}.gst_rate", "Not a notified rate; give the combined rate (18, not 9).")


def _line_tax(line: TaxLine, document: TaxDocument, *, interstate: bool) -> Iterator[Finding]:
    at = f"lines.{line.serial}"
    taxes = (line.cgst_paise, line.sgst_paise, line.igst_paise, line.cess_paise)
    if min(*taxes, line.taxable_paise, line.discount_paise, line.unit_price_paise, line.total_paise) < 0:
        yield Finding("5002", at, "Negative amounts do not exist; give a discount or a credit note.")
    if line.cgst_paise != line.sgst_paise:
        yield Finding("2227", f"{at}.sgst_paise", "CGST and SGST differ.")
    if interstate and (line.cgst_paise or line.sgst_paise):
        yield Finding("2174", f"{at}.cgst_paise", "Between states only IGST applies.")
    if not interstate and line.igst_paise:
        yield Finding("2172", f"{at}.igst_paise", "Inside a state only CGST and SGST apply.")
    if document.kind not in _NOTES:
        yield from _line_rate(line, document, interstate=interstate)
    full = line.taxable_paise + sum(taxes)
    if line.total_paise != full and not (document.reverse_charge and line.total_paise == line.taxable_paise):
        yield Finding("2194", f"{at}.total_paise", "The line's total is not its value plus its tax.")


def _line_rate(line: TaxLine, document: TaxDocument, *, interstate: bool) -> Iterator[Finding]:
    due = Decimal(line.taxable_paise) * line.gst_rate / 100
    free_of_tax = document.supply_type in (SupplyType.SEZ_WITHOUT_PAYMENT, SupplyType.EXPORT_WITHOUT_PAYMENT)
    if interstate:
        if not (free_of_tax and not line.igst_paise) and not is_tolerated(due, line.igst_paise):
            yield Finding("2235", f"lines.{line.serial}.igst_paise", "IGST does not follow from value and rate.")
    elif not is_tolerated(due / 2, line.cgst_paise):
        yield Finding("2234", f"lines.{line.serial}.cgst_paise", "CGST and SGST do not follow from value and rate.")


def is_tolerated(calculated_paise: Decimal | int, given_paise: int) -> bool:
    """Return whether the IRP takes the amount: between whole rupees below minus one and above plus one, inclusive."""
    calculated = Decimal(calculated_paise) / _RUPEE
    return (math.floor(calculated) - 1) * _RUPEE <= given_paise <= (math.ceil(calculated) + 1) * _RUPEE


_SUMS: tuple[tuple[str, str, Callable[[TaxLine], int], Callable[[TaxDocument], int]], ...] = (
    ("2182", "taxable_paise", lambda line: line.taxable_paise, lambda document: document.taxable_paise),
    ("2183", "sgst_paise", lambda line: line.sgst_paise, lambda document: document.sgst_paise),
    ("2184", "cgst_paise", lambda line: line.cgst_paise, lambda document: document.cgst_paise),
    ("2185", "igst_paise", lambda line: line.igst_paise, lambda document: document.igst_paise),
    ("2186", "cess_paise", lambda line: line.cess_paise, lambda document: document.cess_paise),
)


def _totals(document: TaxDocument) -> Iterator[Finding]:
    """The IRP tolerates a rupee; our own documents add up exactly."""
    reported = [line for line in document.lines if not line.is_exempt]
    for code, name, of_line, of_document in _SUMS:
        if sum(map(of_line, reported)) != of_document(document):
            yield Finding(code, name, "The lines do not add up to the document's amount.")
    exact = sum(line.total_paise for line in document.lines) + document.other_charges_paise
    if exact + document.round_off_paise != document.total_paise:
        yield Finding("2189", "total_paise", "Lines, other charges and round-off do not add up to the total.")
    if abs(document.round_off_paise) >= _RUPEE:
        yield Finding("5002", "round_off_paise", "A round-off is less than one rupee.")
