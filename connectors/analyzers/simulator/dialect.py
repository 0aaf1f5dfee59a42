"""What a dialect has to offer to the simulated device and to the simulated host."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from datetime import datetime

from connectors.analyzers.model import DeviceModel
from connectors.analyzers.simulator.content import NAMED, Desk, Outgoing, Sample, SimulatedTest, WorkAnswer


class Dialect(ABC):
    """The words of one model, in both directions.

    Attributes:
        tests: What the simulated device measures.
        asks: The device asks for work.
        one_record_per_frame: Answers in any other shape are not understood.
    """

    tests: tuple[SimulatedTest, ...] = NAMED
    asks = True
    one_record_per_frame = False

    def __init__(self, model: DeviceModel) -> None:
        self.model = model

    def control_name(self, level: int) -> str:
        """Return what the device calls control material of `level` (0 low, 1 high)."""
        return f"QC-SIM-{'LH'[level]}"

    @abstractmethod
    def results(self, sample: Sample) -> list[bytes]:
        """Return the messages of a measured tube."""

    @abstractmethod
    def query(self, specimen_ids: Sequence[str], serial: int, at: datetime) -> bytes:
        """Return the question for the work on tubes."""

    def cancel_query(self, specimen_ids: Sequence[str], serial: int, at: datetime) -> bytes:
        """Return what takes a question back, or b"" where the dialect has no word for it."""
        return b""

    @abstractmethod
    def work_in(self, raw: bytes) -> WorkAnswer | None:
        """Return the work a message from the host brings, or None where it brings none."""

    def reply(self, raw: bytes, serial: int, at: datetime) -> bytes:
        """Return the device's own answer to a message from the host, or b""."""
        return b""

    @abstractmethod
    def respond(self, raw: bytes, desk: Desk, serial: int, at: datetime) -> list[Outgoing]:
        """Host: return what answers a message of the device."""

    @abstractmethod
    def download(self, specimen_id: str, codes: Sequence[str], serial: int, at: datetime) -> bytes:
        """Host: return the message that brings work nobody asked for."""
