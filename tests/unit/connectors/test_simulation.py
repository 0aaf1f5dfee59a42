import asyncio
import time

import httpx
import pytest
from fastapi import FastAPI
from pydantic import ValidationError

from connectors.simulation import (
    MAX_BODY_BYTES,
    Behaviour,
    WebhookSender,
    basic_credentials,
    page,
    simulator_app,
    table,
)
from tests.contract.standins import Receiver

URL = "http://lab.test/hook"


def sender(receiver=None, **options):
    client = (receiver or Receiver()).client
    return WebhookSender(Behaviour(), [URL], client=client, **options)


def application(hooks=None):
    hooks = hooks or sender()
    done = []
    app: FastAPI = simulator_app("partner", hooks, snapshot=lambda: {"done": done}, spared=("/pay/",))

    @app.post("/things/{thing_id}")
    async def make(thing_id: str):
        done.append(thing_id)
        return {"id": thing_id}

    @app.get("/pay/{thing_id}")
    async def pay(thing_id: str):
        return {"page": thing_id}

    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://partner.test"), done


async def test_calls_are_counted_by_route():
    http, _ = application()
    for thing in "ab":
        await http.post(f"/things/{thing}")
    state = (await http.get("/_sim/state")).json()
    assert state["calls"] == {"POST /things/{thing_id}": 2}
    assert state["done"] == ["a", "b"]


async def test_refusals_process_nothing_and_lost_answers_everything():
    http, done = application()
    await http.post("/_sim/behaviour", json={"fail_next": 1, "fail_status": 429, "drop_after_next": 1})
    refused = await http.post("/things/a")
    assert (refused.status_code, refused.headers["retry-after"], done) == (429, "1", [])
    lost = await http.post("/things/b")
    assert (lost.status_code, done) == (504, ["b"])
    assert (await http.post("/things/c")).status_code == 200


async def test_only_the_answers_of_the_calls_asked_for_are_lost():
    http, done = application()
    await http.post("/_sim/behaviour", json={"drop_after_next": 1, "drop_only": "POST /things/b"})
    answers = [(await http.post(f"/things/{thing}")).status_code for thing in "abb"]
    assert (answers, done) == ([200, 504, 200], ["a", "b", "b"])


async def test_down_spares_the_pages_and_the_switches():
    http, done = application()
    await http.post("/_sim/behaviour", json={"down": True})
    assert (await http.post("/things/a")).status_code == 503
    assert (await http.get("/pay/a")).status_code == 200
    await http.post("/_sim/behaviour", json={"down": False})
    assert (await http.post("/things/a")).status_code == 200
    assert done == ["a"]


async def test_slow_is_slow():
    http, _ = application()
    await http.post("/_sim/behaviour", json={"slow_s": 0.05})
    started = time.monotonic()
    await http.post("/things/a")
    assert time.monotonic() - started >= 0.05


@pytest.mark.parametrize("patch", [{"colour": "red"}, {"slow_s": -1}, {"fail_status": 200}, {"fail_next": "many"}])
async def test_unknown_switches_change_nothing(patch):
    http, _ = application()
    assert (await http.post("/_sim/behaviour", json=patch | {"down": True})).status_code == 422
    assert not (await http.get("/_sim/state")).json()["behaviour"]["down"]


@pytest.mark.parametrize("body", [b"", b"[]", b"nonsense", b'{"a":' * 5000])
async def test_switches_are_a_json_object(body):
    http, _ = application()
    assert (await http.post("/_sim/behaviour", content=body)).status_code == 400


async def test_a_body_without_end_is_refused():
    http, _ = application()
    assert (await http.post("/_sim/behaviour", content=b" " * (MAX_BODY_BYTES + 1))).status_code == 413


async def test_webhooks_go_to_every_target_or_the_one_named():
    receiver = Receiver()
    hooks = sender(receiver)
    hooks.targets.append("http://other.test/hook")
    hooks.queue("paid", b"1", {"x-sign": "s"})
    hooks.queue("paid", b"2", {}, url="http://own.test/callback")
    assert hooks.pending == 3
    assert await hooks.drain() == 3
    assert [str(request.url) for request in receiver.got] == [URL, "http://other.test/hook", "http://own.test/callback"]
    assert receiver.got[0].headers["x-sign"] == "s"


async def test_webhooks_are_repeated_until_taken_and_then_given_up():
    receiver = Receiver()
    receiver.answers = [500, 302, 404]
    hooks = sender(receiver, retry_after_s=(0, 0))
    hooks.queue("paid", b"1", {})
    assert [await hooks.drain() for _ in range(4)] == [0, 0, 0, 0]
    assert (len(receiver.got), hooks.pending, hooks.given_up) == (3, 0, 1)
    assert [one["status"] for one in hooks.delivered] == [500, 302, 404]


async def test_an_endpoint_that_is_away_is_tried_again():
    client = httpx.AsyncClient(transport=httpx.MockTransport(_refuse))
    hooks = WebhookSender(Behaviour(), [URL], client=client, retry_after_s=(60,))
    hooks.queue("paid", b"1", {})
    assert await hooks.drain() == 0
    assert (hooks.pending, hooks.delivered[0]["status"]) == (1, 0)


def _refuse(_request):
    raise httpx.ConnectError("refused")


async def test_webhook_faults():
    receiver = Receiver()
    hooks = sender(receiver)
    hooks.behaviour.webhooks_off = True
    hooks.queue("a", b"1", {})
    hooks.behaviour.change({"webhooks_off": False, "webhooks_duplicate": True})
    hooks.queue("b", b"2", {})
    hooks.behaviour.change({"webhooks_duplicate": False, "webhooks_tampered": True, "webhooks_reversed": True})
    hooks.queue("c", b"3", {})
    await hooks.drain()
    # "c" was signed as b"3", changed by one bit on its way, and came first
    assert [request.content for request in receiver.got] == [b"2", b"2", b"2"]
    assert [one["event"] for one in hooks.delivered] == ["c", "b", "b"]
    assert hooks.withheld == 1


async def test_in_the_background_webhooks_leave_when_due():
    receiver = Receiver()
    hooks = sender(receiver)
    hooks.behaviour.webhooks_late_s = 0.05
    ticks = []
    app = simulator_app("partner", hooks, snapshot=dict, tick=lambda: ticks.append(1))
    async with app.router.lifespan_context(app):
        hooks.queue("late", b"1", {})
        hooks.behaviour.webhooks_late_s = 0
        hooks.queue("prompt", b"2", {})
        async with asyncio.timeout(5):
            await receiver.arrived(2)
    assert [request.content for request in receiver.got] == [b"2", b"1"]
    assert ticks


@pytest.mark.parametrize(
    ("header", "found"),
    [
        ("Basic YTpi", ("a", "b")),
        ("Basic YTpiOmM=", ("a", "b:c")),
        ("basic YTpi", None),
        ("BASIC YTpi", None),
        ("Basic YQ==", None),
        ("Basic ?", None),
        ("Basic /w==", None),
        ("", None),
    ],
)
def test_basic_credentials(header, found):
    assert basic_credentials(header) == found


def test_pages_escape_cells_captions_and_titles():
    text = page("<b>", table("<i>", ["<u>"], [["<s>"]])).body.decode()
    for tag in ("<b>", "<i>", "<u>", "<s>"):
        assert tag not in text


def test_a_behaviour_refuses_nonsense_also_when_set():
    behaviour = Behaviour()
    with pytest.raises(ValidationError):
        behaviour.slow_s = -1
