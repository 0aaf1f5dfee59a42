"""Texts become safe without losing a character."""

from datetime import UTC, date, datetime
from decimal import Decimal
from enum import StrEnum

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rendering.glyphs import printable_characters
from rendering.literal_text import paper_facts, printable


class Colour(StrEnum):
    RED = "red"


@given(st.text(max_size=200))
def test_whatever_comes_is_printable_afterwards(text):
    shown = printable(text)
    allowed = printable_characters() | {10}
    assert all(ord(char) in allowed for char in shown)
    assert not any(char in shown for char in "\u202a\u202b\u202d\u202e\u2066\u2067\u2068\u200e\u200f\x00")


@given(st.text(alphabet=st.characters(min_codepoint=32, max_codepoint=126)))
def test_plain_text_is_unchanged(text):
    assert printable(text) == text


def test_facts_of_paper():
    moment = datetime(2026, 11, 22, 20, 0, tzinfo=UTC)
    facts = paper_facts((Colour.RED, moment, date(2026, 1, 2), Decimal("1E+2"), None, True, 3, "a\x00"))
    assert facts == ["red", "23-11-2026 01:30 IST", "02-01-2026", "100", None, True, 3, "a[U+0000]"]


@pytest.mark.parametrize("value", [1.5, {"a": 1}, object()])
def test_paper_knows_no_floats(value):
    with pytest.raises(TypeError):
        paper_facts(value)
