"""Analyzers and middleware that post over HTTP, and the messages as staff sees them."""

import hashlib

import pytest

ORU = (
    b"MSH|^~\\&|BC|LAB|||20261123100000||ORU^R01|42|P|2.3.1\rPID|1\rOBR|1||261123000017\rOBX|1|NM|WBC^WBC||7.1|10*9/L\r"
)
RESULT = b"H|\\^&|||XN\rP|1\rO|1|261123000017\rR|1|^^^^WBC|7.1|10*3/uL||N||F\rL|1|N\r"


async def _post(api, analyzer, protocol, body, key=None):
    headers = {"X-Api-Key": api.lab.api_keys[analyzer] if key is None else key}
    return await api.client.post(f"/connectors/{protocol}/{analyzer}", content=body, headers=headers)


async def _stored(api, sha):
    return await api.execute(
        "select raw, state, transport, peer, protocol from instrument_messages where sha256 = :s", s=sha
    )


async def test_an_hl7_message_is_stored_then_acknowledged_in_hl7(api):
    answer = await _post(api, "BC-1", "hl7", ORU)
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("application/hl7-v2")
    assert b"MSA|AA|42" in answer.content
    (row,) = await _stored(api, hashlib.sha256(ORU).hexdigest())
    assert row.raw == ORU
    assert (row.state, row.transport, row.protocol, row.peer) == ("received", "http", "hl7", "192.0.2.1")


async def test_an_astm_message_is_stored_then_receipted(api):
    answer = await _post(api, "XN-1", "astm", RESULT)
    assert answer.status_code == 200
    assert len(answer.json()["stored"]) == 1
    assert len(await _stored(api, hashlib.sha256(RESULT).hexdigest())) == 1


async def test_each_message_of_a_batch_is_stored_on_its_own(api):
    answer = await _post(api, "BC-1", "hl7", ORU.replace(b"|42|", b"|43|") + ORU.replace(b"|42|", b"|44|"))
    assert answer.content.count(b"MSA|AA|") == 2
    answer = await _post(api, "XN-1", "astm", (RESULT * 3).replace(b"7.1", b"7.3"))
    assert len(answer.json()["stored"]) == 3


@pytest.mark.parametrize("key", ["", "wrong", "é"])
async def test_a_wrong_key_stores_nothing(api, key):
    before = await api.execute("select count(*) from instrument_messages")
    answer = await api.client.post(
        "/connectors/hl7/BC-1", content=ORU, headers={b"X-Api-Key": key.encode("latin-1")} if key else {}
    )
    assert answer.status_code == 401
    assert answer.json()["code"] == "API_KEY_INVALID"
    assert await api.execute("select count(*) from instrument_messages") == before


async def test_a_key_is_good_for_its_own_analyzer_and_protocol(api):
    assert (await _post(api, "BC-1", "hl7", ORU, key=api.lab.api_keys["XN-1"])).status_code == 401
    mismatch = await _post(api, "XN-1", "hl7", ORU)
    assert mismatch.status_code == 409
    assert mismatch.json()["code"] == "PROTOCOL_MISMATCH"


async def test_a_broken_frame_is_kept_whole(api):
    body = b"\x021H|\\^&\r\x0300\r\n"
    answer = await _post(api, "XN-1", "astm", body)
    assert answer.status_code == 200
    row = (
        await api.execute(
            "select raw, framing_error from instrument_messages where sha256 = :s", s=hashlib.sha256(body).hexdigest()
        )
    )[0]
    assert row.raw == body
    assert row.framing_error == "FRAME_INVALID"


async def test_nothing_and_too_much_are_refused(api):
    assert (await _post(api, "BC-1", "hl7", b"")).json()["code"] == "MESSAGE_EMPTY"
    assert (await _post(api, "BC-1", "hl7", b"MSH" + b"x" * 40_000)).status_code == 413
    many = await _post(api, "BC-1", "hl7", b"MSH|^~\\&|\r" * 501)
    assert many.json()["code"] == "MESSAGES_TOO_MANY"


async def test_staff_reads_a_message_raw_and_parsed_and_has_it_read_again(api):
    body = ORU.replace(b"|42|", b"|45|")
    await _post(api, "BC-1", "hl7", body)
    listed = (await api.staff_as("technician").get("/v1/instrument-messages", params={"analyzer": "BC-1"})).json()
    message = listed["items"][0]
    assert message["state"] == "received"
    path = f"/v1/instrument-messages/{message['id']}"
    shown = (await api.staff_as("technician").get(path)).json()
    assert shown["raw"].encode("latin-1") == body
    assert shown["parse_error"] == ""
    assert "261123000017" in str(shown["parsed"])
    for_admin = (await api.staff_as("admin").get(path)).json()
    assert for_admin["raw"] is None
    assert for_admin["parsed"] is None
    early = await api.staff_as("technician").post(f"{path}/reprocess")
    assert early.status_code == 409
    assert early.json()["code"] == "MESSAGE_NOT_REOPENABLE"
    await api.execute(
        "update instrument_messages set state = 'unmatched', reason = 'NO_SAMPLE' where id = :i", i=message["id"]
    )
    unmatched = (await api.staff_as("technician").get("/v1/worklists/unmatched")).json()["items"]
    assert message["id"] in {item["id"] for item in unmatched}
    again = await api.staff_as("technician").post(f"{path}/reprocess")
    assert again.json()["state"] == "received"
    (row,) = await api.execute("select state, reason from instrument_messages where id = :i", i=message["id"])
    assert (row.state, row.reason) == ("received", "")
    audit = await api.execute("select actor from audit_entries where action = 'message.reprocessed'")
    assert audit[0].actor == "technician"


async def test_hostile_bytes_are_shown_as_unreadable(api):
    body = b"MSH\xff\xfe\x00"
    await _post(api, "BC-1", "hl7", body)
    listed = (
        await api.staff_as("technician").get("/v1/instrument-messages", params={"analyzer": "BC-1", "limit": 1})
    ).json()
    shown = (await api.staff_as("technician").get(f"/v1/instrument-messages/{listed['items'][0]['id']}")).json()
    assert shown["parsed"] is None
    assert shown["parse_error"]


async def test_a_new_key_works_and_the_old_ones_can_be_revoked(api):
    made = await api.staff_as("admin").post(
        "/v1/analyzers/XN-1/keys", {"name": "new middleware", "revokes_others": True}
    )
    key = made.json()["key"]
    assert made.status_code == 201
    assert (await _post(api, "XN-1", "astm", RESULT, key=key)).status_code == 200
    assert (await _post(api, "XN-1", "astm", RESULT)).status_code == 401
    rows = await api.execute("select key_hash from api_keys")
    assert key not in {row.key_hash for row in rows}
    answers = await api.execute("select cast(body as text) as body from idempotent_requests")
    assert not any(key in row.body for row in answers)
