import itertools

import pytest
from astm.codec import make_checksum
from hypothesis import given
from hypothesis import strategies as st

from connectors.astm.framing import STX, BadFrame, Frame, FrameCollector, checksum, encode_frame, frames_of

FORBIDDEN = b"\x01\x02\x03\x04\x05\x06\x0a\x10\x11\x12\x13\x14\x15\x16\x17"
TEXT = st.binary(max_size=300).map(lambda raw: raw.translate(None, FORBIDDEN))


def collect(raw: bytes, *, check: bool = True, max_text: int = 63_993) -> list[Frame | BadFrame]:
    collector = FrameCollector(check=check, max_text=max_text)
    collector.open()
    found = []
    position = 1
    while position < len(raw) and collector.is_open:
        frame, position = collector.take(raw, position)
        if frame is not None:
            found.append(frame)
    return found


def test_minimal_frame():
    assert encode_frame(1, b"H|\\^&\r", is_last=True) == b"\x021H|\\^&\r\x03E5\r\n"
    assert encode_frame(8, b"ABC", is_last=False) == b"\x020ABC\x170D\r\n"


@given(st.binary(min_size=1, max_size=400))
def test_checksum_is_that_of_the_astm_package(body):
    assert checksum(body) == make_checksum(body)


@given(TEXT.filter(bool), st.integers(0, 7), st.booleans())
def test_what_is_encoded_is_collected(text, number, is_last):
    assert collect(encode_frame(number, text, is_last=is_last)) == [Frame(number, text, is_last)]


@given(TEXT.filter(bool), st.lists(st.integers(1, 400), max_size=12))
def test_cut_anywhere_gives_the_same_frame(text, cuts):
    raw = encode_frame(3, text, is_last=True)
    collector = FrameCollector()
    collector.open()
    found = []
    edges = sorted({1, len(raw), *(cut for cut in cuts if 1 < cut < len(raw))})
    for start, end in itertools.pairwise(edges):
        frame, used = collector.take(raw[start:end], 0)
        assert used == end - start
        found += [frame] if frame else []
    assert found == [Frame(3, text, is_last=True)]


@given(st.binary(max_size=200), st.integers(0, 200))
def test_collecting_arbitrary_bytes_is_total_and_independent_of_cuts(raw, cut):
    whole, pieces = FrameCollector(max_text=50), FrameCollector(max_text=50)
    whole.open()
    pieces.open()
    first, used = whole.take(raw, 0)
    second, used_first = pieces.take(raw[:cut], 0)
    if second is None and pieces.is_open:
        second, used_second = pieces.take(raw[cut:], 0)
        used_first = min(cut, len(raw)) + used_second
    assert isinstance(first, Frame | BadFrame | None)
    if isinstance(first, Frame):
        assert (second, used_first) == (first, used)
    else:
        assert type(second) is type(first)


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        (b"\x021ABC\x0300\r\n", "checksum"),
        (b"\x021ABC\x1700\r\n", "checksum"),
        (b"\x02" + b"8A\x03" + checksum(b"8A\x03") + b"\r\n", "frame number"),
        (b"\x02\x03" + checksum(b"\x03") + b"\r\n", "frame number"),
        (b"\x021ABC\n", "line feed"),
    ],
)
def test_bad_frames_say_why_and_keep_their_bytes(raw, reason):
    (bad,) = collect(raw)
    assert isinstance(bad, BadFrame)
    assert reason in bad.reason
    assert raw.startswith(bad.raw)


def test_lower_case_and_missing_line_end_are_tolerated():
    assert collect(b"\x021H|\\^&\r\x03e5\r\n") == [Frame(1, b"H|\\^&\r", is_last=True)]
    assert collect(b"\x021H|\\^&\r\x03E5\n") == [Frame(1, b"H|\\^&\r", is_last=True)]
    assert collect(b"\x021H|\\^&\r\x03E5\x04") == [Frame(1, b"H|\\^&\r", is_last=True)]


def test_checksum_can_be_ignored():
    assert collect(b"\x021ABC\x0300\r\n", check=False) == [Frame(1, b"ABC", is_last=True)]


def test_a_large_frame_fits_and_a_larger_one_is_refused():
    assert len(collect(encode_frame(1, b"x" * 63_993, is_last=True))[0].text) == 63_993
    (bad,) = collect(encode_frame(1, b"x" * 64_500, is_last=True))
    assert "longer" in bad.reason
    assert len(bad.raw) <= 63_996


def test_frames_of_a_message():
    record = b"C|1|I|" + b"x" * 500 + b"\r"
    frames = frames_of(b"H|\\^&\r" + record)
    assert [frame[1:2] for frame in frames] == [b"1", b"2", b"3", b"4"]
    assert [b"\x17" in frame for frame in frames] == [False, True, True, False]
    assert len(frames_of(b"L|1\r" * 10)) == 10
    assert len(frames_of(b"L|1\r" * 10, packed=True)) == 1
    assert frames_of(b"L|1\r" * 10)[7][1:2] == b"0"
    with pytest.raises(ValueError, match="room"):
        frames_of(b"L|1\r", max_text=0)


def test_bytes_of_frames_stay_out_of_reprs():
    assert "SECRET" not in repr(Frame(1, b"SECRET", is_last=True)) + repr(BadFrame(b"SECRET", "x"))


def test_every_frame_may_end_in_etx():
    frames = frames_of(b"C|1|" + b"x" * 500 + b"\r", ends_every_frame=True)
    assert len(frames) == 3
    assert all(frame[-5:-4] == b"\x03" for frame in frames)


@pytest.mark.parametrize("byte", [bytes([value]) for value in FORBIDDEN if value not in {3, 10, 23}])
def test_a_control_character_in_the_text_is_refused_even_with_a_right_checksum(byte):
    (frame,) = collect(encode_frame(1, b"R|1|" + byte, is_last=True))
    assert "control character" in frame.reason
    # without checksums a new STX is all that tells a frame that was cut off
    kind = BadFrame if byte == STX else Frame
    assert isinstance(collect(encode_frame(1, b"R|1|" + byte, is_last=True), check=False)[0], kind)


@pytest.mark.parametrize("ending", [b"\r\n", b"\n\x04", b"\x04", b"\x02", b"00\r\n", b"xyz\r"])
def test_frames_without_a_checksum(ending: bytes):
    (frame, *rest) = collect(b"\x021R|1\r\x03" + ending, check=False)
    assert (frame, rest) == (Frame(1, b"R|1\r", is_last=True), [])


def test_a_missing_checksum_is_refused_at_once():
    (frame,) = collect(b"\x021R|1\r\x03\r\n")
    assert isinstance(frame, BadFrame)


def test_a_line_feed_is_taken_for_a_lost_end_mark_until_the_same_comes_again():
    collector = FrameCollector()

    def heard(raw: bytes) -> Frame | BadFrame | None:
        collector.open()
        return collector.take(raw, 1)[0]

    for text in (b"H|\\^&\r\nP|1\r\n", b"R|1\r\n"):
        raw = encode_frame(1, text, is_last=True)
        first, again = heard(raw), heard(raw)
        assert isinstance(first, BadFrame) == text.startswith(b"H")
        assert again == Frame(1, text, is_last=True)


def test_a_lost_end_mark_that_is_lost_again_in_another_frame_is_refused():
    collector = FrameCollector()
    for text in (b"1P|1\r03\r\n", b"1O|1\r51\r\n", b"1R|1\r77\r\n"):
        collector.open()
        assert isinstance(collector.take(text, 0)[0], BadFrame)
