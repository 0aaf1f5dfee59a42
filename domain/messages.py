"""What crosses between the API, the inbox and the workflows: commands, signals, workflow inputs and their wire names.

A command's payload (result values, reasons, amounts) stays in PostgreSQL; what travels through Temporal is its id.
Everything here is ids, enums and counts.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import Annotated, Literal, TypeVar

from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field

from domain.enums import EInvoiceState, OrderStage, StepDecision, VerificationLevel
from domain.policies import LabPolicies


class WorkflowType(StrEnum):
    """Names under which workflows are registered."""

    LAB_ORDER = "LabOrder"
    PAYMENT = "Payment"
    REFUND = "Refund"
    EINVOICE = "EInvoice"
    INVOICE_REVERSAL = "InvoiceReversal"
    REPORT_DELIVERY = "ReportDelivery"
    HEALTH_RECORD_PUSH = "HealthRecordPush"
    HEALTH_INFO_TRANSFER = "HealthInfoTransfer"
    CONSENT_NOTICE = "ConsentNotice"


class CommandKind(StrEnum):
    """What staff can ask of a workflow. The value is the update's name."""

    COLLECT_SAMPLES = "collect_samples"
    RECEIVE_SAMPLES = "receive_samples"
    REJECT_SAMPLE = "reject_sample"
    RERUN_TESTS = "rerun_tests"
    ENTER_RESULTS = "enter_results"
    DECIDE_HELD = "decide_held_results"
    VERIFY_RESULTS = "verify_results"
    AUTHORISE_REPORT = "authorise_report"
    RELEASE_REPORT = "release_report"
    CANCEL_ORDER = "cancel_order"
    RECORD_PAYMENT = "record_payment"
    REVERSE_INVOICE = "reverse_invoice"
    RESOLVE_STEP = "resolve_step"


class SignalName(StrEnum):
    """Facts from outside, past tense."""

    RESULTS_RECEIVED = "results_received"
    PAYMENT_SETTLED = "payment_settled"
    PARTNER_EVENT_RECEIVED = "partner_event_received"
    COLLECTION_STOPPED = "collection_stopped"
    DOCUMENT_WITHDRAWN = "document_withdrawn"


Reason = Annotated[str, Field(min_length=3, max_length=500)]
Accession = Annotated[str, Field(pattern=r"^\d{12}$")]
TestCode = Annotated[str, Field(pattern=r"^[A-Z0-9_%-]{1,20}$")]


Item = TypeVar("Item")


def _each_once(name: Callable[[Item], str]) -> AfterValidator:
    """Refuse a list that says two things about one test or sample: which of them holds nobody can tell."""

    def check(items: Sequence[Item]) -> Sequence[Item]:
        names = [name(item) for item in items]
        repeated = sorted({each for each in names if names.count(each) > 1})
        if repeated:
            raise ValueError(f"named more than once: {', '.join(repeated)}")
        return items

    return AfterValidator(check)


class Payload(BaseModel):
    """Base of a command's payload as staff sends it."""

    model_config = ConfigDict(frozen=True, extra="forbid", str_strip_whitespace=True)


class CollectedSample(Payload):
    """One tube drawn.

    Attributes:
        accession_no: The number planned for it.
        label_no: Number of the pre-printed label actually stuck on it, where it differs.
        collected_at: When it was drawn; default is now.
        site: Where on the body, where that matters, e.g. `left arm`.
        volume_ul: How much was drawn, in microlitres.
    """

    accession_no: Accession
    label_no: Accession | None = None
    collected_at: AwareDatetime | None = None
    site: Annotated[str, Field(max_length=60)] = ""
    volume_ul: Annotated[int, Field(gt=0, le=10_000_000)] | None = None


class CollectSamples(Payload):
    """Samples have been drawn."""

    samples: Annotated[
        list[CollectedSample], Field(min_length=1, max_length=50), _each_once(lambda drawn: drawn.accession_no)
    ]


class ReceiveSamples(Payload):
    """Samples have arrived and are fit for analysis."""

    accession_nos: Annotated[list[Accession], Field(min_length=1, max_length=50), _each_once(str)]
    received_at: AwareDatetime | None = None


class RejectSample(Payload):
    """A sample is unfit; a new one is to be drawn."""

    accession_no: Accession
    reason_code: Annotated[str, Field(pattern=r"^[a-z_]{3,40}$")]
    note: Annotated[str, Field(max_length=500)] = ""


RerunCodes = Annotated[list[TestCode], Field(min_length=1, max_length=200), _each_once(str)]


class RerunTests(Payload):
    """Tests of a sample are to be measured again; what was measured goes out of force."""

    accession_no: Accession
    test_codes: RerunCodes
    reason: Annotated[str, Field(max_length=500)] = ""


class EnteredResult(Payload):
    """One result typed in."""

    test_code: TestCode
    value: Annotated[str, Field(min_length=1, max_length=200)]
    comment: Annotated[str, Field(max_length=500)] = ""


class EnterResults(Payload):
    """Results of tests without an analyzer interface."""

    results: Annotated[
        list[EnteredResult], Field(min_length=1, max_length=200), _each_once(lambda entered: entered.test_code)
    ]


class HeldDecision(Payload):
    """Let one held version count, or reject it.

    Attributes:
        version: Of the result, as the order shows it.
    """

    test_code: TestCode
    version: Annotated[int, Field(ge=1, le=10_000)]
    is_accepted: bool = True
    reason: Annotated[str, Field(max_length=500)] = ""


class DecideHeld(Payload):
    """What becomes of results that were held for a person."""

    decisions: Annotated[
        list[HeldDecision], Field(min_length=1, max_length=200), _each_once(lambda decision: decision.test_code)
    ]


class ResultDecision(Payload):
    """Accept one result, or send the test back to be run again."""

    test_code: TestCode
    is_accepted: bool = True
    reason: Annotated[str, Field(max_length=500)] = ""


Decisions = Annotated[list[ResultDecision], Field(max_length=200), _each_once(lambda decision: decision.test_code)]


class VerifyResults(Payload):
    """Technical verification. Without decisions every result that awaits it is accepted."""

    level: Literal[VerificationLevel.TECHNICAL] = VerificationLevel.TECHNICAL
    decisions: Decisions = []


class AuthoriseReport(Payload):
    """Medical authorisation. Without decisions every verified result is authorised."""

    level: Literal[VerificationLevel.MEDICAL] = VerificationLevel.MEDICAL
    decisions: Decisions = []


class ReleaseReport(Payload):
    """Release a report although it is not paid."""

    reason: Reason


class CancelOrder(Payload):
    """Cancel the whole order."""

    reason: Reason


class RecordPayment(Payload):
    """Money taken at the counter or received on account.

    Attributes:
        receipt_ref: Number of the receipt, card slip or bank transfer: one payment is recorded once.
    """

    invoice_no: Annotated[str, Field(max_length=16)]
    amount_paise: Annotated[int, Field(gt=0, le=10_000_000_00)]
    method: Literal["cash", "card", "upi", "bank_transfer", "cheque"]
    receipt_ref: Annotated[str, Field(min_length=1, max_length=60)]


class ReverseInvoice(Payload):
    """Take an invoice back: refund, and cancel its IRN or issue a credit note."""

    invoice_no: Annotated[str, Field(max_length=16)]
    reason: Reason


class ResolveStep(Payload):
    """Decide about a step that needs attention.

    Attributes:
        workflow_id: The run that shows it, from the order's attention list.
        step: Its name there, e.g. `generate_irn`.
        answer: For ANSWER: what the partner's own portal gave (an IRN, a payment id).
    """

    workflow_id: Annotated[str, Field(max_length=120)]
    step: Annotated[str, Field(pattern=r"^[a-z_]{3,60}$")]
    decision: StepDecision
    reason: Reason
    answer: Annotated[dict[str, str], Field(max_length=10)] = {}


PAYLOADS: dict[CommandKind, type[Payload]] = {
    CommandKind.COLLECT_SAMPLES: CollectSamples,
    CommandKind.RECEIVE_SAMPLES: ReceiveSamples,
    CommandKind.REJECT_SAMPLE: RejectSample,
    CommandKind.RERUN_TESTS: RerunTests,
    CommandKind.ENTER_RESULTS: EnterResults,
    CommandKind.DECIDE_HELD: DecideHeld,
    CommandKind.VERIFY_RESULTS: VerifyResults,
    CommandKind.AUTHORISE_REPORT: AuthoriseReport,
    CommandKind.RELEASE_REPORT: ReleaseReport,
    CommandKind.CANCEL_ORDER: CancelOrder,
    CommandKind.RECORD_PAYMENT: RecordPayment,
    CommandKind.REVERSE_INVOICE: ReverseInvoice,
    CommandKind.RESOLVE_STEP: ResolveStep,
}


class Envelope(BaseModel):
    """Base of what travels through Temporal: immutable; unknown fields are ignored so that old histories replay."""

    model_config = ConfigDict(frozen=True, extra="ignore")


class CommandRef(Envelope):
    """An update's argument: which command to apply."""

    command_id: str


class StepCommandRef(CommandRef):
    """A `resolve_step` update: the decision travels, its reason and answer stay in the command."""

    step: str
    decision: StepDecision


class CommandOutcome(Envelope):
    """An update's answer."""

    command_id: str
    stage: OrderStage | None = None
    detail: dict[str, str] = {}


class MessageRef(Envelope):
    """A `results_received` signal: results of this stored message belong to the order.

    Attributes:
        reading: A message that is read again after a correction is news again.
    """

    message_id: str
    reading: int = 1


class PartnerEventRef(Envelope):
    """A `partner_event_received` signal.

    Attributes:
        event_row_id: Row id in `partner_events`.
        kind: The partner's event name.
        entity_id: The partner's id of the thing.
        reference: Our own key found in the event (a notification id, an ABDM request id), or "".
    """

    event_row_id: str
    source: str
    kind: str
    entity_id: str = ""
    reference: str = ""


class InvoiceRef(Envelope):
    """Names an invoice."""

    invoice_no: str


class OrderInvoice(InvoiceRef):
    """Names an invoice and its order."""

    order_no: str


class OrderInput(Envelope):
    """Input of LabOrder."""

    lab: str
    order_no: str
    policies: LabPolicies = LabPolicies()


class PaymentInput(Envelope):
    """Input of Payment."""

    lab: str
    order_no: str
    invoice_no: str
    policies: LabPolicies = LabPolicies()


class RefundInput(Envelope):
    """Input of Refund: gives back one captured payment."""

    lab: str
    order_no: str
    invoice_no: str
    payment_ref: str
    policies: LabPolicies = LabPolicies()


class EInvoiceInput(Envelope):
    """Input of EInvoice."""

    lab: str
    order_no: str
    invoice_no: str
    policies: LabPolicies = LabPolicies()


class ReversalInput(Envelope):
    """Input of InvoiceReversal."""

    lab: str
    order_no: str
    invoice_no: str
    policies: LabPolicies = LabPolicies()


class PaymentResult(Envelope):
    """How the collection of an invoice ended; `stopped` when the invoice was taken back before it was paid."""

    invoice_no: str
    outcome: Literal["paid", "stopped"]


class RefundResult(Envelope):
    """How a refund ended; `skipped` by staff, `not_needed` when nothing was owed back."""

    payment_ref: str
    outcome: Literal["processed", "skipped", "not_needed"]


class EInvoiceResult(Envelope):
    """How the e-invoice of a document ended."""

    invoice_no: str
    state: EInvoiceState
    irn: str = ""


class ReversalResult(Envelope):
    """How an invoice was taken back.

    Attributes:
        note_no: The credit note, or "".
    """

    invoice_no: str
    outcome: Literal["cancelled", "irn_cancelled", "credited", "refused"]
    note_no: str = ""


class ReportInput(Envelope):
    """Input of ReportDelivery and HealthRecordPush."""

    lab: str
    order_no: str
    report_id: str
    policies: LabPolicies = LabPolicies()


class TransferInput(Envelope):
    """Input of HealthInfoTransfer."""

    lab: str
    transaction_id: str
    requested_at: datetime | None = None
    policies: LabPolicies = LabPolicies()


class Progress(Envelope):
    """How far an order has come, counted from its rows by an activity.

    Attributes:
        invoices: Numbers of its live invoices.
        unpaid: Those of them that hold the release of the report.
        report_id: The issued report version in force, or "".
    """

    order_no: str
    stage: OrderStage
    branch: str
    priority: str
    samples_total: int = 0
    samples_collected: int = 0
    samples_received: int = 0
    tests_total: int = 0
    tests_resulted: int = 0
    tests_verified: int = 0
    tests_authorised: int = 0
    invoices: tuple[str, ...] = ()
    unpaid: tuple[str, ...] = ()
    report_id: str = ""
    is_release_overridden: bool = False


def rupees_text(amount_paise: int) -> str:
    """Return an amount for a workflow's summary: `₹450.00`."""
    return f"₹{Decimal(amount_paise).scaleb(-2):.2f}"
