import dataclasses
import logging
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from connectors.sms import DltTemplate, SmsSettings, mapping
from domain.errors import RequestError
from domain.messaging import DeliveryState, OutboundMessage

SETTINGS = SmsSettings(account_sid="AC" + "0" * 32, auth_token="t", sender="LABSTU")
MESSAGE = OutboundMessage("ntf-1", "+919810012345", "report_ready", "en", (), "Hello")
REGISTERED = "Dear {#var#}, report {#var#}{#var#} is ready - LabSetu"


def form(settings=SETTINGS, **changes):
    return mapping.message_form(dataclasses.replace(MESSAGE, **changes), settings).model_dump(exclude_none=True)


def registered(text=REGISTERED, **changes):
    templates = [DltTemplate(name="report_ready", template_id="1107", text=text, **changes)]
    return SETTINGS.model_copy(update={"dlt_templates": templates, "dlt_entity_id": "1201"})


def test_texts_are_not_kept_by_twilio():
    sent = form()
    assert (sent["ContentRetention"], sent["AddressRetention"]) == ("discard", "obfuscate")
    assert "StatusCallback" not in sent


def test_a_messaging_service_may_choose_the_sender():
    settings = SmsSettings(account_sid="AC" + "0" * 32, auth_token="t", messaging_service_sid="MG" + "0" * 32)
    sent = form(settings)
    assert "From" not in sent
    assert sent["MessagingServiceSid"] == "MG" + "0" * 32


@pytest.mark.parametrize(
    "changes", [{"to": "9810012345"}, {"to": "asha@example.in"}, {"text": ""}, {"text": "x" * 1601}]
)
def test_what_twilio_would_refuse_is_not_sent(changes):
    with pytest.raises(RequestError):
        form(**changes)


@pytest.mark.parametrize("value", ["a", "x" * 80, "https://lab.example.in/r/" + "y" * 40])
def test_adjacent_variables_take_longer_values(value):
    text = f"Dear Asha, report {value if len(value) > 1 else 'ab'} is ready - LabSetu"
    assert form(registered(), text=text)["Body"] == text


@pytest.mark.parametrize(
    "text",
    [
        "Dear Asha, report x is ready - LabSetu",
        "Dear , report ab is ready - LabSetu",
        "Dear " + "x" * 41 + ", report ab is ready - LabSetu",
        "Dear Asha, report " + "x" * 81 + " is ready - LabSetu",
        "Dear Asha, report ab is ready - LabSetu!",
        "dear Asha, report ab is ready - LabSetu",
        "Hello",
    ],
)
def test_a_text_that_operators_would_drop_is_not_sent(text):
    with pytest.raises(RequestError):
        form(registered(), text=text)


@pytest.mark.parametrize("changes", [{"template": "other"}, {"language": "hi"}])
def test_a_template_without_registered_text_is_not_sent(changes):
    with pytest.raises(RequestError):
        form(registered(), text="Dear Asha, report ab is ready - LabSetu", **changes)


@given(
    st.lists(
        st.text(alphabet=st.characters(exclude_categories=["Cs"]), min_size=1, max_size=40), min_size=4, max_size=4
    )
)
def test_every_filled_in_text_fits_its_template(values):
    text = "{} ({}) {}, {}.".format(*values)
    message = dataclasses.replace(MESSAGE, text=text)
    template = DltTemplate(name="report_ready", template_id="1", text="{#var#} ({#var#}) {#var#}, {#var#}.")
    mapping.check_registered(message, [template])


def test_a_name_made_to_be_slow_is_not_slow():
    template = DltTemplate(name="report_ready", template_id="1", text=" ".join(["{#var#}"] * 30) + "!")
    message = dataclasses.replace(MESSAGE, text="a " * 700)
    started = time.monotonic()
    with pytest.raises(RequestError):
        mapping.check_registered(message, [template])
    assert time.monotonic() - started < 5


@pytest.mark.parametrize("base", ["https://lab.example.in/hook", "https://lab.example.in/hook?tenant=1"])
def test_the_notification_id_travels_in_the_callback_address(base):
    url = mapping.callback_url(base, "ntf/1&2")
    assert mapping.reference_of(url) == "ntf/1&2"
    assert url.startswith(base)
    assert mapping.reference_of(base) == ""
    assert mapping.callback_url("", "ntf-1") is None


def test_statuses(caplog):
    caplog.set_level(logging.WARNING)
    known = {
        "queued": "accepted", "sending": "accepted", "scheduled": "accepted", "accepted": "accepted", "sent": "sent",
        "delivered": "delivered", "partially_delivered": "delivered", "read": "read", "failed": "failed",
        "undelivered": "failed", "canceled": "failed",
    }  # fmt: skip
    assert {status: str(mapping.delivery_state(status)) for status in known} == known
    assert not caplog.records
    assert mapping.delivery_state("lost") is DeliveryState.ACCEPTED
    assert "lost" in caplog.text


@pytest.mark.parametrize(
    "changes",
    [
        {"sender": ""},
        {"sender": "NO SPACES"},
        {"account_sid": "AC1"},
        {"messaging_service_sid": "MG1"},
        {"validity_s": 36_001},
        {"dlt_templates": [{"name": "a", "template_id": "1", "text": "x"}]},
        {"dlt_templates": [{"name": "a", "template_id": "one", "text": "x"}], "dlt_entity_id": "1"},
    ],
)
def test_settings_that_cannot_work_are_refused(changes):
    with pytest.raises(ValidationError):
        SmsSettings(**{"account_sid": "AC" + "0" * 32, "auth_token": "t", "sender": "LABSTU"} | changes)
