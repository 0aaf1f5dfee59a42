"""What the host does on an ASTM line: a message is acknowledged once the store has it.

Source: ASTM E1381-95, 6; CLSI LIS01-A2, 8, read in specs.
"""

from __future__ import annotations

import asyncio

from connectors.astm.bare import BareReceiver
from connectors.astm.framing import NAK
from connectors.astm.session import Arrived, AstmReceiver, Broken, Event, Reply, Timer
from connectors.line import Line, ListenerLimits
from domain.device_profile import DeviceProfile


class _Deadlines:
    """Turns the session's timers, which are values, into times of the event loop."""

    def __init__(self) -> None:
        self._times: dict[int, float] = {}

    def seconds_left(self, timers: tuple[Timer, ...]) -> float | None:
        """Return the time until the first timer ends, not below 0; None where none runs."""
        now = asyncio.get_running_loop().time()
        self._times = {timer.serial: self._times.get(timer.serial, now + timer.seconds) for timer in timers}
        return max(min(self._times.values()) - now, 0.0) if self._times else None


async def converse(line: Line, profile: DeviceProfile, limits: ListenerLimits) -> None:
    """Receive until the peer closes the connection."""
    receiver: AstmReceiver | BareReceiver
    if profile.frame_style == "bare":
        receiver = BareReceiver(max_message_bytes=limits.max_message_bytes)
    else:
        receiver = AstmReceiver(
            max_message_bytes=limits.max_message_bytes,
            check=profile.checksum == "required",
            message_seconds=limits.message_seconds,
        )
    deadlines = _Deadlines()
    data: bytes | None = None
    while data != b"":
        left = deadlines.seconds_left(receiver.timers)
        data = await line.read(left) if left is None or left > 0 else None
        await _play(line, receiver, receiver.expire() if data is None else receiver.feed(data))
    await _play(line, receiver, receiver.close())


async def _play(line: Line, receiver: AstmReceiver | BareReceiver, events: list[Event]) -> None:
    """Carry out events; the ones that `settle` brings come after those already there."""
    pending = list(events)
    while pending:
        match pending.pop(0):
            case Reply(data):
                line.state.refused += data == NAK
                await line.write(data)
            case Arrived(messages):
                outcomes = [await line.keep(message) for message in messages]
                is_durable = all(outcome.accepted for outcome in outcomes)
                line.state.acknowledged += len(messages) if is_durable else 0
                pending += receiver.settle(is_durable=is_durable)
            case Broken(raw, reason):
                outcome = await line.keep(raw, reason)
                pending += receiver.settle(is_durable=outcome.accepted)
