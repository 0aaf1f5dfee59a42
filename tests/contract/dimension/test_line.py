"""Dimension analyzers over real loopback TCP: polls, queries, results."""

from contextlib import asynccontextmanager

import pytest

from connectors.device_side import LineFaults
from connectors.dimension.simulator import DimensionSimulator
from connectors.line import ListenerLimits
from connectors.transports import ChannelSetup, Device
from connectors.transports.tcp_server import DevicePort
from domain.device_orders import DeviceWork, DownloadResult
from domain.device_profile import DeviceProfile
from domain.device_transport import OwnListener
from tests.fixtures.shelf import Desk, Shelf

TUBE = "261123000017"
WORK = DeviceWork(specimen_id=TUBE, codes=("GLU", "CREA"))
QUERIED = DeviceProfile.model_validate(
    {"protocol": "dimension", "work": {"style": "dimension", "answers_queries": True}}
)
POLLED = DeviceProfile.model_validate(
    {"protocol": "dimension", "checksum": "ignored", "work": {"style": "dimension", "sends_unasked": True}}
)


@asynccontextmanager
async def site(shelf, profile, *, desk=None, faults=None):
    device = Device(code="DIM-1", profile=profile, new_desk=lambda: desk)
    setup = ChannelSetup(store=shelf, limits=ListenerLimits(message_seconds=5))
    port = DevicePort(device, setup, OwnListener.model_construct(kind="tcp_server", port=0, tls=False))
    async with port, DimensionSimulator("127.0.0.1", port.port, faults) as machine:
        yield port, machine


async def polled(machine: DimensionSimulator, kind: str) -> list[str]:
    """Poll until the answer is of this kind: work is fetched between polls."""
    for _ in range(50):
        answer = await machine.poll()
        if answer[0] == kind:
            return answer
    raise AssertionError(kind)


@pytest.mark.parametrize("profile", [QUERIED, POLLED], ids=["queried", "polled"])
@pytest.mark.parametrize("piece", [0, 2])
async def test_results_are_taken_when_they_are_stored(profile: DeviceProfile, piece: int):
    shelf = Shelf()
    async with site(shelf, profile, faults=LineFaults(max_piece=piece)) as (port, machine):
        assert await machine.poll() == ["N"]
        assert await machine.result(TUBE, {"GLU": "98", "CREA": "1.02"}, run_at="051015181126")
        (state,) = port.connections()
    assert [message[:1] for message in shelf.messages] == [b"R"]
    assert (state.received, state.acknowledged) == (1, 1)


async def test_results_are_refused_while_the_store_is_away_and_taken_later():
    shelf = Shelf()
    shelf.refuse()
    async with site(shelf, QUERIED) as (_, machine):
        assert not await machine.result(TUBE, {"GLU": "98"})
        assert await machine.result(TUBE, {"GLU": "98"})
        assert await machine.result(TUBE, {"GLU": "98"})
    assert len(shelf.kept) == 1


async def test_calibrations_are_taken():
    shelf = Shelf()
    async with site(shelf, QUERIED) as (_, machine):
        assert (await machine.say("C", "GLU", "mg/dL"))[:2] == ["M", "A"]
    assert len(shelf.kept) == 1


async def test_a_tube_asked_for():
    desk = Desk(WORK)
    async with site(Shelf(), QUERIED, desk=desk) as (_, machine):
        answer = await machine.ask(TUBE)
        assert (answer[0], answer[3], answer[5], answer[12:]) == ("D", "A", TUBE, ["2", "GLU", "CREA"])
        await machine.confirm(is_taken=True)
        assert await machine.ask("261123000028") == ["N"]
        assert await machine.ask("") == ["N"]
    assert [query.specimen_ids for query in desk.asked] == [(TUBE,), ("261123000028",)]


async def test_work_is_given_at_a_poll_and_confirmed():
    desk = Desk()
    first, second = desk.put(WORK), desk.put(DeviceWork(specimen_id="261123000028", codes=("NA",)))
    async with site(Shelf(), POLLED, desk=desk) as (_, machine):
        assert (await polled(machine, "D"))[5] == TUBE
        await machine.confirm(is_taken=True)
        assert (await polled(machine, "D"))[5] == "261123000028"
        await machine.confirm(is_taken=False, code="7")
        assert await machine.poll() == ["N"]
    assert desk.settled == [
        (first.id, DownloadResult.ACCEPTED, ""),
        (second.id, DownloadResult.REFUSED, "refused by the analyzer, code 7"),
    ]


async def test_work_that_was_not_confirmed_is_given_back():
    desk = Desk()
    first, second = desk.put(WORK), desk.put(WORK)
    async with site(Shelf(), POLLED, desk=desk) as (port, machine):
        await polled(machine, "D")
        await polled(machine, "N")
        await polled(machine, "D")
        await port.stop()
    assert [(one, result) for one, result, _ in desk.settled] == [
        (first.id, DownloadResult.UNDELIVERED), (second.id, DownloadResult.UNDELIVERED),
    ]  # fmt: skip


async def test_work_that_cannot_be_said_is_refused():
    desk = Desk()
    bad = desk.put(DeviceWork(specimen_id=TUBE, codes=()))
    async with site(Shelf(), POLLED, desk=desk) as (_, machine):
        for _ in range(20):
            assert await machine.poll() == ["N"]
    assert [(one, result) for one, result, _ in desk.settled] == [(bad.id, DownloadResult.REFUSED)]
