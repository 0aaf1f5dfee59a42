"""Our Razorpay connector against the simulator: what happens, once and in order."""

import dataclasses
from datetime import timedelta
from urllib.parse import parse_qsl, urlsplit

import pytest

from connectors.razorpay import webhook
from connectors.razorpay.check import check_connection
from domain.enums import RefundState
from domain.errors import (
    AuthError,
    OutcomeUnknownError,
    RateLimitedError,
    RejectedError,
    RequestError,
    UnavailableError,
)
from domain.payments import PaymentLinkState, PaymentState
from tests.contract.razorpay.sandbox import REQUEST, Sandbox
from tests.contract.standins import NOW


@pytest.fixture
def sandbox():
    return Sandbox()


async def test_a_link_is_made_found_paid_and_seen_as_paid(sandbox):
    link = await sandbox.connector.create_payment_link(request=REQUEST)
    assert (link.state, link.amount_paise, link.reference) == (PaymentLinkState.PENDING, 50_000, "INV-1")
    assert await sandbox.connector.find_payment_link_by_reference(reference="INV-1") == link
    assert await sandbox.connector.find_payment_link_by_reference(reference="INV") is None
    page = await sandbox.http.get(urlsplit(link.short_url).path)
    assert "₹ 500.00" in page.text
    await sandbox.http.post(f"/pay/{link.link_id}")
    paid = await sandbox.connector.fetch_payment_link(link_id=link.link_id)
    assert (paid.state, paid.amount_paid_paise) == (PaymentLinkState.PAID, 50_000)
    payment = await sandbox.connector.fetch_payment(payment_id=paid.payments[0].payment_id)
    assert (payment.state, payment.reference) == (PaymentState.CAPTURED, "INV-1")


async def test_payment_sends_four_signed_events_that_know_the_invoice(sandbox):
    link = await sandbox.paid_link()
    events = await sandbox.deliver()
    assert [event.kind for event in events] == [
        "payment.authorized",
        "payment.captured",
        "order.paid",
        "payment_link.paid",
    ]
    assert len({event.event_id for event in events}) == 4
    assert {event.reference for event in events} == {"INV-1"}
    assert [event.entity_id for event in events][1::2] == [link.payments[0].payment_id, link.link_id]


async def test_the_same_reference_twice_makes_one_link(sandbox):
    first = await sandbox.connector.create_payment_link(request=REQUEST)
    with pytest.raises(RejectedError) as caught:
        await sandbox.connector.create_payment_link(request=REQUEST)
    assert caught.value.partner_code == "REFERENCE_EXISTS"
    assert await sandbox.connector.find_payment_link_by_reference(reference="INV-1") == first
    assert len((await sandbox.state())["links"]) == 1


async def test_a_lost_answer_is_an_unknown_outcome_and_the_link_is_found(sandbox):
    sandbox.behaviour.drop_after_next = 1
    with pytest.raises(OutcomeUnknownError):
        await sandbox.connector.create_payment_link(request=REQUEST)
    found = await sandbox.connector.find_payment_link_by_reference(reference="INV-1")
    assert found is not None
    assert found.state is PaymentLinkState.PENDING


async def test_the_same_refund_key_twice_has_one_effect(sandbox):
    payment_id = (await sandbox.paid_link()).payments[0].payment_id
    asked = {"payment_id": payment_id, "amount_paise": 20_000, "idempotency_key": "refund:INV-1:1", "reference": "RF-1"}
    sandbox.behaviour.drop_after_next = 1
    with pytest.raises(OutcomeUnknownError):
        await sandbox.connector.refund(**asked)
    (found,) = await sandbox.connector.find_refunds(payment_id=payment_id)
    assert await sandbox.connector.refund(**asked) == found
    assert (found.reference, found.state) == ("RF-1", RefundState.PROCESSED)
    assert await sandbox.connector.fetch_refund(refund_id=found.refund_id) == found
    assert (await sandbox.connector.fetch_payment(payment_id=payment_id)).amount_refunded_paise == 20_000
    with pytest.raises(RejectedError) as clash:
        await sandbox.connector.refund(**asked | {"amount_paise": 10_000})
    assert clash.value.partner_code == "IDEMPOTENCY_CLASH"
    events = await sandbox.deliver()
    assert [(one.kind, one.reference) for one in events[-2:]] == [
        ("refund.created", "RF-1"),
        ("refund.processed", "RF-1"),
    ]


@pytest.mark.parametrize(("amount", "code"), [(50_001, "REFUND_TOO_LARGE"), (50_000, "ALREADY_REFUNDED")])
async def test_no_more_is_refunded_than_was_paid(sandbox, amount, code):
    payment_id = (await sandbox.paid_link()).payments[0].payment_id
    if code == "ALREADY_REFUNDED":
        await sandbox.connector.refund(
            payment_id=payment_id, amount_paise=amount, idempotency_key="whole-amount-1", reference="RF-1"
        )
        assert (await sandbox.connector.fetch_payment(payment_id=payment_id)).state is PaymentState.REFUNDED
    with pytest.raises(RejectedError) as caught:
        await sandbox.connector.refund(
            payment_id=payment_id, amount_paise=amount, idempotency_key="whole-amount-2", reference="RF-2"
        )
    assert caught.value.partner_code == code


@pytest.mark.parametrize("ending", [RefundState.PROCESSED, RefundState.FAILED])
async def test_a_pending_refund_ends_later(ending):
    sandbox = Sandbox(refund_status="pending")
    payment_id = (await sandbox.paid_link()).payments[0].payment_id
    refund = await sandbox.connector.refund(
        payment_id=payment_id, amount_paise=100, idempotency_key="refund-key-1", reference="RF-1"
    )
    assert refund.state is RefundState.PENDING
    await sandbox.http.post(f"/_sim/refunds/{refund.refund_id}/{ending}")
    assert (await sandbox.connector.fetch_refund(refund_id=refund.refund_id)).state is ending
    assert (await sandbox.deliver())[-1].kind == f"refund.{ending}"


async def test_only_an_untouched_link_can_be_cancelled(sandbox):
    link = await sandbox.connector.create_payment_link(request=REQUEST)
    cancelled = await sandbox.connector.cancel_payment_link(link_id=link.link_id)
    assert cancelled.state is PaymentLinkState.CANCELLED
    with pytest.raises(RejectedError) as again:
        await sandbox.connector.cancel_payment_link(link_id=link.link_id)
    assert again.value.partner_code == "LINK_ALREADY_CLOSED"
    paid = await sandbox.connector.create_payment_link(request=dataclasses.replace(REQUEST, reference="INV-2"))
    await sandbox.http.post(f"/pay/{paid.link_id}")
    with pytest.raises(RejectedError) as too_late:
        await sandbox.connector.cancel_payment_link(link_id=paid.link_id)
    assert too_late.value.partner_code == "LINK_ALREADY_PAID"


async def test_a_link_expires_and_money_may_still_come_late(sandbox):
    request = dataclasses.replace(REQUEST, expires_at=NOW + timedelta(minutes=20))
    link = await sandbox.connector.create_payment_link(request=request)
    sandbox.clock.now += timedelta(minutes=21)
    expired = await sandbox.connector.fetch_payment_link(link_id=link.link_id)
    assert expired.state is PaymentLinkState.EXPIRED
    await sandbox.http.post(f"/pay/{link.link_id}")
    late = await sandbox.connector.fetch_payment_link(link_id=link.link_id)
    assert late.state is PaymentLinkState.LATE_PAID
    assert sum(payment.amount_paise for payment in late.payments) == 50_000
    kinds = [event.kind for event in await sandbox.deliver()]
    assert kinds == ["payment_link.expired", "payment.authorized", "payment.captured"]


async def test_a_failed_attempt_leaves_the_link_open(sandbox):
    link = await sandbox.connector.create_payment_link(request=REQUEST)
    page = await sandbox.http.post(f"/pay/{link.link_id}", data={"outcome": "fail"})
    assert "declined" in page.text
    assert (await sandbox.connector.fetch_payment_link(link_id=link.link_id)).state is PaymentLinkState.PENDING
    (event,) = await sandbox.deliver()
    assert (event.kind, event.code) == ("payment.failed", "payment_declined")


async def test_the_browser_returns_with_a_signed_query(sandbox):
    request = dataclasses.replace(REQUEST, callback_url="https://lab.example.in/paid?from=rzp")
    link = await sandbox.connector.create_payment_link(request=request)
    response = await sandbox.http.post(f"/pay/{link.link_id}")
    assert response.status_code == 303
    query = dict(parse_qsl(urlsplit(response.headers["location"]).query))
    webhook.verify_return(query, "simulated-key-secret")
    assert query["razorpay_payment_link_reference_id"] == "INV-1"
    with pytest.raises(AuthError):
        webhook.verify_return(query | {"razorpay_payment_link_status": "paid "}, "simulated-key-secret")
    with pytest.raises(AuthError):
        webhook.verify_return({}, "simulated-key-secret")


async def test_parts_are_paid_only_where_the_link_allows_them(sandbox):
    body = {"amount": 50_000, "accept_partial": True, "first_min_partial_amount": 10_000, "reference_id": "INV-9"}
    auth = ("rzp_test_labsetu", "simulated-key-secret")
    link_id = (await sandbox.http.post("/v1/payment_links", json=body, auth=auth)).json()["id"]
    assert (await sandbox.http.post(f"/pay/{link_id}", data={"amount": "5000"})).status_code == 400
    assert (await sandbox.http.post(f"/pay/{link_id}", data={"amount": "20000"})).status_code == 200
    link = await sandbox.connector.fetch_payment_link(link_id=link_id)
    assert (link.state, link.amount_paid_paise) == (PaymentLinkState.PARTIALLY_PAID, 20_000)
    await sandbox.http.post(f"/pay/{link_id}")
    assert (await sandbox.connector.fetch_payment_link(link_id=link_id)).state is PaymentLinkState.PAID


async def test_faults_come_out_as_their_classes(sandbox):
    sandbox.behaviour.change({"fail_next": 1, "fail_status": 429})
    with pytest.raises(RateLimitedError):
        await sandbox.connector.fetch_payment_link(link_id="plink_00000000000000")
    sandbox.behaviour.change({"fail_next": 1, "fail_status": 502})
    with pytest.raises(OutcomeUnknownError):
        await sandbox.connector.create_payment_link(request=REQUEST)
    sandbox.behaviour.down = True
    with pytest.raises(UnavailableError):
        await sandbox.connector.create_payment_link(request=REQUEST)
    sandbox.behaviour.down = False
    assert not (await sandbox.state())["links"]


async def test_a_tampered_webhook_is_refused_and_a_refused_one_comes_again(sandbox):
    sandbox.behaviour.webhooks_tampered = True
    await sandbox.paid_link()
    sandbox.behaviour.webhooks_tampered = False
    with pytest.raises(AuthError):
        await sandbox.deliver()
    sandbox.receiver.got.clear()
    await sandbox.connector.create_payment_link(request=dataclasses.replace(REQUEST, reference="INV-2"))
    link = await sandbox.connector.find_payment_link_by_reference(reference="INV-2")
    sandbox.receiver.answers = [503]
    await sandbox.connector.cancel_payment_link(link_id=link.link_id)
    await sandbox.deliver()
    events = await sandbox.deliver()
    assert len(events) == 2
    assert events[0] == events[1], "a retry carries the same event id"


async def test_check_says_who_is_wrong(sandbox):
    assert (await check_connection(sandbox.connector)).ok
    refused = await check_connection(sandbox.connect(key_secret="wrong"))
    assert not refused.ok
    assert "credentials" in refused.what
    sandbox.behaviour.change({"fail_next": 1, "fail_status": 429})
    assert "slow down" in (await check_connection(sandbox.connector)).what


async def test_bad_ids_never_reach_a_url(sandbox):
    for bad in ("", "../payments", "plink_1?x=1", "plink_é"):
        with pytest.raises(RequestError):
            await sandbox.connector.fetch_payment_link(link_id=bad)
    assert not (await sandbox.state())["calls"]
