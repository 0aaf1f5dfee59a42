import hashlib
import hmac
import json

import pytest

from connectors.razorpay import webhook
from domain.errors import AuthError, MessageError


def signed(body, secret):
    return {"X-Razorpay-Signature": hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()}


def test_every_active_secret_is_tried_and_header_names_are_in_any_case():
    webhook.verify(b"{}", signed(b"{}", "old"), ["new", "old"])
    with pytest.raises(AuthError):
        webhook.verify(b"{}", signed(b"{}", "retired"), ["new", "old"])


@pytest.mark.parametrize("secrets", [[], [""]])
def test_without_a_secret_nothing_is_believed(secrets):
    with pytest.raises(AuthError):
        webhook.verify(b"{}", signed(b"{}", ""), secrets)


def event(**changes):
    return json.dumps({"event": "payment.captured", "payload": {}} | changes).encode()


def test_without_an_event_id_the_bytes_are_the_id():
    (first,) = webhook.parse(event(), {})
    (again,) = webhook.parse(event(), {"x-razorpay-event-id": ""})
    assert first.event_id == again.event_id == hashlib.sha256(event()).hexdigest()


def test_an_unknown_event_keeps_its_name():
    (got,) = webhook.parse(event(event="subscription.halted"), {"X-Razorpay-Event-Id": "E1"})
    assert (got.event_id, got.kind, got.reference, got.entity_id) == ("E1", "subscription.halted", "", "")


def test_the_subject_s_note_wins_whatever_the_order():
    refund = {"entity": {"id": "rfnd_1", "notes": {"labsetu_ref": "RF-1"}}}
    payment = {"entity": {"id": "pay_1", "notes": {"labsetu_ref": "INV-1"}}}
    for payload in ({"refund": refund, "payment": payment}, {"payment": payment, "refund": refund}):
        (got,) = webhook.parse(event(event="refund.processed", payload=payload), {})
        assert (got.reference, got.entity_id) == ("RF-1", "rfnd_1")
    (got,) = webhook.parse(event(payload={"payment": payment, "created_at": 1, "x": {"entity": []}}), {})
    assert (got.reference, got.entity_id) == ("INV-1", "pay_1")


@pytest.mark.parametrize(
    "body",
    [
        event(event=1),
        event(event=""),
        event(event="a\u0000b"),
        event(event="\ud800"),
        event(payload=[]),
        b" " * (1 << 20) + b"{}",
    ],
)
def test_broken_envelopes_are_refused(body):
    with pytest.raises(MessageError):
        webhook.parse(body, {})


def test_ids_that_no_database_stores_are_dropped():
    payload = {"payment": {"entity": {"id": "pay_\u0000", "notes": {"labsetu_ref": "\ud800"}}}}
    (got,) = webhook.parse(event(payload=payload), {"x-razorpay-event-id": "E\u0000"})
    assert (got.entity_id, got.reference) == ("", "")
    assert len(got.event_id) == 64
