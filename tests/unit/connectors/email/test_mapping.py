import email
import email.policy
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from connectors.email import EmailSettings, mapping
from domain.errors import RequestError
from domain.messaging import OutboundMessage

SETTINGS = EmailSettings(host="relay", sender="reports@lab.example.in", sender_name='LabSetu "Delhi", Ltd.')
NOW = datetime(2026, 11, 23, 6, 30, tzinfo=UTC)
HEADERS = ["From", "To", "Subject", "Date", "Message-ID", "Auto-Submitted", "Content-Language", "MIME-Version"]


def read(message):
    return email.message_from_bytes(mapping.mail(message, SETTINGS, NOW).content, policy=email.policy.default)


@given(
    subject=st.text(min_size=1, max_size=200),
    text=st.text(min_size=1, max_size=2000),
    notification_id=st.text(min_size=1, max_size=40),
    to=st.one_of(st.emails(), st.text(max_size=40)),
    language=st.text(max_size=8),
)
def test_whatever_is_typed_adds_no_header_and_no_reader(subject, text, notification_id, to, language):
    message = OutboundMessage(notification_id, to, "t", language, (), text, subject)
    try:
        letter = read(message)
    except RequestError:
        return
    names = {name for name in letter if not name.startswith("Content-T")}
    assert names <= set(HEADERS)
    assert [address.addr_spec for address in letter["To"].addresses] == [to]
    assert letter["Message-ID"] == f"<{notification_id}@lab.example.in>"


def test_lines_end_as_smtp_wants_and_none_is_too_long():
    message = OutboundMessage("n", "asha@example.in", "t", "en", (), "x" * 5000 + "\n\nend", "ü" * 150)
    content = mapping.mail(message, SETTINGS, NOW).content
    assert b"\n" not in content.replace(b"\r\n", b"")
    assert max(map(len, content.split(b"\r\n"))) <= 998


def test_the_link_is_added_once():
    url = "https://lab.example.in/d/" + "x" * 200
    message = OutboundMessage("n", "asha@example.in", "t", "", (), f"See {url}", "Report", url)
    assert read(message).get_content().count("https://") == 1


def test_the_sender_s_name_is_quoted():
    message = OutboundMessage("n", "asha@example.in", "t", "en_IN", (), "text", "Report")
    letter = read(message)
    assert letter["From"].addresses[0].display_name == 'LabSetu "Delhi", Ltd.'
    assert letter["Content-Language"] == "en-IN"
    assert "Reply-To" not in letter


@pytest.mark.parametrize(
    "changes",
    [
        {"sender": "no address"},
        {"sender": "a@b.in\r\nBcc: x"},
        {"sender_name": "Lab\nSetu"},
        {"reply_to": "no address"},
        {"security": "none", "username": "lab"},
        {"security": "ssl"},
        {"port": 0},
    ],
)
def test_settings_that_cannot_work_are_refused(changes):
    with pytest.raises(ValidationError):
        EmailSettings(**{"host": "relay", "sender": "reports@lab.example.in"} | changes)
