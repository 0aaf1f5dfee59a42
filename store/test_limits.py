"""Reads the limits that are in force, and the blocks that forbid a release."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection
from datetime import datetime
from uuid import UUID

from sqlmodel import col, or_, select
from sqlmodel.ext.asyncio.session import AsyncSession

from domain.test_limits import TestLimit
from store.tables.clinical import QcBlock, TestLimitRow


async def limits_in_force(
    session: AsyncSession, test_ids: Collection[UUID], *, at: datetime
) -> dict[UUID, list[TestLimit]]:
    """Return the approved limits of tests that hold at a time; a test without any is not in the answer."""
    query = select(TestLimitRow).where(
        col(TestLimitRow.test_id).in_(list(test_ids)),
        col(TestLimitRow.approved_by).is_not(None),
        TestLimitRow.valid_from <= at,
        or_(col(TestLimitRow.valid_to).is_(None), col(TestLimitRow.valid_to) > at),
    )
    found: defaultdict[UUID, list[TestLimit]] = defaultdict(list)
    for row in (await session.exec(query)).all():
        found[row.test_id].append(limit_of(row))
    return dict(found)


def limit_of(row: TestLimitRow) -> TestLimit:
    """Return a row as the rules know it."""
    return TestLimit(
        id=row.id,
        kind=row.kind,
        sex=row.sex,
        age_from_hours=row.age_from_hours,
        age_to_hours=row.age_to_hours,
        analyzer_id=row.analyzer_id,
        low=row.low,
        high=row.high,
        delta_kind=row.delta_kind,
        window_hours=row.window_hours,
        source=row.source,
        approved_by=row.approved_by,
        valid_from=row.valid_from,
        valid_to=row.valid_to,
    )


async def open_blocks(session: AsyncSession, test_ids: Collection[UUID]) -> dict[tuple[UUID, UUID], str]:
    """Return why results may not be released, by device and test, for all open blocks of these tests."""
    query = select(QcBlock).where(col(QcBlock.test_id).in_(list(test_ids)), col(QcBlock.closed_at).is_(None))
    return {(row.analyzer_id, row.test_id): row.reason for row in (await session.exec(query)).all()}
