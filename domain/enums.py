"""The states and kinds of the lab. Stored as their lower-case value; a value is never renamed."""

from __future__ import annotations

from enum import StrEnum


class OrderStage(StrEnum):
    """How far an order has come; each stage names what has been completed."""

    REGISTERED = "registered"
    """Accepted; samples are to be collected."""
    COLLECTED = "collected"
    """Every sample has been drawn."""
    RECEIVED = "received"
    """Every sample has been accepted by the laboratory; analysis is going on."""
    RESULTED = "resulted"
    """Every test has a result; technical verification is awaited."""
    VERIFIED = "verified"
    """Every result is technically verified; medical authorisation is awaited."""
    AUTHORISED = "authorised"
    """A pathologist has authorised the results; the report is being issued."""
    REPORTED = "reported"
    """The report is issued; its release may still wait for payment."""
    CLOSED = "closed"
    """Clinically closed: the report is released."""
    CANCELLED = "cancelled"
    """Cancelled; what had been done was compensated."""


class Priority(StrEnum):
    """Clinical urgency of an order."""

    ROUTINE = "routine"
    URGENT = "urgent"
    STAT = "stat"
    """Immediately (statim)."""


class Sex(StrEnum):
    """Administrative sex as the lab records it."""

    MALE = "male"
    FEMALE = "female"
    OTHER = "other"
    UNKNOWN = "unknown"


class Role(StrEnum):
    """What a member of staff may do, per branch (permissions in `api/permissions.py`)."""

    FRONT_DESK = "front_desk"
    PHLEBOTOMIST = "phlebotomist"
    TECHNICIAN = "technician"
    PATHOLOGIST = "pathologist"
    BILLING = "billing"
    ADMIN = "admin"
    AUDITOR = "auditor"


class SampleState(StrEnum):
    """Where a sample is."""

    EXPECTED = "expected"
    COLLECTED = "collected"
    RECEIVED = "received"
    REJECTED = "rejected"
    CANCELLED = "cancelled"


class LineState(StrEnum):
    """How far one ordered test has come."""

    ORDERED = "ordered"
    RESULTED = "resulted"
    VERIFIED = "verified"
    AUTHORISED = "authorised"
    CANCELLED = "cancelled"


class ResultState(StrEnum):
    """Whether a result version is the one in force."""

    CURRENT = "current"
    SUPERSEDED = "superseded"
    HELD = "held"
    """Kept but not usable without a person: failed, preliminary or unknown status at the device."""


class ResultSource(StrEnum):
    """Where a result came from."""

    ANALYZER = "analyzer"
    MANUAL = "manual"


class VerificationLevel(StrEnum):
    """Who accepted a result."""

    TECHNICAL = "technical"
    MEDICAL = "medical"


class VerificationDecision(StrEnum):
    """What the verifier decided."""

    ACCEPTED = "accepted"
    REJECTED = "rejected"
    """The test is to be run again."""


class MessageState(StrEnum):
    """What has become of a raw instrument message. Every message is in exactly one of these."""

    RECEIVED = "received"
    """Stored; not read yet."""
    MATCHED = "matched"
    """Every specimen and code in it found its test."""
    PARTIAL = "partial"
    """Some of it found its test; the rest waits for a person."""
    UNMATCHED = "unmatched"
    """No sample carries its barcode yet; claimed when one does."""
    CONTROL = "control"
    """Quality control or calibration only."""
    UNREADABLE = "unreadable"
    """Cannot be parsed; kept for a person."""
    DUPLICATE = "duplicate"
    """The same bytes came before from the same analyzer."""
    IGNORED = "ignored"
    """Nothing in it is for us (a query, an acknowledgement)."""


class PartnerEventState(StrEnum):
    """What has become of a partner's event."""

    RECEIVED = "received"
    DELIVERED = "delivered"
    """Signalled to its workflow, or applied."""
    UNMATCHED = "unmatched"
    """No workflow knows its reference (yet)."""
    POISON = "poison"
    """Signed correctly but not understandable."""
    IGNORED = "ignored"
    """Nothing to do: an event kind that changes nothing here, or its workflow has ended."""


class CommandState(StrEnum):
    """What has become of a staff command."""

    ACCEPTED = "accepted"
    """Stored; on its way to the workflow."""
    APPLIED = "applied"
    REFUSED = "refused"


class CollectionMode(StrEnum):
    """How an invoice is to be paid."""

    LINK = "link"
    """A payment link is sent to the patient."""
    COUNTER = "counter"
    """Cash, card or UPI at the counter, recorded by staff."""
    CREDIT = "credit"
    """On account of a payer with credit terms."""


class InvoiceState(StrEnum):
    """Where an invoice stands."""

    ISSUED = "issued"
    PARTIALLY_PAID = "partially_paid"
    PAID = "paid"
    CANCELLED = "cancelled"
    CREDITED = "credited"
    """Reversed by a credit note."""


class LedgerKind(StrEnum):
    """Why money moved. Positive amounts raise what the payer owes, negative ones lower it."""

    CHARGE = "charge"
    PAYMENT = "payment"
    REFUND = "refund"
    CREDIT_NOTE = "credit_note"
    CANCELLATION = "cancellation"


class EInvoiceState(StrEnum):
    """Where the e-invoice of a tax document stands."""

    NOT_REQUIRED = "not_required"
    PENDING = "pending"
    GENERATED = "generated"
    CANCELLED = "cancelled"
    SKIPPED = "skipped"
    """Staff decided, with a reason, to go on without an IRN."""


class RefundState(StrEnum):
    """Where a refund stands."""

    REQUESTED = "requested"
    PENDING = "pending"
    PROCESSED = "processed"
    FAILED = "failed"


class ReportState(StrEnum):
    """Which version of a report is in force."""

    ISSUED = "issued"
    SUPERSEDED = "superseded"
    WITHDRAWN = "withdrawn"


class CareContextState(StrEnum):
    """Where the ABDM care context of a report stands."""

    PENDING = "pending"
    NO_CONSENT = "no_consent"
    """The patient has no ABHA or did not agree to linking."""
    LINKED = "linked"
    NOTIFIED = "notified"
    SKIPPED = "skipped"


class StepDecision(StrEnum):
    """What staff may decide about a step that needs attention."""

    RETRY = "retry"
    SKIP = "skip"
    ANSWER = "answer"
    """Somebody did it by hand at the partner and enters the outcome."""


class MappingState(StrEnum):
    """Whether a person stands behind what a device's code is said to mean."""

    PROPOSED = "proposed"
    CONFIRMED = "confirmed"
    RETIRED = "retired"


class ExceptionKind(StrEnum):
    """Why something of an instrument message found no place by itself."""

    UNKNOWN_DEVICE = "unknown_device"
    UNREADABLE = "unreadable"
    UNMATCHED_SPECIMEN = "unmatched_specimen"
    UNMAPPED_CODE = "unmapped_code"
    AMBIGUOUS_CODE = "ambiguous_code"
    """The code stands for several tests, and more than one of them was ordered on the tube."""
    UNIT_MISMATCH = "unit_mismatch"
    NOT_ORDERED = "not_ordered"
    ALREADY_CLOSED = "already_closed"
    UNUSABLE_VALUE = "unusable_value"


class ExceptionState(StrEnum):
    """Where an exception stands."""

    OPEN = "open"
    RESOLVED = "resolved"
    """Its cause is gone: the message was read again and this found its place."""
    DISMISSED = "dismissed"
    """A person decided that nothing is to be done."""


class DeviceWorkState(StrEnum):
    """Where work for a device stands."""

    WAITING = "waiting"
    SENT = "sent"
    """Delivered to a device that says nothing more about it."""
    ACCEPTED = "accepted"
    REFUSED = "refused"
    WITHDRAWN = "withdrawn"
    """No longer wanted before it was sent."""
