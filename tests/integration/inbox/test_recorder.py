"""Lines recorded over real TCP into a real database, while the conversations on them go on."""

import asyncio
import signal
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from uuid import UUID

import pytest
from sqlalchemy import text
from sqlmodel import select

from connectors.line import ListenerLimits
from connectors.listener import Listener
from connectors.onboarding.capture import Form, read_capture
from connectors.onboarding.examination import examine
from connectors.onboarding.recording import capture_of, text_of
from connectors.transports import ChannelSetup
from devstack.seed import SeededLab
from domain.clock import utc_now
from domain.line_recordings import DEFAULT_BYTES
from inbox.devices import Devices
from inbox.listener import Door, listeners, serve
from inbox.recorder import MAX_PENDING, Recorder, TapPoints
from settings import Settings
from store import line_recordings
from store.session import Database, StoreUnavailableError, open_database
from store.tables.recordings import LineRecording
from store.tables.results import Analyzer
from tests.contract.transports.running import free_port
from tests.fixtures.database import AUDIT_KEY, SEAL_KEY
from tests.integration.inbox.test_devices import MESSAGE, Caller, Lab, own

WAY = {False: "RX", True: "TX"}


class Shut:
    """A database that can be shut, as if PostgreSQL were stopped."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._gone = open_database("postgresql+asyncpg://x:x@127.0.0.1:1/x", audit_key=AUDIT_KEY, seal_key=SEAL_KEY)
        self.is_shut = False

    def transaction(self):
        return (self._gone if self.is_shut else self._database).transaction()


@dataclass
class Studio:
    """The process under test with its recorder, which looks when told to."""

    lab: Lab
    user_id: UUID
    recorder: Recorder
    points: TapPoints
    shared: Listener
    store: Shut

    async def record(self, code: str, *, max_bytes: int = DEFAULT_BYTES) -> LineRecording:
        async with self.lab.database.transaction() as session:
            analyzer = (await session.exec(select(Analyzer).where(Analyzer.code == code))).one()
            row = await line_recordings.start(
                session, analyzer.id, user_id=self.user_id, lasts=timedelta(minutes=5), max_bytes=max_bytes
            )
        await self.recorder.look()
        return row

    async def heard(self, row: LineRecording):
        async with self.lab.database.transaction() as session:
            return await line_recordings.pieces_of(session, row.id)

    async def facts(self, row: LineRecording) -> LineRecording:
        async with self.lab.database.transaction() as session:
            return await session.get_one(LineRecording, row.id)

    async def stop(self, row: LineRecording) -> bool:
        async with self.lab.database.transaction() as session:
            return await line_recordings.stop(session, row.analyzer_id, row.id, utc_now())


@pytest.fixture
async def studio(database: Database, lab: SeededLab, tmp_path: Path) -> AsyncIterator[Studio]:
    door, points, store = Door(database), TapPoints(), Shut(database)
    shared = listeners(door, "127.0.0.1", {"astm": 0}, ListenerLimits(), point_of=points.of)
    recorder = Recorder(store, points, shared, door.code_at)
    setup = ChannelSetup(door.store, ListenerLimits(), folder_roots=(tmp_path,))
    async with shared[0], Devices(setup, taken_ports=[6661], point_of=points.of) as devices:
        one = Lab(database, door, devices)
        yield Studio(one, lab.users["technician"], recorder, points, shared[0], store)
    await door.close()
    async with database.transaction() as session:
        await session.execute(text("update line_recordings set ended_at = now() where ended_at is null"))
        for row in (await session.exec(select(Analyzer))).all():
            if row.id in one.added:
                row.is_active = False
                row.code = f"{row.code}-{row.id}"


async def test_both_directions_are_kept_of_a_connection_that_is_open_already(studio: Studio):
    ports = [free_port(), free_port()]
    await studio.lab.add("REC-1", own(ports[0]))
    await studio.lab.add("REC-2", own(ports[1]))
    async with Caller(ports[0]) as device, Caller(ports[1]) as other:
        assert await device.send("261123002001"), "before the recording"
        row = await studio.record("REC-1")
        assert await device.send("261123002002")
        assert await other.send("261123002003")
        await studio.recorder.look()
        pieces = await studio.heard(row)
        assert await device.send("261123002004"), "the connection goes on"
    sent = b"".join(piece.data for piece in pieces if piece.is_sent)
    heard = b"".join(piece.data for piece in pieces if not piece.is_sent)
    assert sent == b"\x06" * 6
    assert heard.startswith(b"\x05\x021H|")
    assert b"261123002002" in heard
    assert b"261123002001" not in heard
    assert b"261123002003" not in heard
    assert [piece.at for piece in pieces] == sorted(piece.at for piece in pieces)
    read = read_capture(text_of(pieces, Form.TEXT))
    assert (read.device_bytes, read.host_bytes) == (heard, sent)
    found = examine(capture_of(pieces))
    assert (found.protocol, found.messages, [seen.code for seen in found.codes]) == ("astm", 1, ["GLU"])
    facts = await studio.facts(row)
    assert (facts.size_bytes, facts.piece_count) == (len(heard) + len(sent), len(pieces))
    assert (facts.left_out_bytes, facts.started_at is not None) == (0, True)


async def test_a_new_connection_is_kept_from_its_first_byte(studio: Studio):
    port = free_port()
    await studio.lab.add("REC-3", own(port))
    row = await studio.record("REC-3")
    for number in range(2):
        async with Caller(port) as device:
            assert await device.send(f"26112300210{number}")
    await studio.recorder.look()
    pieces = await studio.heard(row)
    assert len({(piece.connected_at, piece.peer) for piece in pieces}) == 2
    heard = [piece.data for piece in pieces if not piece.is_sent]
    assert b"".join(heard).count(b"\x05") == 2


async def test_a_device_on_the_shared_port_is_told_from_others(studio: Studio):
    await studio.lab.edit("BS-1", peers=[])
    async with Caller(studio.shared.port) as device:
        assert await device.send("261123002201"), "of nobody known"
        await studio.lab.add("REC-4", {"kind": "listener"}, peers=["127.0.0.1"])
        row = await studio.record("REC-4")
        assert await device.send("261123002202")
        async with Caller(studio.shared.port) as another:
            assert await another.send("261123002203")
        await studio.recorder.look()
    await studio.lab.edit("BS-1", peers=["127.0.0.1"])
    heard = b"".join(piece.data for piece in await studio.heard(row) if not piece.is_sent)
    assert [number for number in (b"261123002201", b"261123002202", b"261123002203") if number in heard] == [
        b"261123002202", b"261123002203",
    ]  # fmt: skip


async def test_a_folder_s_files_are_kept(studio: Studio, tmp_path: Path):
    folder = tmp_path / "in"
    folder.mkdir()
    await studio.lab.add("REC-5", {"kind": "folder", "path": str(folder), "settled_s": 0.2})
    row = await studio.record("REC-5")
    (folder / "one.txt").write_bytes(MESSAGE % b"261123002301")
    async with asyncio.timeout(10):
        while not await studio.heard(row):
            await asyncio.sleep(0.05)
            await studio.recorder.look()
    assert [piece.data for piece in await studio.heard(row)] == [MESSAGE % b"261123002301"]


async def test_it_ends_where_it_is_full(studio: Studio):
    port = free_port()
    await studio.lab.add("REC-6", own(port))
    row = await studio.record("REC-6", max_bytes=50)
    async with Caller(port) as device:
        assert await device.send("261123002401")
        await studio.recorder.look()
        assert studio.points.of("REC-6").tap is None
        assert await device.send("261123002402")
        await studio.recorder.look()
    facts = await studio.facts(row)
    assert (facts.size_bytes, facts.end_reason, facts.ended_at is not None) == (50, "size", True)
    assert sum(len(piece.data) for piece in await studio.heard(row)) == 50
    assert (await studio.record("REC-6")).id != row.id, "another may begin"


async def test_it_ends_by_itself_and_keeps_what_was_heard_before(studio: Studio):
    port = free_port()
    await studio.lab.add("REC-7", own(port))
    row = await studio.record("REC-7")
    async with Caller(port) as device:
        assert await device.send("261123002501")
        async with studio.lab.database.transaction() as session:
            await session.execute(text("update line_recordings set ends_at = now() where id = :id"), {"id": row.id})
        await studio.recorder.look()
        assert studio.points.of("REC-7").tap is None
        assert await device.send("261123002502")
        await studio.recorder.look()
    heard = b"".join(piece.data for piece in await studio.heard(row))
    assert b"261123002501" in heard
    assert b"261123002502" not in heard
    facts = await studio.facts(row)
    assert (facts.ended_at, facts.end_reason) == (None, "")


async def test_what_was_heard_until_it_was_stopped_follows(studio: Studio):
    port = free_port()
    await studio.lab.add("REC-8", own(port))
    row = await studio.record("REC-8")
    async with Caller(port) as device:
        assert await device.send("261123002601")
        assert await studio.stop(row)
        assert await device.send("261123002602"), "heard, but after the end"
        await studio.recorder.look()
        assert not await studio.stop(row)
    heard = b"".join(piece.data for piece in await studio.heard(row))
    assert b"261123002601" in heard
    assert b"261123002602" not in heard


async def test_a_database_that_is_away_costs_bytes_of_the_recording_and_nothing_else(studio: Studio):
    port = free_port()
    await studio.lab.add("REC-9", own(port))
    row = await studio.record("REC-9")
    flood = b"junk before a frame " * (MAX_PENDING // 20)
    async with Caller(port) as device:
        studio.store.is_shut = True
        assert await device.send("261123002701")
        with pytest.raises(StoreUnavailableError):
            await studio.recorder.look()
        device._writer.write(flood)
        await device._writer.drain()
        assert await device.send("261123002702"), "the line does not wait for the recording"
        studio.store.is_shut = False
        await studio.recorder.look()
        assert await device.send("261123002703")
        await studio.recorder.look()
    heard = b"".join(piece.data for piece in await studio.heard(row) if not piece.is_sent)
    facts = await studio.facts(row)
    assert heard.find(b"261123002701") > 0
    assert facts.left_out_bytes > 0
    assert len(heard) < MAX_PENDING + 1000
    assert b"261123002703" in heard, "it goes on after the gap"


async def test_pieces_sent_twice_are_kept_once(studio: Studio):
    port = free_port()
    await studio.lab.add("REC-10", own(port))
    row = await studio.record("REC-10")
    running = studio.recorder._running[row.id]
    async with Caller(port) as device:
        assert await device.send("261123002801")
    pieces, _ = running.tape.take()
    for _ in range(2):
        async with studio.lab.database.transaction() as session:
            assert await line_recordings.append(session, row.id, pieces, 0, utc_now())
    assert [piece.data for piece in await studio.heard(row)] == [one.piece.data for one in pieces]
    assert (await studio.facts(row)).size_bytes == sum(len(one.piece.data) for one in pieces)


async def test_the_program_records_and_writes_the_rest_when_it_is_told_to_stop(database: Database, lab: SeededLab):
    port, loop = free_port(), asyncio.get_running_loop()
    settings = Settings(
        _env_file=None,
        instruments={"astm_port": free_port(), "hl7_port": free_port(), "reload_s": 0.05},
        telemetry={"listener_metrics_port": 0},
    )
    site = Lab(database, Door(database), Devices(ChannelSetup(Door(database).store)))
    async with database.transaction() as session:
        like = (await session.exec(select(Analyzer).where(Analyzer.code == "XN-1"))).one()
        device_row = Analyzer(
            branch_id=like.branch_id, code="REC-11", name="R", model="test", protocol="astm", transport=own(port)
        )
        session.add(device_row)
        await session.flush()
        row = await line_recordings.start(
            session, device_row.id, user_id=lab.users["technician"], lasts=timedelta(minutes=5), max_bytes=DEFAULT_BYTES
        )
    serving = asyncio.ensure_future(serve(settings, database))
    try:
        async with asyncio.timeout(10):
            while True:
                async with database.transaction() as session:
                    if (await session.get_one(LineRecording, row.id)).started_at is not None:
                        break
                await asyncio.sleep(0.05)
        async with Caller(port) as device:
            assert await device.send("261123002901")
            signal.raise_signal(signal.SIGTERM)
            await asyncio.wait_for(serving, 10)
        async with site.database.transaction() as session:
            heard = b"".join(piece.data for piece in await line_recordings.pieces_of(session, row.id))
        assert b"261123002901" in heard
        assert heard.count(b"\x06") == 6
    finally:
        serving.cancel()
        with suppress(asyncio.CancelledError):
            await serving
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.remove_signal_handler(number)
        async with database.transaction() as session:
            (await session.get_one(Analyzer, device_row.id)).is_active = False
            (await session.get_one(LineRecording, row.id)).ended_at = utc_now()
