"""Mappings and the exception queue as staff works with them: propose, confirm by two, rehearse, read again, assign."""

import base64

import pytest

from connectors.astm.codec import build_message
from inbox.instruments import interpret
from store.tables.results import InstrumentMessage
from tests.unit.rules.test_workbook import workbook

ANALYZER = "BS-1"


async def send(api, barcode: str, *rows: tuple[str, str, str], at: str = "20261123090000") -> str:
    """Post a message of BS-1 and read it as the dispatcher does; return its id."""
    records = [["H", "", "", ("Mindry", "", ""), *[""] * 6, "PR", "1394-97", at], ["P", "1"]]
    records.append(["O", "1", "1^1^1", barcode, "", "R", at, at, "", "", "", "", *[""] * 13, "F"])
    for number, (code, value, unit) in enumerate(rows, start=1):
        records.append(["R", str(number), (code, code, "", "F"), (value, ""), unit, "", "", "", "F", "", "0", at, at])
    answer = await api.client.post(
        f"/connectors/astm/{ANALYZER}",
        content=build_message([*records, ["L", "1", "N"]]),
        headers={"X-Api-Key": api.lab.api_keys[ANALYZER]},
    )
    message_id = answer.json()["stored"][0]
    await read_all(api)
    return message_id


async def read_all(api) -> None:
    waiting = await api.execute("select id from instrument_messages where state = 'received' order by id")
    for row in waiting:
        async with api.database.transaction() as session:
            await interpret(session, await session.get_one(InstrumentMessage, row.id, with_for_update=True))


async def tube(api, *codes: str) -> tuple[str, str]:
    """Return number and barcode of an order whose tube is in the laboratory."""
    placed = await api.place(*codes)
    await api.execute(
        "update samples set state = 'received', collected_at = now(), received_at = now() where order_id ="
        " (select id from orders where order_no = :n)",
        n=placed["order_no"],
    )
    return placed["order_no"], placed["samples"][0]["accession_no"]


async def waiting(api, message_id: str, kind: str) -> dict:
    listed = await api.staff_as("technician").get(
        "/v1/instrument-exceptions", params={"kind": kind, "state": "open", "analyzer": ANALYZER}
    )
    (found,) = [item for item in listed.json()["items"] if item["message_id"] == message_id]
    return found


async def results(api, order_no: str) -> list[str]:
    rows = await api.execute(
        "select r.value_text from results r join order_lines l on l.id = r.order_line_id join orders o on"
        " o.id = l.order_id where o.order_no = :n and r.state = 'current'",
        n=order_no,
    )
    return [row.value_text for row in rows]


async def test_a_code_is_mapped_by_two_persons_and_its_messages_are_read_again(api):
    order_no, barcode = await tube(api, "CREA")
    message_id = await send(api, barcode, ("SGPX", "88.4", "umol/L"))
    technician, colleague = api.staff_as("technician"), api.staff_as("senior_technician")
    unmapped = (await technician.get(f"/v1/analyzers/{ANALYZER}/unmapped-codes")).json()["items"]
    assert unmapped == [
        {
            "device_code": "SGPX", "messages": 1, "suggestions": [],
            "recent": [{"value": "88.4", "unit": "umol/L"}],
        }
    ]  # fmt: skip
    path = f"/v1/analyzers/{ANALYZER}/mappings"
    body = {"device_code": "SGPX", "test_code": "CREA", "unit": "umol/L"}
    assert (await technician.post(path, body)).json()["code"] == "MAPPING_FACTOR_REFUSED"
    assert (await technician.post(path, {**body, "unit": "%"})).json()["code"] == "MAPPING_UNIT_REFUSED"
    proposed = await technician.post(path, {**body, "factor": "0.0113"})
    assert proposed.status_code == 201
    shown = proposed.json()
    assert (shown["state"], shown["origin"], shown["proposed_by"], shown["unit_relation"]) == (
        "proposed", "person", "technician", "by_analyte",
    )  # fmt: skip
    assert (await technician.post(path, body | {"factor": "1"})).json()["code"] == "MAPPING_EXISTS"
    confirm = f"/v1/mappings/{shown['id']}/confirm"
    refused = await technician.post(confirm, {})
    assert (refused.status_code, refused.json()["code"]) == (403, "MAPPING_SELF_CONFIRMED")
    confirmed = (await colleague.post(confirm, {"reason": "screen and leaflet"})).json()
    assert (confirmed["mapping"]["state"], confirmed["mapping"]["confirmed_by"]) == ("confirmed", "senior_technician")
    assert confirmed["replay"] == {
        "dry_run": True, "messages": 1, "results": 1, "placed": {"unmapped_code": 1}, "still_open": {}, "failed": {},
        "remaining": 0, "last": None,
    }  # fmt: skip
    assert await results(api, order_no) == []
    assert (await colleague.post(confirm, {})).json()["code"] == "MAPPING_STATE"
    again = await technician.post("/v1/instrument-exceptions/reprocess", {"code": "SGPX", "dry_run": False})
    assert again.json()["messages"] == 1
    await read_all(api)
    assert await results(api, order_no) == ["0.99892"]
    (state,) = await api.execute("select state from instrument_exceptions where message_id = :m", m=message_id)
    assert state.state == "resolved"
    actions = await api.execute(
        "select action, actor from audit_entries where object_id = :i order by seq", i=shown["id"]
    )
    assert [tuple(row) for row in actions] == [
        ("mapping.proposed", "technician"), ("mapping.confirmed", "senior_technician"),
    ]  # fmt: skip
    listed = (await technician.get(path)).json()["items"]
    (mine,) = [item for item in listed if item["device_code"] == "SGPX"]
    assert mine["recent"] == [{"value": "88.4", "unit": "umol/L"}]
    for_admin = (await api.staff_as("admin").get(path)).json()["items"]
    assert all(item["recent"] == [] for item in for_admin)
    retired = await technician.post(f"/v1/mappings/{shown['id']}/retire", {"reason": "new reagent"})
    assert retired.json()["mapping"]["state"] == "retired"


async def test_the_only_one_who_may_confirms_alone(api):
    await api.execute(
        "insert into device_mappings (id, created_at, analyzer_id, device_code, test_id, unit, state, origin,"
        " proposed_by, target_unit) select gen_random_uuid(), now(), a.id, 'ALONE', t.id, '', 'proposed', 'person',"
        " :u, '' from analyzers a, tests t where a.code = 'BS-2' and t.code = 'CREA'",
        u=api.lab.users["blr_technician"],
    )
    (row,) = await api.execute("select id from device_mappings where device_code = 'ALONE'")
    client = api.staff_as("blr_technician")
    refused = await client.post(f"/v1/mappings/{row.id}/confirm", {})
    assert refused.json()["code"] == "MAPPING_SELF_CONFIRMED"  # the pathologist may
    await api.execute("update users set disabled_at = now() where username = 'pathologist'")
    try:
        assert (await client.post(f"/v1/mappings/{row.id}/confirm", {})).status_code == 200
    finally:
        await api.execute("update users set disabled_at = null where username = 'pathologist'")


async def test_a_vendor_s_file_only_proposes(api):
    content = (
        "Vendor Analyte Code,Vendor Analyte Name,Vendor Result Description,LOINC Code,Property\n"
        "9001,Creatinine,mg/dL,2160-0,MCnc\n9002,HbA1c,%,4548-4,MFr\n9003,Unknown here,mmol/L,14749-6,SCnc\n"
        "9004,White cells,%,6690-2,NCnc\n9005,Creatinine,mg/dL,2160-1,MCnc\n"
    )
    path = f"/v1/analyzers/{ANALYZER}/mappings/import"
    answer = (await api.staff_as("technician").post(path, {"content": content})).json()
    assert answer == {
        "rows": 4, "contradictory": ["9004"],
        "proposed": ["9001 → CREA", "9002 → HBA1C"], "known": 0, "not_offered": ["14749-6"],
        "unusable": ["9005: 2160-1"], "unusable_count": 1,
    }  # fmt: skip
    again = (await api.staff_as("technician").post(path, {"content": content})).json()
    assert (again["proposed"], again["known"]) == ([], 2)
    rows = await api.execute("select distinct state from device_mappings where origin = 'livd'")
    assert [row.state for row in rows] == ["proposed"]
    bad = await api.staff_as("technician").post(path, {"content": "{"})
    assert (bad.status_code, bad.json()["code"]) == (422, "LIVD_INVALID")
    file = base64.b64encode(workbook([line.split(",") for line in content.splitlines()])).decode()
    same = (await api.staff_as("technician").post(path, {"workbook": file})).json()
    assert (same["rows"], same["known"], same["unusable_count"]) == (4, 2, 1)
    for body, code in (
        ({"workbook": file[:400]}, "WORKBOOK_INVALID"), ({"workbook": "?"}, "REQUEST_INVALID"),
        ({"workbook": file, "content": content}, "REQUEST_INVALID"), ({}, "REQUEST_INVALID"),
    ):  # fmt: skip
        refused = await api.staff_as("technician").post(path, body)
        assert (refused.status_code, refused.json()["code"]) == (422, code)


async def test_messages_that_stay_open_do_not_keep_the_others_from_being_read_again(api):
    ids = [await send(api, f"STRAY-{n}", ("CREA", "1", "mg/dL"), at=f"2026112310{n:02}00") for n in range(3)]
    technician, path = api.staff_as("technician"), "/v1/instrument-exceptions/reprocess"
    body = {"kind": "unmatched_specimen", "analyzer": ANALYZER, "dry_run": False, "limit": 1}
    seen, after = [], None
    for _ in range(20):
        answer = (await technician.post(path, {**body, **({"after": after} if after else {})})).json()
        await read_all(api)
        after = answer["last"]
        seen.append(after)
        if not answer["remaining"]:
            break
    assert seen[-1:] == ids[-1:]
    assert len(seen) == len(set(seen)) >= 3
    nothing = (await technician.post(path, {**body, "after": after})).json()
    assert (nothing["messages"], nothing["last"]) == (0, None)


async def test_an_unmatched_specimen_is_shown_assigned_and_its_message_read_again(api):
    order_no, barcode = await tube(api, "CREA")
    message_id = await send(api, "TORN-LABEL", ("CREA", "1.7", "mg/dL"), at="20261123091000")
    found = await waiting(api, message_id, "unmatched_specimen")
    path = f"/v1/instrument-exceptions/{found['id']}"
    context = (await api.staff_as("technician").get(path)).json()["context"]
    assert context["rows"][0]["value"] == "1.7"
    assert "TORN-LABEL" in context["raw"]
    assert (await api.staff_as("admin").get(path)).json()["context"] is None
    technician = api.staff_as("technician")
    wrong = await technician.post(f"{path}/assign", {"accession_no": barcode[:-1] + "x", "reason": "list"})
    assert wrong.json()["code"] == "LABEL_INVALID"
    done = await technician.post(f"{path}/assign", {"accession_no": barcode, "reason": "worklist position 4"})
    assert done.status_code == 200
    assert done.json()["message_state"] == "received"
    await read_all(api)
    assert await results(api, order_no) == ["1.7"]
    closed = await technician.post(f"{path}/dismiss", {"reason": "not needed"})
    assert closed.json()["code"] == "EXCEPTION_CLOSED"
    late = await technician.post(f"{path}/assign", {"accession_no": barcode, "reason": "again"})
    assert late.json()["code"] == "EXCEPTION_NOT_ASSIGNABLE"
    audit = await api.execute("select actor from audit_entries where action = 'specimen.assigned'")
    assert [row.actor for row in audit][-1] == "technician"
    trace = (await technician.get(f"/v1/samples/{barcode}/trace")).json()
    assert any(step["detail"].get("message_id") == message_id for step in trace["steps"])
    assert (await technician.post(f"{path}/unassign", {"reason": ""})).status_code == 422
    undone = await technician.post(f"{path}/unassign", {"reason": "position 5, not 4"})
    assert undone.json() == {"accession_no": barcode, "order_no": order_no, "superseded": ["CREA"], "held": []}
    await read_all(api)
    assert await results(api, order_no) == []
    assert (await waiting(api, message_id, "unmatched_specimen"))["id"] == found["id"]
    twice = await technician.post(f"{path}/unassign", {"reason": "position 5, not 4"})
    assert (twice.status_code, twice.json()["code"]) == (409, "SPECIMEN_NOT_ASSIGNED")
    audit = await api.execute("select body from audit_entries where action = 'specimen.unassigned'")
    assert "position 5" in audit[-1].body


@pytest.mark.parametrize("values", [("1.7", "2.9")])
async def test_specimens_that_nobody_can_tell_apart_are_not_assigned(api, values):
    _, barcode = await tube(api, "CREA")
    rows = [("CREA", value, "mg/dL") for value in values]
    message_id = await send(api, "", *rows, at="20261123092000")
    found = await waiting(api, message_id, "unmatched_specimen")
    refused = await api.staff_as("technician").post(
        f"/v1/instrument-exceptions/{found['id']}/assign", {"accession_no": barcode, "reason": "only tube there"}
    )
    assert (refused.status_code, refused.json()["code"]) == (409, "SPECIMENS_MIXED")


async def test_a_dismissal_names_its_person_and_reason(api):
    message_id = await send(api, "NOBODY", ("CREA", "1", "mg/dL"), at="20261123093000")
    found = await waiting(api, message_id, "unmatched_specimen")
    path = f"/v1/instrument-exceptions/{found['id']}/dismiss"
    assert (await api.staff_as("technician").post(path, {"reason": ""})).status_code == 422
    done = (await api.staff_as("technician").post(path, {"reason": "service technician's test"})).json()
    assert (done["state"], done["closed_by"]) == ("dismissed", "technician")
    assert (await api.staff_as("pathologist").post(path, {"reason": "me too"})).status_code == 403


async def test_files_and_controls_are_listed(api):
    message_id = await send(api, "QC-CHEM-N", ("CREA", "1.21", "mg/dL"), at="20261123094000")
    await api.execute(
        "insert into instrument_files (id, created_at, message_id, analyzer_id, position, specimen_id, code,"
        " media_type, bucket, object_key, sha256, size_bytes) select gen_random_uuid(), now(), m.id, m.analyzer_id, 0,"
        " '', 'WBC', 'image/png', 'labsetu', 'instrument-files/x/v1-0', '00', 12 from instrument_messages m"
        " where m.id = :m",
        m=message_id,
    )
    path = f"/v1/instrument-messages/{message_id}/files"
    (shown,) = (await api.staff_as("technician").get(path)).json()["items"]
    assert shown["link"].startswith("https://objects.example/instrument-files/x/v1-0")
    (hidden,) = (await api.staff_as("admin").get(path)).json()["items"]
    assert hidden["link"] == ""
    controls = await api.staff_as("technician").get(
        f"/v1/analyzers/{ANALYZER}/controls", params={"device_code": "CREA"}
    )
    assert [(item["number"], item["test_code"]) for item in controls.json()["items"]] == [("1.21", "CREA")]
