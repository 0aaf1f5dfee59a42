"""Plays an AU analyzer: asks for the work on tubes and sends results, in the layout a site has set.

Source: AU680/AU480 Instrument Online Specification, January 2011 v9, as cited by live sites, read in specs.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import TracebackType
from typing import Self

from connectors.au.texts import IDENTITY_CHARS, NAME_CHARS, framed
from connectors.blocks import ACK, ETX, STX
from connectors.device_side import DeviceLine, LineFaults
from domain.device_profile import AuLayout

_ACK_SECONDS = 5.0
_TRIES = 3


class AuSimulator:
    """One analyzer on a TCP connection. Every method raises ConnectionError when the host is gone."""

    def __init__(self, host: str, port: int, layout: AuLayout, faults: LineFaults | None = None) -> None:
        self._line = DeviceLine(host, port, faults)
        self._layout = layout
        self._sample_no = 0
        self._unread = b""

    async def __aenter__(self) -> Self:
        await self._line.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._line.__aexit__(kind, error, trace)

    def identity(self, code: str, specimen: str, kind: str = "N") -> str:
        """Return the identity of the next sample."""
        self._sample_no += 1
        width = self._layout.specimen_width
        return f"{code}000101{kind}{self._sample_no % 10_000:04d}{specimen:>{width}.{width}}"

    def result(self, specimen: str, values: Mapping[str, str], *, code: str = "D ", run_at: str = "") -> str:
        """Return the text of a result; `run_at` is the run's date and time, `YYYYMMDDHHMMSS`."""
        own = self._layout
        offset = own.results_offset
        header = f"{'    E0':<{offset - 14}}{run_at:14}" if offset else "    E"
        rows = "".join(
            f"{test:0>{own.test_width}}{'':{own.dilution_width}}{value:>{own.value_width}}{'':{own.marks_width}}"
            for test, value in values.items()
        )
        return f"{self.identity(code, specimen, ' ')}{header}{rows}".rstrip()

    async def send(self, text: str) -> bool:
        """Send one block; False when it was refused every time, or nobody answered."""
        for _ in range(_TRIES):
            await self._line.write(framed(text, self._layout))
            answer = await self._byte(_ACK_SECONDS)
            if answer == ACK:
                return True
            if answer is None:
                return False
        return False

    async def ask(self, specimen: str, *, code: str = "R ", seconds: float = _ACK_SECONDS) -> list[str] | None:
        """Ask for the work on a tube.

        Returns:
            Online test numbers; None when the host did not answer.

        Raises:
            ValueError: The answer is not for this sample: the machine shows alarm 6042.
        """
        request = self.identity(code, specimen)
        if not await self.send(request):
            return None
        answer = await self._block(seconds)
        if answer is None:
            return None
        await self._line.write(ACK)
        end = IDENTITY_CHARS + self._layout.specimen_width
        if answer == "SE":
            return []
        if answer[:end] != f"S{request[1:8]} {request[9:]}" or answer[end : end + 5] != "    E":
            raise ValueError("online mismatch")
        numbers = answer[end + 5 + (6 + NAME_CHARS if self._layout.has_name_block else 0) :]
        width = self._layout.test_width
        return [numbers[start : start + width] for start in range(0, len(numbers), width)]

    async def _byte(self, seconds: float) -> bytes | None:
        if not self._unread:
            self._unread = await self._line.read(seconds) or b""
        first, self._unread = self._unread[:1], self._unread[1:]
        return first or None

    async def _block(self, seconds: float) -> str | None:
        text = bytearray()
        while (byte := await self._byte(seconds)) is not None:
            text += byte
            if byte[0] == ETX:
                if self._layout.has_check_byte:
                    await self._byte(seconds)
                return text.decode("latin-1").strip(chr(STX) + chr(ETX))
        return None
