"""Renders a bill of supply, tax invoice, receipt or credit note to PDF. Amounts are paise until they are printed."""

from __future__ import annotations

from domain.errors import RuleError
from domain.invoice_paper import InvoiceContent, faults_of
from domain.money import formatted
from rendering.literal_text import paper_facts, printable
from rendering.typesetting import compile_pdf, qr_svg


def render_invoice(content: InvoiceContent) -> bytes:
    """Return the document as PDF/A-2a, the same bytes for the same content.

    The QR code, where the invoice registration portal has signed one, holds exactly the signed text. Blocking and
    CPU-bound: call it on a thread.

    Raises:
        RuleError: The content contradicts itself; the message says how.
        LabError: It cannot be typeset.
    """
    faults = faults_of(content)
    if faults:
        raise RuleError(
            f"document {content.number[:40]} cannot be printed: {'; '.join(faults)}",
            code="INVOICE_INCOMPLETE",
            action="Correct the document, then print it again.",
        )
    document = {
        "invoice": paper_facts(content),
        "lines": [
            {
                "description": printable(line.description),
                "sac": printable(line.sac),
                "quantity": str(line.quantity),
                "amount": _plain(line.amount_paise),
                "discount": _plain(line.discount_paise) if line.discount_paise else "",
                "rate": f"{line.gst_rate.normalize():f} %" if line.gst_rate else "exempt",
                "tax": _plain(line.tax_paise) if line.tax_paise else "",
                "total": _plain(line.total_paise),
            }
            for line in content.lines
        ],
        "totals": _totals(content),
        # Level L and no spare bytes: a signed code has about a thousand characters and must still be readable on paper.
        "qr": qr_svg(content.signed_qr, error="l") if content.signed_qr else "",
    }
    return compile_pdf("invoice.typ", document, created_at=content.issued_at)


def _plain(amount_paise: int) -> str:
    """Return the amount with Indian grouping and without the currency sign, which stands in the column's heading."""
    return formatted(amount_paise).replace("₹ ", "")


def _totals(content: InvoiceContent) -> list[list[str]]:
    """Return label and amount of each row below the lines, the document's total last but for what was paid."""
    gross = sum(line.amount_paise for line in content.lines)
    discount = sum(line.discount_paise for line in content.lines)
    rows = [
        ("Value", gross, True),
        ("Discount", -discount, bool(discount)),
        ("CGST", content.cgst_paise, bool(content.cgst_paise)),
        ("SGST", content.sgst_paise, bool(content.sgst_paise)),
        ("IGST", content.igst_paise, bool(content.igst_paise)),
        ("Round-off", content.round_off_paise, bool(content.round_off_paise)),
        ("Total", content.total_paise, True),
        ("Paid", content.paid_paise, bool(content.paid_paise)),
        ("Balance due", content.total_paise - content.paid_paise, bool(content.paid_paise)),
    ]
    return [[label, formatted(amount)] for label, amount, is_shown in rows if is_shown]
