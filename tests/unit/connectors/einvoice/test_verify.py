import json

import jwt
import pytest

from connectors.einvoice.simulator.signing import PortalKey
from connectors.einvoice.verify import verify_signed_invoice, verify_signed_qr
from domain.errors import AuthError, MessageError

KEY, STRANGER = PortalKey(), PortalKey()
KEYS = {KEY.key_id: KEY.public_pem}
GOOD = KEY.sign({"Irn": "x", "TotInvVal": 0.1})


def _signed(claims, *, key=KEY, **headers):
    return jwt.encode(claims, key.private, algorithm="RS256", headers={"kid": KEY.key_id} | headers)


def test_signed_content_comes_back_exact():
    assert str(verify_signed_invoice(GOOD, KEYS)["TotInvVal"]) == "0.1"
    assert verify_signed_qr(GOOD, KEYS)["Irn"] == "x"


def test_without_keys_nothing_is_trusted():
    with pytest.raises(AuthError) as caught:
        verify_signed_invoice(GOOD, {})
    assert caught.value.code == "EINVOICE_NO_SIGNING_KEYS"
    assert "signing" in caught.value.action


def test_unknown_key_id_is_never_trusted():
    with pytest.raises(AuthError) as caught:
        verify_signed_invoice(STRANGER.sign({}), KEYS)
    assert caught.value.code == "EINVOICE_SIGNING_KEY_UNKNOWN"


def _tampered():
    head, body, signature = GOOD.split(".")
    middle = len(signature) // 2
    other = "A" if signature[middle] != "A" else "B"
    return [
        f"{head}.{body}.{signature[:middle]}{other}{signature[middle + 1 :]}",
        f"{head}.{body}.",
        f"{head}.{KEY.sign({'Irn': 'y'}).split('.')[1]}.{signature}",
        _signed({"data": "{}"}, key=STRANGER),
        jwt.encode({"data": "{}"}, None, algorithm="none", headers={"kid": KEY.key_id}),
        jwt.encode({"data": "{}"}, "s" * 64, algorithm="HS256", headers={"kid": KEY.key_id}),
    ]


@pytest.mark.parametrize("token", _tampered())
def test_any_change_is_refused(token):
    with pytest.raises(AuthError):
        verify_signed_invoice(token, KEYS)


@pytest.mark.parametrize(
    "token",
    [
        "",
        "x",
        "a.b.c",
        "..",
        "é.é.é",
        _signed({}),
        _signed({"data": 5}),
        _signed({"data": "not json"}),
        _signed({"data": "[]"}),
        _signed({"data": "[" * 50_000}),
        _signed({"data": json.dumps("text")}),
        "x" * (4 * 1024 * 1024 + 1),
    ],
)
def test_unreadable_content_is_a_message_error(token):
    with pytest.raises(MessageError) as caught:
        verify_signed_invoice(token, KEYS)
    assert caught.value.code == "EINVOICE_SIGNED_UNREADABLE"


@pytest.mark.parametrize("pem", ["", "nonsense", "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n"])
def test_bad_configured_key_is_explained(pem):
    with pytest.raises(AuthError) as caught:
        verify_signed_invoice(GOOD, {KEY.key_id: pem})
    assert caught.value.code == "EINVOICE_SIGNING_KEY_INVALID"
