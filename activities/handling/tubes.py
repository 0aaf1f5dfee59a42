"""Finds tubes by their number, within the branches of the transaction."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from domain.errors import NotFoundError
from store.tables.orders import Order, Sample
from store.tables.organisation import Branch


@dataclass(frozen=True)
class Tube:
    """A tube with its order and branch."""

    sample: Sample
    order: Order
    branch: Branch


async def tubes_of(
    session: AsyncSession, accession_nos: Sequence[str], branches: Sequence[UUID], *, for_update: bool = False
) -> list[Tube]:
    """Return the tubes in the order asked for.

    Raises:
        NotFoundError: One is not on record in these branches.
    """
    query = (
        select(Sample, Order, Branch)
        .join(Order, col(Order.id) == col(Sample.order_id))
        .join(Branch, col(Branch.id) == col(Sample.branch_id))
        .where(col(Sample.accession_no).in_(list(accession_nos)), col(Sample.branch_id).in_(list(branches)))
        .order_by(col(Sample.id))
    )
    if for_update:
        query = query.with_for_update(of=Sample)
    found = {sample.accession_no: Tube(sample, order, branch) for sample, order, branch in (await session.exec(query))}
    missing = [number for number in accession_nos if number not in found]
    if missing:
        raise NotFoundError(
            f"no such sample: {', '.join(missing[:10])}", code="SAMPLE_NOT_FOUND",
            action="Scan the label again; the tube may belong to a branch where you hold no role.",
        )  # fmt: skip
    return [found[number] for number in accession_nos]


async def tube_of(session: AsyncSession, accession_no: str, branches: Sequence[UUID]) -> Tube:
    """Return one tube, locked together with its order.

    Raises:
        NotFoundError: It is not on record in these branches.
    """
    (tube,) = await tubes_of(session, [accession_no], branches)
    await session.exec(select(Order).where(Order.id == tube.order.id).with_for_update())
    await session.refresh(tube.sample, with_for_update=True)
    return tube
