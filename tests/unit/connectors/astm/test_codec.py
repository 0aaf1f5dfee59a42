import string

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from connectors.astm.codec import (
    DEFAULT_DELIMITERS,
    Delimiters,
    build_message,
    delimiters_of,
    escape,
    parse_records,
    unescape,
)
from domain.errors import MessageError

MARKS = st.lists(st.sampled_from(sorted(set(string.punctuation))), min_size=4, max_size=4, unique=True).map(
    lambda marks: Delimiters(*marks)
)
TEXT = st.text(st.characters(min_codepoint=1, max_codepoint=255, exclude_characters="\x85"), max_size=20)


@given(TEXT, MARKS)
def test_unescape_undoes_escape(text, marks):
    assert unescape(escape(text, marks), marks) == text


@given(
    MARKS, st.lists(st.lists(st.lists(TEXT, min_size=1, max_size=3), min_size=1, max_size=3), min_size=1, max_size=4)
)
def test_reading_undoes_writing_with_any_delimiters(marks, fields):
    assume(all(any(part.strip() for part in repetition) for field in fields for repetition in field))
    written = build_message([["H", "", ""], ["R", *[[tuple(part) for part in field] for field in fields]]], marks)
    header, result = parse_records(written.decode("latin-1"))
    assert header.kind == "H"
    assert delimiters_of(written.decode("latin-1").split("\r")[0]) == marks
    for number, field in enumerate(fields, start=2):
        if number == 2 and len(field) > 1:
            continue  # field 2 of any record has no repetitions for this reader: in H it holds the delimiters
        for component in range(1, 4):
            expected = [repetition[component - 1] if component <= len(repetition) else "" for repetition in field]
            # blanks at the end of a record are padding
            assert [text.strip(" ") for text in result.values(number, component)] == [
                text.strip(" ") for text in expected
            ]


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("H|\\^&|||A", DEFAULT_DELIMITERS),
        ("H|`^&|||A", Delimiters("|", "`", "^", "&")),
        ("H|@^\\|||A", Delimiters("|", "@", "^", "\\")),
        ("H|\\\\^&|||A", DEFAULT_DELIMITERS),
        ("H;^&;;;A", Delimiters(";", "^", "&", "")),
        ("H|||||||", DEFAULT_DELIMITERS),
        ("H", DEFAULT_DELIMITERS),
        ("H|\\^&", DEFAULT_DELIMITERS),
        ("HELLO", DEFAULT_DELIMITERS),
    ],
)
def test_delimiters_come_from_the_header(header, expected):
    assert delimiters_of(header) == expected


@pytest.mark.parametrize(
    ("raw", "decoded"),
    [
        ("a&F&b", "a|b"),
        ("a&S&b&R&c&E&d", "a^b\\c&d"),
        ("&H&bold&N&", "bold"),
        ("&X0D0A&", "\r\n"),
        ("&Zlocal&x", "x"),
        ("R&D", "R&D"),
        ("a&unknown&b", "a&unknown&b"),
        ("&Xzz&", "&Xzz&"),
    ],
)
def test_escapes(raw, decoded):
    assert unescape(raw, DEFAULT_DELIMITERS) == decoded


def test_two_headers_may_declare_different_delimiters():
    records = parse_records("H|\\^&\rR|1|^^^A\rH|`@&\rR|1|@@@B")
    assert [records[1].value(3, 4), records[3].value(3, 4)] == ["A", "B"]


def test_lines_that_are_no_records_have_no_kind():
    assert [record.kind for record in parse_records("# comment\rHost\rX|1\r r|1\r\r\n")] == ["", "", "", "R"]


def test_bounds():
    with pytest.raises(MessageError, match="records"):
        parse_records("R|1\r" * 20_001)
    (record,) = parse_records("O|1|x||" + "\\".join(["^^^A"] * 20_001))
    with pytest.raises(MessageError, match="repeats"):
        record.values(5)


@given(st.binary(max_size=300))
def test_any_text_is_read(raw):
    for record in parse_records(raw.decode("latin-1")):
        record.values(3, 4)
        record.components(4)


def test_what_the_charset_lacks_becomes_a_question_mark():
    assert build_message([["C", "1", "I", "10 µL ₹"]]) == b"C|1|I|10 \xb5L ?\r"


PARTS = st.lists(st.lists(TEXT, min_size=1, max_size=3).map(tuple), min_size=1, max_size=3)


@given(MARKS, st.lists(PARTS, min_size=1, max_size=4), st.sampled_from("PORCQLSM"))
def test_writing_undoes_reading_with_any_delimiters(marks, fields, kind):
    written = build_message([["H", "7"], [kind, "1", *fields]], marks)
    records = parse_records(written.decode("latin-1"))
    assert b"".join(build_message([record.written()], record.delimiters) for record in records) == written
    if records[1].text == written.decode("latin-1").split("\r")[1]:
        for number, field in enumerate(fields, start=3):
            assert records[1].parts(number) == (tuple(field) if field != [("",)] else ())


def test_marks_that_are_missing_are_completed_to_write_with():
    assert Delimiters(";", "^", "&", "").completed() == Delimiters(";", "^", "&", "|")
    assert DEFAULT_DELIMITERS.completed() == DEFAULT_DELIMITERS
    assert Delimiters("|", "", "", "").completed() == Delimiters("|", "\\", "^", "&")


def test_a_record_knows_its_text_and_its_length():
    header, result = parse_records("H|\\^&||a\r  R|1|x  ")
    assert (header.text, header.field_count) == ("H|\\^&||a", 4)
    assert (result.text, result.raw(3)) == ("R|1|x  ", "x  ")


def test_a_lone_escape_character_does_not_hide_the_sequence_after_it():
    assert unescape("AT&T &F& x", DEFAULT_DELIMITERS) == "AT&T | x"
    assert unescape("a&b&c&S&d", DEFAULT_DELIMITERS) == "a&b&c^d"
    assert unescape("&X4142&&Zlocal&", DEFAULT_DELIMITERS) == "AB"


def test_components_of_a_whole_field_are_joined_alike_whatever_the_message_has():
    record = parse_records("H!~$%!!!x\rR!1!$$$K!-1$0.750~2$3")[1]
    assert record.values(4) == ("-1^0.750", "2^3")
    assert record.text_of(4) == "-1$0.750~2$3"
