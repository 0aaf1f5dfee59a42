"""Control characters by name, there and back."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.control_names import bytes_of, readable


def test_a_transmission_as_people_write_it():
    text = "<ENQ><STX>1H|\\^&<CR><ETX>E5<CR><LF><EOT>"
    assert bytes_of(text) == b"\x05\x021H|\\^&\r\x03E5\r\n\x04"
    assert readable(bytes_of(text)) == text


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("<enq>", b"\x05"), ("<0x05>", b"\x05"), ("<05>", b"\x05"), ("<SB>MSH<EB><CR>", b"\x0bMSH\x1c\r"),
        ("<TRANSMIT>", b"<TRANSMIT>"), ("a < b > c", b"a < b > c"), ("<5^1>", b"<5^1>"), ("<>", b"<>"),
        ("<DC1>", b"\x11"), ("<BE>", b"<BE>"), ("é", "é".encode()),
    ],
)  # fmt: skip
def test_names_and_what_is_none(text, expected):
    assert bytes_of(text) == expected


@given(st.binary(max_size=200))
def test_what_is_written_can_be_read_back(raw):
    if b"<" not in raw:
        assert bytes_of(readable(raw)) == raw
