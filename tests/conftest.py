"""Fixtures by name only: every module of tests/fixtures is a plugin. And an end of the process that cannot fail."""

import atexit
import os
import sys
from pathlib import Path

import pytest

pytest_plugins = [
    f"tests.fixtures.{file.stem}"
    for file in sorted((Path(__file__).parent / "fixtures").glob("*.py"))
    if not file.stem.startswith("_")
]

_STATUS = pytest.StashKey[int]()


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    session.config.stash[_STATUS] = int(exitstatus)


@pytest.hookimpl(trylast=True)
def pytest_unconfigure(config: pytest.Config) -> None:
    """Leave without the interpreter's own shutdown.

    A process that used a Temporal client aborts there now and then (`PyGILState_Release`, status 134), after all tests
    passed. Everything that others want done at exit is done here first. Source: temporalio/sdk-python issue 300.
    """
    status = config.stash.get(_STATUS, None)
    if status is None:
        return
    config.get_terminal_writer().flush()
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr, sys.__stdout__, sys.__stderr__):
        if stream is not None and not stream.closed:
            stream.flush()
    os._exit(status)
