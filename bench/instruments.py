"""Messages from analyzers that are stored before they are acknowledged: how many a second, how long one waits."""

from __future__ import annotations

import asyncio
import json
import os
import secrets
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import asyncpg

from bench.device_load import cbc, oru
from bench.processes import cpu_seconds
from bench.results import ROOT, Section, Table, is_quick, percentile, recorded
from connectors.hl7.codec import parse_message
from devstack import postgres
from devstack.ports import Ports
from devstack.postgres import Passwords, PostgresServer
from domain.clock import utc_now
from store import migrate
from store.intake import WRITE, RawMessage, columns

CONNECTIONS = (1, 10, 50)
GROUP = 64
_PLAIN = (
    "insert into instrument_messages (id, created_at, analyzer_id, protocol, transport, peer, raw, sha256, received_at,"
    " framing_error, state, reason, control_id, specimen_ids, readings)"
    " values ($1, $2, $3, $4, $5, $6, $7, $8, $2, $9, 'received', '', '', '{}', 0)"
)
PROTOCOLS = {"hl7": ("HL7, ORU of 20 OBX", oru(1)), "astm": ("ASTM, CBC of 20 results", cbc(1))}


@dataclass
class Rate:
    """What one run brought; CPU in seconds by process, over the run."""

    per_second: float
    p50_ms: float
    p99_ms: float
    cpu: dict[str, float]
    messages: int


def run() -> None:
    """Measure and record."""
    section = Section(
        "instruments",
        "Messages of analyzers, stored before the acknowledgement",
        "The listener is one process, PostgreSQL 18 with its normal durability another, the sender a third, all on this"
        " machine. Every connection has one message outstanding: it is sent, stored, acknowledged, then the next."
        " `bare` is asyncpg that inserts the same row at the same concurrency, one autocommitted statement each, with"
        f" neither protocol nor acknowledgement; `grouped` the same in statements of {GROUP}.",
    )
    seconds = 1.0 if is_quick() else 6.0
    with recorded(section), tempfile.TemporaryDirectory(prefix="labsetu-bench-") as home, _server(Path(home)) as server:
        for protocol in PROTOCOLS:
            section.tables.append(_protocol(server, protocol, seconds))
        section.tables.append(_libraries(seconds))
        section.notes = _NOTES


_NOTES = [
    "hl7apy's server closes the connection after each message, so its sender connects anew each time.",
    (
        "All processes share the machine's cores, so a rate is what is left to the listener beside the sender and"
        " PostgreSQL; CPU is given per message."
    ),
]


def _protocol(server: PostgresServer, protocol: str, seconds: float) -> Table:
    title, raw = PROTOCOLS[protocol]
    table = Table(
        ["connections", "per second", "p50 ms", "p99 ms", "bare/s", "ratio", "grouped/s", "listener CPU ms",
         "PostgreSQL CPU ms", "sender CPU ms"],
        title=f"{title}, {len(raw):,} bytes",
    )  # fmt: skip
    for connections in CONNECTIONS:
        own = _measured(server, protocol, connections, seconds)
        bare = asyncio.run(_bare(server, raw, connections, seconds, group=1))
        grouped = asyncio.run(_bare(server, raw, connections, seconds, group=GROUP))
        each = {name: 1000 * spent / max(own.messages, 1) for name, spent in own.cpu.items()}
        table.rows.append(
            (connections, own.per_second, own.p50_ms, own.p99_ms, bare, own.per_second / bare, grouped,
             each["listener"], each["postgres"], each["sender"])
        )  # fmt: skip
        print(f"{protocol} {connections}: {own.per_second:,.0f}/s, bare {bare:,.0f}/s")
    return table


def _libraries(seconds: float) -> Table:
    table = Table(["reader", "connections", "per second", "p99 ms"], title="Without storage, on the same messages")
    with _listening("hl7apy") as (ports, _):
        for connections in CONNECTIONS[:2]:
            rate = _sent("hl7-reconnect", ports["hl7"], connections, seconds)
            took = rate["took"] or [0.0]
            table.rows.append(
                ("hl7apy's MLLP server", connections, rate["messages"] / rate["wall_s"], 1000 * percentile(took, 99))
            )
    raw = oru(1)
    begun, count = time.perf_counter(), 0
    while time.perf_counter() < begun + seconds / 3:
        count += sum(len(segment.value(5)) > 0 for segment in parse_message(raw).segments) > 0
    table.rows.append(("our parser alone, in memory", "–", count / (time.perf_counter() - begun), None))
    return table


@contextmanager
def _server(home: Path) -> Iterator[PostgresServer]:
    """Run a PostgreSQL of its own, durable as in production."""
    words = Passwords(owner=secrets.token_hex(8), app=secrets.token_hex(8))
    server = postgres.start(home, Ports.free().postgres, words)
    try:
        server.create_database("labsetu")
        migrate.upgrade(server.owner_url())
        yield server
    finally:
        server.stop()


@contextmanager
def _listening(what: str) -> Iterator[tuple[dict[str, int], int]]:
    process = subprocess.Popen(
        [sys.executable, "-m", "bench.device_listener", what], cwd=ROOT, stdout=subprocess.PIPE, text=True
    )
    try:
        if process.stdout is None:
            raise SystemExit("the listener has no output")
        yield json.loads(process.stdout.readline()), process.pid
    finally:
        process.terminate()
        process.wait()


def _sent(kind: str, port: int, connections: int, seconds: float) -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, "-m", "bench.device_load", kind, "127.0.0.1", str(port), str(connections), str(seconds)],
        cwd=ROOT, capture_output=True, text=True, check=True,
    )  # fmt: skip
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def _measured(server: PostgresServer, protocol: str, connections: int, seconds: float) -> Rate:
    with _listening(server.app_url()) as (ports, pid):
        _sent(protocol, ports[protocol], connections, seconds / 6)  # warm up
        roots = {"listener": pid, "postgres": server.record.pid}
        before, mine = cpu_seconds(roots), _children_cpu()
        found = _sent(protocol, ports[protocol], connections, seconds)
        after = cpu_seconds(roots)
        cpu = {name: after[name] - before[name] for name in roots} | {"sender": _children_cpu() - mine}
    took = found["took"] or [0.0]
    rate = found["messages"] / found["wall_s"]
    return Rate(rate, 1000 * percentile(took, 50), 1000 * percentile(took, 99), cpu, found["messages"])


def _children_cpu() -> float:
    """Return what ended children have spent: the sender of the last run, its start included."""
    times = os.times()
    return times.children_user + times.children_system


async def _bare(server: PostgresServer, raw: bytes, connections: int, seconds: float, *, group: int) -> float:
    """Insert the same rows without anything around it; return rows a second."""
    pool = await asyncpg.create_pool(
        server.app_url().replace("+asyncpg", ""), min_size=connections, max_size=connections
    )
    until = time.perf_counter() + seconds / 2
    written = 0

    async def insert() -> None:
        nonlocal written
        async with pool.acquire() as connection:
            while time.perf_counter() < until:
                rows = [RawMessage(raw, None, "hl7", "tcp", "127.0.0.1:1", utc_now()) for _ in range(group)]
                if group > 1:
                    await connection.execute(WRITE, *columns(rows))
                else:
                    await connection.execute(_PLAIN, *(column[0] for column in columns(rows)))
                written += group

    begun = time.perf_counter()
    async with pool:
        await asyncio.gather(*(insert() for _ in range(connections)))
        return written / (time.perf_counter() - begun)
