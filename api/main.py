"""The HTTP application: routers, walls, error handlers, and what is open while it runs.

labsetu api          starts it under uvicorn (`api/server.py`)
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import TYPE_CHECKING, Any

from fastapi import APIRouter, FastAPI
from fastapi.openapi.utils import get_openapi

from api import codec, connectors_http, operations, public, reference
from api.config import ApiConfig
from api.deps import Resources
from api.errors import Problem, add_error_handlers
from api.housekeeping import keeping_house
from api.limits import BodyGuard
from api.middleware import RequestScope
from api.opening import config_of, open_api_resources
from api.staff import (
    admin,
    analyzers,
    auth,
    billing,
    catalogue,
    commands,
    device_work,
    exceptions,
    exchange,
    instrument_files,
    manifests,
    mappings,
    messages,
    monitor,
    onboarding,
    orders,
    patients,
    profiles,
    recordings,
    results,
    sample_traces,
    samples,
    storage,
    tubes,
    worklists,
)
from api.webhooks import abdm, razorpay, sms, whatsapp
from telemetry import tracing

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider

    from settings import Settings

OpenResources = Callable[[], AbstractAsyncContextManager[Resources]]

STAFF = (
    auth.router,
    patients.router,
    catalogue.router,
    orders.router,
    samples.router,
    results.router,
    billing.router,
    worklists.router,
    commands.router,
    messages.router,
    exceptions.router,
    mappings.router,
    instrument_files.router,
    device_work.router,
    exchange.router,
    admin.router,
    monitor.router,
    onboarding.router,
    analyzers.router,
    profiles.router,
    sample_traces.router,
    tubes.router,
    manifests.router,
    storage.router,
    recordings.router,
)
OUTSIDE = (
    razorpay.router, whatsapp.router, sms.router, abdm.router, connectors_http.router, public.router, codec.router,
    operations.router, reference.router,
)  # fmt: skip
UNTRACED = "health/.*,metrics,/r/.*,/check/.*,webhooks/.*"
"""Health checks are noise; the other paths and queries hold tokens, and a span names the whole address."""
ROUTERS: tuple[APIRouter, ...] = (*STAFF, *OUTSIDE)


def create_app(settings: Settings) -> FastAPI:
    """Return the application of a process with these settings; nothing is opened before it starts."""
    # the process has set its provider before; where it has none, nothing is wrapped and nothing is paid
    provider = tracing.configured() if settings.telemetry.otlp_endpoint else None
    return build_app(config_of(settings), lambda: open_api_resources(settings), provider)


def build_app(
    config: ApiConfig, open_resources: OpenResources, tracer_provider: TracerProvider | None = None
) -> FastAPI:
    """Return the application around resources that are opened when it starts and closed when it stops.

    Args:
        config: Keys, limits and switches.
        open_resources: Called once, at the start.
        tracer_provider: Where spans of requests go; None: no request is traced.
    """

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with open_resources() as resources, keeping_house(resources.database, resources.config):
            app.state.resources = resources
            yield
        tracing.close(tracer_provider)

    app = FastAPI(
        title="LabSetu",
        version="1",
        lifespan=lifespan,
        openapi_url="/openapi.json" if config.has_docs else None,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
    )
    for router in ROUTERS:
        app.include_router(router)
    add_error_handlers(app)
    app.add_middleware(BodyGuard, config=config)
    app.add_middleware(RequestScope)
    # a description that names its problem answers, though no route returns the model itself
    app.openapi = lambda: _described(app)  # type: ignore[method-assign]
    if tracer_provider is not None:
        from opentelemetry.instrumentation.fastapi import FastAPIInstrumentor

        FastAPIInstrumentor.instrument_app(
            app, tracer_provider=tracer_provider, excluded_urls=UNTRACED, exclude_spans=["receive", "send"]
        )
    return app


def _described(app: FastAPI) -> dict[str, Any]:
    if app.openapi_schema is None:
        schema = get_openapi(title=app.title, version=app.version, routes=app.routes)
        schemas = schema.setdefault("components", {}).setdefault("schemas", {})
        schemas["Problem"] = Problem.model_json_schema()
        app.openapi_schema = schema
    return app.openapi_schema
