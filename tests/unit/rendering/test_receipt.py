"""Bills and tax invoices: amounts, taxes, the signed QR code, and what is refused."""

from dataclasses import replace

import pytest

from domain.errors import RuleError
from domain.invoice_paper import PaperLine
from rendering.receipt import render_invoice
from tests.unit.rendering.samples import BILL, TAX_INVOICE, letters_of, pages_of


@pytest.mark.parametrize(
    "needed",
    [
        "Bill of Supply",
        "D1-2627-000123",
        "23-11-2026",
        "Setu Diagnostics Private Limited",
        "GSTIN: 07AABCS1429B1ZB",
        "Asha Verma",
        "Complete blood count (CBC)",
        "999316",
        "300.00",
        "30.00",
        "270.00",
        "1,50,000.00",
        "exempt",
        "Total ₹ 1,50,270.00",
        "Rupees one lakh fifty thousand two hundred seventy only",
        "IRN not required: exempt supply.",
        "Page 1 of 1",
    ],
)
def test_a_bill_of_supply_holds(needed):
    assert letters_of(needed) in letters_of(pages_of(render_invoice(BILL))[0])


def test_a_tax_invoice_splits_the_tax_and_carries_its_irn():
    text = pages_of(render_invoice(TAX_INVOICE))[0]
    for needed in ("Tax Invoice", "18 %", "CGST ₹ 900.00", "SGST ₹ 900.00", "Total ₹ 11,800.00", "ab" * 32):
        assert needed in text
    assert "IGST" not in text


def test_part_payment_and_round_off():
    text = pages_of(render_invoice(replace(BILL, paid_paise=5_000_000, round_off_paise=-30)))[0]
    for needed in ("Round-off -₹ 0.30", "Total ₹ 1,50,269.70", "Paid ₹ 50,000.00", "Balance due ₹ 1,00,269.70"):
        assert needed in text


def test_same_content_same_bytes():
    assert render_invoice(TAX_INVOICE) == render_invoice(TAX_INVOICE)


def test_many_lines_flow_over_pages():
    lines = tuple(PaperLine(f"Line {number} *#x*", "999316", 100) for number in range(120))
    pages = pages_of(render_invoice(replace(BILL, lines=lines)))
    assert len(pages) >= 3
    assert all(f"Page {number} of {len(pages)}" in text for number, text in enumerate(pages, start=1))
    assert all("Description" in text for text in pages if "Line" in text)
    assert "Total ₹ 120.00" in pages[-1]
    assert "Line 119 *#x*" in pages[-1]


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({"number": ""}, "number is missing"),
        ({"lines": ()}, "0 lines"),
        ({"cgst_paise": 1}, "do not add up"),
        ({"irn": "ab" * 32}, "come together"),
        ({"signed_qr": "x", "irn": ""}, "come together"),
        ({"signed_qr": "x" * 3000, "irn": "a"}, "2900 bytes"),
        ({"issued_at": BILL.issued_at.replace(tzinfo=None)}, "no time zone"),
        ({"notes": ("x" * 501,)}, "500 characters"),
        ({"buyer": replace(BILL.buyer, name="")}, "buyer is missing"),
    ],
)
def test_what_cannot_be_printed(change, fault):
    with pytest.raises(RuleError) as caught:
        render_invoice(replace(BILL, **change))
    assert fault in caught.value.message
    assert "Asha" not in caught.value.message
