import hashlib
import hmac
import json

import pytest

from connectors.whatsapp import webhook
from domain.errors import AuthError, MessageError

TOKEN = "long-random-verify-token"


def test_the_handshake_gives_the_challenge_back():
    query = {"hub.mode": "subscribe", "hub.verify_token": TOKEN, "hub.challenge": "1158201444"}
    assert webhook.answer_handshake(query, TOKEN) == "1158201444"


@pytest.mark.parametrize(
    ("changes", "token"),
    [
        ({"hub.verify_token": "guess"}, TOKEN),
        ({"hub.verify_token": "é"}, TOKEN),
        ({"hub.mode": "unsubscribe"}, TOKEN),
        ({"hub.verify_token": ""}, ""),
    ],
)
def test_the_handshake_accepts_nobody_else(changes, token):
    query = {"hub.mode": "subscribe", "hub.verify_token": TOKEN, "hub.challenge": "1"} | changes
    with pytest.raises(AuthError):
        webhook.answer_handshake(query, token)


def test_every_active_secret_is_tried_and_header_names_are_in_any_case():
    signature = "sha256=" + hmac.new(b"old", b"{}", hashlib.sha256).hexdigest()
    webhook.verify(b"{}", {"X-Hub-Signature-256": signature}, ["new", "old"])
    for secrets in (["new"], [], [""]):
        with pytest.raises(AuthError):
            webhook.verify(b"{}", {"X-Hub-Signature-256": signature}, secrets)
    with pytest.raises(AuthError):
        webhook.verify(b"{}", {"X-Hub-Signature-256": signature.removeprefix("sha256=")}, ["old"])


def parse(*changes):
    return webhook.parse(json.dumps({"entry": [{"changes": list(changes)}]}).encode(), {})


def test_notices_about_the_account_are_kept_apart():
    first, second = parse({"field": "account_update", "value": {}}, {"field": "account_update", "value": {}})
    assert first.kind == second.kind == "account_update"
    assert first.event_id != second.event_id


@pytest.mark.parametrize(
    "value",
    [
        {
            "statuses": [
                {"id": "w", "status": ""},
                {"id": "", "status": "sent"},
                {"status": "sent"},
                "x",
                None,
                {"id": 1},
            ]
        },
        {"statuses": {"id": "w", "status": "sent"}},
        {"messages": [{"id": "w\u0000"}, {"id": None}, 1]},
        {"errors": [{"code": 1}]},
        {},
    ],
)
def test_broken_items_are_nothing(value):
    assert parse({"field": "messages", "value": value}) == []


@pytest.mark.parametrize(
    ("errors", "code"),
    [
        ([{"code": 131026}], "131026"),
        ([{"code": "131026"}], ""),
        ([{"code": True}], ""),
        ([], ""),
        ("x", ""),
        ([{"code": 10**20}], ""),
    ],
)
def test_only_a_number_is_a_code(errors, code):
    (event,) = parse({"field": "messages", "value": {"statuses": [{"id": "w", "status": "failed", "errors": errors}]}})
    assert event.code == code


@pytest.mark.parametrize("entry", [None, {}, "x", 1])
def test_without_a_list_of_entries_it_is_no_webhook(entry):
    with pytest.raises(MessageError):
        webhook.parse(json.dumps({"entry": entry}).encode(), {})


def test_what_is_too_long_is_refused_unread():
    with pytest.raises(MessageError) as caught:
        webhook.parse(b" " * (webhook.MAX_BODY_BYTES + 1), {})
    assert caught.value.code == "WEBHOOK_TOO_LARGE"


def test_a_thousand_statuses_are_a_thousand_events():
    statuses = [
        {"id": f"wamid.{n}", "status": "delivered", "biz_opaque_callback_data": f"ntf-{n}"} for n in range(1000)
    ]
    events = parse({"field": "messages", "value": {"statuses": statuses}})
    assert [event.reference for event in events] == [f"ntf-{n}" for n in range(1000)]
