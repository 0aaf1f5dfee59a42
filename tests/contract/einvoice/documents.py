"""Synthetic parties and documents for every test of e-invoicing."""

from dataclasses import replace
from datetime import date
from decimal import Decimal

from connectors.einvoice.simulator.config import (
    DEMO_BUYER,
    DEMO_BUYER_OTHER_STATE,
    DEMO_SEZ_BUYER,
    DEMO_SUPPLIER,
)
from domain.einvoice import DocumentKind, GstPolicy, Party, SupplyType, TaxDocument, TurnoverBand
from rules.gst_tax import Supply, build_document

DAY = date(2026, 11, 20)
POLICY = GstPolicy(enabled_from=date(2026, 4, 1), turnover=TurnoverBand.UP_TO_10_CRORE)

LAB = Party(
    gstin=DEMO_SUPPLIER,
    legal_name="Demo Diagnostics Private Limited",
    trade_name="Demo Diagnostics",
    address1="12 Residency Road",
    address2="Second Floor",
    location="Bengaluru",
    pin=560025,
    state_code="29",
    phone="08040001234",
    email="accounts@demo-diagnostics.example",
)
HOSPITAL = Party(
    gstin=DEMO_BUYER,
    legal_name="Demo Hospitals Limited",
    address1="1 Hospital Road",
    location="Bengaluru",
    pin=560034,
    state_code="29",
)
HOSPITAL_MUMBAI = replace(HOSPITAL, gstin=DEMO_BUYER_OTHER_STATE, location="Mumbai", pin=400001, state_code="27")
SEZ_PHARMA = replace(HOSPITAL, gstin=DEMO_SEZ_BUYER, legal_name="Demo SEZ Pharma Limited")
ABROAD = Party(
    gstin="",
    legal_name="Example Research GmbH",
    address1="Hauptstrasse 1",
    location="Berlin",
    pin=999999,
    state_code="96",
)
PATIENT = Party(gstin="", legal_name="Walk-in patient", address1="-", location="Bengaluru", pin=0, state_code="29")

TRIAL = Supply("Clinical trial central laboratory testing", "998113", 1_500_55, Decimal(18), quantity=Decimal(10))
TRAINING = Supply("Method validation training", "999293", 4_999_99, Decimal(18))
CBC = Supply("Complete blood count", "999316", 350_00, is_exempt=True)
REAGENT = Supply("Glucose reagent kit", "382219", 2_000_00, Decimal(5), is_service=False, unit="NOS")


def invoice(number="B1-2627-000123", buyer=HOSPITAL, supplies=(TRIAL, TRAINING), **changes) -> TaxDocument:
    """A taxable B2B invoice."""
    given = {
        "document_no": number,
        "kind": DocumentKind.TAX_INVOICE,
        "document_date": DAY,
        "supplier": LAB,
        "buyer": buyer,
        "place_of_supply": buyer.state_code,
        "supply_type": SupplyType.B2B,
        "supplies": supplies,
        "round_to_rupee": True,
    }
    return build_document(**(given | changes))


def bill_of_supply(buyer=PATIENT, number="S1-2627-000001") -> TaxDocument:
    """An exempt patient bill."""
    return invoice(
        number,
        buyer,
        (CBC,),
        kind=DocumentKind.BILL_OF_SUPPLY,
        supply_type=SupplyType.B2B if buyer.is_registered else SupplyType.B2C,
        place_of_supply="29",
    )
