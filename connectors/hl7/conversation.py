"""What the host does on an MLLP line: each message is stored, then answered, in the order they came.

Source: HL7 Transport Specification: MLLP, release 1; HL7 2.5.1, 2.9.2, read in specs.
"""

from __future__ import annotations

import asyncio

from connectors.hl7.ack import acknowledgements, reject
from connectors.hl7.framing import Block, BrokenBlock, MllpDecoder, encode_block
from connectors.line import Line, ListenerLimits
from domain.device_profile import DeviceProfile
from domain.observations import StoreOutcome


async def converse(line: Line, profile: DeviceProfile, limits: ListenerLimits) -> None:
    """Receive until the peer closes the connection."""
    decoder = MllpDecoder(max_message_bytes=limits.max_message_bytes)
    deadline: float | None = None
    loop = asyncio.get_running_loop()
    data: bytes | None = None
    while data != b"":
        left = None if deadline is None else deadline - loop.time()
        data = await line.read(left) if left is None or left > 0 else None
        if data is None:
            await _answer_all(line, profile, decoder.give_up("not completed in time"))
        else:
            blocks = decoder.feed(data)
            await _answer_all(line, profile, blocks)
            # a message that began with these bytes gets its own time
            deadline = None if blocks else deadline
        if not decoder.is_open:
            deadline = None
        elif deadline is None:
            deadline = loop.time() + limits.message_seconds
    for block in decoder.give_up("connection closed before the message was complete"):
        if isinstance(block, BrokenBlock):
            await line.keep(block.raw, block.reason)


async def _answer_all(line: Line, profile: DeviceProfile, blocks: list[Block | BrokenBlock]) -> None:
    for block in blocks:
        if isinstance(block, Block):
            outcome = await line.keep(block.message)
            await _answer(line, acknowledgements(block.message, outcome, profile), outcome)
        else:
            await _answer_broken(line, profile, block)


async def _answer_broken(line: Line, profile: DeviceProfile, block: BrokenBlock) -> None:
    kept = await line.keep(block.raw, block.reason)
    outcome = StoreOutcome(accepted=False, readable=False, note=block.reason)
    if block.is_oversized and kept.accepted:
        await _answer(line, [reject(block.raw, block.reason)], outcome)
    elif not block.is_restart:
        await _answer(line, acknowledgements(block.raw, outcome, profile), outcome)


async def _answer(line: Line, answers: list[bytes], outcome: StoreOutcome) -> None:
    if outcome.accepted and outcome.readable:
        line.state.acknowledged += 1
    else:
        line.state.refused += 1
    for answer in answers:
        await line.write(encode_block(answer))
