"""The analyzer's end of a line, as far as both protocols share it: what went out, what came back, what goes wrong.

For simulators only.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

_READ_BYTES = 4096


@dataclass(frozen=True)
class LineFaults:
    """What shall go wrong on the line; by default nothing.

    Attributes:
        max_piece: Cut everything into pieces of 1 to this many bytes; 0 sends whole.
        pause_s: Seconds between pieces: a slow device.
        broken_first: Send each message broken once before the good one: ASTM with a wrong checksum in its first frame,
            HL7 without its end mark.
        drop_before_answer: Cut the connection once per message after the last byte, before the answer is read.
        duplicate: Send each message twice.
        seed: For the sizes of the pieces.
    """

    max_piece: int = 0
    pause_s: float = 0.0
    broken_first: bool = False
    drop_before_answer: bool = False
    duplicate: bool = False
    seed: int = 1


@dataclass(frozen=True)
class Delivery:
    """One message of the simulator's journal.

    Attributes:
        specimen_id: The barcode, or the control's name.
        is_control: True for control material.
        raw: The message without frames or marks.
        values: What it reports, by device test code.
        attempts: How often it was sent.
        answer: The last answer: `ACK`, `AA`, `AE`, …, or "" for none.
    """

    specimen_id: str
    is_control: bool
    raw: bytes = field(repr=False)
    values: Mapping[str, str]
    attempts: int
    answer: str

    @property
    def is_acknowledged(self) -> bool:
        """True when the peer said that it has the message."""
        return self.answer in {"ACK", "AA", "CA"}


class DeviceLine:
    """A client connection that can be cut, slowed down and opened again."""

    def __init__(self, host: str, port: int, faults: LineFaults | None = None) -> None:
        self.faults = faults or LineFaults()
        self._host = host
        self._port = port
        self._random = random.Random(self.faults.seed)  # noqa: S311  cuts bytes, guards nothing
        self._reader: asyncio.StreamReader | None = None
        self._writer: asyncio.StreamWriter | None = None

    async def write(self, data: bytes) -> None:
        """Send `data`, connecting first where needed, in the pieces the faults ask for.

        Raises:
            OSError: The peer is not there, or gone.
        """
        if self._writer is None:
            self._reader, self._writer = await asyncio.open_connection(self._host, self._port)
        for piece in self._pieces(data):
            self._writer.write(piece)
            await self._writer.drain()
            if self.faults.max_piece:
                await asyncio.sleep(self.faults.pause_s)

    async def read(self, seconds: float) -> bytes | None:
        """Return the next bytes; None after `seconds` of silence.

        Raises:
            ConnectionError: The peer has closed.
        """
        if self._reader is None:
            raise ConnectionError("not connected")
        try:
            async with asyncio.timeout(seconds):
                data = await self._reader.read(_READ_BYTES)
        except TimeoutError:
            return None
        if not data:
            raise ConnectionError("the peer has closed the connection")
        return data

    async def close(self) -> None:
        """Close the connection, if there is one."""
        writer, self._writer, self._reader = self._writer, None, None
        if writer is not None:
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    def _pieces(self, data: bytes) -> list[bytes]:
        if not self.faults.max_piece:
            return [data]
        pieces = []
        position = 0
        while position < len(data):
            size = self._random.randint(1, self.faults.max_piece)
            pieces.append(data[position : position + size])
            position += size
        return pieces
