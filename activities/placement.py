"""Placing an order: one transaction writes its lines, planned samples, bills, timeline and audit.

The workflow starts afterwards, from the committed row; so an order is accepted while Temporal is down.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field
from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from activities.invoicing import Billing, BillItem, issue_invoices
from activities.people import Actor
from domain.accession import accession_no
from domain.clock import lab_day
from domain.enums import CollectionMode, EInvoiceState, Priority
from domain.errors import NotFoundError, RuleError
from domain.ids import AccessionNo, OrderNo, order_workflow_id
from domain.money import split_by_weight
from store import audit
from store.counters import next_number
from store.tables.billing import EInvoiceDocument, Invoice
from store.tables.catalogue import LabTest, Panel, PanelTest
from store.tables.orders import Order, OrderLine, Sample
from store.tables.organisation import Branch, Doctor, Organisation, Payer
from store.tables.patients import Patient
from store.timeline import add_event

MAX_ITEMS = 60

Named = TypeVar("Named", Branch, Patient, Payer)


class OrderItem(BaseModel):
    """One ordered test or panel.

    Attributes:
        code: Of a test or panel.
        payer_code: Who is billed instead of the patient, or None.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    code: str = Field(min_length=1, max_length=20)
    payer_code: str | None = Field(default=None, max_length=20)


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


@dataclass(frozen=True)
class _Ordered:
    """One item resolved: its tests, each with its share of the price."""

    item: OrderItem
    name: str
    price_paise: int
    tests: list[LabTest]
    shares: Sequence[int]
    panel: Panel | None
    payer: Payer | None


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
    ordered = [await _resolve(session, item) for item in request.items]
    _refuse_repeated_tests(ordered)
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
    samples = await _plan_samples(session, order, ordered)
    organisation = await session.get_one(Organisation, branch.organisation_id)
    billing = Billing(order.id, organisation, branch, patient, request.collection_mode, day)
    invoices = await issue_invoices(session, billing, [_bill_item(entry) for entry in ordered])
    detail = {"samples": len(samples), "tests": sum(len(entry.tests) for entry in ordered)}
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
        samples=samples,
        invoices=[await _placed(session, invoice) for invoice in invoices],
    )


async def _one(session: AsyncSession, table: type[Named], condition: bool, name: str) -> Named:
    row = (await session.exec(select(table).where(condition))).one_or_none()
    if row is None:
        raise NotFoundError(f"there is no {name}")
    return row


async def _resolve(session: AsyncSession, item: OrderItem) -> _Ordered:
    payer = None
    if item.payer_code is not None:
        payer = await _one(session, Payer, Payer.code == item.payer_code, f"payer {item.payer_code}")
    test = (await session.exec(select(LabTest).where(LabTest.code == item.code, LabTest.is_active))).one_or_none()
    if test is not None:
        return _Ordered(item, test.name, test.price_paise, [test], [test.price_paise], None, payer)
    panel = (await session.exec(select(Panel).where(Panel.code == item.code, Panel.is_active))).one_or_none()
    if panel is None:
        raise NotFoundError(f"there is no test or panel {item.code}", code="TEST_NOT_FOUND")
    query = (
        select(LabTest)
        .join(PanelTest, col(PanelTest.test_id) == col(LabTest.id))
        .where(PanelTest.panel_id == panel.id)
        .order_by(col(PanelTest.position))
    )
    tests = list((await session.exec(query)).all())
    shares = split_by_weight(panel.price_paise, [max(test.price_paise, 1) for test in tests])
    return _Ordered(item, panel.name, panel.price_paise, tests, shares, panel, payer)


def _refuse_repeated_tests(ordered: Sequence[_Ordered]) -> None:
    counts = Counter(test.code for entry in ordered for test in entry.tests)
    repeated = sorted(code for code, count in counts.items() if count > 1)
    if repeated:
        raise RuleError(
            f"asked for more than once: {', '.join(repeated)}",
            code="TEST_REPEATED",
            action="Remove the single test or one of the panels that contain it.",
        )


async def _plan_samples(session: AsyncSession, order: Order, ordered: Sequence[_Ordered]) -> list[PlannedSample]:
    """Write the lines, and one sample for each pair of specimen and container."""
    tubes: dict[tuple[str, str], Sample] = {}
    planned: dict[tuple[str, str], PlannedSample] = {}
    position = 0
    for entry in ordered:
        for test, share in zip(entry.tests, entry.shares, strict=True):
            key = (test.specimen, test.container)
            if key not in tubes:
                tubes[key] = await plan_sample(session, order, specimen=test.specimen, container=test.container)
                planned[key] = PlannedSample(
                    accession_no=tubes[key].accession_no, specimen=key[0], container=key[1], test_codes=[]
                )
            planned[key].test_codes.append(test.code)
            session.add(
                OrderLine(
                    order_id=order.id,
                    test_id=test.id,
                    panel_id=entry.panel.id if entry.panel else None,
                    payer_id=entry.payer.id if entry.payer else None,
                    sample_id=tubes[key].id,
                    price_paise=share,
                    position=position,
                )
            )
            position += 1
    await session.flush()
    return list(planned.values())


async def plan_sample(
    session: AsyncSession, order: Order, *, specimen: str, container: str, replaces: Sample | None = None
) -> Sample:
    """Add a sample to be drawn, under the next accession number of the day."""
    sample = Sample(
        order_id=order.id,
        branch_id=order.branch_id,
        accession_no=await _next_accession_no(session),
        specimen=specimen,
        container=container,
        replaces_id=replaces.id if replaces else None,
    )
    session.add(sample)
    await session.flush()
    return sample


async def _next_accession_no(session: AsyncSession) -> AccessionNo:
    """Return the day's next number that is on no tube: pre-printed labels may have come before the counter."""
    day = lab_day()
    while True:
        number = accession_no(day, await next_number(session, f"accession:{day}"))
        taken = await session.exec(select(Sample.id).where(Sample.accession_no == number))
        if taken.one_or_none() is None:
            return number


def _bill_item(entry: _Ordered) -> BillItem:
    first = entry.tests[0]
    if any((test.is_taxable, test.gst_rate) != (first.is_taxable, first.gst_rate) for test in entry.tests):
        raise RuleError(
            f"panel {entry.item.code} mixes taxable and exempt tests", code="PANEL_TAX_MIXED",
            action="Split the panel in the catalogue, or order its tests one by one.",
        )  # fmt: skip
    return BillItem(
        description=entry.name,
        sac=first.sac,
        price_paise=entry.price_paise,
        gst_rate=first.gst_rate,
        is_taxable=first.is_taxable,
        payer=entry.payer,
    )


async def _placed(session: AsyncSession, invoice: Invoice) -> PlacedInvoice:
    query = select(EInvoiceDocument).where(EInvoiceDocument.invoice_id == invoice.id)
    einvoice = (await session.exec(query)).one()
    return PlacedInvoice(
        document_no=invoice.document_no,
        kind=invoice.kind,
        total_paise=invoice.total_paise,
        mode=invoice.mode,
        requires_irn=einvoice.state is not EInvoiceState.NOT_REQUIRED,
    )
