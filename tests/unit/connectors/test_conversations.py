"""Every protocol of a profile can be spoken and read."""

import typing

import pytest

from connectors.conversations import SPEECHES, read_message, speech_of
from domain.device_profile import DeviceProfile
from domain.errors import MessageError
from domain.observations import MessageKind

PROTOCOLS = typing.get_args(DeviceProfile.model_fields["protocol"].annotation)


def test_every_protocol_has_its_speech():
    assert set(SPEECHES) == set(PROTOCOLS)


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_each_refuses_what_is_none_of_its_messages(protocol: str):
    profile = DeviceProfile(protocol=protocol)
    assert speech_of(profile).answer_seconds > 5
    with pytest.raises(MessageError):
        read_message(b"\xff", profile)


@pytest.mark.parametrize(
    ("protocol", "raw"),
    [("au", b"R 000301N0095  26"), ("dimension", b"I\x1c26\x1c"), ("astm", b"H|\\^&\rQ|1|^26\rL|1\r")],
)
def test_each_reads_its_own(protocol: str, raw: bytes):
    message = read_message(raw, DeviceProfile(protocol=protocol))
    assert (message.kind, message.queried_specimens) == (MessageKind.QUERY, ("26",))
