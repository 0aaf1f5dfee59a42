"""The simulated end of an MLLP line, either role."""

from __future__ import annotations

from connectors.analyzers.simulator.faults import SimulatorFaults
from connectors.analyzers.simulator.link import LinkTimes, SimulatedLink
from connectors.device_side import DeviceLine
from connectors.hl7.framing import FS, Block, MllpDecoder, encode_block

_FINAL = frozenset({"AA", "CA", "AR", "CR"})


class MllpLink(SimulatedLink):
    """One message at a time; the acknowledgement is the message whose MSA-2 is ours."""

    def __init__(
        self, line: DeviceLine, *, faults: SimulatorFaults | None = None, times: LinkTimes | None = None
    ) -> None:
        super().__init__(line, faults=faults, times=times)
        self._decoder = MllpDecoder()

    async def reply(self, message: bytes) -> None:
        """Send an acknowledgement; the storm makes it a refusal, silence swallows it."""
        if self._ignores():
            return
        if self._refuses():
            message = message.replace(b"MSA|AA", b"MSA|AE", 1).replace(b"MSA|CA", b"MSA|CE", 1)
        await self.line.write(encode_block(message))

    async def _attempt(self, message: bytes, *, is_first: bool) -> tuple[str, bytes]:
        if is_first and self.faults.broken_first:
            await self.line.write(encode_block(message).split(FS)[0])
        await self.line.write(encode_block(message))
        if is_first and self.faults.drop_before_answer:
            raise ConnectionError("cut on purpose")
        control_id = field_of(message, "MSH", 10)
        while data := await self.line.read(self.times.answer):
            answer = b""
            for raw in self._blocks(data):
                is_ours = field_of(raw, "MSA", 2) == control_id and field_of(raw, "MSA", 1)
                if is_ours and not answer:
                    answer = raw
                else:
                    self._inbox.append(raw)
            if answer:
                return field_of(answer, "MSA", 1), answer
        return "no answer", b""

    def _is_settled(self, answer: str) -> bool:
        return answer in _FINAL

    async def _take(self, data: bytes) -> None:
        self._inbox.extend(self._blocks(data))

    def _blocks(self, data: bytes) -> list[bytes]:
        return [block.message for block in self._decoder.feed(data) if isinstance(block, Block)]


def segments_of(raw: bytes) -> list[list[str]]:
    """Return the segments of a message as fields, counted as the standard counts them (MSH-1 is the delimiter)."""
    found = []
    for line in raw.decode("utf-8", errors="replace").replace("\n", "\r").split("\r"):
        fields = line.split("|")
        found.append(["MSH", "|", *fields[1:]] if fields[0] == "MSH" else fields)
    return [fields for fields in found if fields[0]]


def field_of(raw: bytes, segment: str, number: int) -> str:
    """Return a field of the first `segment`, or ""."""
    for fields in segments_of(raw):
        if fields[0] == segment:
            return fields[number] if number < len(fields) else ""
    return ""
