"""`labsetu`: every program of the project behind one command. Each subcommand imports only what it needs.

Exit status: 0 done, 1 failed or something is wrong, 2 wrong arguments.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import gc
import json
import os
import secrets
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from domain.errors import LabError

if TYPE_CHECKING:
    from settings import Settings

Command = Callable[[argparse.Namespace], int]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command named by `arguments` (by default the process's) and return the exit status."""
    options = _parser().parse_args(arguments)
    from settings import SettingsError

    try:
        status: int = options.command(options)
    except SettingsError as error:
        print(error, file=sys.stderr)
        status = 1
    except LabError as error:
        print(f"{error.message}\n{error.action}", file=sys.stderr)
        status = 1
    except KeyboardInterrupt:
        status = 130
    return status


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="labsetu", description="Workflow engine for diagnostic laboratories.")
    commands = parser.add_subparsers(required=True, metavar="command")

    def add(name: str, command: Command, text: str) -> argparse.ArgumentParser:
        added = commands.add_parser(name, help=text, description=text)
        added.set_defaults(command=command)
        return added

    dev = add("dev", _dev, "run everything on this machine: servers, API, worker, listener, simulators, demo")
    dev.add_argument("--exit", action="store_true", help="stop after the demo instead of waiting for Ctrl-C")
    dev.add_argument("--no-demo", action="store_true", help="start everything, but tell no story")
    stack = add("stack", _stack, "run the servers only: PostgreSQL, Temporal, object store")
    how = stack.add_mutually_exclusive_group()
    how.add_argument("--detach", action="store_true", help="leave them running")
    how.add_argument("--stop", action="store_true", help="stop everything of this home")
    add("api", _api, "serve the REST API, webhooks and the public report check")
    add("worker", _worker, "run workflows and activities")
    add("listen", _listen, "listen for analyzers (MLLP and ASTM over TCP)")
    add("simulators", _simulators, "serve the partner simulators")
    add("migrate", _migrate, "bring the database to the newest schema")
    add("seed", _seed, "add the demo laboratory")
    add("doctor", _doctor, "say what is reachable, what is wrong and what to do")
    audit = add("audit", _audit, "check the audit chain")
    audit.add_argument("action", choices=["verify"])
    key = add("codec-key", _codec_key, "make a key for the payload codec")
    key.add_argument("action", choices=["new"])
    simulate = add("simulate", _simulate, "play an analyzer: measure specimens and send the results")
    simulate.add_argument("device", choices=["chemistry", "haematology"])
    simulate.add_argument("specimens", nargs="+", help="barcodes in the order of the rack")
    simulate.add_argument("--host", default="127.0.0.1")
    simulate.add_argument("--port", type=int, default=0, help="by default the listener's")
    simulate.add_argument("--seed", type=int, default=1, help="another seed draws other values")
    simulate.add_argument("--no-controls", action="store_true", help="do not send control material first")
    return parser


# One function per subcommand -----------------------------------------------------------------------------------------


def _dev(options: argparse.Namespace) -> int:
    from devstack import stack

    story = None
    if not options.no_demo:
        from devstack import demo

        story = demo.run
    return stack.run_everything(_home(), story=story, leave_after_story=options.exit)


def _stack(options: argparse.Namespace) -> int:
    if options.stop:
        from devstack.processes import stop_recorded

        for record in stop_recorded(_home()):
            print(f"{record.name}: stopped, pid {record.pid}")
        return 0
    from devstack import stack

    return stack.run_servers(_home(), detach=options.detach)


def _api(_options: argparse.Namespace) -> int:
    settings = _start("labsetu-api")
    with _importing():
        from api.main import create_app
        from api.server import serve

        app = create_app(settings)
    serve(app, host=settings.api.host, port=settings.api.port)
    return _leave(0)


def _worker(_options: argparse.Namespace) -> int:
    settings = _start("labsetu-worker")
    with _importing():
        import worker

    asyncio.run(worker.main(settings))
    return _leave(0)


def _listen(_options: argparse.Namespace) -> int:
    settings = _start("labsetu-listener")
    from activities.resources import database_of
    from inbox import listener
    from telemetry import metrics

    if settings.telemetry.listener_metrics_port:
        metrics.serve(settings.telemetry.metrics_host, settings.telemetry.listener_metrics_port)

    async def run() -> None:
        database = database_of(settings)
        try:
            await listener.serve(settings, database)
        finally:
            await database.close()

    asyncio.run(run())
    return 0


def _simulators(_options: argparse.Namespace) -> int:
    settings = _start("labsetu-simulators")
    from devstack import simulators
    from devstack.ports import ports_from_environment

    asyncio.run(simulators.serve(settings, ports_from_environment()))
    return 0


def _migrate(_options: argparse.Namespace) -> int:
    settings = _settings()
    from store.migrate import newest_revision, upgrade

    url = settings.database.owner_url.get_secret_value()
    if not url:
        print("LABSETU_DATABASE__OWNER_URL is not set: migrations run as the owner of the schema", file=sys.stderr)
        return 1
    upgrade(url)
    print(f"schema at {newest_revision()}")
    return 0


def _seed(_options: argparse.Namespace) -> int:
    settings = _settings()
    from devstack.laboratory import make_laboratory

    print(f"demo laboratory: {make_laboratory(settings)}")
    return 0


def _audit(_options: argparse.Namespace) -> int:
    settings = _settings()
    from activities.resources import database_of
    from store import audit

    async def verify() -> int:
        database = database_of(settings)
        try:
            async with database.transaction() as session:
                heads, broken = await audit.verify(session, database.audit_key)
        finally:
            await database.close()
        for head in heads:
            print(f"{head.chain}: {head.seq} entries, head {head.hash}")
        print(f"{len(heads)} chains, {len(broken)} broken places")
        for link in broken:
            print(f"BROKEN {link.chain} at {link.seq}: {link.what}", file=sys.stderr)
        return 1 if broken else 0

    return asyncio.run(verify())


def _doctor(_options: argparse.Namespace) -> int:
    from devstack import doctor

    return _leave(asyncio.run(doctor.main()))


def _codec_key(_options: argparse.Namespace) -> int:
    from domain.clock import utc_now

    name = f"k{utc_now():%Y%m%d}"
    ring = json.dumps({name: base64.b64encode(secrets.token_bytes(32)).decode()})
    print(f"LABSETU_TEMPORAL__CODEC_KEYS='{ring}'\nLABSETU_TEMPORAL__CODEC_ACTIVE_KEY={name}")
    print("Keep older keys in the same object: they open older histories.", file=sys.stderr)
    return 0


def _simulate(options: argparse.Namespace) -> int:
    from devstack.analyzers import measure

    port = options.port
    if not port:
        listener = _settings().instruments
        port = listener.astm_port if options.device == "chemistry" else listener.hl7_port
    run = measure(
        options.device, options.specimens, options.host, port, seed=options.seed, with_controls=not options.no_controls
    )
    deliveries = asyncio.run(run)
    for one in deliveries:
        print(f"{one.specimen_id}: {len(one.values)} results, {one.attempts} attempts, {one.answer or 'no answer'}")
    return 0 if all(one.answer in {"ACK", "AA", "CA"} for one in deliveries) else 1


# What they share -----------------------------------------------------------------------------------------------------


def _home() -> Path:
    return Path(os.environ.get("LABSETU_HOME") or ".labsetu").resolve()


def _settings() -> Settings:
    from settings import load_settings

    return load_settings()


@contextmanager
def _importing() -> Iterator[None]:
    """Import without the garbage collector and keep what was imported out of its later runs.

    Hundreds of thousands of objects that live as long as the process: looking through them again and again takes more
    than a tenth of a start, and then of every full collection.
    """
    gc.disable()
    yield
    gc.freeze()
    gc.enable()


def _start(service: str) -> Settings:
    """Prepare a long-running process: bound to its parent, logging, tracing."""
    from devstack.processes import die_with_parent
    from telemetry import logs, tracing

    die_with_parent()
    settings = _settings()
    logs.configure(settings.telemetry.log_level)
    tracing.configure(service, settings.telemetry.otlp_endpoint)
    return settings


def _leave(status: int) -> int:
    """End a process that used a Temporal client without the interpreter's own shutdown, which aborts now and then.

    Source: temporalio/sdk-python issue 300 (status 134 after all work was done).
    """
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)


if __name__ == "__main__":
    sys.exit(main())
