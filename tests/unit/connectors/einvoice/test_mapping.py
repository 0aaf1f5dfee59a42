from dataclasses import replace
from datetime import UTC, date, datetime

import pytest
from pydantic import ValidationError

from connectors.einvoice.mapping import (
    cancellation_from_wire,
    instant_from_wire,
    invoice_to_wire,
    record_from_wire,
    wire_date,
)
from connectors.einvoice.wire import Cancellation, Invoice, Registration
from domain.einvoice import IrnState, SupplyType
from rules.gst_tax import credit_note
from tests.contract.einvoice.documents import ABROAD, CBC, DAY, LAB, TRAINING, invoice

IRN = "a" * 64
ANSWER = {"AckNo": 172600000000001, "AckDt": "2026-11-20 16:05:30", "Irn": IRN}


def test_exempt_lines_travel_as_other_charges():
    wire = invoice_to_wire(invoice(supplies=(CBC, TRAINING), round_to_rupee=False)).as_json()
    assert [item["HsnCd"] for item in wire["ItemList"]] == ["999293"]
    assert wire["ValDtls"]["OthChrg"] == 350.0
    assert wire["ValDtls"]["AssVal"] == 4999.99
    assert wire["ValDtls"]["TotInvVal"] == pytest.approx(350 + 4999.99 + 2 * 450)


def test_note_names_the_invoice():
    wire = invoice_to_wire(credit_note(invoice(), document_no="C1", document_date=DAY)).as_json()
    assert wire["DocDtls"] == {"Typ": "CRN", "No": "C1", "Dt": "20/11/2026"}
    assert wire["RefDtls"] == {"PrecDocDtls": [{"InvNo": "B1-2627-000123", "InvDt": "20/11/2026"}]}
    assert "RefDtls" not in invoice_to_wire(invoice()).as_json()


def test_buyer_abroad():
    wire = invoice_to_wire(invoice(buyer=ABROAD, supply_type=SupplyType.EXPORT_WITHOUT_PAYMENT)).as_json()
    assert wire["TranDtls"]["SupTyp"] == "EXPWOP"
    assert (wire["BuyerDtls"]["Gstin"], wire["BuyerDtls"]["Pos"], wire["BuyerDtls"]["Pin"]) == ("URP", "96", 999999)


@pytest.mark.parametrize(
    ("field", "given", "key", "sent"),
    [
        ("legal_name", 'The "Lab" \\ Co\x00\U0001f600', "LglNm", "The 'Lab' / Co"),
        ("trade_name", "AB", "TrdNm", None),
        ("trade_name", "ABC", "TrdNm", "ABC"),
        ("trade_name", "x" * 101, "TrdNm", "x" * 100),
        ("address2", "", "Addr2", None),
        ("phone", "+91 80 4000", "Ph", None),
        ("phone", "12345", "Ph", None),
        ("phone", "123456", "Ph", "123456"),
        ("phone", "९८७६५४", "Ph", None),
        ("email", "a@b", "Em", None),
        ("email", "a@b.in", "Em", "a@b.in"),
        ("email", "a b@c.in", "Em", None),
    ],
)
def test_texts_are_made_to_fit_or_left_out(field, given, key, sent):
    wire = invoice_to_wire(invoice(supplier=replace(LAB, **{field: given}))).as_json()
    assert wire["SellerDtls"].get(key) == sent


def test_long_descriptions_are_cut():
    wire = invoice_to_wire(invoice(supplies=(replace(TRAINING, description="x" * 400),)))
    assert len(wire.ItemList[0].PrdDesc) == 300


def test_request_forbids_anything_else():
    body = invoice_to_wire(invoice()).as_json()
    assert Invoice.model_validate(body).as_json() == body
    with pytest.raises(ValidationError):
        Invoice.model_validate(body | {"Irn": IRN})


@pytest.mark.parametrize(
    ("status", "state"),
    [("ACT", IrnState.ACTIVE), ("CNL", IrnState.CANCELLED), ("cnl", IrnState.CANCELLED), ("NEW", IrnState.ACTIVE)],
)
def test_status_words(status, state):
    assert record_from_wire(Registration.model_validate(ANSWER | {"Status": status})).state is state


def test_missing_signatures_are_empty():
    record = record_from_wire(Registration.model_validate(ANSWER | {"SignedInvoice": None}))
    assert (record.signed_invoice, record.signed_qr) == ("", "")


def test_times_are_ist():
    record = record_from_wire(Registration.model_validate(ANSWER))
    assert record.ack_at == datetime(2026, 11, 20, 10, 35, 30, tzinfo=UTC)
    assert record.ack_no == "172600000000001"
    cancelled = cancellation_from_wire(Cancellation(Irn=IRN, CancelDate="2026-11-21 00:10:00"))
    assert cancelled.cancelled_at == datetime(2026, 11, 20, 18, 40, tzinfo=UTC)


@pytest.mark.parametrize("text", ["", "20/11/2026 16:05:30", "2026-11-20", "2026-13-01 00:00:00"])
def test_other_times_are_refused(text):
    with pytest.raises(ValueError, match=r"does not match|unconverted"):
        instant_from_wire(text)


def test_dates_are_written_day_first():
    assert wire_date(date(2026, 4, 1)) == "01/04/2026"
