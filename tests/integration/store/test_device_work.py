"""The queue of device work: who takes what, in which order, and what an entry comes to when it is taken."""

import asyncio
import uuid
from datetime import timedelta

import asyncpg
import pytest

from domain.clock import utc_now
from domain.device_orders import DeviceWork, Download, DownloadResult, WorkAction
from domain.enums import DeviceWorkState, SampleState
from domain.errors import ConflictError, NotFoundError
from domain.messages import CommandKind
from store import device_work, device_work_lists
from store.device_work import LONGEST_RETRY, Outcome, outcome_of, retry_after, take_next
from store.device_work_lists import AnsweredQuery
from store.tables.devices import DeviceWorkItem
from store.tube_work import MAX_BARCODES, WorkPolicy, work_now, work_on
from tests.fixtures.bench import Bench
from tests.fixtures.two_way import TwoWay

LEASE = timedelta(minutes=5)
POLICY = WorkPolicy()


@pytest.fixture
async def line(postgres_server, database_name):
    """A connection as the desk has it."""
    connection = await asyncpg.connect(
        postgres_server.app_url(database_name).replace("+asyncpg", ""), server_settings={"app.branches": "*"}
    )
    yield connection
    await connection.close()


async def add(two_way: TwoWay, device, order, action: WorkAction, *codes: str, **more) -> DeviceWorkItem:
    sample = await two_way.bench.sample(order.samples[0].accession_no)
    async with two_way.bench.database.transaction() as session:
        item = DeviceWorkItem(
            analyzer_id=device.id, order_id=order.order_id, sample_id=sample.id, action=action.value, codes=list(codes),
            not_before=utc_now(), **more,
        )  # fmt: skip
        session.add(item)
    return item


async def settle(bench: Bench, outcome: Outcome) -> bool:
    async with bench.database.transaction() as session:
        return await device_work.settle(session, outcome)


# Taking


async def test_the_oldest_is_taken_first_and_only_once(two_way: TwoWay, bench: Bench, line):
    device = await two_way.device()
    orders = [await bench.received("CREA") for _ in range(3)]
    taken = [await take_next(line, device.id, POLICY, LEASE) for _ in range(3)]
    assert [one.work.order_no for one in taken] == [order.order_no for order in orders]
    assert await take_next(line, device.id, POLICY, LEASE) is None


async def test_stat_work_overtakes(two_way: TwoWay, bench: Bench, line):
    device = await two_way.device()
    await bench.received("CREA")
    urgent = await bench.received("CREA")
    await two_way.execute("update orders set priority = 'stat' where id = :id", id=urgent.order_id)
    assert (await take_next(line, device.id, POLICY, LEASE)).work.order_no == urgent.order_no


async def test_work_on_one_tube_keeps_its_order(two_way: TwoWay, bench: Bench, line):
    device = await two_way.device()
    order = await bench.received("CREA", "UREA")
    await add(two_way, device, order, WorkAction.RERUN, "C-CREA")
    first = await take_next(line, device.id, POLICY, LEASE)
    assert (first.work.action, first.work.codes) == (WorkAction.NEW, ("C-CREA", "C-UREA"))
    assert await take_next(line, device.id, POLICY, LEASE) is None, "the rerun waits for what goes before it"
    await settle(bench, outcome_of(first, DownloadResult.ACCEPTED, "", is_answered=True))
    second = await take_next(line, device.id, POLICY, LEASE)
    assert (second.work.action, second.work.codes) == (WorkAction.RERUN, ("C-CREA",))


async def test_what_somebody_is_taking_is_skipped(two_way: TwoWay, bench: Bench, line, superuser):
    device = await two_way.device()
    held, free = await bench.received("CREA"), await bench.received("CREA")
    async with superuser.transaction():
        await superuser.execute("select from device_work where order_id = $1 for update", held.order_id)
        taken = await asyncio.wait_for(take_next(line, device.id, POLICY, LEASE), 2)
        assert taken.work.order_no == free.order_no


async def test_new_work_is_what_is_open_when_it_leaves(two_way: TwoWay, bench: Bench, line):
    """A code corrected since it was queued counts, and a test verified since does not."""
    device = await two_way.device()
    order = await bench.received("CREA", "UREA")
    await two_way.execute(
        "update device_mappings set device_code = 'C-NEW' where analyzer_id = :id and device_code = 'C-CREA'",
        id=device.id,
    )
    await bench.enter(order, UREA="30")
    await bench.verify(order)
    taken = await take_next(line, device.id, POLICY, LEASE)
    assert taken.work.codes == ("C-NEW",)
    assert await two_way.seen(order) == [("new", "waiting", ["C-NEW"])], "the entry says what was sent"


async def test_what_came_to_nothing_is_withdrawn_on_the_way(two_way: TwoWay, bench: Bench, line):
    device = await two_way.device()
    done, wanted = await bench.received("CREA"), await bench.received("CREA")
    await bench.enter(done, CREA="1.0")
    await bench.verify(done)
    assert (await take_next(line, device.id, POLICY, LEASE)).work.order_no == wanted.order_no
    (item,) = await two_way.items(done)
    assert (item.state, item.note) == (DeviceWorkState.WITHDRAWN, "no longer wanted")


async def test_a_device_out_of_use_is_sent_nothing(two_way: TwoWay, bench: Bench, line):
    device = await two_way.device()
    order = await bench.received("CREA")
    await two_way.execute("update analyzers set is_active = false where id = :id", id=device.id)
    sample = await bench.sample(order.samples[0].accession_no)
    assert (await work_now(line, device.id, sample.id, POLICY)).codes == ()


async def test_a_cancellation_takes_back_what_was_given_and_is_not_wanted(two_way: TwoWay, bench: Bench, line):
    device = await two_way.device()
    order = await bench.received("CREA", "UREA")
    (item,) = await two_way.items(order)
    await two_way.settled(item, DeviceWorkState.ACCEPTED)
    await two_way.execute(
        "update order_lines l set state = 'cancelled' from tests t"
        " where t.id = l.test_id and t.code = 'UREA' and l.order_id = :id",
        id=order.order_id,
    )
    await add(two_way, device, order, WorkAction.CANCEL, "C-CREA", "C-UREA", "C-GLU")
    taken = await take_next(line, device.id, POLICY, LEASE)
    assert (taken.work.action, taken.work.codes) == (WorkAction.CANCEL, ("C-UREA",))


async def test_a_cancellation_of_what_never_arrived_comes_to_nothing(two_way: TwoWay, bench: Bench, line):
    device = await two_way.device()
    order = await bench.received("CREA")
    taken = await take_next(line, device.id, POLICY, LEASE)
    await bench.do(CommandKind.CANCEL_ORDER, order, {"reason": "asked twice"}, "front_desk")
    assert await two_way.seen(order) == [
        ("new", "waiting", ["C-CREA"]), ("cancel", "waiting", ["C-CREA"]),
    ]  # fmt: skip
    assert await take_next(line, device.id, POLICY, LEASE) is None, "it must not overtake what is being sent"
    await settle(bench, outcome_of(taken, DownloadResult.UNDELIVERED, "", is_answered=True))
    await two_way.execute("update device_work set not_before = now() where id = :id", id=taken.id)
    assert await take_next(line, device.id, POLICY, LEASE) is None
    assert {state for _, state, _ in await two_way.seen(order)} == {"withdrawn"}


async def test_a_cancellation_follows_what_arrived_meanwhile(two_way: TwoWay, bench: Bench, line):
    device = await two_way.device()
    order = await bench.received("CREA")
    taken = await take_next(line, device.id, POLICY, LEASE)
    await bench.do(CommandKind.CANCEL_ORDER, order, {"reason": "asked twice"}, "front_desk")
    await settle(bench, outcome_of(taken, DownloadResult.ACCEPTED, "", is_answered=True))
    after = await take_next(line, device.id, POLICY, LEASE)
    assert (after.work.action, after.work.codes) == (WorkAction.CANCEL, ("C-CREA",))
    assert after.work.specimen_id == order.samples[0].accession_no


async def test_taken_work_can_be_given_back(two_way: TwoWay, bench: Bench, line):
    device = await two_way.device()
    order = await bench.received("CREA")
    taken = await take_next(line, device.id, POLICY, LEASE)
    await device_work.give_back(line, taken.id)
    (item,) = await two_way.items(order)
    assert (item.attempts, item.state) == (0, DeviceWorkState.WAITING)
    assert (await take_next(line, device.id, POLICY, LEASE)).id == taken.id


async def test_twenty_connections_share_forty_tubes(two_way: TwoWay, bench: Bench, postgres_server, database_name):
    device = await two_way.device()
    orders = [await bench.received("CREA") for _ in range(10)]
    url = postgres_server.app_url(database_name).replace("+asyncpg", "")
    taken: list[Download] = []
    async with asyncpg.create_pool(url, min_size=0, max_size=10, server_settings={"app.branches": "*"}) as pool:

        async def connection() -> None:
            for _ in range(40):
                async with pool.acquire() as one:
                    found = await take_next(one, device.id, POLICY, LEASE)
                if found is not None:
                    taken.append(found)
                elif len(taken) == len(orders):
                    return
                await asyncio.sleep(0.005)

        await asyncio.gather(*(connection() for _ in range(20)))
    assert sorted(one.work.order_no for one in taken) == sorted(order.order_no for order in orders)


# Settling


@pytest.mark.parametrize(("attempts", "seconds"), [(0, 5), (1, 5), (2, 10), (5, 80), (8, 300), (500, 300)])
def test_the_wait_grows_up_to_a_bound(attempts: int, seconds: int):
    assert retry_after(attempts) == timedelta(seconds=seconds) <= LONGEST_RETRY


@pytest.mark.parametrize(
    ("result", "is_answered", "state"),
    [
        (DownloadResult.ACCEPTED, True, DeviceWorkState.ACCEPTED),
        (DownloadResult.ACCEPTED, False, DeviceWorkState.SENT),
        (DownloadResult.REFUSED, False, DeviceWorkState.REFUSED),
        (DownloadResult.UNDELIVERED, True, DeviceWorkState.WAITING),
    ],
)
def test_what_a_connection_says_means(result: DownloadResult, is_answered: bool, state: DeviceWorkState):
    download = Download(uuid.uuid4(), DeviceWork("1", ("A",)))
    outcome = outcome_of(download, result, "a\r\nb", is_answered=is_answered)
    assert (outcome.work_id, outcome.state, outcome.note) == (download.id, state, "ab")


async def test_an_outcome_of_nothing_is_ignored(bench: Bench):
    assert not await settle(bench, Outcome(uuid.uuid4(), DeviceWorkState.SENT, utc_now()))


async def test_attention_lasts_until_the_last_refused_work_is_dealt_with(two_way: TwoWay, bench: Bench):
    device = await two_way.device()
    order = await bench.received("CREA", "HGB")
    second = await add(two_way, device, order, WorkAction.RERUN, "C-CREA")
    (first, _) = await two_way.items(order)
    for item in (first, second):
        assert await settle(bench, Outcome(item.id, DeviceWorkState.REFUSED, utc_now(), "reagent"))
    key = f"DeviceWork:{device.code}"
    assert (await bench.row(order)).attention == [key]
    branches = list(bench.lab.branches.values())
    for item, left in ((first, [key]), (second, [])):
        async with bench.database.transaction() as session:
            row = await device_work_lists.work_row(session, item.id, branches)
            await device_work_lists.withdraw(session, row, "by hand")
        assert (await bench.row(order)).attention == left


# Lists, resending, withdrawing


async def test_work_is_listed_newest_first_by_state_device_and_order(two_way: TwoWay, bench: Bench):
    one, other = await two_way.device(), await two_way.device()
    orders = [await bench.received("CREA") for _ in range(2)]
    scope = [bench.lab.branches["DEL"]]

    async def page(**how):
        facts = {"branches": scope, "state": "", "analyzer": "", "order_no": "", "before": None, "limit": 10, **how}
        async with bench.database.transaction() as session:
            return await device_work_lists.work_page(session, **facts)

    rows = await page(analyzer=one.code)
    assert [row.order_no for row in rows] == [orders[1].order_no, orders[0].order_no]
    assert {row.analyzer for row in await page(order_no=orders[0].order_no)} == {one.code, other.code}
    assert await page(analyzer=one.code, state="refused") == []
    assert [row.id for row in await page(analyzer=one.code, before=rows[0].id)] == [rows[1].id]
    assert await page(analyzer=one.code, branches=[bench.lab.branches["BLR"]]) == []


async def test_work_of_another_branch_is_unknown(two_way: TwoWay, bench: Bench):
    device = await two_way.device()
    order = await bench.received("CREA")
    (item,) = await two_way.items(order, device)
    async with bench.database.transaction() as session:
        with pytest.raises(NotFoundError) as caught:
            await device_work_lists.work_row(session, item.id, [bench.lab.branches["BLR"]])
    assert caught.value.code == "DEVICE_WORK_UNKNOWN"


@pytest.mark.parametrize(
    ("state", "resendable", "withdrawable"),
    [
        (DeviceWorkState.WAITING, True, True),
        (DeviceWorkState.REFUSED, True, True),
        (DeviceWorkState.SENT, True, False),
        (DeviceWorkState.ACCEPTED, True, False),
        (DeviceWorkState.WITHDRAWN, False, False),
    ],
)
async def test_what_people_may_do_depends_on_the_state(
    two_way: TwoWay, bench: Bench, state: DeviceWorkState, resendable: bool, withdrawable: bool
):
    device = await two_way.device()
    order = await bench.received("CREA")
    (item,) = await two_way.items(order, device)
    scope = [bench.lab.branches["DEL"]]
    for is_allowed, code, change in (
        (resendable, "DEVICE_WORK_NOT_RESENDABLE", device_work_lists.resend),
        (withdrawable, "DEVICE_WORK_NOT_WITHDRAWABLE", lambda s, r: device_work_lists.withdraw(s, r, "by hand")),
    ):
        await two_way.settled(item, state)
        async with bench.database.transaction() as session:
            row = await device_work_lists.work_row(session, item.id, scope)
            if is_allowed:
                await change(session, row)
                continue
            with pytest.raises(ConflictError) as caught:
                await change(session, row)
            assert caught.value.code == code


async def test_what_is_being_sent_is_left_alone(two_way: TwoWay, bench: Bench, line):
    device = await two_way.device()
    await bench.received("CREA")
    taken = await take_next(line, device.id, POLICY, LEASE)
    async with bench.database.transaction() as session:
        row = await device_work_lists.work_row(session, taken.id, [bench.lab.branches["DEL"]])
        assert row.is_being_sent
        with pytest.raises(ConflictError, match="being sent"):
            await device_work_lists.resend(session, row)
        with pytest.raises(ConflictError, match="being sent"):
            await device_work_lists.withdraw(session, row, "by hand")


# Queries


async def test_latencies_are_counted_by_device(two_way: TwoWay, bench: Bench, line):
    device = await two_way.device()
    now = utc_now()
    asked = [AnsweredQuery(device.id, ("1",), found, ms, now) for found, ms in ((1, 2.0), (0, 4.0), (-1, 2000.0))]
    old = AnsweredQuery(device.id, ("1",), 1, 9999.0, now - timedelta(days=2))
    await device_work_lists.keep_queries(line, [*asked, old])
    async with bench.database.transaction() as session:
        since = now - timedelta(hours=1)
        rows = await device_work_lists.latencies(session, branches=[bench.lab.branches["DEL"]], since=since)
    (row,) = [row for row in rows if row.analyzer == device.code]
    assert (row.queries, row.unanswered, row.without_work) == (3, 1, 1)
    assert (row.p50_ms, row.p95_ms, row.max_ms) == (4, 2000, 2000)
    async with bench.database.transaction() as session:
        await device_work_lists.forget_queries(session, now - timedelta(days=1))
    assert len(await two_way.queries(device)) == 3


async def test_of_too_many_barcodes_the_first_count(two_way: TwoWay, bench: Bench, line):
    device = await two_way.device()
    order = await bench.received("CREA")
    number = order.samples[0].accession_no
    noise = [f"{at:012d}" for at in range(MAX_BARCODES)]
    assert await work_on(line, device.id, [*noise, number], POLICY) == []
    assert [work.specimen_id for work in await work_on(line, device.id, [*noise[1:], number], POLICY)] == [number]


def test_the_policy_of_a_lab():
    assert WorkPolicy.of(needs_receipt=True, skips_resulted=True).values() == (True, ["received"])
    assert WorkPolicy().values() == (False, [SampleState.COLLECTED.value, SampleState.RECEIVED.value])
