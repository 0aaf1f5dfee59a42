"""ETags compare as the HTTP specification says."""

import pytest
from starlette.requests import Request

from api.errors import PreconditionFailedError
from api.etags import etag_of, is_known, require_match

TAG = etag_of(b"content")


def _request(value):
    headers = [] if value is None else [(b"if-none-match", value.encode())]
    return Request({"type": "http", "headers": headers})


@pytest.mark.parametrize(
    ("given", "known"),
    [
        (None, False), ("", False), (TAG, True), (f"W/{TAG}", True), (f'"x", {TAG}', True), ("*", True),
        (TAG.strip('"'), False), ('"x"', False),
    ],
)  # fmt: skip
def test_if_none_match(given, known):
    assert is_known(_request(given), TAG) is known


def test_other_content_has_another_tag():
    assert etag_of(b"content") != etag_of(b"content ")


@pytest.mark.parametrize("given", ["", " ", "*", TAG, f"W/{TAG}", f'"x", {TAG}'])
def test_if_match_lets_a_change_through(given):
    require_match(given, TAG)


@pytest.mark.parametrize("given", ['"x"', TAG.strip('"'), f"W/{etag_of(b'older')}"])
def test_if_match_stops_a_change_of_something_else(given):
    with pytest.raises(PreconditionFailedError) as caught:
        require_match(given, TAG)
    assert caught.value.code == "CHANGED_MEANWHILE"
