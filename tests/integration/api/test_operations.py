"""Health, metrics, logs, headers, the description, and the codec of the Temporal UI."""

import base64
import json
import logging

import pytest
from temporalio.api.common.v1 import Payload

from api.errors import MEDIA_TYPE
from api.main import ROUTERS
from tests.fixtures.running_api import running_api
from tests.integration.api.test_every_post import CHANGES_NOTHING
from workflows.codec import EncryptionCodec


async def test_ready_names_each_dependency(api):
    answer = await api.client.get("/health/ready")
    assert answer.status_code == 200
    dependencies = answer.json()["dependencies"]
    assert set(dependencies) == {"postgresql", "schema", "temporal", "object storage"}
    assert all(one["is_ready"] for one in dependencies.values()), dependencies


async def test_without_temporal_the_api_is_ready_and_says_so(api):
    api.gateway.is_away = True
    answer = await api.client.get("/health/ready")
    api.gateway.reset()
    assert answer.status_code == 200
    temporal = answer.json()["dependencies"]["temporal"]
    assert temporal["is_ready"] is False
    assert temporal["is_required"] is False


async def test_metrics_count_orders_lags_and_requests(api):
    placed = await api.place()
    await api.execute(
        "update orders set attention = '{EInvoice:generate_irn}' where order_no = :n", n=placed["order_no"]
    )
    refused = await api.client.get("/metrics")
    assert refused.status_code == 401
    text = (await api.client.get("/metrics", headers={"Authorization": "Bearer metrics token"})).text
    assert 'labsetu_orders{stage="registered"}' in text
    assert 'labsetu_attention{reason="EInvoice"}' in text
    assert 'labsetu_inbox_lag_seconds{source="instruments"}' in text
    assert 'labsetu_http_requests_total{method="POST",route="/v1/orders",status="201"}' in text
    assert "labsetu_partner_call" in text
    assert "labsetu_instrument_connections" in text
    assert placed["order_no"] not in text


async def test_a_request_is_logged_by_its_route_with_ids_and_nothing_else(api, caplog):
    placed = await api.place()
    caplog.clear()
    with caplog.at_level(logging.INFO, logger="labsetu.api.access"):
        answer = await api.staff_as("technician").get(
            f"/v1/orders/{placed['order_no']}", headers={"X-Request-Id": "proxy-request-1"}, params={"x": "secret"}
        )
    assert answer.headers["X-Request-Id"] == "proxy-request-1"
    (record,) = [record for record in caplog.records if record.name == "labsetu.api.access"]
    assert record.route == "/v1/orders/{order_no}"
    assert record.order_no == placed["order_no"]
    assert record.status == 200
    assert record.user_id == str(api.lab.users["technician"])
    assert "secret" not in str(record.__dict__)


@pytest.mark.parametrize("given", ["short", "x" * 65, "with space 1", "line\tbreak1"])
async def test_a_made_up_request_id_is_replaced(api, given):
    answer = await api.client.get("/health/live", headers={"X-Request-Id": given})
    assert answer.headers["X-Request-Id"] != given
    assert len(answer.headers["X-Request-Id"]) == 36


async def test_every_answer_carries_the_security_headers(api):
    for path in ("/health/live", "/v1/orders", "/nowhere"):
        headers = (await api.client.get(path)).headers
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert "frame-ancestors 'none'" in headers["Content-Security-Policy"]
        assert headers["Cache-Control"] == "private, no-store"
        assert "server" not in headers


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/nowhere", 404, "ROUTE_UNKNOWN"),
        ("DELETE", "/v1/orders", 405, "METHOD_NOT_ALLOWED"),
        ("GET", "/v1/orders/DEL-000000-0000", 404, "ORDER_UNKNOWN"),
        ("POST", "/v1/auth/token", 422, "REQUEST_INVALID"),
        ("GET", "/v1/audit", 403, "NOT_PERMITTED"),
        ("GET", "/v1/commands/not-an-id", 422, "REQUEST_INVALID"),
    ],
)
async def test_every_kind_of_error_has_the_same_shape(api, method, path, status, code):
    clerk = api.staff_as("technician")
    answer = await api.client.request(method, path, headers=clerk.headers)
    assert answer.status_code == status
    assert answer.headers["content-type"] == MEDIA_TYPE
    problem = answer.json()
    assert problem["code"] == code
    assert problem["status"] == status
    assert problem["request_id"] == answer.headers["X-Request-Id"]
    assert problem["docs"] == problem["type"] == f"/docs/errors#{code}"
    assert {"title", "detail", "action"} <= set(problem)


async def test_an_unexpected_error_says_nothing_but_its_request_id(api, caplog):
    class Broken:
        def get(self, *args, **kwargs):
            raise RuntimeError("the patient's name is Asha")

    async with running_api(api.database, api.lab) as broken:
        object.__setattr__(broken.app.state.resources, "documents", Broken())
        placed = await broken.place()
        from tests.integration.api.test_orders import _with_report

        await _with_report(broken, placed, b"%PDF")
        answer = await broken.staff_as("front_desk").get(f"/v1/orders/{placed['order_no']}/report")
    assert answer.status_code == 500
    assert answer.json()["code"] == "INTERNAL_ERROR"
    assert "Asha" not in answer.text


async def test_a_body_beyond_the_limit_is_a_problem(api):
    answer = await api.staff_as("front_desk").post("/v1/orders", {"x": "y" * 20_000})
    assert answer.status_code == 413
    assert answer.json()["code"] == "BODY_TOO_LARGE"
    assert answer.headers["Connection"] == "close"


async def test_the_error_page_explains_every_code(api):
    answer = await api.client.get("/docs/errors")
    assert answer.status_code == 200
    assert "## NOT_FOUND" in answer.text


async def test_the_reference_page_lists_routes_and_loads_nothing(api):
    page = await api.client.get("/docs")
    assert page.status_code == 200
    assert "/v1/orders/{order_no}/timeline" in page.text
    assert "<script" not in page.text
    assert "//" not in page.text.replace("https://lab.example", "")


async def test_the_description_lists_every_route_with_its_problems(api):
    schema = (await api.client.get("/openapi.json")).json()
    described = {(method.upper(), path) for path, item in schema["paths"].items() for method in item}
    for router in ROUTERS:
        for route in router.routes:
            if not route.include_in_schema:
                continue
            path = route.path.replace(":path}", "}")
            for method in route.methods - {"HEAD"}:
                assert (method, path) in described, f"{method} {path}"
                if path.startswith("/v1"):
                    answers = schema["paths"][path][method.lower()]["responses"]
                    assert {"401", "500", "503"} <= set(answers), path
                    assert MEDIA_TYPE in answers["503"]["content"]
    assert "Problem" in schema["components"]["schemas"]
    for path, item in schema["paths"].items():
        keyed = any(
            parameter["name"].lower() == "idempotency-key" for parameter in item.get("post", {}).get("parameters", [])
        )
        is_staff_change = (
            path.startswith("/v1/") and "post" in item and not path.startswith(("/v1/auth", *CHANGES_NOTHING))
        )
        assert keyed == is_staff_change, path


async def _sealed(*texts):
    payloads = [Payload(metadata={"encoding": b"json/plain"}, data=json.dumps(text).encode()) for text in texts]
    return await EncryptionCodec({"k1": bytes(32)}, "k1").encode(payloads)


def _as_json(payloads):
    return {
        "payloads": [
            {
                "metadata": {key: base64.b64encode(value).decode() for key, value in payload.metadata.items()},
                "data": base64.b64encode(payload.data).decode(),
            }
            for payload in payloads
        ]
    }


async def test_the_codec_opens_payloads_for_those_who_may_and_says_so_in_the_audit(api):
    body = _as_json(await _sealed("DEL-1", "DEL-2"))
    headers = {**api.staff_as("admin").headers, "Origin": "http://ui.example:8233", "X-Namespace": "labsetu"}
    answer = await api.client.post("/temporal/codec/decode", json=body, headers=headers)
    assert answer.status_code == 200
    opened = [json.loads(base64.b64decode(payload["data"])) for payload in answer.json()["payloads"]]
    assert opened == ["DEL-1", "DEL-2"]
    assert answer.headers["Access-Control-Allow-Origin"] == "http://ui.example:8233"
    audit = await api.execute("select actor, body from audit_entries where action = 'payload.decoded'")
    assert audit[0].actor == "admin"
    assert json.loads(audit[0].body)["count"] == 2
    sealed = await api.client.post("/temporal/codec/encode", json=answer.json(), headers=headers)
    again = await api.client.post("/temporal/codec/decode", json=sealed.json(), headers=headers)
    assert again.json() == answer.json()


async def test_the_codec_is_closed_to_others(api):
    body = _as_json(await _sealed("DEL-1"))
    assert (await api.client.post("/temporal/codec/decode", json=body)).status_code == 401
    technician = await api.client.post("/temporal/codec/decode", json=body, headers=api.staff_as("technician").headers)
    assert technician.status_code == 403


@pytest.mark.parametrize(
    ("origin", "status"), [("http://ui.example:8233", 204), ("http://evil.example", 403), ("", 403)]
)
async def test_only_the_ui_s_origin_passes_the_preflight(api, origin, status):
    answer = await api.client.options("/temporal/codec/decode", headers={"Origin": origin})
    assert answer.status_code == status
    assert ("Access-Control-Allow-Origin" in answer.headers) == (status == 204)


@pytest.mark.parametrize("body", [b"", b"{", b"null", b'{"payloads": 1}', b'{"payloads":[{"data":1}]}', b'{"a":' * 50])
async def test_nonsense_for_the_codec_is_refused(api, body):
    answer = await api.client.post("/temporal/codec/decode", content=body, headers=api.staff_as("admin").headers)
    assert answer.status_code == 400
    assert answer.json()["code"] == "PAYLOADS_INVALID"


async def test_a_payload_sealed_with_another_key_is_a_plain_problem(api):
    other = await EncryptionCodec({"k9": bytes(range(32))}, "k9").encode([Payload(data=b"x")])
    answer = await api.client.post(
        "/temporal/codec/decode", json=_as_json(other), headers=api.staff_as("admin").headers
    )
    assert answer.status_code == 422
    assert answer.json()["code"] == "PAYLOAD_UNREADABLE"


async def test_the_auditor_reads_the_chain_of_a_branch_page_by_page(api):
    await api.place()
    await api.place()
    auditor = api.staff_as("auditor")
    first = (await auditor.get("/v1/audit", params={"chain": "DEL", "limit": 1})).json()
    second = (
        await auditor.get("/v1/audit", params={"chain": "DEL", "limit": 1, "cursor": first["next_cursor"]})
    ).json()
    assert first["items"][0]["seq"] == second["items"][0]["seq"] + 1
    assert first["items"][0]["body"]["codes"] == ["HGB"]
    assert (await auditor.get("/v1/audit", params={"chain": "XXX"})).status_code == 403
