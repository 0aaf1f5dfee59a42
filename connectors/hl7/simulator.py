"""The analyzer's side of an MLLP line, with faults to order; used by the dev stack, tests and field engineers.

Sends one message, waits for the acknowledgement that names it, sends again after AE or silence, stops after AR. Asks
for work, and answers the orders it is sent like an analyzer that can do everything but some tests.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from connectors.device_side import DeviceLine, LineFaults
from connectors.hl7.codec import Segment, parse_message
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
        self._decoder = MllpDecoder()
        self.refuses: frozenset[str] = frozenset()
        """Test codes that the analyzer cannot do."""
        self.orders: list[bytes] = []
        """Messages with work, in the order they came."""

    async def ask(self, query: bytes, *, quiet_s: float = 0.5) -> list[bytes]:
        """Send a query and return all that comes until `quiet_s` pass in silence; orders are answered.

        Raises:
            OSError: The peer is not there, or gone.
        """
        await self.write(encode_block(query))
        return await self.listen(self._answer_s, quiet_s=quiet_s)

    async def listen(self, seconds: float, *, quiet_s: float | None = None) -> list[bytes]:
        """Return all that comes within `seconds`, or until `quiet_s` pass after something came; orders are answered.

        Raises:
            OSError: The peer is not there, or gone.
        """
        loop = asyncio.get_running_loop()
        ends_at = loop.time() + seconds
        heard: list[bytes] = []
        while loop.time() < ends_at:
            left = ends_at - loop.time()
            data = await self.read(left if quiet_s is None or not heard else min(left, quiet_s))
            if data is None:
                break
            heard += [message async for message in self._taken(data)]
        return heard

    async def close(self) -> None:
        """Close the connection; what was half received is forgotten."""
        self._decoder = MllpDecoder()
        await super().close()

    async def _taken(self, data: bytes) -> AsyncIterator[bytes]:
        for block in self._decoder.feed(data):
            if isinstance(block, Block):
                answer = self._answer_to_work(block.message)
                if answer:
                    self.orders.append(block.message)
                    await self.write(encode_block(answer))
                yield block.message

    def _answer_to_work(self, raw: bytes) -> bytes:
        """Return ORL^O34, ORL^O22 or ACK^Q03 for a message with work, else b""."""
        message = parse_message(raw)
        kind, control_id = message.header.value(9, 1), message.header.value(10)
        answers = {"OML^O33": "ORL^O34^ORL_O42", "OML^O21": "ORL^O22^ORL_O22", "DSR^Q03": "ACK^Q03"}
        named = answers.get(f"{kind}^{message.header.value(9, 2)}")
        if named is None:
            return b""
        version = message.header.value(12)
        lines = [f"MSH|^~\\&|SIM||LIS||20260101||{named}|{control_id}|P|{version}", f"MSA|AA|{control_id}"]
        lines += [self._verdict(segment) for segment in message.segments if segment.name == "OBR" and kind == "OML"]
        return ("\r".join(lines) + "\r").encode()

    def _verdict(self, request: Segment) -> str:
        is_refused = request.value(4, 1) in self.refuses
        return f"ORC|{'UA' if is_refused else 'OK'}|{request.raw(2)}|||{'CA' if is_refused else 'SC'}"

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
        while True:
            data = await self.read(self._answer_s)
            if data is None:
                return ""
            codes = [_answer_to(control_id, message) async for message in self._taken(data)]
            if any(codes):
                return next(code for code in codes if code)


def _answer_to(control_id: str, raw: bytes) -> str:
    """Return MSA-1 of an acknowledgement of `control_id`, else ""."""
    for segment in parse_message(raw).segments:
        if segment.name == "MSA" and segment.value(2) == control_id:
            return segment.value(1)
    return ""
