"""The HL7 server over real loopback TCP."""

import asyncio
import contextlib

import pytest

from connectors.analyzers.simulator import HaematologyAnalyzerSimulator
from connectors.conversations import read_message
from connectors.device_side import LineFaults
from connectors.hl7.codec import parse_message
from connectors.hl7.framing import Block, MllpDecoder, encode_block
from connectors.hl7.server import Hl7Server
from connectors.line import ListenerLimits
from domain.observations import ReceivedMessage, StoreOutcome
from tests.fixtures.deaf_device import deaf_device, shout

SPECIMENS = ["261123000017", "261123000028"]


def message(control_id: str = "1", *, more: str = "", accept: str = "", application: str = "") -> bytes:
    head = f"MSH|^~\\&|BC|M|||20260901||ORU^R01|{control_id}|P|2.5.1|||{accept}|{application}"
    return f"{head}\rOBR|1||261123000017\rOBX|1|NM|WBC||5.1|10*3/uL{more}\r".encode()


class Shelf:
    """A store that keeps everything, or does what it is told."""

    def __init__(self) -> None:
        self.kept: list[ReceivedMessage] = []
        self.arrived = asyncio.Event()
        self.outcomes: list[Exception | float | StoreOutcome] = []

    async def __call__(self, received: ReceivedMessage) -> StoreOutcome:
        outcome = self.outcomes.pop(0) if self.outcomes else StoreOutcome(accepted=True)
        if isinstance(outcome, Exception):
            raise outcome
        if isinstance(outcome, float):
            await asyncio.sleep(outcome)
            outcome = StoreOutcome(accepted=True)
        if outcome.accepted:
            self.kept.append(received)
            self.arrived.set()
        return outcome

    @property
    def messages(self) -> list[bytes]:
        return [received.raw for received in self.kept if not received.framing_error]

    @property
    def broken(self) -> list[str]:
        return [received.framing_error for received in self.kept if received.framing_error]


@contextlib.asynccontextmanager
async def listening(shelf, **limits):
    async with Hl7Server("127.0.0.1", 0, shelf, limits=ListenerLimits(**limits)) as server:
        yield server


@contextlib.asynccontextmanager
async def calling(server):
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    decoder = MllpDecoder()
    waiting: list[bytes] = []

    async def say(data: bytes, answers: int = 1) -> list[str]:
        """Send `data` and return MSA-1 and MSA-2 of as many answers."""
        writer.write(data)
        await writer.drain()
        async with asyncio.timeout(5):
            while len(waiting) < answers:
                piece = await reader.read(4096)
                if not piece:
                    raise ConnectionError
                waiting.extend(block.message for block in decoder.feed(piece) if isinstance(block, Block))
        found, waiting[:] = waiting[:answers], waiting[answers:]
        return [said(answer) for answer in found]

    try:
        yield say
    finally:
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()


def said(answer: bytes) -> str:
    (msa,) = [segment for segment in parse_message(answer).segments if segment.name == "MSA"]
    return f"{msa.value(1)} {msa.value(2)}".strip()


async def test_a_message_is_stored_and_acknowledged():
    shelf = Shelf()
    async with listening(shelf) as server, calling(server) as say:
        assert await say(encode_block(message("M7"))) == ["AA M7"]
        (state,) = server.connections()
    (received,) = shelf.kept
    assert received.raw == message("M7")
    assert (received.protocol, received.transport, received.framing_error) == ("hl7", "tcp", "")
    assert (state.received, state.acknowledged, state.refused) == (1, 1, 0)


async def test_split_reads_and_several_blocks_in_one_write():
    shelf = Shelf()
    async with listening(shelf) as server, calling(server) as say:
        block = encode_block(message("1"))
        for byte in block[:-2]:
            await say(bytes([byte]), 0)
        assert await say(block[-2:]) == ["AA 1"]
        assert await say(encode_block(message("2")) + encode_block(message("3")), 2) == ["AA 2", "AA 3"]
        assert await say(b"\r\n junk \x0b" + message("4") + b"\x1c") == ["AA 4"]
    assert shelf.messages == [message(str(number)) for number in range(1, 5)]


@pytest.mark.parametrize("outcome", [OSError("disk full"), StoreOutcome(accepted=False), 5.0])
async def test_a_failing_store_is_answered_ae_and_the_connection_stays(outcome):
    shelf = Shelf()
    shelf.outcomes = [outcome]
    async with listening(shelf, store_seconds=0.05) as server, calling(server) as say:
        assert await say(encode_block(message())) == ["AE 1"]
        assert await say(encode_block(message())) == ["AA 1"]
    assert shelf.messages == [message()]


async def test_what_is_kept_but_not_understood_is_answered_ae():
    shelf = Shelf()
    shelf.outcomes = [StoreOutcome(accepted=True, readable=False, note="no specimen")]
    async with listening(shelf) as server, calling(server) as say:
        assert await say(encode_block(message())) == ["AE 1"]
    assert shelf.messages == [message()]


async def test_enhanced_mode():
    async with listening(Shelf()) as server, calling(server) as say:
        assert await say(encode_block(message("1", accept="AL", application="NE"))) == ["CA 1"]
        assert await say(encode_block(message("2", accept="AL", application="AL")), 2) == ["CA 2", "AA 2"]
        await say(encode_block(message("3", accept="NE", application="NE")), 0)
        assert await say(encode_block(message("4", accept="NE", application="AL"))) == ["AA 4"]


async def test_a_body_that_is_no_hl7_is_kept_and_rejected():
    shelf = Shelf()
    async with listening(shelf) as server, calling(server) as say:
        assert await say(encode_block(b"hello")) == ["AR"]
        assert await say(encode_block(message())) == ["AA 1"]
    assert shelf.messages == [b"hello", message()]


async def test_a_message_beyond_the_limit_is_rejected_and_the_connection_stays():
    shelf = Shelf()
    async with listening(shelf, max_message_bytes=1000) as server, calling(server) as say:
        assert await say(encode_block(message("9", more="x" * 5000))) == ["AR 9"]
        assert await say(encode_block(message())) == ["AA 1"]
    assert "longer than 1000" in shelf.broken[0]
    assert shelf.messages == [message()]


async def test_a_message_with_images_is_taken():
    shelf = Shelf()
    big = message("8", more="\rOBX|2|ED|H^Histogram||^Image^BMP^Base64^" + "A" * 300_000)
    async with listening(shelf) as server, calling(server) as say:
        assert await say(encode_block(big)) == ["AA 8"]
    assert shelf.messages == [big]


async def test_a_restart_inside_a_message_is_kept_and_not_answered():
    shelf = Shelf()
    async with listening(shelf) as server, calling(server) as say:
        assert await say(b"\x0b" + message()[:40] + encode_block(message())) == ["AA 1"]
    assert shelf.kept[0].raw == message()[:40]
    assert "started again" in shelf.broken[0]


async def test_a_message_without_end_is_kept_and_answered_ae():
    shelf = Shelf()
    async with listening(shelf, message_seconds=0.05) as server, calling(server) as say:
        assert await say(b"\x0b" + message()) == ["AE 1"]
        assert await say(encode_block(message())) == ["AA 1"]
    assert shelf.broken == ["not completed in time"]


async def test_a_peer_that_hangs_up_leaves_its_bytes():
    shelf = Shelf()
    async with listening(shelf) as server:
        async with calling(server) as say:
            await say(b"\x0b" + message(), 0)
        async with asyncio.timeout(5):
            await shelf.arrived.wait()
    assert shelf.kept[0].raw == message()


async def test_a_device_that_does_not_read_is_dropped():
    shelf = Shelf()
    async with listening(shelf, write_seconds=0.05) as server, deaf_device(server) as deaf:
        with pytest.raises(ConnectionError):
            await shout(deaf, encode_block(message()) * 100)
    assert shelf.messages


FAULTS = {
    "none": LineFaults(),
    "cut": LineFaults(max_piece=50),
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
        HaematologyAnalyzerSimulator("127.0.0.1", server.port, faults=faults, retry_s=0.01) as analyzer,
    ):
        journal = await analyzer.run(SPECIMENS, values={SPECIMENS[0]: {"HGB": "6.1"}})
    assert [delivery.specimen_id for delivery in journal] == ["LOT-HEM-L", "LOT-HEM-H", *SPECIMENS]
    assert all(delivery.is_acknowledged for delivery in journal)
    assert {delivery.raw for delivery in journal} == set(shelf.messages)
    read = read_message(journal[2].raw, analyzer.model.profile)
    assert {row.code: row.value for row in read.specimens[0].observations} == dict(journal[2].values)


async def test_the_simulator_sends_again_after_ae_and_gives_up_in_the_end():
    shelf = Shelf()
    shelf.outcomes = [StoreOutcome(accepted=False)]
    async with (
        listening(shelf) as server,
        HaematologyAnalyzerSimulator("127.0.0.1", server.port, retry_s=0.01) as analyzer,
    ):
        (delivery,) = await analyzer.run(SPECIMENS[:1], with_controls=False)
        assert (delivery.attempts, delivery.answer) == (2, "AA")
        shelf.outcomes = [StoreOutcome(accepted=False)] * 10
        (delivery,) = await analyzer.run(SPECIMENS[:1], with_controls=False)
        assert (delivery.attempts, delivery.answer) == (5, "AE")
    assert len(shelf.messages) == 1
