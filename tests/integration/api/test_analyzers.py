"""Entering devices, changing them, and their profile versions."""

import asyncio
import json

import yaml

DEVICE = {
    "code": "XL-9",
    "name": "Chemistry, second floor",
    "branch": "DEL",
    "model": "mindray_bs",
    "peers": ["10.1.0.9"],
}
MESSAGE = b"H|\\^&|||Unit\rP|1\rO|1|%s|S9|^^^GLU|R\rR|1|^^^GLU|5,4|mg/dL||N||F\rL|1|N\r"


async def _audit(api, action):
    rows = await api.execute("select body from audit_entries where action = :a order by seq", a=action)
    return [json.loads(row.body) for row in rows]


async def _push(api, analyzer, body):
    answer = await api.client.post(
        f"/connectors/astm/{analyzer}", content=body, headers={"X-Api-Key": api.lab.api_keys[analyzer]}
    )
    return answer.json()["stored"][0]


async def test_a_device_is_entered_with_its_models_profile_and_proposals(api):
    admin = api.staff_as("admin")
    answer = await admin.post("/v1/analyzers", DEVICE)
    assert answer.status_code == 201, answer.text
    assert answer.headers["location"] == "/v1/analyzers/XL-9"
    assert answer.json()["warnings"] == ["no confirmed test code: its results wait as unmapped"]
    versions = (await admin.get("/v1/analyzers/XL-9/profiles")).json()["items"]
    assert [(one["version"], one["is_in_force"], one["created_by"]) for one in versions] == [(1, True, "admin")]
    assert versions[0]["profile"]["specimen_fields"] == ["O.4.1"]
    states = await api.execute(
        "select distinct m.state, m.origin from device_mappings m join analyzers a on a.id = m.analyzer_id"
        " where a.code = 'XL-9'"
    )
    assert [tuple(row) for row in states] == [("proposed", "model")]
    assert (await _audit(api, "analyzer.added"))[-1]["branch"] == "DEL"


async def test_two_devices_that_cannot_be_told_apart_are_refused(api):
    admin = api.staff_as("admin")
    other = {**DEVICE, "code": "XL-10"}
    same_address = await admin.post("/v1/analyzers", other)
    assert (same_address.status_code, same_address.json()["code"]) == (409, "ANALYZER_ADDRESS_TAKEN")
    assert same_address.json()["context"] == {"analyzer": "XL-9"}
    serial = {**other, "peers": [], "transport": {"kind": "serial", "device": "/dev/ttyS3"}}
    assert (await admin.post("/v1/analyzers", serial)).status_code == 201
    again = await admin.post("/v1/analyzers", {**serial, "code": "XL-11"})
    assert again.json()["code"] == "ANALYZER_SERIAL_PORT_TAKEN"
    port = {**other, "code": "XL-12", "peers": [], "transport": {"kind": "tcp_server", "port": 7001}}
    assert (await admin.post("/v1/analyzers", port)).status_code == 201
    assert (await admin.post("/v1/analyzers", {**port, "code": "XL-13"})).json()["code"] == "ANALYZER_PORT_TAKEN"
    taken = {**port, "code": "XL-14", "transport": {"kind": "tcp_server", "port": 6661}}
    assert (await admin.post("/v1/analyzers", taken)).json()["code"] == "ANALYZER_PORT_TAKEN"
    code = await admin.post("/v1/analyzers", {**DEVICE, "peers": ["10.1.0.77"]})
    assert code.json()["code"] == "ANALYZER_CODE_TAKEN"


async def test_wrong_members_say_what_to_write(api):
    admin = api.staff_as("admin")
    cases = {
        "write an IP address": {**DEVICE, "code": "W-1", "peers": ["analyzer.local"]},
        "choose one of": {**DEVICE, "code": "W-1", "model": "nothing"},
        "pattern": {**DEVICE, "code": "w 1"},
    }
    for words, body in cases.items():
        answer = await admin.post("/v1/analyzers", body)
        assert answer.status_code == 422
        assert words in answer.json()["findings"][0]["what"]
    unfit = await admin.post("/v1/analyzers", {**DEVICE, "code": "W-1", "peers": [], "protocol": "au"})
    assert (unfit.status_code, unfit.json()["code"]) == (422, "ANALYZER_TRANSPORT_UNFIT")
    path = {**DEVICE, "code": "W-1", "transport": {"kind": "folder", "path": "in/../../etc"}}
    assert (await admin.post("/v1/analyzers", path)).json()["code"] == "ANALYZER_TRANSPORT_UNFIT"


async def test_a_change_with_an_old_etag_is_refused(api):
    admin = api.staff_as("admin")
    read = await admin.get("/v1/analyzers/XL-9")
    tag = read.headers["etag"]
    assert (await admin.get("/v1/analyzers/XL-9", headers={"If-None-Match": tag})).status_code == 304
    changed = await admin.post("/v1/analyzers/XL-9", {"silent_after_minutes": 45}, **{"If-Match": tag})
    assert (changed.status_code, changed.json()["silent_after_minutes"]) == (200, 45)
    late = await admin.post("/v1/analyzers/XL-9", {"name": "Too late"}, **{"If-Match": tag})
    assert (late.status_code, late.json()["code"]) == (412, "CHANGED_MEANWHILE")
    cleared = await admin.post("/v1/analyzers/XL-9", {"silent_after_minutes": None, "is_active": False})
    assert (cleared.json()["silent_after_minutes"], cleared.json()["is_active"]) == (None, False)
    assert (await admin.post("/v1/analyzers/XL-9", {"is_active": True})).json()["name"] == DEVICE["name"]
    assert (await _audit(api, "analyzer.changed"))[-1]["active"] is True


async def test_another_protocol_starts_a_version_and_keeps_the_mappings(api):
    admin = api.staff_as("admin")
    count = "select count(*) as n from device_mappings m join analyzers a on a.id = m.analyzer_id where a.code = 'XL-9'"
    before = (await api.execute(count))[0].n
    changed = (await admin.post("/v1/analyzers/XL-9", {"protocol": "hl7"})).json()
    assert (changed["protocol"], changed["profile_version"]) == ("hl7", 2)
    assert (await api.execute(count))[0].n == before > 0
    back = await admin.post("/v1/analyzers/XL-9/profiles/1/activate")
    assert back.json() == {"analyzer": "XL-9", "version": 1, "was_version": 2, "waiting_messages": 0}
    assert (await admin.get("/v1/analyzers/XL-9")).json()["protocol"] == "astm"


async def test_a_draft_is_tried_activated_and_rolled_back(api):
    admin = api.staff_as("admin")
    message = await _push(api, "XN-1", MESSAGE % b"4711")
    draft = await admin.post(
        "/v1/analyzers/XN-1/profiles",
        {"profile": "protocol: astm\nspecimen_fields: [O.4.1]\ndecimal_comma: true\n", "note": "barcode in O.4"},
    )
    assert draft.status_code == 201, draft.text
    version = draft.json()["version"]
    path = f"/v1/analyzers/XN-1/profiles/{version}/trial"
    trial = (await admin.get(path, params={"message_id": message})).json()
    assert (trial["tried"], trial["changed"], trial["in_force"]) == (1, 1, version - 1)
    changes = {one["what"]: (one["before"], one["after"]) for one in trial["messages"][0]["changes"]}
    assert changes["specimen"] == ("4711", "S9")
    assert changes["value"] == ("•••", "•••"), "an administrator sees no values"
    assert (await admin.get(path, params={"last": 5})).json()["tried"] >= 1
    assert (await admin.get("/v1/analyzers/XN-1")).json()["profile_version"] == version - 1, "a trial changes nothing"

    done = await admin.post(f"/v1/analyzers/XN-1/profiles/{version}/activate")
    assert done.json()["version"] == version
    assert (await _audit(api, "analyzer_profile.activated"))[-1] == {"version": version, "was": version - 1}
    stored = await api.execute("select profile ->> 'decimal_comma' as comma from analyzers where code = 'XN-1'")
    assert stored[0].comma == "true"
    await admin.post(f"/v1/analyzers/XN-1/profiles/{version - 1}/activate")
    stored = await api.execute("select profile_version, profile from analyzers where code = 'XN-1'")
    assert (stored[0].profile_version, stored[0].profile["specimen_fields"]) == (version - 1, ["O.4.3", "O.3.1"])


async def test_a_wrong_draft_names_the_place(api):
    admin = api.staff_as("admin")
    for profile, place in (
        ({"protocol": "astm", "specimen_fields": ["nonsense"]}, "specimen_fields.0"),
        ("protocol: [", "neither YAML nor JSON"),
        ("a: &a {}\nb: *a\n", "aliases"),
        ({"protocol": "astm", "surprise": 1}, "surprise"),
    ):
        answer = await admin.post("/v1/analyzers/XN-1/profiles", {"profile": profile})
        assert (answer.status_code, answer.json()["code"]) == (400, "DEVICE_DOCUMENT_INVALID")
        assert place in answer.json()["detail"]
    unknown = await admin.post("/v1/analyzers/XN-1/profiles", {"model": "nothing"})
    assert (unknown.status_code, unknown.json()["code"]) == (404, "MODEL_UNKNOWN")
    assert (await admin.post("/v1/analyzers/XN-1/profiles/99/activate")).json()["code"] == "PROFILE_VERSION_UNKNOWN"
    both = await admin.post("/v1/analyzers/XN-1/profiles", {})
    assert both.status_code == 422


async def test_a_device_travels_to_another_branch_as_drafts_and_proposals(api):
    admin = api.staff_as("admin")
    for form, load in (("yaml", yaml.safe_load), ("json", json.loads)):
        text = (await admin.get("/v1/analyzers/BS-1/export", params={"format": form})).text
        document = load(text)
        assert (document["kind"], document["model"]) == ("labsetu.device", "mindray_bs")
        assert {"device_code": "SGPT", "test": "ALT", "unit": "U/L", "factor": ""} in document["mappings"]
    await api.execute(
        "update device_mappings m set device_code = 'until last year' from analyzers a"
        " where a.id = m.analyzer_id and a.code = 'BS-2' and m.device_code = 'SGPT'"
    )
    before = (await admin.get("/v1/analyzers/BS-2")).json()
    answer = await admin.post("/v1/analyzers/BS-2/import", {"document": text})
    assert answer.status_code == 201, answer.text
    assert "SGPT" in answer.json()["proposed"]
    after = (await admin.get("/v1/analyzers/BS-2")).json()
    assert (after["profile_version"], after["transport"]) == (before["profile_version"], before["transport"])
    states = await api.execute(
        "select distinct m.state from device_mappings m join analyzers a on a.id = m.analyzer_id where a.code = 'BS-2'"
        " and m.device_code = 'SGPT'"
    )
    assert [row.state for row in states] == ["proposed"]
    again = (await admin.post("/v1/analyzers/BS-2/import", {"document": text})).json()
    assert again["proposed"] == []
    assert "SGPT" in again["left_out"]


async def test_an_export_names_no_machine(api):
    admin = api.staff_as("admin")
    body = {
        **DEVICE, "code": "OUT-1", "peers": ["10.1.0.55"],
        "transport": {"kind": "tcp_client", "host": "analyzer.internal", "port": 5000},
    }  # fmt: skip
    assert (await admin.post("/v1/analyzers", body)).status_code == 201
    document = yaml.safe_load((await admin.get("/v1/analyzers/OUT-1/export")).text)
    assert document["transport"]["kind"] == "tcp_client"
    assert "analyzer.internal" not in str(document)
    assert "10.1.0.55" not in str(document)


async def test_two_people_who_enter_one_device_at_once(api):
    admin = api.staff_as("admin")
    bodies = [{**DEVICE, "code": f"RACE-{n}", "peers": ["10.1.0.200"]} for n in range(4)]
    answers = await asyncio.gather(*(admin.post("/v1/analyzers", body) for body in bodies))
    assert sorted(answer.status_code for answer in answers) == [201, 409, 409, 409]
    assert {answer.json().get("code") for answer in answers if answer.status_code == 409} == {"ANALYZER_ADDRESS_TAKEN"}


async def test_two_drafts_at_once_get_two_numbers(api):
    admin = api.staff_as("admin")
    bodies = [{"profile": {"protocol": "astm", "utc_offset_minutes": 60 * n}} for n in range(4)]
    answers = await asyncio.gather(*(admin.post("/v1/analyzers/BC-1/profiles", body) for body in bodies))
    versions = sorted(answer.json()["version"] for answer in answers)
    assert versions == list(range(versions[0], versions[0] + 4))


async def test_a_version_of_a_protocol_whose_address_is_taken_is_not_put_in_force(api):
    """BC-1 (HL7) and BS-1 (ASTM) share an address: as ASTM, BC-1 could not be told from BS-1."""
    admin = api.staff_as("admin")
    draft = (await admin.post("/v1/analyzers/BC-1/profiles", {"profile": {"protocol": "astm"}})).json()
    refused = await admin.post(f"/v1/analyzers/BC-1/profiles/{draft['version']}/activate")
    assert (refused.status_code, refused.json()["code"]) == (409, "ANALYZER_ADDRESS_TAKEN")
    assert (await admin.get("/v1/analyzers/BC-1")).json()["protocol"] == "hl7"


async def test_a_device_moves_to_another_branch_of_the_same_administrator(api):
    admin = api.staff_as("admin")
    body = {**DEVICE, "code": "MOVE-1", "peers": ["10.1.0.201"]}
    assert (await admin.post("/v1/analyzers", body)).status_code == 201
    moved = await admin.post("/v1/analyzers/MOVE-1", {"branch": "BLR"})
    assert moved.json()["branch_code"] == "BLR"
    unknown = await admin.post("/v1/analyzers/MOVE-1", {"branch": "XXX"})
    assert (unknown.status_code, unknown.json()["code"]) == (403, "BRANCH_NOT_PERMITTED")


async def test_a_repeated_change_is_done_once_and_audited_once(api):
    admin = api.staff_as("admin")
    before = len(await _audit(api, "analyzer.changed"))
    for _ in range(3):
        answer = await admin.post("/v1/analyzers/BS-1", {"silent_after_minutes": 30}, key="the-same-change")
        assert answer.json()["silent_after_minutes"] == 30
    assert len(await _audit(api, "analyzer.changed")) == before + 1


async def test_activating_what_is_in_force_changes_nothing(api):
    admin = api.staff_as("admin")
    before = len(await _audit(api, "analyzer_profile.activated"))
    answer = await admin.post("/v1/analyzers/BS-1/profiles/1/activate")
    assert (answer.status_code, answer.json()["was_version"]) == (200, 1)
    assert len(await _audit(api, "analyzer_profile.activated")) == before
