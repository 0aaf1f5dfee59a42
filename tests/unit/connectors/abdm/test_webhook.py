import base64
import json
from datetime import timedelta

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from connectors.abdm import webhook
from connectors.abdm.webhook import GatewayKeyring
from domain.clock import utc_now
from domain.errors import AuthError, MessageError, UnavailableError
from tests.contract.abdm.cases import KEY, KEYS, SETTINGS, callback_token

STRANGER = rsa.generate_private_key(public_exponent=65537, key_size=2048)
PAST = utc_now() - timedelta(hours=1)


def _jwk(key=KEY, kid="k1", **changes):
    public = jwt.algorithms.RSAAlgorithm.to_jwk(key.public_key(), as_dict=True)
    return {**public, "kid": kid, "use": "sig", "alg": "RS256"} | changes


def _headers(token: str, **more: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}", "X-HIP-ID": "IN2810000001"} | more


def _unsigned(claims: dict) -> str:
    def part(value):
        return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()

    return f"{part({'alg': 'none', 'typ': 'JWT', 'kid': 'k1'})}.{part(claims)}."


def _confused() -> str:
    """Return a token signed with the public key as an HMAC secret (algorithm confusion)."""
    pem = KEY.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    header, payload = (
        base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=").decode()
        for part in ({"alg": "HS256", "kid": "k1"}, {"aud": "account", "exp": 9999999999})
    )
    import hashlib
    import hmac

    signature = hmac.new(pem, f"{header}.{payload}".encode(), hashlib.sha256).digest()
    return f"{header}.{payload}.{base64.urlsafe_b64encode(signature).rstrip(b'=').decode()}"


def test_a_good_token_passes():
    webhook.verify(_headers(callback_token()), KEYS, SETTINGS)


def test_rs512_is_taken_when_the_key_says_so():
    keys = webhook.signing_keys([_jwk(alg="RS512")])
    webhook.verify(_headers(callback_token(algorithm="RS512")), keys, SETTINGS)


BAD_TOKENS = {
    "expired": lambda: callback_token(exp=PAST),
    "no expiry": lambda: callback_token(exp=None),
    "no audience": lambda: callback_token(aud=None),
    "other audience": lambda: callback_token(aud="other"),
    "other key": lambda: callback_token(STRANGER),
    "unknown key id": lambda: callback_token(kid="k9"),
    "other algorithm than the key's": lambda: callback_token(algorithm="RS512"),
    "unsigned": lambda: _unsigned({"aud": "account", "exp": 9999999999}),
    "algorithm confusion": _confused,
    "not valid yet": lambda: callback_token(nbf=utc_now() + timedelta(hours=1)),
    "expiry is text": lambda: _unsigned({"aud": "account", "exp": "soon"}),
    "not a token": lambda: "a.b.c",
    "endless": lambda: "x" * 9000,
}


@pytest.mark.parametrize("case", BAD_TOKENS)
def test_bad_tokens_are_refused(case):
    with pytest.raises(AuthError) as caught:
        webhook.verify(_headers(BAD_TOKENS[case]()), KEYS, SETTINGS)
    assert caught.value.code == "CALLBACK_NOT_PROVED"


@pytest.mark.parametrize("value", ["", "Bearer", "Bearer ", "Basic abc", callback_token()])
def test_without_a_bearer_nothing_passes(value):
    with pytest.raises(AuthError):
        webhook.verify({"Authorization": value}, KEYS, SETTINGS)


def test_the_issuer_is_checked_when_set():
    named = SETTINGS.model_copy(update={"callback_issuer": "https://issuer.example"})
    webhook.verify(_headers(callback_token(iss="https://issuer.example")), KEYS, named)
    with pytest.raises(AuthError):
        webhook.verify(_headers(callback_token(iss="https://other.example")), KEYS, named)


def test_a_callback_for_another_facility_is_refused():
    with pytest.raises(AuthError) as caught:
        webhook.verify(_headers(callback_token(), **{"X-HIP-ID": "IN2810000009"}), KEYS, SETTINGS)
    assert caught.value.code == "CALLBACK_FOR_OTHERS"


@pytest.mark.parametrize(
    "key",
    [
        {},
        {"kid": "e", "kty": "EC"},
        _jwk(use="enc"),
        _jwk(alg="HS256"),
        _jwk(alg="none"),
        {"kid": "o", "kty": "oct", "k": "c2VjcmV0", "alg": "HS256"},
        {"kid": "n", "kty": "RSA", "alg": "RS256", "n": "***", "e": "AQAB"},
        {"kid": "n", "kty": "RSA", "alg": "RS256"},
        {"kty": "RSA", "alg": "RS256", "n": _jwk()["n"], "e": "AQAB"},
    ],
)
def test_unusable_keys_of_a_set_are_left_out(key):
    assert list(webhook.signing_keys([key, _jwk()])) == ["k1"]


def test_an_elliptic_key_is_not_taken():
    public = jwt.algorithms.ECAlgorithm.to_jwk(ec.generate_private_key(ec.SECP256R1()).public_key(), as_dict=True)
    assert not webhook.signing_keys([public | {"kid": "e", "use": "sig", "alg": "ES256"}])


class _Source:
    """Stands in for the gateway's key set: gives `answers` one after the other, the last one for ever."""

    def __init__(self, *answers):
        self.answers = list(answers)
        self.asked = 0

    async def __call__(self):
        self.asked += 1
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        return answer


class _Clock:
    def __init__(self):
        self.now = utc_now()

    def __call__(self):
        return self.now


async def test_keys_are_fetched_once_and_kept():
    source = _Source([_jwk()])
    keyring = GatewayKeyring(SETTINGS, source)
    for _ in range(3):
        await keyring.verify(_headers(callback_token()))
    assert source.asked == 1


async def test_a_rotated_key_is_fetched():
    clock = _Clock()
    source = _Source([_jwk()], [_jwk(STRANGER, "k2")])
    keyring = GatewayKeyring(SETTINGS, source, clock)
    await keyring.verify(_headers(callback_token()))
    clock.now += timedelta(minutes=1)
    await keyring.verify(_headers(callback_token(STRANGER, kid="k2")))
    with pytest.raises(AuthError):
        await keyring.verify(_headers(callback_token()))


async def test_invented_key_ids_do_not_become_calls():
    source = _Source([_jwk()])
    keyring = GatewayKeyring(SETTINGS, source)
    for number in range(5):
        with pytest.raises(AuthError):
            await keyring.verify(_headers(callback_token(kid=f"made-up-{number}")))
    assert source.asked == 1


async def test_old_keys_are_fetched_again():
    clock = _Clock()
    source = _Source([_jwk()])
    keyring = GatewayKeyring(SETTINGS, source, clock)
    await keyring.verify(_headers(callback_token()))
    clock.now += timedelta(hours=13)
    await keyring.verify(_headers(callback_token()))
    assert source.asked == 2


async def test_a_gateway_without_keys_is_unavailable_not_a_refusal():
    clock = _Clock()
    source = _Source(UnavailableError("down"), [_jwk()])
    keyring = GatewayKeyring(SETTINGS, source, clock)
    for _ in range(3):
        with pytest.raises(UnavailableError):
            await keyring.verify(_headers(callback_token()))
    assert source.asked == 1
    clock.now += timedelta(seconds=6)
    await keyring.verify(_headers(callback_token()))


async def test_pinned_keys_need_no_call():
    source = _Source(UnavailableError("never asked"))
    pinned = SETTINGS.model_copy(update={"gateway_keys": (_jwk(),)})
    await GatewayKeyring(pinned, source).verify(_headers(callback_token()))
    assert source.asked == 0


@pytest.mark.parametrize("headers", [{}, {"REQUEST-ID": ""}, {"REQUEST-ID": "not-a-uuid"}])
def test_a_callback_without_identity_is_refused(headers):
    body = b'{"response": {"requestId": "r"}, "status": "Successfully Linked"}'
    with pytest.raises(MessageError):
        webhook.parse(body, headers, path="/api/v3/link/on_carecontext")


def test_the_same_identity_in_another_spelling_is_the_same_event():
    body = b'{"response": {"requestId": "r"}, "status": "Successfully Linked"}'
    one, two = (
        webhook.parse(body, {name: value}, path="/x/api/v3/link/on_carecontext")
        for name, value in (
            ("REQUEST-ID", "0B4E7D63-9C1F-4A0E-8F35-2D8A51C0AA01"),
            ("request-id", "0b4e7d63-9c1f-4a0e-8f35-2d8a51c0aa01"),
        )
    )
    assert one == two


@pytest.mark.parametrize("path", ["", "/", "/api/v3/link/on-carecontext", "/api/v3/patients/sms/on-notify"])
def test_other_paths_are_refused(path):
    with pytest.raises(MessageError):
        webhook.parse(b"{}", {"REQUEST-ID": "0b4e7d63-9c1f-4a0e-8f35-2d8a51c0aa01"}, path=path)
