"""Documents with one thing wrong each, and the code that both our check and the portal must give."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import date, timedelta
from decimal import Decimal

from domain.einvoice import SupplyType, TaxDocument
from tests.contract.einvoice.documents import (
    ABROAD,
    DAY,
    HOSPITAL,
    HOSPITAL_MUMBAI,
    LAB,
    REAGENT,
    TRAINING,
    invoice,
)


def _line(**changes) -> TaxDocument:
    """An invoice whose first line was changed after the tax was computed."""
    document = invoice()
    return replace(document, lines=(replace(document.lines[0], **changes), document.lines[1]))


def _defects() -> Iterator[tuple[str, TaxDocument]]:
    yield "2163", invoice(document_date=DAY + timedelta(days=1))
    yield "2284", invoice(document_date=date(2025, 3, 31))
    yield from _party_defects()
    yield from _supply_defects()
    yield from _amount_defects()


def _party_defects() -> Iterator[tuple[str, TaxDocument]]:
    yield "2258", invoice(supplier=replace(LAB, state_code="27", pin=400001), place_of_supply="29")
    yield "2259", invoice(supplier=replace(LAB, state_code="25"))
    yield "2276", invoice(supplier=replace(LAB, pin=999999))
    yield "3039", invoice(supplier=replace(LAB, pin=400001))
    yield "5002", invoice(supplier=replace(LAB, legal_name="AB"))
    yield "5002", invoice(supplier=replace(LAB, location="HP"))
    yield "5002", invoice(supplier=replace(LAB, location="x" * 51))
    yield "5002", invoice(buyer=replace(HOSPITAL, address1=""))
    yield "5002", invoice(buyer=replace(HOSPITAL, legal_name="x" * 101))
    yield "2211", invoice(buyer=replace(HOSPITAL, gstin=LAB.gstin))
    yield "2212", invoice(buyer=replace(HOSPITAL, gstin=""))
    yield "2265", invoice(buyer=replace(HOSPITAL, state_code="27", pin=400001))
    yield "2260", invoice(buyer=replace(HOSPITAL, state_code="28"), place_of_supply="29")
    yield "2269", invoice(buyer=replace(HOSPITAL, state_code="96"), place_of_supply="29")
    yield "2274", invoice(buyer=replace(HOSPITAL, pin=999999))
    yield "3041", invoice(buyer=replace(HOSPITAL, pin=400001))
    abroad = {"supply_type": SupplyType.EXPORT_WITH_PAYMENT, "place_of_supply": "96"}
    yield "2248", invoice(buyer=replace(ABROAD, gstin=HOSPITAL.gstin), **abroad)
    yield "2261", invoice(buyer=replace(ABROAD, state_code="29"), **abroad)
    yield "2275", invoice(buyer=replace(ABROAD, pin=560001), **abroad)


def _supply_defects() -> Iterator[tuple[str, TaxDocument]]:
    yield "2162", invoice(buyer=ABROAD, supply_type=SupplyType.EXPORT_WITH_PAYMENT, reverse_charge=True)
    yield "2232", invoice(buyer=ABROAD, supply_type=SupplyType.EXPORT_WITH_PAYMENT, place_of_supply="29")
    yield "2242", invoice(supply_type=SupplyType.DEEMED_EXPORT, place_of_supply="96")
    yield "2243", invoice(place_of_supply="25")
    yield "2228", replace(invoice(), lines=())
    yield "2233", _line(serial=2)
    yield "2176", invoice(supplies=(replace(TRAINING, sac="9992"),))
    yield "5002", invoice(supplies=(replace(TRAINING, sac="99929"),))
    yield "5002", invoice(supplies=(replace(TRAINING, description="x"),))
    yield "3047", invoice(supplies=(replace(TRAINING, is_service=False, unit="NOS"),))
    yield "3048", invoice(supplies=(replace(REAGENT, is_service=True),))
    yield "2239", invoice(supplies=(replace(REAGENT, unit=""),))
    yield "2177", invoice(supplies=(replace(REAGENT, unit="KIT"),))
    yield "2240", invoice(supplies=(replace(TRAINING, gst_rate=Decimal(9)),))


def _amount_defects() -> Iterator[tuple[str, TaxDocument]]:
    first = invoice().lines[0]
    yield "2227", _line(sgst_paise=first.sgst_paise + 1)
    yield "2172", _line(igst_paise=100)
    yield "2174", _crossed()
    yield "2234", _line(cgst_paise=first.cgst_paise - 300, sgst_paise=first.sgst_paise - 300)
    yield "2194", _line(total_paise=first.total_paise + 300)
    yield "2182", replace(invoice(), taxable_paise=1)
    yield "2183", replace(invoice(), sgst_paise=1)
    yield "2184", replace(invoice(), cgst_paise=1)
    yield "2185", replace(invoice(), igst_paise=500)
    yield "2186", replace(invoice(), cess_paise=500)
    yield "2189", replace(invoice(), total_paise=1)
    between = invoice(buyer=HOSPITAL_MUMBAI)
    wrong = replace(between.lines[0], igst_paise=between.lines[0].igst_paise - 300)
    yield "2235", replace(between, lines=(wrong, between.lines[1]))
    yield "5002", _line(taxable_paise=-1)


def _crossed() -> TaxDocument:
    """Tax of one state on a supply to another."""
    return replace(invoice(), buyer=HOSPITAL_MUMBAI, place_of_supply="27")


DEFECTS = list(_defects())
