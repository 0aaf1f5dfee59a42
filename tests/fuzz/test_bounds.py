"""Bounds: what is too long, too deep, too slow or too many costs bounded memory and time, and is said plainly."""

import asyncio
import resource
import socket
import time
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from connectors.astm import conversation as astm_conversation
from connectors.astm.bare import BareReceiver
from connectors.astm.framing import ACK, ENQ, LARGE_FRAME_TEXT, NAK, STX, encode_frame
from connectors.astm.session import AstmReceiver, Broken, Reply
from connectors.hl7 import conversation as hl7_conversation
from connectors.hl7.ack import acknowledgements
from connectors.hl7.framing import Block, BrokenBlock, MllpDecoder, encode_block
from connectors.hl7.server import Hl7Server
from connectors.line import ConnectionState, Line, ListenerLimits
from domain.clock import utc_now
from domain.device_profile import DeviceProfile
from domain.errors import MessageError
from domain.observations import ReceivedMessage, StoreOutcome
from inbox.instruments import read
from inbox.readable import is_surely_readable
from tests.fuzz.clock import Ear, FakeClockLoop

HL7 = DeviceProfile(protocol="hl7")
ASTM = DeviceProfile(protocol="astm")
MIB = 1 << 20
HEAD = b"MSH|^~\\&|a|b|||20261123||ORU^R01|7|P|2.5.1\rOBR|1||261123000017\r"


@contextmanager
def within(*, seconds: float, mib: float) -> Iterator[None]:
    """The block may take so much CPU time, and so much more memory than there was before at any moment."""
    tracemalloc.start()
    begun = time.process_time()
    try:
        yield
        spent, (_, peak) = time.process_time() - begun, tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert spent < seconds
    assert peak < mib * MIB


def test_a_report_of_two_thousand_rows_is_read():
    rows = b"".join(b"OBX|%d|NM|CODE%d^Name^L||%d.5|g/dL|1-2|N|||F\r" % (n, n, n) for n in range(2000))
    raw = HEAD + rows
    assert 80_000 < len(raw) < 100_000
    with within(seconds=8, mib=40):
        (block,) = MllpDecoder().feed(encode_block(raw))
        assert block == Block(raw)
        assert b"MSA|AA|7" in acknowledgements(raw, StoreOutcome(accepted=True))[0]
        assert is_surely_readable("hl7", raw)
        message = read(raw, HL7)
    assert [row.value for row in message.specimens[0].observations] == [f"{number}.5" for number in range(2000)]


@pytest.mark.parametrize(
    ("raw", "profile"),
    [
        (HEAD + b"OBX|1|NM|K^^L||5|g/dL||" + b"H~" * 20_000 + b"|||F\r", HL7),
        (HEAD + b"SPM|1|" + b"T17~" * 20_000 + b"\r", HL7),
        (b"H|\\^&\rO|1|T17\rR|1|^^^K|5|g/dL||" + b"H\\" * 20_000 + b"\rL|1|N\r", ASTM),
        (b"H|\\^&\rQ|1|" + b"^T17\\" * 20_000 + b"\rL|1|N\r", ASTM),
    ],
)
def test_twenty_thousand_repetitions_are_refused(raw: bytes, profile: DeviceProfile):
    with within(seconds=2, mib=20), pytest.raises(MessageError) as refused:
        read(raw, profile)
    assert refused.value.code == "MESSAGE_TOO_LARGE"
    assert not is_surely_readable(profile.protocol, raw)


ENDLESS = b"R|1|^^^GLU|5.1|" * 4096
"""60 kB; sent until it is 64 MB."""
TIMES = 64_000_000 // len(ENDLESS)


def settle_all(receiver: AstmReceiver | BareReceiver, data: bytes) -> tuple[bytes, list[bytes]]:
    said, broken = b"", []
    pending = receiver.feed(data)
    for event in pending:
        if isinstance(event, Reply):
            said += event.data
            continue
        broken.append(event.raw if isinstance(event, Broken) else b"")
        pending += receiver.settle(is_durable=True)
    return said, broken


def test_an_endless_frame_is_refused_once():
    receiver = AstmReceiver()
    with within(seconds=8, mib=3):
        assert settle_all(receiver, ENQ + STX + b"1") == (ACK, [])
        found = [settle_all(receiver, ENDLESS) for _ in range(TIMES)]
    said = b"".join(answer for answer, _ in found)
    broken = [raw for _, pieces in found for raw in pieces]
    assert said == NAK
    assert [len(raw) for raw in broken] == [LARGE_FRAME_TEXT + 3]
    assert settle_all(receiver, encode_frame(1, b"H|\\^&\r", is_last=True)) == (ACK, [])


def test_endless_bytes_before_a_session_are_passed_over():
    receiver = AstmReceiver()
    with within(seconds=8, mib=1):
        for _ in range(TIMES):
            assert settle_all(receiver, ENDLESS) == (b"", [])
    assert receiver.ignored_bytes == TIMES * len(ENDLESS)
    assert settle_all(receiver, ENQ) == (ACK, [])


def test_an_endless_message_of_good_frames_is_refused():
    receiver = AstmReceiver(max_message_bytes=MIB)
    taken = refused = 0
    text = b"R|1|^^^GLU|5.1|mg/dL\r" * 1000
    with within(seconds=8, mib=16):  # short records cost several times their bytes
        assert settle_all(receiver, ENQ)[0] == ACK
        for _ in range(200):
            answer, _ = settle_all(receiver, encode_frame((taken + 1) % 8, text, is_last=True))
            taken, refused = taken + (answer == ACK), refused + (answer == NAK)
    assert taken == MIB // len(text)
    assert taken + refused == 200


def test_an_endless_bare_record_is_handed_out_in_bounded_pieces():
    receiver = BareReceiver(max_message_bytes=MIB)
    with within(seconds=8, mib=8):
        lengths = [len(raw) for _ in range(TIMES) for raw in settle_all(receiver, ENDLESS)[1]]
    assert lengths
    assert all(length <= MIB + len(ENDLESS) + 1 for length in lengths)


@pytest.mark.parametrize("begin", [b"\x0b", b""])
def test_an_endless_block_is_refused_once(begin: bytes):
    decoder = MllpDecoder(max_message_bytes=MIB)
    with within(seconds=8, mib=4):
        found = decoder.feed(begin)
        for _ in range(TIMES):
            found += decoder.feed(ENDLESS)
    expected = [BrokenBlock(found[0].raw, found[0].reason, is_oversized=True)] if begin else []
    assert found == expected
    assert [len(block.raw) for block in found] == [MIB] * len(found)
    assert decoder.feed(b"\x1c\r" + encode_block(HEAD)) == [Block(HEAD)]


@pytest.mark.parametrize(
    "text",
    [
        b"\\E" * 60_000 + b"\\",
        b"\\" * 120_000,
        b"\\X" + b"41" * 60_000 + b"\\",
        b"\\E\\F\\S\\T" * 15_000,
        b"\\X\\E\\X" * 20_000,
        (b"\\" + b"Z" * 398) * 300,
    ],
)
def test_escapes_in_escapes_take_no_longer_than_the_bytes(text: bytes):
    raw = HEAD + b"OBX|1|ST|K^^L||" + text + b"|g/dL|||||F\r"
    with within(seconds=8, mib=30):
        message = read(raw, HL7)
    assert len(message.specimens[0].observations) == 1
    astm = b"H|\\^&\rO|1|T17\rR|1|^^^K|" + text.replace(b"\\", b"&") + b"|g/dL\rL|1|N\r"
    with within(seconds=8, mib=30):
        assert len(read(astm, ASTM).specimens[0].observations) == 1


async def trickle(
    converse: Callable, profile: DeviceProfile, data: bytes, seconds_between: float
) -> tuple[list[ReceivedMessage], list[float], bytes]:
    """Send byte by byte; return what was stored, at which second, and what the device heard."""
    loop = asyncio.get_running_loop()
    reader, ear = asyncio.StreamReader(), Ear()
    kept: list[ReceivedMessage] = []
    at: list[float] = []

    async def store(message: ReceivedMessage) -> StoreOutcome:
        kept.append(message)
        at.append(loop.time())
        return StoreOutcome(accepted=True)

    state = ConnectionState(peer="192.0.2.1:1", local_port=1, since=utc_now())
    line = Line(reader, ear, protocol=profile.protocol, state=state, store=store, store_seconds=5, write_seconds=5)
    talking = asyncio.ensure_future(converse(line, profile, ListenerLimits(message_seconds=60)))
    for index in range(len(data)):
        reader.feed_data(data[index : index + 1])
        await asyncio.sleep(seconds_between)
    reader.feed_eof()
    await talking
    return kept, at, ear.heard


def test_a_byte_a_second_is_given_up_after_a_minute_by_mllp():
    loop = FakeClockLoop()
    block = encode_block(HEAD + b"OBX|1|NM|K||5\r" * 20)
    assert len(block) > 300
    kept, at, heard = loop.run_until_complete(trickle(hl7_conversation.converse, HL7, block, 1.0))
    loop.close()
    # the rest has no beginning, so it is passed over
    assert [message.framing_error for message in kept] == ["not completed in time"]
    assert 60 <= at[0] <= 62
    assert heard.count(b"MSA|") == 1


def test_a_byte_a_second_is_given_up_by_astm():
    loop = FakeClockLoop()
    data = ENQ + encode_frame(1, b"R|1|" + b"x" * 200, is_last=True)
    kept, at, heard = loop.run_until_complete(trickle(astm_conversation.converse, ASTM, data, 1.0))
    loop.close()
    assert [message.framing_error for message in kept] == ["not completed in time"]
    assert 30 <= at[0] <= 32
    assert heard == ACK


def test_a_slow_line_is_no_attack():
    loop = FakeClockLoop()
    block = encode_block(HEAD)
    kept, _, heard = loop.run_until_complete(trickle(hl7_conversation.converse, HL7, block, 50 / len(block)))
    loop.close()
    assert [message.raw for message in kept] == [HEAD]
    assert b"MSA|AA|7" in heard


def test_a_long_message_on_a_slow_line_has_the_time_it_needs():
    """An image of 24 kB at 2400 baud takes longer than a minute."""
    loop = FakeClockLoop()
    block = encode_block(HEAD + b"OBX|1|ED|K||^image^png^Base64^" + b"A" * 24_000 + b"\r")
    kept, at, heard = loop.run_until_complete(trickle(hl7_conversation.converse, HL7, block, 1 / 240))
    loop.close()
    assert [message.framing_error for message in kept] == [""]
    assert at[0] > 90
    assert b"MSA|AA|7" in heard


SILENT = 1000


@pytest.fixture
def many_files() -> Iterator[None]:
    needed = 2 * SILENT + 200
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < needed:
        pytest.skip(f"this system allows {hard} open files, {needed} are needed")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, needed), hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


async def test_a_thousand_silent_connections_hinder_nobody(many_files: None):
    async def store(message: ReceivedMessage) -> StoreOutcome:
        return StoreOutcome(accepted=True)

    limits = ListenerLimits(max_connections=SILENT + 1, max_connections_per_source=SILENT + 1)
    async with Hl7Server("127.0.0.1", 0, store, limits=limits) as server:
        opened: list[socket.socket] = []
        tracemalloc.start()
        try:
            for _ in range(SILENT):
                opened.append(socket.create_connection(("127.0.0.1", server.port)))
                if len(opened) % 50 == 0:  # no more than the system keeps waiting
                    await until_open(server, len(opened))
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert peak < SILENT * 32_768
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(encode_block(HEAD))
        assert b"MSA|AA|7" in await asyncio.wait_for(reader.readuntil(b"\x1c\r"), 5)
        late_reader, late_writer = await asyncio.open_connection("127.0.0.1", server.port)
        assert await asyncio.wait_for(late_reader.read(), 5) == b""
        assert server.totals["refused"] == 1
        assert len(server.connections()) == SILENT + 1
        for each in (writer, late_writer):
            each.close()
            await each.wait_closed()
        for each in opened:
            each.close()
    assert server.connections() == []


async def until_open(server: Hl7Server, count: int) -> None:
    async with asyncio.timeout(10):
        while len(server.connections()) < count:  # noqa: ASYNC110  the server tells nobody
            await asyncio.sleep(0.005)
