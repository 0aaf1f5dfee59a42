"""From a stored partner event to the workflow it belongs to, or to the row it changes.

An event says only that something changed. Facts about money and consents are fetched or checked by the activity that
the signalled workflow runs; delivery states of messages are taken as told, and only ever move upwards.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

from pydantic import BaseModel
from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from domain import ids
from domain.messages import PartnerEventRef, SignalName, WorkflowType
from domain.policies import LabPolicies
from store.tables.billing import Invoice, PaymentLinkRow, RefundRow
from store.tables.exchange import PartnerEventRow


@dataclass(frozen=True)
class Signal:
    """Signal a workflow about the event."""

    workflow_id: str
    name: SignalName
    argument: BaseModel


@dataclass(frozen=True)
class Start:
    """Start a workflow for the event.

    Attributes:
        argument: Makes its input from the lab's code and policies.
    """

    workflow_id: str
    kind: WorkflowType
    argument: Callable[[str, LabPolicies], BaseModel]
    summary: str


@dataclass(frozen=True)
class Done:
    """The event needed no workflow: it was applied, or changes nothing here."""

    note: str
    is_ignored: bool = False


@dataclass(frozen=True)
class Unmatched:
    """Nothing here knows what it is about (yet)."""

    why: str


Route = Signal | Start | Done | Unmatched
Router = Callable[[AsyncSession, PartnerEventRow], Awaitable[Route]]


def event_ref(row: PartnerEventRow) -> PartnerEventRef:
    """Return what a workflow is told of an event."""
    return PartnerEventRef(
        event_row_id=str(row.id), source=row.source, kind=row.kind, entity_id=row.entity_id, reference=row.reference
    )


async def route_payment_event(session: AsyncSession, row: PartnerEventRow) -> Route:
    """Find the Payment or Refund that a gateway event is about: by our reference, by link, by refund."""
    refund = await session.exec(
        select(RefundRow).where((RefundRow.refund_ref == row.entity_id) | (RefundRow.payment_ref == row.entity_id))
    )
    if row.kind.startswith("refund.") and (known := refund.one_or_none()) is not None:
        workflow_id = ids.refund_workflow_id(known.payment_ref)
        return Signal(workflow_id, SignalName.PARTNER_EVENT_RECEIVED, event_ref(row))
    invoice_no = await _invoice_of(session, row)
    if invoice_no is None:
        return Unmatched("no invoice or payment link has this reference")
    return Signal(ids.payment_workflow_id(invoice_no), SignalName.PARTNER_EVENT_RECEIVED, event_ref(row))


async def _invoice_of(session: AsyncSession, row: PartnerEventRow) -> str | None:
    by_link = (
        select(Invoice.document_no)
        .join(PaymentLinkRow, col(PaymentLinkRow.invoice_id) == col(Invoice.id))
        .where((PaymentLinkRow.reference == row.reference) | (PaymentLinkRow.link_id == row.entity_id))
    )
    found = (await session.exec(by_link)).first()
    if found is not None:
        return found
    return (await session.exec(select(Invoice.document_no).where(Invoice.document_no == row.reference))).one_or_none()


def routers(sharing: Mapping[str, Router]) -> dict[str, Router]:
    """Return the router of every source; `sharing` holds those of messaging and ABDM."""
    return {"razorpay": route_payment_event, **sharing}
