"""AU analyzers over real loopback TCP, on ports of their own: two sites with different layouts."""

import asyncio
import logging
from contextlib import asynccontextmanager

import pytest

from connectors.au.simulator import AuSimulator
from connectors.au.texts import framed
from connectors.device_side import LineFaults
from connectors.line import ListenerLimits
from connectors.transports import ChannelSetup, Device
from connectors.transports.tcp_server import DevicePort
from domain.device_orders import DeviceWork
from domain.device_profile import DeviceProfile
from domain.device_transport import OwnListener
from tests.fixtures.shelf import Desk, Shelf

TUBE = "261123000017"
WORK = DeviceWork(specimen_id=TUBE, codes=("99", "9", "97"), patient_name="Asha Rao")
ASKS = {"style": "au", "answers_queries": True}
SITES = {
    "wide": DeviceProfile.model_validate({"protocol": "au", "work": ASKS}),
    "named": DeviceProfile.model_validate(
        {
            "protocol": "au",
            "work": ASKS,
            "au": {"specimen_width": 20, "results_offset": 46, "has_check_byte": True, "has_name_block": True},
        }
    ),
}


@asynccontextmanager
async def site(shelf, profile, *, desk=None, faults=None, seconds=5.0):
    device = Device(code="AU-1", profile=profile, new_desk=lambda: desk)
    setup = ChannelSetup(store=shelf, limits=ListenerLimits(message_seconds=seconds))
    port = DevicePort(device, setup, OwnListener.model_construct(kind="tcp_server", port=0, tls=False))
    async with port, AuSimulator("127.0.0.1", port.port, profile.au, faults) as machine:
        yield port, machine


@pytest.mark.parametrize("name", SITES)
@pytest.mark.parametrize("piece", [0, 3])
async def test_results_are_stored_before_they_are_acknowledged(name: str, piece: int):
    shelf = Shelf()
    async with site(shelf, SITES[name], faults=LineFaults(max_piece=piece)) as (port, machine):
        text = machine.result(TUBE, {"014": "78.8", "097": "135.8"}, run_at="20261118161505")
        for block in ("DB", text, "DE"):
            assert await machine.send(block)
        (state,) = port.connections()
    assert shelf.messages == [text.encode()]
    assert (shelf.kept[0].protocol, shelf.kept[0].transport, shelf.kept[0].device) == ("au", "tcp", "AU-1")
    assert (state.received, state.acknowledged, state.refused) == (1, 1, 0)


async def test_what_the_store_does_not_take_is_sent_again():
    shelf = Shelf()
    shelf.refuse()
    async with site(shelf, SITES["wide"]) as (port, machine):
        assert await machine.send(machine.result(TUBE, {"014": "78.8"}))
        assert port.connections()[0].refused == 1
    assert len(shelf.kept) == 1


async def test_a_result_sent_again_is_not_stored_again(caplog: pytest.LogCaptureFixture):
    shelf = Shelf()
    async with site(shelf, SITES["wide"]) as (port, machine):
        text = machine.result(TUBE, {"014": "78.8"})
        for _ in range(4):
            assert await machine.send(text)
        assert port.connections()[0].repeated == 3
    assert len(shelf.kept) == 1
    assert "receive-only" in caplog.text


@pytest.mark.parametrize("name", SITES)
async def test_a_request_is_answered_with_the_tests(name: str):
    shelf, desk = Shelf(), Desk(WORK)
    async with site(shelf, SITES[name], desk=desk) as (_, machine):
        assert await machine.send("RB")
        assert await machine.ask(TUBE) == ["099", "009", "097"]
        assert await machine.ask(TUBE, code="RH") == ["099", "009", "097"]
        assert await machine.ask("261123000028") == []
        assert await machine.send("RE")
    assert [query.specimen_ids for query in desk.asked] == [(TUBE,), (TUBE,), ("261123000028",)]
    assert len(shelf.messages) == 3


async def test_nothing_is_said_while_nothing_is_known():
    desk = Desk(WORK)
    desk.is_away = True
    async with site(Shelf(), SITES["wide"], desk=desk) as (_, machine):
        assert await machine.ask(TUBE, seconds=0.2) is None
        desk.is_away = False
        assert await machine.ask(TUBE) == ["099", "009", "097"]


async def test_a_sample_without_a_barcode_is_not_a_question_for_everything():
    desk = Desk(WORK)
    async with site(Shelf(), SITES["wide"], desk=desk) as (_, machine):
        assert await machine.ask("") == []
    assert desk.asked == []


@pytest.mark.parametrize(("no_work", "answer"), [("silent", None), ("terminator", []), ("style", [])])
async def test_how_nothing_to_do_is_said(no_work: str, answer: list | None):
    profile = SITES["wide"].model_copy(update={"work": SITES["wide"].work.model_copy(update={"no_work": no_work})})
    async with site(Shelf(), profile, desk=Desk()) as (_, machine):
        assert await machine.ask(TUBE, seconds=0.2) == answer


async def test_a_mapping_that_is_no_number_is_not_sent(caplog: pytest.LogCaptureFixture):
    desk = Desk(DeviceWork(specimen_id=TUBE, codes=("GLU",)))
    with caplog.at_level(logging.WARNING):
        async with site(Shelf(), SITES["wide"], desk=desk) as (_, machine):
            assert await machine.ask(TUBE, seconds=0.2) is None
    assert "AU_TEST_NUMBER" in caplog.text
    assert TUBE not in caplog.text


async def test_a_machine_that_moved_on_is_read_at_once():
    """It wants the ACK of its next block, not ours: a host that swallows it makes the machine show an online error."""
    shelf, profile = Shelf(), SITES["named"]
    async with site(shelf, profile, desk=Desk(WORK)) as (port, machine):
        reader, writer = await asyncio.open_connection("127.0.0.1", port.port)
        request = framed(machine.identity("R ", TUBE), profile.au)
        writer.write(request)
        async with asyncio.timeout(5):
            assert await reader.readexactly(1) == b"\x06"
            answer = await reader.readuntil(b"\x03")
            assert answer.startswith(b"\x02S 000101 0001")
            await reader.readexactly(1)
            writer.write(request)
            assert await reader.readexactly(1) == b"\x06"
            assert (await reader.readuntil(b"\x03")) == answer
            await reader.readexactly(1)
            writer.write(b"\x15")
            assert (await reader.readuntil(b"\x03")) == answer
        writer.close()
        await writer.wait_closed()


async def test_a_wrong_check_byte_is_kept_as_evidence():
    shelf, profile = Shelf(), SITES["named"]
    async with site(shelf, profile) as (port, machine):
        reader, writer = await asyncio.open_connection("127.0.0.1", port.port)
        good = framed(machine.result(TUBE, {"014": "78.8"}, run_at="20261118161505"), profile.au)
        writer.write(good[:-1] + bytes([good[-1] ^ 1]) + good)
        async with asyncio.timeout(5):
            assert await reader.readexactly(2) == b"\x15\x06"
        writer.close()
        await writer.wait_closed()
    assert shelf.broken == ["wrong check byte"]
    assert len(shelf.messages) == 1


async def test_a_block_that_is_never_finished_is_given_up_and_the_line_goes_on():
    shelf, profile = Shelf(), SITES["wide"]
    async with site(shelf, profile, seconds=0.1) as (port, machine):
        reader, writer = await asyncio.open_connection("127.0.0.1", port.port)
        writer.write(b"\x02D 0003")
        (torn,) = await shelf.wait(1)
        assert (torn.raw, torn.framing_error) == (b"D 0003", "not completed in time")
        await asyncio.sleep(0.2)
        writer.write(framed(machine.result(TUBE, {"014": "78.8"}), profile.au))
        async with asyncio.timeout(5):
            assert await reader.readexactly(1) == b"\x06"
        writer.close()
        await writer.wait_closed()
