"""Passwords are hashed as recommended and weak ones refused; networks share their attempts."""

import pytest

from api.auth import Passwords, _network
from domain.errors import RuleError


@pytest.fixture(scope="module")
def passwords():
    return Passwords()


async def test_a_password_fits_its_hash_and_no_other(passwords):
    hashed = await passwords.hashed("a sentence only I know")
    assert hashed.startswith("$argon2id$v=19$m=19456,t=2,p=1$")
    assert await passwords.match(hashed, "a sentence only I know")
    assert not await passwords.match(hashed, "a sentence only you know")


async def test_nobody_has_no_password(passwords):
    assert not await passwords.match(None, "anything")
    assert not await passwords.match("not a hash", "anything")


@pytest.mark.parametrize(
    "weak", ["short", "x" * 129, "password123456", "aaaaaaaaaaaaaaaa", "abababababab", "123456789012"]
)
async def test_weak_passwords_are_refused(passwords, weak):
    with pytest.raises(RuleError) as error:
        await passwords.hashed(weak)
    assert error.value.code == "PASSWORD_WEAK"
    assert weak not in str(error.value)


@pytest.mark.parametrize(
    ("one", "two", "same"),
    [
        ("192.0.2.1", "192.0.2.200", True), ("192.0.2.1", "192.0.3.1", False),
        ("2001:db8::1", "2001:db8::ffff", True), ("2001:db8::1", "2001:db8:1::1", False), ("", "nonsense", True),
    ],
)  # fmt: skip
def test_addresses_of_one_network_count_together(one, two, same):
    assert (_network(one) == _network(two)) is same
