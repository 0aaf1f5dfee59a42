"""The simulated end of an ASTM line: standard frames, SNIBE's simple blocks, bare records."""

from __future__ import annotations

import asyncio
import re

from connectors.analyzers.simulator.faults import SimulatorFaults
from connectors.analyzers.simulator.link import LinkTimes, SimulatedLink
from connectors.astm.framing import ACK, CR, ENQ, EOT, ETX, LF, NAK, STX, frames_of
from connectors.astm.sender import AstmSender, Finished, SenderRole, SenderTimers, SendResult
from connectors.astm.session import Arrived, AstmReceiver, Event, Reply
from connectors.device_side import DeviceLine
from domain.device_profile import Transmission

_BARE_MESSAGE = re.compile(rb"\n*(H.*?\nL[^\n]*)\n", re.DOTALL)
_YIELD_SECONDS = 20.0
"""How long the computer waits for the device after contention. Source: ASTM E1381-95, 6.2.7.2."""


class FramedLink(SimulatedLink):
    """Standard frames, either role.

    Attributes:
        received_frames: Frames of the last message received.
    """

    def __init__(
        self,
        line: DeviceLine,
        transmission: Transmission,
        *,
        role: SenderRole = SenderRole.INSTRUMENT,
        faults: SimulatorFaults | None = None,
        times: LinkTimes | None = None,
    ) -> None:
        super().__init__(line, faults=faults, times=times)
        self._transmission = transmission
        self._role = role
        self._receiver = AstmReceiver()
        self._contends = self.faults.contention
        self._frames = 0
        self._arrived: list[bytes] = []
        self.received_frames = 0

    async def _attempt(self, message: bytes, *, is_first: bool) -> tuple[str, bytes]:
        frames = frames_of(
            message, max_text=self._transmission.frame_text, packed=self._transmission.packing == "packed"
        )
        if self._transmission.ends_every_frame:
            frames = tuple(_ended(frame) for frame in frames)
        times = SenderTimers(answer=self.times.answer, busy=self.times.busy, contention=self.times.contention)
        sender = AstmSender(frames, role=self._role, timers=times)
        must_break = is_first and self.faults.broken_first
        must_drop = is_first and self.faults.drop_before_answer
        events = sender.start()
        while True:
            for event in events:
                if isinstance(event, Finished):
                    return await self._after(event.result), b""
                is_broken = must_break and event.data == frames[0]
                await self.line.write(_with_wrong_sum(event.data) if is_broken else event.data)
                must_break = must_break and not is_broken
                if must_drop and event.data == frames[-1]:
                    raise ConnectionError("cut on purpose")
            data = await self.line.read(sender.timer.seconds if sender.timer else self.times.answer)
            events = sender.expire() if data is None else sender.feed(data)

    async def _after(self, result: SendResult) -> str:
        """Listen first where the peer wants to send."""
        if result in {SendResult.YIELDED, SendResult.INTERRUPTED}:
            data = await self.line.read(min(_YIELD_SECONDS, self.times.answer))
            while data:
                await self._take(data)
                data = None if EOT in data else await self.line.read(self.times.answer)
        return "ACK" if result is SendResult.SENT else result.value

    async def _take(self, data: bytes) -> None:
        if ENQ in data and STX not in data and await self._spoils_opening():
            return
        if STX in data:
            if self._refuses():
                await self.line.write(NAK)
                return
            self._frames += data.count(STX)
        await self._handle(self._receiver.feed(data))
        if EOT in data:
            self._frames = 0
            self._inbox.extend(self._rest())

    def _rest(self) -> list[bytes]:
        """Messages are handed out when the line is free again: an answer may then be sent."""
        arrived, self._arrived = self._arrived, []
        return arrived

    async def _spoils_opening(self) -> bool:
        """Ignore the peer's ENQ, or meet it with our own and have nothing to say when the peer gives way."""
        if self._ignores():
            return True
        if not self._contends:
            return False
        self._contends = False
        await self.line.write(ENQ)
        await asyncio.sleep(self.times.contention)
        await self.line.write(ENQ)
        if await self.line.read(self.times.answer) == ACK:
            await self.line.write(EOT)
        return True

    async def _handle(self, events: list[Event]) -> None:
        for event in events:
            if isinstance(event, Reply):
                await self.line.write(event.data)
                continue
            if isinstance(event, Arrived):
                self._arrived.extend(event.messages)
                self.received_frames = self._frames
            await self._handle(self._receiver.settle(is_durable=True))


class SimpleLink(SimulatedLink):
    """SNIBE MAGLUMI: ENQ, STX, all records, ETX, EOT, each step acknowledged; no numbers, no checksums.

    A block that begins with a frame number is refused without a word.

    Source: live interfaces at laboratories in northern India, read in specs.
    """

    def __init__(
        self, line: DeviceLine, *, faults: SimulatorFaults | None = None, times: LinkTimes | None = None
    ) -> None:
        super().__init__(line, faults=faults, times=times)
        self._block: bytearray | None = None
        self._is_acknowledged = False

    async def _attempt(self, message: bytes, *, is_first: bool) -> tuple[str, bytes]:
        if is_first and self.faults.broken_first:
            for step in (ENQ, STX, message[: len(message) // 2]):
                await self.line.write(step)
            await self.line.read(self.times.retry)
            await self.line.write(EOT)
        for step in (ENQ, STX, message, ETX):
            await self.line.write(step)
            if is_first and self.faults.drop_before_answer and step == ETX:
                raise ConnectionError("cut on purpose")
            answer = await self._answer()
            if answer != ACK:
                await self.line.write(EOT)
                return ("NAK" if answer == NAK else "no answer"), b""
        await self.line.write(EOT)
        return "ACK", b""

    async def _answer(self) -> bytes:
        """Return the byte that answers a step; what else comes is passed over."""
        while data := await self.line.read(self.times.answer):
            found = [byte for byte in (ACK, NAK) if byte in data]
            if found:
                return found[0]
        return b""

    async def _take(self, data: bytes) -> None:
        for value in data:
            await self._step(bytes((value,)))

    async def _step(self, byte: bytes) -> None:
        if byte == ENQ:
            self._block = None
            if not self._ignores():
                await self.line.write(NAK if self._refuses() else ACK)
        elif byte == STX:
            self._block, self._is_acknowledged = bytearray(), False
            await self.line.write(ACK)
        elif byte == EOT:
            block, self._block = self._block, None
            if block and self._is_acknowledged:
                self._inbox.append(bytes(block))
        elif self._block is not None:
            await self._collect(self._block, byte)

    async def _collect(self, block: bytearray, byte: bytes) -> None:
        if byte == ETX:
            if self._is_acknowledged:
                await self.line.write(ACK)
            return
        block += byte
        is_framed = block[:1].isdigit()
        is_whole = byte == CR and block.rfind(b"\rL|") >= 0 and not is_framed
        if is_whole and not self._is_acknowledged:
            self._is_acknowledged = True
            await self.line.write(ACK)


class BareLink(SimulatedLink):
    """Records ended by LF and nothing around them; a connection per batch, nothing is heard.

    Source: Agappe Mispa Maestro at laboratories in northern India, read in specs.
    """

    def __init__(
        self, line: DeviceLine, *, faults: SimulatorFaults | None = None, times: LinkTimes | None = None
    ) -> None:
        super().__init__(line, faults=faults, times=times)
        self._tail = b""

    async def _attempt(self, message: bytes, *, is_first: bool) -> tuple[str, bytes]:
        if is_first and self.faults.drop_before_answer:
            await self.line.write(message[: len(message) // 2])
            raise ConnectionError("cut on purpose")
        await self.line.write(message.replace(CR, LF))
        return "", b""

    def _is_settled(self, answer: str) -> bool:
        return not answer

    async def _take(self, data: bytes) -> None:
        """As host: take what ends with an L record. A device of this kind hears nothing."""
        self._tail += data.replace(CR, LF)
        while match := _BARE_MESSAGE.match(self._tail):
            self._inbox.append(match[1].replace(LF, CR) + CR)
            self._tail = self._tail[match.end() :]


def _ended(frame: bytes) -> bytes:
    """Return the frame with ETX instead of ETB and the checksum that goes with it."""
    body = frame[1:-5] + ETX
    return STX + body + b"%02X\r\n" % (sum(body) & 0xFF)


def _with_wrong_sum(frame: bytes) -> bytes:
    wrong = b"00" if frame[-4:-2] != b"00" else b"01"
    return frame[:-4] + wrong + frame[-2:]
