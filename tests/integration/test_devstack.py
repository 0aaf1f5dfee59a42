"""The servers of the dev stack are real and do what we count on."""

import asyncio
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import asyncpg
import httpx
import pytest
from temporalio.api.operatorservice.v1 import ListSearchAttributesRequest
from temporalio.api.workflowservice.v1 import DescribeNamespaceRequest
from temporalio.client import Client

from connectors.files import FilesConnector, FilesSettings
from devstack import objectstore, postgres
from devstack.objectstore import ObjectStore
from devstack.ports import Ports, StackError
from devstack.postgres import Passwords, PostgresServer
from devstack.processes import Registry
from devstack.temporal import TemporalServer
from domain.errors import UnavailableError
from domain.search_attributes import SEARCH_ATTRIBUTES

ROOT = Path(__file__).parents[2]


@pytest.fixture
def home() -> Iterator[Path]:
    """A home that PostgreSQL's account can reach, unlike pytest's own directories."""
    path = Path(tempfile.mkdtemp(prefix="labsetu-devstack-"))
    path.chmod(0o711)
    yield path
    for record in Registry(path / "run").all_running():
        os.killpg(record.pid, signal.SIGKILL)
    shutil.rmtree(path)


async def test_the_app_role_is_bound_by_row_security_and_time_limits(postgres_server: PostgresServer):
    connection = await asyncpg.connect(postgres_server.app_url().replace("+asyncpg", ""))
    try:
        role = await connection.fetchrow(
            "SELECT rolsuper, rolbypassrls, rolcreatedb FROM pg_roles WHERE rolname = user"
        )
        assert tuple(role) == (False, False, False)
        assert await connection.fetchval("SHOW statement_timeout") == "5s"
        assert await connection.fetchval("SHOW data_checksums") == "on"
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await connection.execute("CREATE TABLE public.mine (x int)")
    finally:
        await connection.close()


async def test_the_namespace_has_our_search_attributes(temporal_server: TemporalServer):
    client = await Client.connect(temporal_server.address, namespace=temporal_server.namespace)
    assert await client.service_client.check_health()
    counted = await client.count_workflows("LabOrderNo = 'X' AND LabAttention = 'partner_offline'")
    assert counted.count == 0


def test_the_object_store_lets_nobody_in_without_its_credentials(object_store: ObjectStore):
    assert httpx.get(f"http://{object_store.endpoint}/").status_code == 403


async def test_postgres_survives_whatever_happened_before(home: Path):
    port, passwords = Ports.free().postgres, Passwords(owner="it's one", app="two")
    (home / "postgres" / "new-1" / "data").mkdir(parents=True)  # a start that was killed during initdb

    def start() -> PostgresServer:
        return postgres.start(home, port, passwords)

    first = start()
    assert first.started
    assert start().record == first.record
    connection = await asyncpg.connect(first.superuser_url().replace("+asyncpg", ""))
    await connection.execute("CREATE TABLE kept AS SELECT 1 AS x")
    await connection.close()

    os.kill(first.record.pid, signal.SIGKILL)
    second = start()
    assert second.started

    (home / "run" / "postgres.json").unlink()  # killed before the record was written
    third = start()
    assert (third.started, third.record) == (False, second.record)
    third.stop()

    lock = home / "postgres" / "cluster" / "data" / "postmaster.pid"
    lock.write_text(f"{os.getpid()}\n")  # another process got the pid of a server that was killed
    fourth = start()
    assert fourth.started
    connection = await asyncpg.connect(fourth.superuser_url().replace("+asyncpg", ""))
    assert await connection.fetchval("SELECT x FROM kept") == 1
    await connection.close()
    fourth.stop()


def test_a_taken_port_is_explained(home: Path, postgres_server: PostgresServer):
    with pytest.raises(StackError) as caught:
        postgres.start(home, postgres_server.port, Passwords("a", "b"), durable=False)
    assert caught.value.code == "PORT_TAKEN"
    assert f"pid {postgres_server.record.pid} (" in caught.value.message


def _once_available(read: Callable[[], bytes], *, within_s: float = 30) -> bytes:
    """Read as an activity does: a store that says "try again" after its crash is asked again."""
    deadline = time.monotonic() + within_s
    while True:
        try:
            return read()
        except UnavailableError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.2)


def test_objects_outlive_a_crash_of_the_store(home: Path):
    ports = Ports.free()

    def start() -> ObjectStore:
        return objectstore.start(home, ports, "key", "a-secret-of-this-test")

    first = start()
    settings = FilesSettings(endpoint=first.endpoint, access_key="key", secret_key=first.secret_key, secure=False)
    files = FilesConnector(settings)
    files.ensure_bucket()
    stored = files.put("reports/1/v1", b"kept", "application/pdf")
    os.kill(first.record.pid, signal.SIGKILL)
    assert start().started
    assert _once_available(lambda: files.get("reports/1/v1", stored.version_id, sha256=stored.sha256)) == b"kept"
    assert "a-secret-of-this-test" not in Path(f"/proc/{start().record.pid}/cmdline").read_text()


async def test_setup_can_run_again_and_makes_what_is_missing(temporal_server: TemporalServer, tmp_path: Path):
    program = shutil.which("temporal", path=str(ROOT / ".venv/bin") + os.pathsep + os.environ["PATH"])
    assert program
    environment = {
        "PATH": f"{Path(program).parent}:/usr/bin:/bin", "HOME": str(tmp_path), "TEMPORAL_RETENTION": "30d",
        "TEMPORAL_ADDRESS": temporal_server.address, "TEMPORAL_NAMESPACE": "made-by-setup", "SETUP_DEADLINE_S": "20",
    }  # fmt: skip
    for _ in range(2):
        await asyncio.to_thread(
            subprocess.run, ["/bin/sh", str(ROOT / "temporal-config/setup.sh")], env=environment, check=True
        )
    client = await Client.connect(temporal_server.address, namespace="made-by-setup")
    described = await client.workflow_service.describe_namespace(DescribeNamespaceRequest(namespace="made-by-setup"))
    assert described.config.workflow_execution_retention_ttl.ToTimedelta().days == 30
    known = await client.operator_service.list_search_attributes(ListSearchAttributesRequest(namespace="made-by-setup"))
    assert set(SEARCH_ATTRIBUTES) <= known.custom_attributes.keys()


def test_setup_gives_up_when_there_is_no_cluster(tmp_path: Path):
    program = shutil.which("temporal", path=str(ROOT / ".venv/bin") + os.pathsep + os.environ["PATH"])
    assert program
    environment = {"PATH": f"{Path(program).parent}:/usr/bin:/bin", "HOME": str(tmp_path), "SETUP_DEADLINE_S": "0",
                   "TEMPORAL_ADDRESS": f"127.0.0.1:{Ports.free().temporal}"}  # fmt: skip
    finished = subprocess.run(
        ["/bin/sh", str(ROOT / "temporal-config/setup.sh")],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert finished.returncode == 1
    assert "gave up" in finished.stderr


def test_the_servers_start_twice_are_examined_and_stop(home: Path):
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("LABSETU_")},
        "LABSETU_HOME": str(home), "LABSETU_PORT_BASE": str(Ports.free().api),
    }  # fmt: skip

    def labsetu(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "cli", *arguments],
            cwd=ROOT,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )

    first = labsetu("stack", "--detach")
    assert first.returncode == 0, first.stdout + first.stderr
    assert "[5/5] schema: brought from nothing" in first.stdout
    second = labsetu("stack", "--detach")
    assert second.stdout.count("already running") == 3
    assert "schema: already at" in second.stdout

    examined = labsetu("doctor")
    assert examined.returncode == 1
    found = {
        line[5:].split()[0]: line[:4].strip() for line in examined.stdout.splitlines() if line[:3] in {"ok ", "BAD"}
    }
    assert {name: found[name] for name in ("settings", "postgres", "schema", "temporal", "files", "razorpay")} == {
        "settings": "ok", "postgres": "ok", "schema": "ok", "temporal": "ok", "files": "ok", "razorpay": "BAD",
    }  # fmt: skip
    assert "simulator" in examined.stdout

    stopped = labsetu("stack", "--stop")
    assert stopped.stdout.count("stopped") == 3
    assert Registry(home / "run").all_running() == []
