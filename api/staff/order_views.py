"""What the API shows of an order, and to whom: the contract, apart from the tables."""

from __future__ import annotations

from datetime import date, datetime
from decimal import Decimal
from typing import Annotated, Any

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from api.pagination import DEFAULT_PAGE, MAX_PAGE
from domain.enums import LineState, OrderStage, Priority, ReportState, ResultState, SampleState
from store.orders import LineRow, OrderHead, OrderListRow

HIDDEN = "***"


class OrderSummary(BaseModel):
    """An order in a list. The name is shown to roles that may read patients."""

    model_config = ConfigDict(from_attributes=True)

    order_no: str
    branch_code: str
    patient_no: str
    patient_name: str
    priority: Priority
    stage: OrderStage
    attention: list[str]
    created_at: datetime
    closed_at: datetime | None
    test_count: int


class OrderQuery(BaseModel):
    """What narrows the list of orders.

    Attributes:
        attention: Only those that need a person, or only the others.
        q: A whole order, patient or accession number.
        since: Placed at or after.
        until: Placed before.
    """

    model_config = ConfigDict(extra="forbid", str_strip_whitespace=True, hide_input_in_errors=True)

    stage: OrderStage | None = None
    attention: bool | None = None
    branch: Annotated[str, Field(max_length=4)] = ""
    q: Annotated[str, Field(max_length=30)] = ""
    since: AwareDatetime | None = None
    until: AwareDatetime | None = None
    limit: Annotated[int, Field(ge=1, le=MAX_PAGE)] = DEFAULT_PAGE
    cursor: Annotated[str, Field(max_length=200)] = ""


class OrderPatient(BaseModel):
    """The patient on an order; None fields are not for the caller's role."""

    patient_no: str
    name: str | None
    sex: str | None
    birth_date: date | None
    is_birth_date_estimated: bool
    phone: str | None


class OrderSample(BaseModel):
    """A tube."""

    model_config = ConfigDict(from_attributes=True)

    accession_no: str
    specimen: str
    container: str
    state: SampleState
    collected_at: datetime | None
    received_at: datetime | None
    rejected_at: datetime | None
    reject_reason: str
    replaces: str


class LineResult(BaseModel):
    """A result in force, or one that is held for a person."""

    version: int
    state: ResultState
    value: str
    unit: str
    flag: str
    is_critical: bool
    reference_low: Decimal | None
    reference_high: Decimal | None
    reference_text: str
    comments: list[str]
    hold_reason: str
    observed_at: datetime
    source: str
    accepted_levels: list[str]


class OrderLineOut(BaseModel):
    """An ordered test. `result` is shown to clinical roles; a confidential test is named to them only."""

    test_code: str
    test_name: str
    panel_code: str
    payer_code: str
    accession_no: str
    price_paise: int
    state: LineState
    result: LineResult | None


class OrderInvoice(BaseModel):
    """A bill of the order, in short."""

    model_config = ConfigDict(from_attributes=True)

    document_no: str
    kind: str
    mode: str
    state: str
    payer_code: str
    total_paise: int
    balance_paise: int
    einvoice_state: str | None


class OrderReport(BaseModel):
    """A version of the report."""

    model_config = ConfigDict(from_attributes=True)

    report_no: str
    version: int
    state: ReportState
    issued_at: datetime
    sha256: str
    is_confidential: bool


class OrderDetail(BaseModel):
    """An order with everything on it."""

    order_no: str
    branch_code: str
    priority: Priority
    stage: OrderStage
    attention: list[str]
    is_started: bool
    clinical_notes: str | None
    doctor: str
    placed_by: str
    created_at: datetime
    closed_at: datetime | None
    cancel_reason: str
    patient: OrderPatient
    samples: list[OrderSample]
    lines: list[OrderLineOut]
    invoices: list[OrderInvoice]
    reports: list[OrderReport]


class Event(BaseModel):
    """One line of the timeline."""

    model_config = ConfigDict(from_attributes=True)

    seq: int
    at: datetime
    source: str
    kind: str
    actor: str
    detail: dict[str, Any]


class ReportLink(BaseModel):
    """An expiring address of the report."""

    url: str
    expires_in: int


HEAD_FIELDS = {
    "order_no", "branch_code", "priority", "stage", "attention", "doctor", "placed_by", "created_at", "closed_at",
    "cancel_reason",
}  # fmt: skip


def shown_patient(head: OrderHead, *, shows: bool) -> OrderPatient:
    """Show the patient; what identifies a person only to roles that may read patients."""
    return OrderPatient(
        patient_no=head.patient_no,
        name=head.patient_name if shows else None,
        sex=head.sex if shows else None,
        birth_date=head.birth_date if shows else None,
        is_birth_date_estimated=head.is_birth_date_estimated,
        phone=head.phone if shows else None,
    )


def shown_line(row: LineRow, *, shows: bool) -> OrderLineOut:
    """Show a test; its result, and the name of a confidential one, only to roles that may see results."""
    is_hidden = row.is_confidential and not shows
    return OrderLineOut(
        test_code=HIDDEN if is_hidden else row.test_code,
        test_name=HIDDEN if is_hidden else row.test_name,
        panel_code=HIDDEN if is_hidden and row.panel_code else row.panel_code,
        payer_code=row.payer_code,
        accession_no=row.accession_no,
        price_paise=row.price_paise,
        state=row.state,
        result=_result(row) if shows else None,
    )


def _result(row: LineRow) -> LineResult | None:
    if row.result_version is None:
        return None
    return LineResult.model_validate(
        {
            **row.model_dump(include=set(LineResult.model_fields)),
            "version": row.result_version,
            "state": row.result_state,
            "value": row.value_text,
            "unit": row.unit_display or row.unit,
        }
    )


def listed(row: OrderListRow, names: frozenset[str]) -> OrderSummary:
    """Show an order in a list; the patient's name only for branches in `names`."""
    shown = OrderSummary.model_validate(row)
    return shown if row.branch_code in names else shown.model_copy(update={"patient_name": HIDDEN})
