"""From an unknown device on the shared port to results on an order, over the API alone."""

import uuid

from inbox.instruments import interpret
from store.instrument_messages import keep_message
from store.tables.results import InstrumentMessage

PEER = "10.7.7.7"


def message(barcode, value="13.4"):
    return (
        f"H|\\^&|||Counter 9^1.2|||||||P|1\rP|1\rO|1|3^4|{barcode}|^^^HB|R\r"
        f"R|1|^^^HB|{value}|g/dL||N||F||||20261123101500\rL|1|N\r"
    ).encode()


async def arrive(api, raw):
    """Store a message as the listener does for an address that nobody has entered."""
    async with api.database.transaction() as session:
        return await keep_message(
            session, raw, analyzer_id=None, protocol="astm", transport="tcp", peer=f"{PEER}:40001"
        )


async def read(api, message_id):
    async with api.database.transaction() as session:
        row = await session.get_one(InstrumentMessage, message_id)
        await interpret(session, row)
        return row.state.value, row.reason


async def test_an_unknown_device_becomes_a_known_one(api):
    technician, admin = api.staff_as("technician"), api.staff_as("admin")
    placed = await api.place("HGB")
    barcode = placed["samples"][0]["accession_no"]
    await api.execute("update samples set state = 'received', received_at = now() where accession_no = :n", n=barcode)
    first = await arrive(api, message(barcode))
    assert await read(api, first) == ("unmatched", "no analyzer is registered for this source")

    unknown = (await technician.get("/v1/instrument-messages", params={"unknown_device": "true"})).json()["items"]
    assert [one["id"] for one in unknown] == [str(first)]
    found = (await technician.post("/v1/analyzers/examine", {"message_ids": [str(first)]})).json()
    assert found["sender"] == "Counter 9^1.2"
    assert (found["specimen_fields"][0]["path"], found["specimen_fields"][0]["shape"]) == ("O.4.1", "accession")
    suggestion = found["codes"][0]["suggestions"][0]
    assert (suggestion["test_code"], suggestion["origin"], suggestion["unit_check"]) == ("HGB", "alias", "same")
    assert (await api.execute("select count(*) as n from device_mappings where device_code = 'HB'"))[0].n == 0

    body = {"code": "CNT-9", "name": "Counter", "branch": "DEL", "protocol": "astm", "peers": [PEER]}
    assert (await admin.post("/v1/analyzers", body)).status_code == 201
    draft = (await admin.post("/v1/analyzers/CNT-9/profiles", {"profile": found["profile"]})).json()
    trial = await admin.get(f"/v1/analyzers/CNT-9/profiles/{draft['version']}/trial", params={"message_id": str(first)})
    assert (trial.json()["messages"][0]["matchable_before"], trial.json()["messages"][0]["matchable_after"]) == (0, 1)
    await admin.post(f"/v1/analyzers/CNT-9/profiles/{draft['version']}/activate")

    await technician.post(f"/v1/instrument-messages/{first}/reprocess")
    state, reason = await read(api, first)
    assert state in {"unmatched", "partial"}
    assert "HB" in reason
    waiting = (await technician.get(f"/v1/samples/{barcode}/trace")).json()["verdict"]
    assert (waiting["waits_for"], "HB" in waiting["text"]) == ("person", True)

    await api.execute(
        "insert into analyzer_tests (analyzer_id, device_code, test_id, unit) select a.id, 'HB', t.id, 'g/dL'"
        " from analyzers a, tests t where a.code = 'CNT-9' and t.code = 'HGB'"
    )
    await api.execute(
        "insert into device_mappings (id, created_at, analyzer_id, device_code, test_id, unit, state, origin)"
        " select gen_random_uuid(), now(), a.id, 'HB', t.id, 'g/dL', 'confirmed', 'person' from analyzers a, tests t"
        " where a.code = 'CNT-9' and t.code = 'HGB'"
    )
    assert (await admin.get("/v1/analyzers/CNT-9")).json()["warnings"] == []
    await technician.post(f"/v1/instrument-messages/{first}/reprocess")
    assert (await read(api, first))[0] == "matched"
    assert (await technician.get(f"/v1/samples/{barcode}/trace")).json()["verdict"]["waits_for"] == "verification"

    listed = {one["code"]: one for one in (await admin.get("/v1/analyzers")).json()["items"]}
    assert (listed["CNT-9"]["test_count"], listed["CNT-9"]["profile_version"]) == (1, draft["version"])
    exported = (await admin.get("/v1/analyzers/CNT-9/export")).text
    assert "device_code: HB" in exported


async def test_what_a_forgotten_message_brought_stays(api):
    from api.housekeeping import forget_messages

    placed = await api.place("HGB")
    barcode = placed["samples"][0]["accession_no"]
    await api.execute("update samples set state = 'received', received_at = now() where accession_no = :n", n=barcode)
    stored = await arrive(api, message(barcode, "12.2"))
    assert (await read(api, stored))[0] == "matched"
    await api.execute("update message_signals set delivered_at = now()")
    await api.execute("update instrument_messages set received_at = now() - interval '90 days' where id = :i", i=stored)
    assert await forget_messages(api.database, 30) == 1
    (result,) = await api.execute(
        "select r.value_text, r.message_id from results r join samples s on s.id = r.sample_id"
        " where s.accession_no = :n",
        n=barcode,
    )
    assert (result.value_text, result.message_id) == ("12.2", stored)
    gone = await api.staff_as("technician").get(f"/v1/instrument-messages/{stored}")
    assert gone.status_code == 404
    trace = (await api.staff_as("technician").get(f"/v1/samples/{barcode}/trace")).json()
    assert "result" in [step["what"] for step in trace["steps"]]
    again = await arrive(api, message(barcode, "12.2"))
    assert (await read(api, again))[0] == "matched"
    (count,) = await api.execute(
        "select count(*) as n from results r join samples s on s.id = r.sample_id where s.accession_no = :n", n=barcode
    )
    assert count.n == 1, "the same measurement sent again after its message was forgotten is no second result"


async def test_an_address_of_nobody_stays_unknown(api):
    stored = await arrive(api, b"\x00\xffnot a message")
    state, _ = await read(api, stored)
    assert state in {"unmatched", "unreadable"}
    shown = await api.staff_as("technician").get(f"/v1/instrument-messages/{uuid.UUID(str(stored))}")
    assert shown.json()["raw_text"] == "<NUL><0xFF>not a message"
