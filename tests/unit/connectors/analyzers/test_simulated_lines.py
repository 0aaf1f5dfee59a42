"""Simulated devices and hosts over loopback TCP: every model, every fault; and against the listeners themselves."""

import asyncio
from datetime import UTC, datetime

import pytest

from connectors.analyzers.driver import MODELS
from connectors.analyzers.simulator import (
    DIALECTS,
    DeviceSimulator,
    HostSimulator,
    LinkTimes,
    SimulatorFaults,
    dialect_of,
)
from connectors.astm.server import AstmServer
from connectors.conversations import read_message
from connectors.hl7.server import Hl7Server
from domain.observations import ReceivedMessage, StoreOutcome

NOW = datetime(2026, 11, 23, 1, 2, 3, tzinfo=UTC)
BARCODES = ["261123000017", "261123000028"]
FAST = LinkTimes(answer=1.0, retry=0.01, busy=0.01, contention=0.02)
ASKING = [key for key in DIALECTS if dialect_of(key).asks]
HEARD = [key for key in DIALECTS if MODELS[key].profile.frame_style != "bare"]
ONE_OF_EACH_LINK = ["roche_cobas_c311", "mindray_bc", "beckman_dxc700au", "siemens_dimension", "snibe_maglumi"]


class device:  # noqa: N801  reads as what it makes
    """A device that learns its host's port when both are there."""

    def __init__(self, key: str, lab, faults: SimulatorFaults | None = None, times: LinkTimes = FAST) -> None:
        self._make = lambda: DeviceSimulator(key, "127.0.0.1", lab.port, faults=faults, times=times, clock=lambda: NOW)

    async def __aenter__(self) -> DeviceSimulator:
        self._simulator = self._make()
        return self._simulator

    async def __aexit__(self, *_error) -> None:
        await self._simulator.close()


def host(key: str, work=None, faults: SimulatorFaults | None = None) -> HostSimulator:
    return HostSimulator(key, work, faults=faults, times=FAST, clock=lambda: NOW)


async def arrived(lab: HostSimulator, *wanted: bytes, copies: int = 1) -> None:
    """Wait for the last messages: a device is done before its host has read the end."""
    async with asyncio.timeout(5):
        await lab.until(lambda received: all(received.count(raw) >= copies for raw in wanted))


@pytest.mark.parametrize("key", DIALECTS)
async def test_every_model_delivers_results_and_controls(key):
    async with host(key) as lab, device(key, lab) as analyzer:
        journal = await analyzer.run(BARCODES)
        await arrived(lab, *(delivery.raw for delivery in journal))
    assert lab.received == [delivery.raw for delivery in journal]
    assert {delivery.specimen_id for delivery in journal if not delivery.is_control} == set(BARCODES)
    assert sum(delivery.is_control for delivery in journal) >= 2
    assert all(delivery.is_acknowledged for delivery in journal) is (key in HEARD)
    assert {delivery.attempts for delivery in journal} == {1}


@pytest.mark.parametrize("key", ASKING)
async def test_every_model_that_asks_measures_what_it_is_told(key):
    codes = tuple(test.code for test in dialect_of(key).tests[:2])
    async with host(key, {BARCODES[0]: codes}) as lab:
        analyzer = DeviceSimulator(
            key, "127.0.0.1", lab.port, times=LinkTimes(answer=0.4, retry=0.01, busy=0.01), clock=lambda: NOW
        )
        async with analyzer:
            journal = await analyzer.run(BARCODES, with_controls=False, with_query=True)
    assert {delivery.specimen_id for delivery in journal} == {BARCODES[0]}
    assert set(journal[0].values) == set(codes)
    assert analyzer.worklist == {BARCODES[0]: codes}


DOWNLOADS = [
    key
    for key in ASKING
    if dialect_of(key).download("1", ("901",), 1, NOW) and MODELS[key].profile.protocol != "dimension"
]


@pytest.mark.parametrize("key", DOWNLOADS)
async def test_work_that_nobody_asked_for_is_taken(key):
    codes = tuple(test.code for test in dialect_of(key).tests[:2])
    async with host(key) as lab, device(key, lab) as analyzer:
        await analyzer.connect()
        assert await lab.send_work(BARCODES[0], codes)
        assert await analyzer.take_downloads(1.0) == {BARCODES[0]: codes}


FAULTS = {
    "cut": SimulatorFaults(max_piece=3),
    "broken first": SimulatorFaults(broken_first=True),
    "dropped": SimulatorFaults(drop_before_answer=True),
    "reconnects": SimulatorFaults(reconnect=True),
    "second session": SimulatorFaults(second_session=True),
    "all": SimulatorFaults(max_piece=7, broken_first=True, drop_before_answer=True, second_session=True),
}


@pytest.mark.parametrize("faults", FAULTS.values(), ids=FAULTS.keys())
@pytest.mark.parametrize("key", ONE_OF_EACH_LINK)
async def test_a_device_with_faults_loses_nothing(key, faults):
    async with host(key) as lab, device(key, lab, faults) as analyzer:
        journal = await analyzer.run(BARCODES)
        await arrived(lab, *(delivery.raw for delivery in journal))
    assert all(delivery.is_acknowledged for delivery in journal)
    assert {delivery.raw for delivery in journal} == set(lab.received)


@pytest.mark.parametrize("key", ONE_OF_EACH_LINK)
async def test_a_device_sends_twice(key):
    async with host(key) as lab, device(key, lab, SimulatorFaults(duplicate=True)) as analyzer:
        journal = await analyzer.run(BARCODES[:1], with_controls=False)
        await arrived(lab, *(delivery.raw for delivery in journal), copies=2)
    assert sorted(lab.received) == sorted([delivery.raw for delivery in journal] * 2)


@pytest.mark.parametrize("key", ONE_OF_EACH_LINK)
async def test_a_storm_of_refusals_passes(key):
    async with host(key, faults=SimulatorFaults(refuse_first=2)) as lab, device(key, lab) as analyzer:
        (first, *_) = await analyzer.run(BARCODES[:1], with_controls=False)
        await arrived(lab, first.raw)
    assert first.is_acknowledged
    assert first.raw in lab.received


@pytest.mark.parametrize("key", ONE_OF_EACH_LINK)
async def test_a_silent_host_is_called_again(key):
    times = LinkTimes(answer=0.1, retry=0.01, busy=0.01)
    async with host(key, faults=SimulatorFaults(ignore_first=1)) as lab, device(key, lab, times=times) as analyzer:
        (first, *_) = await analyzer.run(BARCODES[:1], with_controls=False)
    assert first.is_acknowledged
    assert first.attempts == 2


async def test_a_host_that_never_answers_is_given_up():
    times = LinkTimes(answer=0.02, retry=0.01)
    silent = SimulatorFaults(ignore_first=99)
    async with host("sysmex_xp", faults=silent) as lab, device("sysmex_xp", lab, times=times) as analyzer:
        (delivery,) = await analyzer.run(BARCODES[:1], with_controls=False)
    assert not delivery.is_acknowledged
    assert delivery.answer == "retry_later"


async def test_contention_ends_with_the_devices_right_of_way():
    codes = tuple(test.code for test in dialect_of("roche_cobas_c311").tests[:2])
    lab, faults = host("roche_cobas_c311", {BARCODES[0]: codes}), SimulatorFaults(contention=True)
    async with lab, device("roche_cobas_c311", lab, faults) as analyzer:
        assert await analyzer.ask(BARCODES[0]) == {BARCODES[0]: codes}


async def test_vitros_takes_a_packed_answer_back():
    packed = MODELS["ortho_vitros"].profile.model_copy(
        update={"transmission": MODELS["ortho_vitros"].profile.transmission.model_copy(update={"packing": "packed"})}
    )
    async with host("ortho_vitros", {BARCODES[0]: ("801",)}) as lab:
        lab._model = MODELS["ortho_vitros"].model_copy(update={"profile": packed})
        async with device("ortho_vitros", lab) as analyzer:
            assert await analyzer.ask(BARCODES[0]) == {}
            async with asyncio.timeout(5):
                await lab.until(lambda received: len(received) == 2)
    assert b"|A\rL|1|T\r" in lab.received[1]


async def test_a_device_that_listens_is_called():
    analyzer = DeviceSimulator("beckman_access_dxi", "127.0.0.1", 1, times=FAST, clock=lambda: NOW)
    called = asyncio.Event()

    async def answer(reader, writer):
        analyzer.answer_calls(reader, writer)
        called.set()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    lab = host("beckman_access_dxi")
    reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
    async with asyncio.timeout(5), asyncio.TaskGroup() as group:
        group.create_task(lab._converse(reader, writer))
        await called.wait()
        journal = await analyzer.run(BARCODES[:1], with_controls=False)
        await analyzer.close()
    server.close()
    assert lab.received == [delivery.raw for delivery in journal]


async def test_what_a_host_was_sent_is_told():
    seen: list[bytes] = []
    async with host("generic_astm") as lab:
        lab.on_message = seen.append
        async with device("generic_astm", lab) as analyzer:
            journal = await analyzer.run(BARCODES[:1], with_controls=False)
            await arrived(lab, journal[0].raw)
    assert seen == [journal[0].raw]


class Shelf:
    """A store that keeps everything."""

    def __init__(self) -> None:
        self.messages: list[bytes] = []

    async def __call__(self, received: ReceivedMessage) -> StoreOutcome:
        if not received.framing_error:
            self.messages.append(received.raw)
        return StoreOutcome(accepted=True)


LISTENERS = [key for key in HEARD if MODELS[key].profile.protocol in {"astm", "hl7"} and key != "snibe_maglumi"]


@pytest.mark.parametrize("key", LISTENERS)
async def test_the_listeners_take_what_every_model_sends(key):
    shelf, profile = Shelf(), MODELS[key].profile
    kind = AstmServer if profile.protocol == "astm" else Hl7Server
    faults = SimulatorFaults(max_piece=200, broken_first=True, drop_before_answer=True)
    async with (
        kind("127.0.0.1", 0, shelf, profile_for=lambda _peer: profile) as server,
        DeviceSimulator(key, "127.0.0.1", server.port, faults=faults, times=FAST, clock=lambda: NOW) as analyzer,
    ):
        journal = await analyzer.run(BARCODES[:1])
    assert all(delivery.is_acknowledged for delivery in journal)
    assert set(shelf.messages) == {delivery.raw for delivery in journal}
    for raw in shelf.messages:
        read_message(raw, profile)
