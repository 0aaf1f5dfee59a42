"""Which protocol a profile means: how to converse with the device, and how to read what it sent."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Final, TypeAlias

from connectors.astm.conversation import converse as converse_astm
from connectors.astm.messages import read_message as read_astm
from connectors.au.conversation import converse as converse_au
from connectors.au.messages import read_message as read_au
from connectors.dimension.conversation import converse as converse_dimension
from connectors.dimension.messages import read_message as read_dimension
from connectors.hl7.conversation import converse as converse_hl7
from connectors.hl7.device_lines import DeviceLines
from connectors.hl7.messages import read_message as read_hl7
from connectors.line import Conversation
from domain.device_profile import DeviceProfile
from domain.observations import InstrumentMessage

Reader: TypeAlias = Callable[[bytes, DeviceProfile], InstrumentMessage]


@dataclass(frozen=True)
class Speech:
    """One protocol.

    Attributes:
        conversation: Makes what speaks it on the lines of one device; where these have something to share, they do.
        read: Reads one of its messages. Raises MessageError.
        answer_seconds: Longest wait for the store after which an answer would still be understood by the device.
    """

    conversation: Callable[[], Conversation]
    read: Reader
    answer_seconds: float


SPEECHES: Final[Mapping[str, Speech]] = {
    # a sender gives up after 15 s (ASTM E1381-95, 6.5.2); the two without a stated time are treated alike
    "astm": Speech(lambda: converse_astm, read_astm, 12.0),
    "au": Speech(lambda: converse_au, read_au, 12.0),
    "dimension": Speech(lambda: converse_dimension, read_dimension, 12.0),
    "hl7": Speech(lambda: partial(converse_hl7, lines=DeviceLines()), read_hl7, float("inf")),
}
"""By `DeviceProfile.protocol`."""


def speech_of(profile: DeviceProfile) -> Speech:
    """Return the protocol of a profile."""
    return SPEECHES[profile.protocol]


def read_message(raw: bytes, profile: DeviceProfile) -> InstrumentMessage:
    """Read a message of any protocol.

    Raises:
        MessageError: It cannot be understood or exceeds a bound.
    """
    return speech_of(profile).read(raw, profile)
