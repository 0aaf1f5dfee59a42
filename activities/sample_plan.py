"""The tubes of an order: one for each pair of specimen and container, under accession numbers that are on no tube."""

from __future__ import annotations

from collections.abc import Sequence

from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from domain.accession import accession_no
from domain.clock import lab_day
from domain.ids import AccessionNo
from store.counters import next_numbers
from store.tables.orders import Order, Sample

Tube = tuple[str, str]
"""Specimen and container."""


async def plan_samples(session: AsyncSession, order: Order, tubes: Sequence[Tube]) -> list[Sample]:
    """Add the samples to be drawn, in the order of `tubes`."""
    numbers = await _next_accession_nos(session, len(tubes))
    samples = [
        Sample(
            order_id=order.id,
            branch_id=order.branch_id,
            accession_no=number,
            specimen=specimen,
            container=container,
        )
        for number, (specimen, container) in zip(numbers, tubes, strict=True)
    ]
    session.add_all(samples)
    await session.flush()
    return samples


async def plan_replacement(session: AsyncSession, order: Order, rejected: Sample) -> Sample:
    """Add the sample to be drawn instead of the rejected one."""
    (replacement,) = await plan_samples(session, order, [(rejected.specimen, rejected.container)])
    replacement.replaces_id = rejected.id
    session.add(replacement)
    await session.flush()
    return replacement


async def _next_accession_nos(session: AsyncSession, wanted: int) -> list[AccessionNo]:
    """Return the day's next numbers that are on no tube: pre-printed labels may have come before the counter."""
    day = lab_day()
    series = f"accession:{day}"
    free: list[AccessionNo] = []
    while len(free) < wanted:
        serials = (await next_numbers(session, {series: wanted - len(free)}))[series]
        numbers = [accession_no(day, serial) for serial in serials]
        taken = (await session.exec(select(Sample.accession_no).where(col(Sample.accession_no).in_(numbers)))).all()
        free += [number for number in numbers if number not in taken]
    return free
