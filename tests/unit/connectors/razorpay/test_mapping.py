import logging
import re
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.razorpay import mapping
from connectors.razorpay.wire import PaymentEntity, PaymentLinkEntity, RefundEntity
from domain.enums import RefundState
from domain.errors import RequestError
from domain.payments import PaymentLinkRequest, PaymentLinkState, PaymentState

REQUEST = PaymentLinkRequest("INV-1", 10_000, "Bill")


def link(**changes):
    return PaymentLinkEntity(**{"id": "plink_1", "amount": 100, "status": "created"} | changes)


def test_a_bare_request_asks_for_nothing_it_does_not_know():
    body = mapping.link_body(REQUEST).model_dump(exclude_none=True)
    assert set(body) == {
        "amount", "currency", "accept_partial", "description", "reference_id", "notify", "reminder_enable", "notes",
    }  # fmt: skip
    assert body["notify"] == {"sms": False, "email": False}


def test_the_partner_notifies_only_where_it_has_an_address():
    request = PaymentLinkRequest("INV-1", 10_000, "Bill", customer_phone="+919810012345", notify_by_partner=True)
    assert mapping.link_body(request).notify.model_dump() == {"sms": True, "email": False}


def test_the_default_return_page_is_used_when_the_request_has_none():
    body = mapping.link_body(REQUEST, "https://lab.example.in/paid")
    assert (body.callback_url, body.callback_method) == ("https://lab.example.in/paid", "get")


@pytest.mark.parametrize(
    "request_",
    [PaymentLinkRequest("INV-1", 99, ""), PaymentLinkRequest("", 100, ""), PaymentLinkRequest("x" * 41, 100, "")],
)
def test_what_razorpay_would_refuse_is_not_sent(request_):
    with pytest.raises(RequestError):
        mapping.link_body(request_)


@pytest.mark.parametrize(("amount", "reference"), [(99, "RF-1"), (100, ""), (100, "x" * 41)])
def test_what_razorpay_would_not_refund_is_not_sent(amount, reference):
    with pytest.raises(RequestError):
        mapping.refund_body(amount, reference)


@pytest.mark.parametrize(
    ("status", "state"),
    [
        ("created", PaymentLinkState.PENDING),
        ("issued", PaymentLinkState.PENDING),
        ("partially_paid", PaymentLinkState.PARTIALLY_PAID),
        ("paid", PaymentLinkState.PAID),
        ("expired", PaymentLinkState.EXPIRED),
        ("cancelled", PaymentLinkState.CANCELLED),
    ],
)
def test_link_statuses(status, state):
    assert mapping.link_state(status) is state


def test_unknown_statuses_book_nothing_and_are_logged(caplog):
    caplog.set_level(logging.WARNING)
    assert mapping.link_state("frozen" * 20) is PaymentLinkState.PENDING
    assert mapping.payment_state("disputed") is PaymentState.CREATED
    assert mapping.refund_state("reversed") is RefundState.PENDING
    assert len(caplog.records) == 3
    assert "frozen" in caplog.text
    assert "frozen" * 20 not in caplog.text


def test_money_after_closing_is_noticed_but_a_part_is_not_the_whole():
    row = {"payment_id": "pay_1", "amount": 100, "status": "captured", "method": "upi"}
    assert mapping.payment_link(link(status="expired", payments=[row])).state is PaymentLinkState.LATE_PAID
    assert mapping.payment_link(link(status="cancelled", payments=[row])).state is PaymentLinkState.LATE_PAID
    part = mapping.payment_link(link(status="expired", payments=[row | {"amount": 40}], amount_paid=40))
    assert (part.state, part.amount_paid_paise) == (PaymentLinkState.EXPIRED, 40)
    failed = mapping.payment_link(link(status="expired", payments=[row | {"status": "failed"}]))
    assert failed.state is PaymentLinkState.EXPIRED


def test_zero_and_absence_mean_no_expiry():
    assert mapping.payment_link(link(expire_by=0)).expires_at is None
    assert mapping.payment_link(link(expire_by=None)).expires_at is None
    moment = datetime(2026, 12, 1, tzinfo=UTC)
    assert mapping.payment_link(link(expire_by=int(moment.timestamp()))).expires_at == moment


@pytest.mark.parametrize("notes", [[], None, {}, "text", {"labsetu_ref": "INV-1", "n": 1}])
def test_notes_come_in_every_shape(notes):
    payment = PaymentEntity(id="pay_1", amount=1, status="captured", notes=notes)
    expected = "INV-1" if isinstance(notes, dict) and notes else ""
    assert mapping.payment(payment).reference == expected


def test_a_refund_by_hand_has_no_reference_and_ours_has_one():
    refund = RefundEntity(id="rfnd_1", payment_id="pay_1", amount=1, status="processed", receipt=None)
    assert mapping.refund(refund).reference == ""
    ours = RefundEntity(id="rfnd_1", payment_id="pay_1", amount=1, status="processed", receipt="RF-1")
    assert mapping.refund(ours).reference == "RF-1"


@given(st.text(max_size=200))
def test_every_key_becomes_one_that_razorpay_accepts(key):
    header = mapping.idempotency_header(key)
    assert re.fullmatch(r"[A-Za-z0-9_-]{10,80}", header)
    assert header == mapping.idempotency_header(key)


def test_good_keys_stay_and_different_keys_stay_different():
    assert mapping.idempotency_header("refund-0042-1") == "refund-0042-1"
    assert mapping.idempotency_header("a:1") != mapping.idempotency_header("a:2")
