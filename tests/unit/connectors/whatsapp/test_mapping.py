import dataclasses
import logging

import pytest

from connectors.whatsapp import mapping
from connectors.whatsapp.wire import SendAnswer
from domain.errors import RequestError
from domain.messaging import DeliveryState, OutboundMessage

MESSAGE = OutboundMessage("ntf-1", "+919810012345", "report_ready", "en", ("Asha",), "text")


def body(**changes):
    return mapping.message_body(dataclasses.replace(MESSAGE, **changes)).model_dump(exclude_none=True)


def test_a_template_without_document_and_values_has_no_components():
    assert body(parameters=())["template"] == {"name": "report_ready", "language": {"code": "en"}, "components": []}


def test_a_document_without_a_name_sends_none():
    (header, _) = body(document_url="https://l.in/d")["template"]["components"]
    assert header["parameters"] == [{"type": "document", "document": {"link": "https://l.in/d"}}]


def test_numbers_lose_their_plus_and_values_their_line_breaks():
    sent = body(parameters=("Asha\n\tRao    x",))
    assert sent["to"] == "919810012345"
    assert sent["template"]["components"][0]["parameters"] == [{"type": "text", "text": "Asha Rao x"}]


@pytest.mark.parametrize("language", ["en", "hi", "en_US", "fil", "pt_BR"])
def test_languages_as_approved(language):
    assert body(language=language)["template"]["language"] == {"code": language}


@pytest.mark.parametrize(
    "changes",
    [
        {"to": "98100"},
        {"to": "+09810012345"},
        {"to": "asha@example.in"},
        {"to": "٩١٩٨١٠٠١٢٣٤٥"},
        {"template": "Report Ready"},
        {"template": ""},
        {"language": "English"},
        {"parameters": ("",)},
        {"parameters": ("x" * 1025,)},
    ],
)
def test_what_whatsapp_would_refuse_is_not_sent(changes):
    with pytest.raises(RequestError):
        body(**changes)


@pytest.mark.parametrize("status", ["accepted", "held_for_quality_assessment", "paused"])
def test_taken_is_only_accepted(status):
    answer = SendAnswer.model_validate({"messages": [{"id": "wamid.1", "message_status": status}]})
    assert mapping.sent_message(answer).state is DeliveryState.ACCEPTED


def test_statuses(caplog):
    caplog.set_level(logging.WARNING)
    assert [mapping.delivery_state(one) for one in ("sent", "delivered", "read", "played", "failed")] == [
        "sent",
        "delivered",
        "read",
        "read",
        "failed",
    ]
    assert not caplog.records
    assert mapping.delivery_state("teleported") is DeliveryState.ACCEPTED
    assert "teleported" in caplog.text
