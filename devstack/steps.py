"""What it takes to run LabSetu on one machine, as numbered steps. Each may be run again at any time."""

from __future__ import annotations

import asyncio
import os
import socket
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import httpx

from connectors.files import FilesConnector
from devstack import credentials, objectstore, partners, postgres, temporal
from devstack.ports import LOOPBACK, Ports
from devstack.processes import PARENT_VARIABLE, Launch, Record, Registry, launch, stop, wait_ready
from settings import Settings, load_settings
from store.migrate import current_revision, newest_revision, upgrade

ROOT = Path(__file__).parents[1]


@dataclass
class Context:
    """What the steps share.

    Attributes:
        stops: How to stop what this run started, in the order of starting.
        processes: Our own programs that this run started.
        settings: Of the whole stack; from the second step on.
    """

    home: Path
    ports: Ports
    secrets: Mapping[str, str]
    stops: list[tuple[str, Callable[[], object]]] = field(default_factory=list)
    processes: list[tuple[Record, Path]] = field(default_factory=list)
    settings: Settings | None = None

    def loaded(self) -> Settings:
        """Return the settings as every process of this stack reads them."""
        os.environ["LABSETU_HOME"] = str(self.home)
        self.settings = load_settings()
        return self.settings


@dataclass(frozen=True)
class Step:
    """One step: `run` does it and says what it found or did."""

    name: str
    run: Callable[[Context], str]


def _settings(context: Context) -> str:
    """Write the addresses of this stack, so that `labsetu …` in another terminal finds it."""
    ports, url = context.ports, f"http://{LOOPBACK}:{context.ports.api}"
    values = {
        "LABSETU_DATABASE__URL": f"postgresql+asyncpg://labsetu_app:{context.secrets['LABSETU_DEV_APP_PASSWORD']}"
        f"@{LOOPBACK}:{ports.postgres}/labsetu",
        "LABSETU_DATABASE__OWNER_URL": f"postgresql+asyncpg://labsetu_owner:"
        f"{context.secrets['LABSETU_DEV_OWNER_PASSWORD']}@{LOOPBACK}:{ports.postgres}/labsetu",
        "LABSETU_TEMPORAL__ADDRESS": f"{LOOPBACK}:{ports.temporal}",
        "LABSETU_TEMPORAL__UI_URL": f"http://{LOOPBACK}:{ports.temporal_ui}",
        "LABSETU_OBJECTS__ENDPOINT": f"{LOOPBACK}:{ports.objects}",
        "LABSETU_OBJECTS__SECURE": "false",
        "LABSETU_API__PORT": str(ports.api),
        "LABSETU_API__PUBLIC_URL": url,
        "LABSETU_INSTRUMENTS__HL7_PORT": str(ports.hl7),
        "LABSETU_INSTRUMENTS__ASTM_PORT": str(ports.astm),
        "LABSETU_TELEMETRY__WORKER_METRICS_PORT": str(ports.worker_metrics),
        "LABSETU_TELEMETRY__LISTENER_METRICS_PORT": str(ports.listener_metrics),
        **partners.partner_settings(ports, url),
        **partners.signing_keys(ports),
    }
    credentials.write(context.home / credentials.STACK_FILE, values)
    context.loaded()
    return f"in {context.home}"


def _postgres(context: Context) -> str:
    passwords = postgres.Passwords(
        owner=context.secrets["LABSETU_DEV_OWNER_PASSWORD"], app=context.secrets["LABSETU_DEV_APP_PASSWORD"]
    )
    server = postgres.start(context.home, context.ports.postgres, passwords)
    return _server_news(context, server, server.port)


def _temporal(context: Context) -> str:
    options = temporal.TemporalOptions(codec_endpoint=f"{context.loaded().api.public_url}/temporal/codec")
    server = temporal.start(context.home, context.ports, options)
    news = _server_news(context, server, context.ports.temporal)
    return f"{news}, UI {server.ui_url}"


def _objects(context: Context) -> str:
    settings = context.loaded().objects
    server = objectstore.start(context.home, context.ports, settings.access_key, settings.secret_key.get_secret_value())
    FilesConnector(settings).ensure_bucket()
    return _server_news(context, server, context.ports.objects)


def _schema(context: Context) -> str:
    url = context.loaded().database.owner_url.get_secret_value()
    before, newest = asyncio.run(current_revision(url)), newest_revision()
    if before == newest:
        return f"already at {newest}"
    upgrade(url)
    return f"brought from {before or 'nothing'} to {newest}"


def _simulators(context: Context) -> str:
    port = context.ports.simulator_razorpay
    news = _start_program(context, "simulators", lambda: _listens(port), f"ports {port} and up").waited()
    file = context.home / credentials.STACK_FILE
    credentials.write(file, credentials.read(file) | partners.signing_keys(context.ports))
    context.loaded()
    return news


def _laboratory(context: Context) -> str:
    from devstack.laboratory import make_laboratory  # the whole application: seconds that the servers alone need not

    return make_laboratory(context.loaded())


def _programs(context: Context) -> str:
    """Start API, worker and listener at once: most of their time goes into importing."""
    settings, ports = context.loaded(), context.ports
    lines = (settings.instruments.hl7_port, settings.instruments.astm_port)
    url = settings.api.public_url
    starting = [
        _start_program(context, "api", lambda: _answers(f"{url}/health/live"), url),
        _start_program(context, "worker", lambda: _listens(ports.worker_metrics), f"metrics on {ports.worker_metrics}"),
        _start_program(context, "listen", lambda: all(map(_listens, lines)), f"HL7 on {lines[0]}, ASTM on {lines[1]}"),
    ]
    return "".join(f"\n        {program.waited()}" for program in starting)


SERVERS = (
    Step("settings", _settings),
    Step("postgres", _postgres),
    Step("temporal", _temporal),
    Step("objectstore", _objects),
    Step("schema", _schema),
)
"""What `labsetu stack` runs."""

EVERYTHING = (
    *SERVERS,
    Step("simulators", _simulators),
    Step("laboratory", _laboratory),
    Step("programs", _programs),
)
"""What `labsetu dev` runs."""


class _Server(Protocol):
    @property
    def record(self) -> Record: ...
    @property
    def started(self) -> bool: ...
    @property
    def seconds(self) -> float: ...
    def stop(self) -> None: ...


def _server_news(context: Context, server: _Server, port: int) -> str:
    record = server.record
    if not server.started:
        return f"already running, pid {record.pid}, port {port}"
    context.stops.append((record.name, server.stop))
    return f"started, pid {record.pid}, port {port}, {server.seconds:.1f} s"


@dataclass(frozen=True)
class _Starting:
    """One of our programs on its way up."""

    record: Record
    log: Path
    ready: Callable[[], bool]
    where: str
    begun: float

    def waited(self) -> str:
        wait_ready(self.record, self.ready, deadline_s=120, log=self.log)
        seconds = time.monotonic() - self.begun
        return f"{self.record.name} started, pid {self.record.pid}, {self.where}, {seconds:.1f} s"


def _start_program(context: Context, name: str, ready: Callable[[], bool], where: str) -> _Starting:
    """Start one of our own programs as a child that dies with us; a left-over one is replaced."""
    registry = Registry(context.home / "run")
    if (old := registry.running(name)) is not None:
        stop(old)
    log = context.home / "logs" / f"{name}.log"
    command = [sys.executable, "-m", "cli", name]
    environment = {PARENT_VARIABLE: str(os.getpid()), "LABSETU_HOME": str(context.home), "PYTHONUNBUFFERED": "1"}
    begun = time.monotonic()
    record = launch(Launch(name, command, log, ROOT, environment, whole_environment=True))
    registry.keep(record)
    context.stops.append((name, lambda: stop(record, grace_s=30)))
    context.processes.append((record, log))
    return _Starting(record, log, ready, where, begun)


def _listens(port: int) -> bool:
    try:
        with socket.create_connection((LOOPBACK, port), timeout=1):
            return True
    except OSError:
        return False


def _answers(url: str) -> bool:
    try:
        return httpx.get(url, timeout=2, trust_env=False).is_success
    except httpx.HTTPError:
        return False
