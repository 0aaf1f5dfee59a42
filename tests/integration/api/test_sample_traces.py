"""Why a sample is not reported, followed from its order to its results."""

import uuid

from inbox.instruments import interpret
from store.tables.results import InstrumentMessage

MESSAGE = "H|\\^&|||XN-550\rP|1\rO|1||^^{}^M|^^^^HGB\rR|1|^^^^{}^1|13.1|g/dL||N||F\rL|1|N\r"


async def traced(api, accession, user="technician"):
    answer = await api.staff_as(user).get(f"/v1/samples/{accession}/trace")
    assert answer.status_code == 200, answer.text
    return answer.json()


async def send(api, accession, code):
    body = MESSAGE.format(accession, code).encode()
    headers = {"X-Api-Key": api.lab.api_keys["XN-1"]}
    stored = (await api.client.post("/connectors/astm/XN-1", content=body, headers=headers)).json()["stored"][0]
    await api.execute(
        "update instrument_messages set specimen_ids = array[cast(:no as text)] where id = :id",
        no=accession, id=uuid.UUID(stored),
    )  # fmt: skip
    return stored


async def read(api, message):
    async with api.database.transaction() as session:
        await interpret(session, await session.get_one(InstrumentMessage, uuid.UUID(message)))


async def test_a_sample_is_followed_on_its_way(api):
    placed = await api.place("HGB")
    accession = placed["samples"][0]["accession_no"]
    first = await traced(api, accession)
    assert first["verdict"]["waits_for"] == "collection"
    assert [step["what"] for step in first["steps"]] == ["order_placed"]

    await api.execute(
        "update samples set state = 'received', collected_at = now(), received_at = now(), collected_by ="
        " (select id from users where username = 'phlebotomist') where accession_no = :no",
        no=accession,
    )
    assert (await traced(api, accession))["verdict"]["text"].startswith("no analyzer has sent anything")

    unmapped = await send(api, accession, "HB-X")
    assert (await traced(api, accession))["verdict"]["waits_for"] == "reading"
    await read(api, unmapped)
    waiting = await traced(api, accession)
    assert waiting["verdict"]["waits_for"] == "person"
    assert "HB-X" in waiting["verdict"]["text"]
    assert "HB-X" not in str((await traced(api, accession, "front_desk"))["steps"])

    await read(api, await send(api, accession, "HGB"))
    done = await traced(api, accession)
    assert done["verdict"] == {
        "waits_for": "verification", "text": "technical verification of HGB",
        "action": "It is on the worklist `verification`.", "tests": ["HGB"],
    }  # fmt: skip
    assert [step["what"] for step in done["steps"]] == [
        "order_placed", "sample_collected", "sample_received", "message_received", "message_read", "exception",
        "message_received", "message_read", "result",
    ]  # fmt: skip
    assert "13.1" not in str(done), "a trace shows no values"


async def test_work_queries_and_exceptions_are_steps(api):
    placed = await api.place("HGB")
    accession = placed["samples"][0]["accession_no"]
    await api.execute("update samples set state = 'received', received_at = now() where accession_no = :n", n=accession)
    await api.execute(
        "insert into device_queries (id, created_at, analyzer_id, specimen_ids, found, elapsed_ms)"
        " select gen_random_uuid(), now(), id, array[cast(:no as text)], 0, 3 from analyzers where code = 'XN-1'",
        no=accession,
    )
    assert "told that there is none" in (await traced(api, accession))["verdict"]["text"]
    await api.execute(
        "insert into device_work (id, created_at, analyzer_id, order_id, sample_id, action, codes, state, attempts,"
        " not_before, note, settled_at) select gen_random_uuid(), now(), a.id, s.order_id, s.id, 'new', '{HGB}',"
        " 'refused', 1, now(), 'no reagent', now() from samples s, analyzers a"
        " where s.accession_no = :no and a.code = 'XN-1'",
        no=accession,
    )
    refused = await traced(api, accession)
    assert "no reagent" in refused["verdict"]["text"]
    message = await send(api, "4711", "HGB")
    await api.execute(
        "insert into instrument_exceptions (id, created_at, message_id, analyzer_id, kind, specimen_id, device_code,"
        " detail, state, close_reason) select gen_random_uuid(), now(), m.id, m.analyzer_id, 'unit_mismatch', :no,"
        " 'HGB', '', 'open', '' from instrument_messages m where m.id = :id",
        no=accession, id=uuid.UUID(message),
    )  # fmt: skip
    await api.execute("update instrument_messages set state = 'partial' where id = :id", id=uuid.UUID(message))
    stuck = await traced(api, accession)
    assert (stuck["verdict"]["waits_for"], stuck["verdict"]["tests"]) == ("person", ["HGB"])
    assert {"query_answered", "work_queued", "work_settled", "exception"} <= {step["what"] for step in stuck["steps"]}


async def test_a_confidential_test_is_named_to_clinical_roles_only(api):
    await api.execute("update tests set is_confidential = true where code = 'HGB'")
    placed = await api.place("HGB")
    accession = placed["samples"][0]["accession_no"]
    await api.execute("update samples set state = 'received' where accession_no = :n", n=accession)
    assert (await traced(api, accession))["verdict"]["tests"] == ["HGB"]
    assert (await traced(api, accession, "front_desk"))["verdict"]["tests"] == ["***"]
    await api.execute("update tests set is_confidential = false where code = 'HGB'")


async def test_a_number_that_is_no_sample_of_ours(api):
    answer = await api.staff_as("technician").get("/v1/samples/000000000000/trace")
    assert (answer.status_code, answer.json()["code"]) == (404, "SAMPLE_NOT_FOUND")
