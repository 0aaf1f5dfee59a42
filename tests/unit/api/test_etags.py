"""ETags compare as the HTTP specification says."""

import pytest
from starlette.requests import Request

from api.etags import etag_of, is_known

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
