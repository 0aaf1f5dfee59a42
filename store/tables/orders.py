"""Orders, their lines, samples and timeline; and the counters that number things."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlmodel import Field, SQLModel

from domain.enums import LineState, OrderStage, Priority, SampleState
from store.tables.base import Amount, Json, Row, TextList, UtcDateTime, stored


class Order(Row, table=True):
    """What was asked for one patient at one visit.

    `stage`, `attention` and `waiting_for` are the workflow's projection: the API reads them here.
    """

    __tablename__ = "orders"

    order_no: str = Field(unique=True)
    branch_id: UUID = Field(foreign_key="branches.id", index=True)
    patient_id: UUID = Field(foreign_key="patients.id", index=True)
    doctor_id: UUID | None = Field(default=None, foreign_key="doctors.id")
    priority: Priority = Field(default=Priority.ROUTINE, sa_type=stored(Priority))
    stage: OrderStage = Field(default=OrderStage.REGISTERED, sa_type=stored(OrderStage), index=True)
    attention: list[str] = Field(default_factory=list, sa_type=TextList)
    """Why a person should look, e.g. `einvoice:IRP_UNAVAILABLE`; empty when all is well."""
    clinical_notes: str = ""
    placed_by: UUID = Field(foreign_key="users.id")
    workflow_started_at: datetime | None = Field(default=None, sa_type=UtcDateTime)
    """None until Temporal has accepted the run; the sweeper starts those."""
    closed_at: datetime | None = Field(default=None, sa_type=UtcDateTime)
    cancel_reason: str = ""
    is_release_overridden: bool = False
    """Staff released the report although it is not paid."""
    event_seq: int = 0
    """Last number given in `order_events`; taken under the row's lock, so the timeline is in commit order."""


class OrderLine(Row, table=True):
    """One test of an order."""

    __tablename__ = "order_lines"

    order_id: UUID = Field(foreign_key="orders.id", index=True)
    test_id: UUID = Field(foreign_key="tests.id")
    panel_id: UUID | None = Field(default=None, foreign_key="panels.id")
    payer_id: UUID | None = Field(default=None, foreign_key="payers.id")
    """None: the patient pays."""
    sample_id: UUID | None = Field(default=None, foreign_key="samples.id", index=True)
    price_paise: int = Field(sa_type=Amount)
    state: LineState = Field(default=LineState.ORDERED, sa_type=stored(LineState))
    position: int = 0


class Sample(Row, table=True):
    """A tube."""

    __tablename__ = "samples"

    order_id: UUID = Field(foreign_key="orders.id", index=True)
    branch_id: UUID = Field(foreign_key="branches.id")
    accession_no: str = Field(unique=True)
    specimen: str
    container: str
    state: SampleState = Field(default=SampleState.EXPECTED, sa_type=stored(SampleState))
    collected_at: datetime | None = Field(default=None, sa_type=UtcDateTime)
    collected_by: UUID | None = Field(default=None, foreign_key="users.id")
    received_at: datetime | None = Field(default=None, sa_type=UtcDateTime)
    received_by: UUID | None = Field(default=None, foreign_key="users.id")
    rejected_at: datetime | None = Field(default=None, sa_type=UtcDateTime)
    rejected_by: UUID | None = Field(default=None, foreign_key="users.id")
    reject_reason: str = ""
    replaces_id: UUID | None = Field(default=None, foreign_key="samples.id")
    """The rejected sample that this one replaces."""
    parent_id: UUID | None = Field(default=None, foreign_key="samples.id", index=True)
    """The tube that this one was taken from: it is an aliquot."""
    volume_ul: int | None = None
    """What it held when it came into being, in microlitres, where somebody measured it."""
    collection_site: str = ""
    """Where on the body it was taken, where that matters."""


class OrderEvent(SQLModel, table=True):
    """One line of an order's timeline, from whichever workflow or person it came."""

    __tablename__ = "order_events"

    order_id: UUID = Field(foreign_key="orders.id", primary_key=True)
    seq: int = Field(primary_key=True)
    at: datetime = Field(sa_type=UtcDateTime)
    source: str
    """Workflow type, or `staff`, `analyzer`, `partner`."""
    kind: str
    actor: str = ""
    """Username, analyzer code or connector."""
    detail: dict[str, Any] = Field(default_factory=dict, sa_type=Json)
    """Ids, codes and amounts only."""


class Counter(SQLModel, table=True):
    """A gap-free number series. The row is locked by the transaction that takes a number."""

    __tablename__ = "counters"

    series: str = Field(primary_key=True)
    value: int
