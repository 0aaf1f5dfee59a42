"""How long a new developer waits: `make dev ARGS=--exit` in a fresh clone, then again."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from bench.results import ROOT, Section, Table, is_quick, recorded
from devstack.ports import Ports

_PROGRAMS = ("cli", "worker", "api.main", "inbox.listener")
_UP = re.compile(r"^\[(\d)/\d\] (\w+):")


def run() -> None:
    """Measure and record."""
    section = Section(
        "startup",
        "Starting up",
        "A fresh clone in a temporary folder, `make dev ARGS=--exit` twice: everything is installed, started, one order"
        " is carried through, everything is stopped. The first time there is no virtual environment and the package"
        " cache is empty; packages come over the network.",
    )
    with recorded(section):
        with tempfile.TemporaryDirectory(prefix="labsetu-startup-") as folder:
            section.tables = [_runs(Path(folder)), _imports()]
        if is_quick():
            section.notes = ["Quick: the first run used this checkout's virtual environment and made its data only."]


def _runs(folder: Path) -> Table:
    clone = folder / "labsetu"
    subprocess.run(["git", "clone", "--quiet", str(ROOT), str(clone)], check=True)
    if is_quick():
        (clone / ".venv").symlink_to(ROOT / ".venv")
    table = Table(["run", "installed s", "all up s", "order closed, all stopped s"])
    environment = os.environ | {
        "UV_CACHE_DIR": str(folder / "uv"), "PIP_NO_CACHE_DIR": "1", "LABSETU_PORT_BASE": str(Ports.free().api)
    }  # fmt: skip
    for name in ("first", "second"):
        table.rows.append((name, *_timed_run(clone, environment)))
    return table


def _timed_run(clone: Path, environment: dict[str, str]) -> tuple[float | None, float | None, float]:
    """Run the stack with its demo; return seconds to the first step, to the demo, and to the end."""
    command = ["make", "dev", "ARGS=--exit"]
    if is_quick():  # the environment is this checkout's, and is up to date
        command = [sys.executable, "-m", "cli", "dev", "--exit"]
    begun = time.perf_counter()
    installed = up = None
    with subprocess.Popen(command, cwd=clone, env=environment, stdout=subprocess.PIPE, text=True) as process:
        for line in process.stdout or ():
            now = time.perf_counter() - begun
            if installed is None and _UP.match(line):
                installed = now
            if up is None and line.startswith("One order"):
                up = now
            print(f"{now:6.1f}  {line}", end="")
    if process.returncode:
        raise SystemExit(f"make dev ended with status {process.returncode}")
    return installed, up, time.perf_counter() - begun


def _imports() -> Table:
    table = Table(["import of", "CPU s", "wall s"], title="Importing, bytecode and files in memory; best of three")
    for name in _PROGRAMS:
        runs = [_import(name) for _ in range(3)]
        table.rows.append((name, min(cpu for cpu, _ in runs), min(wall for _, wall in runs)))
    return table


def _import(name: str) -> tuple[float, float]:
    begun, before = time.perf_counter(), os.times()
    subprocess.run([sys.executable, "-c", f"import {name}"], cwd=ROOT, check=True)
    after = os.times()
    cpu = after.children_user - before.children_user + after.children_system - before.children_system
    return cpu, time.perf_counter() - begun
