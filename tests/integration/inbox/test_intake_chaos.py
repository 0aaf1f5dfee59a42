"""Fifty analyzers send while PostgreSQL is stopped, killed and started again: nothing is lost, nothing counts twice."""

import asyncio
import os
import shutil
import signal
import sys
import tempfile
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from sqlalchemy import text
from sqlmodel import select

from connectors.astm.sender import SenderTimers
from connectors.astm.simulator import AstmAnalyzerLine
from connectors.hl7.simulator import Hl7AnalyzerLine
from connectors.line import ListenerLimits
from devstack import postgres
from devstack.ports import Ports
from devstack.postgres import Passwords, PostgresServer
from devstack.seed import USERNAMES, seed
from domain.enums import MessageState
from inbox.instruments import interpret
from inbox.listener import Door, listeners
from store import migrate
from store.session import Database, open_database
from store.tables.results import Analyzer, InstrumentMessage
from tests.fixtures.bench import Bench
from tests.fixtures.database import AUDIT_KEY, SEAL_KEY, password_of

ROOT = Path(__file__).parents[3]
OF_EACH = 25
MESSAGES = 6
WORDS = Passwords(owner="owner-of-this-test", app="app-of-this-test")
LIMITS = ListenerLimits(max_connections=100, max_connections_per_source=100, store_seconds=4)
QUICK = SenderTimers(answer=8.0, busy=0.2, contention=0.2)


@dataclass
class Ward:
    """A server that may be away, and how many messages were acknowledged so far."""

    home: Path
    port: int
    server: PostgresServer
    acknowledged: list[bytes] = field(default_factory=list)
    changed: asyncio.Condition = field(default_factory=asyncio.Condition)

    def start(self) -> None:
        self.server = postgres.start(self.home, self.port, WORDS)

    async def note(self, raw: bytes) -> None:
        async with self.changed:
            self.acknowledged.append(raw)
            self.changed.notify_all()

    async def until(self, count: int) -> None:
        async with self.changed:
            await self.changed.wait_for(lambda: len(self.acknowledged) >= count)


@pytest.fixture
def ward() -> Iterator[Ward]:
    home = Path(tempfile.mkdtemp(prefix="labsetu-chaos-"))
    home.chmod(0o711)  # PostgreSQL may run as another user
    port = Ports.free().postgres
    ward = Ward(home, port, postgres.start(home, port, WORDS))
    migrate.upgrade(ward.server.owner_url())
    yield ward
    ward.server.stop()
    shutil.rmtree(home, ignore_errors=True)


def astm(device: int, number: int) -> bytes:
    rows = (
        f"H|\\^&|{device}-{number}||BS-430|||||||PR|1|20261123101500\rP|1\rO|1|{device}^1^1|QC-{device}-{number}||R\r"
    )
    return (rows + f"R|1|GLU|{number}.5|mg/dL||N||F||||20261123101400\rL|1|N\r").encode()


def hl7(device: int, number: int) -> bytes:
    head = f"MSH|^~\\&|BC|{device}|LIS||20261123101500||ORU^R01|{number}|Q|2.3.1||||||UNICODE\r"
    body = f"OBR|1||QC-{device}-{number}|00001^Automated Count^99MRC\rOBX|1|NM|6690-2^WBC^LN||{number}.5|10*9/L\r"
    return (head + body).encode()


async def send(ward: Ward, line: AstmAnalyzerLine | Hl7AnalyzerLine, messages: list[bytes]) -> None:
    async with line:
        for raw in messages:
            while (await line.deliver(raw))[1] not in {"ACK", "AA"}:
                continue  # it has paused already
            await ward.note(raw)


async def trouble(ward: Ward, total: int) -> None:
    """Stop in order, then as a power cut does; each time come back."""
    await ward.until(total // 4)
    await asyncio.to_thread(ward.server.stop)
    await asyncio.sleep(0.3)
    await asyncio.to_thread(ward.start)
    await ward.until(total // 2)
    os.kill(ward.server.record.pid, signal.SIGKILL)
    await asyncio.sleep(0.3)
    await asyncio.to_thread(ward.start)


async def read_all(database: Database) -> None:
    """Read every message as the dispatcher does, the oldest first."""
    async with database.transaction() as session:
        ids = (await session.exec(select(InstrumentMessage.id).order_by(text("id")))).all()
    for row_id in ids:
        async with database.transaction() as session:
            await interpret(session, await session.get_one(InstrumentMessage, row_id))


async def test_nothing_is_lost_and_nothing_counts_twice(ward: Ward):
    database = open_database(ward.server.app_url(), audit_key=AUDIT_KEY, seal_key=SEAL_KEY, pool_size=4)
    await seed(database, passwords={name: password_of(name) for name in USERNAMES})
    async with database.transaction() as session:
        for row in (await session.exec(select(Analyzer))).all():
            row.peers = ["127.0.0.1"] if row.code in {"BS-1", "BC-1"} else []
    door = Door(database)
    await door.reload()
    running = listeners(door, "127.0.0.1", {"astm": 0, "hl7": 0}, LIMITS)
    for listener in running:
        await listener.start()
    ports = {listener.protocol: listener.port for listener in running}
    journal = [astm(device, number) for device in range(OF_EACH) for number in range(MESSAGES)]
    journal += [hl7(device, number) for device in range(OF_EACH) for number in range(MESSAGES)]
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(trouble(ward, len(journal)))
        for device in range(OF_EACH):
            chemistry = AstmAnalyzerLine("127.0.0.1", ports["astm"], timers=QUICK, retry_s=0.1)
            tasks.create_task(send(ward, chemistry, [astm(device, number) for number in range(MESSAGES)]))
            counter = Hl7AnalyzerLine("127.0.0.1", ports["hl7"], answer_s=8.0, retry_s=0.1)
            tasks.create_task(send(ward, counter, [hl7(device, number) for number in range(MESSAGES)]))
    for listener in running:
        await listener.stop()
    await door.close()
    assert sorted(ward.acknowledged) == sorted(journal)

    await read_all(database)
    async with database.transaction() as session:
        rows = (await session.exec(select(InstrumentMessage).where(InstrumentMessage.framing_error == ""))).all()
        controls = (await session.execute(text("select message_id from control_results"))).all()
    await database.close()
    assert Counter(row.raw for row in rows).keys() == set(journal)
    counted = Counter(row.raw for row in rows if row.state is not MessageState.DUPLICATE)
    assert counted == Counter(journal)
    assert len(controls) == len(set(controls)) == len(journal)


@asynccontextmanager
async def listener_process(ports: Ports, url: str, deadly: int) -> AsyncIterator[asyncio.subprocess.Process]:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.fixtures._dying_listener", str(ports.hl7), str(ports.astm), url, str(deadly),
        cwd=ROOT, stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    try:
        assert process.stdout is not None
        assert await asyncio.wait_for(process.stdout.readline(), 30) == b"ready\n"
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


@pytest.mark.parametrize("protocol", ["hl7", "astm"])
async def test_the_listener_is_killed_between_commit_and_acknowledgement(bench: Bench, protocol: str):
    async with bench.database.transaction() as session:
        for row in (await session.exec(select(Analyzer))).all():
            row.peers = ["127.0.0.1"] if row.code in {"BS-1", "BC-1"} else []
    ports, url = Ports.free(), bench.database.engine.url.render_as_string(hide_password=False)
    raw = hl7(77, 1) if protocol == "hl7" else astm(77, 1)
    line = (
        Hl7AnalyzerLine("127.0.0.1", ports.hl7, answer_s=8.0, retry_s=0.2)
        if protocol == "hl7"
        else AstmAnalyzerLine("127.0.0.1", ports.astm, timers=QUICK, retry_s=0.2)
    )

    async def send() -> str:
        answer = ""
        while answer not in {"ACK", "AA"}:
            _, answer = await line.deliver(raw)
        return answer

    async with listener_process(ports, url, deadly=1) as process:
        sending = asyncio.ensure_future(send())
        assert await asyncio.wait_for(process.wait(), 20) == -signal.SIGKILL
        assert not sending.done()
    async with listener_process(ports, url, deadly=0):
        await asyncio.wait_for(sending, 30)
        await line.close()
    await read_all(bench.database)
    async with bench.database.transaction() as session:
        query = select(InstrumentMessage.state).where(InstrumentMessage.raw == raw).order_by(text("id"))
        assert (await session.exec(query)).all() == [MessageState.CONTROL, MessageState.DUPLICATE]
