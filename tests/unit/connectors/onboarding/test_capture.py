"""Captures as people paste them."""

import base64

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from connectors.onboarding.capture import Form, Side, of_stored, read_capture

WIRE = b"\x05\x021H|\\^&\r\x03E5\r\n\x04"


@pytest.mark.parametrize(
    ("text", "form"),
    [
        ("<ENQ><STX>1H|\\^&<CR><ETX>E5<CR><LF><EOT>", Form.TEXT),
        ("<ENQ>\n<STX>1H|\\^&<CR><ETX>E5<CR><LF>\n<EOT>\n", Form.TEXT),
        ("0502 3148 7c5c 5e26 0d03 4535 0d0a 04", Form.HEX),
        ("05 02 31 48 7C 5C 5E 26 0D 03 45 35 0D 0A 04", Form.HEX),
        ("0x05,0x02,0x31,0x48,0x7c,0x5c,0x5e,0x26,0x0d,0x03,0x45,0x35,0x0d,0x0a,0x04", Form.HEX),
        ("00000000  05 02 31 48 7c 5c 5e 26  0d 03 45 35 0d 0a 04     |..1H|\\^&..E5...|", Form.HEX),
        ("00000000: 0502 3148 7c5c 5e26 0d03 4535 0d0a 04    ..1H|\\^&..E5...", Form.HEX),
        (base64.b64encode(WIRE).decode(), Form.BASE64),
    ],
)
def test_the_same_bytes_in_every_writing(text, form):
    capture = read_capture(text)
    assert (capture.form, capture.device_bytes) == (form, WIRE)


def test_lines_of_plain_text_are_records():
    assert read_capture("H|\\^&\nP|1\r\nL|1|N\n").device_bytes == b"H|\\^&\rP|1\rL|1|N\r"


def test_marks_tell_who_sent_what():
    text = "10:00:01 RX: <ENQ>\n10:00:01 TX: <ACK>\n10:00:02 RX: <STX>1H|\\^&<CR><ETX>E5<CR><LF>\n10:00:02 TX: <ACK>\n"
    capture = read_capture(text)
    assert [piece.side for piece in capture.pieces] == [Side.DEVICE, Side.HOST, Side.DEVICE, Side.HOST]
    assert capture.device_bytes == b"\x05\x021H|\\^&\r\x03E5\r\n"
    assert capture.host_bytes == b"\x06\x06"


def test_a_capture_made_on_the_analyzer_is_turned_round():
    text = "TX: H|\\^&\nR|1|^^^GLU|5\nL|1|N\nRX: <ACK>\nTX: <EOT>\n"
    capture = read_capture(text)
    assert b"R|1|" in capture.device_bytes
    assert capture.host_bytes == b"\x06"


def test_arrows_and_hex_with_marks():
    capture = read_capture("[2026-11-23 10:00:01] <- 05\n[2026-11-23 10:00:01] -> 06\n[2026-11-23 10:00:02] <- 04\n")
    assert capture.form is Form.HEX
    assert (capture.device_bytes, capture.host_bytes) == (b"\x05\x04", b"\x06")


def test_stored_messages_are_ended_and_say_that_they_are_stored():
    capture = of_stored([b"H|\\^&\rL|1", b"H|\\^&\rL|1\r"])
    assert capture.device_bytes == b"H|\\^&\rL|1\rH|\\^&\rL|1\r"
    assert capture.is_stored


def test_a_trace_by_names_with_controls_in_brackets():
    text = (
        "Host -> [ENQ]\n2026-11-23 14:33:35.835 HCA -> [ACK]\n"
        "2026-11-23 14:33:35.861 Host -> [STX]1H|\\^&[CR][ETX]E5[CR][LF]\n2026-11-23 14:33:35.9 HCA -> [ACK]\n"
    )
    capture = read_capture(text)
    assert capture.host_bytes == b"\x05\x021H|\\^&\r\x03E5\r\n"
    assert capture.device_bytes == b"\x06\x06"


def test_words_with_arrows_are_no_speakers():
    assert read_capture("Leukocytes -> high\nPlatelets -> low\n").host_bytes == b""


@given(st.text(max_size=400), st.sampled_from(Form))
@settings(max_examples=150, deadline=None)
def test_any_text_is_a_capture(text, form):
    capture = read_capture(text, form)
    assert isinstance(capture.device_bytes + capture.host_bytes, bytes)


@pytest.mark.parametrize("text", [" " * 200_000 + "x", "RX " * 50_000, "00 " * 60_000 + "z", "<" * 200_000])
def test_long_nonsense_takes_no_time(text):
    read_capture(text)
