import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.einvoice.crypto import decrypt, decrypt_login, encrypt, encrypt_login, new_app_key
from connectors.einvoice.simulator.signing import PortalKey

KEY = PortalKey()


@given(st.binary(max_size=200), st.binary(min_size=32, max_size=32))
def test_round_trip(plain, key):
    assert decrypt(key, encrypt(key, plain)) == plain


def test_equal_blocks_encrypt_equally():
    sealed = base64.b64decode(encrypt(b"k" * 32, b"x" * 32))
    assert sealed[:16] == sealed[16:32], "AES in ECB mode, as the portal wants it"
    assert len(sealed) == 48, "PKCS7 adds a block"


@pytest.mark.parametrize("sealed", ["", "x", "AAAA", "é", "A" * 64])
def test_nonsense_is_a_value_error(sealed):
    with pytest.raises(ValueError):  # noqa: PT011  several libraries' texts
        decrypt(b"k" * 32, sealed)


@pytest.mark.parametrize("key", [b"", b"k" * 16, base64.b64encode(b"k" * 32)])
def test_only_32_byte_keys(key):
    with pytest.raises(ValueError, match="32 bytes"):
        encrypt(key, b"x")


def test_login_is_base64_inside_rsa():
    login = {"UserName": "u", "Password": "p", "AppKey": base64.b64encode(new_app_key()).decode()}
    assert decrypt_login(KEY.private, encrypt_login(KEY.public_pem, login)) == login


def test_too_long_a_login_is_refused_before_sending():
    with pytest.raises(ValueError, match="too long"):
        encrypt_login(KEY.public_pem, {"UserName": "u" * 200})


def test_app_keys_are_fresh():
    assert new_app_key() != new_app_key()
    assert len(new_app_key()) == 32
