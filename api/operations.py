"""Health, readiness with every dependency named, and metrics."""

from __future__ import annotations

import asyncio
import hmac
import logging
import time
from collections.abc import Awaitable, Callable
from functools import partial

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse
from pydantic import BaseModel
from sqlalchemy import text

from api.deps import FromApp, Resources
from api.device_board import board
from api.device_board import show_metrics as show_metrics_of_devices
from api.errors import UnauthenticatedError
from domain.errors import LabError
from domain.working_hours import WorkingHours
from store.gauges import gauges
from store.migrate import newest_revision
from store.session import Database
from telemetry import metrics

log = logging.getLogger("labsetu.api")

router = APIRouter(tags=["operations"])

PATIENCE_S = 3.0


class Live(BaseModel):
    """The process answers."""

    status: str = "ok"


class Dependency(BaseModel):
    """One thing the API needs.

    Attributes:
        is_required: Without it requests fail; without the others they are accepted and done later.
    """

    is_ready: bool
    is_required: bool
    detail: str
    elapsed_ms: int


class Ready(BaseModel):
    """Whether requests can be served, and by which dependencies."""

    status: str
    dependencies: dict[str, Dependency]


@router.get("/health/live")
async def live() -> Live:
    """Answer when the event loop runs; asks nothing else."""
    return Live()


@router.get("/health/ready", response_model=Ready, responses={503: {"model": Ready}})
async def ready(resources: FromApp) -> Response:
    """Ask every dependency. 503 when PostgreSQL is away; Temporal and documents may be away for a while."""
    checks: dict[str, tuple[bool, Callable[[], Awaitable[str]]]] = {
        "postgresql": (True, partial(_postgresql, resources.database)),
        "schema": (True, partial(_schema, resources.database)),
        "temporal": (False, partial(_temporal, resources)),
        **{name: (False, partial(_asked, check)) for name, check in resources.checks.items()},
    }
    found = await asyncio.gather(*(_measured(ask, is_required=required) for required, ask in checks.values()))
    dependencies = dict(zip(checks, found, strict=True))
    is_ready = all(one.is_ready for one in found if one.is_required)
    body = Ready(status="ready" if is_ready else "not ready", dependencies=dependencies)
    return JSONResponse(body.model_dump(), 200 if is_ready else 503)


async def _measured(ask: Callable[[], Awaitable[str]], *, is_required: bool) -> Dependency:
    begun = time.perf_counter()
    try:
        async with asyncio.timeout(PATIENCE_S):
            detail = await ask()
    except TimeoutError:
        detail = "no answer in time"
    except (LabError, OSError) as error:
        detail = error.code if isinstance(error, LabError) else type(error).__name__
    return Dependency(
        is_ready=detail == "", is_required=is_required, detail=detail or "ok",
        elapsed_ms=round((time.perf_counter() - begun) * 1000),
    )  # fmt: skip


async def _postgresql(database: Database) -> str:
    async with database.transaction(branches=()) as session:
        await session.execute(text("select 1"))
    return ""


async def _schema(database: Database) -> str:
    async with database.transaction(branches=()) as session:
        found = (await session.execute(text("select version_num from alembic_version"))).scalar()
    wanted = await asyncio.to_thread(newest_revision)
    return "" if found == wanted else f"at revision {found}, this code expects {wanted}"


async def _temporal(resources: Resources) -> str:
    return "" if await resources.gateway.is_reachable() else "not reachable: orders and commands wait"


async def _asked(check: Callable[[], Awaitable[bool]]) -> str:
    return "" if await check() else "not ready"


@router.get("/metrics", include_in_schema=False)
async def show_metrics(request: Request, resources: FromApp) -> Response:
    """Show the metrics of this process and of the database in Prometheus' text format."""
    token = resources.config.metrics_token.get_secret_value()
    given = request.headers.get("authorization", "").removeprefix("Bearer ")
    if token and not hmac.compare_digest(given.encode(), token.encode()):
        raise UnauthenticatedError("the metrics need their token")
    try:
        await _count(resources)
    except LabError as error:
        # the process's own numbers are worth showing when PostgreSQL is away
        log.warning("database not counted", extra={"code": error.code})
    return Response(metrics.exposition(), media_type=metrics.CONTENT_TYPE)


async def _count(resources: Resources) -> None:
    async with resources.database.transaction() as session:
        counted = await gauges(session)
        show_metrics_of_devices(await board(session, WorkingHours.parse(resources.config.working_hours), None))
    metrics.orders_by_stage(counted.stages)
    metrics.attention_by_reason(counted.attention)
    metrics.inbox_waiting(counted.waiting)
    for source, seconds in counted.lag_s.items():
        metrics.inbox_lag(source, seconds)
