"""A stored message on its way to a test device, over real sockets."""

import asyncio
from contextlib import asynccontextmanager

import pytest

from connectors.analyzers.replay import replay
from connectors.astm.framing import frames_of
from connectors.astm.server import AstmServer
from connectors.hl7.server import Hl7Server
from connectors.line import ListenerLimits
from domain.device_profile import DeviceProfile, Transmission
from domain.observations import StoreOutcome

RECORDS = b"H|\\^&|||Unit\rP|1\rO|1|X||^^^GLU\rR|1|^^^GLU|5.4|mmol/L\rL|1|N\r"
HL7 = b"MSH|^~\\&|A|B|||20261123||ORU^R01|7|P|2.5.1\rOBR|1|X\rOBX|1|NM|GLU||5\r"
ASTM_PROFILE, HL7_PROFILE = DeviceProfile(protocol="astm"), DeviceProfile(protocol="hl7")


@asynccontextmanager
async def listener(kind, profile, *, accepts=True):
    received = []

    async def keep(message):
        received.append(message)
        return StoreOutcome(accepted=accepts, readable=accepts)

    async with kind("127.0.0.1", 0, keep, limits=ListenerLimits(), profile_for=lambda _: profile) as server:
        yield server.port, received


@asynccontextmanager
async def peer(behave):
    async def talk(reader, writer):
        try:
            await behave(reader, writer)
        finally:
            writer.close()

    server = await asyncio.start_server(talk, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        await server.wait_closed()


@pytest.mark.parametrize("stored", [RECORDS, b"".join(frames_of(RECORDS)), RECORDS.replace(b"\r", b"\r\n")])
async def test_astm_records_arrive_whole_however_they_were_stored(stored):
    async with listener(AstmServer, ASTM_PROFILE) as (port, received):
        done = await replay(stored, ASTM_PROFILE, host="127.0.0.1", port=port)
    assert (done.is_delivered, done.answer) == (True, "ACK")
    assert [message.raw for message in received] == [RECORDS]


async def test_the_devices_way_of_packing_is_kept():
    profile = DeviceProfile(protocol="astm", transmission=Transmission(packing="packed", frame_text=1000))
    async with listener(AstmServer, ASTM_PROFILE) as (port, received):
        done = await replay(RECORDS, profile, host="127.0.0.1", port=port)
    assert done.sent_bytes == len(RECORDS) + 2 + 7, "ENQ, one frame, EOT"
    assert [message.raw for message in received] == [RECORDS]


async def test_a_bare_device_is_played_without_frames():
    heard = asyncio.get_running_loop().create_future()

    async def listen(reader, writer):
        heard.set_result(await reader.read())

    async with peer(listen) as port:
        bare = DeviceProfile(protocol="astm", frame_style="bare")
        done = await replay(RECORDS, bare, host="127.0.0.1", port=port)
        assert await heard == RECORDS
    assert (done.is_delivered, done.answer) == (True, "")


@pytest.mark.parametrize(("accepts", "answer"), [(True, "AA"), (False, "AE")])
async def test_hl7_is_answered(accepts, answer):
    async with listener(Hl7Server, HL7_PROFILE, accepts=accepts) as (port, received):
        done = await replay(HL7, HL7_PROFILE, host="127.0.0.1", port=port)
    assert (done.is_delivered, done.answer) == (accepts, answer)
    assert received[0].raw == HL7


async def test_a_peer_that_refuses_every_frame_is_left_alone():
    async def refuse(reader, writer):
        writer.write(b"\x06")
        while data := await reader.read(1000):
            if b"\x02" in data:
                writer.write(b"\x15")

    async with peer(refuse) as port:
        done = await replay(RECORDS, ASTM_PROFILE, host="127.0.0.1", port=port)
    assert (done.is_delivered, done.answer) == (False, "NAK")


@pytest.mark.parametrize(("raw", "profile"), [(RECORDS, ASTM_PROFILE), (HL7, HL7_PROFILE)])
async def test_a_peer_that_says_nothing_does_not_hold_us(raw, profile):
    async def wait(reader, writer):
        await reader.read()

    async with peer(wait) as port:
        done = await replay(raw, profile, host="127.0.0.1", port=port, seconds=0.2)
    assert (done.is_delivered, done.note) == (False, "no end within 0.2 s")


@pytest.mark.parametrize(("raw", "profile"), [(RECORDS, ASTM_PROFILE), (HL7, HL7_PROFILE)])
async def test_a_peer_that_hangs_up_is_an_outcome(raw, profile):
    async def hang_up(reader, writer):
        await reader.read(1)

    async with peer(hang_up) as port:
        done = await replay(raw, profile, host="127.0.0.1", port=port)
    assert not done.is_delivered
    assert done.note


async def test_an_answer_without_msa_is_none():
    async def answer(reader, writer):
        await reader.read(10)
        writer.write(b"\x0bMSH|^~\\&|X\rZZZ|1\r\x1c\r")
        await writer.drain()
        await reader.read()

    async with peer(answer) as port:
        done = await replay(HL7, HL7_PROFILE, host="127.0.0.1", port=port)
    assert (done.is_delivered, done.answer, done.note) == (False, "", "answered")


async def test_other_protocols_and_empty_messages_are_not_sent():
    done = await replay(b"x", DeviceProfile(protocol="au"), host="127.0.0.1", port=9)
    assert "protocol au" in done.note
    async with listener(AstmServer, ASTM_PROFILE) as (port, received):
        done = await replay(b"\r\n", ASTM_PROFILE, host="127.0.0.1", port=port)
    assert (done.is_delivered, received) == (False, [])
