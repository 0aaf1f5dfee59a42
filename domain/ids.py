"""Identifiers: typed numbers, row ids and Temporal workflow ids. Built and parsed only here.

A workflow id is visible in the Temporal UI and never encrypted: it carries business numbers, never a patient's data.
"""

from __future__ import annotations

import secrets
import time
import uuid
from typing import NewType

OrderNo = NewType("OrderNo", str)
"""Order number, `<branch code>-<yymmdd>-<serial>`, e.g. `DEL-261123-0042`."""

AccessionNo = NewType("AccessionNo", str)
"""Number on the tube: 12 digits with a Damm check digit (`domain/accession.py`)."""

InvoiceNo = NewType("InvoiceNo", str)
"""Document number of a bill, at most 16 characters, unique in a financial year."""


def new_id() -> uuid.UUID:
    """Return a new row id: UUID version 7 (RFC 9562, 5.7), so that ids sort by creation time."""
    milliseconds = time.time_ns() // 1_000_000
    value = (milliseconds & ((1 << 48) - 1)) << 80
    value |= 0x7 << 76
    value |= secrets.randbits(12) << 64
    value |= 0b10 << 62
    value |= secrets.randbits(62)
    return uuid.UUID(int=value)


def order_workflow_id(lab: str, order_no: str) -> str:
    """Return the id of an order's LabOrder workflow."""
    return f"order:{lab}:{order_no}"


def order_no_of(workflow_id: str) -> OrderNo:
    """Return the order number of a LabOrder workflow id.

    Raises:
        ValueError: It is not one.
    """
    kind, _, rest = workflow_id.partition(":")
    lab, _, order_no = rest.partition(":")
    if kind != "order" or not lab or not order_no:
        raise ValueError(f"not an order workflow id: {workflow_id}")
    return OrderNo(order_no)


def payment_workflow_id(invoice_no: str) -> str:
    """Return the id of the Payment workflow of an invoice."""
    return f"payment:{invoice_no}"


def refund_workflow_id(payment_ref: str) -> str:
    """Return the id of the Refund workflow of one captured payment (the gateway's payment id)."""
    return f"refund:{payment_ref}"


def einvoice_workflow_id(document_no: str) -> str:
    """Return the id of the EInvoice workflow of a tax document."""
    return f"einvoice:{document_no}"


def reversal_workflow_id(invoice_no: str) -> str:
    """Return the id of the InvoiceReversal workflow of an invoice."""
    return f"reversal:{invoice_no}"


def delivery_workflow_id(report_id: str) -> str:
    """Return the id of the ReportDelivery workflow of a report version."""
    return f"delivery:{report_id}"


def record_push_workflow_id(report_id: str) -> str:
    """Return the id of the HealthRecordPush workflow of a report version."""
    return f"abdm:{report_id}"


def transfer_workflow_id(transaction_id: str) -> str:
    """Return the id of the HealthInfoTransfer workflow of one ABDM health-information request."""
    return f"abdm-hi:{transaction_id}"


def consent_workflow_id(consent_id: str, status: str) -> str:
    """Return the id of the ConsentNotice workflow of one consent's change to `status`."""
    return f"abdm-consent:{consent_id}:{status}"
