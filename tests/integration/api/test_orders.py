"""Placing, listing, reading and following orders; who sees what on them."""

import asyncio
import hashlib
import uuid

import pytest
from temporalio.service import RPCError, RPCStatusCode

from api.pagination import cursor_of


@pytest.fixture(autouse=True)
def temporal_is_there(api):
    api.gateway.reset()


async def test_placing_an_order_answers_with_samples_and_bills_and_starts_it(api):
    placed = await api.place("HGB", "GLU")
    assert placed["order_no"].startswith("DEL-")
    assert {code for sample in placed["samples"] for code in sample["test_codes"]} == {"HGB", "GLU"}
    assert placed["invoices"][0]["total_paise"] > 0
    assert api.gateway.started == [placed["order_no"]]
    detail = (await api.staff_as("technician").get(f"/v1/orders/{placed['order_no']}")).json()
    assert detail["is_started"] is True
    assert detail["stage"] == "registered"
    assert [line["test_code"] for line in detail["lines"]] == ["HGB", "GLU"]


async def test_an_order_is_accepted_while_temporal_is_away(api):
    api.gateway.is_away = True
    placed = await api.place()
    detail = (await api.staff_as("technician").get(f"/v1/orders/{placed['order_no']}")).json()
    assert detail["is_started"] is False, "the sweeper finds it by this"


async def test_an_order_is_accepted_although_temporal_refuses_to_start_it(api):
    api.gateway.start_error = RPCError("namespace not found", RPCStatusCode.INVALID_ARGUMENT, b"")
    placed = await api.place()
    detail = (await api.staff_as("technician").get(f"/v1/orders/{placed['order_no']}")).json()
    assert detail["is_started"] is False


async def test_repeating_an_order_gives_the_same_order(api):
    desk, key = api.staff_as("front_desk"), str(uuid.uuid4())
    body = {"branch_code": "DEL", "patient_no": api.lab.patients[2], "items": [{"code": "HGB"}]}
    first = await desk.post("/v1/orders", body, key=key)
    again = await desk.post("/v1/orders", body, key=key)
    assert (first.status_code, again.status_code) == (201, 201)
    assert again.json() == first.json()
    assert again.headers["Location"] == first.headers["Location"]
    assert again.headers["Idempotency-Replayed"] == "true"
    other = await desk.post("/v1/orders", {**body, "priority": "stat"}, key=key)
    assert other.status_code == 422
    assert other.json()["code"] == "IDEMPOTENCY_KEY_REUSED"


async def test_of_the_same_order_sent_at_once_one_is_placed(api):
    desk, key = api.staff_as("front_desk"), str(uuid.uuid4())
    body = {"branch_code": "DEL", "patient_no": api.lab.patients[2], "items": [{"code": "HGB"}]}
    answers = await asyncio.gather(*(desk.post("/v1/orders", body, key=key) for _ in range(4)))
    assert {answer.status_code for answer in answers} == {201}
    assert len({answer.json()["order_no"] for answer in answers}) == 1


async def test_a_refused_order_leaves_its_key_free_and_nothing_behind(api):
    desk, key = api.staff_as("front_desk"), str(uuid.uuid4())
    body = {"branch_code": "DEL", "patient_no": api.lab.patients[2], "items": [{"code": "NOPE"}]}
    before = await api.execute("select count(*) as n from orders")
    refused = await desk.post("/v1/orders", body, key=key)
    assert refused.status_code == 404
    assert refused.json()["code"] == "TEST_NOT_FOUND"
    assert await api.execute("select count(*) as n from orders") == before
    corrected = await desk.post("/v1/orders", {**body, "items": [{"code": "HGB"}]}, key=key)
    assert corrected.status_code == 201


async def test_two_people_may_choose_the_same_key(api):
    key = "the-same-key"
    body = {"branch": "DEL", "name": "Twin", "sex": "male", "age_years": 3}
    one = await api.staff_as("front_desk").post("/v1/patients", body, key=key)
    two = await api.staff_as("blr_front_desk").post("/v1/patients", {**body, "branch": "BLR"}, key=key)
    assert one.json()["patient_no"] != two.json()["patient_no"]


@pytest.mark.parametrize("key", [None, "", "short", "x" * 129, "with a \x07 bell"])
async def test_a_post_without_a_usable_key_is_refused(api, key):
    desk = api.staff_as("front_desk")
    headers = {**desk.headers, **({} if key is None else {"Idempotency-Key": key})}
    answer = await api.client.post("/v1/orders", json={}, headers=headers)
    assert answer.status_code in {400, 422}
    body = {"branch_code": "DEL", "patient_no": api.lab.patients[0], "items": [{"code": "HGB"}]}
    answer = await api.client.post("/v1/orders", json=body, headers=headers)
    assert answer.status_code == 400
    assert answer.json()["code"] == "IDEMPOTENCY_KEY_MISSING"


async def test_lists_narrow_by_stage_attention_branch_and_number(api):
    placed = await api.place("HGB")
    number = placed["order_no"]
    await api.execute("update orders set attention = '{EInvoice:generate_irn}' where order_no = :n", n=number)
    admin = api.staff_as("admin")

    async def numbers(**query):
        answer = await admin.get("/v1/orders", params={"limit": 200, **query})
        assert answer.status_code == 200, answer.text
        return [item["order_no"] for item in answer.json()["items"]]

    assert number in await numbers(attention=True)
    assert number not in await numbers(attention=False)
    assert number in await numbers(stage="registered", branch="DEL")
    assert number not in await numbers(stage="closed")
    assert number not in await numbers(branch="BLR")
    assert await numbers(q=number) == [number]
    assert await numbers(q=placed["samples"][0]["accession_no"]) == [number]
    assert number in await numbers(q=api.lab.patients[0])
    assert number in await numbers(since="2020-01-01T00:00:00Z")
    assert number not in await numbers(until="2020-01-01T00:00:00Z")
    attention = (await api.staff_as("billing").get("/v1/worklists/attention")).json()["items"]
    assert number in {item["order_no"] for item in attention}


async def test_pages_are_stable_while_orders_arrive(api):
    placed = [(await api.place())["order_no"] for _ in range(5)]
    clerk, seen, cursor = api.staff_as("technician"), [], ""
    for _ in range(40):
        page = (await clerk.get("/v1/orders", params={"limit": 2, "cursor": cursor})).json()
        seen += [item["order_no"] for item in page["items"]]
        cursor = page["next_cursor"]
        if cursor is None:
            break
        await api.place()  # a newer order shifts nothing
    assert len(seen) == len(set(seen)), "nothing is shown twice"
    assert [number for number in seen if number in placed] == placed[::-1], "nothing is left out, newest first"


@pytest.mark.parametrize("cursor", ["x", "!!!", "AAAA", "é", "MTIzNDU2"])
async def test_a_made_up_cursor_is_refused(api, cursor):
    for path in ("/v1/orders", "/v1/patients", "/v1/worklists/verification"):
        answer = await api.staff_as("technician").get(path, params={"cursor": cursor})
        assert answer.status_code == 400, path
        assert answer.json()["code"] == "CURSOR_INVALID"


@pytest.mark.parametrize(
    "query", [{"limit": 0}, {"limit": 201}, {"stage": "nowhere"}, {"since": "yesterday"}, {"x": 1}]
)
async def test_wrong_filters_are_named_without_repeating_them(api, query):
    answer = await api.staff_as("technician").get("/v1/orders", params=query)
    assert answer.status_code == 422
    problem = answer.json()
    assert problem["code"] == "REQUEST_INVALID"
    assert problem["findings"][0]["where"].startswith("query.")
    assert "yesterday" not in answer.text
    assert "nowhere" not in answer.text


async def test_the_timeline_is_in_order_and_pages(api):
    placed = await api.place()
    path = f"/v1/orders/{placed['order_no']}/timeline"
    events = (await api.staff_as("technician").get(path)).json()["items"]
    assert [event["seq"] for event in events] == list(range(1, len(events) + 1))
    assert events[0]["kind"] == "order_placed"
    assert events[0]["actor"] == "front_desk"
    one = (await api.staff_as("technician").get(path, params={"limit": 1})).json()
    assert len(one["items"]) == 1


async def test_unchanged_reads_are_answered_304(api):
    placed = await api.place()
    clerk, path = api.staff_as("technician"), f"/v1/orders/{placed['order_no']}"
    first = await clerk.get(path)
    tag = first.headers["ETag"]
    assert tag.startswith('"')
    assert first.headers["Cache-Control"] == "private, no-store"
    again = await clerk.get(path, headers={"If-None-Match": tag})
    assert again.status_code == 304
    assert again.content == b""
    assert again.headers["ETag"] == tag
    await api.execute("update orders set stage = 'collected' where order_no = :n", n=placed["order_no"])
    changed = await clerk.get(path, headers={"If-None-Match": tag})
    assert changed.status_code == 200
    assert changed.headers["ETag"] != tag


async def _with_result(api, placed, code, value):
    await api.execute(
        "insert into results (id, created_at, order_line_id, sample_id, version, state, source, dedupe_key, value_text,"
        " comparator, unit, flag, is_critical, reference_text, device_flags, comments, hold_reason, rules_version,"
        " observed_at) select gen_random_uuid(), now(), l.id, l.sample_id, 1, 'current', 'manual', :key, :value, '',"
        " '', 'normal', false, '', '{}', '{}', '', '1', now() from order_lines l join orders o on o.id = l.order_id"
        " join tests t on t.id = l.test_id where o.order_no = :n and t.code = :code",
        key=str(uuid.uuid4()), value=value, n=placed["order_no"], code=code,
    )  # fmt: skip
    await api.execute(
        "update order_lines set state = 'resulted' where order_id = (select id from orders where order_no = :n)",
        n=placed["order_no"],
    )


async def test_results_and_confidential_tests_are_for_clinical_roles(api):
    placed = await api.place("HIV12", "HGB", clinical_notes="needle injury")
    await _with_result(api, placed, "HIV12", "reactive")
    path = f"/v1/orders/{placed['order_no']}"
    for role in ("technician", "pathologist"):
        seen = (await api.staff_as(role).get(path)).json()
        line = next(line for line in seen["lines"] if line["test_code"] == "HIV12")
        assert line["result"]["value"] == "reactive"
        assert seen["clinical_notes"] == "needle injury"
    for role in ("front_desk", "phlebotomist", "billing", "admin", "auditor"):
        answer = await api.staff_as(role).get(path)
        assert "reactive" not in answer.text, role
        assert "HIV" not in answer.text, role
        assert "needle" not in answer.text, role
        assert [line["test_code"] for line in answer.json()["lines"]] == ["***", "HGB"]


async def test_names_are_for_roles_that_read_patients(api):
    placed = await api.place()
    path = f"/v1/orders/{placed['order_no']}"
    assert (await api.staff_as("phlebotomist").get(path)).json()["patient"]["name"] == "Asha Verma"
    for role in ("admin", "auditor"):
        assert "Asha" not in (await api.staff_as(role).get(path)).text
        assert "Asha" not in (await api.staff_as(role).get("/v1/orders")).text


async def test_worklists_hand_samples_on_and_put_the_urgent_first(api):
    routine = await api.place("HIV12")
    urgent = await api.place("HGB", priority="stat")
    phlebotomist = api.staff_as("phlebotomist")
    items = (await phlebotomist.get("/v1/worklists/collection", params={"limit": 200})).json()["items"]
    numbers = [item["order_no"] for item in items]
    assert numbers.index(urgent["order_no"]) < numbers.index(routine["order_no"])
    assert next(item for item in items if item["order_no"] == routine["order_no"])["tests"] == ["***"]
    await api.execute(
        "update samples set state = 'received', received_at = now() where accession_no = :a",
        a=urgent["samples"][0]["accession_no"],
    )
    analysis = (await api.staff_as("technician").get("/v1/worklists/analysis", params={"limit": 200})).json()["items"]
    assert urgent["order_no"] in {item["order_no"] for item in analysis}
    await _with_result(api, urgent, "HGB", "13.2")
    verification = (await api.staff_as("technician").get("/v1/worklists/verification")).json()["items"]
    assert urgent["order_no"] in {item["order_no"] for item in verification}
    first = (await phlebotomist.get("/v1/worklists/collection", params={"limit": 1})).json()
    second = (
        await phlebotomist.get("/v1/worklists/collection", params={"limit": 1, "cursor": first["next_cursor"]})
    ).json()
    assert first["items"] != second["items"]


async def _with_report(api, placed, content, *, is_confidential=False, state="issued", version=1):
    digest, key = hashlib.sha256(content).hexdigest(), f"reports/{uuid.uuid4()}/v1"
    api.documents.objects[key] = content
    token = uuid.uuid4().hex
    report_id = uuid.uuid4()
    await api.execute(
        "insert into reports (id, created_at, order_id, branch_id, report_no, version, state, bucket, object_key,"
        " object_version, sha256, size_bytes, check_token, is_confidential, issued_at, signed_by)"
        " select :id, now(), o.id, o.branch_id, o.order_no, :version, :state, 'b', :key, '', :sha, :size, :token,"
        " :confidential, now(), u.id from orders o, users u where o.order_no = :n and u.username = 'pathologist'",
        id=report_id, version=version, state=state, key=key, sha=digest, size=len(content), token=token,
        confidential=is_confidential, n=placed["order_no"],
    )  # fmt: skip
    return report_id, token


async def test_the_report_is_fetched_once_and_then_known(api):
    placed = await api.place()
    path = f"/v1/orders/{placed['order_no']}/report"
    desk = api.staff_as("front_desk")
    missing = await desk.get(path)
    assert missing.status_code == 404
    assert missing.json()["code"] == "REPORT_NOT_ISSUED"
    await _with_report(api, placed, b"%PDF-1.7 report")
    answer = await desk.get(path)
    assert answer.content == b"%PDF-1.7 report"
    assert answer.headers["content-type"] == "application/pdf"
    assert answer.headers["ETag"] == f'"{hashlib.sha256(answer.content).hexdigest()}"'
    known = await desk.get(path, headers={"If-None-Match": answer.headers["ETag"]})
    assert known.status_code == 304
    link = (await desk.get(path, params={"link": "true"})).json()
    assert link["url"].startswith("https://objects.example/reports/")
    assert link["expires_in"] == 300


async def test_a_lost_document_is_a_partner_problem_not_a_crash(api):
    placed = await api.place()
    await _with_report(api, placed, b"%PDF lost")
    api.documents.objects.clear()
    answer = await api.staff_as("front_desk").get(f"/v1/orders/{placed['order_no']}/report")
    assert answer.status_code == 502
    assert answer.json()["code"] == "PARTNER_REJECTED"


async def test_text_that_cannot_be_stored_is_refused_politely(api):
    body = {"branch": "DEL", "name": "Nul\x00ity", "sex": "male", "age_years": 3}
    answer = await api.staff_as("front_desk").post("/v1/patients", body)
    assert answer.status_code == 422
    assert answer.json()["code"] == "TEXT_NOT_STORABLE"
    answer = await api.staff_as("technician").get("/v1/orders", params={"q": "a\x00b"})
    assert answer.status_code == 422


async def test_bills_are_read_by_those_who_may(api):
    placed = await api.place("HGB", payer="GRAMCARE")
    number = placed["invoices"][0]["document_no"]
    billing = api.staff_as("billing")
    listed = (await billing.get(f"/v1/orders/{placed['order_no']}/invoices")).json()["items"]
    assert [item["document_no"] for item in listed] == [number]
    assert listed[0]["payer_code"] == "GRAMCARE"
    assert listed[0]["balance_paise"] == listed[0]["total_paise"]
    one = (await billing.get(f"/v1/invoices/{number}")).json()
    assert one == listed[0]
    assert one["lines"][0]["quantity"] == 1


@pytest.mark.parametrize("key", ["99999999999:019aaaaa-0000-7000-8000-000000000001", "9" * 60])
async def test_a_number_out_of_range_in_a_cursor_is_a_wrong_request(api, key):
    placed = await api.place()
    cursor = cursor_of(key)
    for path in ("/v1/worklists/verification", f"/v1/orders/{placed['order_no']}/timeline"):
        answer = await api.staff_as("technician").get(path, params={"cursor": cursor})
        assert answer.status_code in {400, 422}, f"{path}: {answer.text}"
