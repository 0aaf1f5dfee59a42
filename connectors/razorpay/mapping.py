"""Our payments in Razorpay's words and back. Pure."""

from __future__ import annotations

import hashlib
import logging
import re
from datetime import UTC, datetime

from connectors.razorpay.wire import (
    CreatePaymentLink,
    CreateRefund,
    Customer,
    LinkPayment,
    Notify,
    PaymentEntity,
    PaymentLinkEntity,
    RefundEntity,
)
from domain.enums import RefundState
from domain.errors import RequestError
from domain.payments import (
    CapturedPayment,
    PaymentLink,
    PaymentLinkRequest,
    PaymentLinkState,
    PaymentState,
    Refund,
)

REFERENCE_NOTE = "labsetu_ref"
"""Note that carries our reference; Razorpay copies a link's notes to its order and payment."""

MIN_AMOUNT_PAISE = 100
MAX_REFERENCE_CHARS = 40
MAX_DESCRIPTION_CHARS = 2048

_IDEMPOTENCY_KEY = re.compile(r"[A-Za-z0-9_-]{10,64}")
_ENTITY_ID = re.compile(r"[A-Za-z0-9_]{1,64}")
_log = logging.getLogger(__name__)


def link_body(request: PaymentLinkRequest, default_callback_url: str = "") -> CreatePaymentLink:
    """Return the body that creates a link.

    Source: razorpay.com/docs, "Create a Standard Payment Link", request parameters, read 2026-11-22.

    Raises:
        RequestError: Razorpay would refuse it.
    """
    _check_amount(request.amount_paise)
    _check_reference(request.reference)
    customer = Customer(
        name=request.customer_name or None,
        email=request.customer_email or None,
        contact=request.customer_phone or None,
    )
    callback_url = request.callback_url or default_callback_url
    return CreatePaymentLink(
        amount=request.amount_paise,
        currency="INR",
        accept_partial=False,
        description=request.description[:MAX_DESCRIPTION_CHARS],
        reference_id=request.reference,
        customer=customer if customer.model_dump(exclude_none=True) else None,
        expire_by=int(request.expires_at.timestamp()) if request.expires_at else None,
        notify=Notify(
            sms=request.notify_by_partner and bool(request.customer_phone),
            email=request.notify_by_partner and bool(request.customer_email),
        ),
        reminder_enable=request.notify_by_partner,
        notes={REFERENCE_NOTE: request.reference},
        callback_url=callback_url or None,
        callback_method="get" if callback_url else None,
    )


def refund_body(amount_paise: int, reference: str) -> CreateRefund:
    """Return the body that refunds part or all of a payment.

    Raises:
        RequestError: Razorpay would refuse it.
    """
    _check_amount(amount_paise)
    _check_reference(reference)
    return CreateRefund(amount=amount_paise, speed="normal", receipt=reference, notes={REFERENCE_NOTE: reference})


def idempotency_header(key: str) -> str:
    """Return `key` as Razorpay accepts it: at least 10 of `A-Z a-z 0-9 _ -`; anything else becomes its digest.

    Source: razorpay.com/docs, "Normal refunds, idempotent requests", read 2026-11-22.
    """
    if _IDEMPOTENCY_KEY.fullmatch(key):
        return key
    return "key_" + hashlib.sha256(key.encode()).hexdigest()


def entity_path(entity_id: str) -> str:
    """Return an id that is safe inside a URL path.

    Raises:
        RequestError: It is no Razorpay id.
    """
    if not _ENTITY_ID.fullmatch(entity_id):
        raise RequestError("not a Razorpay id", code="PAYMENT_ID_INVALID", action="Use the id that Razorpay gave.")
    return entity_id


def payment_link(entity: PaymentLinkEntity) -> PaymentLink:
    """Return a link in our words."""
    payments = tuple(link_payment(payment) for payment in entity.payments or ())
    return PaymentLink(
        link_id=entity.id,
        reference=entity.reference_id or "",
        state=_link_state(entity, payments),
        amount_paise=entity.amount,
        amount_paid_paise=entity.amount_paid,
        short_url=entity.short_url,
        payments=payments,
        expires_at=datetime.fromtimestamp(entity.expire_by, UTC) if entity.expire_by else None,
    )


def link_payment(entity: LinkPayment) -> CapturedPayment:
    """Return a payment listed inside a link in our words."""
    return CapturedPayment(entity.payment_id, entity.amount, entity.method or "", payment_state(entity.status))


def payment(entity: PaymentEntity) -> CapturedPayment:
    """Return a payment in our words."""
    return CapturedPayment(
        payment_id=entity.id,
        amount_paise=entity.amount,
        method=entity.method or "",
        state=payment_state(entity.status),
        amount_refunded_paise=entity.amount_refunded or 0,
        reference=entity.notes.get(REFERENCE_NOTE, ""),
    )


def refund(entity: RefundEntity) -> Refund:
    """Return a refund in our words."""
    return Refund(
        refund_id=entity.id,
        payment_id=entity.payment_id,
        amount_paise=entity.amount,
        state=refund_state(entity.status),
        reference=entity.notes.get(REFERENCE_NOTE, "") or entity.receipt or "",
    )


def link_state(status: str) -> PaymentLinkState:
    """Return Razorpay's link status in our words; the unknown is PENDING, which neither books nor closes anything."""
    match status:
        case "created" | "issued":
            return PaymentLinkState.PENDING
        case "partially_paid" | "paid" | "expired" | "cancelled":
            return PaymentLinkState(status)
        case _:
            _log.warning("razorpay: unknown payment link status %r read as pending", status[:40])
            return PaymentLinkState.PENDING


def payment_state(status: str) -> PaymentState:
    """Return Razorpay's payment status in our words; the unknown is CREATED, which books nothing."""
    match status:
        case "created" | "authorized" | "captured" | "failed" | "refunded":
            return PaymentState(status)
        case _:
            _log.warning("razorpay: unknown payment status %r read as created", status[:40])
            return PaymentState.CREATED


def refund_state(status: str) -> RefundState:
    """Return Razorpay's refund status in our words; the unknown is PENDING and is asked again."""
    match status:
        case "pending" | "processed" | "failed":
            return RefundState(status)
        case _:
            _log.warning("razorpay: unknown refund status %r read as pending", status[:40])
            return RefundState.PENDING


def _link_state(entity: PaymentLinkEntity, payments: tuple[CapturedPayment, ...]) -> PaymentLinkState:
    """Return the state of a link, noticing money that a bank confirmed after the link had closed.

    Source: razorpay.com/docs, "Late Authorisation", read 2026-11-22.
    """
    state = link_state(entity.status)
    captured = sum(one.amount_paise for one in payments if one.state.rank >= PaymentState.CAPTURED.rank)
    if state in (PaymentLinkState.EXPIRED, PaymentLinkState.CANCELLED) and captured >= entity.amount:
        return PaymentLinkState.LATE_PAID
    return state


def _check_amount(amount_paise: int) -> None:
    if amount_paise < MIN_AMOUNT_PAISE:
        raise RequestError(
            f"Razorpay moves no less than {MIN_AMOUNT_PAISE} paise",
            code="PAYMENT_AMOUNT_TOO_SMALL",
            action="Collect or return so small an amount at the counter.",
        )


def _check_reference(reference: str) -> None:
    if not 0 < len(reference) <= MAX_REFERENCE_CHARS:
        raise RequestError(
            f"a payment reference has 1 to {MAX_REFERENCE_CHARS} characters",
            code="PAYMENT_REFERENCE_INVALID",
            action="Use the invoice number.",
        )
