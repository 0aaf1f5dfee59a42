"""A line over two ends that are no sockets: time limits, a store that fails, counts."""

import asyncio

from connectors.line import ConnectionState, Line
from domain.clock import utc_now
from domain.observations import ReceivedMessage, StoreOutcome


class Ends:
    """Bytes in a queue, bytes in a list; `is_full` never drains."""

    def __init__(self) -> None:
        self.incoming: asyncio.Queue[bytes] = asyncio.Queue()
        self.sent: list[bytes] = []
        self.is_full = False

    async def read(self, _n: int = -1, /) -> bytes:
        return await self.incoming.get()

    def write(self, data: bytes, /) -> None:
        self.sent.append(data)

    async def drain(self) -> None:
        if self.is_full:
            await asyncio.Event().wait()


def line(ends: Ends, store) -> Line:
    state = ConnectionState(peer="/dev/ttyS0", local_port=0, since=utc_now())
    return Line(
        ends, ends, protocol="au", state=state, store=store, store_seconds=0.05, write_seconds=0.05,
        transport="serial", device="AU-1",
    )  # fmt: skip


async def good(_message: ReceivedMessage) -> StoreOutcome:
    return StoreOutcome(accepted=True)


async def test_reading_tells_silence_from_the_end():
    ends = Ends()
    one = line(ends, good)
    assert await one.read(0.01) is None
    ends.incoming.put_nowait(b"x")
    ends.incoming.put_nowait(b"")
    assert [await one.read(None), await one.read(1)] == [b"x", b""]


async def test_a_peer_that_does_not_read_is_given_up():
    ends = Ends()
    one = line(ends, good)
    await one.write(b"x")
    ends.is_full = True
    try:
        await one.write(b"y")
    except ConnectionError as error:
        reason = str(error)
    assert "does not read" in reason
    assert ends.sent == [b"x", b"y"]


async def test_what_is_kept_says_where_it_came_from():
    kept: list[ReceivedMessage] = []

    async def store(message: ReceivedMessage) -> StoreOutcome:
        kept.append(message)
        return StoreOutcome(accepted=True)

    one = line(Ends(), store)
    assert (await one.keep(b"D 1")).accepted
    assert (await one.keep(b"D", "cut off")).accepted
    first, second = kept
    assert (first.protocol, first.transport, first.peer, first.device) == ("au", "serial", "/dev/ttyS0", "AU-1")
    assert (first.framing_error, second.framing_error) == ("", "cut off")
    assert (one.state.received, one.state.broken) == (1, 1)


async def test_a_store_that_fails_or_hangs_is_an_outcome():
    async def fails(_message: ReceivedMessage) -> StoreOutcome:
        raise RuntimeError("defect")

    async def hangs(_message: ReceivedMessage) -> StoreOutcome:
        await asyncio.Event().wait()
        return StoreOutcome(accepted=True)

    for store in (fails, hangs):
        outcome = await line(Ends(), store).keep(b"D 1")
        assert (outcome.accepted, outcome.readable) == (False, False)


async def test_a_tap_hears_both_directions_while_it_is_there():
    class Tap:
        def __init__(self) -> None:
            self.heard: list[tuple[str, bytes, bool]] = []

        def keep(self, connection: ConnectionState, data: bytes, *, is_sent: bool) -> None:
            self.heard.append((connection.peer, data, is_sent))

    ends, tap = Ends(), Tap()
    one = line(ends, good)
    for data in (b"before", b"asked", b"waited"):
        ends.incoming.put_nowait(data)
    await one.read(None)
    one.state.tap_point.tap = tap
    await one.read(None)
    await one.read(1)
    await one.write(b"answer")
    assert await one.read(0.01) is None
    one.state.tap_point.tap = None
    await one.write(b"after")
    assert tap.heard == [
        ("/dev/ttyS0", b"asked", False), ("/dev/ttyS0", b"waited", False), ("/dev/ttyS0", b"answer", True),
    ]  # fmt: skip
