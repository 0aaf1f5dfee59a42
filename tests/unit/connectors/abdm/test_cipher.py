"""Fidelius against an independent slow implementation: affine points, HKDF by hand, no X25519."""

import base64
import hashlib
import hmac

import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from hypothesis import given, settings
from hypothesis import strategies as st

from connectors.abdm.cipher import KeyEncoding, OwnKey, check_peer_key, decrypt, encrypt_bundle
from domain.errors import MessageError

P = 2**255 - 19
N = 2**252 + 0x14DEF9DEA2F79CD65812631A5CF5D3ED
A = 0x2AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA984914A144
B = 0x7B425ED097B425ED097B425ED097B425ED097B425ED097B4260B5E9C7710C864
G = (
    0x2AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAD245A,
    0x20AE19A1B8A086B4E01EDD2C7748D14C923D4D7E6D7C61B229E9C5A27ECED3D9,
)


def _add(one, two):
    if one is None or two is None:
        return one or two
    (x1, y1), (x2, y2) = one, two
    if x1 == x2 and (y1 + y2) % P == 0:
        return None
    slope = ((3 * x1 * x1 + A) * pow(2 * y1, -1, P) if one == two else (y2 - y1) * pow(x2 - x1, -1, P)) % P
    x3 = (slope * slope - x1 - x2) % P
    return x3, (slope * (x1 - x3) - y1) % P


def _times(scalar, point):
    result = None
    while scalar:
        if scalar & 1:
            result = _add(result, point)
        point, scalar = _add(point, point), scalar >> 1
    return result


def _b64_point(point) -> str:
    return base64.b64encode(b"\x04" + point[0].to_bytes(32, "big") + point[1].to_bytes(32, "big")).decode()


def _hkdf(secret: bytes, salt: bytes) -> bytes:
    extracted = hmac.new(salt, secret, hashlib.sha256).digest()
    return hmac.new(extracted, b"\x01", hashlib.sha256).digest()


def _reference_seal(scalar, peer, nonce_a: bytes, nonce_b: bytes, plaintext: bytes) -> bytes:
    shared = _times(scalar, peer)[0].to_bytes(32, "big")
    mixed = bytes(a ^ b for a, b in zip(nonce_a, nonce_b, strict=True))
    return AESGCM(_hkdf(shared, mixed[:20])).encrypt(mixed[20:], plaintext, None)


def own_key_of(scalar: int, nonce: bytes) -> OwnKey:
    """Return the key of a large foreign scalar: up to sign and multiples of the order it can be clamped."""
    for sign in (scalar, -scalar):
        for multiple in range(3, 10):
            candidate = sign + multiple * N
            if 2**254 <= candidate < 2**255 and candidate % 8 == 0:
                return OwnKey(X25519PrivateKey.from_private_bytes(candidate.to_bytes(32, "little")), nonce)
    raise AssertionError("no clamped scalar")


SENDER, RECEIVER = N // 3, N - 0x77777777777777777777
NONCE_A, NONCE_B = bytes(range(32)), bytes(range(200, 232))
PLAINTEXT = '{"resourceType":"Bundle","note":"₹ हिन्दी 9.80"}'.encode()


def test_same_ciphertext_as_the_slow_implementation():
    sender = own_key_of(SENDER, NONCE_A)
    receiver_point = _b64_point(_times(RECEIVER, G))
    nonce_b = base64.b64encode(NONCE_B).decode()
    expected = _reference_seal(SENDER, _times(RECEIVER, G), NONCE_A, NONCE_B, PLAINTEXT)
    assert sender.encrypt(PLAINTEXT, receiver_point, nonce_b) == expected


def test_the_slow_implementation_reads_what_we_send():
    receiver = _times(RECEIVER, G)
    nonce_b = base64.b64encode(NONCE_B).decode()
    sent = encrypt_bundle(PLAINTEXT, _b64_point(receiver), nonce_b)
    spki = base64.b64decode(sent.public_key)
    peer = (int.from_bytes(spki[-64:-32], "big"), int.from_bytes(spki[-32:], "big"))
    sealed = _reference_seal(RECEIVER, peer, NONCE_B, base64.b64decode(sent.nonce), PLAINTEXT)
    assert base64.b64decode(sent.content) == sealed
    assert sent.checksum == hashlib.md5(PLAINTEXT, usedforsecurity=False).hexdigest()


def test_the_public_point_is_on_the_curve_and_the_right_multiple():
    point = base64.b64decode(own_key_of(SENDER, NONCE_A).public_key(KeyEncoding.POINT))
    x, y = int.from_bytes(point[1:33], "big"), int.from_bytes(point[33:], "big")
    expected = _times(SENDER, G)
    assert x == expected[0]
    assert y in {expected[1], P - expected[1]}


def test_a_shared_secret_with_a_leading_zero_byte_keeps_32_bytes():
    scalar, shared = SENDER, _times(SENDER, G)
    while shared[0] >> 248:
        scalar, shared = scalar + 1, _add(shared, G)
    found = own_key_of(scalar, NONCE_A).shared_secret(_b64_point(G))
    assert found == shared[0].to_bytes(32, "big")
    assert found[0] == 0


@pytest.mark.parametrize("encoding", KeyEncoding)
def test_every_encoding_of_a_key_is_read(encoding):
    alice, bob = OwnKey(), OwnKey()
    sealed = alice.encrypt(PLAINTEXT, bob.public_key(encoding), bob.nonce)
    assert bob.decrypt(sealed, alice.public_key(encoding), alice.nonce) == PLAINTEXT


def test_sizes_on_the_wire():
    assert len(OwnKey().public_key(KeyEncoding.X509)) == 412
    assert len(OwnKey().public_key(KeyEncoding.POINT)) == 88


@settings(max_examples=20, deadline=None)
@given(plaintext=st.binary(max_size=2000))
def test_what_one_side_seals_the_other_opens(plaintext):
    receiver = OwnKey()
    sent = encrypt_bundle(plaintext, receiver.public_key(KeyEncoding.POINT), receiver.nonce)
    assert decrypt(sent.content, receiver, sent.public_key, sent.nonce) == plaintext


def test_every_transfer_has_its_own_key_and_nonce():
    receiver = OwnKey()
    sent = [encrypt_bundle(b"x", receiver.public_key(), receiver.nonce) for _ in range(3)]
    assert len({one.public_key for one in sent}) == len({one.nonce for one in sent}) == 3


def test_entries_of_one_transfer_share_the_key():
    receiver, own = OwnKey(), OwnKey()
    one, two = (encrypt_bundle(text, receiver.public_key(), receiver.nonce, own=own) for text in (b"a", b"b"))
    assert (one.public_key, one.nonce) == (two.public_key, two.nonce)
    assert decrypt(two.content, receiver, two.public_key, two.nonce) == b"b"


@pytest.mark.parametrize("place", [0, 5, -1])
def test_one_changed_byte_is_noticed(place):
    receiver = OwnKey()
    sent = encrypt_bundle(PLAINTEXT, receiver.public_key(), receiver.nonce)
    sealed = bytearray(base64.b64decode(sent.content))
    sealed[place] ^= 1
    with pytest.raises(MessageError) as caught:
        decrypt(base64.b64encode(sealed).decode(), receiver, sent.public_key, sent.nonce)
    assert caught.value.code == "TAG_INVALID"


def test_another_nonce_does_not_open_it():
    receiver = OwnKey()
    sent = encrypt_bundle(PLAINTEXT, receiver.public_key(), receiver.nonce)
    with pytest.raises(MessageError):
        decrypt(sent.content, receiver, sent.public_key, OwnKey().nonce)


def _point(x: int, y: int) -> str:
    return _b64_point((x % 2**256, y % 2**256))


LOW_ORDER_U = [0, 1, P - 1]
DELTA = 486662 * pow(3, -1, P) % P


def _low_order_points():
    for u in LOW_ORDER_U:
        x = (u + DELTA) % P
        square = (x**3 + A * x + B) % P
        y = pow(square, (P + 3) // 8, P)
        y = y if y * y % P == square else y * pow(2, (P - 1) // 4, P) % P
        if y * y % P == square:
            yield _point(x, y)


BAD_KEYS = [
    "",
    "not base64!",
    base64.b64encode(b"\x04" + bytes(63)).decode(),
    base64.b64encode(b"\x02" + bytes(64)).decode(),
    base64.b64encode(b"\x04" + bytes(64)).decode(),
    _point(G[0], G[1] + 1),
    _point(P + G[0], G[1]),
    "A" * 5000,
    *_low_order_points(),
]


@pytest.mark.parametrize("key", BAD_KEYS)
def test_unusable_keys_are_refused(key):
    with pytest.raises(MessageError):
        check_peer_key(key, OwnKey().nonce)


def test_there_are_small_order_points_among_the_bad_keys():
    assert len(list(_low_order_points())) >= 1


@pytest.mark.parametrize("size", [0, 12, 31, 33, 64])
def test_a_nonce_of_another_length_is_refused(size):
    with pytest.raises(MessageError):
        check_peer_key(OwnKey().public_key(), base64.b64encode(bytes(size)).decode())


def test_nothing_secret_in_a_repr():
    receiver = OwnKey()
    sent = encrypt_bundle(PLAINTEXT, receiver.public_key(), receiver.nonce)
    assert sent.content not in repr(sent)
