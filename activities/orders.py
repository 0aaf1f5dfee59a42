"""Database steps of the LabOrder workflow: open, count, show attention, close, cancel."""

from __future__ import annotations

from dataclasses import dataclass

from pydantic import BaseModel, ConfigDict
from sqlalchemy import text
from sqlmodel.ext.asyncio.session import AsyncSession
from temporalio import activity

from activities.evaluation import evaluate
from activities.people import system
from domain.clock import utc_now
from domain.enums import LineState, OrderStage, SampleState
from domain.messages import Progress
from rules.progress import Tally, stage_of
from store import audit
from store.progress import OrderFacts, count_rows, keep_stage, order_facts
from store.session import Database
from store.timeline import EventDetail, add_event, has_event

_ADD_ATTENTION = text(
    "update orders set attention = array_append(attention, :key) where id = :id and not (:key = any(attention))"
    " returning id"
)
_DROP_ATTENTION = text(
    "update orders set attention = array_remove(attention, :key) where id = :id and :key = any(attention) returning id"
)


class OrderRef(BaseModel):
    """Names an order."""

    model_config = ConfigDict(frozen=True)
    order_no: str


class OrderStarted(OrderRef):
    """The run that carries an order."""

    workflow_id: str
    run_id: str


class AttentionChange(OrderRef):
    """Raise or clear one reason for a person to look.

    Attributes:
        key: `<workflow type>:<step>`, e.g. `EInvoice:generate_irn`.
        code: Error code or `overdue`.
        workflow_id: The run that waits.
    """

    key: str
    code: str
    is_raised: bool
    workflow_id: str
    source: str


async def progress_of(session: AsyncSession, facts: OrderFacts) -> Progress:
    """Count the order's rows, derive its stage, keep it and return both."""
    order = facts.order
    counts = await count_rows(session, order)
    stage = stage_of(
        Tally(
            samples=counts.samples_wanted,
            collected=counts.samples_wanted - counts.samples[SampleState.EXPECTED],
            received=counts.samples[SampleState.RECEIVED],
            tests=counts.tests_wanted,
            resulted=counts.tests_resulted,
            verified=counts.lines[LineState.VERIFIED] + counts.lines[LineState.AUTHORISED],
            authorised=counts.lines[LineState.AUTHORISED],
            is_reported=counts.report_id is not None,
            is_closed=order.closed_at is not None,
            is_cancelled=bool(order.cancel_reason),
        )
    )
    await keep_stage(session, order.id, stage)
    return Progress(
        order_no=order.order_no,
        stage=stage,
        branch=facts.branch.code,
        priority=order.priority.value,
        samples_total=counts.samples_wanted,
        samples_collected=counts.samples_wanted - counts.samples[SampleState.EXPECTED],
        samples_received=counts.samples[SampleState.RECEIVED],
        tests_total=counts.tests_wanted,
        tests_resulted=counts.tests_resulted,
        tests_verified=counts.lines[LineState.VERIFIED] + counts.lines[LineState.AUTHORISED],
        tests_authorised=counts.lines[LineState.AUTHORISED],
        invoices=counts.invoices,
        unpaid=counts.unpaid,
        report_id=str(counts.report_id or ""),
        is_release_overridden=order.is_release_overridden,
    )


@dataclass(frozen=True)
class OrderActivities:
    """Steps that are one database transaction each; all safe to repeat."""

    database: Database

    @activity.defn(name="orders.open")
    async def open_order(self, started: OrderStarted) -> Progress:
        """Note that the run exists and return how far the order has come."""
        async with self.database.transaction() as session:
            facts = await order_facts(session, started.order_no, for_update=True)
            facts.order.workflow_started_at = facts.order.workflow_started_at or utc_now()
            session.add(facts.order)
            if not await has_event(session, facts.order.id, "workflow_started"):
                detail: EventDetail = {"workflow_id": started.workflow_id, "run_id": started.run_id}
                await self._event(session, facts, "workflow_started", detail)
            return await progress_of(session, facts)

    @activity.defn(name="orders.measure_progress")
    async def measure_progress(self, order: OrderRef) -> Progress:
        """Count again, after results or a payment came in from outside."""
        async with self.database.transaction() as session:
            facts = await order_facts(session, order.order_no, for_update=True)
            before = facts.order.stage
            await evaluate(session, facts)
            progress = await progress_of(session, facts)
            if progress.stage is not before:
                await self._event(session, facts, "stage_reached", {"stage": progress.stage.value})
            return progress

    @activity.defn(name="orders.show_attention")
    async def show_attention(self, change: AttentionChange) -> None:
        """Raise or clear one reason on the order's row, with its line in the timeline."""
        async with self.database.transaction() as session:
            facts = await order_facts(session, change.order_no)
            statement = _ADD_ATTENTION if change.is_raised else _DROP_ATTENTION
            changed = (await session.execute(statement, {"key": change.key, "id": facts.order.id})).scalar_one_or_none()
            if changed is not None:
                kind = "attention_raised" if change.is_raised else "attention_cleared"
                detail = {"step": change.key, "code": change.code, "workflow_id": change.workflow_id}
                await add_event(session, facts.order.id, source=change.source, kind=kind, detail=detail)

    @activity.defn(name="orders.close")
    async def close_order(self, order: OrderRef) -> Progress:
        """Mark the order as clinically closed."""
        async with self.database.transaction() as session:
            facts = await order_facts(session, order.order_no, for_update=True)
            if facts.order.closed_at is None and facts.order.stage is not OrderStage.CANCELLED:
                facts.order.closed_at = utc_now()
                session.add(facts.order)
                await session.flush()
                await self._event(session, facts, "order_closed", {})
                await audit.record(
                    session, chain=facts.branch.code, actor=system("LabOrder"), action="order.closed",
                    object_kind="order", object_id=order.order_no,
                )  # fmt: skip
            return await progress_of(session, facts)

    async def _event(self, session: AsyncSession, facts: OrderFacts, kind: str, detail: EventDetail) -> None:
        await add_event(session, facts.order.id, source="LabOrder", kind=kind, detail=detail)
