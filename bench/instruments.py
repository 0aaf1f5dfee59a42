"""How fast analyzers' messages are made durable and acknowledged, and how far that is from the bare database."""

from __future__ import annotations

import base64
import json
import os
import secrets
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import TypeVar

from bench.processes import cpu_seconds
from bench.results import ROOT, Section, Table, is_quick, percentile, recorded, timed
from bench.standins import MARK, cbc, oru
from connectors.astm.framing import frames_of
from connectors.hl7.codec import parse_message
from devstack import postgres
from devstack.ports import Ports
from store import migrate

Key = TypeVar("Key")

LEVELS = (1, 10, 50)
ROUNDS = 2
"""Everything is measured so often, in turn, and the better is taken: other programs only ever make it slower."""
GROUP = 50
_KINDS = {
    "hl7": "HL7 v2 over MLLP, ORU with 20 OBX",
    "astm": "ASTM, CBC with 20 results, a frame for every record",
    "astm-packed": "ASTM, the same in one frame",
}


@dataclass
class Found:
    """What one run found.

    Attributes:
        spent: Seconds from the last byte of each message to its answer.
        cpu: Seconds of CPU by process.
    """

    taken: int
    refused: int
    seconds: float
    spent: list[float]
    unanswered: int
    cpu: dict[str, float] = field(default_factory=dict)

    @property
    def rate(self) -> float:
        """Messages a second."""
        return self.taken / self.seconds

    def ms(self, share: int) -> float:
        """Return a percentile of the latency in milliseconds."""
        return percentile(self.spent, share) * 1000

    def cpu_us(self, name: str) -> float | None:
        """Return microseconds of CPU for each message."""
        return self.cpu[name] * 1e6 / self.taken if name in self.cpu else None


def run() -> None:
    """Measure and record."""
    message, report = oru(), cbc()
    section = Section(
        "instruments",
        "Messages of analyzers, stored before they are acknowledged",
        f"`labsetu listen`, PostgreSQL with its durable settings and a sender, each a process of its own on this"
        f" machine. Each connection sends its next message when the one before is answered, as the protocols have it:"
        f" an ORU^R01 of {len(message):,} bytes with 20 OBX, and a CBC of {len(report):,} bytes with 20 results, in"
        f" {len(frames_of(report))} frames or in one. Every message is another. Latency runs from the last byte of a"
        " message (ASTM: of the frame that ends it) to its answer, which comes after the commit. The floor inserts the"
        " same rows by bare asyncpg from as many connections, one row in a transaction and nothing else.",
    )
    with recorded(section), tempfile.TemporaryDirectory(prefix="labsetu-bench-") as folder:
        home = Path(folder)
        home.chmod(0o711)  # PostgreSQL may run as another user
        ports = Ports.free()
        server = postgres.start(home, ports.postgres, postgres.Passwords("owner-of-a-bench", "user-of-a-bench"))
        try:
            migrate.upgrade(server.owner_url())
            _measure(section, server, ports, home)
        finally:
            server.stop()


def _measure(section: Section, server: postgres.PostgresServer, ports: Ports, home: Path) -> None:
    dsn = server.app_url().replace("+asyncpg", "")
    floors: dict[int, Found] = {}
    found: dict[tuple[str, int], Found] = {}
    groups: list[Found] = []
    with _listening(server, ports, home) as listener:
        roots = {"listener": listener, "PostgreSQL": server.record.pid}
        _sent("hl7", ports.hl7, 4, {}, first=10**11, seconds=1.0)  # connections, plans, caches
        for turn in range(1 if is_quick() else ROUNDS):
            for level in LEVELS:
                _keep_better(floors, level, _inserted(dsn, level, 1))
                for place, kind in enumerate(_KINDS):
                    first = ((turn * 10 + level) * 10 + place) * 10**8
                    port = ports.hl7 if kind == "hl7" else ports.astm
                    _keep_better(found, (kind, level), _sent(kind, port, level, roots, first=first))
            groups.append(_inserted(dsn, 2, GROUP))
    section.tables = [_rates(kind, title, found, floors) for kind, title in _KINDS.items()]
    section.tables += [_floors(floors, max(groups, key=lambda each: each.rate)), _others(found), _parsing()]
    section.notes = list(_NOTES)


_NOTES = (
    (
        "A commit that wakes the dispatcher (NOTIFY) waits for the one before it, whatever the number of connections:"
        " PostgreSQL orders notifications by a lock that is held until the commit is on disk. That is why single rows"
        " do not get faster with more connections, and why the intake puts what arrives meanwhile into one commit."
    ),
    (
        "An analyzer sends a few messages a minute. These rates say how much room there is, and how soon a backlog is"
        " through after an outage."
    ),
    (
        "ASTM with a frame for every record is bound by its answers: each frame is a packet there, a packet back and a"
        " turn of the event loop. Only the last one waits for the database."
    ),
    (
        "Servers of other libraries store nothing. Sender, server and database share the machine's cores with whatever"
        " else ran; of each pair of runs the better is shown, for the floors too."
    ),
)


def _keep_better(found: dict[Key, Found], key: Key, new: Found) -> None:
    if key not in found or new.rate > found[key].rate:
        found[key] = new


def _seconds() -> float:
    return 1.0 if is_quick() else 6.0


def _sent(
    kind: str, port: int, connections: int, roots: dict[str, int], *, first: int = 0, seconds: float = 0.0
) -> Found:
    before = cpu_seconds(roots)
    found = _run_apart(
        "send", kind, str(port), "--connections", str(connections), "--seconds", str(seconds or _seconds()), "--first",
        str(first),
    )  # fmt: skip
    after = cpu_seconds(roots)
    found.cpu |= {name: after[name] - before[name] for name in roots}
    if found.refused or found.unanswered:
        raise SystemExit(f"{kind}: {found.refused} refused, {found.unanswered} without an answer")
    print(f"{kind}, {connections} connections: {found.rate:,.0f} a second, p99 {found.ms(99):.1f} ms")
    return found


def _inserted(dsn: str, connections: int, group: int) -> Found:
    found = _run_apart(
        "insert", dsn, "--connections", str(connections), "--seconds", str(_seconds()), "--group", str(group)
    )
    print(f"bare inserts of {group}, {connections} connections: {found.rate:,.0f} a second, p99 {found.ms(99):.1f} ms")
    return found


def _run_apart(*arguments: str) -> Found:
    before = os.times()
    finished = subprocess.run(
        [sys.executable, "-m", "bench.standins", *arguments], cwd=ROOT, capture_output=True, text=True, check=False
    )
    if finished.returncode:
        raise SystemExit(finished.stderr)
    after = os.times()
    spent = after.children_user + after.children_system - before.children_user - before.children_system
    return Found(**json.loads(finished.stdout), cpu={"sender": spent})


@contextmanager
def _listening(server: postgres.PostgresServer, ports: Ports, home: Path) -> Iterator[int]:
    """Run `labsetu listen` and yield its pid."""
    given = {
        "HOME": str(home / "app"),
        "DATABASE__URL": server.app_url(),
        "DATABASE__SEAL_KEY": base64.b64encode(secrets.token_bytes(32)).decode(),
        "AUDIT__KEY": secrets.token_hex(32),
        "API__JWT_SECRETS": secrets.token_hex(32),
        "TEMPORAL__ADDRESS": "127.0.0.1:1",
        "TEMPORAL__CODEC_KEYS": json.dumps({"bench": base64.b64encode(secrets.token_bytes(32)).decode()}),
        "TEMPORAL__CODEC_ACTIVE_KEY": "bench",
        "OBJECTS__ENDPOINT": "127.0.0.1:1",
        "OBJECTS__ACCESS_KEY": secrets.token_hex(10),
        "OBJECTS__SECRET_KEY": secrets.token_hex(20),
        "INSTRUMENTS__HL7_PORT": str(ports.hl7),
        "INSTRUMENTS__ASTM_PORT": str(ports.astm),
        "INSTRUMENTS__MAX_CONNECTIONS_PER_ADDRESS": "100",
        "TELEMETRY__LISTENER_METRICS_PORT": "0",
    }
    environment = os.environ | {f"LABSETU_{name}": value for name, value in given.items()}
    with _running([sys.executable, "-m", "cli", "listen"], ports.astm, environment) as pid:
        yield pid


@contextmanager
def _running(command: list[str], port: int, environment: dict[str, str] | None = None) -> Iterator[int]:
    """Run a server until the block ends; the block begins when it listens."""
    process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.DEVNULL)
    try:
        until = time.monotonic() + 30
        while True:
            try:
                socket.create_connection(("127.0.0.1", port)).close()
                break
            except ConnectionRefusedError:
                if process.poll() is not None or time.monotonic() > until:
                    raise
                time.sleep(0.1)
        yield process.pid
    finally:
        process.terminate()
        process.wait()


def _rates(kind: str, title: str, found: dict[tuple[str, int], Found], floors: dict[int, Found]) -> Table:
    processes = ("listener", "PostgreSQL", "sender")
    columns = ["connections", "messages/s", "p50 ms", "p99 ms", "floor/s", "of the floor"]
    table = Table([*columns, *(f"{name} CPU µs" for name in processes)], title=title)
    for level in LEVELS:
        one, floor = found[kind, level], floors[level]
        cpu = (one.cpu_us(name) for name in processes)
        table.rows.append((level, one.rate, one.ms(50), one.ms(99), floor.rate, one.rate / floor.rate, *cpu))
    return table


def _floors(floors: dict[int, Found], grouped: Found) -> Table:
    table = Table(["bare asyncpg", "rows/s", "p50 ms", "p99 ms"], title="The floor: the same rows without a listener")
    for level, one in floors.items():
        table.rows.append((f"one row a commit, {level} connections", one.rate, one.ms(50), one.ms(99)))
    table.rows.append((f"{GROUP} rows a commit by COPY, 2 connections", grouped.rate, grouped.ms(50), grouped.ms(99)))
    return table


def _others(found: dict[tuple[str, int], Found]) -> Table:
    table = Table(
        ["MLLP server", "messages/s", "p99 ms", "server CPU µs"], title="Other libraries' servers, 10 connections"
    )
    ours = found["hl7", 10]
    table.rows.append(("LabSetu, stored before the answer", ours.rate, ours.ms(99), ours.cpu_us("listener")))
    for library, kind, name in (
        ("hl7", "hl7", f"python-hl7 {version('hl7')}, parses, stores nothing"),
        ("hl7apy", "hl7-reconnect", f"hl7apy {version('hl7apy')}, parses, stores nothing, hangs up after each message"),
    ):
        port = Ports.free().hl7
        with _running([sys.executable, "-m", "bench.other_servers", library, str(port)], port) as pid:
            one = _sent(kind, port, 10, {"server": pid})
        table.rows.append((name, one.rate, one.ms(99), one.cpu_us("server")))
    return table


def _parsing() -> Table:
    raw = oru().replace(MARK, b"261123000017")
    table = Table(["one core, no network", "µs", "per second"], title="Reading the ORU")

    def every_value() -> int:
        return sum(len(segment.value(5)) for segment in parse_message(raw).segments if segment.name == "OBX")

    for name, call in (("parse", lambda: parse_message(raw)), ("parse and take every value", every_value)):
        spent = percentile(timed(call, for_s=0.3 if is_quick() else 3), 50)
        table.rows.append((name, spent * 1e6, 1 / spent))
    return table
