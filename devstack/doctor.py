"""`labsetu doctor`: one line per settings group, server and partner; what is wrong and what to do about it."""

from __future__ import annotations

import asyncio
import logging
import shutil
import socket
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from pathlib import Path

import asyncpg
from temporalio.api.operatorservice.v1 import ListSearchAttributesRequest
from temporalio.api.workflowservice.v1 import DescribeNamespaceRequest
from temporalio.client import Client
from temporalio.service import RPCError

from activities.resources import Resources, open_resources
from connectors.abdm.check import check_connection as check_abdm
from connectors.checks import MAX_CLOCK_SKEW, CheckResult
from connectors.einvoice.check import check_connection as check_einvoice
from connectors.email.check import check_connection as check_email
from connectors.email.connector import EmailConnector
from connectors.files.check import check_connection as check_files
from connectors.razorpay.check import check_connection as check_razorpay
from connectors.sms.check import check_connection as check_sms
from connectors.sms.connector import SmsConnector
from connectors.whatsapp.check import check_connection as check_whatsapp
from connectors.whatsapp.connector import WhatsAppConnector
from domain.clock import utc_now
from domain.errors import LabError
from domain.search_attributes import SEARCH_ATTRIBUTES
from settings import Settings, SettingsError, load_settings
from store.migrate import current_revision, newest_revision

_DEADLINE_S = 30.0
_LEAST_FREE = 0.1
Check = Callable[[Settings], Awaitable[CheckResult]]


async def main() -> int:
    """Print one line for everything that was looked at; return 1 when something is wrong."""
    logging.getLogger().addHandler(logging.NullHandler())  # what goes wrong is said here, not logged
    try:
        settings = load_settings()
    except SettingsError as error:
        for line in str(error).splitlines():
            _print(CheckResult("settings", False, line, ""))
        return 1
    _print(CheckResult("settings", True, f"complete ({settings.environment})", ""))
    failed = 0
    async for result in _results(settings):
        _print(result)
        failed += not result.ok
    return 1 if failed else 0


async def _results(settings: Settings) -> AsyncIterator[CheckResult]:
    for name, check in _OURS.items():
        yield await _bounded(name, check(settings))
    async with open_resources(settings) as resources:
        for name, question in _partner_questions(resources).items():
            if question is None:
                yield CheckResult(name, True, "not configured: its steps wait for staff", "")
            else:
                yield await _bounded(name, question)


async def _bounded(name: str, answer: Awaitable[CheckResult]) -> CheckResult:
    try:
        return await asyncio.wait_for(answer, _DEADLINE_S)
    except TimeoutError:
        return CheckResult(name, False, f"no answer within {_DEADLINE_S:.0f} s", "Check the address and the network.")
    except LabError as error:
        return CheckResult(name, False, error.message, error.action)


async def _disk(settings: Settings) -> CheckResult:
    home = settings.home if settings.home.exists() else Path.cwd()
    used = shutil.disk_usage(home)
    free = used.free / used.total
    if free < _LEAST_FREE:
        return CheckResult("disk", False, f"{free:.0%} free at {home}", "Make room: PostgreSQL stops when it is full.")
    return CheckResult("disk", True, f"{free:.0%} free at {home}", "")


async def _postgres(settings: Settings) -> CheckResult:
    url = settings.database.url.get_secret_value()
    start = "Start it (`labsetu stack` in development), or correct LABSETU_DATABASE__URL."
    try:
        connection = await asyncpg.connect(url.replace("+asyncpg", "", 1), timeout=5)
    except (OSError, asyncpg.PostgresError, TimeoutError) as error:
        refused = isinstance(error, asyncpg.InvalidAuthorizationSpecificationError)
        what = "refuses the credentials" if refused else f"is not reached ({type(error).__name__})"
        return CheckResult("postgres", False, what, start)
    try:
        version = await connection.fetchval("SHOW server_version")
        role = await connection.fetchrow(
            "SELECT rolsuper OR rolbypassrls AS unbound FROM pg_roles WHERE rolname = user"
        )
        ahead_s = await connection.fetchval("SELECT extract(epoch FROM now() - $1::timestamptz)", utc_now())
    finally:
        await connection.close()
    if role is None or role["unbound"]:
        return CheckResult(
            "postgres", False, "the role is not bound by row-level security", "Use the role labsetu_app."
        )
    if abs(ahead_s) > MAX_CLOCK_SKEW.total_seconds():
        return CheckResult(
            "postgres", False, f"its clock differs by {ahead_s:.0f} s", "Switch on NTP on both machines."
        )
    return CheckResult("postgres", True, f"{version}, row-level security binds us", "")


async def _schema(settings: Settings) -> CheckResult:
    try:
        current = await current_revision(settings.database.url.get_secret_value())
    except (OSError, asyncpg.PostgresError) as error:
        return CheckResult("schema", False, f"not readable ({type(error).__name__})", "See postgres above.")
    newest = newest_revision()
    if current != newest:
        return CheckResult("schema", False, f"at {current or 'nothing'}, this code needs {newest}", "labsetu migrate")
    return CheckResult("schema", True, f"at {current}", "")


async def _temporal(settings: Settings) -> CheckResult:
    own = settings.temporal
    try:
        client = await Client.connect(
            own.address, namespace=own.namespace, tls=own.tls, api_key=own.api_key.get_secret_value() or None
        )
        await client.workflow_service.describe_namespace(DescribeNamespaceRequest(namespace=own.namespace))
        known = await client.operator_service.list_search_attributes(
            ListSearchAttributesRequest(namespace=own.namespace)
        )
    except RPCError as error:
        what = f"{own.address}, namespace {own.namespace}: {error.status.name.lower()}"
        return CheckResult("temporal", False, what, "Check LABSETU_TEMPORAL__…, or run temporal-config/setup.sh.")
    except RuntimeError:  # what the client raises when it cannot connect
        return CheckResult(
            "temporal", False, f"{own.address} is not reached",
            "Start it (`labsetu stack` in development), or correct LABSETU_TEMPORAL__ADDRESS.",
        )  # fmt: skip
    if missing := sorted(SEARCH_ATTRIBUTES.keys() - known.custom_attributes.keys()):
        what = f"search attributes not registered: {', '.join(missing)}"
        return CheckResult("temporal", False, what, "Run temporal-config/setup.sh: starts are refused until then.")
    return CheckResult("temporal", True, f"{own.address}, namespace {own.namespace} with its search attributes", "")


async def _files(resources: Resources) -> CheckResult:
    return await asyncio.to_thread(check_files, resources.files)


async def _programs(settings: Settings) -> CheckResult:
    """Tell which of our own programs listen here; on a machine that runs only some, that is all right."""
    ports: Mapping[str, tuple[str, int]] = {
        "api": (settings.api.host, settings.api.port),
        "HL7 listener": (settings.instruments.host, settings.instruments.hl7_port),
        "ASTM listener": (settings.instruments.host, settings.instruments.astm_port),
    }
    found = [f"{name} {'up' if _listens(host, port) else 'not up'} ({port})" for name, (host, port) in ports.items()]
    return CheckResult("programs", True, ", ".join(found), "")


def _listens(host: str, port: int) -> bool:
    try:
        with socket.create_connection(("127.0.0.1" if host in {"0.0.0.0", "::"} else host, port), timeout=1):  # noqa: S104
            return True
    except OSError:
        return False


_OURS: Mapping[str, Check] = {
    "disk": _disk,
    "postgres": _postgres,
    "schema": _schema,
    "temporal": _temporal,
    "programs": _programs,
}


def _partner_questions(resources: Resources) -> dict[str, Awaitable[CheckResult] | None]:
    """Return one question per partner, None for those that are not configured."""
    channels = resources.channels or {}
    whatsapp, sms, email = channels.get("whatsapp"), channels.get("sms"), channels.get("email")
    return {
        "files": _files(resources),
        "razorpay": check_razorpay(resources.razorpay) if resources.razorpay else None,
        "einvoice": check_einvoice(resources.einvoice) if resources.einvoice else None,
        "whatsapp": check_whatsapp(whatsapp) if isinstance(whatsapp, WhatsAppConnector) else None,
        "sms": check_sms(sms) if isinstance(sms, SmsConnector) else None,
        "email": check_email(email) if isinstance(email, EmailConnector) else None,
        "abdm": check_abdm(resources.abdm) if resources.abdm else None,
    }


def _print(result: CheckResult) -> None:
    sys.stdout.write(f"{'ok  ' if result.ok else 'BAD '} {result.name:<12} {result.what}\n")
    if result.action and not result.ok:
        sys.stdout.write(f"{'':<18}{result.action}\n")
    sys.stdout.flush()
