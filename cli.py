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
    from connectors.analyzers.simulator import SimulatorFaults
    from connectors.device_side import Delivery
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
    _simulate_arguments(add("simulate", _simulate, "play an analyzer of a known model, or the host for one"))
    return parser


def _simulate_arguments(simulate: argparse.ArgumentParser) -> None:
    add = simulate.add_argument
    add("device", type=_device, help="chemistry, haematology, or a model: docs/reference/analyzers.md")
    add("specimens", nargs="*", help="barcodes in the order of the rack")
    add("--host", action="store_true", help="be the host: listen, take results, answer questions with --work")
    add("--work", action="append", default=[], type=_work, metavar="BARCODE=CODE,CODE", help="with --host, repeatable")
    add("--messages", type=int, default=0, help="with --host: leave after so many messages")
    add("--address", default="127.0.0.1", help="of the listener; with --host, to listen on")
    add("--port", type=int, default=0, help="by default the listener's, else the one the model proposes")
    add("--seed", type=int, default=1, help="another seed draws other values and cuts")
    add("--no-controls", action="store_true", help="do not send control material first")
    add("--query", action="store_true", help="ask what to measure on each tube")
    add("--listen", type=float, default=0.0, metavar="SECONDS", help="afterwards wait for work nobody asked for")
    faults = simulate.add_argument_group("faults")
    faults.add_argument("--cut", type=int, default=0, metavar="BYTES", help="cut everything into pieces of up to BYTES")
    faults.add_argument("--broken", action="store_true", help="send each message broken first: checksum, check byte")
    faults.add_argument("--drop", action="store_true", help="hang up once before the answer to each message")
    faults.add_argument("--duplicate", action="store_true", help="send each message twice")
    faults.add_argument("--refuse", type=int, default=0, metavar="N", help="refuse the first N things received")
    faults.add_argument("--ignore", type=int, default=0, metavar="N", help="leave the first N openings unanswered")
    faults.add_argument("--contention", action="store_true", help="ASTM: meet the peer's first ENQ with an ENQ")
    faults.add_argument("--reconnect", action="store_true", help="hang up after every message")
    faults.add_argument("--second-session", action="store_true", help="leave an idle connection beside the first")


def _device(name: str) -> str:
    from devstack.analyzers import devices

    if name not in devices():
        raise argparse.ArgumentTypeError(f"{name} is none of: {', '.join(devices())}")
    return name


def _work(text: str) -> tuple[str, list[str]]:
    barcode, mark, codes = text.partition("=")
    if not (barcode and mark and codes):
        raise argparse.ArgumentTypeError("write BARCODE=CODE,CODE")
    return barcode, codes.split(",")


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
    from devstack import analyzers

    if options.host:
        return _simulate_host(options)
    port = options.port or _simulated_port(options.device)
    if not port:
        print(f"{options.device} proposes no port: say which with --port", file=sys.stderr)
        return 1
    work: dict[str, tuple[str, ...]] = {}
    try:
        if options.device in analyzers.DEMO_ANALYZERS:
            run = analyzers.measure(
                options.device,
                options.specimens,
                options.address,
                port,
                seed=options.seed,
                with_controls=not options.no_controls,
                faults=_faults(options),
            )
            deliveries = asyncio.run(run)
        else:
            deliveries, work = asyncio.run(_play(options, port))
    except OSError as error:
        print(f"nobody listens on {options.address}:{port}: {type(error).__name__}", file=sys.stderr)
        return 1
    for one in deliveries:
        print(f"{one.specimen_id}: {len(one.values)} results, {one.attempts} attempts, {one.answer or 'no answer'}")
    for barcode, codes in work.items():
        print(f"{barcode}: to measure {', '.join(codes) or 'nothing'}")
    return 0 if all(one.is_acknowledged for one in deliveries) else 1


def _simulated_port(device: str) -> int:
    """Return the port of our own listener for the device's protocol, else the one that the model proposes."""
    from devstack import analyzers

    protocol = analyzers.protocol_of(device)
    if protocol not in {"astm", "hl7"}:
        return analyzers.usual_port(device)
    listener = _settings().instruments
    return listener.astm_port if protocol == "astm" else listener.hl7_port


async def _play(options: argparse.Namespace, port: int) -> tuple[list[Delivery], dict[str, tuple[str, ...]]]:
    from devstack import analyzers

    run = analyzers.Run(
        options.specimens,
        seed=options.seed,
        with_controls=not options.no_controls,
        with_query=options.query,
        listen_s=options.listen,
    )
    return await analyzers.play(options.device, options.address, port, run, faults=_faults(options))


def _simulate_host(options: argparse.Namespace) -> int:
    from devstack import analyzers

    def show(raw: bytes) -> None:
        print(raw.decode("utf-8", errors="backslashreplace").replace("\r", "\n"), flush=True)

    model = analyzers.DEMO_ANALYZERS.get(options.device, options.device)
    port = options.port or analyzers.usual_port(model)
    host = analyzers.serve_host(
        model,
        dict(options.work),
        options.address,
        port,
        on_message=show,
        faults=_faults(options),
        announce=lambda at: print(f"host for {model} on {options.address}:{at}, Ctrl-C ends it", flush=True),
        messages=options.messages,
    )
    try:
        asyncio.run(host)
    except OSError as error:
        print(f"cannot listen on {options.address}:{port}: {error.strerror}", file=sys.stderr)
        return 1
    return 0


def _faults(options: argparse.Namespace) -> SimulatorFaults:
    from devstack.analyzers import SimulatorFaults

    return SimulatorFaults(
        max_piece=options.cut,
        broken_first=options.broken,
        drop_before_answer=options.drop,
        duplicate=options.duplicate,
        seed=options.seed,
        refuse_first=options.refuse,
        ignore_first=options.ignore,
        contention=options.contention,
        reconnect=options.reconnect,
        second_session=options.second_session,
    )


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
