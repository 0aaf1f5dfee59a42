"""Signatures and payloads that Razorpay, Meta and Twilio published, through our webhooks and simulators."""

import json
import os
from pathlib import Path
from urllib.parse import urlencode

import httpx
import pytest

from connectors.razorpay import mapping as razorpay_mapping
from connectors.razorpay import webhook as razorpay
from connectors.razorpay.errors import explained
from connectors.razorpay.simulated_account import SimulatedAccount
from connectors.razorpay.wire import PaymentEntity, PaymentLinkEntity, PaymentLinkList, RefundEntity
from connectors.sms import webhook as sms
from connectors.sms.mapping import delivery_state
from connectors.sms.wire import MessageResource
from connectors.whatsapp import webhook as whatsapp
from domain.clock import utc_now
from domain.errors import AuthError, RejectedError, RequestError
from domain.payments import PaymentLinkState

PAYMSG = Path(os.environ.get("LABSETU_CORPUS", Path(__file__).parents[2] / ".." / "shared" / "data")) / "paymsg"

pytestmark = [
    pytest.mark.corpus,
    pytest.mark.skipif(not PAYMSG.exists(), reason="no payment and messaging samples under LABSETU_CORPUS"),
]


def load(path):
    return json.loads((PAYMSG / path).read_bytes())


def names(folder):
    return sorted(path.name for path in (PAYMSG / folder).glob("*.json"))


def vector(name):
    return next(one for one in load("signatures/vectors.json") if one["name"] == name)


@pytest.mark.parametrize("name", ["razorpay_webhook_1", "razorpay_webhook_2"])
def test_razorpay_s_published_signatures_verify(name):
    given = vector(name)
    body = (PAYMSG / given["body_file"]).read_bytes() if "body_file" in given else given["body"].encode()
    headers = {"X-Razorpay-Signature": given["signature"]}
    razorpay.verify(body, headers, ["another", given["secret"]])
    with pytest.raises(AuthError):
        razorpay.verify(body + b" ", headers, [given["secret"]])


def test_razorpay_s_published_return_query_verifies():
    given = vector("razorpay_payment_link_callback")
    query = given["query"] | {"razorpay_signature": given["signature"]}
    razorpay.verify_return(query, given["secret"])
    with pytest.raises(AuthError):
        razorpay.verify_return(query | {"razorpay_payment_link_status": "created"}, given["secret"])


def test_every_signed_razorpay_sample_verifies_and_is_read():
    present = names("razorpay/webhooks")
    signed = [one for one in load("razorpay/webhooks_signed/derived_signatures.json") if one["file"] in present]
    assert len(signed) > 50
    for one in signed:
        sample = load(f"razorpay/webhooks/{one['file']}")
        body = json.dumps(sample, separators=(",", ":"), ensure_ascii=False).encode()
        razorpay.verify(body, {"x-razorpay-signature": one["x_razorpay_signature"]}, [one["secret"]])
        (event,) = razorpay.parse(body, {})
        assert event.kind == sample["event"]
        about = sample["event"].partition(".")[0]
        if isinstance(sample["payload"].get(about), dict):
            assert event.entity_id == sample["payload"][about]["entity"]["id"], one["file"]
        if about == "payment_link":
            assert event.reference == sample["payload"]["payment_link"]["entity"]["reference_id"]


def test_every_razorpay_entity_sample_is_understood():
    link = PaymentLinkEntity.model_validate(load("razorpay/sdk_mocks/fake_payment_link.json"))
    assert razorpay_mapping.payment_link(link).state is PaymentLinkState.PAID
    links = PaymentLinkList.model_validate(load("razorpay/sdk_mocks/payment_link_collection.json"))
    assert [razorpay_mapping.payment_link(one).state for one in links.payment_links] == ["pending", "cancelled"]
    for name in names("razorpay/webhooks"):
        payload = load(f"razorpay/webhooks/{name}")["payload"]
        if "payment_link" in payload:
            razorpay_mapping.payment_link(PaymentLinkEntity.model_validate(payload["payment_link"]["entity"]))
        if "payment" in payload and "entity" in payload["payment"]:
            razorpay_mapping.payment(PaymentEntity.model_validate(payload["payment"]["entity"]))
        if "refund" in payload:
            razorpay_mapping.refund(RefundEntity.model_validate(payload["refund"]["entity"]))


def test_every_documented_refusal_is_never_retried_but_one():
    documented = load("razorpay/documented_errors.json")["errors"]
    ours = {path: rows for path, rows in documented.items() if "payment_links" in path or "refund" in path}
    assert sum(map(len, ours.values())) > 40
    for rows in ours.values():
        for row in rows:
            status = int(row["http"]) if row["http"].isdigit() else 400
            body = {"error": {"code": "BAD_REQUEST_ERROR", "description": row["description"]}}
            error = explained(httpx.Response(status, json=body))
            if status >= 500:
                assert error is None
            elif "still in progress" in row["description"]:
                assert error.retryable
            else:
                assert isinstance(error, (RejectedError, RequestError, AuthError)), row


def test_the_simulated_link_has_the_members_of_the_published_entity():
    published = load("razorpay/api/payment_link_entity__standard_payment_link_entity.json")
    account = SimulatedAccount("rzp_test_x", utc_now, lambda _event, _payload: None)
    body = {key: published[key] for key in ("amount", "accept_partial", "description", "reference_id", "customer")}
    link = account.create_link(body | {"callback_url": "https://x.in", "callback_method": "get"}, "https://rzp.io")
    assert set(published) <= set(link)


def test_the_simulated_refund_and_payment_have_the_members_of_the_published_entities():
    account = SimulatedAccount("rzp_test_x", utc_now, lambda _event, _payload: None)
    payment = account.pay(account.create_link({"amount": 10_000}, "https://rzp.io")["id"])
    refund = account.refund(payment["id"], {"amount": 10_000}, None)
    assert set(refund) == set(load("razorpay/api/refund_entity__entity.json"))


def test_meta_s_signature_and_statuses():
    given = vector("meta_x_hub_signature_256_DERIVED")
    whatsapp.verify(given["body"].encode(), {"X-Hub-Signature-256": given["header"]}, [given["secret"]])
    (event,) = whatsapp.parse(given["body"].encode(), {})
    assert (event.event_id, event.kind) == ("wamid.xyzxyz:sent", "message.sent")
    kinds = {}
    for name, sample in load("whatsapp/pywa_updates/message_status.json").items():
        (event,) = whatsapp.parse(json.dumps(sample).encode(), {})
        kinds[name] = (event.kind, event.reference, event.code)
    assert kinds["with_tracker"] == ("message.sent", "some data", "")
    assert kinds["failed"] == ("message.failed", "", "130472")
    assert kinds["played"][0] == kinds["read"][0] == kinds["group"][0] == "message.read"


@pytest.mark.parametrize("file", names("whatsapp/pywa_updates"))
def test_every_kind_of_whatsapp_update_is_an_event(file):
    for name, sample in load(f"whatsapp/pywa_updates/{file}").items():
        body = json.dumps(sample).encode()
        events = whatsapp.parse(body, {})
        assert events, name
        assert len({event.event_id for event in events}) == len(events)


@pytest.mark.parametrize(
    "name", ["twilio_form", "twilio_form_duplicate_params", "twilio_http_with_port", "twilio_https_port_443_added"]
)
def test_twilio_s_published_signatures_verify(name):
    given = vector(name)
    body = urlencode(given["params"], doseq=True).encode()
    headers = {"X-Twilio-Signature": given["signature"]}
    sms.verify(body, headers, url=given["url"], auth_tokens=[given["auth_token"]])
    with pytest.raises(AuthError):
        sms.verify(body + b"&x=1", headers, url=given["url"], auth_tokens=[given["auth_token"]])


def test_twilio_s_published_json_signature_verifies():
    given = vector("twilio_json_bodySHA256")
    headers = {"X-Twilio-Signature": given["signature"]}
    sms.verify(given["body"].encode(), headers, url=given["url"], auth_tokens=[given["auth_token"]])


def test_every_twilio_answer_and_status_is_understood(caplog):
    for sample in load("twilio/messages_create_201_examples.json").values():
        assert MessageResource.model_validate(sample).sid
    for status in load("twilio/message_enum_status.json")["enum"]:
        if status not in ("receiving", "received"):
            delivery_state(status)
    assert not caplog.records
