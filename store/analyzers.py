"""Analyzers as the laboratory enters them: list, read, add, change."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import text
from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from domain.errors import ConflictError, NotFoundError
from store.reading import ReadRow, row_of, rows_of
from store.tables.results import Analyzer

_COLUMNS = (
    "a.id, a.code, a.name, a.model, a.protocol, a.is_active, a.peers, a.transport, a.profile_version,"
    " a.silent_after_minutes, b.code as branch_code, (select count(*) from ("
    "  select m.device_code from device_mappings m where m.analyzer_id = a.id and m.state = 'confirmed'"
    "  union select t.device_code from analyzer_tests t where t.analyzer_id = a.id) codes) as test_count,"
    " (select max(m.received_at) from instrument_messages m where m.analyzer_id = a.id) as last_message_at"
    " from analyzers a join branches b on b.id = a.branch_id where a.branch_id = any(cast(:branches as uuid[]))"
)
_ALL = text(f"select {_COLUMNS} order by a.code")
_ONE = text(f"select {_COLUMNS} and a.code = :code")
_SETUPS = text("select code, protocol, peers, transport, is_active from analyzers order by code")
_ENTERING = text("select pg_advisory_xact_lock(hashtext('labsetu.analyzers'))")


class AnalyzerRow(ReadRow):
    """An analyzer as listed; `test_count` counts codes that a person stands behind."""

    id: UUID
    code: str
    name: str
    model: str
    protocol: str
    is_active: bool
    peers: list[str]
    transport: dict[str, Any]
    profile_version: int
    silent_after_minutes: int | None
    branch_code: str
    test_count: int
    last_message_at: datetime | None


class SetupRow(ReadRow):
    """What tells one analyzer from the others."""

    code: str
    protocol: str
    peers: list[str]
    transport: dict[str, Any]
    is_active: bool


async def analyzers(session: AsyncSession, branches: Sequence[UUID]) -> list[AnalyzerRow]:
    """Return the analyzers of the branches by code."""
    return await rows_of(session, AnalyzerRow, _ALL, branches=list(branches))


async def analyzer_row(session: AsyncSession, code: str, branches: Sequence[UUID]) -> AnalyzerRow:
    """Return an analyzer of one of the branches.

    Raises:
        NotFoundError: There is none.
    """
    found = await row_of(session, AnalyzerRow, _ONE, code=code, branches=list(branches))
    if found is None:
        raise _unknown()
    return found


async def locked_analyzer(session: AsyncSession, code: str, branches: Sequence[UUID]) -> Analyzer:
    """Return an analyzer of one of the branches for changing it; others wait until the commit.

    Raises:
        NotFoundError: There is none.
    """
    query = select(Analyzer).where(Analyzer.code == code, col(Analyzer.branch_id).in_(branches)).with_for_update()
    found = (await session.exec(query)).first()
    if found is None:
        raise _unknown()
    return found


async def setups(session: AsyncSession) -> list[SetupRow]:
    """Return how every analyzer of the laboratory is reached, whichever branch.

    Two people who enter devices at once take turns until the commit, so that what is checked stays true.
    """
    await session.execute(_ENTERING)
    return await rows_of(session, SetupRow, _SETUPS)


async def add_analyzer(session: AsyncSession, analyzer: Analyzer) -> None:
    """Add an analyzer. Call `setups` first: it keeps others from taking the same code meanwhile.

    Raises:
        ConflictError: The code is taken.
    """
    if (await session.exec(select(Analyzer.id).where(Analyzer.code == analyzer.code))).first() is not None:
        raise ConflictError(
            f"there is already an analyzer {analyzer.code}", code="ANALYZER_CODE_TAKEN",
            action="Choose another code; codes are one series for all branches.",
        )  # fmt: skip
    session.add(analyzer)
    await session.flush()


def _unknown() -> NotFoundError:
    return NotFoundError("there is no such analyzer", code="ANALYZER_UNKNOWN")
