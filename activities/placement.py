"""Placing an order: one transaction writes its lines, planned samples, bills, timeline and audit.

The workflow starts afterwards, from the committed row; so an order is accepted while Temporal is down. All that can be
refused is looked at before the first number is taken: orders placed together wait for each other from there on.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field
from sqlmodel import select
from sqlmodel.ext.asyncio.session import AsyncSession

from activities.invoicing import Billing, IssuedInvoice, issue_invoices
from activities.order_items import OrderedItem, OrderItem, bill_item, resolve
from activities.people import Actor
from activities.sample_plan import Tube, plan_samples
from domain.clock import lab_day
from domain.enums import CollectionMode, EInvoiceState, Priority
from domain.errors import NotFoundError
from domain.ids import OrderNo, order_workflow_id
from store import audit
from store.counters import next_number
from store.tables.orders import Order, OrderLine, Sample
from store.tables.organisation import Branch, Doctor, Organisation
from store.tables.patients import Patient
from store.timeline import add_event

MAX_ITEMS = 60

Named = TypeVar("Named", Branch, Patient)


class PlaceOrder(BaseModel):
    """What is asked for."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    branch_code: str
    patient_no: str
    doctor_id: UUID | None = None
    priority: Priority = Priority.ROUTINE
    items: list[OrderItem] = Field(min_length=1, max_length=MAX_ITEMS)
    collection_mode: CollectionMode = CollectionMode.LINK
    clinical_notes: str = Field(default="", max_length=2000)


class PlannedSample(BaseModel):
    """A tube to be drawn."""

    accession_no: str
    specimen: str
    container: str
    test_codes: list[str]


class PlacedInvoice(BaseModel):
    """A bill that was issued."""

    document_no: str
    kind: str
    total_paise: int
    mode: CollectionMode
    requires_irn: bool


class PlacedOrder(BaseModel):
    """What came of it."""

    order_no: str
    order_id: UUID
    workflow_id: str
    stage: str
    samples: list[PlannedSample]
    invoices: list[PlacedInvoice]


async def place_order(session: AsyncSession, request: PlaceOrder, actor: Actor, *, lab: str = "LAB1") -> PlacedOrder:
    """Write the order in the caller's transaction.

    Args:
        session: Its scope must include the branch.
        request: What is asked for.
        actor: Who places it.
        lab: The lab's code, part of the workflow id.

    Raises:
        NotFoundError: Branch, patient, doctor, test, panel or payer unknown.
        RuleError: A test is asked for twice, or the items make no valid bill.
    """
    branch = await _one(session, Branch, Branch.code == request.branch_code, f"branch {request.branch_code}")
    patient = await _one(session, Patient, Patient.patient_no == request.patient_no, f"patient {request.patient_no}")
    if request.doctor_id is not None and await session.get(Doctor, request.doctor_id) is None:
        raise NotFoundError("the doctor is not on the list", code="DOCTOR_NOT_FOUND")
    organisation = await session.get_one(Organisation, branch.organisation_id)
    ordered = await resolve(session, request.items)
    bill_items = [bill_item(entry) for entry in ordered]
    day = lab_day()
    order = Order(
        order_no=OrderNo(f"{branch.code}-{day:%y%m%d}-{await next_number(session, f'order:{branch.code}:{day}'):04d}"),
        branch_id=branch.id,
        patient_id=patient.id,
        doctor_id=request.doctor_id,
        priority=request.priority,
        clinical_notes=request.clinical_notes,
        placed_by=actor.user_id,
    )
    session.add(order)
    await session.flush()
    tubes = await _plan_tubes(session, order, ordered)
    session.add_all(_lines(order, ordered, tubes))
    billing = Billing(order.id, organisation, branch, patient, request.collection_mode, day)
    invoices = await issue_invoices(session, billing, bill_items)
    detail = {"samples": len(tubes), "tests": sum(len(entry.tests) for entry in ordered)}
    await add_event(session, order.id, source="staff", kind="order_placed", actor=actor.username, detail=detail)
    await audit.record(
        session, chain=branch.code, actor=actor.username, action="order.placed", object_kind="order",
        object_id=order.order_no, body={"codes": [item.code for item in request.items]},
    )  # fmt: skip
    return PlacedOrder(
        order_no=order.order_no,
        order_id=order.id,
        workflow_id=order_workflow_id(lab, order.order_no),
        stage=order.stage.value,
        samples=[_planned(sample, ordered) for sample in tubes.values()],
        invoices=[_placed(invoice) for invoice in invoices],
    )


async def _one(session: AsyncSession, table: type[Named], condition: bool, name: str) -> Named:
    row = (await session.exec(select(table).where(condition))).one_or_none()
    if row is None:
        raise NotFoundError(f"there is no {name}")
    return row


async def _plan_tubes(session: AsyncSession, order: Order, ordered: Sequence[OrderedItem]) -> dict[Tube, Sample]:
    tubes = list(dict.fromkeys((test.specimen, test.container) for entry in ordered for test in entry.tests))
    return dict(zip(tubes, await plan_samples(session, order, tubes), strict=True))


def _lines(order: Order, ordered: Sequence[OrderedItem], tubes: dict[Tube, Sample]) -> list[OrderLine]:
    priced = [(entry, test, share) for entry in ordered for test, share in zip(entry.tests, entry.shares, strict=True)]
    return [
        OrderLine(
            order_id=order.id,
            test_id=test.id,
            panel_id=entry.panel.id if entry.panel else None,
            payer_id=entry.payer.id if entry.payer else None,
            sample_id=tubes[test.specimen, test.container].id,
            price_paise=share,
            position=position,
        )
        for position, (entry, test, share) in enumerate(priced)
    ]


def _planned(sample: Sample, ordered: Sequence[OrderedItem]) -> PlannedSample:
    tube = (sample.specimen, sample.container)
    tests = (test for entry in ordered for test in entry.tests)
    return PlannedSample(
        accession_no=sample.accession_no,
        specimen=sample.specimen,
        container=sample.container,
        test_codes=[test.code for test in tests if (test.specimen, test.container) == tube],
    )


def _placed(issued: IssuedInvoice) -> PlacedInvoice:
    return PlacedInvoice(
        document_no=issued.invoice.document_no,
        kind=issued.invoice.kind,
        total_paise=issued.invoice.total_paise,
        mode=issued.invoice.mode,
        requires_irn=issued.einvoice.state is not EInvoiceState.NOT_REQUIRED,
    )
