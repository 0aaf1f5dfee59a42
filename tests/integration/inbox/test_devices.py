"""Lines fitted to the list of analyzers in a real database: one device is changed while others stay connected."""

import asyncio
import contextlib
import signal
import uuid
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any, Self

import pytest
from sqlmodel import select

from connectors.astm.framing import frames_of
from connectors.au.simulator import AuSimulator
from connectors.dimension.simulator import DimensionSimulator
from connectors.line import ListenerLimits
from connectors.transports import ChannelSetup
from devstack.seed import SeededLab
from domain.clock import utc_now
from domain.device_orders import DeviceWork
from domain.device_profile import AuLayout
from domain.observations import ReceivedMessage
from inbox.board import Board
from inbox.devices import Devices, Wanted, conflicts, wanted_line
from inbox.listener import Door, keep_fitting, listeners, serve
from settings import Settings
from store.device_links import STALE_AFTER, LinkState, write_links
from store.session import Database, open_database
from store.tables.devices import DeviceLink
from store.tables.organisation import Branch
from store.tables.results import Analyzer, InstrumentMessage
from tests.contract.transports.running import free_port, until
from tests.fixtures.database import AUDIT_KEY, SEAL_KEY
from tests.fixtures.shelf import Desk

MESSAGE = b"H|\\^&|||SIM\rP|1\rO|1|%s||^^^GLU\rR|1|^^^GLU|126.4|mg/dL\rL|1|N\r"
TUBE = "261123000017"


@dataclass
class Lab:
    """The process under test, with its list of devices read again on request."""

    database: Database
    door: Door
    devices: Devices
    added: list[uuid.UUID] = field(default_factory=list)

    async def add(self, code: str, transport: Mapping[str, Any], *, protocol: str = "astm", **columns: Any) -> None:
        async with self.database.transaction() as session:
            branch = (await session.exec(select(Branch).order_by(Branch.code))).first()
            row = Analyzer(
                branch_id=branch.id, code=code, name=code, model="test", protocol=protocol, transport=dict(transport),
                **columns,
            )  # fmt: skip
            session.add(row)
            self.added.append(row.id)
        await self.fit()

    async def edit(self, code: str, **columns: Any) -> None:
        async with self.database.transaction() as session:
            row = (await session.exec(select(Analyzer).where(Analyzer.code == code))).one()
            for name, value in columns.items():
                setattr(row, name, value)
        await self.fit()

    async def fit(self) -> None:
        await self.door.reload()
        await self.devices.fit(self.door.analyzers)

    async def stored(self) -> dict[str, list[bytes]]:
        """Return the messages by code of their device."""
        async with self.database.transaction() as session:
            codes = {row.id: row.code for row in (await session.exec(select(Analyzer))).all()}
            found: dict[str, list[bytes]] = {}
            for row in (await session.exec(select(InstrumentMessage).order_by(InstrumentMessage.id))).all():
                found.setdefault(codes.get(row.analyzer_id, ""), []).append(row.raw)
            return found


class Caller:
    """A device that connected and stays."""

    def __init__(self, port: int) -> None:
        self._port = port

    async def __aenter__(self) -> Self:
        async with asyncio.timeout(5):
            while True:
                with contextlib.suppress(OSError):
                    self._reader, self._writer = await asyncio.open_connection("127.0.0.1", self._port)
                    return self
                await asyncio.sleep(0.01)

    async def __aexit__(self, *_: object) -> None:
        self._writer.close()
        with contextlib.suppress(OSError):
            await self._writer.wait_closed()

    async def send(self, barcode: str) -> bool:
        frames = frames_of(MESSAGE % barcode.encode())
        self._writer.write(b"\x05" + b"".join(frames) + b"\x04")
        async with asyncio.timeout(5):
            try:
                return await self._reader.readexactly(6) == b"\x06" * 6
            except asyncio.IncompleteReadError:
                return False

    async def is_closed(self) -> bool:
        async with asyncio.timeout(5):
            with contextlib.suppress(ConnectionError):
                return await self._reader.read() == b""
        return True


@pytest.fixture
async def site(database: Database, lab: SeededLab, tmp_path: Path) -> AsyncIterator[Lab]:
    door = Door(database)
    setup = ChannelSetup(door.store, ListenerLimits(), folder_roots=(tmp_path,))
    work = DeviceWork(specimen_id=TUBE, codes=("7",))
    async with Devices(setup, taken_ports=[6661], new_desk=lambda _row: Desk(work)) as devices:
        one = Lab(database, door, devices)
        yield one
    await door.close()
    async with database.transaction() as session:
        for row in (await session.exec(select(Analyzer))).all():
            if row.id in one.added:
                row.is_active = False
                row.code = f"{row.code}-{row.id}"


def own(port: int) -> dict[str, Any]:
    return {"kind": "tcp_server", "port": port}


async def test_a_device_is_added_edited_and_removed_while_another_stays_connected(site: Lab):
    first, second, third = free_port(), free_port(), free_port()
    await site.add("L-1", own(first))
    async with Caller(first) as stays:
        assert await stays.send("261123000101")
        await site.add("L-2", own(second))
        async with Caller(second) as edited:
            assert await edited.send("261123000202")
            await site.edit("L-2", transport=own(third))
            assert await edited.is_closed()
        async with Caller(third) as moved:
            assert await moved.send("261123000203")
            assert await stays.send("261123000102")
            await site.edit("L-2", is_active=False)
            assert await moved.is_closed()
        assert await stays.send("261123000103")
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.2), Caller(third):
                pass
    stored = await site.stored()
    assert stored["L-1"] == [MESSAGE % b"26112300010%d" % number for number in (1, 2, 3)]
    assert stored["L-2"] == [MESSAGE % b"26112300020%d" % number for number in (2, 3)]


async def test_what_does_not_matter_to_a_line_does_not_restart_it(site: Lab):
    port = free_port()
    await site.add("L-3", own(port))
    async with Caller(port) as device:
        assert await device.send("261123000301")
        await site.edit("L-3", name="a new name", silent_after_minutes=30)
        assert await device.send("261123000302")
        await site.edit("L-3", profile={"specimen_fields": ["O.4.1"]})
        assert await device.is_closed()


async def test_several_of_a_kind_behind_one_address(site: Lab):
    ports = {f"K-{number}": free_port() for number in range(3)}
    for code, port in ports.items():
        await site.add(code, own(port), peers=["127.0.0.1"])
    for number, (code, port) in enumerate(ports.items()):
        async with Caller(port) as device:
            assert await device.send(f"26112300040{number}")
        assert site.door.analyzer_at("astm", "127.0.0.1:9", port).code == code
    stored = await site.stored()
    assert [len(stored[code]) for code in ports] == [1, 1, 1]


async def test_a_device_on_its_own_port_is_not_the_one_at_its_address(site: Lab):
    port = free_port()
    await site.add("O-1", own(port), peers=["192.0.2.1"])
    await site.add("O-2", {"kind": "listener"}, peers=["192.0.2.1"])
    site.door.shared_ports = {6662}
    assert site.door.analyzer_at("astm", "192.0.2.1:9", port).code == "O-1"
    assert site.door.analyzer_at("astm", "192.0.2.1:9", 6662).code == "O-2"
    assert site.door.analyzer_at("astm", "192.0.2.1:9").code == "O-2"
    assert site.door.analyzer_at("astm", "192.0.2.1:9", 7) is None
    await site.edit("O-2", profile={"specimen_fields": ["O.4.1"]})
    assert site.door.profile_for("astm")("192.0.2.1:9").specimen_fields == ("O.4.1",)


async def test_a_message_belongs_to_the_line_it_came_on(site: Lab):
    port = free_port()
    await site.add("M-1", own(port), peers=["192.0.2.3"])
    message = ReceivedMessage("astm", "tcp", "192.0.2.3:9", port, b"x", utc_now(), device="M-1")
    assert site.door.analyzer_of(message).code == "M-1"
    gone = ReceivedMessage("astm", "tcp", "192.0.2.3:9", port, b"x", utc_now(), device="M-0")
    assert site.door.analyzer_of(gone) is None


async def test_one_port_for_two_goes_to_the_one_that_has_it(site: Lab, caplog: pytest.LogCaptureFixture):
    port, other = free_port(), free_port()
    await site.add("C-1", own(port))
    async with Caller(port) as device:
        assert await device.send("261123000501")
        await site.add("C-2", own(port))
        await site.fit()
        assert await device.send("261123000502")
        reason = site.devices.troubles()["C-2"]
        assert str(port) in reason
        assert "C-1, C-2" in reason
        assert [record.message for record in caplog.records].count(f"no line to C-2: {reason}") == 1
        await site.edit("C-2", transport=own(other))
        assert "C-2" not in site.devices.troubles()
        assert await device.send("261123000503")
    async with Caller(other) as device:
        assert await device.send("261123000504")
    stored = await site.stored()
    assert (len(stored["C-1"]), len(stored["C-2"])) == (3, 1)


async def test_one_port_for_two_at_the_start_goes_to_neither(site: Lab):
    path = "/dev/ttyNONE1"
    await site.add("N-1", {"kind": "serial", "device": path}, is_active=False)
    await site.add("N-2", {"kind": "serial", "device": path}, is_active=False)
    await site.add("N-3", own(6661))
    async with site.database.transaction() as session:
        for row in (await session.exec(select(Analyzer).where(Analyzer.code.in_(["N-1", "N-2"])))).all():
            row.is_active = True
    await site.fit()
    troubles = site.devices.troubles()
    assert {"N-1", "N-2", "N-3"} <= set(troubles)
    assert "own" in troubles["N-3"]


async def test_an_entry_that_is_not_understood_stops_nobody(site: Lab):
    port = free_port()
    await site.add("E-1", {"kind": "carrier pigeon"})
    await site.add("E-2", own(free_port()), profile={"no_such": 1})
    await site.add("E-3", own(port))
    async with Caller(port) as device:
        assert await device.send("261123000601")
    troubles = site.devices.troubles()
    assert "not understood" in troubles["E-1"]
    assert "no_such" in troubles["E-2"]
    assert "E-3" not in troubles


async def test_the_two_protocols_without_a_shared_port(site: Lab):
    au, dimension = free_port(), free_port()
    work = {"style": "au", "answers_queries": True}
    await site.add("AU-9", own(au), protocol="au", profile={"work": work})
    await site.add("DIM-9", own(dimension), protocol="dimension", profile={"work": {**work, "style": "dimension"}})
    async with Caller(au), Caller(dimension):
        pass
    async with AuSimulator("127.0.0.1", au, AuLayout()) as machine:
        assert await machine.ask(TUBE) == ["007"]
        assert await machine.send(machine.result(TUBE, {"007": "1.5"}))
    async with DimensionSimulator("127.0.0.1", dimension) as machine:
        assert (await machine.ask(TUBE))[-1] == "7"
        assert await machine.result(TUBE, {"GLU": "98"})
    stored = await site.stored()
    assert (len(stored["AU-9"]), len(stored["DIM-9"])) == (2, 2)


async def test_a_folder_brings_messages_of_its_device(site: Lab, tmp_path: Path):
    inbox = tmp_path / "in"
    inbox.mkdir()
    await site.add("F-9", {"kind": "folder", "path": str(inbox), "settled_s": 0.05})
    (inbox / "a").write_bytes(MESSAGE % TUBE.encode())
    await until((inbox / "done" / "a").exists)
    assert (await site.stored())["F-9"] == [MESSAGE % TUBE.encode()]


async def test_lines_are_fitted_again_and_again_also_after_the_database_was_away(site: Lab):
    port = free_port()

    class Tap:
        """A database that can be shut."""

        is_shut = True
        gone = open_database("postgresql+asyncpg://x:x@127.0.0.1:1/x", audit_key=AUDIT_KEY, seal_key=SEAL_KEY)

        def transaction(self):
            return (self.gone if self.is_shut else site.database).transaction()

    tap = Tap()
    site.door.database = tap
    fitting = asyncio.ensure_future(keep_fitting(site.door, site.devices, 0.05))
    await asyncio.sleep(0.2)
    assert not fitting.done()
    tap.is_shut = False
    await site.add("R-1", own(port))
    async with Caller(port) as device:
        assert await device.send("261123000701")
    fitting.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await fitting


async def links(site: Lab) -> dict[str, DeviceLink]:
    async with site.database.transaction() as session:
        return {row.peer: row for row in (await session.exec(select(DeviceLink))).all()}


async def test_connections_are_written_down_and_forgotten(site: Lab):
    port = free_port()
    await site.add("B-1", own(port))
    await site.add("B-2", {"kind": "serial", "device": "/dev/ttyNONE2"})
    await site.add("B-3", own(port))
    shared = listeners(site.door, "127.0.0.1", {"astm": 0}, ListenerLimits())
    board = Board(site.door, shared, site.devices)
    await site.edit("BS-1", peers=["127.0.0.1"])
    async with shared[0]:
        async with Caller(port) as device, Caller(shared[0].port) as other:
            assert await device.send("261123000801")
            assert await other.send("261123000802")
            await until(lambda: site.devices.troubles().get("B-2"))
            board.count()
            await board.write()
            await board.write()
            rows = await links(site)
            analyzers = {row.code: row.id for row in site.door.analyzers}
            mine = [row for row in rows.values() if row.analyzer_id == analyzers["B-1"]]
            assert [(row.received, row.acknowledged, row.transport, row.local_port) for row in mine] == [
                (1, 1, "tcp", port)
            ]
            assert mine[0].last_message_at is not None
            assert [row.received for row in rows.values() if row.analyzer_id == analyzers["BS-1"]] == [1]
            assert "cannot open" in rows["B-2: serial port /dev/ttyNONE2"].trouble or (
                "failed" in rows["B-2: serial port /dev/ttyNONE2"].trouble
            )
            assert "claimed by B-1, B-3" in rows["B-3: refused"].trouble
        await until(lambda: not site.devices.connected()["astm", "B-1"] and not shared[0].connections())
        await board.write()
    assert not [row for row in (await links(site)).values() if row.analyzer_id == analyzers["B-1"]]
    await site.edit("BS-1", peers=[])


async def test_rows_of_dead_processes_go_by_age(database: Database):
    now = utc_now()
    link = LinkState(None, "astm", "tcp", "192.0.2.1:5", 6662, now)
    async with database.transaction() as session:
        await write_links(session, "dead:1", [link])
        await write_links(session, "alive:2", [link])
    async with database.transaction() as session:
        row = (await session.exec(select(DeviceLink).where(DeviceLink.process == "dead:1"))).one()
        row.seen_at = now - STALE_AFTER - timedelta(seconds=1)
    async with database.transaction() as session:
        await write_links(session, "other:3", [])
        found = {row.process for row in (await session.exec(select(DeviceLink))).all()}
    assert "alive:2" in found
    assert "dead:1" not in found


def entry(code: str, transport: Mapping[str, Any]) -> Wanted:
    row = Analyzer(branch_id=uuid.uuid4(), code=code, name=code, model="", protocol="au", transport=dict(transport))
    return wanted_line(row)


def test_conflicts_are_settled_by_who_has_it():
    one, two, three = entry("A", own(7001)), entry("B", own(7001)), entry("C", own(7002))
    assert set(conflicts([one, two, three], {}, ())) == {one.analyzer_id, two.analyzer_id}
    assert set(conflicts([one, two, three], {"port 7001": two.analyzer_id}, ())) == {one.analyzer_id}
    assert set(conflicts([three], {}, {"port 7002"})) == {three.analyzer_id}


async def test_a_crash_of_one_line_is_shown_and_ends_nobody(site: Lab, caplog: pytest.LogCaptureFixture):
    class Faulty:
        transport = "tcp"
        trouble = ""

        def connections(self) -> list:
            return []

        async def run(self) -> None:
            raise RuntimeError("defect")

    port = free_port()
    await site.add("X-1", own(port))
    line = site.devices._running[site.added[-1]]
    task = asyncio.ensure_future(site.devices._hold(site.added[-1], Faulty()))
    await until(lambda: line.crash)
    assert site.devices.troubles()["X-1"] == "it failed: RuntimeError"
    async with Caller(port) as device:
        assert await device.send("261123000901")
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task


async def test_the_program_serves_shared_and_own_lines_until_it_is_told_to_stop(database: Database, lab: SeededLab):
    shared, own_port, loop = free_port(), free_port(), asyncio.get_running_loop()
    settings = Settings(
        _env_file=None,
        instruments={"astm_port": shared, "hl7_port": free_port(), "reload_s": 0.05},
        telemetry={"listener_metrics_port": 0},
    )
    serving = asyncio.ensure_future(serve(settings, database))
    site = Lab(database, Door(database), Devices(ChannelSetup(Door(database).store)))
    try:
        async with Caller(shared) as stays:
            async with database.transaction() as session:
                branch = (await session.exec(select(Branch))).first()
                row = Analyzer(
                    branch_id=branch.id, code="P-1", name="P-1", model="test", protocol="astm", transport=own(own_port)
                )
                session.add(row)
            async with Caller(own_port) as device:
                assert await device.send("261123001001")
            assert await stays.send("261123001002")
            signal.raise_signal(signal.SIGTERM)
            await asyncio.wait_for(serving, 10)
            assert await stays.is_closed()
        stored = await site.stored()
        assert stored["P-1"] == [MESSAGE % b"261123001001"]
    finally:
        serving.cancel()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.remove_signal_handler(number)
        async with database.transaction() as session:
            (await session.get_one(Analyzer, row.id)).is_active = False
