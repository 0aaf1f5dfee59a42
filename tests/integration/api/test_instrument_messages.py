"""Finding messages, seeing them, sending one to a test device, examining unknown ones, forgetting old ones."""

import json
import uuid
from contextlib import asynccontextmanager
from datetime import timedelta
from urllib.parse import quote

import pytest

from api.housekeeping import digest_of, forget_messages
from connectors.astm.server import AstmServer
from connectors.hl7.server import Hl7Server
from connectors.line import ListenerLimits
from domain.clock import utc_now
from domain.device_profile import DeviceProfile
from domain.observations import StoreOutcome
from store.instrument_messages import ForgottenRow
from tests.fixtures.running_api import CONFIG, running_api

MESSAGE = b"H|\\^&|||Unit\rP|1\rO|1||^^%s|^^^GLU|R\rR|1|^^^^WBC|5.4|10*3/uL||N||F\rL|1|N\r"


async def push(api, body, analyzer="XN-1"):
    headers = {"X-Api-Key": api.lab.api_keys[analyzer]}
    answer = await api.client.post(f"/connectors/astm/{analyzer}", content=body, headers=headers)
    return answer.json()["stored"][0]


async def settle(api, message_id, state, *specimens, age_days=0):
    await api.execute(
        "update instrument_messages set state = :state, read_at = now(), specimen_ids = cast(:specimens as text[]),"
        " received_at = now() - make_interval(days => :age) where id = :id",
        id=uuid.UUID(message_id), state=state, specimens=list(specimens), age=age_days,
    )  # fmt: skip


async def add_exception(api, message_id, kind="unmapped_code", state="open"):
    await api.execute(
        "insert into instrument_exceptions (id, created_at, message_id, analyzer_id, kind, specimen_id, device_code,"
        " detail, state, close_reason) select gen_random_uuid(), now(), m.id, m.analyzer_id, :kind, 'S1', '12', '',"
        " :state, '' from instrument_messages m where m.id = :id",
        id=uuid.UUID(message_id), kind=kind, state=state,
    )  # fmt: skip


async def found(api, **wanted):
    answer = await api.staff_as("technician").get("/v1/instrument-messages", params=wanted)
    assert answer.status_code == 200, answer.text
    return [one["id"] for one in answer.json()["items"]]


async def test_messages_are_found_by_what_is_known_of_them(api):
    placed = await api.place("HGB")
    accession = placed["samples"][0]["accession_no"]
    own, other = await push(api, MESSAGE % accession.encode()), await push(api, MESSAGE % b"12")
    await settle(api, own, "matched", accession)
    await settle(api, other, "partial", "12", age_days=3)
    await add_exception(api, other)
    assert await found(api, specimen=accession) == [own]
    assert await found(api, patient_no=api.lab.patients[0]) == [own]
    assert await found(api, patient_no=api.lab.patients[2]) == []
    assert await found(api, state="partial") == [other]
    assert await found(api, exception="unmapped_code", open_exceptions="true") == [other]
    assert await found(api, exception="unit_mismatch") == []
    assert await found(api, analyzer="XN-1") == [other, own]
    assert await found(api, analyzer="BS-1") == []
    yesterday = (utc_now() - timedelta(days=1)).isoformat()
    assert await found(api, since=yesterday) == [own]
    assert await found(api, until=yesterday) == [other]
    assert await found(api, unknown_device="true") == []
    naive = await api.staff_as("technician").get("/v1/instrument-messages", params={"since": "2026-11-23T00:00:00"})
    assert naive.status_code == 422


async def test_a_message_is_shown_raw_and_by_fields_to_clinical_roles(api):
    message = await push(api, MESSAGE % b"777")
    await add_exception(api, message)
    shown = (await api.staff_as("technician").get(f"/v1/instrument-messages/{message}")).json()
    assert shown["raw_text"].startswith("H|\\^&|||Unit<CR>P|1<CR>")
    assert bytes.fromhex(shown["raw_hex"]) == MESSAGE % b"777"
    rows = {record["kind"]: record["fields"] for record in shown["records"]}
    assert {"number": 4, "name": "Value", "value": "5.4"} in rows["R"]
    assert {"number": 5, "name": "Sender name or id", "value": "Unit"} in rows["H"]
    assert shown["exceptions"] == [
        {
            "kind": "unmapped_code", "specimen_id": "S1", "device_code": "12", "codes": [], "detail": "",
            "state": "open",
        }
    ]  # fmt: skip
    hidden = (await api.staff_as("admin").get(f"/v1/instrument-messages/{message}")).json()
    assert [hidden[name] for name in ("raw", "raw_hex", "raw_text", "records", "parsed")] == [None] * 5


@asynccontextmanager
async def test_device(kind, protocol):
    received = []

    async def keep(message):
        received.append(message.raw)
        return StoreOutcome(accepted=True)

    profile = DeviceProfile(protocol=protocol)
    async with kind("127.0.0.1", 0, keep, limits=ListenerLimits(), profile_for=lambda _: profile) as server:
        yield server.port, received


test_device.__test__ = False


async def test_a_message_is_sent_to_an_allowed_test_device_and_nowhere_else(api):
    message = await push(api, MESSAGE % b"888")
    refused = await api.staff_as("admin").post(f"/v1/instrument-messages/{message}/replay", {"target": "10.0.0.1:80"})
    assert (refused.status_code, refused.json()["code"]) == (409, "REPLAY_NOT_ALLOWED")
    async with test_device(AstmServer, "astm") as (port, received):
        target = f"127.0.0.1:{port}"
        config = CONFIG.model_copy(update={"replay_targets": (target,)})
        async with running_api(api.database, api.lab, config) as other:
            path = f"/v1/instrument-messages/{message}/replay"
            answer = (await other.staff_as("admin").post(path, {"target": target}, key="replay-once")).json()
            assert (answer["is_delivered"], answer["answer"]) == (True, "ACK")
            await other.staff_as("admin").post(path, {"target": target}, key="replay-once")
        assert received == [MESSAGE % b"888"], "the repeated request was not sent again"
    (row,) = await api.execute("select body from audit_entries where action = 'message.replayed'")
    assert json.loads(row.body) == {"target": target, "delivered": True, "answer": "ACK"}


async def test_nobody_at_the_other_end_is_an_outcome(api):
    message = await push(api, MESSAGE % b"889")
    answer = await api.staff_as("admin").post(f"/v1/instrument-messages/{message}/replay", {"target": "127.0.0.1:9"})
    assert answer.status_code == 200
    assert (answer.json()["is_delivered"], answer.json()["note"]) == (False, "not connected: ConnectionRefusedError")


async def test_an_hl7_message_is_sent_as_a_block(api):
    raw = b"MSH|^~\\&|A|B|||20261123||ORU^R01|77|P|2.5.1\rOBR|1|X\rOBX|1|NM|GLU||5\r"
    headers = {"X-Api-Key": api.lab.api_keys["BC-1"]}
    await api.client.post("/connectors/hl7/BC-1", content=raw, headers=headers)
    (message,) = await found(api, analyzer="BC-1")
    async with test_device(Hl7Server, "hl7") as (port, received):
        config = CONFIG.model_copy(update={"replay_targets": (f"127.0.0.1:{port}",)})
        async with running_api(api.database, api.lab, config) as other:
            path = f"/v1/instrument-messages/{message}/replay"
            answer = (await other.staff_as("admin").post(path, {"target": f"127.0.0.1:{port}"})).json()
        assert (answer["is_delivered"], answer["answer"]) == (True, "AA")
        assert received == [raw]


async def test_a_pasted_capture_and_stored_messages_are_examined(api):
    technician = api.staff_as("technician")
    text = "<STX>1H|\\^&|||XN-550<CR>O|1||^^  x^M|<CR>R|1|^^^^WBC|5.1|10*3/uL<CR>L|1|N<CR><ETX>00<CR><LF>"
    pasted = (await technician.post("/v1/analyzers/examine", {"capture": text})).json()
    assert (pasted["form"], pasted["protocol"], pasted["frame_style"]) == ("text", "astm", "standard")
    assert pasted["candidates"][0]["model"] == "sysmex_xn"
    assert [one["code"] for one in pasted["problems"]] == ["CHECKSUM"]
    assert pasted["codes"][0]["suggestions"][0]["test_code"] == "WBC"
    assert pasted["codes"][0]["values"] == ["5.1"]
    message = await push(api, MESSAGE % b"990")
    stored = await technician.post("/v1/analyzers/examine", {"message_ids": [message]})
    assert (stored.json()["form"], stored.json()["frame_style"]) == ("stored", "standard")
    by_admin = await api.staff_as("admin").post("/v1/analyzers/examine", {"message_ids": [message]})
    assert by_admin.json()["codes"][0]["values"] is None
    elsewhere = await api.staff_as("blr_technician").post("/v1/analyzers/examine", {"message_ids": [message]})
    assert elsewhere.status_code == 404
    assert (await technician.post("/v1/analyzers/examine", {})).status_code == 422
    draft = await api.staff_as("admin").post("/v1/analyzers/XN-1/profiles", {"profile": pasted["profile"]})
    assert draft.status_code == 201


@pytest.fixture
async def old(api):
    """Messages of 40 days ago by what they are."""
    made = {}
    for number, (name, state) in enumerate(
        {
            "matched": "matched", "control": "control", "unread": "received", "unmatched": "unmatched",
            "dismissed": "partial", "open": "partial", "open_though_matched": "matched", "undelivered": "matched",
            "young": "matched",
        }.items()
    ):  # fmt: skip
        made[name] = await push(api, MESSAGE % f"old{number}".encode())
        await settle(api, made[name], state, age_days=0 if name == "young" else 40)
    await api.execute("update instrument_messages set read_at = null where id = :id", id=uuid.UUID(made["unread"]))
    await add_exception(api, made["dismissed"], state="dismissed")
    await api.execute(
        "insert into specimen_corrections (id, created_at, message_id, specimen_id, accession_no, corrected_by, reason)"
        " select gen_random_uuid(), now(), :m, 'TORN', '261123000017', id, 'list' from users limit 1",
        m=uuid.UUID(made["dismissed"]),
    )  # what a person said of a message stays on record and does not keep it
    await add_exception(api, made["open"])
    await add_exception(api, made["open"], kind="unit_mismatch", state="resolved")
    await add_exception(api, made["open_though_matched"], kind="not_ordered")
    placed = await api.place("HGB")
    await api.execute(
        "insert into message_signals (message_id, order_id) select :id, id from orders where order_no = :no",
        id=uuid.UUID(made["undelivered"]), no=placed["order_no"],
    )  # fmt: skip
    return made


async def test_only_old_read_and_closed_messages_are_forgotten(api, old):
    gone = {old["matched"], old["control"], old["dismissed"]}
    kept = set(old.values()) - gone
    hashes = await api.execute(
        "select id, sha256 from instrument_messages where id = any(:ids) order by id",
        ids=[uuid.UUID(one) for one in gone],
    )
    assert await forget_messages(api.database, 0) == 0, "0 keeps all"
    assert await forget_messages(api.database, 30) >= 3
    left = {str(row.id) for row in await api.execute("select id from instrument_messages")}
    assert not left & gone
    assert kept <= left
    (row,) = await api.execute("select body from audit_entries where action = 'messages.forgotten'")
    body = json.loads(row.body)
    assert body["count"] == 3
    assert body["sha256"] == digest_of([ForgottenRow(id=one.id, sha256=one.sha256) for one in hashes])
    assert (body["first"], body["last"]) == (str(hashes[0].id), str(hashes[-1].id))
    assert await forget_messages(api.database, 30) == 0, "nothing is left, and no second entry"
    assert len(await api.execute("select 1 from audit_entries where action = 'messages.forgotten'")) == 1


async def test_the_application_cannot_delete_a_message_itself(api):
    with pytest.raises(Exception, match="permission denied"):
        await api.execute("delete from instrument_messages")
    with pytest.raises(Exception, match="young messages"):
        await api.execute("select * from forget_instrument_messages(now(), 10)")


async def test_a_search_cannot_smuggle_anything(api):
    answer = await api.staff_as("technician").get(f"/v1/instrument-messages?specimen={quote(chr(39) + ' or 1=1 --')}")
    assert answer.json()["items"] == []
