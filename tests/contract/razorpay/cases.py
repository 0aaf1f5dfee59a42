"""Razorpay in the shared suites. The samples in `wire/` are written from the published entity tables."""

import base64
import hashlib
import hmac
from datetime import UTC, datetime

from connectors.http import PartnerHttp
from connectors.razorpay import RazorpayConnector, RazorpaySettings, webhook
from domain.enums import RefundState
from domain.errors import AuthError, RejectedError, RequestError, UnavailableError
from domain.partner_events import PartnerEvent
from domain.payments import CapturedPayment, PaymentLink, PaymentLinkRequest, PaymentLinkState, PaymentState, Refund
from tests.contract.suites import ConnectorCases, ErrorSample, OperationCase, WebhookCases

KEY_SECRET = "s3cr3t-of-the-key"
WEBHOOK_SECRETS = ["newest-webhook-secret", "older-webhook-secret"]
BASIC = base64.b64encode(f"rzp_test_contract:{KEY_SECRET}".encode()).decode()
REFERENCE = "DEL/26-27/0042"

REQUEST = PaymentLinkRequest(
    reference=REFERENCE,
    amount_paise=125_000,
    description="Laboratory bill DEL/26-27/0042",
    customer_name="Asha Rao",
    customer_phone="+919810012345",
    customer_email="asha@example.in",
    expires_at=datetime.fromtimestamp(1795941000, UTC),
    notify_by_partner=True,
    callback_url="https://lab.example.in/paid",
)
LINK = PaymentLink(
    link_id="plink_LabSetu0000001",
    reference=REFERENCE,
    state=PaymentLinkState.PENDING,
    amount_paise=125_000,
    amount_paid_paise=0,
    short_url="https://rzp.io/i/LabSetu1",
    expires_at=datetime.fromtimestamp(1795941000, UTC),
)
PAID = PaymentLink(
    link_id=LINK.link_id,
    reference=REFERENCE,
    state=PaymentLinkState.PAID,
    amount_paise=125_000,
    amount_paid_paise=125_000,
    short_url=LINK.short_url,
    payments=(CapturedPayment("pay_LabSetu00000001", 125_000, "upi", PaymentState.CAPTURED),),
    expires_at=LINK.expires_at,
)
CANCELLED = PaymentLink(
    LINK.link_id, REFERENCE, PaymentLinkState.CANCELLED, 125_000, 0, LINK.short_url, (), LINK.expires_at
)
REFUND = Refund("rfnd_LabSetu0000001", "pay_LabSetu00000001", 25_000, RefundState.PROCESSED, "RF-0042-1")
BY_HAND = Refund("rfnd_ByHand00000001", "pay_LabSetu00000001", 100, RefundState.FAILED)
PENDING_REFUND = Refund("rfnd_LabSetu0000001", "pay_LabSetu00000001", 25_000, RefundState.PENDING, "RF-0042-1")
PAYMENT = CapturedPayment("pay_LabSetu00000001", 125_000, "upi", PaymentState.CAPTURED, 25_000, REFERENCE)

UNKNOWN_ID = ErrorSample("error.id_unknown.json", 400, RejectedError, "NOT_FOUND")


SETTINGS = RazorpaySettings(key_id="rzp_test_contract", key_secret=KEY_SECRET, webhook_secrets=WEBHOOK_SECRETS)


def build(client, journal):
    return RazorpayConnector(PartnerHttp(client, "razorpay", journal), SETTINGS)


def sign(body: bytes, secret: str = WEBHOOK_SECRETS[0]) -> dict[str, str]:
    digest = hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()
    return {"x-razorpay-signature": digest, "x-razorpay-event-id": "QjXEventId0001"}


def _event(kind: str, reference: str, entity_id: str, code: str = "") -> list[PartnerEvent]:
    return [PartnerEvent("QjXEventId0001", kind, reference, entity_id, code)]


OPERATIONS = (
    OperationCase(
        name="create_payment_link",
        invoke=lambda razorpay: razorpay.create_payment_link(request=REQUEST),
        method="POST",
        path="/v1/payment_links",
        request_file="create_payment_link.request.json",
        response_file="create_payment_link.response.json",
        expected=LINK,
        headers={"authorization": f"Basic {BASIC}", "content-type": "application/json"},
        unavailable_is_unknown=True,
        errors=(
            ErrorSample("error.reference_exists.json", 400, RejectedError, "REFERENCE_EXISTS"),
            ErrorSample("error.amount_too_small.json", 400, RequestError, "AMOUNT_TOO_SMALL"),
            ErrorSample("error.expiry_too_soon.json", 400, RequestError, "EXPIRY_TOO_SOON"),
            ErrorSample("error.authentication.json", 400, AuthError, "AUTHENTICATION_FAILED"),
            ErrorSample("error.no_route.json", 404, RejectedError, "404"),
        ),
    ),
    OperationCase(
        name="fetch_payment_link",
        invoke=lambda razorpay: razorpay.fetch_payment_link(link_id="plink_LabSetu0000001"),
        method="GET",
        path="/v1/payment_links/plink_LabSetu0000001",
        response_file="fetch_payment_link.paid.response.json",
        expected=PAID,
        headers={"authorization": f"Basic {BASIC}"},
        errors=(UNKNOWN_ID, ErrorSample("error.id_malformed.json", 400, RejectedError, "NOT_FOUND")),
    ),
    OperationCase(
        name="find_payment_link_by_reference",
        invoke=lambda razorpay: razorpay.find_payment_link_by_reference(reference=REFERENCE),
        method="GET",
        path="/v1/payment_links",
        query={"reference_id": REFERENCE},
        response_file="find_payment_link_by_reference.response.json",
        expected=LINK,
        errors=(ErrorSample("error.authentication.json", 401, AuthError),),
    ),
    OperationCase(
        name="cancel_payment_link",
        invoke=lambda razorpay: razorpay.cancel_payment_link(link_id="plink_LabSetu0000001"),
        method="POST",
        path="/v1/payment_links/plink_LabSetu0000001/cancel",
        response_file="cancel_payment_link.response.json",
        expected=CANCELLED,
        unavailable_is_unknown=True,
        errors=(
            ErrorSample("error.already_paid.json", 400, RejectedError, "LINK_ALREADY_PAID"),
            ErrorSample("error.already_closed.json", 400, RejectedError, "LINK_ALREADY_CLOSED"),
            UNKNOWN_ID,
        ),
    ),
    OperationCase(
        name="refund",
        invoke=lambda razorpay: razorpay.refund(
            payment_id="pay_LabSetu00000001",
            amount_paise=25_000,
            idempotency_key="refund-0042-1",
            reference="RF-0042-1",
        ),
        method="POST",
        path="/v1/payments/pay_LabSetu00000001/refund",
        request_file="refund.request.json",
        response_file="refund.response.json",
        expected=REFUND,
        headers={"x-refund-idempotency": "refund-0042-1"},
        unavailable_is_unknown=True,
        errors=(
            ErrorSample("error.refund_too_large.json", 400, RejectedError, "REFUND_TOO_LARGE"),
            ErrorSample("error.fully_refunded.json", 400, RejectedError, "ALREADY_REFUNDED"),
            ErrorSample("error.refund_too_late.json", 400, RejectedError, "REFUND_TOO_LATE"),
            ErrorSample("error.idempotency_clash.json", 409, RejectedError, "IDEMPOTENCY_CLASH"),
            ErrorSample("error.in_progress.json", 409, UnavailableError, "IN_PROGRESS"),
        ),
    ),
    OperationCase(
        name="fetch_refund",
        invoke=lambda razorpay: razorpay.fetch_refund(refund_id="rfnd_LabSetu0000001"),
        method="GET",
        path="/v1/refunds/rfnd_LabSetu0000001",
        response_file="fetch_refund.response.json",
        expected=PENDING_REFUND,
        errors=(UNKNOWN_ID,),
    ),
    OperationCase(
        name="find_refunds",
        invoke=lambda razorpay: razorpay.find_refunds(payment_id="pay_LabSetu00000001"),
        method="GET",
        path="/v1/payments/pay_LabSetu00000001/refunds",
        query={"count": "100"},
        response_file="find_refunds.response.json",
        expected=(REFUND, BY_HAND),
        errors=(UNKNOWN_ID,),
    ),
    OperationCase(
        name="fetch_payment",
        invoke=lambda razorpay: razorpay.fetch_payment(payment_id="pay_LabSetu00000001"),
        method="GET",
        path="/v1/payments/pay_LabSetu00000001",
        response_file="fetch_payment.response.json",
        expected=PAYMENT,
        errors=(UNKNOWN_ID, ErrorSample("error.invalid_otp.json", 400, RejectedError, "CUSTOMER_NOT_AUTHENTICATED")),
    ),
    OperationCase(
        name="partner_time",
        invoke=lambda razorpay: razorpay.partner_time(),
        method="GET",
        path="/v1/payments",
        query={"count": "1"},
        response_file="partner_time.response.json",
        expected=None,
        errors=(ErrorSample("error.authentication.json", 401, AuthError),),
    ),
)

CASES = ConnectorCases(
    name="razorpay",
    build=build,
    base_url="https://api.razorpay.com",
    operations=OPERATIONS,
    secrets=(KEY_SECRET, BASIC, *WEBHOOK_SECRETS, "Asha Rao", "9810012345", "asha@example.in"),
    webhook=WebhookCases(
        verify=lambda body, headers: webhook.verify(body, headers, SETTINGS.active_secrets()),
        parse=webhook.parse,
        sign=sign,
        samples=(
            ("webhook.payment_link.paid.json", _event("payment_link.paid", REFERENCE, "plink_LabSetu0000001")),
            ("webhook.payment_link.expired.json", _event("payment_link.expired", REFERENCE, "plink_LabSetu0000001")),
            ("webhook.payment.captured.json", _event("payment.captured", REFERENCE, "pay_LabSetu00000001")),
            ("webhook.payment.failed.json", _event("payment.failed", "", "pay_LabSetu00000001", "payment_declined")),
            ("webhook.refund.processed.json", _event("refund.processed", "RF-0042-1", "rfnd_LabSetu0000001")),
            ("webhook.refund.speed_changed.json", _event("refund.speed_changed", "RF-0042-1", "rfnd_LabSetu0000001")),
            ("webhook.dispute.json", _event("payment.dispute.created", "", "pay_LabSetu00000001")),
        ),
        signature_header="x-razorpay-signature",
    ),
)
