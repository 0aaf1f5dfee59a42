"""Bills as PDF: what the law wants on them is on them, and only who may read them gets them."""

import io

import pytest
from pypdf import PdfReader


@pytest.fixture(autouse=True)
def temporal_is_there(api):
    api.gateway.reset()


def _text(pdf: bytes) -> str:
    return " ".join(" ".join(page.extract_text() for page in PdfReader(io.BytesIO(pdf)).pages).split())


async def test_an_exempt_bill_is_a_bill_of_supply_without_irn(api):
    placed = await api.place("HGB")
    number = placed["invoices"][0]["document_no"]
    answer = await api.staff_as("billing").get(f"/v1/invoices/{number}/document")
    assert answer.headers["content-type"] == "application/pdf"
    text = _text(answer.content)
    for wanted in ("Bill of Supply", number, placed["order_no"], "999316", "07AAXCS9981F1ZD", "IRN not required"):
        assert wanted in text


async def test_a_sponsors_tax_invoice_says_that_its_registration_is_pending(api):
    body = {
        "branch_code": "DEL",
        "patient_no": api.lab.patients[2],
        "items": [{"code": "RNGS50", "payer_code": "GRAMCARE"}],
    }
    placed = (await api.staff_as("front_desk").post("/v1/orders", body)).json()
    (invoice,) = placed["invoices"]
    assert invoice["requires_irn"] is True
    text = _text((await api.staff_as("billing").get(f"/v1/invoices/{invoice['document_no']}/document")).content)
    for wanted in ("Tax Invoice", "Gramcare Health Services", "07AAGCB1286Q1Z6", "998111", "pending"):
        assert wanted in text


async def test_a_bill_of_another_branch_is_not_found(api):
    placed = await api.place("HGB")
    number = placed["invoices"][0]["document_no"]
    answer = await api.staff_as("blr_front_desk").get(f"/v1/invoices/{number}/document")
    assert answer.status_code in {403, 404}
