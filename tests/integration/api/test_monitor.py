"""The board of analyzers, its metrics, and the alarm of silence."""

import logging
import uuid

from api.device_board import board
from api.housekeeping import SilenceWatch
from domain.working_hours import WorkingHours

ALWAYS = WorkingHours.parse("mon-sun 00:00-24:00")
LINK = (
    "insert into device_links (id, created_at, process, analyzer_id, protocol, transport, peer, local_port, since,"
    " seen_at, received, acknowledged, refused, broken) select gen_random_uuid(), now(), 'host:1',"
    " (select id from analyzers where code = :code), 'astm', 'tcp', :peer, 6662, now() - interval '1 hour',"
    " now() - make_interval(secs => :age), :received, :acknowledged, 0, 0"
)


async def link(api, code, peer, *, age=5, received=4, acknowledged=4):
    await api.execute(LINK, code=code, peer=peer, age=age, received=received, acknowledged=acknowledged)


async def push(api, state, minutes):
    headers = {"X-Api-Key": api.lab.api_keys["XN-1"]}
    raw = f"H|\\^&|||{uuid.uuid4().hex}\rL|1|N\r".encode()
    answer = await api.client.post("/connectors/astm/XN-1", content=raw, headers=headers)
    await api.execute(
        "update instrument_messages set state = :state, received_at = now() - make_interval(mins => :minutes)"
        " where id = :id",
        id=uuid.UUID(answer.json()["stored"][0]), state=state, minutes=minutes,
    )  # fmt: skip


async def status(api, user="technician"):
    answer = await api.staff_as(user).get("/v1/analyzers/status")
    assert answer.status_code == 200, answer.text
    return {one["code"]: one for one in answer.json()["items"]}, answer.json()


async def test_the_board_counts_what_happened(api):
    for state, minutes in (("matched", 30), ("unreadable", 20), ("duplicate", 10), ("matched", 300), ("matched", 2000)):
        await push(api, state, minutes)
    await link(api, "XN-1", "127.0.0.2:5000")
    await link(api, "XN-1", "127.0.0.2:4000", age=600)
    await link(api, "nobody", "10.9.9.9:1234")
    for elapsed in (*range(1, 101),):
        await api.execute(
            "insert into device_queries (id, created_at, analyzer_id, specimen_ids, found, elapsed_ms)"
            " select gen_random_uuid(), now(), id, '{}', 1, :ms from analyzers where code = 'XN-1'",
            ms=elapsed,
        )
    devices, whole = await status(api)
    xn = devices["XN-1"]
    assert set(devices) == {"BC-1", "BS-1", "XN-1"}, "only the caller's branches"
    assert (xn["messages_hour"], xn["errors_hour"], xn["repeats_hour"]) == (3, 1, 1)
    assert (xn["messages_day"], xn["queries_hour"], xn["query_p95_ms"]) == (4, 100, 95)
    assert [one["peer"] for one in xn["links"]] == ["127.0.0.2:5000"], "a link of a dead process is not shown"
    assert [one["peer"] for one in whole["unknown"]] == ["10.9.9.9:1234"]
    assert xn["hints"] == []
    assert whole["is_open"] is True


async def test_silence_is_on_the_board_in_the_metrics_and_told_once(api, caplog):
    await api.execute("update analyzers set silent_after_minutes = 5 where code = 'XN-1'")
    devices, _ = await status(api)
    assert (devices["XN-1"]["is_silent"], devices["XN-1"]["hints"]) == (True, ["silent"])
    assert devices["BS-1"]["is_silent"] is False, "nobody said how long it may be silent"
    text = (await api.client.get("/metrics", headers={"Authorization": "Bearer metrics token"})).text
    assert 'labsetu_device_silent{analyzer="XN-1"} 1.0' in text
    assert 'labsetu_device_silent{analyzer="BS-1"} 0.0' in text
    assert 'labsetu_device_query_seconds{analyzer="XN-1"} 0.095' in text
    watch = SilenceWatch(ALWAYS)
    with caplog.at_level(logging.INFO, logger="labsetu.api"):
        await watch.look(api.database)
        await watch.look(api.database)
        await push(api, "matched", 0)
        await watch.look(api.database)
    told = [record.message for record in caplog.records if "analyzer XN-1" in record.message]
    assert [text.split(" for ")[0] for text in told] == ["analyzer XN-1 is silent", "analyzer XN-1 is heard again"]


async def test_closing_time_ends_no_silence(api, caplog):
    watch = SilenceWatch(ALWAYS)
    await api.execute("update instrument_messages set received_at = now() - interval '9 hours'")
    closed = WorkingHours(shifts=())
    with caplog.at_level(logging.INFO, logger="labsetu.api"):
        await watch.look(api.database)
        watch.hours = closed
        async with api.database.transaction() as session:
            (row,) = [one for one in await board(session, closed, None) if one.row.code == "XN-1"]
        assert row.is_silent is False
    assert [record.message for record in caplog.records if "is silent" in record.message]


async def test_a_line_on_which_nothing_is_acknowledged_is_shown(api):
    await api.execute("delete from device_links")
    await link(api, "BS-1", "127.0.0.1:7000", received=9, acknowledged=0)
    devices, _ = await status(api)
    assert devices["BS-1"]["hints"] == ["receive_only"]


async def test_a_device_that_is_switched_off_alarms_nobody(api):
    await api.execute("update analyzers set is_active = false where code = 'XN-1'")
    devices, _ = await status(api)
    assert (devices["XN-1"]["is_silent"], devices["XN-1"]["hints"]) == (False, [])
    text = (await api.client.get("/metrics", headers={"Authorization": "Bearer metrics token"})).text
    assert 'analyzer="XN-1"' not in text
