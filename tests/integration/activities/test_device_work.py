"""What staff commands put into the queue of device work, and take out of it."""

import pytest

from activities.device_work import Wanted, queue_added, queue_work
from domain.device_orders import DownloadResult, WorkAction
from domain.enums import DeviceWorkState, LineState, MappingState, OrderStage, ResultState
from domain.messages import CommandKind
from store.tables.orders import Order, OrderLine, Sample
from tests.fixtures.bench import Bench
from tests.fixtures.two_way import TwoWay
from tests.integration.activities.test_commands import refused


def number_of(order) -> str:
    return order.samples[0].accession_no


async def reject(bench: Bench, order) -> None:
    await bench.do(CommandKind.REJECT_SAMPLE, order, {"accession_no": number_of(order), "reason_code": "clotted"})


async def cancel(bench: Bench, order) -> None:
    await bench.do(CommandKind.CANCEL_ORDER, order, {"reason": "asked twice"}, "front_desk")


async def rerun(bench: Bench, order, *codes: str, **more):
    payload = {"accession_no": number_of(order), "test_codes": list(codes), **more}
    return await bench.do(CommandKind.RERUN_TESTS, order, payload)


async def measured(two_way: TwoWay, order, device, state: DeviceWorkState = DeviceWorkState.ACCEPTED) -> None:
    """Let a device have measured what staff typed, as told to."""
    await two_way.execute(
        "update results set analyzer_id = :device where sample_id in (select id from samples where order_id = :id)",
        device=device.id, id=order.order_id,
    )  # fmt: skip
    for item in await two_way.items(order):
        await two_way.settled(item, state)


async def again(bench: Bench, order, wanted: Wanted | None = None) -> list[str]:
    """Queue the order's samples once more, as a repeated receipt would."""
    async with bench.database.transaction() as session:
        row = await session.get_one(Order, order.order_id, with_for_update=True)
        samples = [await session.get_one(Sample, sample.id) for sample in await bench.samples(order)]
        return await queue_work(session, row, samples, wanted)


# On receipt


async def test_a_receipt_queues_the_tube_for_every_device_that_can(two_way: TwoWay, bench: Bench):
    one, two = await two_way.device(), await two_way.device({"17": "CREA"})
    asks = await two_way.device(sends_unasked=False)
    elsewhere = await two_way.device(branch="BLR")
    other_tests = await two_way.device({"H": "HGB"})
    unconfirmed = await two_way.device({"C": "CREA"}, state=MappingState.PROPOSED)
    order = await bench.order("CREA", "UREA")
    await bench.collect(order)
    assert await two_way.items(order) == [], "not before it is in the laboratory"
    await bench.receive(order)
    assert await two_way.seen(order, one) == [("new", "waiting", ["C-CREA", "C-UREA"])]
    assert await two_way.seen(order, two) == [("new", "waiting", ["17"])]
    for device in (asks, elsewhere, other_tests, unconfirmed):
        assert await two_way.items(order, device) == []


async def test_a_device_out_of_use_is_not_told(two_way: TwoWay, bench: Bench):
    device = await two_way.device()
    await two_way.execute("update analyzers set is_active = false where id = :id", id=device.id)
    assert await two_way.items(await bench.received("CREA")) == []


async def test_a_repeated_receipt_queues_nothing_more(two_way: TwoWay, bench: Bench):
    await two_way.device()
    order = await bench.received("CREA", "UREA")
    assert await again(bench, order) == []
    (item,) = await two_way.items(order)
    await two_way.settled(item, DeviceWorkState.ACCEPTED)
    assert await again(bench, order) == []
    await two_way.settled(item, DeviceWorkState.WITHDRAWN)
    assert len(await again(bench, order)) == 1


async def test_a_refused_command_queues_nothing(two_way: TwoWay, bench: Bench):
    await two_way.device()
    order = await bench.order("CREA", "HGB")
    first, second = order.samples
    await bench.do(CommandKind.COLLECT_SAMPLES, order, {"samples": [{"accession_no": first.accession_no}]})
    numbers = {"accession_nos": [first.accession_no, second.accession_no]}
    assert await refused(bench, CommandKind.RECEIVE_SAMPLES, order, numbers) == "SAMPLE_NOT_COLLECTED"
    assert await two_way.items(order) == []


async def test_each_tube_has_its_own_entry(two_way: TwoWay, bench: Bench):
    await two_way.device({"C": "CREA", "H": "HGB"})
    order = await bench.received("CREA", "HGB")
    assert sorted(codes for _, _, codes in await two_way.seen(order)) == [["C"], ["H"]]


# Rejected and cancelled


@pytest.mark.parametrize("end", [reject, cancel])
async def test_what_waits_is_withdrawn(two_way: TwoWay, bench: Bench, end):
    await two_way.device()
    order = await bench.received("CREA")
    await end(bench, order)
    assert await two_way.seen(order) == [("new", "withdrawn", ["C-CREA"])]
    (item,) = await two_way.items(order)
    assert item.note in {"the sample was rejected", "the order was cancelled"}
    assert item.settled_at is not None


@pytest.mark.parametrize("end", [reject, cancel])
@pytest.mark.parametrize("state", [DeviceWorkState.SENT, DeviceWorkState.ACCEPTED])
async def test_what_the_device_has_is_cancelled_there(two_way: TwoWay, bench: Bench, end, state: DeviceWorkState):
    device = await two_way.device()
    order = await bench.received("CREA", "UREA")
    (item,) = await two_way.items(order)
    await two_way.settled(item, state)
    await end(bench, order)
    assert await two_way.seen(order) == [
        ("new", state.value, ["C-CREA", "C-UREA"]), ("cancel", "waiting", ["C-CREA", "C-UREA"]),
    ]  # fmt: skip
    download = await two_way.take(device)
    assert (download.work.action, set(download.work.codes)) == (WorkAction.CANCEL, {"C-CREA", "C-UREA"})


async def test_what_is_measured_is_not_cancelled(two_way: TwoWay, bench: Bench):
    device = await two_way.device()
    order = await bench.received("CREA", "UREA")
    await bench.enter(order, CREA="1.0")
    await measured(two_way, order, device)
    await reject(bench, order)
    assert await two_way.seen(order) == [
        ("new", "accepted", ["C-CREA", "C-UREA"]), ("cancel", "waiting", ["C-UREA"]),
    ]  # fmt: skip


async def test_refused_work_of_a_cancelled_order_needs_nobody(two_way: TwoWay, bench: Bench):
    device = await two_way.device()
    order = await bench.received("CREA")
    desk = two_way.desk(device)
    await desk.settle(await desk.next_download(), DownloadResult.REFUSED, "no reagent")
    assert (await bench.row(order)).attention
    await cancel(bench, order)
    assert await two_way.seen(order) == [("new", "withdrawn", ["C-CREA"])]
    assert (await bench.row(order)).attention == []


async def test_the_tube_that_replaces_a_rejected_one_is_new_work(two_way: TwoWay, bench: Bench):
    device = await two_way.device()
    order = await bench.received("CREA")
    await reject(bench, order)
    replacement = (await bench.samples(order))[-1]
    await bench.do(
        CommandKind.COLLECT_SAMPLES, order, {"samples": [{"accession_no": replacement.accession_no}]}, "phlebotomist"
    )
    await bench.do(CommandKind.RECEIVE_SAMPLES, order, {"accession_nos": [replacement.accession_no]})
    download = await two_way.take(device)
    assert (download.work.specimen_id, download.work.codes) == (replacement.accession_no, ("C-CREA",))


# Measured again


async def test_a_rerun_opens_the_test_and_tells_the_device_that_measured_it(two_way: TwoWay, bench: Bench):
    device, other = await two_way.device(), await two_way.device({"17": "CREA"})
    order = await bench.received("CREA", "UREA")
    await bench.enter(order, CREA="9.9", UREA="30")
    await measured(two_way, order, device)
    progress = await rerun(bench, order, "CREA", reason="delta")
    assert progress.stage is OrderStage.RECEIVED, "the first value is not released before there is a second"
    assert (await bench.line(order, "CREA")).state is LineState.ORDERED
    assert [result.state for result in await bench.results(order, "CREA")] == [ResultState.SUPERSEDED]
    assert (await bench.line(order, "UREA")).state is LineState.RESULTED
    assert (await two_way.seen(order, device))[-1] == ("rerun", "waiting", ["C-CREA"])
    assert [action for action, _, _ in await two_way.seen(order, other)] == ["new"]
    event = (await bench.events(order))[-1]
    assert (event.kind, event.actor) == ("rerun_requested", "technician")
    assert event.detail == {"accession_no": number_of(order), "tests": ["CREA"], "analyzers": [device.code]}
    entry = (await bench.audited(number_of(order)))[-1]
    assert entry.action == "results.rerun"
    assert "delta" in entry.body
    download = await two_way.take(device)
    assert (download.work.action, download.work.codes) == (WorkAction.RERUN, ("C-CREA",))


async def test_a_rerun_that_waits_is_not_queued_twice(two_way: TwoWay, bench: Bench):
    device = await two_way.device()
    order = await bench.received("CREA")
    await bench.enter(order, CREA="9.9")
    await measured(two_way, order, device)
    await rerun(bench, order, "CREA")
    await rerun(bench, order, "CREA")
    assert [action for action, _, _ in await two_way.seen(order)] == ["new", "rerun"]
    for item in await two_way.items(order):
        await two_way.settled(item, DeviceWorkState.ACCEPTED)
    await rerun(bench, order, "CREA")
    assert [action for action, _, _ in await two_way.seen(order)] == ["new", "rerun", "rerun"]


async def test_a_test_that_is_sent_back_is_measured_again(two_way: TwoWay, bench: Bench):
    device = await two_way.device()
    order = await bench.received("CREA", "UREA")
    await bench.enter(order, CREA="9.9", UREA="30")
    await measured(two_way, order, device)
    await bench.verify(
        order, {"test_code": "CREA", "is_accepted": False, "reason": "implausible"}, {"test_code": "UREA"}
    )
    assert (await two_way.seen(order))[-1] == ("rerun", "waiting", ["C-CREA"])
    await bench.enter(order, CREA="1.0")
    await bench.verify(order)
    count = len(await two_way.items(order))
    await bench.authorise(order)
    assert len(await two_way.items(order)) == count, "what is accepted queues nothing"


async def test_a_typed_result_is_measured_by_any_device_that_can(two_way: TwoWay, bench: Bench):
    device = await two_way.device()
    order = await bench.received("CREA")
    await bench.enter(order, CREA="9.9")
    await rerun(bench, order, "CREA")
    assert [action for action, _, _ in await two_way.seen(order, device)] == ["new", "rerun"]


async def test_a_device_that_asks_is_told_when_it_asks(two_way: TwoWay, bench: Bench):
    device = await two_way.device(sends_unasked=False)
    order = await bench.received("CREA")
    await bench.enter(order, CREA="9.9")
    await measured(two_way, order, device)
    assert await two_way.codes(device, number_of(order)) == []
    await rerun(bench, order, "CREA")
    assert await two_way.items(order) == []
    assert await two_way.codes(device, number_of(order)) == [("C-CREA",)]


async def test_reruns_are_refused_where_nothing_can_be_measured(two_way: TwoWay, bench: Bench):
    order = await bench.order("CREA", "HGB")
    chemistry = next(sample for sample in await bench.samples(order) if sample.specimen == "Serum").accession_no
    payload = {"accession_no": chemistry, "test_codes": ["CREA"]}
    assert await refused(bench, CommandKind.RERUN_TESTS, order, payload) == "SAMPLE_NOT_IN_HAND"
    await bench.collect(order)
    await bench.receive(order)
    for code in ("HGB", "TSH"):
        wrong = {"accession_no": chemistry, "test_codes": [code]}
        assert await refused(bench, CommandKind.RERUN_TESTS, order, wrong) == "TEST_NOT_ORDERED"
    other = await bench.received("CREA")
    stranger = {"accession_no": number_of(other), "test_codes": ["CREA"]}
    assert await refused(bench, CommandKind.RERUN_TESTS, order, stranger) == "SAMPLE_NOT_FOUND"
    signed = await bench.authorised(CREA="1.0")
    payload = {"accession_no": number_of(signed), "test_codes": ["CREA"]}
    assert await refused(bench, CommandKind.RERUN_TESTS, signed, payload) == "RESULT_AUTHORISED"


async def test_a_reflex_test_is_queued_beside_what_the_device_has(two_way: TwoWay, bench: Bench):
    device = await two_way.device()
    order = await bench.received("CREA")
    (item,) = await two_way.items(order)
    await two_way.settled(item, DeviceWorkState.ACCEPTED)
    urea, crea = await bench.line(await bench.received("UREA"), "UREA"), await bench.line(order, "CREA")
    await two_way.execute(
        "insert into order_lines (id, created_at, order_id, test_id, sample_id, price_paise, state, position)"
        " values (gen_random_uuid(), now(), :order, :test, :sample, 0, 'ordered', 9)",
        order=order.order_id, test=urea.test_id, sample=crea.sample_id,
    )  # fmt: skip
    assert await again(bench, order, Wanted(WorkAction.REFLEX, [urea.test_id])) == [device.code]
    assert (await two_way.seen(order, device))[-1] == ("reflex", "waiting", ["C-UREA"])
    assert await again(bench, order, Wanted(WorkAction.REFLEX, [urea.test_id])) == []
    download = await two_way.take(device)
    while download is not None and download.work.action is not WorkAction.REFLEX:
        download = await two_way.take(device)
    assert download.work.codes == ("C-UREA",)


# Tests that are added to a tube


async def added(bench: Bench, order, *codes: str, action: WorkAction = WorkAction.NEW) -> list[str]:
    """Add tests to the order's first tube, as the order side does, and queue them."""
    elsewhere = await bench.order(*codes)
    first = await bench.line(order, "CREA")
    async with bench.database.transaction() as session:
        row = await session.get_one(Order, order.order_id, with_for_update=True)
        lines = []
        for number, code in enumerate(codes, start=5):
            test_id = (await bench.line(elsewhere, code)).test_id
            facts = {"order_id": row.id, "sample_id": first.sample_id, "price_paise": 0, "position": number}
            lines.append(OrderLine(test_id=test_id, **facts))
        session.add_all(lines)
        return await queue_added(session, row, lines, action)


async def next_of(two_way: TwoWay, device, state: DeviceWorkState = DeviceWorkState.ACCEPTED):
    """Take what waits for a device and settle it; return its action and codes."""
    download = await two_way.take(device)
    if download is None:
        return None
    await two_way.execute("update device_work set state = :s where id = :id", s=state.value, id=download.id)
    return download.work.action, download.work.codes


@pytest.mark.parametrize("action", [WorkAction.NEW, WorkAction.REFLEX])
async def test_a_test_added_to_a_tube_goes_to_the_devices_that_run_it_and_nothing_else_again(
    two_way: TwoWay, bench: Bench, action: WorkAction
):
    device, other = await two_way.device(), await two_way.device({"17": "CREA"})
    order = await bench.received("CREA")
    assert await next_of(two_way, device) == (WorkAction.NEW, ("C-CREA",))
    assert await added(bench, order, "UREA", "GLU", action=action) == [device.code]
    assert await two_way.seen(order, other) == [("new", "waiting", ["17"])]
    assert await next_of(two_way, device) == (action, ("C-UREA", "C-GLU"))
    assert await next_of(two_way, device) is None


@pytest.mark.parametrize("action", [WorkAction.NEW, WorkAction.REFLEX])
async def test_a_test_added_before_the_first_work_left_is_sent_once(two_way: TwoWay, bench: Bench, action: WorkAction):
    device = await two_way.device()
    order = await bench.received("CREA")
    assert await added(bench, order, "UREA", action=action) == [device.code]
    assert await next_of(two_way, device) is not None
    await next_of(two_way, device)
    sent = [code for row in await two_way.items(order) if row.state is DeviceWorkState.ACCEPTED for code in row.codes]
    assert sorted(sent) == ["C-CREA", "C-UREA"]
    assert await next_of(two_way, device) is None


async def test_what_a_device_refused_is_not_sent_with_an_added_test(two_way: TwoWay, bench: Bench):
    device = await two_way.device()
    order = await bench.received("CREA")
    assert await next_of(two_way, device, DeviceWorkState.REFUSED) == (WorkAction.NEW, ("C-CREA",))
    await added(bench, order, "UREA")
    assert await next_of(two_way, device) == (WorkAction.NEW, ("C-UREA",))


async def test_a_tube_that_was_cancelled_at_the_device_is_ordered_anew(two_way: TwoWay, bench: Bench):
    device = await two_way.device()
    order = await bench.received("CREA")
    assert await next_of(two_way, device) == (WorkAction.NEW, ("C-CREA",))
    await two_way.execute(
        "insert into device_work (id, created_at, analyzer_id, order_id, sample_id, action, codes, state, attempts,"
        " not_before, note) select gen_random_uuid(), now(), analyzer_id, order_id, sample_id, 'cancel', codes,"
        " 'accepted', 1, now(), '' from device_work where order_id = :id",
        id=order.order_id,
    )
    assert await again(bench, order) == [device.code]
    assert await next_of(two_way, device) == (WorkAction.NEW, ("C-CREA",))


async def test_a_test_added_before_the_tube_is_received_waits_for_its_receipt(two_way: TwoWay, bench: Bench):
    device = await two_way.device()
    order = await bench.order("CREA")
    await bench.collect(order)
    assert await added(bench, order, "UREA") == []
    assert await two_way.items(order) == []
    await bench.receive(order)
    assert await two_way.seen(order, device) == [("new", "waiting", ["C-CREA", "C-UREA"])]


async def test_only_new_and_reflex_tests_are_added(bench: Bench):
    order = await bench.received("CREA")
    with pytest.raises(ValueError, match="not rerun"):
        await added(bench, order, "UREA", action=WorkAction.RERUN)
