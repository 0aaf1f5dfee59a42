"""What GST law asks of a laboratory's documents: which document, whether it needs an IRN, how it is taken back.

Software defaults, to be confirmed by the lab's accountant. The law decides by what is supplied and to whom, never by
the amount: diagnostic services of a clinical establishment are exempt whoever pays, so most lab bills are bills of
supply and need no IRN.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from enum import StrEnum

from domain.einvoice import (
    BelowThreshold,
    DocumentKind,
    GstPolicy,
    SupplyType,
    TaxDocument,
    TurnoverBand,
)
from domain.errors import RuleError

RULES_VERSION = "gst/2026-09"
"""Stored with every decision made here."""

CANCEL_WINDOW = timedelta(hours=24)
"""How long the IRP cancels. Source: NIC, "Cancel IRN" v1.03, error 2270, read 2026-09-18."""

CANCEL_MARGIN = timedelta(minutes=10)
"""Left at the end of the window for queues and for two clocks that differ."""

REPORTING_DAYS = 30
"""Source: GSTN advisory of 5 November 2024; day 30 counts the document's own day (1 April is due by 30 April)."""

_E_INVOICE_BANDS = frozenset({TurnoverBand.UP_TO_10_CRORE, TurnoverBand.UP_TO_500_CRORE, TurnoverBand.ABOVE_500_CRORE})
_THIRTY_DAY_BANDS = frozenset({TurnoverBand.UP_TO_500_CRORE, TurnoverBand.ABOVE_500_CRORE})

_DOCUMENT_NO = re.compile(r"[A-Z1-9][A-Z0-9/-]{0,15}", re.ASCII)


class MixedSupply(StrEnum):
    """How a registered buyer gets taxable and exempt supplies billed together."""

    TWO_DOCUMENTS = "two_documents"
    ONE_TAX_INVOICE = "one_tax_invoice"
    """The exempt value travels as other charges."""


class IrnReason(StrEnum):
    """Why a document needs an IRN or not; the console has a text in each language for it."""

    REQUIRED = "required"
    BILL_OF_SUPPLY = "bill_of_supply"
    NOTHING_TAXABLE = "nothing_taxable"
    BUYER_UNREGISTERED = "buyer_unregistered"
    NOT_ENABLED = "not_enabled"
    BEFORE_ENABLED_DATE = "before_enabled_date"


@dataclass(frozen=True)
class IrnDecision:
    """Whether the law wants an IRN, and why."""

    required: bool
    reason: IrnReason
    text: str


class SubmissionMode(StrEnum):
    """How a reportable document goes out."""

    NOW = "now"
    BATCH = "batch"
    MANUAL = "manual"


class ReversalRoute(StrEnum):
    """How a document is taken back."""

    CANCEL_IRN = "cancel_irn"
    CREDIT_NOTE = "credit_note"
    PLAIN_CANCEL = "plain_cancel"


@dataclass(frozen=True)
class Finding:
    """Something wrong, before anything is sent.

    Attributes:
        code: The IRP's own error code where it would refuse, else a word.
        field: Dotted path in the document, lines by serial: `lines.2.sac`.
        text: What is wrong, for a person.
    """

    code: str
    field: str
    text: str


def document_kinds(
    *,
    buyer_registered: bool,
    has_taxable: bool,
    has_exempt: bool,
    mixed: MixedSupply = MixedSupply.TWO_DOCUMENTS,
) -> tuple[DocumentKind, ...]:
    """Return the documents that a bill becomes, the taxable one first.

    Raises:
        RuleError: The bill has no line.

    Source: CGST Act s.31(3)(c); CGST Rules 46, 46A (unregistered recipients only) and 49.
    """
    if not has_taxable and not has_exempt:
        raise RuleError("a bill without lines becomes no document", code="BILL_EMPTY")
    if not has_taxable:
        return (DocumentKind.BILL_OF_SUPPLY,)
    if not has_exempt:
        return (DocumentKind.TAX_INVOICE,)
    if not buyer_registered:
        return (DocumentKind.INVOICE_CUM_BILL_OF_SUPPLY,)
    if mixed is MixedSupply.ONE_TAX_INVOICE:
        return (DocumentKind.TAX_INVOICE,)
    return (DocumentKind.TAX_INVOICE, DocumentKind.BILL_OF_SUPPLY)


def requires_irn(document: TaxDocument, policy: GstPolicy) -> IrnDecision:
    """Decide by law alone whether `document` must be registered; its value plays no part.

    Source: CGST Rule 48(4); GSTN e-invoice FAQ v1.4, questions 8 to 13 and 26; notification 10/2023-CT.
    """
    if document.kind is DocumentKind.BILL_OF_SUPPLY:
        return _not_required(IrnReason.BILL_OF_SUPPLY, "Exempt supply: a bill of supply is never registered.")
    if all(line.is_exempt for line in document.lines):
        return _not_required(IrnReason.NOTHING_TAXABLE, "The note corrects exempt supply only.")
    if document.supply_type is SupplyType.B2C:
        return _not_required(IrnReason.BUYER_UNREGISTERED, "The buyer has no GSTIN.")
    if policy.enabled_from is None:
        return _not_required(IrnReason.NOT_ENABLED, "The lab's GSTIN is not enabled for e-invoicing.")
    if document.document_date < policy.enabled_from:
        return _not_required(IrnReason.BEFORE_ENABLED_DATE, "Dated before e-invoicing was enabled for the lab's GSTIN.")
    return IrnDecision(
        required=True, reason=IrnReason.REQUIRED, text="Taxable supply to a registered person, SEZ or export."
    )


def _not_required(reason: IrnReason, text: str) -> IrnDecision:
    return IrnDecision(required=False, reason=reason, text=text)


def submission_mode(document: TaxDocument, policy: GstPolicy) -> SubmissionMode:
    """Return how a document that needs an IRN is sent; the lab's value threshold decides nothing else."""
    if document.total_paise >= policy.auto_submit_min_paise:
        return SubmissionMode.NOW
    match policy.below_threshold:
        case BelowThreshold.BATCH:
            return SubmissionMode.BATCH
        case BelowThreshold.MANUAL:
            return SubmissionMode.MANUAL
        case _:
            return SubmissionMode.NOW


def policy_findings(policy: GstPolicy) -> list[Finding]:
    """Return what in the settings of a GSTIN would break the law; the console shows them as blocking."""
    findings: list[Finding] = []
    if policy.turnover in _E_INVOICE_BANDS and policy.enabled_from is None:
        findings.append(
            Finding(
                "EINVOICE_NOT_ENABLED",
                "enabled_from",
                "Turnover above 5 crore makes e-invoicing mandatory, but no date is set from which it is used.",
            )
        )
    if policy.enabled_from is not None and policy.below_threshold is BelowThreshold.MANUAL:
        findings.append(
            Finding(
                "EINVOICE_MANUAL_BELOW_THRESHOLD",
                "below_threshold",
                "The law wants an IRN whatever the amount; with MANUAL small invoices stay without one.",
            )
        )
    return findings


def reporting_deadline(document_date: date, policy: GstPolicy) -> date | None:
    """Return the last day on which the IRP takes the document, or None where no limit applies."""
    if policy.turnover not in _THIRTY_DAY_BANDS:
        return None
    return document_date + timedelta(days=REPORTING_DAYS - 1)


def is_document_number(number: str) -> bool:
    """Return whether a number fits the law and the IRP: at most 16 capitals, digits, `-` or `/`, no leading 0, - or /.

    Source: CGST Rule 46(b); NIC workbook of August 2026 (capitals only).
    """
    return _DOCUMENT_NO.fullmatch(number) is not None


def reversal_route(
    ack_at: datetime | None,
    now: datetime,
    *,
    window: timedelta = CANCEL_WINDOW,
    margin: timedelta = CANCEL_MARGIN,
) -> ReversalRoute:
    """Return how a document is taken back.

    Args:
        ack_at: When the IRP acknowledged it, aware; None when it was never registered.
        now: Aware.
        window: From `ack_at` on, in which the IRP cancels.
        margin: Kept free at the end of the window.
    """
    if ack_at is None:
        return ReversalRoute.PLAIN_CANCEL
    return ReversalRoute.CANCEL_IRN if now < ack_at + window - margin else ReversalRoute.CREDIT_NOTE


def must_report_by_law(policy: GstPolicy) -> bool:
    """Return whether the turnover alone makes e-invoicing mandatory.

    Source: notification 10/2023-CT: above 5 crore in any financial year from 2017-18, since 1 August 2023.
    """
    return policy.turnover in _E_INVOICE_BANDS
