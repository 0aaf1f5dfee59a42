"""The desk on real PostgreSQL: what a device is answered, what it is sent, and what happens when the store is away."""

import asyncio
import logging
import time
from dataclasses import replace

import pytest

from connectors.line import ListenerLimits
from domain.device_orders import DownloadResult, WorkAction, WorkPriority, WorkQuery
from domain.enums import DeviceWorkState, MappingState
from domain.messages import CommandKind
from inbox.desk import DeskFactory, DeskPolicy
from inbox.listener import Door, listeners
from store.device_work_lists import NOT_ANSWERED
from store.session import open_database
from store.tube_work import WorkPolicy
from tests.fixtures.bench import Bench
from tests.fixtures.database import AUDIT_KEY, SEAL_KEY
from tests.fixtures.two_way import TwoWay, running


def gone() -> DeskFactory:
    """A factory whose PostgreSQL is not there."""
    database = open_database("postgresql+asyncpg://x:x@127.0.0.1:1/x", audit_key=AUDIT_KEY, seal_key=SEAL_KEY)
    return DeskFactory(database, DeskPolicy(answer_s=0.3, poll_s=0.05))


def number_of(order) -> str:
    return order.samples[0].accession_no


async def states(two_way: TwoWay, orders) -> list[DeviceWorkState]:
    return [item.state for order in orders for item in await two_way.items(order)]


async def eventually(look, is_right) -> None:
    """Wait until what `look` finds is right."""
    found = None
    for _ in range(200):
        found = await look()
        if is_right(found):
            return
        await asyncio.sleep(0.04)
    raise AssertionError(found)


# What a device is answered


async def test_a_query_is_answered_with_the_device_s_codes_and_the_patient(two_way: TwoWay, bench: Bench):
    device = await two_way.device()
    order = await bench.received("UREA", "CREA")
    (work,) = await two_way.desk(device).work_for(WorkQuery((number_of(order),)))
    # in the order of the device's table, not of the order
    assert work.codes == ("C-CREA", "C-UREA")
    assert (work.specimen_id, work.order_no, work.patient_no) == (number_of(order), order.order_no, bench.patient)
    assert (work.action, work.priority, work.specimen) == (WorkAction.NEW, WorkPriority.ROUTINE, "Serum")
    assert (work.patient_name, str(work.birth_date), work.sex) == ("Asha Verma", "1988-04-12", "female")
    assert work.collected_at == (await bench.sample(number_of(order))).collected_at
    assert "Asha" not in repr(work)
    assert "1988" not in repr(work)


async def test_several_tubes_are_answered_in_the_order_asked(two_way: TwoWay, bench: Bench):
    device = await two_way.device()
    first, second = await bench.received("CREA"), await bench.received("UREA")
    asked = (number_of(second), "000000000000", number_of(first), number_of(second))
    assert await two_way.codes(device, *asked) == [("C-UREA",), ("C-CREA",)]


@pytest.mark.parametrize(
    "name", ["", "26", "000000000000", "X" * 65, "a\x00b", "\ud800", "'; drop table samples; --", "९९९"]
)
async def test_foreign_barcodes_give_nothing(two_way: TwoWay, name: str):
    device = await two_way.device()
    assert await two_way.codes(device, name) == []


async def test_a_stat_order_goes_first_on_the_device(two_way: TwoWay, bench: Bench):
    device = await two_way.device()
    order = await bench.received("CREA")
    await two_way.execute("update orders set priority = 'stat' where id = :id", id=order.order_id)
    (work,) = await two_way.desk(device).work_for(WorkQuery((number_of(order),)))
    assert work.priority is WorkPriority.STAT


@pytest.mark.parametrize("state", [MappingState.PROPOSED, MappingState.RETIRED])
async def test_only_confirmed_codes_count(two_way: TwoWay, bench: Bench, state: MappingState):
    device = await two_way.device({"C-CREA": "CREA"})
    await two_way.map(device, "C-UREA", "UREA", state)
    order = await bench.received("CREA", "UREA")
    assert await two_way.codes(device, number_of(order)) == [("C-CREA",)]


async def test_a_device_of_another_branch_or_out_of_use_gets_nothing(two_way: TwoWay, bench: Bench):
    own, other = await two_way.device(), await two_way.device(branch="BLR")
    order = await bench.received("CREA")
    assert await two_way.codes(other, number_of(order)) == []
    assert await two_way.codes(own, number_of(order)) == [("C-CREA",)]
    await two_way.execute("update analyzers set is_active = false where id = :id", id=own.id)
    assert await two_way.codes(own, number_of(order)) == []


async def test_a_tube_must_be_in_hand(two_way: TwoWay, bench: Bench):
    device = await two_way.device()
    order = await bench.order("CREA")
    assert await two_way.codes(device, number_of(order)) == []
    await bench.collect(order)
    assert await two_way.codes(device, number_of(order)) == [("C-CREA",)]
    strict = DeskFactory(bench.database, DeskPolicy(work=WorkPolicy.of(needs_receipt=True, skips_resulted=False)))
    desk = two_way.desk(device, strict)
    assert await desk.work_for(WorkQuery((number_of(order),))) == ()
    await bench.receive(order)
    assert len(await desk.work_for(WorkQuery((number_of(order),)))) == 1
    await strict.close()


async def test_a_rejected_tube_and_a_cancelled_order_give_nothing(two_way: TwoWay, bench: Bench):
    device = await two_way.device()
    rejected, cancelled = await bench.received("CREA"), await bench.received("CREA")
    payload = {"accession_no": number_of(rejected), "reason_code": "clotted"}
    await bench.do(CommandKind.REJECT_SAMPLE, rejected, payload)
    await bench.do(CommandKind.CANCEL_ORDER, cancelled, {"reason": "asked twice"}, "front_desk")
    assert await two_way.codes(device, number_of(rejected), number_of(cancelled)) == []


async def test_a_test_is_open_until_it_is_verified_and_again_after_a_rerun(two_way: TwoWay, bench: Bench):
    device = await two_way.device()
    order = await bench.received("CREA", "UREA")
    await bench.enter(order, CREA="1.0")
    assert await two_way.codes(device, number_of(order)) == [("C-CREA", "C-UREA")], "typed, not by this device"
    await two_way.execute(
        "update results set analyzer_id = :device where sample_id in (select id from samples where order_id = :id)",
        device=device.id, id=order.order_id,
    )  # fmt: skip
    assert await two_way.codes(device, number_of(order)) == [("C-UREA",)]
    await bench.enter(order, UREA="30")
    await bench.verify(order, {"test_code": "UREA"})
    assert await two_way.codes(device, number_of(order)) == []
    payload = {"accession_no": number_of(order), "test_codes": ["CREA", "UREA"]}
    await bench.do(CommandKind.RERUN_TESTS, order, payload)
    assert await two_way.codes(device, number_of(order)) == [("C-CREA", "C-UREA")]


async def test_tests_with_a_result_can_be_left_out(two_way: TwoWay, bench: Bench):
    device = await two_way.device()
    order = await bench.received("CREA", "UREA")
    await bench.enter(order, CREA="1.0")
    sparing = DeskFactory(bench.database, DeskPolicy(work=WorkPolicy.of(needs_receipt=False, skips_resulted=True)))
    (work,) = await two_way.desk(device, sparing).work_for(WorkQuery((number_of(order),)))
    assert work.codes == ("C-UREA",)
    await sparing.close()


async def test_two_codes_of_one_test_are_never_both_given(two_way: TwoWay, bench: Bench):
    device = await two_way.device({"BIL-DCA": "TBIL", "BIL-BUBC": "TBIL", "C-CREA": "CREA"})
    order = await bench.received("TBIL", "CREA")
    assert await two_way.codes(device, number_of(order)) == [("BIL-DCA", "C-CREA")]


async def test_two_methods_of_one_analyte_are_never_both_given(two_way: TwoWay, bench: Bench):
    """Two tests with one LOINC: the first of the order is measured, also after it has been."""
    device = await two_way.device({"C-UREA": "UREA", "C-CREA": "CREA"})
    await two_way.execute("update tests set loinc = '2160-0' where code = 'UREA'")
    try:
        order = await bench.received("CREA", "UREA")
        assert await two_way.codes(device, number_of(order)) == [("C-CREA",)]
        await bench.enter(order, CREA="1.0")
        await bench.verify(order, {"test_code": "CREA"})
        assert await two_way.codes(device, number_of(order)) == []
    finally:
        await two_way.execute("update tests set loinc = '3091-6' where code = 'UREA'")


async def test_one_code_of_several_tests_is_given_once(two_way: TwoWay, bench: Bench):
    device = await two_way.device({"GLUC": "GLU"})
    await two_way.map(device, "GLUC", "FBS")
    order = await bench.order("GLU", "FBS")
    await bench.collect(order)
    await two_way.execute(
        "update order_lines set sample_id = (select id from samples where accession_no = :n) where order_id = :id",
        n=number_of(order), id=order.order_id,
    )  # fmt: skip
    assert await two_way.codes(device, number_of(order)) == [("GLUC",)]
    await two_way.execute(
        "update order_lines l set state = 'verified' from tests t"
        " where t.id = l.test_id and t.code = 'GLU' and l.order_id = :id",
        id=order.order_id,
    )  # fmt: skip
    assert await two_way.codes(device, number_of(order)) == [("GLUC",)], "the other variant is still open"


async def test_everything_that_waits_is_bounded_and_oldest_first(two_way: TwoWay, bench: Bench):
    device = await two_way.device({"C-TRIG": "TRIG"})
    orders = [await bench.received("TRIG") for _ in range(4)]
    await bench.order("TRIG")
    few = DeskFactory(bench.database, DeskPolicy(most_tubes=3))
    found = await two_way.desk(device, few).work_for(WorkQuery(wants_all=True))
    assert [work.specimen_id for work in found] == [number_of(order) for order in orders[:3]]
    await few.close()
    everything = await two_way.desk(device).work_for(WorkQuery(wants_all=True))
    assert [work.specimen_id for work in everything] == [number_of(order) for order in orders]


async def test_a_query_that_is_taken_back_is_not_answered(two_way: TwoWay, bench: Bench):
    device = await two_way.device()
    order = await bench.received("CREA")
    query = WorkQuery((number_of(order),), is_cancelled=True)
    assert await two_way.desk(device).work_for(query) == ()


async def test_a_device_that_is_given_no_work_has_no_desk(two_way: TwoWay):
    only_sends = await two_way.device(answers_queries=False, sends_unasked=False)
    assert two_way.desks.desk(only_sends) is None
    asks = await two_way.device(sends_unasked=False)
    found = two_way.desks.desk_for("hl7", lambda protocol, peer: asks if (protocol, peer) == ("hl7", "p:1") else None)
    assert found("p:1") is not None
    assert found("p:2") is None


async def test_the_listeners_give_each_peer_its_desk(two_way: TwoWay, bench: Bench):
    door = Door(bench.database)
    await two_way.execute("update analyzers set peers = '{}'")
    device = await two_way.device(protocol="astm", style="astm")
    await two_way.execute("update analyzers set peers = '{192.0.2.77}' where id = :id", id=device.id)
    await door.reload()
    limits = ListenerLimits()
    with_desks = listeners(door, "127.0.0.1", {"astm": 0, "hl7": 0}, limits, two_way.desks.desk)
    assert [one.desk_for("192.0.2.77:5") is not None for one in with_desks] == [True, False]
    assert with_desks[0].desk_for("192.0.2.78:5") is None
    assert listeners(door, "127.0.0.1", {"astm": 0}, limits)[0].desk_for("192.0.2.77:5") is None


# What is written down


async def test_every_query_is_written_down_after_its_answer(two_way: TwoWay, bench: Bench):
    device = await two_way.device()
    order = await bench.received("CREA")
    desk = two_way.desk(device)
    await desk.work_for(WorkQuery((number_of(order),)))
    assert await two_way.queries(device) == [], "not in the way of the answer"
    await desk.work_for(WorkQuery(("000000000000",)))
    await desk.work_for(WorkQuery(wants_all=True))
    await two_way.desks.flush()
    rows = await two_way.queries(device)
    assert [row.specimen_ids for row in rows] == [[number_of(order)], ["000000000000"], []]
    assert [row.found for row in rows][:2] == [1, 0]
    assert all(0 < row.elapsed_ms < 2000 for row in rows)
    await two_way.desks.flush()
    assert len(await two_way.queries(device)) == 3


async def test_the_background_work_writes_queries_down_and_forgets_old_ones(two_way: TwoWay, bench: Bench):
    device = await two_way.device()
    await two_way.execute(
        "insert into device_queries (id, created_at, analyzer_id, specimen_ids, found, elapsed_ms)"
        " values (gen_random_uuid(), now() - interval '40 days', :id, '{old}', 0, 1)",
        id=device.id,
    )  # fmt: skip
    async with running(two_way.desks):
        await two_way.desk(device).work_for(WorkQuery(("000000000000",)))
        await eventually(
            lambda: two_way.queries(device),
            lambda rows: [row.specimen_ids for row in rows] == [["000000000000"]],
        )


async def test_what_is_in_memory_is_written_down_at_the_end(two_way: TwoWay):
    device = await two_way.device()
    async with running(two_way.desks):
        await asyncio.sleep(0)
        await two_way.desk(device).work_for(WorkQuery(("1",)))
    assert [row.specimen_ids for row in await two_way.queries(device)] == [["1"]]


async def test_nothing_of_a_patient_is_logged(two_way: TwoWay, bench: Bench, caplog):
    device = await two_way.device()
    order = await bench.received("CREA")
    with caplog.at_level(logging.DEBUG):
        caplog.clear()
        await two_way.desk(device).work_for(WorkQuery((number_of(order),)))
        download = await two_way.desk(device).next_download()
        await two_way.desk(device).settle(download, DownloadResult.ACCEPTED)
    said = "\n".join(f"{record.getMessage()} {record.__dict__}" for record in caplog.records if "desk" in record.name)
    assert "query: 1 tubes" in said
    for secret in ("Asha", "1988", number_of(order), bench.patient, "C-CREA"):
        assert secret not in said


# The store is away


async def test_without_a_store_a_query_has_no_answer_soon(two_way: TwoWay):
    device = await two_way.device()
    desks = gone()
    begun = time.monotonic()
    assert await two_way.desk(device, desks).work_for(WorkQuery(("000000000000",))) is None
    assert time.monotonic() - begun < 1.5
    (noted,) = desks._queries
    assert noted.found == NOT_ANSWERED
    await desks.close()


async def test_a_slow_store_counts_as_away(two_way: TwoWay, superuser):
    device = await two_way.device()
    desks = DeskFactory(two_way.bench.database, DeskPolicy(answer_s=0.3))
    desk = two_way.desk(device, desks)
    async with superuser.transaction():
        await superuser.execute("lock table samples in access exclusive mode")
        assert await desk.work_for(WorkQuery(("000000000000",))) is None
    assert await desk.work_for(WorkQuery(("000000000000",))) == ()
    await desks.close()


async def test_a_store_that_falls_silent_is_left_for_another_connection(
    two_way: TwoWay, bench: Bench, postgres_server, database_name, open_wire
):
    device = await two_way.device()
    order = await bench.received("CREA")
    wire = await open_wire(postgres_server.port)
    url = postgres_server.app_url(database_name).replace(f":{postgres_server.port}/", f":{wire.port}/")
    behind = open_database(url, audit_key=AUDIT_KEY, seal_key=SEAL_KEY, pool_size=2)
    desks = DeskFactory(behind, DeskPolicy(answer_s=0.5, connections=2))
    desk = two_way.desk(device, desks)
    query = WorkQuery((number_of(order),))
    assert len(await desk.work_for(query)) == 1
    wire.freeze()
    for _ in range(4):
        begun = time.monotonic()
        assert await desk.work_for(query) is None
        assert time.monotonic() - begun < 1.5
    wire.thaw()
    assert len(await desk.work_for(query)) == 1
    await desks.close()
    await behind.close()


async def test_lost_connections_are_replaced_within_the_answer(two_way: TwoWay, bench: Bench, superuser):
    device = await two_way.device()
    order = await bench.received("CREA")
    desk = two_way.desk(device)
    for _ in range(3):
        assert len(await desk.work_for(WorkQuery((number_of(order),)))) == 1
        killed = await superuser.fetch(
            "select pg_terminate_backend(pid, 5000) from pg_stat_activity where application_name = 'labsetu desk'"
        )
        assert killed
    assert len(await desk.work_for(WorkQuery((number_of(order),)))) == 1


async def test_the_database_goes_away_and_comes_back(
    two_way: TwoWay, bench: Bench, postgres_server, database_name, open_wire
):
    """Queries get no answer while it is away, and what became of a download is not forgotten."""
    device = await two_way.device()
    order = await bench.received("CREA")
    wire = await open_wire(postgres_server.port)
    url = postgres_server.app_url(database_name).replace(f":{postgres_server.port}/", f":{wire.port}/")
    behind = open_database(url, audit_key=AUDIT_KEY, seal_key=SEAL_KEY, pool_size=2)
    desks = DeskFactory(behind, DeskPolicy(answer_s=0.4, poll_s=0.1))
    desk = two_way.desk(device, desks)
    query = WorkQuery((number_of(order),))
    async with running(desks):
        download = await desk.next_download()
        await wire.cut()
        assert await desk.work_for(query) is None
        await desk.settle(download, DownloadResult.ACCEPTED)
        waiting = asyncio.ensure_future(desk.next_download())
        await asyncio.sleep(0.3)
        assert not waiting.done()
        assert (await two_way.items(order))[0].state is DeviceWorkState.WAITING
        await wire.mend()
        await eventually(lambda: two_way.items(order), lambda rows: rows[0].state is DeviceWorkState.ACCEPTED)
        assert len(await desk.work_for(query)) == 1
        await eventually(lambda: two_way.queries(device), lambda rows: [row.found for row in rows] == [NOT_ANSWERED, 1])
        other = await bench.received("CREA")
        assert (await asyncio.wait_for(waiting, 5)).work.specimen_id == number_of(other)
    await behind.close()


# Many at once


async def test_twenty_devices_ask_at_once_and_each_gets_its_own(two_way: TwoWay, bench: Bench):
    devices = [await two_way.device({f"CREA-{at}": "CREA"}, sends_unasked=False) for at in range(20)]
    orders = [await bench.received("CREA") for _ in range(3)]
    numbers = tuple(number_of(order) for order in orders)
    answers = await asyncio.gather(*(two_way.codes(device, *numbers) for device in devices for _ in range(5)))
    assert answers == [[(f"CREA-{at}",)] * 3 for at in range(20) for _ in range(5)]
    await two_way.desks.flush()
    assert [len(await two_way.queries(device)) for device in devices] == [5] * 20


async def test_two_connections_of_one_device_do_not_both_send(two_way: TwoWay, bench: Bench):
    device = await two_way.device()
    orders = [await bench.received("CREA") for _ in range(8)]
    sent: list[str] = []

    async def connection() -> None:
        desk = two_way.desk(device)
        while True:
            download = await desk.next_download()
            await asyncio.sleep(0.005)
            sent.append(download.work.specimen_id)
            await desk.settle(download, DownloadResult.ACCEPTED)

    lines = [asyncio.ensure_future(connection()) for _ in range(3)]
    done = [DeviceWorkState.ACCEPTED] * 8
    await eventually(lambda: states(two_way, orders), lambda found: found == done)
    await asyncio.sleep(0.3)
    for line in lines:
        line.cancel()
    assert sorted(sent) == sorted(number_of(order) for order in orders)


# What a device is sent


async def test_a_waiting_desk_is_woken_by_a_receipt(two_way: TwoWay, bench: Bench):
    device = await two_way.device()
    desks = DeskFactory(bench.database, DeskPolicy(poll_s=60))
    order = await bench.order("CREA")
    await bench.collect(order)
    async with running(desks):
        waiting = asyncio.ensure_future(two_way.desk(device, desks).next_download())
        await asyncio.sleep(0.3)
        assert not waiting.done()
        await bench.receive(order)
        download = await asyncio.wait_for(waiting, 5)
    assert (download.work.specimen_id, download.work.codes) == (number_of(order), ("C-CREA",))
    assert download.work.patient_name == "Asha Verma"


async def test_work_is_found_without_notifications(two_way: TwoWay, bench: Bench):
    device = await two_way.device()
    waiting = asyncio.ensure_future(two_way.desk(device).next_download())
    await asyncio.sleep(0.1)
    order = await bench.received("CREA")
    assert (await asyncio.wait_for(waiting, 5)).work.specimen_id == number_of(order)


async def test_a_device_that_is_not_told_waits_for_ever(two_way: TwoWay, bench: Bench):
    device = await two_way.device(sends_unasked=False)
    await bench.received("CREA")
    waiting = asyncio.ensure_future(two_way.desk(device).next_download())
    await asyncio.sleep(0.3)
    assert not waiting.done()
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting


async def test_cancelling_at_any_moment_loses_and_holds_nothing(two_way: TwoWay, bench: Bench):
    device = await two_way.device()
    order = await bench.received("CREA")
    desk = two_way.desk(device)
    taken = 0
    for step in range(40):
        waiting = asyncio.ensure_future(desk.next_download())
        await asyncio.sleep(step * 0.0004)
        if waiting.done():
            taken += 1
            await two_way.desks._give_back(waiting.result())
            continue
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
    (item,) = await two_way.items(order)
    assert (item.state, item.attempts) == (DeviceWorkState.WAITING, 0)
    assert (await asyncio.wait_for(desk.next_download(), 2)).work.specimen_id == number_of(order)
    assert taken < 40, "some were cancelled"


@pytest.mark.parametrize(
    ("protocol", "style", "state"), [("hl7", "law", DeviceWorkState.ACCEPTED), ("astm", "astm", DeviceWorkState.SENT)]
)
async def test_what_a_device_takes_is_settled_as_far_as_it_says(
    two_way: TwoWay, bench: Bench, protocol: str, style: str, state: DeviceWorkState
):
    device = await two_way.device(protocol=protocol, style=style)
    order = await bench.received("CREA")
    desk = two_way.desk(device)
    await desk.settle(await desk.next_download(), DownloadResult.ACCEPTED)
    (item,) = await two_way.items(order)
    assert (item.state, item.attempts) == (state, 1)
    assert item.settled_at is not None
    assert (await bench.events(order))[-1].kind == "device_work_sent"
    assert await two_way.take(device) is None


async def test_a_refusal_needs_a_person_and_is_not_sent_again(two_way: TwoWay, bench: Bench):
    device = await two_way.device()
    order = await bench.received("CREA")
    desk = two_way.desk(device)
    await desk.settle(await desk.next_download(), DownloadResult.REFUSED, "UA\x00: reagent is empty " + "x" * 300)
    (item,) = await two_way.items(order)
    assert item.state is DeviceWorkState.REFUSED
    assert item.note.startswith("UA: reagent is empty")
    assert len(item.note) == 200
    assert (await bench.row(order)).attention == [f"DeviceWork:{device.code}"]
    event = (await bench.events(order))[-1]
    assert (event.kind, event.source, event.actor) == ("device_work_refused", "analyzer", device.code)
    assert event.detail == {"accession_no": number_of(order), "action": "new", "tests": 1}
    assert await two_way.take(device) is None


async def test_what_did_not_arrive_is_sent_again_later(two_way: TwoWay, bench: Bench):
    device = await two_way.device()
    order = await bench.received("CREA")
    desk = two_way.desk(device)
    for attempt in (1, 2):
        download = await desk.next_download()
        await desk.settle(download, DownloadResult.UNDELIVERED, "no answer to ENQ")
        (item,) = await two_way.items(order)
        assert (item.state, item.attempts, item.note) == (DeviceWorkState.WAITING, attempt, "no answer to ENQ")
        wait = (item.not_before - item.settled_at).total_seconds()
        assert wait == 5 * attempt
        assert await two_way.take(device) is None
        await two_way.execute("update device_work set not_before = now() where id = :id", id=item.id)
    assert (await bench.row(order)).attention == []


async def test_work_of_a_process_that_died_is_sent_again(two_way: TwoWay, bench: Bench):
    device = await two_way.device()
    await bench.received("CREA")
    brief = DeskFactory(bench.database, replace(two_way.desks.policy, lease_s=0.2))
    first = await two_way.desk(device, brief).next_download()
    await brief.close()
    assert await two_way.take(device) is None
    again = await asyncio.wait_for(two_way.desk(device).next_download(), 5)
    assert again.id == first.id


async def test_an_outcome_that_comes_twice_counts_once(two_way: TwoWay, bench: Bench):
    device = await two_way.device()
    order = await bench.received("CREA")
    desk = two_way.desk(device)
    download = await desk.next_download()
    await desk.settle(download, DownloadResult.ACCEPTED)
    await desk.settle(download, DownloadResult.REFUSED)
    assert [row.state for row in await two_way.items(order)] == [DeviceWorkState.ACCEPTED]
    assert (await bench.row(order)).attention == []
