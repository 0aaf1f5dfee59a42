"""The Razorpay simulator refuses what Razorpay refuses, and produces and accepts the recorded samples."""

import dataclasses
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from domain.errors import AuthError
from tests.contract.razorpay.sandbox import REQUEST, Sandbox
from tests.contract.standins import NOW

WIRE = Path(__file__).parent / "wire"


@pytest.fixture
def sandbox():
    return Sandbox()


LINKS = "/v1/payment_links"
REFUSED_LINKS = {
    "no amount": ({}, "The amount is required"),
    "amount as text": ({"amount": "500"}, "wrong input fields sent."),
    "amount true": ({"amount": True}, "wrong input fields sent."),
    "below one rupee": ({"amount": 99}, "The amount must be at least INR 1.00."),
    "unknown field": ({"amount": 100, "colour": "red"}, "wrong input fields sent."),
    "foreign currency": ({"amount": 100, "currency": "USD"}, "wrong input fields sent."),
    "long reference": ({"amount": 100, "reference_id": "x" * 41}, "wrong input fields sent."),
    "long description": ({"amount": 100, "description": "x" * 2049}, "wrong input fields sent."),
    "bad phone": ({"amount": 100, "customer": {"contact": "phone"}}, "wrong input fields sent."),
    "bad e-mail": ({"amount": 100, "customer": {"email": "asha"}}, "wrong input fields sent."),
    "customer as text": ({"amount": 100, "customer": "Asha"}, "wrong input fields sent."),
    "callback without method": ({"amount": 100, "callback_url": "https://x.in"}, "wrong input fields sent."),
    "long note": ({"amount": 100, "notes": {"a": "x" * 256}}, "value: the length must not be greater than 255."),
    "many notes": ({"amount": 100, "notes": {str(i): "x" for i in range(16)}}, "wrong input fields sent."),
    "expires too soon": (
        {"amount": 100, "expire_by": int(NOW.timestamp()) + 899},
        "timestamp must be atleast 15 minutes in future",
    ),
    "expires as text": ({"amount": 100, "expire_by": "tomorrow"}, "wrong input fields sent."),
    "expires too late": ({"amount": 100, "expire_by": int(NOW.timestamp()) + 200 * 86_400}, "wrong input fields sent."),
    "upi in test mode": (
        {"amount": 100, "upi_link": True},
        "UPI Payment Links is not supported in Test Mode. Please experience the product in Live Mode.",
    ),
}


@pytest.mark.parametrize("case", REFUSED_LINKS)
async def test_the_simulator_refuses_links_as_razorpay_does(sandbox, case):
    body, description = REFUSED_LINKS[case]
    assert await sandbox.refusal("POST", LINKS, json=body) == (400, description)
    assert not (await sandbox.state())["links"]


async def test_upi_links_in_live_mode_take_no_parts():
    sandbox = Sandbox(key_id="rzp_live_labsetu")
    auth = ("rzp_live_labsetu", "simulated-key-secret")
    body = {"amount": 100, "upi_link": True, "accept_partial": True}
    assert (await sandbox.refusal("POST", LINKS, json=body, auth=auth))[
        1
    ] == "partial payment not supported in upi link"
    body = {"amount": 100, "upi_link": True, "currency": "USD"}
    assert (await sandbox.refusal("POST", LINKS, json=body, auth=auth))[1].startswith("upi is currently supported only")


@pytest.mark.parametrize(
    ("key", "status", "words"),
    [("short", 400, "at least 10 characters"), ("with space and more", 400, "must only contain alphanumeric")],
)
async def test_the_simulator_refuses_bad_idempotency_keys(sandbox, key, status, words):
    payment_id = (await sandbox.paid_link()).payments[0].payment_id
    got = await sandbox.refusal(
        "POST", f"/v1/payments/{payment_id}/refund", json={}, headers={"X-Refund-Idempotency": key}
    )
    assert got[0] == status
    assert words in got[1]


@pytest.mark.parametrize(
    ("path", "body", "words"),
    [
        ("/v1/payments/nonsense/refund", {}, "is not a valid id"),
        ("/v1/payments/pay_00000000000000/refund", {}, "The id provided does not exist"),
        ("/v1/payments/{paid}/refund", {"colour": 1}, "should not be sent"),
        ("/v1/payments/{paid}/refund", {"amount": 99}, "at least INR 1.00"),
        ("/v1/payments/{failed}/refund", {}, "should be captured"),
        ("/v1/payment_links/nonsense/cancel", {}, "invalid input [strippedId]"),
        ("/v1/payment_links/plink_00000000000000/cancel", {}, "The id provided does not exist"),
    ],
)
async def test_the_simulator_refuses_what_cannot_be(sandbox, path, body, words):
    link = await sandbox.paid_link()
    failed = sandbox.app.state.account.fail(link.link_id)["id"]
    status, description = await sandbox.refusal(
        "POST", path.format(paid=link.payments[0].payment_id, failed=failed), json=body
    )
    assert status == 400
    assert words in description


@pytest.mark.parametrize(
    "authorization", ["", "Basic ???", "basic cnpwX3Rlc3RfbGFic2V0dTpzaW11bGF0ZWQta2V5LXNlY3JldA=="]
)
async def test_the_simulator_knows_one_key_and_one_spelling(sandbox, authorization):
    response = await sandbox.http.get("/v1/payments", headers={"Authorization": authorization})
    assert response.status_code == 401
    with pytest.raises(AuthError):
        await sandbox.connect(key_secret="wrong").fetch_payment(payment_id="pay_00000000000000")


def _keys(entity):
    return {key: type(value) for key, value in entity.items() if value not in (None, [], {}, 0, "")}


@pytest.mark.parametrize(
    ("sample", "path"),
    [
        ("fetch_payment_link.paid.response.json", "/v1/payment_links/{link}"),
        ("fetch_payment.response.json", "/v1/payments/{payment}"),
    ],
)
async def test_the_simulator_produces_the_recorded_shapes(sandbox, sample, path):
    """Every member of a sample that says something is also said, in the same type, by the simulator."""
    request = dataclasses.replace(REQUEST, customer_email="asha@example.in", customer_name="Asha Rao")
    link = await sandbox.connector.create_payment_link(request=request)
    payment = sandbox.app.state.account.pay(link.link_id)
    response = await sandbox.http.get(
        path.format(link=link.link_id, payment=payment["id"]), auth=("rzp_test_labsetu", "simulated-key-secret")
    )
    recorded = _keys(json.loads((WIRE / sample).read_bytes()))
    optional = {
        "expire_by",
        "callback_url",
        "callback_method",
        "vpa",
        "refund_status",
        "amount_refunded",
        "reminder_enable",
    }
    for name, kind in recorded.items():
        if name not in optional:
            assert type(response.json()[name]) is kind, name


async def test_the_simulator_accepts_the_recorded_requests(sandbox):
    body = json.loads((WIRE / "create_payment_link.request.json").read_bytes())
    sandbox.clock.now = datetime.fromtimestamp(body["expire_by"], UTC) - timedelta(days=7)
    status, description = await sandbox.refusal("POST", LINKS, json=body)
    assert (status, description) == (200, "")


async def test_pages_escape_what_customers_typed(sandbox):
    request = dataclasses.replace(REQUEST, reference="<script>", description="<img src=x>")
    link = await sandbox.connector.create_payment_link(request=request)
    for path in ("/", f"/pay/{link.link_id}"):
        text = (await sandbox.http.get(path)).text
        assert "<script>" not in text
        assert "<img" not in text
