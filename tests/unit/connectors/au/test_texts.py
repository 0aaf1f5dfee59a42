"""Identity, groups and answers of AU "Online" texts."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.au.texts import answer, check_byte, framed, groups, identity_of, result_text, rules
from connectors.blocks import Arrived, BlockLink, Broken
from domain.device_orders import DeviceWork
from domain.device_profile import AuLayout
from domain.errors import FrameError, MessageError

REQUEST = "R 000301N0095             2600133"
LAYOUT = AuLayout(specimen_width=20)


def work(*codes: str, name: str = "") -> DeviceWork:
    return DeviceWork(specimen_id="2600133", codes=codes, patient_name=name)


def test_the_identity_is_read_by_its_columns():
    found = identity_of(REQUEST)
    assert (found.code, found.rack, found.cup, found.kind) == ("R ", "0003", "01", "N")
    assert (found.sample_no, found.sample_id) == ("0095", "2600133")
    assert "2600133" not in repr(found)


@pytest.mark.parametrize("text", ["", "R 0003", "D 000301 0095   2600133    E01"], ids=["empty", "short", "blanks"])
def test_what_is_no_identity(text: str):
    with pytest.raises(MessageError) as caught:
        identity_of(text)
    assert caught.value.code == "AU_LAYOUT"


@pytest.mark.parametrize("width", [20, 26])
def test_the_answer_is_as_wide_as_the_request(width: int):
    request = f"R 000301N0095{'2600133':>{width}}"
    told = answer(request, work("99", "009", "97"), LAYOUT)
    assert told == f"S 000301 0095{'2600133':>{width}}    E099009097"
    assert len(told) == len(request) + 5 + 9


def test_an_answer_with_a_name_begins_its_tests_at_a_fixed_place():
    told = answer(REQUEST, work("99", name="Jürgen\x02 Ö. Übermäßig-Langername"), AuLayout(has_name_block=True))
    assert told == "S 000301 0095             2600133    EM00000Jurgen O. Ubermaig-L099"
    assert told.index("099", 40) == 64


@pytest.mark.parametrize(("asked", "told"), [("R ", "S "), ("RH", "SH"), ("Rh", "Sh")])
def test_a_repeat_is_answered_as_one(asked: str, told: str):
    assert answer(asked + REQUEST[2:], work("7"), AuLayout(test_width=2)).startswith(f"{told}000301 0095")


def test_nothing_to_do_is_an_answer_without_tests():
    assert answer(REQUEST, None, LAYOUT) == "S 000301 0095             2600133    E"


@pytest.mark.parametrize("code", ["GLU", "1234", "", "-1", "٣"])
def test_a_code_that_is_no_online_test_number(code: str):
    with pytest.raises(MessageError) as caught:
        answer(REQUEST, work("001", code), LAYOUT)
    assert caught.value.code == "AU_TEST_NUMBER"


def test_groups_are_cut_by_their_widths():
    one, two = groups("014  78.8  097 135.8Hr", LAYOUT)
    assert (one.test, one.value, one.marks) == ("014", "78.8", "")
    assert (two.test, two.value, two.marks) == ("097", "135.8", "Hr")
    wide = AuLayout(test_width=2, dilution_width=1, value_width=9, marks_width=8)
    (three,) = groups("141    <0.50*       ", wide)
    assert (three.test, three.dilution, three.value, three.marks) == ("14", "1", "<0.50", "*")


def test_blanks_cut_off_the_end_are_put_back():
    assert [group.value for group in groups("014  78.8  097 135", LAYOUT)] == ["78.8", "135"]
    assert groups("   ", LAYOUT) == []
    assert groups("014", LAYOUT)[0].value == ""


@pytest.mark.parametrize("text", ["14  78.8  0", "0140 78.8  ", "014 7 8.8  ", "xyz  78.8  "])
def test_fields_in_the_wrong_place_are_no_results(text: str):
    with pytest.raises(MessageError) as caught:
        groups(text, LAYOUT)
    assert caught.value.code == "AU_LAYOUT"


def test_results_begin_where_the_profile_says():
    block = f"D 000305 0081{'2600305':>20}    E0{'':26}20260818161505014  78.8  "
    header, text = result_text(block, AuLayout(specimen_width=20, results_offset=46))
    assert header.endswith("20260818161505")
    assert text == "014  78.8  "


@pytest.mark.parametrize("between", ["", "    E", "    3", " 012E"])
def test_results_that_follow_at_once_or_after_the_block_number(between: str):
    block = f"D 000305 0081{'2600305':>20}{between}014  78.8  "
    assert result_text(block, LAYOUT) == (between, "014  78.8  ")


def test_a_further_block_with_or_without_identity():
    first = f"D 000305 0081{'2600305':>20}    0014  78.8  "
    assert result_text(f"{first[:33]}    E015   1.0  ", LAYOUT, first=first)[1] == "015   1.0  "
    assert result_text("D 015   1.0  ", LAYOUT, first=first) == ("", "015   1.0  ")
    assert result_text("015   1.0  ", LAYOUT, first=first) == ("", "015   1.0  ")


def test_the_check_byte_is_the_exclusive_or_through_the_mark():
    assert check_byte(b"DB", 0x03) == 0x44 ^ 0x42 ^ 0x03
    layout = AuLayout(has_check_byte=True)
    assert framed("DB", layout) == b"\x02DB\x03\x05"
    assert framed("DB", LAYOUT) == b"\x02DB\x03"
    assert rules(layout).open(b"DB", 0x03, b"\x05") == b"DB"
    with pytest.raises(FrameError) as caught:
        rules(layout).open(b"DB", 0x03, b"\x06")
    assert caught.value.code == "AU_CHECK_BYTE"
    with pytest.raises(FrameError):
        rules(LAYOUT).open(b"D", 0x03, b"")


MESSAGES = ["DB", "D 000305 0081  2600305    E014  78.8", "R 000301N0095  2600133", "DE"]


@pytest.mark.parametrize("has_check_byte", [False, True])
@given(places=st.lists(st.integers(0, 120), max_size=15), noise=st.binary(max_size=20))
def test_two_machines_whose_bytes_are_cut_anywhere(has_check_byte: bool, places: list[int], noise: bytes):
    layout = AuLayout(has_check_byte=has_check_byte)
    stream = noise.replace(b"\x02", b"") + b"".join(framed(text, layout) for text in MESSAGES)
    ends = sorted({min(place, len(stream)) for place in places} | {len(stream)})
    link = BlockLink(rules(layout), max_message_bytes=1000)
    found = []
    for start, end in zip([0, *ends[:-1]], ends, strict=True):
        events = link.feed(stream[start:end])
        while events:
            event = events.pop(0)
            assert not isinstance(event, Broken)
            if isinstance(event, Arrived):
                found.append(event.message.decode())
                events += link.settle(is_durable=True)
    assert found == MESSAGES
