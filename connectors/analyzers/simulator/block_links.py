"""The simulated ends of the two protocols that are neither ASTM nor HL7: Beckman AU "Online" and Siemens Dimension.

Written from the facts alone, without the connectors that serve these devices: what both sides agree on is then more
than one person's reading.
"""

from __future__ import annotations

from functools import reduce
from operator import xor

from connectors.analyzers.simulator.faults import SimulatorFaults
from connectors.analyzers.simulator.link import LinkTimes, SimulatedLink
from connectors.device_side import DeviceLine

STX, ETX, ACK, NAK, ETB = b"\x02", b"\x03", b"\x06", b"\x15", b"\x17"


class BlockLink(SimulatedLink):
    """Blocks between STX and ETX, each answered ACK or NAK.

    Args:
        has_check_byte: AU: whether a byte of exclusive-or follows ETX. It does not matter for Dimension.
    """

    def __init__(
        self,
        line: DeviceLine,
        *,
        has_check_byte: bool = False,
        faults: SimulatorFaults | None = None,
        times: LinkTimes | None = None,
    ) -> None:
        super().__init__(line, faults=faults, times=times)
        self._has_check_byte = has_check_byte
        self._buffer = b""
        self._text = b""

    async def _attempt(self, message: bytes, *, is_first: bool) -> tuple[str, bytes]:
        block = self._encoded(message)
        if is_first and self.faults.broken_first:
            await self.line.write(self._broken(block))
            await self.line.read(self.times.retry)
        await self.line.write(block)
        if is_first and self.faults.drop_before_answer:
            raise ConnectionError("cut on purpose")
        while data := await self.line.read(self.times.answer):
            if data[:1] in {ACK, NAK}:
                answer, rest = data[:1], data[1:]
                if rest:
                    await self._take(rest)
                return ("ACK" if answer == ACK else "NAK"), b""
            await self._take(data)
            if self._inbox:  # the peer goes on: that says that it has our block
                return "ACK", b""
        return "no answer", b""

    async def _take(self, data: bytes) -> None:
        self._buffer += data
        while (block := self._next_block()) is not None:
            if self._ignores():
                continue
            text = self._decoded(block)
            if text is None or self._refuses():
                await self.line.write(NAK)
                continue
            await self.line.write(ACK)
            self._text += text
            if not self._goes_on(block):
                self._inbox.append(self._text)
                self._text = b""

    def _next_block(self) -> bytes | None:
        """Cut the next block out of what has arrived, from STX to its end mark and check byte."""
        start = self._buffer.rfind(STX, 0, self._end_of_text() + 1)
        end = self._end_of_text() + 1 + (1 if self._has_check_byte else 0)
        if start < 0 or end > len(self._buffer) or self._end_of_text() < 0:
            return None
        block, self._buffer = self._buffer[start:end], self._buffer[end:]
        return block

    def _end_of_text(self) -> int:
        found = [position for mark in (ETX, ETB) if (position := self._buffer.find(mark)) >= 0]
        return min(found, default=-1)

    def _goes_on(self, block: bytes) -> bool:
        return ETB in block

    def _encoded(self, text: bytes) -> bytes:
        body = text + ETX
        return STX + body + (bytes((reduce(xor, body),)) if self._has_check_byte else b"")

    def _decoded(self, block: bytes) -> bytes | None:
        """Return the text of a block, or None where its check byte is wrong."""
        if not self._has_check_byte:
            return block[1:-1]
        return block[1:-2] if reduce(xor, block[1:-1]) == block[-1] else None

    def _broken(self, block: bytes) -> bytes:
        return block[:-1] + bytes((block[-1] ^ 0x55,)) if self._has_check_byte else block[: len(block) // 2]


class DimensionLink(BlockLink):
    """Two hexadecimal digits before ETX: the sum modulo 256 of all bytes after STX.

    Source: roy-harmon/RosieLIS (serial service for a Dimension Xpand+), read in specs.
    """

    def _encoded(self, text: bytes) -> bytes:
        return STX + text + b"%02X" % (sum(text) & 0xFF) + ETX

    def _decoded(self, block: bytes) -> bytes | None:
        text, check = block[1:-3], block[-3:-1]
        return text if check.upper() == b"%02X" % (sum(text) & 0xFF) else None

    def _broken(self, block: bytes) -> bytes:
        return block[:-3] + (b"00" if block[-3:-1] != b"00" else b"01") + ETX
