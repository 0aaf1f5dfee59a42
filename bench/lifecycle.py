"""Whole orders: how many a second, how long each stage takes, what one costs, and how far that is from the floor."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from temporalio.client import Client

from bench import floor
from bench.order_run import STAGES, Lab, OrderRun, opened
from bench.processes import cpu_seconds
from bench.results import ROOT, Section, Table, is_quick, percentile, recorded
from devstack import credentials, stack
from devstack.ports import Ports
from devstack.processes import Registry
from settings import Settings
from workflows import gateway

LEVELS = ((1, 4), (20, 40), (100, 100))
QUICK_LEVELS = ((1, 2), (8, 8))
"""Orders in flight, orders in all."""

APART_S = 0.4
"""So long after each other the first orders of a level are placed; patients do not come all in one instant."""

LEVEL_S = 120.0
"""From then on no more orders are begun at a level, so that a slow machine takes longer but not for ever."""

_COUNTED = {
    "activity_task_scheduled_event_attributes": "activities",
    "workflow_execution_update_accepted_event_attributes": "updates",
    "workflow_execution_signaled_event_attributes": "signals",
    "timer_started_event_attributes": "timers",
}


@dataclass
class Level:
    """What was measured with so many orders in flight.

    Attributes:
        cpu: Seconds of CPU by process, over all orders.
        repeated: Requests that the API had no time for and that were sent again.
        floor_s: Seconds that as many floor workflows took; `floor_each` of each of them.
    """

    in_flight: int
    orders: int
    wall_s: float = 0.0
    took: list[dict[str, float]] = field(default_factory=list)
    cpu: dict[str, float] = field(default_factory=dict)
    repeated: int = 0
    floor_s: float = 0.0
    floor_each: list[float] = field(default_factory=list)


@dataclass
class Cost:
    """What one order leaves in Temporal, on average."""

    runs: float
    events: float
    kilobytes: float
    counts: Counter[str]


def run() -> None:
    """Measure and record."""
    section = Section(
        "lifecycle",
        "Lifecycles of orders",
        "The whole stack as by `labsetu dev --no-demo`, everything on this machine, simulators and the driver included."
        " Each order has a patient of its own, CBC, LFT and glucose on two analyzers over TCP, one typed result that a"
        " sponsor pays, a payment by link, an IRN, a PDF report sent by WhatsApp and linked at ABDM. Closed loop: an"
        " order that ends makes place for the next. It ends when its timeline has the closing, the delivery, the link"
        " at ABDM and the IRN.",
    )
    os.environ.setdefault("LABSETU_PORT_BASE", str(Ports.free().api))
    with recorded(section), tempfile.TemporaryDirectory(prefix="labsetu-bench-") as home:

        async def story(settings: Settings) -> None:
            await _measure(settings, section)

        if stack.run_everything(Path(home), story=story, leave_after_story=True) or not section.tables:
            raise SystemExit("the stack did not carry the orders; see above")


async def _measure(settings: Settings, section: Section) -> None:
    own = settings.temporal
    client = await gateway.connect(own.address, own.namespace, own.decoded_codec_keys(), own.codec_active_key)
    async with opened(settings, credentials.read(settings.home / "users.env")) as lab:
        await _orders(lab, Level(1, 1), settings)  # warm up: connections, caches, fonts
        warm = {run.id async for run in client.list_workflows()}
        levels = [Level(*level) for level in (QUICK_LEVELS if is_quick() else LEVELS)]
        await _orders(lab, levels[0], settings)
        cost = await _cost(client, warm, levels[0].orders)
        for level in levels[1:]:
            await _orders(lab, level, settings)
    load = floor.Load(**{name: round(cost.counts[name] / levels[0].orders) for name in floor.Load.model_fields})
    async with _floor_worker():
        await floor.carry(client, "floor-warm", load)
        for level in levels:
            await _floor(client, level, load)
    floor_run = await client.get_workflow_handle("floor-warm").describe()
    section.tables = [_rates(levels), _stages(levels), _cpu(levels)]
    section.notes = [*_history_notes(cost, load, levels[0].orders, floor_run.history_length), *_NOTES]


_NOTES = (
    (
        "The ratio compares with the floor on the same server in the same run; the floor has no database, no documents,"
        " no HTTP, no partners and no child workflows, and its messages come without pause."
    ),
    (
        f"The first orders of a level are placed {APART_S} s apart. `503` counts requests that the API had no database"
        " connection or lock for in time; they were sent again with the same idempotency key, which the times include."
    ),
    (
        "The simulated ABDM network refuses a notice within 0.5 s of its link, as the real one does; the wait until it"
        " is repeated (5 s) is included, also in `all`."
    ),
)


async def _orders(lab: Lab, level: Level, settings: Settings) -> None:
    lab.client.pause = 0.2 + level.in_flight / 33  # more orders look more rarely, or the API does nothing else
    patients = await asyncio.gather(*(lab.patient() for _ in range(level.orders)))
    roots = {record.name: record.pid for record in Registry(settings.home / "run").all_running()}
    roots["driver"] = os.getpid()
    refused = lab.client.repeated
    before, begun = cpu_seconds(roots), time.perf_counter()

    async def carry(number: int) -> None:
        order = OrderRun(lab, patients[number])
        await order.run()
        level.took.append(order.took)

    await _closed_loop(level, carry)
    level.orders, level.repeated = len(level.took), lab.client.repeated - refused
    level.wall_s = time.perf_counter() - begun
    after = cpu_seconds(roots)
    # the programs are the driver's children: what is theirs is counted with them
    level.cpu = {name: after[name] - before[name] for name in roots}
    print(f"{level.in_flight} in flight: {level.orders} orders in {level.wall_s:.1f} s")


async def _floor(client: Client, level: Level, load: floor.Load) -> None:
    async def carry(number: int) -> None:
        begun = time.perf_counter()
        await floor.carry(client, f"floor-{level.in_flight}-{number}", load)
        level.floor_each.append(time.perf_counter() - begun)

    begun = time.perf_counter()
    await _closed_loop(level, carry)
    level.floor_s = (time.perf_counter() - begun) * level.orders / len(level.floor_each)
    print(f"{level.in_flight} in flight: {level.orders} floor workflows in {level.floor_s:.1f} s")


async def _closed_loop(level: Level, carry: Callable[[int], Awaitable[None]]) -> None:
    numbers = iter(range(level.orders))

    until = time.perf_counter() + LEVEL_S

    async def one_after_the_other(after_s: float) -> None:
        await asyncio.sleep(after_s)
        for number in numbers:
            if number >= level.in_flight and time.perf_counter() > until:
                return
            await carry(number)

    async with asyncio.TaskGroup() as tasks:
        for place in range(level.in_flight):
            tasks.create_task(one_after_the_other(place * APART_S))


@asynccontextmanager
async def _floor_worker() -> AsyncIterator[None]:
    process = subprocess.Popen([sys.executable, "-m", "bench.floor"], cwd=ROOT)  # noqa: ASYNC220  returns at once
    try:
        yield
    finally:
        process.terminate()
        await asyncio.to_thread(process.wait)


async def _cost(client: Client, warm: set[str], orders: int) -> Cost:
    """Count what the runs since the warm-up have left; their number is the orders' of the first level."""
    await asyncio.sleep(3)  # transfers go on for some seconds after the notice
    counts: Counter[str] = Counter()
    runs = events = size = 0
    async for execution in client.list_workflows():
        if execution.id in warm:
            continue
        handle = client.get_workflow_handle(execution.id)
        described = (await handle.describe()).raw_description.workflow_execution_info
        runs, events, size = runs + 1, events + described.history_length, size + described.history_size_bytes
        async for event in handle.fetch_history_events():
            counts[_COUNTED.get(event.WhichOneof("attributes") or "", "others")] += 1
    return Cost(runs / orders, events / orders, size / orders / 1024, counts)


def _rates(levels: list[Level]) -> Table:
    table = Table(
        ["in flight", "orders", "per second", "p50 s", "p95 s", "503", "floor/s", "floor p50 s", "floor p95 s", "ratio"]
    )
    for level in levels:
        whole = [took["all"] for took in level.took]
        rate, bare = level.orders / level.wall_s, level.orders / level.floor_s
        times = [percentile(values, share) for values in (whole, level.floor_each) for share in (50, 95)]
        table.rows.append(
            (level.in_flight, level.orders, rate, *times[:2], level.repeated, bare, *times[2:], rate / bare)
        )
    return table


def _stages(levels: list[Level]) -> Table:
    columns = [f"{level.in_flight}: {name}" for level in levels for name in ("p50", "p95")]
    table = Table(["stage, seconds", *columns], title="Stages, by orders in flight")
    for stage in STAGES:
        values = [[took[stage] for took in level.took] for level in levels]
        table.rows.append((stage, *(percentile(each, share) for each in values for share in (50, 95))))
    return table


def _cpu(levels: list[Level]) -> Table:
    columns = [f"{level.in_flight} in flight" for level in levels]
    table = Table(["process, CPU ms per order", *columns], title="CPU time")
    for name in sorted(levels[0].cpu):
        table.rows.append((name, *(1000 * level.cpu[name] / level.orders for level in levels)))
    table.rows.append(("all", *(1000 * sum(level.cpu.values()) / level.orders for level in levels)))
    return table


def _history_notes(cost: Cost, load: floor.Load, orders: int, floor_events: int) -> list[str]:
    timers = cost.counts["timers"] / orders
    per_order = (
        f"One order: {cost.runs:.1f} runs, {cost.events:.0f} history events, {cost.kilobytes:.0f} kB of history;"
        f" {load.activities} activities, {load.updates} updates, {load.signals} signals, {timers:.0f} timers."
    )
    return [per_order, f"The floor: 1 run, {floor_events} events for the same activities, updates and signals."]
