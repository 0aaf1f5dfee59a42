"""Waiting times and choices, given to workflows as input so that tests, demos and labs differ in data only."""

from __future__ import annotations

from datetime import timedelta

from pydantic import BaseModel, ConfigDict


class Policy(BaseModel):
    """Base of every policy: immutable, unknown fields ignored so that old histories replay."""

    model_config = ConfigDict(frozen=True, extra="ignore")


class PartnerPolicy(Policy):
    """How a step with a partner waits.

    Attributes:
        first_retry: First wait between attempts; doubles up to `max_retry`.
        alert_after: How long a step may stay undone before it shows as LabAttention.
        attempt_timeout: Bound of one attempt.
    """

    first_retry: timedelta = timedelta(seconds=5)
    max_retry: timedelta = timedelta(minutes=15)
    alert_after: timedelta = timedelta(minutes=30)
    attempt_timeout: timedelta = timedelta(seconds=60)


class OrderPolicy(Policy):
    """How an order waits.

    Attributes:
        collection_due: After this without a complete collection the order shows as overdue.
        results_due: After receipt, until every result is expected.
        verification_due: After results, until verification and authorisation are expected.
        hold_until_paid: The report is released only when every non-credit invoice is paid.
        payment_due: After the report is issued, until an unpaid hold shows as attention.
    """

    collection_due: timedelta = timedelta(days=2)
    results_due: timedelta = timedelta(hours=24)
    verification_due: timedelta = timedelta(hours=12)
    hold_until_paid: bool = True
    payment_due: timedelta = timedelta(days=3)
    partner: PartnerPolicy = PartnerPolicy()


class PaymentPolicy(Policy):
    """How a payment is awaited.

    Attributes:
        link_valid_for: Life of a payment link.
        poll_every: How soon the gateway is asked when no webhook comes; quiet links are asked up to four times rarer.
        late_capture_for: How long a closed link is watched for money that a bank confirms late.
        credit_due: When an invoice on credit shows as overdue.
    """

    link_valid_for: timedelta = timedelta(days=7)
    poll_every: timedelta = timedelta(minutes=15)
    late_capture_for: timedelta = timedelta(days=3)
    credit_due: timedelta = timedelta(days=45)
    partner: PartnerPolicy = PartnerPolicy()


class EInvoicePolicy(Policy):
    """How an IRN is sought.

    Attributes:
        batch_after: How long a document waits that its GSTIN's policy sends in batches.
    """

    batch_after: timedelta = timedelta(days=1)
    partner: PartnerPolicy = PartnerPolicy()


class RefundPolicy(Policy):
    """How a refund is followed until the gateway has processed it."""

    poll_every: timedelta = timedelta(hours=1)
    alert_after: timedelta = timedelta(days=3)
    partner: PartnerPolicy = PartnerPolicy()


class DeliveryPolicy(Policy):
    """How a report finds its reader.

    Attributes:
        channels: Tried in this order.
        confirm_within: How long a channel may take to confirm delivery before the next is tried.
    """

    channels: tuple[str, ...] = ("whatsapp", "sms", "email")
    confirm_within: timedelta = timedelta(minutes=30)
    partner: PartnerPolicy = PartnerPolicy()


class RecordPushPolicy(Policy):
    """How a care context is linked at ABDM.

    Attributes:
        callback_within: How long the gateway may take to call back before the step is repeated.
        tries: Repeats before the step asks for a person.
        notice_repeats: Waits before a notice is repeated that overtook its own link.
    """

    callback_within: timedelta = timedelta(seconds=60)
    tries: int = 5
    notice_repeats: tuple[timedelta, ...] = (timedelta(seconds=5), timedelta(seconds=15), timedelta(seconds=60))
    partner: PartnerPolicy = PartnerPolicy()


class TransferPolicy(Policy):
    """How requested health information is sent; ABDM allows 20 minutes from the request."""

    send_within: timedelta = timedelta(minutes=20)
    partner: PartnerPolicy = PartnerPolicy()


class LabPolicies(Policy):
    """All policies of a lab."""

    order: OrderPolicy = OrderPolicy()
    payment: PaymentPolicy = PaymentPolicy()
    einvoice: EInvoicePolicy = EInvoicePolicy()
    refund: RefundPolicy = RefundPolicy()
    delivery: DeliveryPolicy = DeliveryPolicy()
    record_push: RecordPushPolicy = RecordPushPolicy()
    transfer: TransferPolicy = TransferPolicy()
