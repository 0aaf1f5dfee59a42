"""The analyzer's side of an MLLP line, with faults to order; used by the dev stack, tests and field engineers.

Sends one message, waits for the acknowledgement that names it, sends again after AE or silence, stops after AR.
"""

from __future__ import annotations

import asyncio

from connectors.device_side import DeviceLine, LineFaults
from connectors.hl7.codec import parse_message
from connectors.hl7.framing import FS, Block, MllpDecoder, encode_block

MAX_ATTEMPTS = 5
_FINAL_ANSWERS = frozenset({"AA", "CA", "AR", "CR"})


class Hl7AnalyzerLine(DeviceLine):
    """Delivers messages over MLLP until they are acknowledged or the attempts are used up."""

    def __init__(
        self,
        host: str,
        port: int,
        faults: LineFaults | None = None,
        *,
        answer_s: float = 15.0,
        retry_s: float = 1.0,
    ) -> None:
        super().__init__(host, port, faults)
        self._answer_s = answer_s
        self._retry_s = retry_s

    async def deliver(self, raw: bytes) -> tuple[int, str]:
        """Send one message.

        Returns:
            The number of attempts, and MSA-1 of the last answer, or "" where none came.
        """
        copies = 2 if self.faults.duplicate else 1
        attempts, answer = 0, ""
        while copies and attempts < MAX_ATTEMPTS:
            attempts += 1
            try:
                answer = await self._exchange(raw, is_first=attempts == 1)
            except OSError:
                await self.close()
                answer = ""
            if answer in _FINAL_ANSWERS:
                copies -= 1
            else:
                await asyncio.sleep(self._retry_s)
        return attempts, answer

    async def _exchange(self, raw: bytes, *, is_first: bool) -> str:
        if is_first and self.faults.broken_first:
            await self.write(encode_block(raw).split(FS)[0])
        await self.write(encode_block(raw))
        if is_first and self.faults.drop_before_answer:
            raise ConnectionError("cut on purpose")
        control_id = parse_message(raw).header.value(10)
        decoder = MllpDecoder()
        while True:
            data = await self.read(self._answer_s)
            if data is None:
                return ""
            for block in decoder.feed(data):
                code = _answer_to(control_id, block.message) if isinstance(block, Block) else ""
                if code:
                    return code


def _answer_to(control_id: str, raw: bytes) -> str:
    """Return MSA-1 of an acknowledgement of `control_id`, else ""."""
    for segment in parse_message(raw).segments:
        if segment.name == "MSA" and segment.value(2) == control_id:
            return segment.value(1)
    return ""
