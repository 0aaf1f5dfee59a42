"""Every staff POST that changes something: without a key refused, repeated answered alike, reused refused."""

import uuid

import pytest

from tests.integration.api.test_access import BODIES, STAFF_ROUTES, _filled, _permission, _thing

CHANGES_NOTHING = {"/v1/patients/search", "/v1/analyzers/examine"}
POSTS = [route for method, route in STAFF_ROUTES if method == "POST" and route.path not in CHANGES_NOTHING]
BY_POST = pytest.mark.parametrize("route", POSTS, ids=[route.path for route in POSTS])

# who may, at DEL, in the test laboratory
HOLDER = {
    "patient.register": "front_desk", "order.place": "front_desk", "order.cancel": "front_desk",
    "sample.collect": "phlebotomist", "sample.receive": "technician", "sample.reject": "technician",
    "result.enter": "technician", "result.verify": "technician", "report.authorise": "pathologist",
    "report.release": "billing", "payment.record": "billing", "invoice.reverse": "billing",
    "attention.resolve": "admin", "message.reprocess": "technician", "staff.manage": "admin",
    "analyzer.manage": "admin", "mapping.manage": "technician", "mapping.confirm": "technician",
    "device_work.manage": "technician", "retention.manage": "pathologist",
}  # fmt: skip


@pytest.fixture(scope="module")
def things():
    return {}


async def _prepared(api, things, route):
    api.gateway.reset()
    facts = await _thing(api, things, "DEL")
    await api.execute("update instrument_messages set state = 'unreadable'")
    await api.execute("update instrument_exceptions set state = 'open'")
    if route.path.endswith("/unassign"):
        await _assigned(api)
    await api.execute("update device_mappings set state = 'proposed' where device_code = 'HGB-1'")
    await api.execute("update device_work set state = 'refused'")
    await _handle_tube(api, route.path, facts)
    await api.execute("update line_recordings set ended_at = now(), end_reason = 'stopped'")
    if "{recording_id}" in route.path:
        again = "update line_recordings set ended_at = null, end_reason = '' where id = :id"
        await api.execute(again, id=uuid.UUID(facts["{recording_id}"]))
    return (
        api.staff_as(HOLDER[_permission(route).value]),
        _filled(route.path, facts),
        _filled(BODIES[route.path], facts),
    )


async def _handle_tube(api, path, facts):
    """Bring the tube and its transport to where the route can do something."""
    state = "received" if "aliquots" in path else "collected"
    await api.execute("update samples set state = :s where accession_no = :n", s=state, n=facts["{accession}"])
    await api.execute("update sample_storage set left_at = now(), disposal_no = '' where left_at is null")
    await api.execute("update sample_storage set disposal_no = ''")
    ahead = {"/v1/manifests": "closed", "dispatch": "packed", "arrival": "dispatched", "close": "arrived"}
    state = ahead.get(path if path == "/v1/manifests" else path.rpartition("/")[2], "closed")
    await api.execute("update manifests set state = 'closed'")
    await api.execute("update manifests set state = :s where manifest_no = :n", s=state, n=facts["{manifest_no}"])
    if path.endswith(("take-out", "disposals")):
        await api.execute(
            "insert into sample_storage (id, created_at, sample_id, branch_id, place, stored_by, leave_reason,"
            " disposal_no) select cast(:id as uuid), now(), s.id, s.branch_id, 'A1', o.placed_by, '', '' from samples s"
            " join orders o on o.id = s.order_id where s.accession_no = :n",
            id=str(uuid.uuid4()), n=facts["{accession}"],
        )  # fmt: skip
    stage = "closed" if path.endswith("disposals") else "collected"
    await api.execute("update orders set stage = :s where order_no = :n", s=stage, n=facts["{order_no}"])


async def _assigned(api):
    """Let the exceptions' specimens be assigned, so that this can be undone."""
    await api.execute(
        "insert into specimen_corrections (id, created_at, message_id, specimen_id, accession_no, corrected_by, reason)"
        " select gen_random_uuid(), now(), e.message_id, e.specimen_id, '', u.id, '' from instrument_exceptions e,"
        " users u where u.username = 'technician' and e.kind = 'unmatched_specimen' on conflict do nothing"
    )


@BY_POST
async def test_a_repeated_post_is_done_once(api, things, route):
    client, path, body = await _prepared(api, things, route)
    key = str(uuid.uuid4())
    first = await client.post(path, body, key=key)
    assert first.is_success, first.text
    before = await api.execute("select (select count(*) from audit_entries) as audit, (select count(*) from commands)")
    again = await client.post(path, body, key=key)
    assert again.status_code == first.status_code
    assert again.headers["Idempotency-Replayed"] == "true"
    shown_once = {"key"}
    assert {name: value for name, value in again.json().items() if name not in shown_once} == {
        name: value for name, value in first.json().items() if name not in shown_once
    }
    assert again.json().get("key", "") == "", "a secret is not stored to be shown again"
    assert before == await api.execute(
        "select (select count(*) from audit_entries) as audit, (select count(*) from commands)"
    )


@BY_POST
async def test_a_post_without_a_key_is_refused(api, things, route):
    client, path, body = await _prepared(api, things, route)
    answer = await api.client.post(path, json=body, headers=client.headers)
    assert answer.status_code == 400
    assert answer.json()["code"] == "IDEMPOTENCY_KEY_MISSING"


@BY_POST
async def test_the_key_of_another_request_is_refused(api, things, route):
    client, path, body = await _prepared(api, things, route)
    key = str(uuid.uuid4())
    taken = await client.client.post(
        "/v1/users/phlebotomist", json={}, headers={**api.staff_as("admin").headers, "Idempotency-Key": key}
    )
    assert taken.is_success
    if client.headers != api.staff_as("admin").headers:
        await api.execute(
            "update idempotent_requests set actor_id = :a where key = :k",
            a=api.lab.users[HOLDER[_permission(route).value]],
            k=key,
        )
    answer = await client.post(path, body, key=key)
    assert answer.status_code == 422
    assert answer.json()["code"] == "IDEMPOTENCY_KEY_REUSED"
