"""The analyzer's side of an ASTM line, with faults to order; used by the dev stack, tests and field engineers.

Keeps to the standard's rules: ENQ, one frame at a time, six refusals, whole message again after a failure; answers to
its queries and orders are received in transmissions of the host's own.
"""

from __future__ import annotations

import asyncio

from connectors.astm.framing import SMALL_FRAME_TEXT, frames_of
from connectors.astm.sender import AstmSender, Finished, SenderTimers, SendResult
from connectors.astm.session import Arrived, AstmReceiver, Reply
from connectors.device_side import DeviceLine, LineFaults

MAX_ATTEMPTS = 5


class AstmAnalyzerLine(DeviceLine):
    """Delivers messages over ASTM until they are acknowledged or the attempts are used up."""

    def __init__(
        self,
        host: str,
        port: int,
        faults: LineFaults | None = None,
        *,
        timers: SenderTimers | None = None,
        max_text: int = SMALL_FRAME_TEXT,
        packed: bool = False,
        retry_s: float = 1.0,
    ) -> None:
        super().__init__(host, port, faults)
        self._timers = timers or SenderTimers()
        self._max_text = max_text
        self._packed = packed
        self._retry_s = retry_s

    async def deliver(self, raw: bytes) -> tuple[int, str]:
        """Send one message.

        Returns:
            The number of attempts, and `ACK`, or the reason why the last one failed.
        """
        frames = frames_of(raw, max_text=self._max_text, packed=self._packed)
        copies = 2 if self.faults.duplicate else 1
        attempts, answer = 0, ""
        while copies and attempts < MAX_ATTEMPTS:
            attempts += 1
            try:
                result = await self._transmit(frames, is_first=attempts == 1)
            except OSError:
                await self.close()
                answer = "connection lost"
            else:
                copies -= result is SendResult.SENT
                answer = "ACK" if result is SendResult.SENT else result.value
            if answer != "ACK":
                await asyncio.sleep(self._retry_s)
        return attempts, answer

    async def ask(self, raw: bytes, seconds: float = 15.0) -> list[bytes]:
        """Send a query and return the messages of the answer; none where the host stays silent."""
        _, answer = await self.deliver(raw)
        return await self.receive(seconds) if answer == "ACK" else []

    async def receive(self, seconds: float) -> list[bytes]:
        """Take the next transmission of the host and return its messages; none after `seconds` of silence.

        Raises:
            ConnectionError: The host has closed.
        """
        receiver = AstmReceiver()
        messages: list[bytes] = []
        data = await self.read(seconds)
        while data is not None:
            events = receiver.feed(data)
            while events:
                event = events.pop(0)
                if isinstance(event, Reply):
                    await self.write(event.data)
                    continue
                messages += event.messages if isinstance(event, Arrived) else ()
                events += receiver.settle(is_durable=True)
            data = None if messages and receiver.is_neutral else await self.read(seconds)
        return messages

    async def _transmit(self, frames: tuple[bytes, ...], *, is_first: bool) -> SendResult:
        sender = AstmSender(frames, timers=self._timers)
        must_break = is_first and self.faults.broken_first
        must_drop = is_first and self.faults.drop_before_answer
        events = sender.start()
        while True:
            for event in events:
                if isinstance(event, Finished):
                    return event.result
                await self.write(_with_wrong_checksum(event) if must_break and event.data == frames[0] else event.data)
                must_break = must_break and event.data != frames[0]
                if must_drop and event.data == frames[-1]:
                    raise ConnectionError("cut on purpose")
            timer = sender.timer
            data = await self.read(timer.seconds if timer else self._timers.answer)
            events = sender.expire() if data is None else sender.feed(data)


def _with_wrong_checksum(event: Reply) -> bytes:
    frame = event.data
    wrong = b"00" if frame[-4:-2] != b"00" else b"01"
    return frame[:-4] + wrong + frame[-2:]
