"""Tubes, transports and places as staff see them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal
from uuid import UUID

from sqlalchemy import text
from sqlmodel.ext.asyncio.session import AsyncSession

from domain.enums import SampleState
from domain.handling import LabelForm, ManifestState
from store.reading import ReadRow, rows_of

_TUBE = text(
    "select s.accession_no, o.order_no, b.code as branch_code, s.specimen, s.container, s.state, s.collection_site,"
    " s.collected_at, s.received_at, s.rejected_at, s.reject_reason, coalesce(r.accession_no, '') as replaces,"
    " coalesce(pa.accession_no, '') as parent, s.volume_ul,"
    " coalesce((select array_agg(c.accession_no order by c.id) from samples c where c.parent_id = s.id), '{}')"
    "   as aliquots,"
    " coalesce((select m.manifest_no from manifest_samples x join manifests m on m.id = x.manifest_id"
    "   where x.sample_id = s.id order by m.id desc limit 1), '') as manifest,"
    " coalesce(st.place, '') as place, st.keep_until,"
    " coalesce((select d.disposal_no from sample_storage d where d.sample_id = s.id and d.disposal_no <> ''), '')"
    "   as disposal_no"
    " from samples s join orders o on o.id = s.order_id join branches b on b.id = s.branch_id"
    " left join samples r on r.id = s.replaces_id left join samples pa on pa.id = s.parent_id"
    " left join sample_storage st on st.sample_id = s.id and st.left_at is null where s.id = :sample_id"
)
_PRINTS = text(
    "select p.created_at as at, u.username as printed_by, p.form, p.copies, p.reason from label_prints p"
    " join users u on u.id = p.printed_by where p.sample_id = :sample_id order by p.id"
)
_MANIFESTS = text(
    "select m.id, m.manifest_no, f.code as from_branch, t.code as to_branch, m.state, m.carrier, m.lowest_celsius,"
    " m.highest_celsius, m.created_at as packed_at, m.dispatched_at, m.dispatch_celsius, m.arrived_at,"
    " m.arrival_celsius, m.closed_at, m.close_note,"
    " (select count(*) from manifest_samples x where x.manifest_id = m.id) as samples,"
    " (select count(*) from manifest_samples x where x.manifest_id = m.id and x.arrived_at is not null) as arrived"
    " from manifests m join branches f on f.id = m.from_branch_id join branches t on t.id = m.to_branch_id"
    " where (m.from_branch_id = any(cast(:branches as uuid[])) or m.to_branch_id = any(cast(:branches as uuid[])))"
    " and (:state = '' or m.state = :state) and (:number = '' or m.manifest_no = :number)"
    " and (cast(:before as uuid) is null or m.id < :before) order by m.id desc limit :limit"
)
_DUE = text(
    "select st.id, s.accession_no, b.code as branch_code, s.specimen, st.place, st.keep_until, o.order_no"
    " from sample_storage st join samples s on s.id = st.sample_id join orders o on o.id = s.order_id"
    " join branches b on b.id = st.branch_id"
    " where st.left_at is null and st.keep_until <= :now and st.branch_id = any(cast(:branches as uuid[]))"
    " and o.stage in ('reported', 'closed', 'cancelled')"
    " and (cast(:after as uuid) is null or st.id > :after) order by st.id limit :limit"
)
_RULES = text(
    "select r.specimen, r.days, r.source, u.username as approved_by, r.valid_from, r.valid_to from retention_rules r"
    " join users u on u.id = r.approved_by order by r.specimen, r.valid_from desc"
)


class TubeRow(ReadRow):
    """A tube with where it comes from and where it is."""

    accession_no: str
    order_no: str
    branch_code: str
    specimen: str
    container: str
    state: SampleState
    collection_site: str
    collected_at: datetime | None
    received_at: datetime | None
    rejected_at: datetime | None
    reject_reason: str
    replaces: str
    parent: str
    aliquots: list[str]
    volume_ul: int | None
    manifest: str
    place: str
    keep_until: datetime | None
    disposal_no: str


class PrintRow(ReadRow):
    """That a label was printed."""

    at: datetime
    printed_by: str
    form: LabelForm
    copies: int
    reason: str


class ManifestRow(ReadRow):
    """A transport; `samples` are on it, `arrived` of them were scanned or received."""

    id: UUID
    manifest_no: str
    from_branch: str
    to_branch: str
    state: ManifestState
    carrier: str
    lowest_celsius: Decimal | None
    highest_celsius: Decimal | None
    packed_at: datetime
    dispatched_at: datetime | None
    dispatch_celsius: Decimal | None
    arrived_at: datetime | None
    arrival_celsius: Decimal | None
    closed_at: datetime | None
    close_note: str
    samples: int
    arrived: int


class DueRow(ReadRow):
    """A stored tube that may be disposed of."""

    id: UUID
    accession_no: str
    branch_code: str
    specimen: str
    place: str
    keep_until: datetime
    order_no: str


class RuleRow(ReadRow):
    """How long tubes of a specimen are kept; `valid_to` is None for the rule in force."""

    specimen: str
    days: int
    source: str
    approved_by: str
    valid_from: datetime
    valid_to: datetime | None


async def tube_row(session: AsyncSession, sample_id: UUID) -> TubeRow:
    """Return a tube that is on record."""
    return (await rows_of(session, TubeRow, _TUBE, sample_id=sample_id))[0]


async def prints_of(session: AsyncSession, sample_id: UUID) -> list[PrintRow]:
    """Return the prints of a tube's label, oldest first."""
    return await rows_of(session, PrintRow, _PRINTS, sample_id=sample_id)


async def manifest_page(
    session: AsyncSession, branches: Sequence[UUID], *, state: str = "", number: str = "",
    before: UUID | None = None, limit: int = 1,
) -> list[ManifestRow]:  # fmt: skip
    """Return transports that leave or reach the branches, newest first, older than `before`."""
    return await rows_of(
        session, ManifestRow, _MANIFESTS, branches=list(branches), state=state, number=number, before=before,
        limit=limit,
    )  # fmt: skip


async def due_page(
    session: AsyncSession, branches: Sequence[UUID], *, now: datetime, after: UUID | None, limit: int
) -> list[DueRow]:
    """Return tubes that were kept long enough and whose orders are finished, oldest first."""
    return await rows_of(session, DueRow, _DUE, branches=list(branches), now=now, after=after, limit=limit)


async def retention_rules(session: AsyncSession) -> list[RuleRow]:
    """Return every rule that ever was in force, by specimen, newest first."""
    return await rows_of(session, RuleRow, _RULES)
