"""Labels of tubes: what stands on them, and the log of their prints."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime
from typing import TypeAlias
from uuid import UUID

from sqlalchemy import text
from sqlmodel.ext.asyncio.session import AsyncSession

from activities.handling.tubes import tubes_of
from activities.people import Actor
from domain.clock import lab_day, on_paper
from domain.enums import Priority, SampleState, Sex
from domain.errors import ConflictError, RuleError
from domain.handling import LabelForm
from domain.tube_label import TubeLabel
from store import audit
from store.reading import ReadRow, rows_of
from store.tables.handling import LabelPrint
from store.timeline import add_event

_FACTS = text(
    "select s.accession_no, p.name, p.patient_no, p.sex, p.birth_date, o.priority, o.created_at, s.specimen,"
    " s.container, s.collected_at, coalesce(u.username, '') as collected_by,"
    " coalesce(pa.accession_no, '') as parent,"
    " coalesce((select array_agg(t.code order by l.position) from order_lines l join tests t on t.id = l.test_id"
    "   where l.sample_id = s.id and l.state <> 'cancelled' and not t.is_confidential), '{}') as tests"
    " from samples s join orders o on o.id = s.order_id join patients p on p.id = o.patient_id"
    " left join users u on u.id = s.collected_by left join samples pa on pa.id = s.parent_id"
    " where s.accession_no = any(cast(:numbers as text[])) and s.branch_id = any(cast(:branches as uuid[]))"
)
_PRINTED = text(
    "select s.accession_no from samples s where s.accession_no = any(cast(:numbers as text[]))"
    " and exists (select from label_prints p where p.sample_id = s.id) order by s.accession_no"
)
_DAYS_A_YEAR = 365.25
_DAYS_UNTIL_YEARS = 730

Numbers: TypeAlias = Sequence[str]


class _Facts(ReadRow):
    accession_no: str
    name: str
    patient_no: str
    sex: Sex
    birth_date: date
    priority: Priority
    created_at: datetime
    specimen: str
    container: str
    collected_at: datetime | None
    collected_by: str
    parent: str
    tests: list[str]


async def log_prints(
    session: AsyncSession, actor: Actor, branches: Sequence[UUID], numbers: Numbers, *,
    form: LabelForm, copies: int, reason: str,
) -> None:  # fmt: skip
    """Note that labels are printed; whoever prints one again says why.

    A second label on another tube is how samples are mixed up: that is what the reason is for.

    Raises:
        NotFoundError: A tube is not on record.
        ConflictError: A tube was rejected or cancelled.
        RuleError: A label was printed before and there is no reason.
    """
    tubes = await tubes_of(session, numbers, branches, for_update=True)
    gone = [
        tube.sample.accession_no for tube in tubes if tube.sample.state in {SampleState.REJECTED, SampleState.CANCELLED}
    ]
    if gone:
        raise ConflictError(f"no longer in use: {', '.join(gone)}", code="SAMPLE_NOT_IN_USE")
    printed = [row.accession_no for row in await session.execute(_PRINTED, {"numbers": list(numbers)})]
    if printed and len(reason.strip()) < 3:  # noqa: PLR2004
        raise RuleError(
            f"a label was printed before: {', '.join(printed)}", code="LABEL_REPRINT_REASON_MISSING",
            action="Say why it is printed again, and destroy the old label.",
        )  # fmt: skip
    for tube in tubes:
        why = reason if tube.sample.accession_no in printed else ""
        session.add(
            LabelPrint(sample_id=tube.sample.id, printed_by=actor.user_id, form=form, copies=copies, reason=why)
        )
        kind = "label_reprinted" if why else "label_printed"
        detail = {"accession_no": tube.sample.accession_no, "form": form.value}
        await add_event(session, tube.order.id, source="staff", kind=kind, actor=actor.username, detail=detail)
    for code in sorted({tube.branch.code for tube in tubes}):
        own = [tube.sample.accession_no for tube in tubes if tube.branch.code == code]
        await audit.record(
            session, chain=code, actor=actor.username, action="labels.printed", object_kind="sample",
            object_id=own[0], body={"accession_nos": own, "form": form.value, "again": sorted(set(printed) & set(own))},
        )  # fmt: skip


async def labels_of(session: AsyncSession, branches: Sequence[UUID], numbers: Numbers) -> list[TubeLabel]:
    """Return what stands on the labels of tubes, in the order asked for."""
    rows = await rows_of(session, _Facts, _FACTS, numbers=list(numbers), branches=list(branches))
    by_number = {row.accession_no: row for row in rows}
    return [_label(by_number[number]) for number in numbers if number in by_number]


def _label(row: _Facts) -> TubeLabel:
    return TubeLabel(
        accession_no=row.accession_no,
        patient=row.name,
        person=f"{row.patient_no}  {_age(row)} {row.sex.value[0].upper()}",
        collected=f"{on_paper(row.collected_at)} {row.collected_by}" if row.collected_at else "",
        tube=f"aliquot of {row.parent}: {row.specimen}" if row.parent else f"{row.specimen}, {row.container}",
        tests=" ".join(row.tests),
        priority="" if row.priority is Priority.ROUTINE else row.priority.value.upper(),
    )


def _age(row: _Facts) -> str:
    days = (lab_day(row.collected_at or row.created_at) - row.birth_date).days
    return f"{days} d" if days < _DAYS_UNTIL_YEARS else f"{int(days / _DAYS_A_YEAR)} y"
