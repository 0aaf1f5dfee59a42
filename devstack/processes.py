"""Starting, recognising and stopping the processes of the dev stack.

A process is ours only if its pid, its start time, the boot it was started in and its command line are all as
recorded: a record that outlived its process, or a pid that another program got since, never gets the wrong one killed.
Source: Linux, proc(5): `/proc/<pid>/stat` field 22, `/proc/<pid>/cmdline`, `/proc/sys/kernel/random/boot_id`.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Self

from devstack.ports import StackError, owner_of, require_free

_PR_SET_PDEATHSIG = 1  # Source: Linux, prctl(2), <linux/prctl.h>
_POLL_S = 0.02
PARENT_VARIABLE = "LABSETU_PARENT_PID"


@dataclass(frozen=True)
class Record:
    """What identifies a started process for good.

    Attributes:
        started: Start time in clock ticks since boot.
        boot: The boot id, for records that survive a restart of the machine.
    """

    name: str
    pid: int
    started: int
    boot: str
    command: tuple[str, ...]

    @classmethod
    def of(cls, name: str, pid: int) -> Self | None:
        """Return the record of a process that runs now, or None."""
        seen = _look(pid)
        return None if seen is None else cls(name, pid, seen[0], _boot_id(), seen[1])

    def is_alive(self) -> bool:
        """Tell whether exactly this process still runs (a zombie does not)."""
        _reap(self.pid)
        seen = _look(self.pid)
        return seen is not None and (seen[0], seen[1]) == (self.started, self.command) and self.boot == _boot_id()


@dataclass(frozen=True)
class Launch:
    """How to start a process.

    Attributes:
        user: Numeric uid and gid to run as; None keeps the caller's.
        environment: Added to a minimal environment (PATH, HOME, LANG, TZ of the caller).
        whole_environment: True hands the caller's whole environment down, for our own programs.
    """

    name: str
    command: Sequence[str]
    log: Path
    cwd: Path
    environment: Mapping[str, str] = field(default_factory=dict)
    user: tuple[int, int] | None = None
    whole_environment: bool = False


def launch(spec: Launch) -> Record:
    """Start a process in a session of its own, its output appended to its log.

    Raises:
        StackError: It cannot be executed, or ended at once.
    """
    spec.log.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    kept = os.environ if spec.whole_environment else _minimal_environment()
    user, group = spec.user or (None, None)
    with spec.log.open("ab") as log:
        try:
            process = subprocess.Popen(
                list(spec.command), stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT, cwd=spec.cwd,
                env={**kept, **spec.environment}, start_new_session=True, umask=0o077,
                user=user, group=group, extra_groups=None if user is None else [],
            )  # fmt: skip
        except OSError as error:
            raise StackError(f"{spec.name} cannot be started: {error.strerror}: {spec.command[0]}") from error
    _children[process.pid] = process
    # The kernel shows the new command line a moment after exec has returned to us.
    _wait_until(lambda: (_look(process.pid) or (0, tuple(spec.command)))[1] == tuple(spec.command), 0.5)
    record = Record.of(spec.name, process.pid)
    if record is None:
        raise StackError(f"{spec.name} ended at once; {spec.log} says:\n{last_lines(spec.log)}")
    return record


_children: dict[int, subprocess.Popen[bytes]] = {}
"""Our own children, so that the ended ones can be reaped."""


def stop(record: Record, *, how: signal.Signals = signal.SIGTERM, grace_s: float = 10.0) -> bool:
    """Stop a process and its group: first `how`, after `grace_s` SIGKILL. Return False when it had ended already."""
    if not record.is_alive():
        return False
    _signal_group(record.pid, how)
    if not _wait_until(lambda: not record.is_alive(), grace_s):
        _signal_group(record.pid, signal.SIGKILL)
        _wait_until(lambda: not record.is_alive(), 5.0)
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(record.pid, signal.SIGKILL)  # children that outlived their leader
    return True


def wait_ready(record: Record, ready: Callable[[], bool], *, deadline_s: float, log: Path) -> None:
    """Wait until `ready()` holds.

    Raises:
        StackError: The process ended, or the deadline passed. The last lines of its log are in the message.
    """
    until = time.monotonic() + deadline_s
    while not ready():
        if not record.is_alive():
            raise StackError(f"{record.name} ended while starting; {log} says:\n{last_lines(log)}")
        if time.monotonic() > until:
            raise StackError(f"{record.name} was not ready after {deadline_s:.0f} s; {log} says:\n{last_lines(log)}")
        time.sleep(_POLL_S)


def ensure_running(
    registry: Registry, spec: Launch, *, ports: Sequence[int], ready: Callable[[], bool], how: signal.Signals
) -> tuple[Record, bool]:
    """Start `spec` unless it runs, wait until it is ready and record it; the flag tells whether it was started now.

    Args:
        registry: Where it is recorded.
        spec: What to start.
        ports: What it listens on; the first one identifies it.
        ready: Tells whether it serves.
        how: The signal that ends it in order.

    Raises:
        StackError: A port is taken, or it did not become ready in 60 s (it is stopped again).
    """
    found = registry.still_as(spec, ports[0], how)
    if found is not None:
        registry.keep(found)
        try:
            wait_ready(found, ready, deadline_s=60, log=spec.log)
        except StackError:
            if found.is_alive():
                raise
        if found.is_alive():
            return found, False
        # it was on its way out when it was found
        _wait_until(lambda: not any(owner_of(port) for port in ports), 1.0)
    for port in ports:
        require_free(port, spec.name)
    record = launch(spec)
    registry.keep(record)
    try:
        wait_ready(record, ready, deadline_s=60, log=spec.log)
    except BaseException:  # also Ctrl-C: nothing half started may stay
        stop(record, how=how)
        registry.forget(spec.name)
        raise
    return record, True


def last_lines(log: Path, count: int = 8) -> str:
    """Return the last lines of a log, each cut to 300 characters."""
    try:
        with log.open("rb") as file:
            file.seek(max(0, log.stat().st_size - 16384))
            text = file.read().decode(errors="replace")
    except OSError:
        return "(no log)"
    return "\n".join(line[:300] for line in text.splitlines()[-count:])


class Registry:
    """The records of running processes, one JSON file each, so that the next start finds them."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)

    def running(self, name: str) -> Record | None:
        """Return the record of a process that still runs; forget one that does not, or that cannot be read."""
        file = self._directory / f"{name}.json"
        try:
            raw = json.loads(file.read_text(encoding="utf-8"))
            record = Record(raw["name"], raw["pid"], raw["started"], raw["boot"], tuple(raw["command"]))
        except (OSError, ValueError, KeyError, TypeError):
            record = None
        if record is None or not record.is_alive():
            file.unlink(missing_ok=True)
            return None
        return record

    def still_as(self, spec: Launch, port: int, how: signal.Signals) -> Record | None:
        """Return the running process of `spec`; one that was started otherwise (other ports, say) is stopped.

        A process without a record that listens on `port` and has exactly our command line is ours too: whoever started
        it was killed before the record was written.
        """
        record = self.running(spec.name)
        if record is None:
            owner = owner_of(port)
            record = Record.of(spec.name, owner.pid) if owner else None
            return record if record and record.command == tuple(spec.command) else None
        if record.command == tuple(spec.command):
            return record
        stop(record, how=how, grace_s=20)
        return None

    def keep(self, record: Record) -> None:
        """Write a record; whole or not at all."""
        file = self._directory / f"{record.name}.json"
        fresh = file.with_suffix(".new")
        fresh.write_text(json.dumps(asdict(record)), encoding="utf-8")
        fresh.replace(file)

    def forget(self, name: str) -> None:
        """Remove a record."""
        (self._directory / f"{name}.json").unlink(missing_ok=True)

    def all_running(self) -> list[Record]:
        """Return every recorded process that still runs, oldest record first."""
        files = sorted(self._directory.glob("*.json"), key=lambda file: file.stat().st_mtime)
        return [record for file in files if (record := self.running(file.stem))]


def stop_recorded(home: Path) -> list[Record]:
    """Stop every process that `home` has a record of, the last one first, and return them."""
    stopped = []
    for record in reversed(Registry(home / "run").all_running()):
        # PostgreSQL takes SIGTERM as "wait for every client to leave"; the store knows no SIGINT
        stop(record, how=signal.SIGTERM if record.name == "objectstore" else signal.SIGINT, grace_s=20)
        stopped.append(record)
    return stopped


def die_with_parent() -> None:
    """Have the kernel end this process when the one that started it dies, even by SIGKILL.

    Only when the parent asked for it through `LABSETU_PARENT_PID`.

    Raises:
        SystemExit: The parent is gone already.
    """
    wanted = os.environ.pop(PARENT_VARIABLE, "")
    if not wanted:
        return
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
    if os.getppid() != int(wanted):
        raise SystemExit(1)


def _minimal_environment() -> dict[str, str]:
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG", "TMPDIR") if name in os.environ}
    return {"LANG": "C.UTF-8", **kept, "TZ": "UTC"}


def _look(pid: int) -> tuple[int, tuple[str, ...]] | None:
    try:
        stat = Path(f"/proc/{pid}/stat").read_bytes()
        raw = Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return None
    after_name = stat[stat.rindex(b")") + 2 :].split()  # the name may hold blanks and brackets
    if after_name[0] in (b"Z", b"X"):
        return None
    words = raw.rstrip(b"\0").decode(errors="replace").split("\0")
    return int(after_name[19]), tuple(words)


def _boot_id() -> str:
    return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()


def _reap(pid: int) -> None:
    child = _children.get(pid)
    if child is not None and child.poll() is not None:
        del _children[pid]


def _signal_group(pid: int, which: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(pid, which)


def _wait_until(condition: Callable[[], bool], seconds: float) -> bool:
    until = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > until:
            return False
        time.sleep(_POLL_S)
    return True
