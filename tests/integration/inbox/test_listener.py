"""The instrument listener over real TCP and a real database: only what is committed is acknowledged."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

import asyncpg
import pytest
from sqlmodel import select

from connectors.analyzers.simulator import ChemistryAnalyzerSimulator, HaematologyAnalyzerSimulator
from connectors.astm.sender import SenderTimers
from connectors.device_side import LineFaults
from connectors.line import ListenerLimits
from connectors.listener import Listener
from domain.enums import MessageState
from inbox.listener import Door, hang_up_changed, listeners
from store.session import Database, open_database
from store.tables.results import Analyzer, InstrumentMessage
from tests.fixtures.analyzers import Inbox, chemistry
from tests.fixtures.bench import Bench
from tests.fixtures.database import AUDIT_KEY, SEAL_KEY

QUICK = SenderTimers(answer=2.0, busy=0.2, contention=0.2)


class Tap:
    """A database that can be shut, as if PostgreSQL were stopped."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._gone = open_database("postgresql+asyncpg://x:x@127.0.0.1:1/x", audit_key=AUDIT_KEY, seal_key=SEAL_KEY)
        self.is_shut = False
        self.refused_twice = asyncio.Event()
        self._refused = 0

    @property
    def engine(self):
        return self._taken().engine

    def transaction(self):
        return self._taken().transaction()

    def _taken(self) -> Database:
        if self.is_shut:
            self._refused += 1
            if self._refused > 1:
                self.refused_twice.set()
            return self._gone
        return self._database


@asynccontextmanager
async def listening(database: Database | Tap) -> AsyncIterator[tuple[Door, dict[str, Listener]]]:
    door = Door(database)
    await door.reload()
    running = listeners(door, "127.0.0.1", {"astm": 0, "hl7": 0}, ListenerLimits(message_seconds=5, store_seconds=30))
    for listener in running:
        await listener.start()
    try:
        yield door, {listener.protocol: listener for listener in running}
    finally:
        for listener in running:
            await listener.stop()
        await door.close()


@pytest.fixture(autouse=True)
async def one_device_per_address(bench: Bench) -> None:
    async with bench.database.transaction() as session:
        for row in (await session.exec(select(Analyzer))).all():
            row.peers = ["127.0.0.1"] if row.code in {"BS-1", "BC-1"} else []


async def stored(database: Database, raw: bytes) -> list[InstrumentMessage]:
    async with database.transaction() as session:
        return list((await session.exec(select(InstrumentMessage).where(InstrumentMessage.raw == raw))).all())


async def test_chemistry_results_come_in_over_astm(bench: Bench, inbox: Inbox):
    order = await bench.received("CREA", "UREA")
    number = order.samples[0].accession_no
    async with (
        listening(bench.database) as (_, ports),
        ChemistryAnalyzerSimulator("127.0.0.1", ports["astm"].port, retry_s=0.05) as device,
    ):
        deliveries = await device.run([number], values={number: {"CREA": "1.230000"}})
    assert all(delivery.is_acknowledged for delivery in deliveries)
    states = []
    for delivery in deliveries:
        (row,) = await stored(bench.database, delivery.raw)
        assert (row.protocol, row.transport, row.peer.split(":")[0]) == ("astm", "tcp", "127.0.0.1")
        states.append((await inbox.read(row.id)).state)
    assert states == [MessageState.CONTROL, MessageState.CONTROL, MessageState.MATCHED]
    assert [result.value_text for result in await bench.results(order, "CREA")] == ["1.230000"]


async def test_haematology_results_come_in_over_hl7(bench: Bench, inbox: Inbox):
    order = await bench.received("HGB")
    number = order.samples[0].accession_no
    async with listening(bench.database) as (_, ports):
        faults = LineFaults(max_piece=40, broken_first=True)
        async with HaematologyAnalyzerSimulator(
            "127.0.0.1", ports["hl7"].port, faults=faults, retry_s=0.05, answer_s=5
        ) as device:
            (delivery,) = await device.run([number], with_controls=False)
    assert delivery.answer == "AA"
    rows = await stored(bench.database, delivery.raw)
    # the one without its end mark is kept as well; only the whole one counts
    states = sorted([(await inbox.read(row.id)).state for row in sorted(rows, key=lambda row: row.id)])
    assert states == [MessageState.MATCHED, MessageState.UNREADABLE]
    assert len(await bench.results(order, "HGB")) == 1


async def test_nothing_is_acknowledged_while_the_database_is_away(bench: Bench):
    order = await bench.received()
    tap = Tap(bench.database)
    number = order.samples[0].accession_no
    async with listening(tap) as (_, ports):
        device = ChemistryAnalyzerSimulator("127.0.0.1", ports["astm"].port, timers=QUICK, retry_s=0.2)
        async with device:
            tap.is_shut = True
            sending = asyncio.ensure_future(device.run([number], with_controls=False))
            await asyncio.wait_for(tap.refused_twice.wait(), 10)
            assert not sending.done()
            tap.is_shut = False
            (delivery,) = await asyncio.wait_for(sending, 15)
    assert delivery.is_acknowledged
    assert len(await stored(bench.database, delivery.raw)) == 1


async def test_hl7_is_told_to_send_again_while_the_database_is_away(bench: Bench):
    tap = Tap(bench.database)
    async with (
        listening(tap) as (_, ports),
        HaematologyAnalyzerSimulator("127.0.0.1", ports["hl7"].port, retry_s=0.02, answer_s=5) as device,
    ):
        tap.is_shut = True
        (refused,) = await device.run(["261123000017"], with_controls=False)
        tap.is_shut = False
        (taken,) = await device.run(["261123000017"], with_controls=False)
    assert (refused.answer, refused.attempts, taken.answer) == ("AE", 5, "AA")
    assert await stored(bench.database, refused.raw) == []


async def test_a_row_is_committed_before_the_answer(bench: Bench, superuser: asyncpg.Connection):
    """While the commit waits for a lock the device hears nothing; then it hears yes."""
    async with listening(bench.database) as (_, ports):
        lock = superuser.transaction()
        await lock.start()
        await superuser.execute("lock table instrument_messages in exclusive mode")
        async with HaematologyAnalyzerSimulator("127.0.0.1", ports["hl7"].port, answer_s=10) as device:
            sending = asyncio.ensure_future(device.run(["261123000028"], with_controls=False))
            await asyncio.sleep(0.5)
            assert not sending.done()
            await lock.rollback()
            (delivery,) = await asyncio.wait_for(sending, 10)
    assert (delivery.answer, delivery.attempts) == ("AA", 1)


async def test_what_cannot_be_read_is_kept_and_the_device_told(bench: Bench):
    async with listening(bench.database) as (_, ports):
        reader, writer = await asyncio.open_connection("127.0.0.1", ports["hl7"].port)
        raw = b"MSH|^~\\&|BC|M|||20260901||ORU^R01|7|P|2.3.1\rOBX|1|NM\x00"
        writer.write(b"\x0b" + raw + b"\x1c\r")
        answer = await asyncio.wait_for(reader.readuntil(b"\x1c\r"), 5)
        writer.close()
        await writer.wait_closed()
    assert b"MSA|AE|7" in answer or b"MSA|AA|7" in answer
    assert len(await stored(bench.database, raw)) == 1


async def test_the_outcome_says_what_could_not_be_read(bench: Bench):
    from domain.clock import utc_now
    from domain.observations import ReceivedMessage

    door = Door(bench.database)
    await door.reload()
    message = ReceivedMessage("astm", "tcp", "127.0.0.1:5", 1, chemistry("261123000017", ("CREA", "1")), utc_now())
    good = await door.store(message)
    assert (good.accepted, good.readable, good.note) == (True, True, "")
    bad = await door.store(replace(message, raw=b"no message"))
    assert (bad.accepted, bad.readable) == (True, False)
    assert bad.note
    cut = await door.store(replace(message, framing_error="ASTM_CHECKSUM"))
    assert (cut.accepted, cut.readable, cut.note) == (True, False, "ASTM_CHECKSUM")


async def test_a_device_is_known_by_its_address_and_protocol(bench: Bench):
    door = Door(bench.database)
    await door.reload()
    assert door.analyzer_at("astm", "127.0.0.1:40000").code == "BS-1"
    assert door.analyzer_at("hl7", "127.0.0.1:40000").code == "BC-1"
    assert door.analyzer_at("astm", "192.0.2.1:40000") is None
    assert door.profile_for("astm")("127.0.0.1:1").specimen_fields == ("O.4.1",)
    assert door.profile_for("astm")("192.0.2.1:1").specimen_fields == ("O.3.1",)


async def test_two_devices_at_one_address_are_nobody(bench: Bench):
    async with bench.database.transaction() as session:
        for row in (await session.exec(select(Analyzer).where(Analyzer.protocol == "astm"))).all():
            row.peers = ["127.0.0.1"]
    door = Door(bench.database)
    await door.reload()
    assert door.analyzer_at("astm", "127.0.0.1:1") is None


async def test_a_device_that_was_switched_off_is_unknown(bench: Bench):
    async with bench.database.transaction() as session:
        row = (await session.exec(select(Analyzer).where(Analyzer.code == "BC-1"))).one()
        row.is_active = False
    door = Door(bench.database)
    await door.reload()
    assert door.analyzer_at("hl7", "127.0.0.1:1") is None
    async with bench.database.transaction() as session:
        (await session.get_one(Analyzer, row.id)).is_active = True


async def edited(bench: Bench, code: str, **facts) -> None:
    async with bench.database.transaction() as session:
        row = (await session.exec(select(Analyzer).where(Analyzer.code == code))).one()
        for key, value in facts.items():
            setattr(row, key, value)


async def closed_within(reader: asyncio.StreamReader, seconds: float) -> bool:
    try:
        return await asyncio.wait_for(reader.read(1), seconds) == b""
    except TimeoutError:
        return False


@pytest.mark.parametrize(
    "facts",
    [{"peers": []}, {"is_active": False}, {"profile": {"specimen_fields": ["OBR.2.1"]}}],
    ids=lambda f: next(iter(f)),
)
async def test_a_connection_ends_when_its_device_is_another_and_no_other_one_does(bench: Bench, facts):
    async with bench.database.transaction() as session:
        row = (await session.exec(select(Analyzer).where(Analyzer.code == "BC-1"))).one()
        kept = {"peers": ["127.0.0.1"], "is_active": True, "profile": row.profile}
    async with listening(bench.database) as (door, ports):
        one = await asyncio.open_connection("127.0.0.1", ports["hl7"].port)
        other = await asyncio.open_connection("127.0.0.1", ports["astm"].port)
        other[1].write(b"\x05")
        assert await asyncio.wait_for(other[0].read(1), 5) == b"\x06"
        one[1].write(b"\x0bno message\x1c\r")
        await asyncio.wait_for(one[0].readuntil(b"\x1c\r"), 5)
        for change, is_ended in (({}, False), (facts, True)):
            before = door.known
            await edited(bench, "BC-1", **change)
            await door.reload()
            hang_up_changed(door, before, list(ports.values()))
            assert await closed_within(one[0], 5 if is_ended else 0.2) is is_ended
        other[1].write(b"\x04\x05")
        assert await asyncio.wait_for(other[0].read(1), 5) == b"\x06"
        for _, writer in (one, other):
            writer.close()
            await writer.wait_closed()
    await edited(bench, "BC-1", **kept)
