import httpx
import pytest

from connectors.sms.errors import explained
from domain.errors import AuthError, RejectedError, RequestError


@pytest.mark.parametrize(
    ("code", "status", "kind"),
    [
        (20003, 401, AuthError),
        (21603, 400, RequestError),
        (21901, 400, RequestError),
        (21612, 400, RejectedError),
        (99999, 400, RejectedError),
    ],
)
def test_the_code_decides(code, status, kind):
    error = explained(httpx.Response(status, json={"code": code, "message": "The 'To' number +919810012345 is bad"}))
    assert type(error) is kind
    assert error.partner_code == str(code)
    assert "9810012345" not in error.message


@pytest.mark.parametrize("status", [401, 403, 429, 500, 503])
def test_with_an_unknown_code_these_statuses_decide(status):
    assert explained(httpx.Response(status, json={"code": 99999})) is None


@pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b"{}", b'{"code": "x"}'])
def test_unreadable_bodies_leave_it_to_the_status(body):
    assert explained(httpx.Response(400, content=body)) is None
