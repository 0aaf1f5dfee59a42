"""Releasing an unpaid report, cancelling an order, deciding about a stuck step."""

from __future__ import annotations

from sqlmodel import col, select

from activities.device_work import take_back
from activities.staff.context import CommandContext
from domain.enums import LineState, ReportState, SampleState
from domain.errors import ConflictError
from domain.messages import CancelOrder, ReleaseReport, ResolveStep
from store.tables.orders import Sample
from store.tables.results import Report


async def release(context: CommandContext, payload: ReleaseReport) -> None:
    """Release the report although it is not paid."""
    context.facts.order.is_release_overridden = True
    context.session.add(context.facts.order)
    await context.event("report_release_overridden", {})
    await context.audit("report.release_overridden", "order", context.facts.order.order_no, {"reason": payload.reason})


async def cancel(context: CommandContext, payload: CancelOrder) -> None:
    """Cancel the order with its open samples and tests; bills are reversed by their own workflows.

    Raises:
        ConflictError: The report is issued, or the order is cancelled already.
    """
    order = context.facts.order
    if order.cancel_reason:
        raise ConflictError("the order is cancelled already", code="ORDER_CANCELLED")
    query = select(Report.id).where(Report.order_id == order.id, Report.state == ReportState.ISSUED)
    if (await context.session.exec(query)).one_or_none() is not None:
        raise ConflictError(
            "the report is issued", code="ORDER_REPORTED",
            action="Amend the report, or reverse the invoice; a reported order is not cancelled.",
        )  # fmt: skip
    order.cancel_reason = payload.reason
    context.session.add(order)
    for line, _ in await context.lines():
        line.state = LineState.CANCELLED
        context.session.add(line)
    samples = await context.session.exec(
        select(Sample).where(Sample.order_id == order.id, col(Sample.state) != SampleState.REJECTED)
    )
    cancelled = samples.all()
    for sample in cancelled:
        sample.state = SampleState.CANCELLED
        context.session.add(sample)
    await take_back(context.session, order, cancelled, "the order was cancelled")
    await context.event("order_cancelled", {})
    await context.audit("order.cancelled", "order", order.order_no, {"reason": payload.reason})


async def resolve_step(context: CommandContext, payload: ResolveStep) -> None:
    """Note a decision about a stuck step; the run takes it from there."""
    detail = {"workflow_id": payload.workflow_id, "step": payload.step, "decision": payload.decision.value}
    await context.event("step_resolved", detail)
    await context.audit(
        "step.resolved", "workflow", payload.workflow_id, detail | {"reason": payload.reason, **payload.answer}
    )
