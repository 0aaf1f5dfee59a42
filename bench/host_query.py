"""Host queries: how fast the desk answers many devices that ask at once, with a laboratory full of open orders."""

from __future__ import annotations

import asyncio
import random
import tempfile
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

import asyncpg
from sqlmodel import col, select

from bench.results import Section, Table, is_quick, percentile, recorded
from devstack import postgres
from devstack.ports import Ports
from devstack.seed import seed
from domain.clock import utc_now
from domain.device_orders import WorkQuery
from domain.enums import MappingState
from inbox.desk import Desk, DeskFactory, DeskPolicy, keep_as_it_is
from store import migrate
from store.session import Database, open_database
from store.tables.catalogue import LabTest
from store.tables.devices import DeviceMapping
from store.tables.results import Analyzer

LEVELS = (1, 10, 50)
ORDERS = 10_000
QUICK_ORDERS = 1_000
TESTS = ("GLU", "UREA", "CREA", "UA", "TBIL", "DBIL", "AST", "ALT", "ALP", "TP", "ALB", "CHOL", "TRIG", "HDL")
PER_ORDER = 8
QUERIES = 4_000
"""Of a level, shared by its devices."""

_ORDERS = """
insert into orders (id, created_at, order_no, branch_id, patient_id, priority, stage, attention, clinical_notes,
    placed_by, workflow_started_at, cancel_reason, is_release_overridden, event_seq)
select gen_random_uuid(), now() - n * interval '10 seconds', 'BENCH-' || n, $1, $2,
    case when n % 20 = 0 then 'stat' else 'routine' end, 'received', '{}', '', $3, now(), '', false, 0
from generate_series(1, $4::int) n
"""
_SAMPLES = """
insert into samples (id, created_at, order_id, branch_id, accession_no, specimen, container, state, collected_at,
    received_at, reject_reason)
select gen_random_uuid(), o.created_at, o.id, o.branch_id, lpad(substr(o.order_no, 7), 12, '0'), 'Serum', 'SST',
    'received', o.created_at, o.created_at, ''
from orders o where o.order_no like 'BENCH-%'
"""
_LINES = """
insert into order_lines (id, created_at, order_id, test_id, sample_id, price_paise, state, position)
select gen_random_uuid(), s.created_at, s.order_id, t.id, s.id, 0, 'ordered', t.n
from samples s cross join unnest($1::uuid[]) with ordinality t (id, n)
where (t.n + abs(hashtext(s.accession_no)::bigint)) % $2::int < $3::int and s.accession_no like '0%'
"""
_BARE = "select * from samples where accession_no = $1"


@dataclass
class Lab:
    """What is measured.

    Attributes:
        dsn: For the bare select.
        desks: One per device.
        barcodes: Of tubes with open work.
    """

    dsn: str
    factory: DeskFactory
    desks: list[Desk]
    barcodes: list[str]


def run() -> None:
    """Measure and record."""
    orders = QUICK_ORDERS if is_quick() else ORDERS
    section = Section(
        "host_query",
        "Host queries",
        f"{orders:,} open orders of {PER_ORDER} tests each, {max(LEVELS)} chemistry analyzers with"
        f" {len(TESTS)} confirmed codes each, PostgreSQL on this machine. Devices ask without pause, each for one"
        " barcode at a time, in one process and event loop, through the desk as the listener uses it; the record of"
        " the queries is written at the same time. The bare select fetches the sample's row by the same barcode on"
        " `asyncpg` alone, over as many connections, by as many tasks.",
        notes=[
            (
                "All devices of a level ask in closed loop: each waits for the others at the one event loop and at the"
                " cores that it shares with PostgreSQL. Real devices ask once for each tube that they take in."
            ),
            "`everything` is the answer to a device that asks for all that waits for it: the 100 oldest tubes.",
        ],
    )
    with recorded(section), tempfile.TemporaryDirectory(prefix="labsetu-bench-") as folder:
        home = Path(folder)
        home.chmod(0o711)
        server = postgres.start(home, Ports.free().postgres, postgres.Passwords("bench-owner", "bench-app"))
        try:
            migrate.upgrade(server.owner_url())
            asyncio.run(_measure(server.app_url(), orders, section))
        finally:
            server.stop()


async def _measure(url: str, orders: int, section: Section) -> None:
    database = open_database(url, audit_key=bytes(32), seal_key=bytes(32))
    lab = await _filled(database, url, orders)
    table = Table(
        ("devices asking at once", "queries", "per second", "p50 ms", "p95 ms", "p99 ms", "bare p50 ms", "bare p95 ms",
         "ratio p50", "ratio p95")
    )  # fmt: skip
    others = Table(("question", "p50 ms", "p95 ms"), title="Other questions, one device")
    async with asyncio.TaskGroup() as tasks:
        background = tasks.create_task(lab.factory.run())
        total = QUERIES // 10 if is_quick() else QUERIES
        await _desk_times(lab, max(LEVELS), total // 4)
        for level in LEVELS:
            begun = time.perf_counter()
            spent = await _desk_times(lab, level, total)
            wall = time.perf_counter() - begun
            bare = await _bare_times(lab, level, total)
            table.rows.append(_row(level, spent, wall, bare))
        for name, query in (
            ("unknown barcode", WorkQuery(("999999999999",))),
            ("a rack of 40 tubes", WorkQuery(tuple(lab.barcodes[:40]))),
            ("everything", WorkQuery(wants_all=True)),
        ):
            times = [await _one(lab.desks[0], query) for _ in range(50)]
            others.rows.append((name, percentile(times, 50) * 1000, percentile(times, 95) * 1000))
        background.cancel()
    section.tables += [table, others]
    await database.close()


def _row(level: int, spent: list[float], wall: float, bare: list[float]) -> tuple[object, ...]:
    own = [percentile(spent, share) * 1000 for share in (50, 95, 99)]
    floor = [percentile(bare, share) * 1000 for share in (50, 95)]
    return (level, len(spent), len(spent) / wall, *own, *floor, own[0] / floor[0], own[1] / floor[1])


async def _one(desk: Desk, query: WorkQuery) -> float:
    begun = time.perf_counter()
    if await desk.work_for(query) is None:
        raise SystemExit("the desk did not answer")
    return time.perf_counter() - begun


async def _desk_times(lab: Lab, level: int, total: int) -> list[float]:
    async def ask(at: int, barcode: str) -> float:
        begun = time.perf_counter()
        found = await lab.desks[at].work_for(WorkQuery((barcode,)))
        spent = time.perf_counter() - begun
        if not found or not found[0].codes:
            raise SystemExit(f"no work was found on {barcode}")
        return spent

    return await _closed_loop(level, total, lab.barcodes, ask)


async def _bare_times(lab: Lab, level: int, total: int) -> list[float]:
    size = lab.factory.policy.connections
    settings = {"app.branches": "*"}
    async with asyncpg.create_pool(
        lab.dsn, min_size=size, max_size=size, server_settings=settings, reset=keep_as_it_is
    ) as pool:

        async def ask(_at: int, barcode: str) -> float:
            begun = time.perf_counter()
            if await pool.fetchrow(_BARE, barcode) is None:
                raise SystemExit(f"{barcode} is not there")
            return time.perf_counter() - begun

        await _closed_loop(level, total // 4, lab.barcodes, ask)
        return await _closed_loop(level, total, lab.barcodes, ask)


async def _closed_loop(
    level: int, total: int, barcodes: list[str], ask: Callable[[int, str], Awaitable[float]]
) -> list[float]:
    spent: list[float] = []

    async def device(at: int) -> None:
        choice = random.Random(at)  # noqa: S311  picks tubes
        spent.extend([await ask(at, choice.choice(barcodes)) for _ in range(total // level)])

    await asyncio.gather(*(device(at) for at in range(level)))
    return spent


async def _filled(database: Database, url: str, orders: int) -> Lab:
    """Fill the laboratory and open a desk for each device."""
    lab = await seed(database)
    branch = lab.branches["DEL"]
    async with database.transaction() as session:
        found = dict((await session.exec(select(LabTest.code, LabTest.id).where(col(LabTest.code).in_(TESTS)))).all())
    tests = [found[code] for code in TESTS]
    dsn = url.replace("+asyncpg", "")
    line = await asyncpg.connect(dsn, server_settings={"app.branches": "*", "statement_timeout": "0"})
    patient = await line.fetchval("select id from patients limit 1")
    await line.execute(_ORDERS, branch, patient, lab.users["front_desk"], orders)
    await line.execute(_SAMPLES)
    await line.execute(_LINES, tests, len(TESTS), PER_ORDER)
    barcodes = [
        row[0]
        for row in await line.fetch(
            "select distinct s.accession_no from samples s join order_lines l on l.sample_id = s.id"
            " where s.accession_no like '0%' order by 1"
        )
    ]
    await line.close()
    await _analyze(url)
    factory = DeskFactory(database, DeskPolicy())
    return Lab(
        dsn, factory, [await _device(database, factory, branch, tests, at) for at in range(max(LEVELS))], barcodes
    )


async def _analyze(url: str) -> None:
    owner = url.replace("+asyncpg", "").replace("labsetu_app:bench-app", "labsetu_owner:bench-owner")
    line = await asyncpg.connect(owner)
    await line.execute("vacuum analyze")
    await line.close()


async def _device(database: Database, factory: DeskFactory, branch: UUID, tests: list[UUID], at: int) -> Desk:
    work = {"style": "law", "answers_queries": True}
    async with database.transaction() as session:
        analyzer = Analyzer(
            branch_id=branch, code=f"BENCH-{at}", name="Bench", model="other", protocol="hl7",
            profile={"protocol": "hl7", "work": work},
        )  # fmt: skip
        session.add(analyzer)
        await session.flush()
        session.add_all(
            DeviceMapping(
                analyzer_id=analyzer.id, device_code=f"{number}", test_id=test, state=MappingState.CONFIRMED,
                confirmed_at=utc_now(),
            )
            for number, test in enumerate(tests)
        )  # fmt: skip
    desk = factory.desk(analyzer)
    if desk is None:
        raise SystemExit("the device is given no work")
    return desk
