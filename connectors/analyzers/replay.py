"""Sends one stored message to a test device, over the link its protocol has: an MLLP block or an ASTM transmission.

One connection, one attempt, bounded in time: this is for a person who looks at the outcome.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from connectors.astm.framing import frames_of
from connectors.astm.records import split_messages, unframe
from connectors.astm.sender import AstmSender, Finished, SenderTimers, SendResult
from connectors.astm.session import Reply
from connectors.hl7.framing import Block, MllpDecoder, encode_block
from domain.device_profile import DeviceProfile

SECONDS: Final = 8.0
"""Most time for the whole attempt; a device that is asked twice answers within this."""
_READ_BYTES: Final = 65_536
_MSA: Final = b"MSA"


@dataclass(frozen=True)
class Replayed:
    """How the attempt ended.

    Attributes:
        is_delivered: The other side said that it has the message.
        answer: `ACK`, `AA`, `AE`, …, or "" where none came.
        note: What happened, in words.
        sent_bytes: On the wire, marks included.
    """

    is_delivered: bool
    answer: str
    note: str
    sent_bytes: int = 0


async def replay(raw: bytes, profile: DeviceProfile, *, host: str, port: int, seconds: float = SECONDS) -> Replayed:
    """Send a stored message. Raises nothing: what goes wrong is the outcome.

    Args:
        raw: As stored, with or without frames.
        profile: Of the device the message came from; its protocol decides the link.
        host: Name or address of the test device.
        port: Its port.
        seconds: Most time for everything.
    """
    if profile.protocol not in {"astm", "hl7"}:
        return Replayed(False, "", f"messages of the protocol {profile.protocol} are not sent again")
    try:
        async with asyncio.timeout(seconds):
            reader, writer = await asyncio.open_connection(host, port)
            try:
                if profile.protocol == "hl7":
                    return await _over_mllp(raw, reader, writer)
                return await _over_astm(raw, profile, reader, writer)
            finally:
                writer.close()
                with contextlib.suppress(OSError):
                    await writer.wait_closed()
    except TimeoutError:
        return Replayed(False, "", f"no end within {seconds:g} s")
    except OSError as error:
        return Replayed(False, "", f"not connected: {type(error).__name__}")


async def _over_mllp(raw: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> Replayed:
    block = encode_block(raw)
    writer.write(block)
    await writer.drain()
    decoder = MllpDecoder()
    while data := await reader.read(_READ_BYTES):
        for found in decoder.feed(data):
            if isinstance(found, Block):
                answer = _acknowledgement(found.message)
                return Replayed(answer in {"AA", "CA"}, answer, "answered", len(block))
    return Replayed(False, "", "the other side closed without an answer", len(block))


def _acknowledgement(message: bytes) -> str:
    """Return MSA-1, or "" where the answer has none."""
    for line in message.replace(b"\n", b"\r").split(b"\r"):
        if line[:3].upper() == _MSA:
            return line[4:6].decode("ascii", errors="replace")
    return ""


async def _over_astm(
    raw: bytes, profile: DeviceProfile, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> Replayed:
    records = unframe(raw)
    if profile.frame_style == "bare":
        writer.write(records)
        await writer.drain()
        return Replayed(True, "", "sent without frames; nothing is answered to bare records", len(records))
    rules = profile.transmission
    frames: Sequence[bytes] = frames_of(
        b"".join(split_messages(records)), max_text=rules.frame_text, packed=rules.packing == "packed"
    )
    if not frames:
        return Replayed(False, "", "the stored bytes hold no record")
    sender = AstmSender(frames, timers=SenderTimers(busy=1.0))
    pending = sender.start()
    sent = 0
    while True:
        for event in pending:
            if isinstance(event, Reply):
                writer.write(event.data)
                await writer.drain()
                sent += len(event.data)
            elif isinstance(event, Finished):
                return _astm_outcome(event.result, sender.refusals, sent)
        left = sender.timer.seconds if sender.timer else None
        try:
            async with asyncio.timeout(left):
                data = await reader.read(_READ_BYTES)
        except TimeoutError:
            pending = sender.expire()
            continue
        if not data:
            return Replayed(False, "", "the other side closed before it had everything", sent)
        pending = sender.feed(data)


def _astm_outcome(result: SendResult, refusals: int, sent: int) -> Replayed:
    if result is SendResult.SENT:
        return Replayed(True, "ACK", f"every frame acknowledged, {refusals} sent again", sent)
    return Replayed(False, "NAK" if refusals else "", f"not taken: {result.value}", sent)
