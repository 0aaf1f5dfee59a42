"""Aliquots: tubes filled from another one, each under a number of its own.

A number of its own and not a suffix: analyzers cut what is longer than twelve characters, and a barcode must name one
tube only. Which tube it was taken from is on record and on its label.
"""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from sqlmodel import col, func, select
from sqlmodel.ext.asyncio.session import AsyncSession

from activities.device_work import queue_work, take_back
from activities.handling.tubes import Tube, tube_of
from activities.people import Actor
from activities.sample_plan import plan_samples
from domain.enums import LineState, SampleState
from domain.errors import ConflictError, NotFoundError, RuleError
from store import audit
from store.tables.catalogue import LabTest
from store.tables.orders import OrderLine, Sample
from store.timeline import EventDetail, add_event

MAX_ALIQUOTS = 20


async def make_aliquot(
    session: AsyncSession, actor: Actor, branches: Sequence[UUID], accession_no: str, *,
    container: str, volume_ul: int | None, test_codes: Sequence[str],
) -> Sample:  # fmt: skip
    """Fill a tube from another one and move tests to it.

    Raises:
        NotFoundError: The tube is not on record, or a test is not measured from it.
        ConflictError: It is not in the laboratory, is an aliquot itself, or a test has a result already.
        RuleError: More would be taken than it holds, or it has too many aliquots.
    """
    tube = await tube_of(session, accession_no, branches)
    parent = tube.sample
    if parent.state is not SampleState.RECEIVED or parent.parent_id is not None:
        raise ConflictError(
            f"{accession_no} is not a received tube, or is an aliquot itself", code="ALIQUOT_REFUSED",
            action="Take aliquots from the tube that was drawn, after it was received.",
        )  # fmt: skip
    await _check_volume(session, parent, volume_ul)
    moved = await _lines(session, tube, test_codes)
    (aliquot,) = await plan_samples(session, tube.order, [(parent.specimen, container or parent.container)])
    aliquot.parent_id, aliquot.volume_ul, aliquot.state = parent.id, volume_ul, SampleState.RECEIVED
    aliquot.collected_at, aliquot.collected_by = parent.collected_at, parent.collected_by
    aliquot.received_at, aliquot.received_by = parent.received_at, parent.received_by
    aliquot.collection_site = parent.collection_site
    session.add(aliquot)
    await session.flush()
    if moved:
        await take_back(session, tube.order, [parent], "moved to an aliquot")
        for line in moved:
            line.sample_id = aliquot.id
            session.add(line)
        await session.flush()
        await queue_work(session, tube.order, [parent, aliquot])
    detail: EventDetail = {"accession_no": aliquot.accession_no, "parent": accession_no, "tests": list(test_codes)}
    await add_event(session, tube.order.id, source="staff", kind="aliquot_made", actor=actor.username, detail=detail)
    await audit.record(
        session, chain=tube.branch.code, actor=actor.username, action="aliquot.made", object_kind="sample",
        object_id=aliquot.accession_no, body={"parent": accession_no, "volume_ul": volume_ul or 0},
    )  # fmt: skip
    return aliquot


async def left_in(session: AsyncSession, parent: Sample) -> int | None:
    """Return how much of a tube is left in microlitres; None where nobody measured it."""
    if parent.volume_ul is None:
        return None
    taken = await session.exec(
        select(func.coalesce(func.sum(Sample.volume_ul), 0)).where(Sample.parent_id == parent.id)
    )
    return parent.volume_ul - (taken.one() or 0)


async def _check_volume(session: AsyncSession, parent: Sample, volume_ul: int | None) -> None:
    count = (await session.exec(select(func.count()).where(Sample.parent_id == parent.id))).one()
    if count >= MAX_ALIQUOTS:
        raise RuleError(
            f"a tube has at most {MAX_ALIQUOTS} aliquots", code="ALIQUOT_REFUSED", action="Use another tube."
        )
    left = await left_in(session, parent)
    if left is not None and volume_ul is not None and volume_ul > left:
        raise RuleError(
            f"{volume_ul} µL are asked for and {left} µL are left", code="ALIQUOT_VOLUME",
            action="Take less, or correct the volume of the tube.",
        )  # fmt: skip


async def _lines(session: AsyncSession, tube: Tube, test_codes: Sequence[str]) -> list[OrderLine]:
    if not test_codes:
        return []
    query = (
        select(OrderLine, LabTest.code)
        .join(LabTest, col(LabTest.id) == col(OrderLine.test_id))
        .where(OrderLine.sample_id == tube.sample.id, col(LabTest.code).in_(list(test_codes)))
        .with_for_update(of=OrderLine)
    )
    found = {code: line for line, code in (await session.exec(query)).all()}
    if missing := sorted(set(test_codes) - found.keys()):
        raise NotFoundError(f"not measured from this tube: {', '.join(missing)}", code="TEST_NOT_ORDERED")
    if done := sorted(code for code, line in found.items() if line.state is not LineState.ORDERED):
        raise ConflictError(f"has a result already: {', '.join(done)}", code="RESULT_EXISTS")
    return list(found.values())
