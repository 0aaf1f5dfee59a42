"""NIC's encrypted wire under every fault; the shared suites read plain bodies only."""

import base64
import json

import httpx
import pytest

from connectors.einvoice import EInvoiceConnector
from connectors.einvoice.crypto import decrypt, decrypt_login, encrypt
from domain.einvoice import CancelReason
from domain.errors import (
    AuthError,
    ConnectorError,
    OutcomeUnknownError,
    RateLimitedError,
    RejectedError,
    UnavailableError,
)
from tests.contract.einvoice.documents import LAB, invoice
from tests.contract.einvoice.portal import Bench
from tests.contract.suites import RecordingJournal
from tests.contract.test_wire_faults import AFTER_SEND, NEVER_SENT, UNREADABLE

SEK = b"s" * 32
IRN = invoice().irn
OPERATIONS = {
    "generate": (lambda connector: connector.generate_irn(document=invoice()), OutcomeUnknownError),
    "get": (lambda connector: connector.get_by_irn(irn=IRN, supplier_gstin=LAB.gstin), UnavailableError),
    "cancel": (
        lambda connector: connector.cancel_irn(
            irn=IRN, supplier_gstin=LAB.gstin, reason_code=CancelReason.OTHERS, remark="x"
        ),
        OutcomeUnknownError,
    ),
}
EACH = pytest.mark.parametrize("name", OPERATIONS)


class NicWire:
    """Signs in like NIC and answers everything else as told."""

    def __init__(self, answer, *, login=None):
        self.bench = Bench("nic")
        self.answer = answer
        self.login = login or {}
        self.requests = []
        self.logins = []
        self.journal = RecordingJournal()
        client = httpx.AsyncClient(transport=httpx.MockTransport(self._handle), base_url="http://portal.example")
        self.connector = EInvoiceConnector(client, self.bench.settings, self.journal, now=self.bench.clock)

    def _handle(self, request):
        if request.url.path != "/eivital/v1.04/auth":
            self.requests.append(request)
            return self.answer(request)
        login = decrypt_login(self.bench.portal.login_key.private, json.loads(request.content)["Data"])
        self.logins.append(login)
        sek = encrypt(base64.b64decode(login["AppKey"]), SEK)
        granted = {"AuthToken": "nic-auth-token", "Sek": sek, "TokenExpiry": "2026-11-20 22:00:00"}
        return httpx.Response(200, json={"Status": 1, "Data": granted | self.login})


async def _error(name, answer, **options):
    wire = NicWire(answer, **options)
    with pytest.raises(ConnectorError) as caught:
        await OPERATIONS[name][0](wire.connector)
    return caught.value


@EACH
@pytest.mark.parametrize("fault", NEVER_SENT)
async def test_not_processed_is_unavailable(name, fault):
    assert type(await _error(name, NEVER_SENT[fault])) is UnavailableError


@EACH
@pytest.mark.parametrize("fault", AFTER_SEND | UNREADABLE)
async def test_lost_or_unreadable_follows_repeatability(name, fault):
    assert type(await _error(name, (AFTER_SEND | UNREADABLE)[fault])) is OPERATIONS[name][1]


def _json(body):
    return lambda _: httpx.Response(200, json=body)


@EACH
@pytest.mark.parametrize(
    "payload",
    [
        None,
        "",
        "not base64",
        "AAAA",
        encrypt(b"x" * 32, b'{"Irn":"1"}'),
        encrypt(SEK, b"[]"),
        encrypt(SEK, b"not json"),
        encrypt(SEK, b"[" * 100_000),
        encrypt(SEK, b"{}"),
        encrypt(SEK, json.dumps({"Irn": IRN, "AckNo": 1, "AckDt": "soon", "CancelDate": "soon"}).encode()),
    ],
)
async def test_payload_that_cannot_be_read(name, payload):
    error = await _error(name, _json({"Status": 1, "Data": payload}))
    assert type(error) is OPERATIONS[name][1]
    assert error.code == "ANSWER_UNREADABLE"


@EACH
async def test_401_and_429(name):
    assert type(await _error(name, lambda _: httpx.Response(401))) is AuthError
    assert type(await _error(name, lambda _: httpx.Response(429, headers={"retry-after": "7"}))) is RateLimitedError


@EACH
@pytest.mark.parametrize(
    "details",
    [
        [{"ErrorCode": "2143", "ErrorMessage": "no"}],
        '[{"ErrorCode": "2143", "ErrorMessage": "no"}]',
        base64.b64encode(b'[{"ErrorCode": "2143", "ErrorMessage": "no"}]').decode(),
    ],
)
async def test_details_come_in_three_shapes(name, details):
    error = await _error(name, _json({"status": "0", "ErrorDetails": details}))
    assert type(error) is RejectedError
    assert error.partner_code == "2143"


@pytest.mark.parametrize("details", [None, [], "", "x", 7, [1], {"ErrorCode": "1"}])
async def test_refusal_without_reasons_is_still_a_refusal(details):
    error = await _error("generate", _json({"Status": 0, "ErrorDetails": details}))
    assert type(error) is RejectedError
    assert error.partner_code == ""


@pytest.mark.parametrize(
    "login", [{"Sek": "AAAA"}, {"Sek": ""}, {"TokenExpiry": "never"}, {"AuthToken": "a\r\nb"}, {"AuthToken": ""}]
)
async def test_unreadable_login_is_unavailable(login):
    assert type(await _error("generate", _json({}), login=login)) is UnavailableError


async def test_request_is_encrypted_and_nothing_secret_is_journalled():
    wire = NicWire(_json({"Status": 0, "ErrorDetails": []}))
    with pytest.raises(RejectedError) as caught:
        await wire.connector.generate_irn(document=invoice())
    (request,) = wire.requests
    assert request.headers["AuthToken"] == "nic-auth-token"
    assert request.headers["user_name"] == wire.bench.settings.username
    body = json.loads(request.content)
    assert body.keys() == {"Data"}
    assert json.loads(decrypt(SEK, body["Data"]))["DocDtls"]["No"] == "B1-2627-000123"
    (login,) = wire.logins
    assert login["ForceRefreshAccessToken"] is False
    shown = repr([wire.connector, wire.journal.calls, caught.value, caught.value.context])
    assert len(wire.journal.calls) == 2
    for secret in (
        wire.bench.settings.password.get_secret_value(),
        wire.bench.settings.client_secret.get_secret_value(),
        "nic-auth-token",
        login["AppKey"],
        body["Data"],
    ):
        assert secret not in shown


@pytest.mark.parametrize("key", ["", "no key", "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n"])
async def test_missing_login_key_is_explained(key):
    connector = EInvoiceConnector(httpx.AsyncClient(base_url="http://x"), Bench("nic", nic_public_key=key).settings)
    with pytest.raises(AuthError) as caught:
        await connector.sign_in()
    assert caught.value.code == "EINVOICE_LOGIN_KEY_INVALID"
