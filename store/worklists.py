"""What is to be done, most urgent first, then longest waiting first."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from enum import StrEnum
from types import MappingProxyType
from uuid import UUID

from sqlalchemy import text
from sqlmodel.ext.asyncio.session import AsyncSession

from domain.enums import LineState, Priority, SampleState
from store.reading import ReadRow, rows_of

_SAMPLES = text(
    "select s.id, array_position(array['stat', 'urgent', 'routine'], o.priority) as rank, o.order_no,"
    " b.code as branch_code, o.priority, p.patient_no, p.name as patient_name, s.accession_no, s.specimen,"
    " s.container, coalesce(s.received_at, s.collected_at, s.created_at) as since,"
    " array_agg(case when t.is_confidential and not cast(:shows_confidential as boolean) then '***' else t.code end"
    "   order by l.position) as tests,"
    " coalesce(bool_or(r.is_critical), false) as has_critical"
    " from samples s join orders o on o.id = s.order_id join branches b on b.id = s.branch_id"
    " join patients p on p.id = o.patient_id join order_lines l on l.sample_id = s.id"
    " join tests t on t.id = l.test_id"
    " left join results r on r.order_line_id = l.id and r.state = 'current'"
    " where s.branch_id = any(cast(:branches as uuid[])) and o.stage not in ('cancelled', 'closed')"
    " and s.state = :sample_state and l.state = any(cast(:line_states as text[]))"
    " and (cast(:after_id as uuid) is null"
    "  or (array_position(array['stat', 'urgent', 'routine'], o.priority), s.id) > (:after_rank, :after_id))"
    " group by s.id, o.order_no, b.code, o.priority, p.patient_no, p.name"
    " order by rank, s.id limit :limit"
)
_ATTENTION = text(
    "select o.id, array_position(array['stat', 'urgent', 'routine'], o.priority) as rank, o.order_no,"
    " b.code as branch_code, o.priority, o.stage, o.attention, o.created_at as since"
    " from orders o join branches b on b.id = o.branch_id"
    " where o.branch_id = any(cast(:branches as uuid[])) and cardinality(o.attention) > 0"
    " and (cast(:after_id as uuid) is null"
    "  or (array_position(array['stat', 'urgent', 'routine'], o.priority), o.id) > (:after_rank, :after_id))"
    " order by rank, o.id limit :limit"
)


class Worklist(StrEnum):
    """The lists of samples; each ends where the next one begins."""

    COLLECTION = "collection"
    RECEPTION = "reception"
    ANALYSIS = "analysis"
    VERIFICATION = "verification"
    AUTHORISATION = "authorisation"


_OPEN = tuple(state for state in LineState if state is not LineState.CANCELLED)
_WANTED: Mapping[Worklist, tuple[SampleState, Sequence[LineState]]] = MappingProxyType(
    {
        Worklist.COLLECTION: (SampleState.EXPECTED, _OPEN),
        Worklist.RECEPTION: (SampleState.COLLECTED, _OPEN),
        Worklist.ANALYSIS: (SampleState.RECEIVED, (LineState.ORDERED,)),
        Worklist.VERIFICATION: (SampleState.RECEIVED, (LineState.RESULTED,)),
        Worklist.AUTHORISATION: (SampleState.RECEIVED, (LineState.VERIFIED,)),
    }
)


class WorkRow(ReadRow):
    """A sample with something to do.

    Attributes:
        rank: 1 is most urgent.
        since: When it came into the state it is in.
        tests: Codes of the tests concerned; `***` where the caller may not see which.
    """

    id: UUID
    rank: int
    order_no: str
    branch_code: str
    priority: Priority
    patient_no: str
    patient_name: str
    accession_no: str
    specimen: str
    container: str
    since: datetime
    tests: list[str]
    has_critical: bool


class AttentionRow(ReadRow):
    """An order that needs a person."""

    id: UUID
    rank: int
    order_no: str
    branch_code: str
    priority: Priority
    stage: str
    attention: list[str]
    since: datetime


class Place(ReadRow):
    """Where a page of a worklist ended."""

    rank: int = 0
    id: UUID | None = None


async def work_page(
    session: AsyncSession,
    worklist: Worklist,
    *,
    branches: Sequence[UUID],
    shows_confidential: bool,
    after: Place,
    limit: int,
) -> list[WorkRow]:
    """Return the samples of a worklist below `after`."""
    sample_state, line_states = _WANTED[worklist]
    return await rows_of(
        session, WorkRow, _SAMPLES, branches=list(branches), shows_confidential=shows_confidential,
        sample_state=sample_state.value, line_states=[state.value for state in line_states],
        after_rank=after.rank, after_id=after.id, limit=limit,
    )  # fmt: skip


async def attention_page(
    session: AsyncSession, *, branches: Sequence[UUID], after: Place, limit: int
) -> list[AttentionRow]:
    """Return the orders that need a person, below `after`."""
    return await rows_of(
        session, AttentionRow, _ATTENTION, branches=list(branches), after_rank=after.rank, after_id=after.id,
        limit=limit,
    )  # fmt: skip
