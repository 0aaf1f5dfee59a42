"""Every webhook: good, unsigned, tampered, signed with a wrong secret, unknown, not JSON, twice."""

import contextlib
import json

import pytest

from domain.errors import AuthError, MessageError
from tests.contract.suites import ConnectorCases, WebhookCases, all_cases

WITH_WEBHOOK = [cases for cases in all_cases() if cases.webhook is not None]
SAMPLES = [(cases, sample) for cases in WITH_WEBHOOK for sample in cases.webhook.samples]  # type: ignore[union-attr]
SAMPLE_IDS = [f"{cases.name}-{sample[0]}" for cases, sample in SAMPLES]
BY_NAME = pytest.mark.parametrize("cases", WITH_WEBHOOK, ids=lambda cases: cases.name)


def _webhook(cases: ConnectorCases) -> WebhookCases:
    assert cases.webhook is not None
    return cases.webhook


@pytest.mark.parametrize(("cases", "sample"), SAMPLES, ids=SAMPLE_IDS)
def test_good_event_is_verified_and_read(cases, sample):
    webhook, (file, expected) = _webhook(cases), sample
    body = cases.wire(file)
    headers = webhook.sign(body)
    webhook.verify(body, headers)
    assert webhook.parse(body, headers) == expected
    assert webhook.parse(body, headers) == expected, "the same bytes give the same event ids"


@pytest.mark.parametrize(("cases", "sample"), SAMPLES, ids=SAMPLE_IDS)
def test_one_changed_byte_is_refused(cases, sample):
    webhook, body = _webhook(cases), cases.wire(sample[0])
    if not webhook.signs_body:
        pytest.skip("the partner's token does not cover the body")
    headers = webhook.sign(body)
    with pytest.raises(AuthError):
        webhook.verify(body[:-1] + bytes([body[-1] ^ 1]), headers)


@BY_NAME
def test_missing_signature_is_refused(cases):
    webhook = _webhook(cases)
    body = cases.wire(webhook.samples[0][0])
    headers = {name: value for name, value in webhook.sign(body).items() if name.lower() != webhook.signature_header}
    with pytest.raises(AuthError):
        webhook.verify(body, headers)


@BY_NAME
@pytest.mark.parametrize("garbage", ["", "x", "é", "0" * 4096])
def test_garbage_signature_is_refused(cases, garbage):
    webhook = _webhook(cases)
    body = cases.wire(webhook.samples[0][0])
    with pytest.raises(AuthError):
        webhook.verify(body, webhook.sign(body) | {webhook.signature_header: garbage})


@BY_NAME
@pytest.mark.parametrize(
    "body", [b"", b"not json", b"[]", b"null", b'{"a":' * 5000, "\ud800".encode("utf-8", "surrogatepass")]
)
def test_signed_nonsense_is_a_message_error(cases, body):
    webhook = _webhook(cases)
    with pytest.raises(MessageError):
        webhook.parse(body, webhook.sign(body))


@BY_NAME
def test_unknown_event_is_kept_or_refused_but_never_crashes(cases):
    webhook = _webhook(cases)
    body = json.dumps({"event": "never.heard.of", "entry": [], "id": "x"}).encode()
    with contextlib.suppress(MessageError):
        webhook.parse(body, webhook.sign(body))
