"""Plays a Dimension analyzer: polls, asks for single tubes, confirms work and sends results.

Source: Dimension Clinical Chemistry Systems Interface Specification Guide as implemented by RosieLIS (MIT), read in
specs.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import TracebackType
from typing import Self

from connectors.blocks import ACK, ETX
from connectors.device_side import DeviceLine, LineFaults
from connectors.dimension.texts import checksum, fields_of, framed

_ANSWER_SECONDS = 5.0
_TRIES = 3


class DimensionSimulator:
    """One analyzer on a TCP connection. Every method raises ConnectionError when the host is gone."""

    def __init__(self, host: str, port: int, faults: LineFaults | None = None) -> None:
        self._line = DeviceLine(host, port, faults)
        self._unread = b""

    async def __aenter__(self) -> Self:
        await self._line.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._line.__aexit__(kind, error, trace)

    async def poll(self) -> list[str]:
        """Poll and return the fields of the host's answer, [] when there is none."""
        return await self.say("P", "1", "1", "1")

    async def ask(self, specimen: str) -> list[str]:
        """Ask for the work on a tube and return the fields of the answer."""
        return await self.say("I", specimen)

    async def confirm(self, *, is_taken: bool, code: str = "") -> None:
        """Take or refuse the work that came last."""
        await self._deliver(framed("M", "A" if is_taken else "R", code, "", "", "42" if is_taken else "0"))

    async def result(self, specimen: str, values: Mapping[str, str], *, run_at: str = "", unit: str = "mg/dL") -> bool:
        """Send results; `run_at` is `ssmmhhDDMMYY`. True when the host took them."""
        rows = [field for name, value in values.items() for field in (name, value, unit, "")]
        answer = await self.say("R", "0", "", specimen, "1", "", "0", run_at, "1", "1", str(len(values)), *rows)
        return answer[:2] == ["M", "A"]

    async def say(self, *fields: str) -> list[str]:
        """Send a message and return the fields of the host's answer, [] when there is none."""
        await self._deliver(framed(*fields))
        body = await self._block()
        if body is None or checksum(body[:-2]) != body[-2:]:
            return []
        await self._line.write(ACK)
        return fields_of(body[:-2].decode("latin-1"))

    async def _deliver(self, block: bytes) -> None:
        for _ in range(_TRIES):
            await self._line.write(block)
            if await self._byte() == ACK:
                return
        raise ConnectionError("the host does not acknowledge")

    async def _byte(self) -> bytes:
        if not self._unread:
            self._unread = await self._line.read(_ANSWER_SECONDS) or b""
        first, self._unread = self._unread[:1], self._unread[1:]
        return first

    async def _block(self) -> bytes | None:
        block = bytearray()
        while byte := await self._byte():
            block += byte
            if byte[0] == ETX:
                return bytes(block[1:-1])
        return None
