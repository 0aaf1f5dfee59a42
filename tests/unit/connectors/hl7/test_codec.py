import contextlib
import string
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.hl7.codec import (
    DEFAULT_DELIMITERS,
    Delimiters,
    Segment,
    build_segment,
    delimiters_of,
    encode_message,
    escape,
    fields_of,
    parse_message,
    unescape,
)
from domain.errors import MessageError

MARKS = st.lists(st.sampled_from(sorted(set(string.punctuation))), min_size=5, max_size=5, unique=True).map(
    lambda marks: Delimiters(*marks)
)
TEXT = st.text(st.characters(min_codepoint=1, max_codepoint=0x2FFF, exclude_categories=["Cs"]), max_size=20)
MSH = "MSH|^~\\&|A|B|C|D|20260901101500||ORU^R01|1|P|2.5.1"


@given(TEXT, MARKS)
def test_unescape_undoes_escape(text, marks):
    assert unescape(escape(text, marks), marks) == text


@given(MARKS, st.lists(st.lists(TEXT, min_size=1, max_size=3), min_size=1, max_size=4))
def test_reading_undoes_writing_with_any_delimiters(marks, fields):
    written = build_segment("MSH", ["A"], marks) + build_segment("OBX", [tuple(field) for field in fields], marks)
    message = parse_message(written.encode())
    assert message.delimiters == marks
    for number, field in enumerate(fields, start=1):
        got = [message.segments[1].value(number, component) for component in range(1, len(field) + 1)]
        # a blank at the end of a segment is padding
        assert [text.strip() for text in got] == [text.strip(" ").strip() for text in field]


@pytest.mark.parametrize(
    ("raw", "decoded"),
    [
        ("a\\F\\b\\S\\c\\T\\d\\R\\e\\E\\f", "a|b^c&d~e\\f"),
        ("x\\.br\\y", "x\ny"),
        ("x\\.sp+2\\y\\.in4\\z", "x\ny z"),
        ("\\X0D0A\\z", "\r\nz"),
        ("\\H\\bold\\N\\", "bold"),
        ("C:\\temp", "C:\\temp"),
        ("C:\\temp\\file", "C:\\temp\\file"),
        ("\\E\\F\\E", "\\F\\E"),
        ("\\", "\\"),
        ("\\\\", "\\\\"),
        ("\\C2842\\x", "x"),
        ("\\" + "A" * 500 + "\\F\\", "\\" + "A" * 500 + "|"),
    ],
)
def test_escapes(raw, decoded):
    assert unescape(raw, DEFAULT_DELIMITERS) == decoded


@pytest.mark.parametrize("end", ["\r", "\n", "\r\n", "\r\r"])
def test_segments_end_as_they_like(end):
    message = parse_message(end.join((MSH, "PID|1", "OBX|1|NM")).encode())
    assert [segment.name for segment in message.segments] == ["MSH", "PID", "OBX"]


def test_padding_before_msh_is_passed_over():
    assert parse_message(b"\xef\xbb\xbf \r\nFHS|x\rBHS|x\r" + MSH.encode()).header.value(3) == "A"


def test_fields_of_msh_are_numbered_as_in_the_standard():
    header = parse_message(MSH.encode()).header
    assert (header.value(1), header.value(2), header.value(10), header.value(12)) == ("|", "^~\\&", "1", "2.5.1")
    assert header.value(9, 2) == "R01"
    assert header.value(40) == ""
    assert header.value(0) == ""


def test_components_subcomponents_and_repetitions():
    segment = parse_message(f"{MSH}\rSPM|1|26S&BARCODE^x~27S".encode()).segments[1]
    assert segment.values(2, 1, 1) == ("26S", "27S")
    assert segment.values(2, 1, 2) == ("BARCODE", "")
    assert segment.values(2, 1) == ("26S&BARCODE", "27S")
    assert segment.values(2) == ("26S&BARCODE^x", "27S")
    assert segment.components(2) == ("26S&BARCODE", "x")


@pytest.mark.parametrize(
    ("declared", "raw", "text", "fell_back"),
    [
        ("", "µ".encode(), "µ", False),
        ("", b"\xb5", "µ", True),
        ("8859/1", b"\xb5", "µ", False),
        ("UNICODE UTF-8", "µ".encode(), "µ", False),
        ("UNICODE", "µ".encode(), "µ", False),
        ("UTF8", "µ".encode(), "µ", False),
        ("UNICODE UTF-8", b"\xb5", "µ", True),
        ("ASCII", "µ".encode(), "µ", True),
        ("~ISO IR87", b"\xb5", "µ", True),
        ("GB 18030-2000", "血".encode("gb18030"), "血", False),
        ("no such set", "µ".encode(), "µ", False),
    ],
)
def test_character_sets(declared, raw, text, fell_back):
    message = parse_message(f"{MSH}||||||{declared}\rOBX|1|ST|X||".encode() + raw)
    assert message.segments[1].value(5) == text
    assert message.charset_fallback == fell_back


def test_a_profiles_charset_overrules_the_message():
    raw = f"{MSH}||||||UNICODE UTF-8\rOBX|1|ST|X||".encode() + b"\xb5"
    message = parse_message(raw, "iso8859-1")
    assert (message.segments[1].value(5), message.charset_fallback) == ("µ", False)


@pytest.mark.parametrize("raw", [b"", b"hello", b"MSH", b"MSHH0\r", b"PID|1\r", b"\r \r", b"MS"])
def test_without_a_usable_msh_it_is_refused_with_a_reason(raw):
    with pytest.raises(MessageError) as caught:
        parse_message(raw)
    assert caught.value.action


def test_short_delimiters_are_what_they_are():
    assert delimiters_of("MSH|^|||") == Delimiters("|", "^", "", "", "")
    assert delimiters_of("MSH||||") == Delimiters("|", "", "", "", "")
    assert delimiters_of("MSH|^~\\&#|") == replace(DEFAULT_DELIMITERS, truncation="#")
    assert delimiters_of("MSH|^^\\&|").repetition == ""


def test_bounds():
    with pytest.raises(MessageError, match="segments"):
        parse_message((MSH + "\rOBX|1" * 20_001).encode())
    with pytest.raises(MessageError, match="bytes"):
        parse_message(MSH.encode() + b"x" * (16 << 20))
    segment = parse_message(f"{MSH}\rOBX|1|NM|X||{'~'.join('5' * 20_001)}".encode()).segments[1]
    with pytest.raises(MessageError, match="OBX-5 repeats"):
        segment.values(5)
    assert segment.value(2) == "NM"


@given(st.binary(max_size=300).map(b"MSH".__add__))
def test_any_bytes_are_read_or_refused(raw):
    with contextlib.suppress(MessageError):
        message = parse_message(raw)
        for segment in message.segments:
            segment.values(3, 1, 1)
            segment.components(5)


def test_a_large_image_is_no_obstacle():
    raw = f"{MSH}\rOBX|1|ED|X||^Image^BMP^Base64^{'A' * 300_000}".encode()
    assert len(parse_message(raw).segments[1].value(5, 5)) == 300_000


PLAIN = st.text(st.characters(max_codepoint=0x2FFF, exclude_categories=["Cs"]), max_size=8)


def reduced(parts):
    """Return a tuple as the codec reads it: what holds one text is that text."""
    return parts[0] if len(parts) == 1 and isinstance(parts[0], str) else parts


COMPONENTS = st.one_of(PLAIN, st.lists(PLAIN, min_size=2, max_size=3).map(tuple))
REPETITIONS = st.lists(COMPONENTS, min_size=1, max_size=3).map(tuple).map(reduced)
VALUES = st.one_of(REPETITIONS, st.lists(REPETITIONS, min_size=2, max_size=3))


@given(st.lists(VALUES, min_size=1, max_size=5), MARKS, st.sampled_from(["utf-8", "utf-16"]))
def test_what_is_encoded_is_decoded(fields, marks, codec):
    head = build_segment("MSH", ["A", "B", "C", "D"], marks)
    raw = (head + build_segment("OBX", [*fields, "end"], marks)).encode(codec)
    message = parse_message(raw)
    assert message.delimiters == marks
    assert fields_of(message.segments[1]) == [*fields, "end"]
    assert fields_of(message.header) == ["A", "B", "C", "D"]
    assert encode_message(message).encode(codec) == raw


def test_the_truncation_character_is_kept_and_escaped():
    message = parse_message(b"MSH|^~\\&#|A|B\rNTE|1||cut#|a\\P\\b\r")
    assert message.segments[1].value(4) == "a#b"
    assert encode_message(message) == "MSH|^~\\&#|A|B\rNTE|1||cut\\P\\|a\\P\\b\r"


def test_without_an_escape_character_delimiters_become_blanks():
    marks = Delimiters("|", "^", "~", "", "")
    assert escape("a|b^c\rHNPX", marks) == "a b c HNPX"


def test_what_differs_when_it_is_written_anew():
    raw = "MSH|^~\\&|A|B\rNTE|1||C:\\temp|\\H\\bold\\N\\|\\X41\\\r"
    assert encode_message(parse_message(raw.encode())) == "MSH|^~\\&|A|B\rNTE|1||C:\\E\\temp|bold|A\r"


def test_hex_sequences_in_a_multi_byte_set():
    assert unescape("\\XC2B5\\mol", DEFAULT_DELIMITERS) == "µmol"
    assert unescape("\\XB5\\mol", DEFAULT_DELIMITERS) == "µmol"


def test_batch_headers_declare_their_own_delimiters():
    segment = Segment("FHS|^~\\&|A^B", DEFAULT_DELIMITERS)
    assert (segment.value(2), segment.value(3, 2), segment.size) == ("^~\\&", "B", 3)


def test_blanks_at_the_end_of_a_line_belong_to_its_last_field():
    assert parse_message(b"MSH|^~\\&|A\r  OBX|1|ST|X||5  \r   \r").segments[1].raw(5) == "5  "
    assert unescape("cut\\P\\", DEFAULT_DELIMITERS) == "cut\\P\\"


def test_what_stands_between_parts_is_the_same_whatever_the_message_has():
    message = parse_message(b"MSH#!@\\$#A\rOBX#1#CE#K!Kalium##POS!Positiv$x!L#a!b@c!d\r")
    row = message.segments[1]
    assert (row.value(5), row.value(5, 2), row.values(6)) == ("POS^Positiv&x^L", "Positiv&x", ("a^b", "c^d"))
    assert message.header.value(2) == "!@\\$"
    swapped = parse_message(b"MSH|&~\\^|A\rOBX|1|CE|K||POS&Pos^x\r").segments[1]
    assert swapped.value(5) == "POS^Pos&x"


def test_a_sequence_for_a_mark_that_is_not_declared_means_the_standard_one():
    message = parse_message(b"MSH|^~\\|A\rOBX|1|ST|K||A\\T\\B\r")
    assert message.segments[1].value(5) == "A&B"
    assert parse_message(b"MSH|^|A\rOBX|1|ST|K||A\\T\\B\r").segments[1].value(5) == "A\\T\\B"
