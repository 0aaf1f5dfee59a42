"""The dispatcher on real rows, with a stand-in for Temporal that counts, goes away, and says that a run is gone."""

import asyncio
import uuid
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import pytest
from pydantic import BaseModel
from sqlalchemy import text
from sqlmodel import select

from devstack.postgres import PostgresServer
from domain.enums import CommandState, MessageState, PartnerEventState, Priority
from domain.ids import order_workflow_id
from domain.messages import CommandKind, MessageRef, SignalName, WorkflowType
from domain.partner_events import PartnerEvent
from domain.policies import LabPolicies
from inbox.dispatcher import Dispatcher
from inbox.partner_events import Done, Signal, Start, Unmatched, event_ref, routers
from store.exchange import keep_event
from store.session import Database
from store.tables.exchange import PartnerEventRow
from store.tables.results import MessageSignal
from tests.fixtures.analyzers import Inbox, chemistry
from tests.fixtures.bench import Bench
from tests.fixtures.workflows import eventually
from workflows.gateway import NotAppliedInTimeError, RefusedByWorkflowError, TemporalAwayError, WorkflowGoneError

NOW = timedelta(0)


@dataclass
class GatewayStandIn:
    """Temporal as told."""

    lab: str = "LAB1"
    policies: LabPolicies = field(default_factory=LabPolicies)
    is_away: bool = False
    errors: dict[str, Exception] = field(default_factory=dict)
    started: Counter[str] = field(default_factory=Counter)
    signals: dict[str, list[tuple[str, SignalName, BaseModel]]] = field(default_factory=dict)
    runs: Counter[str] = field(default_factory=Counter)
    commands: Counter[uuid.UUID] = field(default_factory=Counter)
    database: Database | None = None

    def _check(self, key: object) -> None:
        if self.is_away:
            raise TemporalAwayError("away")
        if (error := self.errors.get(str(key))) is not None:
            raise error

    async def start_order(self, *, order_no: str, branch: str, priority: Priority, summary: str = "") -> bool:
        if self.is_away:
            return False
        self._check(order_no)
        self.started[order_no] += 1
        return True

    async def signal(self, workflow_id: str, name: SignalName, argument: BaseModel, *, request_id: str) -> None:
        self._check(workflow_id)
        self.signals.setdefault(request_id, []).append((workflow_id, name, argument))

    async def start(self, kind: WorkflowType, workflow_id: str, argument: BaseModel, *, summary: str) -> None:
        self._check(workflow_id)
        self.runs[workflow_id] += 1

    async def send_command(self, command: Any) -> None:
        self._check(command.id)
        self.commands[command.id] += 1


@pytest.fixture
async def gateway(bench: Bench) -> GatewayStandIn:
    """A fresh stand-in, and nothing waiting from the test before."""
    async with bench.database.transaction() as session:
        await session.execute(text("update orders set workflow_started_at = now()"))
        await session.execute(text("update message_signals set delivered_at = now()"))
        await session.execute(text("update commands set state = 'applied'"))
        await session.execute(text("update partner_events set state = 'ignored' where state = 'received'"))
        await session.execute(text("update instrument_messages set state = 'ignored' where state = 'received'"))
    return GatewayStandIn()


def dispatcher(database: Database, gateway: GatewayStandIn, **how: Any) -> Dispatcher:
    options = {"command_patience": NOW, "event_retry": NOW, "start_patience": NOW, "routers": {}, **how}
    return Dispatcher(database, gateway, "", **options)


async def event(bench: Bench, source: str = "gate", kind: str = "paid", **facts: str) -> uuid.UUID:
    told = PartnerEvent(event_id=uuid.uuid4().hex, kind=kind, **facts)
    async with bench.database.transaction() as session:
        await keep_event(session, source, told, raw=b"{}", headers={})
        query = select(PartnerEventRow.id).where(PartnerEventRow.event_id == told.event_id)
        return (await session.exec(query)).one()


async def event_row(bench: Bench, row_id: uuid.UUID) -> PartnerEventRow:
    async with bench.database.transaction() as session:
        return await session.get_one(PartnerEventRow, row_id)


async def test_orders_that_nobody_started_are_started_once(bench: Bench, gateway):
    orders = [await bench.order() for _ in range(3)]
    worker = dispatcher(bench.database, gateway)
    assert await worker.drain() == 3
    assert await worker.drain() == 0
    assert gateway.started == Counter(order.order_no for order in orders)
    assert (await bench.row(orders[0])).workflow_started_at is not None


async def test_a_cancelled_order_is_not_started(bench: Bench, gateway):
    order = await bench.order()
    await bench.do(CommandKind.CANCEL_ORDER, order, {"reason": "patient left"})
    await dispatcher(bench.database, gateway).drain()
    assert not gateway.started


async def test_what_is_for_temporal_waits_while_it_is_away(bench: Bench, gateway, inbox: Inbox):
    order = await bench.received()
    ref = await bench.store(CommandKind.RELEASE_REPORT, order, {"reason": "surgery"})
    paid = await event(bench)
    message_id = await inbox.keep(chemistry(order.samples[0].accession_no, ("CREA", "1.1")))
    gateway.is_away = True

    async def route(_session, row):
        return Signal("payment:X", SignalName.PARTNER_EVENT_RECEIVED, event_ref(row))

    worker = dispatcher(bench.database, gateway, routers={"gate": route})
    await worker.drain()
    assert (await inbox.message(message_id)).state is MessageState.MATCHED  # reading needs no Temporal
    assert (await bench.command(ref)).state is CommandState.ACCEPTED
    assert (await event_row(bench, paid)).state is PartnerEventState.RECEIVED
    gateway.is_away = False
    worker.rest = NOW
    worker._resting.clear()
    await worker.drain()
    assert gateway.started == Counter([order.order_no])
    assert gateway.commands == Counter([uuid.UUID(ref.command_id)])
    assert (await event_row(bench, paid)).state is PartnerEventState.DELIVERED
    assert len(gateway.signals) == 2


async def test_an_order_hears_of_its_results_once(bench: Bench, gateway, inbox: Inbox):
    order = await bench.received()
    message_id = await inbox.keep(chemistry(order.samples[0].accession_no, ("CREA", "1.1")))
    worker = dispatcher(bench.database, gateway)
    await worker.drain()
    await worker.drain()
    assert gateway.signals == {
        f"message:{message_id}:1:{order.order_id}": [
            (
                order_workflow_id("LAB1", order.order_no),
                SignalName.RESULTS_RECEIVED,
                MessageRef(message_id=str(message_id), reading=1),
            )
        ]
    }


async def test_results_of_an_order_that_has_ended_stay_on_record(bench: Bench, gateway, inbox: Inbox):
    order = await bench.received()
    message_id = await inbox.keep(chemistry(order.samples[0].accession_no, ("CREA", "1.1")))
    gateway.errors[order_workflow_id("LAB1", order.order_no)] = WorkflowGoneError("ended")
    await dispatcher(bench.database, gateway).drain()
    async with bench.database.transaction() as session:
        row = await session.get_one(MessageSignal, (message_id, order.order_id))
    assert row.delivered_at is not None
    assert len(await bench.results(order, "CREA")) == 1


class TestEvents:
    async def test_are_routed_to_their_run_under_a_stable_request_id(self, bench: Bench, gateway):
        row_id = await event(bench)
        row = await event_row(bench, row_id)

        async def route(_session, row):
            return Signal("payment:X", SignalName.PARTNER_EVENT_RECEIVED, event_ref(row))

        await dispatcher(bench.database, gateway, routers={"gate": route}).drain()
        assert list(gateway.signals) == [f"gate:{row.event_id}"]
        assert (await event_row(bench, row_id)).workflow_id == "payment:X"

    async def test_start_a_run(self, bench: Bench, gateway):
        row_id = await event(bench)

        async def route(_session, row):
            return Start("abdm-hi:1", WorkflowType.HEALTH_INFO_TRANSFER, lambda *_: event_ref(row), "Share")

        await dispatcher(bench.database, gateway, routers={"gate": route}).drain()
        assert gateway.runs == Counter(["abdm-hi:1"])
        assert (await event_row(bench, row_id)).state is PartnerEventState.DELIVERED

    @pytest.mark.parametrize(
        ("route", "state", "reason"),
        [
            (Done("read"), PartnerEventState.DELIVERED, "read"),
            (Done("old", is_ignored=True), PartnerEventState.IGNORED, "old"),
            (Unmatched("nobody knows it"), PartnerEventState.RECEIVED, "nobody knows it"),
        ],
    )
    async def test_that_need_no_run(self, bench: Bench, gateway, route, state, reason):
        row_id = await event(bench)

        async def fixed(_session, _row):
            return route

        await dispatcher(bench.database, gateway, routers={"gate": fixed}).drain()
        row = await event_row(bench, row_id)
        assert (row.state, row.reason) == (state, reason)

    async def test_for_a_run_that_has_ended_are_ignored(self, bench: Bench, gateway):
        row_id = await event(bench)
        gateway.errors["payment:X"] = WorkflowGoneError("ended")

        async def route(_session, row):
            return Signal("payment:X", SignalName.PARTNER_EVENT_RECEIVED, event_ref(row))

        await dispatcher(bench.database, gateway, routers={"gate": route}).drain()
        assert (await event_row(bench, row_id)).state is PartnerEventState.IGNORED

    async def test_of_a_source_without_a_router_are_ignored(self, bench: Bench, gateway):
        row_id = await event(bench, "nobody")
        await dispatcher(bench.database, gateway).drain()
        assert (await event_row(bench, row_id)).state is PartnerEventState.IGNORED

    async def test_whose_subject_is_never_known_go_to_a_person(self, bench: Bench, gateway):
        row_id = await event(bench)

        async def route(_session, _row):
            return Unmatched("nobody knows it")

        await dispatcher(bench.database, gateway, routers={"gate": route}, event_patience=NOW).drain()
        assert (await event_row(bench, row_id)).state is PartnerEventState.UNMATCHED

    async def test_one_that_breaks_its_router_stops_nobody(self, bench: Bench, gateway):
        poison, good = await event(bench, kind="poison"), await event(bench)
        order = await bench.order()

        async def route(_session, row):
            if row.kind == "poison":
                raise KeyError("a defect")
            return Done("read")

        worker = dispatcher(bench.database, gateway, routers={"gate": route}, event_retry=timedelta(minutes=1))
        await worker.drain()
        assert (await event_row(bench, good)).state is PartnerEventState.DELIVERED
        row = await event_row(bench, poison)
        assert (row.state, row.reason) == (PartnerEventState.RECEIVED, "INTERNAL_ERROR: see the log")
        assert gateway.started == Counter([order.order_no])
        assert await worker.drain() == 0

    async def test_of_a_payment_find_their_invoice(self, bench: Bench, gateway):
        order = await bench.order()
        invoice_no = order.invoices[0].document_no
        row_id = await event(bench, "razorpay", "payment_link.paid", reference=invoice_no)
        stray = await event(bench, "razorpay", "payment_link.paid", reference="NOBODYS")
        await dispatcher(bench.database, gateway, routers=routers({})).drain()
        assert (await event_row(bench, row_id)).workflow_id == f"payment:{invoice_no}"
        assert (await event_row(bench, stray)).state is PartnerEventState.RECEIVED


class TestCommands:
    async def test_whose_request_did_not_get_through_are_sent(self, bench: Bench, gateway):
        order = await bench.order()
        ref = await bench.store(CommandKind.RELEASE_REPORT, order, {"reason": "surgery"})
        worker = dispatcher(bench.database, gateway)
        await worker.drain()
        await worker.drain()  # it is not pressed while it may be under way
        assert gateway.commands == Counter([uuid.UUID(ref.command_id)])

    async def test_are_left_to_their_own_request_first(self, bench: Bench, gateway):
        order = await bench.order()
        await bench.store(CommandKind.RELEASE_REPORT, order, {"reason": "surgery"})
        await dispatcher(bench.database, gateway, command_patience=timedelta(seconds=8)).drain()
        assert not gateway.commands

    @pytest.mark.parametrize("error", [WorkflowGoneError("ended"), RefusedByWorkflowError("no", code="ORDER_ENDED")])
    async def test_that_are_refused_say_so(self, bench: Bench, gateway, error):
        order = await bench.order()
        ref = await bench.store(CommandKind.RELEASE_REPORT, order, {"reason": "surgery"})
        gateway.errors[ref.command_id] = error
        await dispatcher(bench.database, gateway).drain()
        row = await bench.command(ref)
        assert (row.state, row.refusal_code) == (CommandState.REFUSED, error.code)

    async def test_for_a_run_that_has_yet_to_start_wait(self, bench: Bench, gateway):
        """After an outage the order's run starts first, and its payment's run a little later."""
        order = await bench.order()
        ref = await bench.store(CommandKind.RELEASE_REPORT, order, {"reason": "surgery"})
        gateway.errors[ref.command_id] = WorkflowGoneError("never started")
        worker = dispatcher(bench.database, gateway, start_patience=timedelta(minutes=1), rest=NOW)
        await worker.drain()
        assert (await bench.command(ref)).state is CommandState.ACCEPTED
        gateway.errors.clear()
        await worker.drain()
        assert gateway.commands == Counter([uuid.UUID(ref.command_id)])

    async def test_one_that_no_worker_applies_holds_up_nobody(self, bench: Bench, gateway):
        stuck, other = await bench.order(), await bench.order()
        first = await bench.store(CommandKind.RELEASE_REPORT, stuck, {"reason": "surgery"})
        broken = await bench.store(CommandKind.RELEASE_REPORT, stuck, {"reason": "surgery"})
        second = await bench.store(CommandKind.RELEASE_REPORT, other, {"reason": "surgery"})
        gateway.errors[first.command_id] = NotAppliedInTimeError("not applied in time")
        gateway.errors[broken.command_id] = KeyError("a defect")
        await dispatcher(bench.database, gateway).drain()
        assert gateway.commands == Counter([uuid.UUID(second.command_id)])
        assert (await bench.command(first)).state is CommandState.ACCEPTED
        assert (await bench.command(broken)).state is CommandState.ACCEPTED

    async def test_more_than_a_batch_that_nobody_applies_hold_up_nobody(self, bench: Bench, gateway, monkeypatch):
        monkeypatch.setattr("inbox.dispatcher.BATCH", 2)
        order = await bench.order()
        stuck = [await bench.store(CommandKind.RELEASE_REPORT, order, {"reason": "surgery"}) for _ in range(3)]
        last = await bench.store(CommandKind.RELEASE_REPORT, order, {"reason": "surgery"})
        for ref in stuck:
            gateway.errors[ref.command_id] = NotAppliedInTimeError("not applied in time")
        worker = dispatcher(bench.database, gateway)
        await worker.drain()
        await worker.drain()
        assert gateway.commands == Counter([uuid.UUID(last.command_id)])


async def test_an_order_that_temporal_refuses_holds_up_nobody(bench: Bench, gateway):
    refused, good = await bench.order(), await bench.order()
    gateway.errors[refused.order_no] = RuntimeError("invalid argument")
    await dispatcher(bench.database, gateway).drain()
    assert gateway.started == Counter([good.order_no])


async def test_a_message_that_breaks_the_reader_stops_nobody(bench: Bench, gateway, inbox: Inbox):
    order = await bench.received()
    poison = await inbox.keep(chemistry(order.samples[0].accession_no, ("CREA", "1.1")), "BS-2")
    good = await inbox.keep(chemistry(order.samples[0].accession_no, ("CREA", "1.2")))
    async with bench.database.transaction() as session:
        await session.execute(text("update analyzers set profile = '{\"charset\": 5}' where code = 'BS-2'"))
    await dispatcher(bench.database, gateway).drain()
    row = await inbox.message(poison)
    assert (row.state, row.reason) == (MessageState.UNREADABLE, "INTERNAL_ERROR: see the log")
    assert (await inbox.message(good)).state is MessageState.MATCHED


async def test_messages_are_read_in_the_order_they_came(bench: Bench, gateway, inbox: Inbox):
    order = await bench.received()
    for value in ("1.1", "1.2", "1.3"):
        await inbox.keep(chemistry(order.samples[0].accession_no, ("CREA", value), at=inbox.at()))
    await dispatcher(bench.database, gateway).drain()
    assert [result.value_text for result in await bench.results(order, "CREA")] == ["1.1", "1.2", "1.3"]


async def test_two_dispatchers_at_once_do_everything_once(bench: Bench, gateway, inbox: Inbox):
    orders = [await bench.received() for _ in range(4)]
    for order in orders:
        await inbox.keep(chemistry(order.samples[0].accession_no, ("CREA", "1.1")))
    workers = [dispatcher(bench.database, gateway) for _ in range(2)]
    await asyncio.gather(*(worker.drain() for worker in workers))
    await asyncio.gather(*(worker.drain() for worker in workers))
    for order in orders:
        assert len(await bench.results(order, "CREA")) == 1
    assert len(gateway.signals) == 4  # sent twice at most, each under one request id
    assert set(gateway.started) == {order.order_no for order in orders}


async def test_a_notification_wakes_it(
    bench: Bench, gateway, inbox: Inbox, postgres_server: PostgresServer, database_name: str
):
    dsn = postgres_server.app_url(database_name).replace("+asyncpg", "")
    worker = Dispatcher(bench.database, gateway, dsn, {}, poll=timedelta(seconds=30))
    running = asyncio.ensure_future(worker.run())
    try:
        await asyncio.sleep(0.5)  # all its lanes are asleep now
        order = await bench.order()

        async def is_started() -> bool:
            return gateway.started[order.order_no] == 1

        await eventually(is_started, within=5)
    finally:
        running.cancel()
        with suppress(asyncio.CancelledError):
            await running


async def test_a_dead_notification_line_and_a_dead_database_are_survived(gateway):
    from store.session import open_database
    from tests.fixtures.database import AUDIT_KEY, SEAL_KEY

    gone = open_database("postgresql+asyncpg://nobody:x@127.0.0.1:1/x", audit_key=AUDIT_KEY, seal_key=SEAL_KEY)
    worker = Dispatcher(gone, gateway, "postgresql://nobody:x@127.0.0.1:1/x", {}, poll=timedelta(milliseconds=20))
    running = asyncio.ensure_future(worker.run())
    await asyncio.sleep(0.3)
    assert not running.done()
    running.cancel()
    with suppress(asyncio.CancelledError):
        await running
    await gone.close()
