"""The text of a recording gives its bytes back, and who sent them."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.onboarding.capture import MAX_BYTES, Form, Side, read_capture
from connectors.onboarding.examination import examine
from connectors.onboarding.recording import capture_of, text_of
from domain.line_recordings import LinePiece

NOON = datetime(2026, 11, 23, 6, 30, tzinfo=UTC)
ORDER = b"\x0bMSH|^~\\&|LIS|||||20261123||OML^O33|1|P|2.5.1\rSPM|1|X\rOBR|1|7\r\x1c\r"


def piece(data, *, is_sent=False, peer="10.0.0.5:40001", connected_at=NOON, seconds=0):
    return LinePiece(NOON + timedelta(seconds=seconds), is_sent, data, peer, connected_at)


@given(st.lists(st.tuples(st.booleans(), st.binary(min_size=1, max_size=60))), st.sampled_from([Form.TEXT, Form.HEX]))
def test_any_bytes_come_back(said, form):
    pieces = [piece(data, is_sent=is_sent) for is_sent, data in said]
    found = read_capture(text_of(pieces, form))
    assert found.device_bytes == b"".join(data for is_sent, data in said if not is_sent)
    assert found.host_bytes == b"".join(data for is_sent, data in said if is_sent)
    assert found.form is form


@pytest.mark.parametrize("data", [b"R|1|<CR>|[ACK]\r", b" a \n b ", b"# x\r", b"<0x41>", b"\xff\x00\x1c\x85"])
@pytest.mark.parametrize("form", [Form.TEXT, Form.HEX])
def test_bytes_that_look_like_marks_come_back(data, form):
    assert read_capture(text_of([piece(data)], form)).device_bytes == data


def test_what_we_sent_is_ours_though_it_holds_more():
    pieces = [piece(ORDER, is_sent=True), piece(b"\x06")]
    for found in (capture_of(pieces), read_capture(text_of(pieces, Form.TEXT))):
        assert (found.host_bytes, found.device_bytes) == (ORDER, b"\x06")


def test_the_text_is_for_people():
    lines = text_of([piece(b"\x05"), piece(b"\x06", is_sent=True, seconds=1.5)], Form.TEXT, left_out=7).splitlines()
    assert lines[1:] == [
        "# 7 bytes left out: the database was too slow",
        "# connection with 10.0.0.5:40001 since 2026-11-23T06:30:00+00:00",
        "2026-11-23T06:30:00.000+00:00 RX <ENQ>",
        "2026-11-23T06:30:01.500+00:00 TX <ACK>",
    ]


def test_bytes_can_be_kept_from_view():
    hidden = text_of([piece(b"O|1|secret\r")], Form.TEXT, shows_bytes=False)
    assert "secret" not in hidden
    assert "RX 11 bytes" in hidden
    assert read_capture(hidden).pieces == ()


def test_connections_are_kept_apart():
    other = NOON + timedelta(minutes=1)
    text = text_of([piece(b"A\r"), piece(b"B\r", connected_at=other)], Form.TEXT)
    assert text.count("# connection with") == 2
    assert read_capture(text).device_bytes == b"A\rB\r"


def test_only_so_much_is_looked_at():
    found = capture_of([piece(b"x" * MAX_BYTES), piece(b"y")])
    assert found.device_bytes == b"x" * MAX_BYTES
    assert [one.side for one in found.pieces] == [Side.DEVICE]
    assert found.is_cut
    assert capture_of([piece(b"x" * (MAX_BYTES + 1))]).is_cut
    assert not capture_of([piece(b"x" * MAX_BYTES)]).is_cut
    assert "CAPTURE_CUT" in {problem.code for problem in examine(found).problems}


def test_gaps_are_said():
    pieces = [piece(b"H|\\^&\rL|1\r")]
    for found in (capture_of(pieces, left_out=7), read_capture(text_of(pieces, Form.HEX, left_out=7))):
        assert "7 bytes" in {problem.code: problem.text for problem in examine(found).problems}["CAPTURE_GAPS"]
    assert "CAPTURE_GAPS" not in {problem.code for problem in examine(capture_of(pieces)).problems}


@pytest.mark.parametrize("tail", ["", "\nnonsense", "\n2026-11-23T06:30:00 RX zz", "\n2026-11-23T06:30:00 UP 05"])
def test_lines_that_are_none_are_passed_over(tail):
    assert read_capture(text_of([], Form.HEX).rstrip() + tail).device_bytes == b""


def test_a_recording_is_examined():
    message = b"\x0bMSH|^~\\&|Unit|X|||20261123||ORU^R01|7|P|2.5.1\rOBR|1||8\rOBX|1|NM|WBC^WBC||5.5|10*3/uL\r\x1c\r"
    found = examine(capture_of([piece(message), piece(b"\x0bMSH|^~\\&\rMSA|AA|7\r\x1c\r", is_sent=True)]))
    assert (found.protocol, found.messages, [seen.code for seen in found.codes]) == ("hl7", 1, ["WBC"])
