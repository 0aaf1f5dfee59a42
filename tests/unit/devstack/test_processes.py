"""Processes: recognised for certain, stopped with their children, never taken for another's."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from devstack.ports import Ports, StackError, owner_of
from devstack.processes import PARENT_VARIABLE, Launch, Record, Registry, ensure_running, last_lines, launch, stop

ROOT = Path(__file__).parents[3]
SLEEP = ["/bin/sleep", "60"]
STUBBORN = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up', flush=True); time.sleep(60)"


@pytest.fixture
def started(tmp_path: Path) -> Iterator[Record]:
    record = launch(Launch("sleeper", SLEEP, tmp_path / "sleeper.log", tmp_path))
    yield record
    stop(record, how=signal.SIGKILL)


def eventually(condition: object, seconds: float = 5.0) -> bool:
    until = time.monotonic() + seconds
    while not condition():  # type: ignore[operator]
        if time.monotonic() > until:
            return False
        time.sleep(0.02)
    return True


def runs(pid: int) -> bool:
    return Record.of("any", pid) is not None


def test_a_process_is_recognised_until_it_ends(started: Record):
    assert started.is_alive()
    assert Record.of("sleeper", started.pid) == started
    os.kill(started.pid, signal.SIGKILL)
    assert eventually(lambda: not started.is_alive())
    assert stop(started) is False


@pytest.mark.parametrize("other", [{"started": 1}, {"boot": "another"}, {"command": ("/bin/sleep", "61")}])
def test_another_process_with_our_pid_is_left_alone(started: Record, other: dict[str, object]):
    stranger = replace(started, **other)  # type: ignore[arg-type]
    assert not stranger.is_alive()
    assert stop(stranger) is False
    assert started.is_alive()


def test_a_stubborn_process_and_its_children_are_ended(tmp_path: Path):
    log = tmp_path / "log"
    start = f"subprocess.Popen([sys.executable, '-c', {STUBBORN!r}])"
    parent = f"import subprocess, sys; child = {start}; print(child.pid, flush=True)\n"
    record = launch(Launch("parent", [sys.executable, "-c", parent + STUBBORN], log, tmp_path))
    assert eventually(lambda: log.read_text().count("up") == 2)
    child = int(next(line for line in log.read_text().splitlines() if line.isdigit()))
    assert stop(record, grace_s=0.1)
    assert not record.is_alive()
    assert eventually(lambda: not runs(child))


def test_what_cannot_start_says_why(tmp_path: Path):
    with pytest.raises(StackError, match=r"ghost cannot be started: No such file or directory: /no/such"):
        launch(Launch("ghost", ["/no/such"], tmp_path / "log", tmp_path))


def test_a_record_survives_and_a_stale_or_broken_one_is_forgotten(tmp_path: Path, started: Record):
    registry = Registry(tmp_path / "run")
    registry.keep(started)
    assert registry.running("sleeper") == started
    assert registry.all_running() == [started]

    stale = json.loads((tmp_path / "run/sleeper.json").read_text()) | {"started": 1}
    (tmp_path / "run/sleeper.json").write_text(json.dumps(stale))
    assert registry.running("sleeper") is None
    assert not (tmp_path / "run/sleeper.json").exists()
    assert started.is_alive()

    for broken in ("", "{", "[]", '{"name": "x"}'):
        (tmp_path / "run/sleeper.json").write_text(broken)
        assert registry.running("sleeper") is None


def listens(port: int) -> bool:
    return owner_of(port) is not None


def serving(port: int) -> list[str]:
    code = "import socket, sys, time; s = socket.create_server(('127.0.0.1', int(sys.argv[1]))); time.sleep(60)"
    return [sys.executable, "-c", code, str(port)]


def test_a_server_is_started_once_and_restarted_when_told_otherwise(tmp_path: Path):
    registry, ports = Registry(tmp_path / "run"), Ports.free()

    def ensured(port: int) -> tuple[Record, bool]:
        spec = Launch("server", serving(port), tmp_path / "log", tmp_path)
        return ensure_running(registry, spec, ports=(port,), ready=lambda: listens(port), how=signal.SIGTERM)

    first, started = ensured(ports.api)
    try:
        assert started
        assert ensured(ports.api) == (first, False)
        registry.forget("server")  # killed before the record was written: recognised by port and command line
        assert ensured(ports.api) == (first, False)
        second, started = ensured(ports.postgres)
        assert started
        assert not first.is_alive()
        stop(second)
        third, started = ensured(ports.postgres)  # and a crash blocks nothing
        assert started
        first = third
    finally:
        stop(first)


def test_one_that_was_dying_when_it_was_found_is_started_anew(tmp_path: Path):
    registry, ports = Registry(tmp_path / "run"), Ports.free()
    spec = Launch("server", serving(ports.api), tmp_path / "log", tmp_path)
    found: list[Record] = []

    def ready() -> bool:
        if len(found) == 1:  # the first look at the process that was found: only now does the kill arrive
            stop(found.pop())
        return listens(ports.api)

    first, _ = ensure_running(registry, spec, ports=(ports.api,), ready=ready, how=signal.SIGTERM)
    found.append(first)
    second, started = ensure_running(registry, spec, ports=(ports.api,), ready=ready, how=signal.SIGTERM)
    stop(second)
    assert started
    assert second.pid != first.pid


def test_one_that_ends_while_starting_is_explained_by_its_log(tmp_path: Path):
    spec = Launch(
        "doomed", [sys.executable, "-c", "print('no such disk'); raise SystemExit(1)"], tmp_path / "log", tmp_path
    )
    registry = Registry(tmp_path / "run")
    with pytest.raises(StackError, match="no such disk"):
        ensure_running(registry, spec, ports=(Ports.free().api,), ready=lambda: False, how=signal.SIGTERM)
    assert registry.running("doomed") is None


def test_a_program_dies_with_its_parent_even_by_kill():
    child = (
        "from devstack.processes import die_with_parent; import os, time; die_with_parent(); "
        "print(os.getpid(), flush=True); time.sleep(60)"
    )
    parent = (
        f"import os, subprocess, sys, time; os.environ['{PARENT_VARIABLE}'] = str(os.getpid())\n"
        f"subprocess.Popen([sys.executable, '-c', {child!r}], start_new_session=True); time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", parent], cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        pid = int(process.stdout.readline())
        assert runs(pid)
        process.kill()
    assert eventually(lambda: not runs(pid))


def test_a_program_whose_parent_is_gone_already_does_not_start(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv(PARENT_VARIABLE, "1")
    code = "from devstack.processes import die_with_parent; die_with_parent(); print('started')"
    finished = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (finished.returncode, finished.stdout) == (1, "")


def test_the_end_of_a_log_is_short(tmp_path: Path):
    log = tmp_path / "log"
    log.write_text("".join(f"line {number} {'x' * 1000}\n" for number in range(100)))
    shown = last_lines(log)
    assert shown.splitlines()[-1].startswith("line 99 ")
    assert len(shown) < 8 * 302
    assert last_lines(tmp_path / "none") == "(no log)"


def test_servers_get_no_secrets_of_ours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("LABSETU_AUDIT__KEY", "not-to-be-handed-down")
    log = tmp_path / "log"
    command = ["/bin/sh", "-c", "env; echo done; exec sleep 60"]
    for whole, expected in ((False, False), (True, True)):
        log.unlink(missing_ok=True)
        record = launch(Launch("env", command, log, tmp_path, {"OWN": "1"}, whole_environment=whole))
        assert eventually(lambda: "done" in log.read_text())
        stop(record)
        assert "OWN=1" in log.read_text()
        assert ("not-to-be-handed-down" in log.read_text()) is expected
