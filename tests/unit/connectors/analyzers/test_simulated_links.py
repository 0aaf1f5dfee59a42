"""The byte side of the simulated links that no other code of the project shares: steps and bytes, one by one."""

import asyncio
from collections.abc import Callable

import pytest

from connectors.analyzers.driver import MODELS
from connectors.analyzers.simulator import LinkTimes, SimulatorFaults
from connectors.analyzers.simulator.astm_links import BareLink, FramedLink, SimpleLink
from connectors.analyzers.simulator.block_links import BlockLink, DimensionLink
from connectors.analyzers.simulator.link import BoundLine, SimulatedLink
from connectors.analyzers.simulator.mllp_link import MllpLink, field_of, segments_of
from connectors.analyzers.simulator.registry import link_for
from connectors.astm.framing import ACK, ENQ, EOT, ETB, ETX, NAK, STX
from domain.device_profile import AuLayout, DeviceProfile, Transmission

FAST = LinkTimes(answer=0.2, retry=0.01, busy=0.01, contention=0.01)
RECORDS = b"H|\\^&|||SIM\rP|1\rL|1|N\r"


class Peer:
    """The other end of a link, played by hand."""

    def __init__(self) -> None:
        self.called = asyncio.Event()

    async def take(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer
        self.called.set()

    async def says(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    async def hears(self, wanted: bytes) -> None:
        async with asyncio.timeout(5):
            assert await self.reader.readexactly(len(wanted)) == wanted

    async def hears_nothing(self) -> None:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                assert not await self.reader.read(1)


class Pair:
    """A link under test, and its peer."""

    def __init__(self, make: Callable[[BoundLine], SimulatedLink]) -> None:
        self._make = make
        self.peer = Peer()

    async def __aenter__(self) -> tuple[SimulatedLink, Peer]:
        self._server = await asyncio.start_server(self.peer.take, "127.0.0.1", 0)
        reader, writer = await asyncio.open_connection(*self._server.sockets[0].getsockname())
        await self.peer.called.wait()
        self.link = self._make(BoundLine(reader, writer))
        return self.link, self.peer

    async def __aexit__(self, *_error) -> None:
        await self.link.line.close()
        self.peer.writer.close()
        self._server.close()


def simple(faults: SimulatorFaults | None = None) -> Pair:
    return Pair(lambda line: SimpleLink(line, faults=faults, times=FAST))


def au(*, has_check_byte: bool = False, faults: SimulatorFaults | None = None) -> Pair:
    return Pair(lambda line: BlockLink(line, has_check_byte=has_check_byte, faults=faults, times=FAST))


def dimension(faults: SimulatorFaults | None = None) -> Pair:
    return Pair(lambda line: DimensionLink(line, faults=faults, times=FAST))


async def test_a_simple_device_sends_step_by_step():
    async with simple() as (link, peer):
        sending = asyncio.ensure_future(link.send(RECORDS))
        for step in (ENQ, STX, RECORDS, ETX):
            await peer.hears(step)
            await peer.says(ACK)
        await peer.hears(EOT)
        assert (await sending).answer == "ACK"


async def test_a_simple_device_gives_up_a_step_that_is_refused():
    async with simple() as (link, peer):
        sending = asyncio.ensure_future(link.send(RECORDS))
        await peer.hears(ENQ)
        await peer.says(NAK)
        await peer.hears(EOT + ENQ)
        for step in (STX, RECORDS, ETX, EOT):
            await peer.says(ACK)
            await peer.hears(step)
        sent = await sending
    assert (sent.answer, sent.attempts) == ("ACK", 2)


async def test_a_simple_device_takes_orders_step_by_step():
    async with simple() as (link, peer):
        taking = asyncio.ensure_future(link.receive(1))
        for step in (ENQ, STX, RECORDS, ETX):
            await peer.says(step)
            await peer.hears(ACK)
        await peer.says(EOT)
        assert await taking == RECORDS


async def test_a_simple_device_refuses_standard_frames_without_a_word():
    async with simple() as (link, peer):
        taking = asyncio.ensure_future(link.receive(0.1))
        await peer.says(ENQ)
        await peer.hears(ACK)
        await peer.says(STX + b"1" + RECORDS + ETX + b"00\r\n" + EOT)
        await peer.hears(ACK)  # to STX, before it can know
        await peer.hears_nothing()
        assert await taking is None


async def test_an_au_block_without_check_byte():
    async with au() as (link, peer):
        sending = asyncio.ensure_future(link.send(b"R 0001"))
        await peer.hears(b"\x02R 0001\x03")
        await peer.says(ACK)
        assert (await sending).answer == "ACK"


async def test_the_check_byte_of_a_known_block():
    """0x52 R ^ 0x42 B ^ 0x03 ETX is 0x13."""
    async with au(has_check_byte=True) as (link, peer):
        sending = asyncio.ensure_future(link.send(b"RB"))
        await peer.hears(b"\x02RB\x03\x13")
        await peer.says(ACK)
        await sending


async def test_an_au_block_that_goes_on_and_one_with_a_wrong_check_byte():
    async with au(has_check_byte=True) as (link, peer):
        taking = asyncio.ensure_future(link.receive(1))
        await peer.says(b"\x02S 1\x03\xff")
        await peer.hears(NAK)
        for text, mark in ((b"S 1", ETB), (b"E01", ETX)):
            check = 0
            for value in text + mark:
                check ^= value
            await peer.says(STX + text + mark + bytes([check]))
            await peer.hears(ACK)
        assert await taking == b"S 1E01"


async def test_a_peer_that_goes_on_instead_of_acknowledging_has_the_block():
    async with au() as (link, peer):
        sending = asyncio.ensure_future(link.send(b"D 1"))
        await peer.hears(STX + b"D 1" + ETX)
        await peer.says(STX + b"S 2" + ETX)
        await peer.hears(ACK)
        assert (await sending).answer == "ACK"
        assert await link.receive(0.1) == b"S 2"


async def test_an_au_block_is_sent_again_after_nak_and_silence():
    async with au() as (link, peer):
        sending = asyncio.ensure_future(link.send(b"D 1"))
        await peer.hears(STX + b"D 1" + ETX)
        await peer.says(NAK)
        await peer.hears(STX + b"D 1" + ETX)
        await peer.hears(STX + b"D 1" + ETX)
        await peer.says(ACK)
        assert (await sending).attempts == 3


async def test_the_checksum_of_a_dimension():
    """N and FS are 0x4E + 0x1C = 0x6A, between STX and ETX."""
    async with dimension() as (link, peer):
        sending = asyncio.ensure_future(link.send(b"N\x1c"))
        await peer.hears(b"\x02N\x1c6A\x03")
        await peer.says(ACK)
        assert (await sending).answer == "ACK"
        taking = asyncio.ensure_future(link.receive(1))
        await peer.says(b"\x02N\x1c6B\x03")
        await peer.hears(NAK)
        await peer.says(b"\x02N\x1c6a\x03")
        await peer.hears(ACK)
        assert await taking == b"N\x1c"


@pytest.mark.parametrize(
    ("pair", "broken", "good"),
    [
        (dimension, b"\x02N\x1c00\x03", b"\x02N\x1c6A\x03"),
        (lambda faults: au(has_check_byte=True, faults=faults), b"\x02N\x1c\x03\x04", b"\x02N\x1c\x03\x51"),
    ],
)
async def test_a_broken_block_comes_first(pair, broken, good):
    async with pair(faults=SimulatorFaults(broken_first=True)) as (link, peer):
        sending = asyncio.ensure_future(link.send(b"N\x1c"))
        await peer.hears(broken)
        await peer.says(NAK)
        await peer.hears(good)
        await peer.says(ACK)
        assert (await sending).answer == "ACK"


async def test_bare_records_are_sent_and_taken():
    async with Pair(lambda line: BareLink(line, times=FAST)) as (link, peer):
        assert (await link.send(RECORDS)).answer == ""
        await peer.hears(RECORDS.replace(b"\r", b"\n"))
        await peer.says(RECORDS[:9])
        await peer.says(RECORDS[9:] + RECORDS)
        assert [await link.receive(1), await link.receive(1)] == [RECORDS, RECORDS]


async def test_frames_that_all_end_in_etx():
    transmission = Transmission(ends_every_frame=True, frame_text=20)
    async with Pair(lambda line: FramedLink(line, transmission, times=FAST)) as (link, peer):
        sending = asyncio.ensure_future(link.send(b"H|" + b"x" * 30 + b"\r"))
        await peer.hears(ENQ)
        await peer.says(ACK)
        for _ in range(2):
            frame = await peer.reader.readuntil(b"\r\n")
            body, check = frame[1:-4], frame[-4:-2]
            assert body[-1:] == ETX
            assert check == b"%02X" % (sum(body) % 256)
            await peer.says(ACK)
        await peer.hears(EOT)
        assert (await sending).answer == "ACK"


async def test_a_message_is_handed_out_when_the_line_is_free_or_gone():
    for end in (EOT, b""):
        async with Pair(lambda line: FramedLink(line, Transmission(), times=FAST)) as (link, peer):
            taking = asyncio.ensure_future(link.receive(1))
            await peer.says(ENQ)
            await peer.hears(ACK)
            body = b"1H|\\^&\rL|1|N\r" + ETX
            await peer.says(STX + body + b"%02X\r\n" % (sum(body) % 256))
            await peer.hears(ACK)
            assert not taking.done()
            await peer.says(end)
            if not end:
                peer.writer.close()
            assert await taking == body[1:-1]


async def test_only_the_first_answer_that_names_a_message_is_its_acknowledgement():
    async with Pair(lambda line: MllpLink(line, times=FAST)) as (link, peer):
        sending = asyncio.ensure_future(link.send(b"MSH|^~\\&|||||1||QRY^Q02|7\r"))
        await peer.reader.readuntil(b"\x1c\r")
        other = b"MSH|^~\\&|||||1||ACK|1\rMSA|AA|6\r"
        first, second = (b"MSH|^~\\&|||||1||%s|1\rMSA|AA|7\r" % kind for kind in (b"QCK", b"DSR"))
        await peer.says(b"".join(b"\x0b" + raw + b"\x1c\r" for raw in (other, first, second)))
        sent = await sending
        assert (sent.answer, sent.raw) == ("AA", first)
        assert [await link.receive(1), await link.receive(1)] == [other, second]


def test_fields_are_counted_as_the_standard_counts_them():
    raw = b"MSH|^~\\&|A|B\rPID|1||X\n\n"
    assert (field_of(raw, "MSH", 3), field_of(raw, "PID", 3), field_of(raw, "OBX", 1)) == ("A", "X", "")
    assert field_of(raw, "PID", 9) == ""
    assert [fields[0] for fields in segments_of(raw)] == ["MSH", "PID"]


@pytest.mark.parametrize(
    ("profile", "kind"),
    [
        (DeviceProfile(protocol="astm"), FramedLink),
        (DeviceProfile(protocol="astm", frame_style="simple"), SimpleLink),
        (DeviceProfile(protocol="astm", frame_style="bare"), BareLink),
        (DeviceProfile(protocol="hl7"), MllpLink),
        (DeviceProfile(protocol="au", au=AuLayout(has_check_byte=True)), BlockLink),
        (MODELS["siemens_dimension"].profile, DimensionLink),
    ],
)
async def test_the_profile_chooses_the_link(profile, kind):
    async with Pair(lambda line: link_for(profile, line)) as (link, _):
        assert type(link) is kind
