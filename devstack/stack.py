"""Runs the steps in order, watches what they started, and stops it in reverse order at the end."""

from __future__ import annotations

import asyncio
import fcntl
import os
import signal
import sys
import time
import traceback
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from devstack import credentials
from devstack.ports import StackError, ports_from_environment
from devstack.processes import Registry, last_lines
from devstack.steps import EVERYTHING, SERVERS, Context, Step
from domain.errors import LabError
from settings import Settings, SettingsError

Story = Callable[[Settings], Awaitable[None]]
"""What runs once everything is up, e.g. the demo."""


def run_everything(home: Path, *, story: Story | None = None, leave_after_story: bool = False) -> int:
    """Run the whole of LabSetu until Ctrl-C; return the exit status.

    Args:
        home: Data, logs and secrets.
        story: Run once everything is up.
        leave_after_story: Stop after the story instead of waiting for Ctrl-C.
    """
    with _one_at_a_time(home):
        return _run(home, EVERYTHING, story, leave=leave_after_story)


def run_servers(home: Path, *, detach: bool = False) -> int:
    """Run the servers until Ctrl-C, or leave them running with `detach`; return the exit status."""
    with _one_at_a_time(home):
        return _run(home, SERVERS, None, leave=False, detach=detach)


def _run(home: Path, steps: Sequence[Step], story: Story | None, *, leave: bool, detach: bool = False) -> int:
    context = Context(home, ports_from_environment(), credentials.ensure_secrets(home))
    previous = signal.signal(signal.SIGTERM, _interrupt)
    try:
        for number, step in enumerate(steps, start=1):
            _say(f"[{number}/{len(steps)}] {step.name}: {step.run(context)}")
        if detach:
            context.stops.clear()
            return 0
        if story is not None:
            asyncio.run(_told(story, context.loaded()))
        if not leave:
            _say("All is up. Ctrl-C stops it.")
            _watch(context)
    except KeyboardInterrupt:
        _say("")
        return 0
    except (LabError, SettingsError) as error:
        _say(f"\n{error}")
        if isinstance(error, LabError):
            _say(error.action)
        return 1
    except Exception as error:  # noqa: BLE001  an edge: say it in one line, keep the rest for whoever repairs it
        log = home / "logs" / "stack.log"
        log.parent.mkdir(parents=True, exist_ok=True)
        log.write_text("".join(traceback.format_exception(error)), encoding="utf-8")
        _say(f"\n{type(error).__name__}: {str(error).splitlines()[0][:300] if str(error) else ''}\nDetails: {log}")
        return 1
    else:
        return 0
    finally:
        _stop_all(context)
        signal.signal(signal.SIGTERM, previous)


async def _told(story: Story, settings: Settings) -> None:
    await story(settings)


def _watch(context: Context) -> None:
    """Wait until Ctrl-C.

    Raises:
        StackError: One of our programs ended by itself.
    """
    while True:
        time.sleep(0.5)
        for record, log in context.processes:
            if not record.is_alive():
                raise StackError(f"{record.name} ended by itself; {log} says:\n{last_lines(log)}")


def _stop_all(context: Context) -> None:
    """Stop what this run started, the last one first; a second Ctrl-C does not leave half of it running."""
    ignored = {which: signal.signal(which, signal.SIG_IGN) for which in (signal.SIGINT, signal.SIGTERM)}
    registry = Registry(context.home / "run")
    for name, stopping in reversed(context.stops):
        stopping()
        registry.forget(name)
        _say(f"{name}: stopped")
    for which, handler in ignored.items():
        signal.signal(which, handler)


@contextmanager
def _one_at_a_time(home: Path) -> Iterator[None]:
    """Hold the home's lock; the kernel lets go of it when we die, however that happens.

    Raises:
        StackError: Another run holds it.
    """
    home.mkdir(parents=True, exist_ok=True)
    if os.geteuid() == 0:
        home.chmod(0o711)  # PostgreSQL's account must pass through; what is inside has rights of its own
    else:
        home.chmod(0o700)
    with (home / "lock").open("a+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.seek(0)
            raise StackError(
                f"this stack is being run already, by pid {lock.read().strip() or 'unknown'}",
                action=f"Use that one, or run a second one: LABSETU_HOME={home}-2 LABSETU_PORT_BASE=20000 make dev",
            ) from None
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()
        yield


def _interrupt(_signal: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()
