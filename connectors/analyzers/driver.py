"""Which models are known, and what a request of a device holds."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Final

from connectors.analyzers.library import ModelLibrary
from connectors.analyzers.model import DeviceModel
from connectors.astm import records as astm_records
from connectors.hl7 import framing as hl7_framing

MODELS: Final[Mapping[str, DeviceModel]] = ModelLibrary(Path(__file__).parent / "models")
"""Known models by key; the file of a model is read when it is first asked for."""


def split_http_body(body: bytes, protocol: str) -> list[bytes]:
    """Return the messages in an HTTP request body of `protocol` (`astm` or `hl7`).

    Raises:
        FrameError: An ASTM frame in it is broken.
    """
    return astm_records.split_http_body(body) if protocol == "astm" else hl7_framing.split_http_body(body)
