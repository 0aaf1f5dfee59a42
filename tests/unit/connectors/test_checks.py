import socket
import ssl
from datetime import UTC, datetime, timedelta

import httpx
import pytest

from connectors.checks import failed_check, http_date, passed_check
from connectors.http import PartnerHttp
from domain.errors import AuthError, RateLimitedError, UnavailableError

NOW = datetime(2026, 11, 23, 6, 30, tzinfo=UTC)


def because(cause):
    """Return the error that a send ends in when the connection failed with `cause`, chained as httpx chains it."""
    middle = httpx.ConnectError("failed")
    middle.__cause__ = cause
    error = UnavailableError("partner was not reached", code="NOT_CONNECTED")
    error.__cause__ = middle
    return error


@pytest.mark.parametrize(
    ("cause", "words"),
    [
        (socket.gaierror(-2, "Name or service not known"), "does not resolve"),
        (ssl.SSLCertVerificationError("bad"), "certificate of api.test is not accepted"),
        (ssl.SSLError(1, "wrong version number"), "no TLS connection"),
        (ConnectionRefusedError(111, "refused"), "nothing listens"),
    ],
)
def test_each_layer_is_explained_separately(cause, words):
    result = failed_check("partner", "api.test", because(cause))
    assert not result.ok
    assert words in result.what
    assert result.action


def test_what_the_partner_says_comes_after_the_connection():
    assert "credentials" in failed_check("partner", "api.test", AuthError("no")).what
    assert "slow down" in failed_check("partner", "api.test", RateLimitedError("wait")).what
    assert "answered oddly" in failed_check("partner", "api.test", UnavailableError("answered oddly")).what


def test_a_circle_of_causes_ends():
    error = UnavailableError("broken")
    other = ValueError("x")
    error.__cause__, other.__cause__ = other, error
    assert "broken" in failed_check("partner", "api.test", error).what


@pytest.mark.parametrize(
    ("skew", "ok", "word"),
    [
        (timedelta(seconds=90), True, ""),
        (timedelta(minutes=3), False, "180 s ahead of"),
        (timedelta(minutes=-3), False, "180 s behind"),
    ],
)
def test_clocks_are_compared(skew, ok, word):
    result = passed_check("partner", "api.test", NOW - skew, NOW)
    assert result.ok is ok
    assert word in result.what
    assert passed_check("partner", "api.test", None, NOW).ok


@pytest.mark.parametrize(
    "value", ["", "yesterday", "Mon, 99 Nov 2026 06:30:00 GMT", "Mon, 23 Nov 2026 06:30:00", "x" * 999]
)
def test_nonsense_is_no_date(value):
    assert http_date(value) is None


def test_a_date_header_is_read():
    assert http_date("Mon, 23 Nov 2026 06:30:00 GMT") == NOW


async def test_a_real_refused_connection_is_recognised(unused_port):
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{unused_port}", trust_env=False) as client:
        http = PartnerHttp(client, "partner")
        with pytest.raises(UnavailableError) as caught:
            await http.send(client.build_request("GET", "/"), operation="ping", safe_to_repeat=True)
    assert "nothing listens" in failed_check("partner", "127.0.0.1", caught.value).what


@pytest.fixture
def unused_port():
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]
