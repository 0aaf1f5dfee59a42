"""Carries what waits in PostgreSQL to where it belongs: reads messages, starts orders, signals, sends commands again.

Woken by NOTIFY, and by a timer in case a notification was lost. Everything is safe to repeat: two dispatchers may do
the same thing at once, because Temporal drops a second signal or update with the same id and PostgreSQL a second row.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import asyncpg
from sqlalchemy import text
from sqlmodel import col, select

from activities.commands import refuse_command
from domain.clock import utc_now
from domain.enums import CommandState, ExceptionKind, MessageState, PartnerEventState
from domain.errors import ConnectorError
from domain.ids import order_workflow_id
from domain.messages import MessageRef, SignalName
from inbox.instruments import interpret
from inbox.partner_events import Done, Route, Router, Signal, Start
from inbox.pictures import FileStore, PictureShelf
from store.exceptions import Noted, problem, settle
from store.session import Database, StoreUnavailableError
from store.tables.exchange import Command, PartnerEventRow
from store.tables.orders import Order
from store.tables.organisation import Branch
from store.tables.results import InstrumentMessage, MessageSignal
from workflows.gateway import (
    Gateway,
    NotAppliedInTimeError,
    RefusedByWorkflowError,
    TemporalAwayError,
    WorkflowGoneError,
)

logger = logging.getLogger(__name__)

BATCH = 50
_DELIVERED = text(
    "update message_signals set delivered_at = :now where message_id = :message_id and order_id = :order_id"
)


@dataclass
class _Waiting:
    """A stored command as the gateway takes it; the order's number is what a reversal is started with."""

    id: UUID
    kind: str
    workflow_id: str
    payload: dict[str, Any]


@dataclass(frozen=True)
class _Step:
    """One kind of thing to do.

    Attributes:
        find: What waits, oldest first.
        handle: Does one; True when something was done.
        set_aside: What becomes of one whose handling failed for a reason of its own.
    """

    find: Callable[[], Awaitable[list[UUID]]]
    handle: Callable[[UUID], Awaitable[bool]]
    set_aside: Callable[[UUID], Awaitable[None]]


@dataclass
class Dispatcher:
    """One per worker process.

    Reading messages, starting and signalling runs, and sending commands go on independently of each other, so that
    none of them waits for what another waits for. One thing that fails does not stop those behind it.

    Attributes:
        listen_dsn: Plain `postgresql://` address for LISTEN.
        routers: How events of each partner find their workflow.
        poll: Longest wait between two looks.
        command_patience: Age from which a stored command is sent again; its own request tries first.
        event_retry: Wait before an event whose subject is not known is looked at again.
        event_patience: Age from which such an event is given to a person.
        start_patience: How long after an order's start its payment and e-invoice runs may not exist yet.
        rest: Wait before something that failed for a reason of its own is tried again.
        files: Where images of instrument messages go; None: they stay in their messages.
    """

    database: Database
    gateway: Gateway
    listen_dsn: str
    routers: Mapping[str, Router]
    poll: timedelta = timedelta(seconds=2)
    command_patience: timedelta = timedelta(seconds=8)
    event_retry: timedelta = timedelta(seconds=10)
    event_patience: timedelta = timedelta(days=3)
    start_patience: timedelta = timedelta(minutes=1)
    rest: timedelta = timedelta(seconds=30)
    files: FileStore | None = None
    _resting: dict[UUID, datetime] = field(default_factory=dict)

    async def run(self) -> None:
        """Dispatch until cancelled."""
        lanes = [(lane, asyncio.Event()) for lane in self._lanes()]
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._listen([woken for _, woken in lanes]))
            for lane, woken in lanes:
                tasks.create_task(self._work(lane, woken))

    async def drain(self) -> int:
        """Do everything that can be done now and return how many things were done."""
        return sum([await self._drain(lane) for lane in self._lanes()])

    def _lanes(self) -> tuple[Sequence[_Step], ...]:
        return (
            (_Step(self._unread_messages, self._read_message, self._call_unreadable),),
            (
                _Step(self._unstarted_orders, self._start_order, self._let_rest),
                _Step(self._unsent_signals, self._send_signal, self._let_rest),
                _Step(self._unrouted_events, self._route_event, self._put_back),
            ),
            (_Step(self._unsent_commands, self._send_command, self._let_rest),),
            (_Step(self._missing_files, self._bring_file, self._let_rest),),
        )

    async def _work(self, lane: Sequence[_Step], woken: asyncio.Event) -> None:
        while True:
            woken.clear()
            try:
                done = await self._drain(lane)
            except StoreUnavailableError:
                logger.warning("the database is away, dispatching waits")
                done = 0
            if not done:
                with suppress(TimeoutError):
                    await asyncio.wait_for(woken.wait(), self.poll.total_seconds())

    async def _drain(self, lane: Sequence[_Step]) -> int:
        done = 0
        try:
            for step in lane:
                for key in await step.find():
                    done += await self._do(step, key)
        except TemporalAwayError:
            logger.warning("Temporal is away, what is meant for it waits")
        return done

    async def _do(self, step: _Step, key: UUID) -> bool:
        try:
            return await step.handle(key)
        except NotAppliedInTimeError:
            await self._let_rest(key)
        except (StoreUnavailableError, TemporalAwayError):
            raise
        except Exception:
            # a defect in handling one thing must not stop those behind it; it is kept and shown
            logger.exception("dispatching failed", extra={"row_id": str(key)})
            await step.set_aside(key)
        return False

    async def _let_rest(self, key: UUID) -> None:
        self._resting[key] = utc_now() + self.rest

    def _at_rest(self) -> list[UUID]:
        """Return what is not to be tried now: it must not take the place of others in a batch."""
        now = utc_now()
        self._resting = {key: until for key, until in self._resting.items() if until > now}
        return list(self._resting)

    async def _listen(self, woken: Sequence[asyncio.Event]) -> None:
        def wake(*_: object) -> None:
            for event in woken:
                event.set()

        while True:
            try:
                connection = await asyncpg.connect(self.listen_dsn, timeout=10)
                try:
                    await connection.add_listener("inbox", wake)
                    while not connection.is_closed():  # noqa: ASYNC110  asyncpg has no event for a lost connection
                        await asyncio.sleep(self.poll.total_seconds())
                finally:
                    await connection.close(timeout=2)
            except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError):
                logger.warning("listening for notifications failed, polling goes on")
                await asyncio.sleep(self.poll.total_seconds())

    # Raw messages

    async def _unread_messages(self) -> list[UUID]:
        query = select(InstrumentMessage.id).where(InstrumentMessage.state == MessageState.RECEIVED)
        async with self.database.transaction() as session:
            ordered = query.order_by(col(InstrumentMessage.received_at), col(InstrumentMessage.id)).limit(BATCH)
            return list((await session.exec(ordered)).all())

    async def _read_message(self, message_id: UUID) -> bool:
        async with self.database.transaction() as session:
            query = select(InstrumentMessage).where(
                InstrumentMessage.id == message_id, InstrumentMessage.state == MessageState.RECEIVED
            )
            row = (await session.exec(query.with_for_update(skip_locked=True))).one_or_none()
            if row is None:
                return False
            await interpret(session, row)
            logger.info("message read: %s", row.state.value, extra={"message_id": str(message_id)})
            return True

    async def _call_unreadable(self, message_id: UUID) -> None:
        async with self.database.transaction() as session:
            row = await session.get_one(InstrumentMessage, message_id)
            row.state, row.reason = MessageState.UNREADABLE, "INTERNAL_ERROR: see the log"
            session.add(row)
            found = {problem(ExceptionKind.UNREADABLE): Noted("INTERNAL_ERROR")}
            await settle(session, row.id, row.analyzer_id, found, is_whole=False)

    # Images that came with results

    async def _missing_files(self) -> list[UUID]:
        return await PictureShelf(self.database, self.files).missing(self._at_rest())

    async def _bring_file(self, file_id: UUID) -> bool:
        try:
            return await PictureShelf(self.database, self.files).bring(file_id)
        except ConnectorError as error:
            logger.warning("an image stays in its message for now: %s", error.code, extra={"row_id": str(file_id)})
            await self._let_rest(file_id)
            return False

    # Orders whose workflow is not known to run

    async def _unstarted_orders(self) -> list[UUID]:
        query = select(Order.id).where(
            col(Order.workflow_started_at).is_(None), Order.cancel_reason == "", col(Order.id).not_in(self._at_rest())
        )
        async with self.database.transaction() as session:
            return list((await session.exec(query.order_by(col(Order.created_at)).limit(BATCH))).all())

    async def _start_order(self, order_id: UUID) -> bool:
        async with self.database.transaction() as session:
            order = await session.get_one(Order, order_id)
            branch = await session.get_one(Branch, order.branch_id)
        if not await self.gateway.start_order(order_no=order.order_no, branch=branch.code, priority=order.priority):
            raise TemporalAwayError("Temporal is away")
        async with self.database.transaction() as session:
            order = await session.get_one(Order, order_id)
            order.workflow_started_at = order.workflow_started_at or utc_now()
            session.add(order)
        return True

    # Signals about results

    async def _unsent_signals(self) -> list[UUID]:
        query = (
            select(MessageSignal.message_id)
            .join(Order, col(Order.id) == col(MessageSignal.order_id))
            .where(
                col(MessageSignal.delivered_at).is_(None),
                col(Order.workflow_started_at).is_not(None),
                col(MessageSignal.message_id).not_in(self._at_rest()),
            )
            .order_by(col(MessageSignal.message_id))
            .limit(BATCH)
        )
        async with self.database.transaction() as session:
            return list(dict.fromkeys((await session.exec(query)).all()))

    async def _send_signal(self, message_id: UUID) -> bool:
        async with self.database.transaction() as session:
            query = (
                select(Order)
                .join(MessageSignal, col(MessageSignal.order_id) == col(Order.id))
                .where(MessageSignal.message_id == message_id, col(MessageSignal.delivered_at).is_(None))
            )
            orders = (await session.exec(query)).all()
            message = await session.get_one(InstrumentMessage, message_id)
        sent = 0
        for order in orders:
            if order.workflow_started_at is None:
                continue
            workflow_id = order_workflow_id(self.gateway.lab, order.order_no)
            with suppress(WorkflowGoneError):  # the order ended meanwhile: the result is on record
                await self.gateway.signal(
                    workflow_id,
                    SignalName.RESULTS_RECEIVED,
                    MessageRef(message_id=str(message_id), reading=message.readings),
                    request_id=f"message:{message_id}:{message.readings}:{order.id}",
                )
            async with self.database.transaction() as session:
                await session.execute(_DELIVERED, {"now": utc_now(), "message_id": message_id, "order_id": order.id})
            sent += 1
        return sent > 0

    # Partner events

    async def _unrouted_events(self) -> list[UUID]:
        """Return events to route: new ones first, and now and then those whose subject was not known before."""
        last_try = col(PartnerEventRow.handled_at)
        query = (
            select(PartnerEventRow.id)
            .where(
                PartnerEventRow.state == PartnerEventState.RECEIVED,
                last_try.is_(None) | (last_try < utc_now() - self.event_retry),
            )
            .order_by(last_try.nulls_first(), col(PartnerEventRow.received_at))
            .limit(BATCH)
        )
        async with self.database.transaction() as session:
            return list((await session.exec(query)).all())

    async def _route_event(self, row_id: UUID) -> bool:
        async with self.database.transaction() as session:
            row = await session.get_one(PartnerEventRow, row_id)
            router = self.routers.get(row.source)
            route: Route = await router(session, row) if router else Done("no router for this source", is_ignored=True)
        state, workflow_id, reason = await self._follow(row, route)
        if state is PartnerEventState.RECEIVED and utc_now() - row.received_at > self.event_patience:
            state = PartnerEventState.UNMATCHED
        async with self.database.transaction() as session:
            row = await session.get_one(PartnerEventRow, row_id)
            changed = row.state is not state
            row.state, row.workflow_id, row.reason = state, workflow_id, reason
            row.handled_at = utc_now()
            session.add(row)
        return changed

    async def _put_back(self, row_id: UUID) -> None:
        """Let an event whose routing failed be tried again later, behind the others."""
        async with self.database.transaction() as session:
            row = await session.get_one(PartnerEventRow, row_id)
            row.reason, row.handled_at = "INTERNAL_ERROR: see the log", utc_now()
            if row.handled_at - row.received_at > self.event_patience:
                row.state = PartnerEventState.UNMATCHED
            session.add(row)

    async def _follow(self, row: PartnerEventRow, route: Route) -> tuple[PartnerEventState, str, str]:
        """Do what the route says; an event whose subject is not known yet stays, and is tried again."""
        if isinstance(route, Done):
            state = PartnerEventState.IGNORED if route.is_ignored else PartnerEventState.DELIVERED
            return state, "", route.note
        if isinstance(route, Signal):
            try:
                request_id = f"{row.source}:{row.event_id}"
                await self.gateway.signal(route.workflow_id, route.name, route.argument, request_id=request_id)
            except WorkflowGoneError as error:
                return PartnerEventState.IGNORED, route.workflow_id, error.message
            return PartnerEventState.DELIVERED, route.workflow_id, ""
        if isinstance(route, Start):
            argument = route.argument(self.gateway.lab, self.gateway.policies)
            await self.gateway.start(route.kind, route.workflow_id, argument, summary=route.summary)
            return PartnerEventState.DELIVERED, route.workflow_id, ""
        return PartnerEventState.RECEIVED, "", route.why

    # Commands whose request did not get through

    async def _unsent_commands(self) -> list[UUID]:
        query = select(Command.id).where(
            Command.state == CommandState.ACCEPTED,
            col(Command.created_at) < utc_now() - self.command_patience,
            col(Command.id).not_in(self._at_rest()),
        )
        async with self.database.transaction() as session:
            return list((await session.exec(query.order_by(col(Command.created_at)).limit(BATCH))).all())

    async def _send_command(self, command_id: UUID) -> bool:
        async with self.database.transaction() as session:
            command = await session.get_one(Command, command_id)
            order = await session.get_one(Order, command.order_id)
        waiting = _Waiting(
            command.id, command.kind, command.workflow_id, {**command.payload, "order_no": order.order_no}
        )
        await self._let_rest(command_id)  # some are applied only some time after they were taken
        try:
            await self.gateway.send_command(waiting)
        except RefusedByWorkflowError as error:
            await refuse_command(self.database, command_id, error)
        except WorkflowGoneError as error:
            if self._is_starting(order):
                return False
            await refuse_command(self.database, command_id, error)
        return True

    def _is_starting(self, order: Order) -> bool:
        """Tell whether a run of the order that is not there has yet to start, as after Temporal was away."""
        return order.workflow_started_at is None or utc_now() - order.workflow_started_at < self.start_patience
