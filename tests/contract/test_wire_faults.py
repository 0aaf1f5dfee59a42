"""Every operation under every way a wire can fail: the error class is the retry decision, so it must be right."""

import httpx
import pytest

from domain.errors import AuthError, ConnectorError, OutcomeUnknownError, RateLimitedError, UnavailableError
from tests.contract.suites import ConnectorCases, OperationCase, RecordingJournal, Wire, all_operations

PAIRS = all_operations()
IDS = [f"{cases.name}-{operation.name}" for cases, operation in PAIRS]


def _raises(error: Exception):
    def answer(_: httpx.Request) -> httpx.Response:
        raise error

    return answer


def _status(status: int, content: bytes = b"{}", **headers: str):
    return lambda _: httpx.Response(status, content=content, headers=headers)


NEVER_SENT = {
    "refused": _raises(httpx.ConnectError("refused")),
    "connect timeout": _raises(httpx.ConnectTimeout("slow")),
    "503": _status(503),
}
AFTER_SEND = {
    "read timeout": _raises(httpx.ReadTimeout("slow")),
    "cut": _raises(httpx.RemoteProtocolError("cut")),
    "500": _status(500, b"<html>oops</html>"),
    "502": _status(502, b"<html>Bad Gateway</html>"),
    "oversized": _status(200, b"x" * (5 * 1024 * 1024)),
}
UNREADABLE = {
    "200 with HTML": _status(200, b"<html>maintenance</html>"),
    "200 with a list": _status(200, b"[]"),
    "200 cut short": _status(200, b'{"id": '),
}


async def _error(cases: ConnectorCases, operation: OperationCase, answer) -> ConnectorError:
    connector = cases.build(Wire(cases, answer).client, RecordingJournal())
    with pytest.raises(ConnectorError) as caught:
        await operation.invoke(connector)
    return caught.value


@pytest.mark.parametrize("fault", NEVER_SENT)
@pytest.mark.parametrize(("cases", "operation"), PAIRS, ids=IDS)
async def test_not_processed_is_unavailable(cases, operation, fault):
    assert type(await _error(cases, operation, NEVER_SENT[fault])) is UnavailableError


@pytest.mark.parametrize("fault", AFTER_SEND)
@pytest.mark.parametrize(("cases", "operation"), PAIRS, ids=IDS)
async def test_lost_after_send_follows_repeatability(cases, operation, fault):
    expected = OutcomeUnknownError if operation.unavailable_is_unknown else UnavailableError
    assert type(await _error(cases, operation, AFTER_SEND[fault])) is expected


@pytest.mark.parametrize("fault", UNREADABLE)
@pytest.mark.parametrize(("cases", "operation"), PAIRS, ids=IDS)
async def test_unreadable_answer_follows_repeatability(cases, operation, fault):
    if not operation.response_file:
        pytest.skip("the operation ignores the body of a 2xx answer")
    expected = OutcomeUnknownError if operation.unavailable_is_unknown else UnavailableError
    assert type(await _error(cases, operation, UNREADABLE[fault])) is expected


@pytest.mark.parametrize(("cases", "operation"), PAIRS, ids=IDS)
async def test_credentials_refused(cases, operation):
    assert type(await _error(cases, operation, _status(401))) is AuthError


@pytest.mark.parametrize(("cases", "operation"), PAIRS, ids=IDS)
async def test_slow_down_is_honoured(cases, operation):
    error = await _error(cases, operation, _status(429, **{"retry-after": "7"}))
    assert type(error) is RateLimitedError
    assert error.retry_after is not None
    assert error.retry_after.total_seconds() == 7


@pytest.mark.parametrize(("cases", "operation"), PAIRS, ids=IDS)
async def test_unexplained_400_is_never_retried(cases, operation):
    assert not (await _error(cases, operation, _status(400))).retryable
