"""Which reader reads a device, and which models are known."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from connectors.analyzers.library import ModelLibrary
from connectors.analyzers.model import DeviceModel
from connectors.astm import messages as astm_messages
from connectors.astm import records as astm_records
from connectors.hl7 import framing as hl7_framing
from connectors.hl7 import messages as hl7_messages
from domain.device_profile import DeviceProfile
from domain.errors import MessageError
from domain.observations import InstrumentMessage

Reader = Callable[[bytes, DeviceProfile], InstrumentMessage]
"""Reads one message. Raises MessageError where it cannot."""

MODELS: Final[Mapping[str, DeviceModel]] = ModelLibrary(Path(__file__).parent / "models")
"""Known models by key; the file of a model is read when it is first asked for."""

_READERS: Final[Mapping[str, Reader]] = {"astm": astm_messages.read_message, "hl7": hl7_messages.read_message}


def reader_for(profile: DeviceProfile) -> Reader:
    """Return the reader of the protocol a device speaks.

    Raises:
        MessageError: There is none for it here.
    """
    reader = _READERS.get(profile.protocol)
    if reader is None:
        raise MessageError(f"messages of protocol {profile.protocol} cannot be read here")
    return reader


def read_message(raw: bytes, profile: DeviceProfile) -> InstrumentMessage:
    """Read one message of a device.

    Raises:
        MessageError: It is none, or exceeds a bound.
    """
    return reader_for(profile)(raw, profile)


def split_http_body(body: bytes, protocol: str) -> list[bytes]:
    """Return the messages in an HTTP request body of `protocol` (`astm` or `hl7`).

    Raises:
        FrameError: An ASTM frame in it is broken.
    """
    return astm_records.split_http_body(body) if protocol == "astm" else hl7_framing.split_http_body(body)
