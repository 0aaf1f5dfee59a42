import hashlib
from urllib.parse import urlencode

import pytest

from connectors.sms import webhook
from domain.errors import AuthError, MessageError

URL = "https://lab.example.in/hook?ref=ntf-1"
FIELDS = {"MessageSid": "SM1", "MessageStatus": "sent", "To": "+919810012345"}
CURRENT = "current"
BODY = urlencode(FIELDS).encode()


def verify(body=BODY, *, url=URL, signed_url=URL, token=CURRENT, tokens=(CURRENT,), fields=None):
    fields = list(FIELDS.items()) if fields is None else fields
    headers = {"X-Twilio-Signature": webhook.signature(signed_url, fields, token)}
    webhook.verify(body, headers, url=url, auth_tokens=tokens)


def test_any_active_token_signs():
    verify(token="previous", tokens=("current", "previous"))
    for tokens in ((), ("",), ("current",)):
        with pytest.raises(AuthError):
            verify(token="previous", tokens=tokens)


@pytest.mark.parametrize(
    ("url", "signed_url"),
    [
        ("https://lab.example.in/hook", "https://lab.example.in:443/hook"),
        ("https://lab.example.in:443/hook", "https://lab.example.in/hook"),
        ("http://lab.example.in/hook", "http://lab.example.in:80/hook"),
        ("http://lab.example.in:8080/hook", "http://lab.example.in/hook"),
    ],
)
def test_the_default_port_may_be_signed_or_not(url, signed_url):
    verify(url=url, signed_url=signed_url)


@pytest.mark.parametrize(
    "url", ["https://lab.example.in/hook?ref=ntf-2", "https://other.example.in/hook?ref=ntf-1", "hook"]
)
def test_another_address_is_refused(url):
    with pytest.raises(AuthError):
        verify(url=url)


def test_repeated_and_empty_fields_are_signed_once_and_sorted():
    fields = [("b", "2"), ("a", ""), ("b", "1"), ("b", "2")]
    verify(urlencode(fields).encode(), fields=[("a", ""), ("b", "1"), ("b", "2")])


def test_a_json_body_is_signed_by_its_digest():
    body = b'{"a": 1}'
    url = f"https://lab.example.in/hook?bodySHA256={hashlib.sha256(body).hexdigest()}"
    verify(body, url=url, signed_url=url, fields=[])
    with pytest.raises(AuthError):
        verify(body + b" ", url=url, signed_url=url, fields=[])


@pytest.mark.parametrize("body", [b"\xff\xfe", b"&".join(b"a=%d" % n for n in range(300))])
def test_what_is_no_form_cannot_be_signed(body):
    with pytest.raises(AuthError):
        verify(body)
    with pytest.raises(MessageError):
        webhook.parse(body, {}, url=URL)


def test_a_callback_without_our_query_has_no_reference():
    (event,) = webhook.parse(BODY, {})
    assert (event.event_id, event.kind, event.reference) == ("SM1:sent", "message.sent", "")


def test_a_code_belongs_to_a_failure_only():
    (event,) = webhook.parse(urlencode(FIELDS | {"ErrorCode": "30003"}).encode(), {}, url=URL)
    assert event.code == ""


@pytest.mark.parametrize("body", [b"MessageSid=SM1", b"MessageStatus=sent", b"MessageSid=%00&MessageStatus=sent"])
def test_half_a_callback_is_refused(body):
    with pytest.raises(MessageError):
        webhook.parse(body, {}, url=URL)


def test_what_is_too_long_is_refused_unread():
    with pytest.raises(MessageError) as caught:
        webhook.parse(b"x" * (webhook.MAX_BODY_BYTES + 1), {})
    assert caught.value.code == "WEBHOOK_TOO_LARGE"
