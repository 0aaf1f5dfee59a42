import httpx
import pytest

from connectors.whatsapp.errors import TRY_ANOTHER_CHANNEL, explained
from domain.errors import AuthError, RateLimitedError, RejectedError, RequestError, UnavailableError


def refusal(code, status=400, headers=None):
    error = {"code": code, "message": f"(#{code}) about +919810012345", "fbtrace_id": "Abc"}
    return explained(httpx.Response(status, json={"error": error}, headers=headers))


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (0, AuthError),
        (10, AuthError),
        (299, AuthError),
        (300, RejectedError),
        (368, AuthError),
        (131042, AuthError),
        (131064, AuthError),
        (80007, RateLimitedError),
        (131016, UnavailableError),
        (131009, RequestError),
        (132012, RequestError),
        (131049, RejectedError),
        (137000, RejectedError),
    ],
)
def test_the_code_decides(code, kind):
    error = refusal(code)
    assert type(error) is kind
    assert error.partner_code == str(code)
    assert error.request_id == "Abc"
    assert "9810012345" not in error.message


def test_on_their_failures_only_permission_is_certain():
    assert refusal(131000, 500) is None
    assert refusal(131026, 500) is None
    assert type(refusal(131045, 500)) is AuthError


@pytest.mark.parametrize(("code", "seconds"), [(4, 60), (80007, 300), (130429, 5), (131056, 15), (131057, 120)])
def test_each_limit_has_its_own_wait(code, seconds):
    assert refusal(code).retry_after.total_seconds() == seconds


def test_their_own_wait_wins():
    assert refusal(130429, 429, {"retry-after": "9"}).retry_after is None


def test_what_stops_the_channel_says_what_to_do():
    assert "payment method" in refusal(131042).action
    assert "Stop sending" in refusal(131048).action


def test_codes_for_another_channel_are_refusals():
    for code in TRY_ANOTHER_CHANNEL:
        assert type(refusal(int(code))) is RejectedError


@pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b'{"error": "no"}', b'{"error": {"code": "x"}}'])
def test_unreadable_bodies_leave_it_to_the_status(body):
    assert explained(httpx.Response(400, content=body)) is None
