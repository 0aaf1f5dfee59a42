"""Sealed payloads: opened with the key that sealed them, by nobody else, and unchanged."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from temporalio.api.common.v1 import Payload
from temporalio.api.failure.v1 import Failure
from temporalio.exceptions import ApplicationError

from domain.messages import CommandRef
from workflows.codec import CodecError, EncryptionCodec, data_converter, key_ids

OLD, NEW = bytes(range(32)), bytes(range(32, 64))
CLEAR = Payload(metadata={"encoding": b"json/plain", "messageType": b"x"}, data=b'{"name": "Asha Verma"}')


@pytest.fixture
def codec() -> EncryptionCodec:
    return EncryptionCodec({"new": NEW, "old": OLD}, "new")


async def test_what_is_sealed_is_opened(codec):
    (sealed,) = await codec.encode([CLEAR])
    assert sealed.metadata == {"encoding": b"binary/encrypted", "encryption-key-id": b"new"}
    assert b"Asha" not in sealed.SerializeToString()
    assert await codec.decode([sealed]) == [CLEAR]


async def test_the_same_twice_is_sealed_differently(codec):
    first, second = await codec.encode([CLEAR, CLEAR])
    assert first.data != second.data


@given(st.lists(st.binary(max_size=2_000), max_size=5))
async def test_any_bytes_survive(bodies):
    codec = EncryptionCodec({"new": NEW}, "new")
    payloads = [Payload(metadata={"encoding": b"binary/plain"}, data=body) for body in bodies]
    assert await codec.decode(await codec.encode(payloads)) == payloads


async def test_an_old_key_still_opens(codec):
    sealed = await EncryptionCodec({"old": OLD}, "old").encode([CLEAR])
    assert await codec.decode(sealed) == [CLEAR]
    assert key_ids([*sealed, *await codec.encode([CLEAR]), CLEAR]) == {"old", "new"}


async def test_a_key_that_was_taken_away_opens_nothing(codec):
    sealed = await codec.encode([CLEAR])
    with pytest.raises(CodecError, match="not in the ring"):
        await EncryptionCodec({"old": OLD}, "old").decode(sealed)


async def test_a_payload_of_others_passes_through(codec):
    assert await codec.decode([CLEAR, Payload()]) == [CLEAR, Payload()]


@pytest.mark.parametrize("position", [0, 11, 12, 20, -1])
async def test_one_changed_byte_is_noticed(codec, position):
    (sealed,) = await codec.encode([CLEAR])
    changed = bytearray(sealed.data)
    changed[position] ^= 1
    sealed.data = bytes(changed)
    with pytest.raises(CodecError, match="changed"):
        await codec.decode([sealed])


async def test_a_key_id_cannot_be_exchanged():
    codec = EncryptionCodec({"a": NEW, "b": NEW}, "a")
    (sealed,) = await codec.encode([CLEAR])
    sealed.metadata["encryption-key-id"] = b"b"
    with pytest.raises(CodecError, match="changed"):
        await codec.decode([sealed])


@pytest.mark.parametrize(
    "data", [b"", b"short", bytes(range(12)), bytes(range(40))], ids=["empty", "short", "nonce", "long"]
)
async def test_what_was_never_sealed_is_refused(codec, data):
    payload = Payload(metadata={"encoding": b"binary/encrypted", "encryption-key-id": b"new"}, data=data)
    with pytest.raises(CodecError):
        await codec.decode([payload])


@pytest.mark.parametrize("key_id", [b"", b"\xff\xfe"])
async def test_a_key_id_that_is_none(codec, key_id):
    payload = Payload(metadata={"encoding": b"binary/encrypted", "encryption-key-id": key_id}, data=b"x" * 40)
    with pytest.raises(CodecError, match="not in the ring"):
        await codec.decode([payload])


@pytest.mark.parametrize(
    ("keys", "active"), [({}, "a"), ({"a": NEW}, "b"), ({"a": NEW[:16]}, "a"), ({"a": NEW, "b": b""}, "a")]
)
def test_a_wrong_ring_is_refused(keys, active):
    with pytest.raises(CodecError, match="codec keys"):
        EncryptionCodec(keys, active)


async def test_models_are_sealed_on_their_way(codec):
    converter = data_converter(codec)
    (sealed,) = await converter.encode([CommandRef(command_id="c1")])
    assert sealed.metadata["encoding"] == b"binary/encrypted"
    assert await converter.decode([sealed], [CommandRef]) == [CommandRef(command_id="c1")]


async def test_failures_are_sealed_with_message_stack_and_details(codec):
    converter, failure = data_converter(codec), Failure()
    error = ApplicationError("patient Asha Verma", {"code": "X"}, type="RuleError", non_retryable=True)
    await converter.encode_failure(error, failure)
    assert b"Asha" not in failure.SerializeToString()
    assert failure.message == "Encoded failure"
    assert failure.application_failure_info.type == "RuleError"
    opened = await converter.decode_failure(failure)
    assert isinstance(opened, ApplicationError)
    assert (opened.message, opened.details) == ("patient Asha Verma", ({"code": "X"},))


async def test_without_a_codec_nothing_is_sealed():
    (payload,) = await data_converter(None).encode([CommandRef(command_id="c1")])
    assert payload.metadata["encoding"] == b"json/plain"
