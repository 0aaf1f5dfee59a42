"""Money taken at the counter or on account, and the request to take an invoice back."""

from __future__ import annotations

from activities.staff.context import CommandContext
from domain.enums import LedgerKind
from domain.errors import ConflictError, NotFoundError, RuleError
from domain.messages import RecordPayment, ReverseInvoice
from store import billing
from store.tables.billing import Invoice, LedgerEntry
from store.timeline import EventDetail


async def record_payment(context: CommandContext, payload: RecordPayment) -> None:
    """Post money that a person took, once for each receipt.

    Raises:
        NotFoundError: The invoice is none of the order's.
        ConflictError: It is reversed, or the receipt is posted already.
        RuleError: More than is owed.
    """
    session = context.session
    invoice = await _own_invoice(context, payload.invoice_no)
    if invoice.state in billing.REVERSED or invoice.cancel_reason:
        raise ConflictError(
            f"invoice {invoice.document_no} is taken back", code="INVOICE_REVERSED",
            action="Give the money back; issue a new order if the tests are to be done.",
        )  # fmt: skip
    if await billing.ledger_entry(session, billing.COUNTER, payload.receipt_ref) is not None:
        raise ConflictError(
            f"receipt {payload.receipt_ref} is posted already", code="RECEIPT_RECORDED",
            action="Check the receipt's number; one receipt pays once.",
        )  # fmt: skip
    due = await billing.balance_paise(session, invoice.id)
    if payload.amount_paise > due:
        raise RuleError(
            f"more than is owed on invoice {invoice.document_no}", code="OVERPAYMENT",
            action="Record what is owed, and give the rest back at once.",
        )  # fmt: skip
    session.add(
        LedgerEntry(
            invoice_id=invoice.id,
            kind=LedgerKind.PAYMENT,
            amount_paise=-payload.amount_paise,
            method=payload.method,
            gateway=billing.COUNTER,
            gateway_ref=payload.receipt_ref,
            entered_by=context.actor.user_id,
        )
    )
    await billing.settle_state(session, invoice)
    detail: EventDetail = {
        "invoice_no": invoice.document_no,
        "amount_paise": payload.amount_paise,
        "method": payload.method,
        "receipt_ref": payload.receipt_ref,
    }
    await context.event("payment_recorded", detail)
    await context.audit("payment.recorded", "invoice", invoice.document_no, detail)


async def reverse_invoice(context: CommandContext, payload: ReverseInvoice) -> None:
    """Mark an invoice as being taken back; the rest is done by its InvoiceReversal.

    Raises:
        NotFoundError: The invoice is none of the order's.
        ConflictError: It is a credit note.
    """
    invoice = await _own_invoice(context, payload.invoice_no)
    if invoice.reverses_id is not None:
        raise ConflictError(
            f"{invoice.document_no} is a credit note", code="INVOICE_IS_NOTE",
            action="A credit note is not taken back; place a new order instead.",
        )  # fmt: skip
    if invoice.cancel_reason:
        return
    invoice.cancel_reason = payload.reason
    context.session.add(invoice)
    await context.event("invoice_reversal_requested", {"invoice_no": invoice.document_no})
    await context.audit("invoice.reversal_requested", "invoice", invoice.document_no, {"reason": payload.reason})


async def _own_invoice(context: CommandContext, invoice_no: str) -> Invoice:
    bill = await billing.bill_of(context.session, invoice_no, for_update=True)
    if bill.order.id != context.facts.order.id:
        raise NotFoundError(f"invoice {invoice_no} does not belong to this order", code="INVOICE_NOT_FOUND")
    return bill.invoice
