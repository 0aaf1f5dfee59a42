"""Recordings of lines over the API: begun, stopped, read by those who may, examined, forgotten."""

import json
import uuid
from datetime import timedelta

import pytest
from sqlalchemy.exc import DBAPIError

from api.housekeeping import forget_recordings
from connectors.onboarding.capture import read_capture
from domain.clock import utc_now
from domain.ids import new_id
from domain.line_recordings import MAX_PIECES, LinePiece
from store import line_recordings
from store.line_recordings import NewPiece

HEARD = b"\x021H|\\^&|||XN-550\rO|1||^^  x^M|\rR|1|^^^^HGB|131|g/L\rL|1|N\r\x0300\r\n"


@pytest.fixture(autouse=True)
async def nothing_runs(api):
    yield
    await api.execute("update line_recordings set ended_at = now(), end_reason = 'stopped' where ended_at is null")


async def begin(api, **bounds):
    answer = await api.staff_as("technician").post("/v1/analyzers/XN-1/recordings", bounds)
    assert answer.status_code == 201, answer.text
    return answer.json()


def piece(data, *, is_sent=False, at=None):
    now = utc_now()
    return NewPiece(new_id(), LinePiece(at or now, is_sent, data, "127.0.0.2:4001", now - timedelta(minutes=1)))


async def hear(api, recording, *pieces, left_out=0):
    async with api.database.transaction() as session:
        await line_recordings.mark_started(session, uuid.UUID(recording["id"]), utc_now())
        return await line_recordings.append(session, uuid.UUID(recording["id"]), pieces, left_out, utc_now())


async def actions(api, recording):
    rows = await api.execute(
        "select actor, action, body from audit_entries where object_id = :id order by seq", id=recording["id"]
    )
    return [(row.actor, row.action, json.loads(row.body)) for row in rows]


async def test_a_recording_is_begun_stopped_and_read(api):
    technician, path = api.staff_as("technician"), "/v1/analyzers/XN-1/recordings"
    asked = await begin(api, minutes=5, max_bytes=2048)
    assert (asked["state"], asked["asked_by"], asked["max_bytes"]) == ("asked", "technician", 2048)
    second = await technician.post(path, {})
    assert (second.status_code, second.json()["code"]) == (409, "RECORDING_RUNNING")
    assert await hear(api, asked, piece(HEARD), piece(b"\x06", is_sent=True), left_out=3)
    running = (await technician.get(f"{path}/{asked['id']}")).json()
    assert (running["state"], running["size_bytes"], running["left_out_bytes"]) == ("running", len(HEARD) + 1, 3)
    stopped = await technician.post(f"{path}/{asked['id']}/stop")
    assert (stopped.json()["state"], stopped.json()["end_reason"]) == ("ended", "stopped")
    again = await technician.post(f"{path}/{asked['id']}/stop")
    assert (again.status_code, again.json()["code"]) == (409, "RECORDING_ENDED")
    assert (await technician.get(path)).json()["items"][0] == stopped.json()
    for form in ("text", "hex"):
        shown = await technician.get(f"{path}/{asked['id']}/text", params={"form": form})
        assert shown.headers["content-type"].startswith("text/plain")
        assert "no-store" in shown.headers["cache-control"]
        assert "3 bytes left out" in shown.text
        read = read_capture(shown.text)
        assert (read.device_bytes, read.host_bytes) == (HEARD, b"\x06")
    assert await actions(api, asked) == [
        ("technician", "recording.started", {"analyzer": "XN-1", "minutes": 5, "max_bytes": 2048}),
        ("technician", "recording.stopped", {"analyzer": "XN-1"}),
        ("technician", "recording.read", {"analyzer": "XN-1", "with_bytes": True}),
        ("technician", "recording.read", {"analyzer": "XN-1", "with_bytes": True}),
    ]


async def test_bytes_are_for_roles_that_may_see_results(api):
    asked = await begin(api)
    await hear(api, asked, piece(HEARD))
    path = f"/v1/analyzers/XN-1/recordings/{asked['id']}/text"
    hidden = (await api.staff_as("admin").get(path)).text
    assert "HGB" not in hidden
    assert f"RX {len(HEARD)} bytes" in hidden
    assert "HGB" in (await api.staff_as("pathologist").get(path)).text
    assert (await api.staff_as("billing").get(path)).status_code == 403
    assert (await api.staff_as("blr_technician").get(path)).json()["code"] == "ANALYZER_UNKNOWN"
    of_another = path.replace("XN-1", "BS-1")
    assert (await api.staff_as("technician").get(of_another)).json()["code"] == "RECORDING_UNKNOWN"


async def test_a_recording_is_examined(api):
    asked = await begin(api)
    await hear(api, asked, piece(b"\x05"), piece(b"\x06", is_sent=True), piece(HEARD), piece(b"\x04"), left_out=9)
    body = {"recording_id": asked["id"]}
    found = (await api.staff_as("technician").post("/v1/analyzers/examine", body)).json()
    assert (found["form"], found["protocol"], found["candidates"][0]["model"]) == ("recording", "astm", "sysmex_xn")
    assert [one["code"] for one in found["problems"]] == ["CHECKSUM", "CAPTURE_GAPS"]
    (code,) = found["codes"]
    assert (code["code"], code["values"]) == ("HGB", ["131"])
    assert code["suggestions"] == [
        {
            "test_code": "HGB", "test_name": "Haemoglobin", "origin": "exact", "score": 1.0, "unit_check": "factor",
            "factor": "0.1",
        }
    ]  # fmt: skip
    by_admin = (await api.staff_as("admin").post("/v1/analyzers/examine", body)).json()
    assert by_admin["codes"][0]["values"] is None
    elsewhere = await api.staff_as("blr_technician").post("/v1/analyzers/examine", body)
    assert (elsewhere.status_code, elsewhere.json()["code"]) == (404, "RECORDING_UNKNOWN")
    both = await api.staff_as("technician").post("/v1/analyzers/examine", {**body, "capture": "H|"})
    assert both.status_code == 422


@pytest.mark.parametrize("bounds", [{"minutes": 0}, {"minutes": 61}, {"max_bytes": 100}, {"max_bytes": 5 << 20}])
async def test_bounds_have_bounds(api, bounds):
    answer = await api.staff_as("technician").post("/v1/analyzers/XN-1/recordings", bounds)
    assert answer.status_code == 422


async def test_a_device_without_a_line_is_not_recorded(api):
    await api.execute("update analyzers set transport = '{\"kind\": \"http\"}' where code = 'XN-1'")
    try:
        answer = await api.staff_as("technician").post("/v1/analyzers/XN-1/recordings", {})
        assert (answer.status_code, answer.json()["code"]) == (409, "RECORDING_NO_LINE")
    finally:
        await api.execute("update analyzers set transport = '{\"kind\": \"listener\"}' where code = 'XN-1'")


async def test_one_that_nobody_heard_and_one_whose_time_is_over_say_so(api):
    unheard = await begin(api)
    await api.execute("update line_recordings set ends_at = now() - interval '1 second' where ended_at is null")
    heard = await begin(api)
    await hear(api, heard, piece(b"\x05"))
    await api.execute("update line_recordings set ends_at = now() where id = :id", id=uuid.UUID(heard["id"]))
    items = (await api.staff_as("technician").get("/v1/analyzers/XN-1/recordings")).json()["items"]
    shown = {one["id"]: (one["state"], one["end_reason"]) for one in items}
    assert shown[unheard["id"]] == ("ended", "not_started")
    assert shown[heard["id"]] == ("ended", "time")


async def test_nothing_is_added_long_after_the_end_or_beyond_the_bounds(api):
    asked = await begin(api)
    assert await hear(api, asked, piece(b"1"))
    await api.execute(
        "update line_recordings set piece_count = :n where id = :id", n=MAX_PIECES - 1, id=uuid.UUID(asked["id"])
    )
    assert not await hear(api, asked, piece(b"2"), piece(b"3"))
    (row,) = await api.execute(
        "select end_reason, size_bytes from line_recordings where id = :id", id=uuid.UUID(asked["id"])
    )
    assert (row.end_reason, row.size_bytes) == ("size", 2)
    late = await begin(api)
    await api.execute(
        "update line_recordings set ends_at = now() - interval '2 minutes' where id = :id", id=uuid.UUID(late["id"])
    )
    assert not await hear(api, late, piece(b"4", at=utc_now() - timedelta(minutes=3)))


async def test_old_ones_are_forgotten_with_their_bytes(api):
    old, young = await begin(api), None
    await hear(api, old, piece(HEARD))
    await api.execute(
        "update line_recordings set ends_at = now() - interval '4 days' where id = :id", id=uuid.UUID(old["id"])
    )
    young = await begin(api)
    assert await forget_recordings(api.database, 5) == 0
    assert await forget_recordings(api.database, 3) == 1
    kept = [
        one["id"] for one in (await api.staff_as("technician").get("/v1/analyzers/XN-1/recordings")).json()["items"]
    ]
    assert young["id"] in kept
    assert old["id"] not in kept
    (left,) = await api.execute(
        "select count(*) as n from line_recording_pieces where recording_id = :id", id=uuid.UUID(old["id"])
    )
    assert left.n == 0
    ((actor, action, body),) = [one for one in await actions(api, old) if one[1] != "recording.started"]
    assert (actor, action) == ("system:housekeeping", "recordings.forgotten")
    assert (body["count"], body["bytes"]) == (1, len(HEARD))


@pytest.mark.parametrize(
    "statement",
    [
        "delete from line_recordings", "delete from line_recording_pieces",
        "update line_recording_pieces set data = ''", "select * from forget_line_recordings(now(), 10)",
    ],
)  # fmt: skip
async def test_the_application_cannot_delete_or_change_bytes(api, statement):
    with pytest.raises(DBAPIError):
        await api.execute(statement)
