"""Orders as staff see them: the list, one order with everything on it, and which runs belong to it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime
from decimal import Decimal
from uuid import UUID

from sqlalchemy import text
from sqlmodel.ext.asyncio.session import AsyncSession

from domain import ids
from domain.clock import utc_now
from domain.enums import LineState, OrderStage, Priority, ReportState, ResultState, SampleState
from domain.errors import NotFoundError
from store.reading import ReadRow, row_of, rows_of

_REF = text(
    "select o.id, o.order_no, o.branch_id, b.code as branch_code, o.stage, o.priority, o.attention, o.created_at,"
    " o.workflow_started_at from orders o join branches b on b.id = o.branch_id"
    " where o.order_no = :order_no and o.branch_id = any(cast(:branches as uuid[]))"
)
_PAGE = text(
    "select o.id, o.order_no, b.code as branch_code, p.patient_no, p.name as patient_name, o.priority, o.stage,"
    " o.attention, o.created_at, o.closed_at, o.workflow_started_at,"
    " (select count(*) from order_lines l where l.order_id = o.id) as test_count"
    " from orders o join branches b on b.id = o.branch_id join patients p on p.id = o.patient_id"
    " where o.branch_id = any(cast(:branches as uuid[]))"
    " and (:stage = '' or o.stage = :stage) and (:branch = '' or b.code = :branch)"
    " and (cast(:attention as boolean) is null or (cardinality(o.attention) > 0) = :attention)"
    " and (cast(:since as timestamptz) is null or o.created_at >= :since)"
    " and (cast(:until as timestamptz) is null or o.created_at < :until)"
    " and (:q = '' or o.order_no = :q or p.patient_no = :q"
    "      or exists (select from samples s where s.order_id = o.id and s.accession_no = :q))"
    " and (cast(:before as uuid) is null or o.id < :before) order by o.id desc limit :limit"
)
_HEAD = text(
    "select o.id, o.order_no, o.branch_id, b.code as branch_code, o.priority, o.stage, o.attention, o.clinical_notes,"
    " o.created_at, o.closed_at, o.cancel_reason, o.workflow_started_at, u.username as placed_by,"
    " coalesce(d.name, '') as doctor, p.patient_no, p.name as patient_name, p.sex, p.birth_date,"
    " p.is_birth_date_estimated, p.phone"
    " from orders o join branches b on b.id = o.branch_id join patients p on p.id = o.patient_id"
    " join users u on u.id = o.placed_by left join doctors d on d.id = o.doctor_id"
    " where o.id = :order_id"
)
_SAMPLES = text(
    "select s.accession_no, s.specimen, s.container, s.state, s.collected_at, s.received_at, s.rejected_at,"
    " s.reject_reason, coalesce(r.accession_no, '') as replaces from samples s"
    " left join samples r on r.id = s.replaces_id where s.order_id = :order_id order by s.id"
)
_LINES = text(
    "select t.code as test_code, t.name as test_name, t.is_confidential, t.unit_display,"
    " coalesce(pn.code, '') as panel_code, coalesce(py.code, '') as payer_code,"
    " coalesce(s.accession_no, '') as accession_no, l.price_paise, l.state,"
    " r.version as result_version, r.state as result_state, r.value_text, r.unit, r.flag, r.is_critical,"
    " r.reference_low, r.reference_high, r.reference_text, r.comments, r.hold_reason, r.observed_at, r.source,"
    " (select coalesce(array_agg(v.level order by v.level), '{}') from verifications v"
    "   where v.result_id = r.id and v.decision = 'accepted') as accepted_levels"
    " from order_lines l join tests t on t.id = l.test_id left join panels pn on pn.id = l.panel_id"
    " left join payers py on py.id = l.payer_id left join samples s on s.id = l.sample_id"
    " left join lateral (select * from results x where x.order_line_id = l.id and x.state in ('current', 'held')"
    "   order by (x.state = 'current') desc, x.version desc limit 1) r on true"
    " where l.order_id = :order_id order by l.position"
)
_REPORTS = text(
    "select id, report_no, version, state, is_confidential, sha256, size_bytes, issued_at from reports"
    " where order_id = :order_id order by version desc"
)
_MARK_STARTED = text(
    "update orders set workflow_started_at = :now where id = :order_id and workflow_started_at is null"
)
_CHILD_KEYS = text(
    "select 'invoice' as kind, document_no as key from invoices where order_id = :order_id"
    " union all select 'refund', f.payment_ref from refunds f join invoices i on i.id = f.invoice_id"
    "   where i.order_id = :order_id"
    " union all select 'report', cast(id as text) from reports where order_id = :order_id"
)


class OrderRef(ReadRow):
    """An order as commands and the gateway need it."""

    id: UUID
    order_no: str
    branch_id: UUID
    branch_code: str
    stage: OrderStage
    priority: Priority
    attention: list[str]
    created_at: datetime
    workflow_started_at: datetime | None


class OrderListRow(ReadRow):
    """An order as listed."""

    id: UUID
    order_no: str
    branch_code: str
    patient_no: str
    patient_name: str
    priority: Priority
    stage: OrderStage
    attention: list[str]
    created_at: datetime
    closed_at: datetime | None
    workflow_started_at: datetime | None
    test_count: int


class OrderHead(ReadRow):
    """An order with its patient."""

    id: UUID
    order_no: str
    branch_id: UUID
    branch_code: str
    priority: Priority
    stage: OrderStage
    attention: list[str]
    clinical_notes: str
    created_at: datetime
    closed_at: datetime | None
    cancel_reason: str
    workflow_started_at: datetime | None
    placed_by: str
    doctor: str
    patient_no: str
    patient_name: str
    sex: str
    birth_date: date
    is_birth_date_estimated: bool
    phone: str


class SampleRow(ReadRow):
    """A tube of an order."""

    accession_no: str
    specimen: str
    container: str
    state: SampleState
    collected_at: datetime | None
    received_at: datetime | None
    rejected_at: datetime | None
    reject_reason: str
    replaces: str


class LineRow(ReadRow):
    """An ordered test with its result in force, or the newest held one."""

    test_code: str
    test_name: str
    is_confidential: bool
    unit_display: str
    panel_code: str
    payer_code: str
    accession_no: str
    price_paise: int
    state: LineState
    result_version: int | None
    result_state: ResultState | None
    value_text: str | None
    unit: str | None
    flag: str | None
    is_critical: bool | None
    reference_low: Decimal | None
    reference_high: Decimal | None
    reference_text: str | None
    comments: list[str] | None
    hold_reason: str | None
    observed_at: datetime | None
    source: str | None
    accepted_levels: list[str]


class ReportListRow(ReadRow):
    """A version of an order's report."""

    id: UUID
    report_no: str
    version: int
    state: ReportState
    is_confidential: bool
    sha256: str
    size_bytes: int
    issued_at: datetime


class _ChildKey(ReadRow):
    kind: str
    key: str


class OrderFilter(ReadRow):
    """What narrows the list; "" and None do not.

    Attributes:
        q: A whole order, patient or accession number.
        since: Placed at or after.
        until: Placed before.
    """

    stage: str = ""
    branch: str = ""
    attention: bool | None = None
    q: str = ""
    since: datetime | None = None
    until: datetime | None = None


async def order_ref(session: AsyncSession, order_no: str, branches: Sequence[UUID] | frozenset[UUID]) -> OrderRef:
    """Return an order of one of the branches.

    Raises:
        NotFoundError: Unknown, or of another branch.
    """
    found = await row_of(session, OrderRef, _REF, order_no=order_no, branches=list(branches))
    if found is None:
        raise NotFoundError("there is no such order", code="ORDER_UNKNOWN")
    return found


async def order_page(
    session: AsyncSession, wanted: OrderFilter, *, branches: Sequence[UUID], before: UUID | None, limit: int
) -> list[OrderListRow]:
    """Return orders of the branches, newest first, older than `before`."""
    facts = wanted.model_dump()
    return await rows_of(session, OrderListRow, _PAGE, branches=list(branches), before=before, limit=limit, **facts)


async def order_head(session: AsyncSession, order_id: UUID) -> OrderHead:
    """Return an order that is known to exist, with its patient."""
    (head,) = await rows_of(session, OrderHead, _HEAD, order_id=order_id)
    return head


async def samples_of(session: AsyncSession, order_id: UUID) -> list[SampleRow]:
    """Return an order's tubes, oldest first."""
    return await rows_of(session, SampleRow, _SAMPLES, order_id=order_id)


async def lines_of(session: AsyncSession, order_id: UUID) -> list[LineRow]:
    """Return an order's tests in report order."""
    return await rows_of(session, LineRow, _LINES, order_id=order_id)


async def reports_of(session: AsyncSession, order_id: UUID) -> list[ReportListRow]:
    """Return the versions of an order's report, newest first."""
    return await rows_of(session, ReportListRow, _REPORTS, order_id=order_id)


async def mark_started(session: AsyncSession, order_id: UUID) -> None:
    """Note that Temporal has accepted the order's run, so that the sweeper leaves it."""
    await session.execute(_MARK_STARTED, {"order_id": order_id, "now": utc_now()})


async def workflow_ids_of(session: AsyncSession, lab: str, order: OrderRef) -> set[str]:
    """Return the ids of every run that can belong to an order."""
    found = {ids.order_workflow_id(lab, order.order_no)}
    for child in await rows_of(session, _ChildKey, _CHILD_KEYS, order_id=order.id):
        if child.kind == "invoice":
            found |= {
                ids.payment_workflow_id(child.key),
                ids.einvoice_workflow_id(child.key),
                ids.reversal_workflow_id(child.key),
            }
        elif child.kind == "refund":
            found.add(ids.refund_workflow_id(child.key))
        else:
            found |= {ids.delivery_workflow_id(child.key), ids.record_push_workflow_id(child.key)}
    return found
