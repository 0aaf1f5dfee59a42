"""The application as a process makes it: from settings, under uvicorn, with traces."""

import asyncio
import base64
import socket
from contextlib import asynccontextmanager

import httpx
import pytest
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from uvicorn import Server

from api.main import build_app, create_app
from api.opening import config_of
from api.server import server_config
from settings import Settings
from telemetry.tracing import provider_with
from tests.fixtures.database import AUDIT_KEY, SEAL_KEY, password_of
from tests.fixtures.running_api import CONFIG, WEBHOOK_SECRET, razorpay_headers


@pytest.fixture(scope="module")
def settings(postgres_server, database_name, object_store):
    return Settings(
        database={
            "url": postgres_server.app_url(database_name), "seal_key": base64.b64encode(SEAL_KEY).decode(),
        },
        audit={"key": AUDIT_KEY.decode()},
        temporal={
            "address": "127.0.0.1:1", "codec_keys": {"k1": base64.b64encode(bytes(32)).decode()},
            "codec_active_key": "k1",
        },
        objects={
            "endpoint": object_store.endpoint, "access_key": object_store.access_key,
            "secret_key": object_store.secret_key, "secure": False,
        },
        api={"jwt_secrets": CONFIG.jwt_secrets, "docs": True},
        payments={"key_id": "rzp_test_1", "key_secret": "x", "webhook_secrets": [WEBHOOK_SECRET]},
    )  # fmt: skip


@asynccontextmanager
async def _served(app):
    listener = socket.create_server(("127.0.0.1", 0))
    server = Server(server_config(app, host="127.0.0.1", port=0))
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(server._serve([listener]))
        while not server.started:  # noqa: ASYNC110  uvicorn offers no event
            await asyncio.sleep(0.01)
        try:
            async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{listener.getsockname()[1]}") as client:
                yield client
        finally:
            server.should_exit = True


async def test_an_order_is_placed_over_a_real_socket_while_temporal_is_away(settings, lab, database):
    async with _served(create_app(settings)) as client:
        assert (await client.get("/health/live")).json() == {"status": "ok"}
        credentials = {"username": "front_desk", "password": password_of("front_desk")}
        tokens = (await client.post("/v1/auth/token", json=credentials)).json()
        headers = {"Authorization": f"Bearer {tokens['access_token']}", "Idempotency-Key": "real-socket-1"}
        body = {"branch_code": "DEL", "patient_no": lab.patients[3], "items": [{"code": "GLU"}]}
        placed = await client.post("/v1/orders", json=body, headers=headers, timeout=20)
        assert placed.status_code == 201, placed.text
        paid = b'{"event":"payment_link.paid","payload":{}}'
        webhook = await client.post("/webhooks/razorpay", content=paid, headers=razorpay_headers(paid, "evt_socket"))
        assert webhook.status_code == 200
        ready = (await client.get("/health/ready", timeout=20)).json()["dependencies"]
        assert ready["postgresql"]["is_ready"] is True
        assert ready["schema"]["is_ready"] is True
        assert ready["temporal"]["is_ready"] is False
        assert "object storage" in ready


def test_the_settings_reach_the_api(settings):
    config = config_of(settings)
    assert config.lab == settings.lab.code
    assert config.temporal_ui_origin == "http://127.0.0.1:8233"
    assert config.jwt_secrets == CONFIG.jwt_secrets


async def test_requests_are_traced_by_route_and_links_are_not():
    exporter = InMemorySpanExporter()
    provider = provider_with("labsetu-api", SimpleSpanProcessor(exporter))
    app = build_app(CONFIG, _nothing, provider)
    transport = httpx.ASGITransport(app=app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://lab.example") as client:
        await client.get("/openapi.json")
        for path in ("/r/secret-token", "/check/secret-token", "/webhooks/sms?notification=secret-token"):
            await client.get(path)
    spans = exporter.get_finished_spans()
    assert any(span.attributes and "/openapi.json" in str(dict(span.attributes)) for span in spans)
    assert not any("secret-token" in str(dict(span.attributes or {})) for span in spans)


@asynccontextmanager
async def _nothing():
    yield None
