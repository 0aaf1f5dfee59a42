"""Device work over HTTP: what staff see of the queue and of queries, and what they may do."""

import uuid

import pytest
from sqlmodel import select

from domain.clock import utc_now
from domain.enums import DeviceWorkState
from store.device_work_lists import AnsweredQuery, keep_queries
from store.tables.devices import DeviceWorkItem
from store.tables.orders import Sample
from store.tables.results import Analyzer


@pytest.fixture
async def entry(api):
    """Queue new work of a fresh order for a device of DEL; return order and entry id."""

    async def queued(state: DeviceWorkState = DeviceWorkState.WAITING, device: str = "BC-1", **more):
        placed = await api.place()
        async with api.database.transaction() as session:
            number = placed["samples"][0]["accession_no"]
            sample = (await session.exec(select(Sample).where(Sample.accession_no == number))).one()
            analyzer = (await session.exec(select(Analyzer.id).where(Analyzer.code == device))).one()
            item = DeviceWorkItem(
                analyzer_id=analyzer, order_id=sample.order_id, sample_id=sample.id, action="new", codes=["HGB"],
                state=state, not_before=utc_now(), **more,
            )  # fmt: skip
            session.add(item)
        return placed, str(item.id)

    return queued


async def listed(api, who="technician", **params):
    answer = await api.staff_as(who).get("/v1/device-work", params=params)
    assert answer.status_code == 200, answer.text
    return answer.json()


async def test_the_queue_is_listed_with_what_became_of_it(api, entry):
    placed, work_id = await entry(DeviceWorkState.REFUSED, attempts=1, note="no reagent")
    (item,) = (await listed(api, order_no=placed["order_no"]))["items"]
    assert item["id"] == work_id
    assert (item["analyzer"], item["branch_code"], item["order_no"]) == ("BC-1", "DEL", placed["order_no"])
    assert (item["action"], item["state"], item["codes"]) == ("new", "refused", ["HGB"])
    assert (item["attempts"], item["note"], item["is_being_sent"]) == (1, "no reagent", False)
    assert item["accession_no"] == placed["samples"][0]["accession_no"]
    assert {"patient_name", "patient_no"} & set(item) == set()


async def test_the_list_is_narrowed_and_paged(api, entry):
    _, first = await entry(DeviceWorkState.REFUSED, "BS-1")
    _, second = await entry(DeviceWorkState.REFUSED, "BS-1")
    await entry(DeviceWorkState.ACCEPTED, "BS-1")
    page = await listed(api, analyzer="BS-1", state="refused", limit=1)
    assert [item["id"] for item in page["items"]] == [second]
    rest = await listed(api, analyzer="BS-1", state="refused", cursor=page["next_cursor"])
    assert [item["id"] for item in rest["items"]] == [first]
    assert rest["next_cursor"] is None
    answer = await api.staff_as("technician").get("/v1/device-work", params={"state": "lost"})
    assert answer.status_code == 422


async def test_codes_are_shown_only_to_those_who_may_see_results(api, entry):
    placed, _ = await entry()
    (seen,) = (await listed(api, "technician", order_no=placed["order_no"]))["items"]
    (hidden,) = (await listed(api, "admin", order_no=placed["order_no"]))["items"]
    assert seen["codes"] == ["HGB"]
    assert hidden["codes"] is None


async def test_refused_work_is_sent_again(api, entry):
    placed, work_id = await entry(DeviceWorkState.REFUSED, attempts=3, note="no reagent", settled_at=utc_now())
    await api.execute(
        "update orders set attention = '{DeviceWork:BC-1,EInvoice:generate_irn}' where order_no = :n",
        n=placed["order_no"],
    )
    answer = await api.staff_as("technician").post(f"/v1/device-work/{work_id}/resend")
    assert answer.status_code == 200
    item = answer.json()
    assert (item["state"], item["attempts"], item["note"], item["settled_at"]) == ("waiting", 0, "", None)
    (order,) = await api.execute("select attention from orders where order_no = :n", n=placed["order_no"])
    assert order.attention == ["EInvoice:generate_irn"]
    timeline = (await api.staff_as("technician").get(f"/v1/orders/{placed['order_no']}/timeline")).json()["items"]
    event = next(event for event in timeline if event["kind"] == "device_work_resent")
    assert event["actor"] == "technician"
    (audited,) = await api.execute("select actor, action, body from audit_entries where object_id = :id", id=work_id)
    assert (audited.actor, audited.action) == ("technician", "device_work.resent")
    assert placed["order_no"] in audited.body


async def test_waiting_work_is_withdrawn_with_a_reason(api, entry):
    _, work_id = await entry()
    client = api.staff_as("technician")
    refused = await client.post(f"/v1/device-work/{work_id}/withdraw", {"reason": " "})
    assert refused.status_code == 422
    answer = await client.post(f"/v1/device-work/{work_id}/withdraw", {"reason": "done by hand"})
    assert (answer.json()["state"], answer.json()["note"]) == ("withdrawn", "done by hand")
    again = await client.post(f"/v1/device-work/{work_id}/withdraw", {"reason": "done by hand"})
    assert (again.status_code, again.json()["code"]) == (409, "DEVICE_WORK_NOT_WITHDRAWABLE")
    resent = await client.post(f"/v1/device-work/{work_id}/resend")
    assert (resent.status_code, resent.json()["code"]) == (409, "DEVICE_WORK_NOT_RESENDABLE")


async def test_unknown_work_is_not_found(api):
    answer = await api.staff_as("technician").post(f"/v1/device-work/{uuid.uuid4()}/resend")
    assert (answer.status_code, answer.json()["code"]) == (404, "DEVICE_WORK_UNKNOWN")


async def test_queries_are_listed_with_their_latency(api, superuser):
    async with api.database.transaction() as session:
        ids = dict((await session.exec(select(Analyzer.code, Analyzer.id))).all())
    asked = [("XN-1", 1, 3.25), ("XN-1", -1, 2000.0), ("BS-2", 1, 7.0)]
    rows = [AnsweredQuery(ids[code], ("261123000015",), found, ms, utc_now()) for code, found, ms in asked]
    await keep_queries(superuser, rows)
    client = api.staff_as("technician")
    items = (await client.get("/v1/device-queries", params={"analyzer": "XN-1"})).json()["items"]
    found = {(item["found"], item["is_answered"], item["elapsed_ms"]) for item in items}
    assert found == {(1, True, "3.250"), (0, False, "2000.000")}
    assert items[0]["specimen_ids"] == ["261123000015"]
    assert (await client.get("/v1/device-queries", params={"analyzer": "BS-2"})).json()["items"] == []
    (row,) = (await client.get("/v1/device-queries/latency", params={"hours": 1})).json()["items"]
    assert (row["analyzer"], row["queries"], row["unanswered"], row["max_ms"]) == ("XN-1", 2, 1, "2000.000")
    both = (await api.staff_as("admin").get("/v1/device-queries/latency")).json()["items"]
    assert [row["analyzer"] for row in both] == ["BS-2", "XN-1"]


async def test_a_rerun_is_a_command_of_the_order(api):
    placed = await api.place("HGB")
    number = placed["samples"][0]["accession_no"]
    path = f"/v1/orders/{placed['order_no']}/samples/{number}/rerun"
    answer = await api.staff_as("technician").post(path, {"test_codes": ["HGB"], "reason": "clot seen"})
    assert answer.status_code == 200, answer.text
    assert (answer.json()["kind"], answer.json()["state"]) == ("rerun_tests", "applied")
    sent = api.gateway.sent[-1]
    assert sent.payload == {
        "accession_no": number, "test_codes": ["HGB"], "reason": "clot seen", "order_no": placed["order_no"],
    }  # fmt: skip
    assert sent.workflow_id.startswith("order:")


@pytest.mark.parametrize("codes", [[], ["HGB", "HGB"], ["no such form!"], "HGB"])
async def test_a_rerun_of_nonsense_is_refused(api, codes):
    placed = await api.place("HGB")
    number = placed["samples"][0]["accession_no"]
    client = api.staff_as("technician")
    answer = await client.post(f"/v1/orders/{placed['order_no']}/samples/{number}/rerun", {"test_codes": codes})
    assert (answer.status_code, answer.json()["code"]) == (422, "REQUEST_INVALID")
    answer = await client.post(f"/v1/orders/{placed['order_no']}/samples/12/rerun", {"test_codes": ["HGB"]})
    assert answer.status_code == 422
