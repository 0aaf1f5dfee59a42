import httpx
import pytest
from pydantic import BaseModel

from connectors.answers import quoted, read_answer
from domain.errors import OutcomeUnknownError, UnavailableError


class Thing(BaseModel):
    id: str
    count: int


def read(content, *, safe=True):
    response = httpx.Response(200, content=content)
    return read_answer(Thing, response, connector="partner", operation="make", safe_to_repeat=safe)


def test_a_good_answer_is_read():
    assert read(b'{"id": "a", "count": 1}') == Thing(id="a", count=1)


@pytest.mark.parametrize(
    "content", [b"", b"<html>", b"[]", b'{"id": "a"', b'{"id": "Asha Rao"}', b'{"a":' * 5000, b"\xff"]
)
def test_anything_else_follows_repeatability_and_quotes_nothing(content):
    with pytest.raises(UnavailableError) as safe:
        read(content)
    with pytest.raises(OutcomeUnknownError) as unsafe:
        read(content, safe=False)
    for caught in (safe.value, unsafe.value):
        assert caught.code == "ANSWER_UNREADABLE"
        assert caught.__cause__ is None
        assert caught.__suppress_context__
        assert "Asha" not in str(caught)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("not found", "not found"),
        ("number +919810012345 is wrong", "number +***45 is wrong"),
        ("mail to asha.rao@example.in!", "mail to ***"),
        ("a\r\nb\x00c", "a b c"),
        ("x" * 500, "x" * 200),
        (None, ""),
        ({"a": 1}, ""),
    ],
)
def test_a_partner_is_quoted_without_numbers_and_addresses(text, shown):
    assert quoted(text) == shown
