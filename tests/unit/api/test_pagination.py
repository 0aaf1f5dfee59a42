"""Cursors come back as they went out; anything else is refused, never a crash."""

import contextlib
import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.errors import BadRequestError
from api.pagination import cursor_of, key_of, number_of, page_of, row_id_of
from api.staff.catalogue import PanelOut


@given(st.text(alphabet=st.characters(codec="ascii"), min_size=1, max_size=80))
def test_a_key_survives_the_round_trip(key):
    assert key_of(cursor_of(key)) == key


@given(st.text(max_size=80))
def test_nonsense_is_refused_and_never_crashes(text):
    for read in (row_id_of, number_of):
        with contextlib.suppress(BadRequestError):
            read(text)


def test_the_first_page_has_no_cursor():
    assert row_id_of("") is None
    assert number_of("") == 0


def test_row_ids_and_numbers_are_read():
    row_id = uuid.uuid4()
    assert row_id_of(cursor_of(str(row_id))) == row_id
    assert number_of(cursor_of("42")) == 42


@pytest.mark.parametrize("key", ["-1", "1.5", "٣", "9" * 300])
def test_what_is_no_number_is_refused(key):
    with pytest.raises((BadRequestError, UnicodeEncodeError)):
        number_of(cursor_of(key))


def test_one_row_more_than_asked_for_means_another_page():
    panels = [PanelOut(code=str(number), name="", loinc="", price_paise=1, tests=[]) for number in range(3)]
    full = page_of(panels, 2, show=lambda row: row, key=lambda row: row.code)
    assert [item.code for item in full.items] == ["0", "1"]
    assert key_of(full.next_cursor) == "1"
    last = page_of(panels[:2], 2, show=lambda row: row, key=lambda row: row.code)
    assert last.next_cursor is None
