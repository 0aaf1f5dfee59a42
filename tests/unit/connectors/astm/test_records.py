import contextlib
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.astm.framing import frames_of
from connectors.astm.records import RecordAssembler, split_http_body, split_messages, unframe
from domain.errors import FrameError

MESSAGE = b"H|\\^&\rP|1\rR|1|^^^GLU|5\rL|1|N\r"


def test_records_end_with_cr_wherever_the_frames_are_cut():
    assembler = RecordAssembler()
    assert assembler.add(MESSAGE[:8], is_last=False) == []
    assert assembler.add(MESSAGE[8:], is_last=True) == [MESSAGE]
    assert assembler.size == 0


def test_a_frame_as_long_as_frames_can_be_does_not_end_its_record():
    assembler = RecordAssembler()
    assembler.add(b"M|1|" + b"x" * 236, is_last=True)
    assert not assembler.add(b"y\r", is_last=True)
    assert assembler.drain() == b"M|1|" + b"x" * 236 + b"y\r"


def test_h_without_l_before_it_starts_a_new_message():
    two = b"H|\\^&\rR|1|a|1\rH|\\^&\rR|1|b|2\rL|1\r"
    assert split_messages(two) == [b"H|\\^&\rR|1|a|1\r", b"H|\\^&\rR|1|b|2\rL|1\r"]


def test_records_that_only_begin_like_h_or_l_are_no_ends():
    assert split_messages(b"HELLO|1\rLIS|2\rR|1\r") == [b"HELLO|1\rLIS|2\rR|1\r"]
    assert split_messages(b"h|\\^&\rl|1\rL\r") == [b"h|\\^&\rl|1\r", b"L\r"]


def test_undo_takes_the_last_frame_back():
    assembler = RecordAssembler()
    assembler.add(b"H|\\^&\rR|1|a", is_last=False)
    size = assembler.size
    assert assembler.add(b"|5\rL|1\rH|\\", is_last=False) == [b"H|\\^&\rR|1|a|5\rL|1\r"]
    assembler.undo()
    assert assembler.size == size
    assert assembler.add(b"|6\rL|1\r", is_last=True) == [b"H|\\^&\rR|1|a|6\rL|1\r"]


@given(st.lists(st.binary(max_size=20), max_size=20))
def test_nothing_is_lost_and_the_size_is_right(texts):
    assembler = RecordAssembler()
    messages = []
    for text in texts:
        messages += assembler.add(text, is_last=False)
        assert assembler.size >= 0
    held = assembler.size
    rest = assembler.drain()
    assert held in {len(rest), len(rest) - 1}
    sent = [record for record in re.split(rb"[\r\n]", b"".join(texts)) if record.strip(b" ")]
    kept = [record for record in b"".join([*messages, rest]).split(b"\r") if record.strip(b" ")]
    assert kept == sent


def test_http_bodies():
    framed = b"\x05" + b"".join(frames_of(MESSAGE)) + b"\x04"
    assert split_http_body(MESSAGE) == [MESSAGE]
    assert split_http_body(MESSAGE.replace(b"\r", b"\n") * 2) == [MESSAGE, MESSAGE]
    assert split_http_body(framed) == [MESSAGE]
    assert split_http_body(framed * 2) == [MESSAGE, MESSAGE]
    assert split_http_body(b"H|\\^&\nR|1|a|1") == [b"H|\\^&\rR|1|a|1\r"]
    assert split_http_body(b"") == []
    with pytest.raises(FrameError, match="checksum"):
        split_http_body(framed.replace(b"GLU", b"GLX"))


def test_unframe_reads_what_it_can():
    framed = b"".join(frames_of(MESSAGE))
    assert unframe(framed) == MESSAGE
    assert unframe(framed.replace(b"GLU", b"GLX")) == MESSAGE.replace(b"GLU", b"GLX")
    assert unframe(framed[:-2]) == MESSAGE
    assert unframe(MESSAGE) == MESSAGE


@given(st.binary(max_size=200))
def test_any_body_is_split_or_refused(body):
    unframe(body)
    with contextlib.suppress(FrameError):
        split_http_body(body)


@pytest.mark.parametrize(
    ("tail", "is_terminator"),
    [
        ("L|1", True),
        ("L|1|N", True),
        ("l|", True),
        ("L", False),
        ("L|1|N|more of it", False),
        ("LO|1", False),
        ("R|1", False),
    ],
)
def test_a_terminator_without_its_cr_is_seen(tail, is_terminator):
    assembler = RecordAssembler()
    assembler.add(b"H|\\^&\r" + tail.encode(), is_last=False)
    assert assembler.is_in_terminator == is_terminator


LONG = b"M|1|" + b"h" * 2500


def added(texts: list[bytes], **how: bool) -> tuple[list[bytes], bytes]:
    assembler = RecordAssembler(**how)
    messages = [message for text in texts for message in assembler.add(text, is_last=True)]
    return messages, assembler.drain()


@pytest.mark.parametrize("end", [b"\r\n", b"\n"])
def test_records_in_frames_may_end_with_a_line_feed(end: bytes):
    records = MESSAGE.rstrip(b"\r").split(b"\r")
    assert added([record + end for record in records]) == ([MESSAGE], b"")
    assert added([end.join(records) + end]) == ([MESSAGE], b"")
    assert added([end.join(records)]) == ([MESSAGE], b"")


def test_a_record_of_240_characters_without_cr_ends_where_another_begins():
    comment = b"C|1|I|" + b"x" * 234
    whole = b"H|\\^&\rR|1|^^^GLU|5\r" + comment + b"\rR|2|^^^K|4\rL|1|N\r"
    assert added(whole.rstrip(b"\r").split(b"\r")) == ([whole], b"")


def test_a_piece_of_240_characters_goes_on_where_the_device_ends_its_records_with_cr():
    record = b"C|1|I|" + b"x" * 234 + b"R|1|2|3"
    assert added([b"H|\\^&\r", record[:240], record[240:] + b"\r", b"L|1|N\r"]) == (
        [b"H|\\^&\r" + record + b"\rL|1|N\r"], b"",
    )  # fmt: skip


@pytest.mark.parametrize("size", [17, 230, 240, 1024])
def test_pieces_of_any_length_are_joined_for_a_device_known_to_send_them(size: int):
    message = b"H|\\^&\r" + LONG + b"\rL|1|N\r"
    texts = [message[start : start + size] for start in range(0, len(message), size)]
    assert added(texts, joins_until_cr=True) == ([message], b"")


def test_such_a_device_may_leave_the_cr_out_all_the_same():
    records = [b"H|\\^&", LONG, b"R|1|^^^GLU|5", b"L|1|N"]
    assert added(records, joins_until_cr=True) == ([b"\r".join(records) + b"\r"], b"")
    assert added([b"\r".join(records)], joins_until_cr=True) == ([b"\r".join(records) + b"\r"], b"")
