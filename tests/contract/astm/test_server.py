"""The ASTM server over real loopback TCP."""

import asyncio
import contextlib

import pytest

from connectors.analyzers.simulator import ChemistryAnalyzerSimulator
from connectors.astm.framing import encode_frame, frames_of
from connectors.astm.sender import SenderTimers
from connectors.astm.server import AstmServer
from connectors.conversations import read_message
from connectors.device_side import LineFaults
from connectors.line import ListenerLimits
from domain.device_profile import DeviceProfile
from domain.observations import ReceivedMessage, StoreOutcome

ENQ, ACK, NAK, EOT = b"\x05", b"\x06", b"\x15", b"\x04"
MESSAGE = b"H|\\^&|||SIM\rP|1\rO|1|261123000017||^^^GLU\rR|1|^^^GLU|126.4|mg/dL\rL|1|N\r"
SPECIMENS = ["261123000017", "261123000028"]


class Shelf:
    """A store that keeps everything, or does what it is told."""

    def __init__(self) -> None:
        self.kept: list[ReceivedMessage] = []
        self.arrived = asyncio.Event()
        self.failures: list[Exception | float | StoreOutcome] = []

    async def __call__(self, message: ReceivedMessage) -> StoreOutcome:
        if self.failures:
            failure = self.failures.pop(0)
            if isinstance(failure, Exception):
                raise failure
            if isinstance(failure, StoreOutcome):
                return failure
            await asyncio.sleep(failure)
        self.kept.append(message)
        self.arrived.set()
        return StoreOutcome(accepted=True)

    @property
    def messages(self) -> list[bytes]:
        return [message.raw for message in self.kept if not message.framing_error]

    @property
    def broken(self) -> list[str]:
        return [message.framing_error for message in self.kept if message.framing_error]


@contextlib.asynccontextmanager
async def listening(shelf, **options):
    limits = ListenerLimits(**options.pop("limits", {}))
    async with AstmServer("127.0.0.1", 0, shelf, limits=limits, **options) as server:
        yield server


@contextlib.asynccontextmanager
async def calling(server):
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)

    async def say(data: bytes, answers: int) -> bytes:
        writer.write(data)
        await writer.drain()
        async with asyncio.timeout(5):
            return await reader.readexactly(answers)

    try:
        yield say
    finally:
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()


async def test_a_session_is_stored_before_it_is_acknowledged():
    shelf = Shelf()
    async with listening(shelf) as server, calling(server) as say:
        assert await say(ENQ, 1) == ACK
        *earlier, last = frames_of(MESSAGE)
        for frame in earlier:
            assert await say(frame, 1) == ACK
        assert shelf.kept == []
        assert await say(last, 1) == ACK
        (message,) = shelf.kept
        (state,) = server.connections()
    assert message.raw == MESSAGE
    assert (message.protocol, message.transport, message.framing_error) == ("astm", "tcp", "")
    assert message.local_port == state.local_port > 0
    assert message.peer == state.peer
    assert message.received_at.tzinfo is not None
    assert (state.received, state.acknowledged, state.refused, state.broken) == (1, 1, 0, 0)
    assert state.last_message_at >= state.since
    assert "261123000017" not in repr(message)


async def test_one_byte_at_a_time_and_all_at_once():
    shelf = Shelf()
    frames = b"".join(frames_of(MESSAGE))
    async with listening(shelf) as server:
        async with calling(server) as say:
            for byte in ENQ + frames[:-1]:
                await say(bytes([byte]), 0)
            assert await say(frames[-1:], 6) == ACK * 6
        async with calling(server) as say:
            assert await say(ENQ + frames + EOT + ENQ + frames + EOT, 12) == ACK * 12
    assert shelf.messages == [MESSAGE] * 3


async def test_a_bad_checksum_is_kept_as_evidence_and_refused():
    shelf = Shelf()
    first, *rest = frames_of(MESSAGE)
    async with listening(shelf) as server, calling(server) as say:
        assert await say(ENQ + first.replace(b"SIM", b"SAM"), 2) == ACK + NAK
        assert await say(first + b"".join(rest), 5) == ACK * 5
        (state,) = server.connections()
        assert (state.received, state.refused, state.broken) == (1, 1, 1)
    assert shelf.messages == [MESSAGE]
    assert "checksum" in shelf.broken[0]


@pytest.mark.parametrize("failure", [OSError("disk full"), StoreOutcome(accepted=False), 5.0])
async def test_a_failing_store_is_answered_nak_and_the_connection_stays(failure):
    shelf = Shelf()
    shelf.failures = [failure]
    *earlier, last = frames_of(MESSAGE)
    async with listening(shelf, limits={"store_seconds": 0.05}) as server, calling(server) as say:
        assert await say(ENQ + b"".join(earlier), 5) == ACK * 5
        assert await say(last, 1) == NAK
        assert await say(last, 1) == ACK
    assert shelf.messages == [MESSAGE]


async def test_a_message_beyond_the_limit_is_refused_and_the_connection_stays():
    shelf = Shelf()
    long = frames_of(b"H|\\^&\r" + b"C|1|I|" + b"x" * 5000 + b"\rL|1\r", max_text=1000)
    async with listening(shelf, limits={"max_message_bytes": 2000}) as server, calling(server) as say:
        assert await say(ENQ + long[0] + long[1], 3) == ACK * 3
        assert await say(long[2], 1) == NAK
        assert await say(EOT + ENQ + b"".join(frames_of(MESSAGE)), 6) == ACK * 6
    assert shelf.messages == [MESSAGE]
    assert "longer than 2000" in shelf.broken[0]


async def test_a_frame_of_64000_bytes_is_taken():
    shelf = Shelf()
    record = b"M|1|" + b"x" * 60_000 + b"\r"
    async with listening(shelf) as server, calling(server) as say:
        frames = frames_of(b"H|\\^&\r" + record + b"L|1\r", max_text=63_993)
        assert await say(ENQ + b"".join(frames), 4) == ACK * 4
    assert record in shelf.messages[0]


async def test_a_message_that_takes_long_is_not_given_up_while_frames_come():
    shelf = Shelf()
    first, *others = frames_of(MESSAGE)
    async with listening(shelf, limits={"message_seconds": 0.01}) as server, calling(server) as say:
        assert await say(ENQ + first, 2) == ACK * 2
        await asyncio.sleep(0.05)
        assert await say(b"".join(others), 4) == ACK * 4
    assert shelf.broken == []
    assert shelf.messages == [MESSAGE]


async def test_a_peer_that_hangs_up_leaves_its_bytes():
    shelf = Shelf()
    async with listening(shelf) as server:
        async with calling(server) as say:
            await say(ENQ + frames_of(MESSAGE)[0], 2)
        async with asyncio.timeout(5):
            await shelf.arrived.wait()
    assert shelf.kept[0].raw == b"H|\\^&|||SIM\r"
    assert "closed" in shelf.broken[0]


async def test_limits_on_connections():
    async with listening(Shelf(), limits={"max_connections_per_source": 1}) as server, calling(server) as say:
        assert await say(ENQ, 1) == ACK
        async with calling(server) as second:
            with pytest.raises((asyncio.IncompleteReadError, ConnectionError)):
                await second(ENQ, 1)
        assert await say(EOT + ENQ, 1) == ACK
        assert server.totals == {"accepted": 1, "refused": 1}


async def test_a_bare_device_is_read_without_answers():
    shelf = Shelf()
    bare = DeviceProfile(protocol="astm", frame_style="bare")
    async with listening(shelf, profile_for=lambda _peer: bare) as server, calling(server) as say:
        await say(MESSAGE.replace(b"\r", b"\r\n"), 0)
        async with asyncio.timeout(5):
            await shelf.arrived.wait()
    assert shelf.messages == [MESSAGE]


async def test_a_device_without_checksums():
    shelf = Shelf()
    careless = DeviceProfile(protocol="astm", checksum="ignored")
    frame = encode_frame(1, MESSAGE, is_last=True)[:-4] + b"00\r\n"
    async with listening(shelf, profile_for=lambda _peer: careless) as server, calling(server) as say:
        assert await say(ENQ + frame, 2) == ACK * 2
    assert shelf.messages == [MESSAGE]


async def test_stopping_ends_idle_conversations():
    server = AstmServer("127.0.0.1", 0, Shelf())
    await server.start()
    async with calling(server) as say:
        await say(ENQ, 1)
        async with asyncio.timeout(5):
            await server.stop()
        with pytest.raises((asyncio.IncompleteReadError, ConnectionError)):
            await say(b"x", 1)
    assert server.connections() == []
    await server.stop()


FAULTS = {
    "none": LineFaults(),
    "cut": LineFaults(max_piece=40),
    "byte by byte": LineFaults(max_piece=1),
    "broken first": LineFaults(broken_first=True),
    "dropped": LineFaults(drop_before_answer=True),
    "duplicate": LineFaults(duplicate=True),
    "all": LineFaults(max_piece=30, broken_first=True, drop_before_answer=True, duplicate=True),
}


@pytest.mark.parametrize("faults", FAULTS.values(), ids=FAULTS.keys())
async def test_whatever_happens_on_the_line_nothing_is_lost(faults):
    shelf = Shelf()
    async with (
        listening(shelf) as server,
        ChemistryAnalyzerSimulator("127.0.0.1", server.port, faults=faults, retry_s=0.01) as analyzer,
    ):
        journal = await analyzer.run(SPECIMENS, values={SPECIMENS[0]: {"GLU": "55.000000"}})
    assert [delivery.specimen_id for delivery in journal] == ["QC-CHEM-L", "QC-CHEM-H", *SPECIMENS]
    assert all(delivery.is_acknowledged for delivery in journal)
    assert {delivery.raw for delivery in journal} == set(shelf.messages)
    read = read_message(journal[2].raw, analyzer.model.profile)
    assert {row.code: row.value for row in read.specimens[0].observations} == dict(journal[2].values)
    assert journal[2].values["GLU"] == "55.000000"


async def test_the_simulator_gives_up_after_a_storm_of_naks():
    shelf = Shelf()
    shelf.failures = [StoreOutcome(accepted=False)] * 1000
    timers = SenderTimers(answer=1, busy=0.01)
    async with (
        listening(shelf) as server,
        ChemistryAnalyzerSimulator("127.0.0.1", server.port, timers=timers, retry_s=0.01) as analyzer,
    ):
        (delivery,) = await analyzer.run(SPECIMENS[:1], with_controls=False)
        assert not delivery.is_acknowledged
        assert delivery.answer == "retry_later"
        shelf.failures.clear()
        (delivery,) = await analyzer.run(SPECIMENS[:1], with_controls=False)
    assert delivery.is_acknowledged
    assert len(set(shelf.messages)) == 1
