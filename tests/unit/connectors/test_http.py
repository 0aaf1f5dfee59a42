import gzip
import json

import httpx
import pytest

from connectors.http import MAX_RESPONSE_BYTES, MAX_RETRY_AFTER, NoJournal, PartnerHttp
from domain.errors import (
    AuthError,
    ConnectorError,
    OutcomeUnknownError,
    RateLimitedError,
    RejectedError,
    UnavailableError,
)
from tests.contract.suites import RecordingJournal


def partner(answer, **options):
    transport = httpx.MockTransport(answer if callable(answer) else lambda _: answer)
    client = httpx.AsyncClient(transport=transport, base_url="https://partner.test")
    journal = RecordingJournal()
    return PartnerHttp(client, "partner", journal, **options), journal


async def send(http, *, method="POST", path="/things", body=None, headers=None, **options):
    request = http.client.build_request(method, path, json=body, headers=headers)
    return await http.send(request, operation="make", **{"safe_to_repeat": False} | options)


async def failure(http, **options):
    with pytest.raises(ConnectorError) as caught:
        await send(http, **options)
    return caught.value


@pytest.mark.parametrize("status", [200, 201, 202, 204])
async def test_success_comes_back(status):
    http, journal = partner(httpx.Response(status, content=b"{}"))
    assert (await send(http, reference="INV-1")).status_code == status
    (call,) = journal.calls
    assert (call.outcome, call.status, call.reference, call.operation) == ("ok", status, "INV-1", "make")


@pytest.mark.parametrize(
    ("status", "safe", "kind"),
    [
        (301, True, RejectedError),
        (400, True, RejectedError),
        (401, True, AuthError),
        (403, False, AuthError),
        (404, False, RejectedError),
        (429, False, RateLimitedError),
        (500, True, UnavailableError),
        (500, False, OutcomeUnknownError),
        (503, False, UnavailableError),
        (504, False, OutcomeUnknownError),
    ],
)
async def test_the_status_decides(status, safe, kind):
    http, journal = partner(httpx.Response(status))
    error = await failure(http, safe_to_repeat=safe)
    assert type(error) is kind
    assert (error.connector, error.operation) == ("partner", "make")
    assert journal.calls[0].outcome == error.code


async def test_redirects_are_not_followed():
    asked = []

    def answer(request):
        asked.append(request.url.path)
        return httpx.Response(302, headers={"location": "https://elsewhere.test/steal"})

    http, _ = partner(answer)
    assert (await failure(http)).code == "PARTNER_REDIRECT"
    assert asked == ["/things"]


async def test_4xx_answers_are_given_back_when_asked_but_never_credentials_or_limits():
    http, _ = partner(httpx.Response(422, content=b"why"))
    assert (await send(http, accept_4xx=True)).content == b"why"
    for status in (401, 403, 429):
        http, _ = partner(httpx.Response(status))
        await failure(http, accept_4xx=True)


async def test_a_refusal_is_explained_by_the_partner_s_own_words():
    def explain(response):
        return RejectedError("sold out", partner_code="E42") if response.content == b"E42" else None

    http, journal = partner(httpx.Response(429, content=b"E42"))
    error = await failure(http, explain=explain)
    assert (type(error), error.partner_code, error.operation) == (RejectedError, "E42", "make")
    assert journal.calls[0].outcome == "PARTNER_REJECTED"
    http, _ = partner(httpx.Response(429, content=b"?"))
    assert type(await failure(http, explain=explain)) is RateLimitedError
    http, _ = partner(httpx.Response(200, content=b"E42"))
    assert (await send(http, explain=explain)).status_code == 200


@pytest.mark.parametrize(
    ("header", "seconds"),
    [("7", 7), ("", 30), ("soon", 30), ("-5", 30), ("٣", 30), ("9" * 30, MAX_RETRY_AFTER.total_seconds())],
)
async def test_retry_after_is_honoured_within_reason(header, seconds):
    http, _ = partner(httpx.Response(429, headers={"retry-after": header.encode()}))
    assert (await failure(http)).retry_after.total_seconds() == seconds
    http, _ = partner(httpx.Response(400, headers={"retry-after": header.encode()}))
    error = await failure(http, explain=lambda _: RateLimitedError("slow"))
    assert error.retry_after.total_seconds() == seconds


@pytest.mark.parametrize("compressed", [False, True])
async def test_too_large_an_answer_is_cut_off(compressed):
    body = b"x" * (MAX_RESPONSE_BYTES + 1)
    headers = {"content-encoding": "gzip"} if compressed else {}
    http, journal = partner(httpx.Response(200, content=gzip.compress(body) if compressed else body, headers=headers))
    assert (await failure(http)).code == "ANSWER_TOO_LARGE"
    assert journal.calls[0].status == 0


async def test_a_compressed_answer_is_read_once():
    headers = {"content-encoding": "gzip"}
    http, _ = partner(httpx.Response(200, content=gzip.compress(b'{"a": 1}'), headers=headers))
    assert (await send(http)).json() == {"a": 1}


async def test_the_journal_shows_neither_secrets_nor_people():
    answer = httpx.Response(200, json={"id": "1", "contact": "Asha", "vpa": "asha@upi"})
    http, journal = partner(answer, masked_fields=frozenset({"vpa"}), masked_headers=frozenset({"X-Extra"}))
    await send(
        http,
        path="/things/919810012345?token=t0ken",
        body={"customer": {"name": "Asha"}, "amount": 100},
        headers={"Authorization": "Basic s3cret", "X-Extra": "s3cret"},
    )
    (call,) = journal.calls
    shown = repr(call)
    for hidden in ("s3cret", "Asha", "9810012345", "t0ken", "asha@upi"):
        assert hidden not in shown
    assert json.loads(call.request_body) == {"customer": "***", "amount": 100}
    assert call.url == "https://partner.test/things/***45"
    assert call.elapsed_ms >= 0


async def test_no_journal_keeps_nothing():
    transport = httpx.MockTransport(lambda _: httpx.Response(200))
    http = PartnerHttp(httpx.AsyncClient(transport=transport, base_url="https://partner.test"), "partner", NoJournal())
    assert (await send(http)).status_code == 200
