"""Counts an order's rows for the stage rule, and keeps the stage that the rule derived."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import func, text
from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from domain.enums import CollectionMode, InvoiceState, LineState, OrderStage, ReportState, SampleState
from domain.errors import NotFoundError
from store.tables.billing import Invoice
from store.tables.orders import Order, OrderLine, Sample
from store.tables.organisation import Branch
from store.tables.results import Report

_LINES_DONE = (LineState.RESULTED, LineState.VERIFIED, LineState.AUTHORISED)


@dataclass(frozen=True)
class OrderFacts:
    """An order with its branch, as activities need them."""

    order: Order
    branch: Branch


@dataclass(frozen=True)
class Counts:
    """Rows of an order by state."""

    samples: Counter[SampleState]
    lines: Counter[LineState]
    invoices: tuple[str, ...]
    unpaid: tuple[str, ...]
    report_id: UUID | None

    @property
    def samples_wanted(self) -> int:
        """Samples that are neither rejected nor cancelled."""
        return sum(self.samples[state] for state in (SampleState.EXPECTED, SampleState.COLLECTED, SampleState.RECEIVED))

    @property
    def tests_wanted(self) -> int:
        """Tests that are not cancelled."""
        return self.lines.total() - self.lines[LineState.CANCELLED]

    @property
    def tests_resulted(self) -> int:
        """Tests with a result, verified or not."""
        return sum(self.lines[state] for state in _LINES_DONE)


async def order_facts(session: AsyncSession, order_no: str, *, for_update: bool = False) -> OrderFacts:
    """Load an order by number.

    Raises:
        NotFoundError: There is none, or it is out of the transaction's branches.
    """
    query = select(Order, Branch).join(Branch, col(Branch.id) == col(Order.branch_id)).where(Order.order_no == order_no)
    if for_update:
        query = query.with_for_update(of=Order)
    found = (await session.exec(query)).one_or_none()
    if found is None:
        raise NotFoundError(f"there is no order {order_no}", code="ORDER_NOT_FOUND")
    return OrderFacts(order=found[0], branch=found[1])


async def count_rows(session: AsyncSession, order: Order) -> Counts:
    """Count an order's rows by state."""
    samples = await session.exec(
        select(Sample.state, func.count()).where(Sample.order_id == order.id).group_by(col(Sample.state))
    )
    lines = await session.exec(
        select(OrderLine.state, func.count()).where(OrderLine.order_id == order.id).group_by(col(OrderLine.state))
    )
    invoices = (
        await session.exec(
            select(Invoice)
            .where(Invoice.order_id == order.id, col(Invoice.reverses_id).is_(None))
            .order_by(col(Invoice.document_no))
        )
    ).all()
    live = [row for row in invoices if row.state not in {InvoiceState.CANCELLED, InvoiceState.CREDITED}]
    report = (
        await session.exec(select(Report.id).where(Report.order_id == order.id, Report.state == ReportState.ISSUED))
    ).one_or_none()
    return Counts(
        samples=Counter({SampleState(state): int(count) for state, count in samples.all()}),
        lines=Counter({LineState(state): int(count) for state, count in lines.all()}),
        invoices=tuple(row.document_no for row in live),
        unpaid=tuple(
            row.document_no
            for row in live
            if row.state is not InvoiceState.PAID and row.mode is not CollectionMode.CREDIT and row.total_paise > 0
        ),
        report_id=report,
    )


async def keep_stage(session: AsyncSession, order_id: UUID, stage: OrderStage) -> None:
    """Write the derived stage to the order's row."""
    await session.execute(
        text("update orders set stage = :stage where id = :id and stage <> :stage"),
        {"stage": stage.value, "id": order_id},
    )
