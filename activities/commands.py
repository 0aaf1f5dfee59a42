"""Applies staff commands: one transaction each, once each, refused with a reason that is kept.

The workflow passes the command's id; what was asked stays in PostgreSQL. Applied or refused, the command says so on its
row, so a caller that lost its connection reads the outcome there.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from pydantic import BaseModel, ConfigDict
from sqlmodel import select
from sqlmodel.ext.asyncio.session import AsyncSession
from temporalio import activity

from activities.evaluation import evaluate
from activities.orders import progress_of
from activities.people import Actor
from activities.staff import closing, held, money, rerun, results, samples
from activities.staff.context import CommandContext
from domain.clock import utc_now
from domain.enums import CommandState
from domain.errors import LabError, NotFoundError, RuleError
from domain.messages import PAYLOADS, CommandKind, CommandRef, Payload, Progress
from store.progress import order_facts
from store.session import Database
from store.tables.exchange import Command
from store.tables.orders import Order
from store.tables.organisation import User

Apply = Callable[[CommandContext, Any], Awaitable[None]]

APPLY: Mapping[CommandKind, Apply] = {
    CommandKind.COLLECT_SAMPLES: samples.collect,
    CommandKind.RECEIVE_SAMPLES: samples.receive,
    CommandKind.REJECT_SAMPLE: samples.reject,
    CommandKind.RERUN_TESTS: rerun.rerun,
    CommandKind.ENTER_RESULTS: results.enter,
    CommandKind.DECIDE_HELD: held.decide,
    CommandKind.VERIFY_RESULTS: results.verify,
    CommandKind.AUTHORISE_REPORT: results.authorise,
    CommandKind.RELEASE_REPORT: closing.release,
    CommandKind.CANCEL_ORDER: closing.cancel,
    CommandKind.RESOLVE_STEP: closing.resolve_step,
    CommandKind.RECORD_PAYMENT: money.record_payment,
    CommandKind.REVERSE_INVOICE: money.reverse_invoice,
}


class Applied(BaseModel):
    """What an applied command left behind."""

    model_config = ConfigDict(frozen=True)
    progress: Progress


@dataclass(frozen=True)
class CommandActivities:
    """The one activity behind every staff update."""

    database: Database

    @activity.defn(name="commands.apply")
    async def apply(self, ref: CommandRef) -> Applied:
        """Apply a command, or return what it left when it was applied before.

        Raises:
            RuleError: It was refused, now or before; the row keeps the reason.
        """
        try:
            return await self._apply_once(UUID(ref.command_id))
        except RuleError as error:
            await refuse_command(self.database, UUID(ref.command_id), error)
            raise

    async def _apply_once(self, command_id: UUID) -> Applied:
        async with self.database.transaction() as session:
            command = await _locked(session, command_id)
            order = await session.get_one(Order, command.order_id)
            facts = await order_facts(session, order.order_no, for_update=True)
            if command.state is CommandState.REFUSED:
                raise RuleError(command.refusal, code=command.refusal_code, action=command.refusal_action)
            if command.state is CommandState.ACCEPTED:
                user = await session.get_one(User, command.actor_id)
                context = CommandContext(session, facts, Actor(user.id, user.username), command.id)
                kind = CommandKind(command.kind)
                payload: Payload = PAYLOADS[kind].model_validate(command.payload)
                await APPLY[kind](context, payload)
                await evaluate(session, facts)
                command.state, command.applied_at = CommandState.APPLIED, utc_now()
                session.add(command)
                await session.flush()
            progress = await progress_of(session, facts)
            if not command.result:
                command.result = {"stage": progress.stage.value}
                session.add(command)
            return Applied(progress=progress)


async def _locked(session: AsyncSession, command_id: UUID) -> Command:
    command = (await session.exec(select(Command).where(Command.id == command_id).with_for_update())).one_or_none()
    if command is None:
        raise NotFoundError("the command is not on record", code="COMMAND_NOT_FOUND")
    return command


async def refuse_command(database: Database, command_id: UUID, error: LabError) -> None:
    """Keep on a command's row why it was refused; one that was applied or refused before stays as it is."""
    async with database.transaction() as session:
        query = select(Command).where(Command.id == command_id, Command.state == CommandState.ACCEPTED)
        command = (await session.exec(query.with_for_update())).one_or_none()
        if command is not None:
            command.state = CommandState.REFUSED
            command.refusal_code, command.refusal, command.refusal_action = error.code, error.message, error.action
            command.applied_at = utc_now()
            session.add(command)
