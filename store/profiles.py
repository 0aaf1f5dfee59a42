"""Versions of analyzers' profiles, and the mappings that travel with them. A version is added, never changed."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from sqlalchemy import text
from sqlmodel import select
from sqlmodel.ext.asyncio.session import AsyncSession

from domain.clock import utc_now
from domain.enums import MappingState
from domain.errors import NotFoundError
from domain.ids import new_id
from store.reading import ReadRow, rows_of
from store.tables.devices import AnalyzerProfile
from store.tables.results import Analyzer

_VERSIONS = text(
    "select p.version, p.note, p.profile, p.created_at, coalesce(c.username, '') as created_by, p.activated_at,"
    " coalesce(u.username, '') as activated_by from analyzer_profiles p left join users c on c.id = p.created_by"
    " left join users u on u.id = p.activated_by where p.analyzer_id = :analyzer_id order by p.version desc"
)
_MAPPINGS = text(
    "select m.device_code, t.code as test_code, m.unit, m.factor from device_mappings m"
    " join tests t on t.id = m.test_id where m.analyzer_id = :analyzer_id and m.state = 'confirmed'"
    " union select d.device_code, t.code, d.unit, null from analyzer_tests d join tests t on t.id = d.test_id"
    " where d.analyzer_id = :analyzer_id and not exists (select from device_mappings m"
    "   where m.analyzer_id = d.analyzer_id and m.device_code = d.device_code)"
    " order by 1, 2"
)
_PROPOSE = text(
    "insert into device_mappings (id, created_at, analyzer_id, device_code, test_id, unit, factor, state, origin,"
    " proposed_by) select :id, :now, :analyzer_id, :device_code, t.id, :unit, cast(:factor as numeric), :state,"
    " :origin, :proposed_by from tests t where t.code = :test_code and t.is_active"
    " on conflict (analyzer_id, device_code, test_id) do nothing returning device_code"
)


class VersionRow(ReadRow):
    """One version of a profile as listed; `activated_at` is None for a draft."""

    version: int
    note: str
    profile: dict[str, Any]
    created_at: datetime
    created_by: str
    activated_at: datetime | None
    activated_by: str


class MappingRow(ReadRow):
    """What a device's code means in the laboratory's words."""

    device_code: str
    test_code: str
    unit: str
    factor: Decimal | None


@dataclass(frozen=True)
class Proposal:
    """A mapping for a person to confirm."""

    device_code: str
    test_code: str
    unit: str = ""
    factor: Decimal | None = None


async def versions(session: AsyncSession, analyzer: Analyzer) -> list[VersionRow]:
    """Return the versions of a device's profile, newest first."""
    found = await rows_of(session, VersionRow, _VERSIONS, analyzer_id=analyzer.id)
    if all(row.version != analyzer.profile_version for row in found):
        found.append(_unrecorded(analyzer))
    return sorted(found, key=lambda row: row.version, reverse=True)


async def profile_version(session: AsyncSession, analyzer: Analyzer, version: int) -> dict[str, Any]:
    """Return the profile of one version.

    Raises:
        NotFoundError: There is no such version.
    """
    for row in await versions(session, analyzer):
        if row.version == version:
            return row.profile
    raise NotFoundError(f"{analyzer.code} has no profile version {version}", code="PROFILE_VERSION_UNKNOWN")


async def add_version(
    session: AsyncSession, analyzer: Analyzer, profile: dict[str, Any], *, note: str, user_id: UUID
) -> AnalyzerProfile:
    """Add a draft under the next number. The analyzer's row must be locked."""
    await _record_current(session, analyzer)
    known = [row.version for row in await versions(session, analyzer)]
    draft = AnalyzerProfile(
        analyzer_id=analyzer.id, version=max(known) + 1, profile=profile, note=note, created_by=user_id
    )
    session.add(draft)
    await session.flush()
    return draft


async def add_first_version(session: AsyncSession, analyzer: Analyzer, *, user_id: UUID) -> None:
    """Write down the profile that a new device starts with; it is in force at once."""
    session.add(
        AnalyzerProfile(
            analyzer_id=analyzer.id, version=analyzer.profile_version, profile=analyzer.profile,
            note="as entered", created_by=user_id, activated_at=utc_now(), activated_by=user_id,
        )
    )  # fmt: skip
    await session.flush()


async def activate(session: AsyncSession, analyzer: Analyzer, version: int, *, user_id: UUID) -> bool:
    """Put a version in force and return whether that changed anything. Mappings stay. The row must be locked.

    Raises:
        NotFoundError: There is no such version.
    """
    await _record_current(session, analyzer)
    query = select(AnalyzerProfile).where(
        AnalyzerProfile.analyzer_id == analyzer.id, AnalyzerProfile.version == version
    )
    row = (await session.exec(query)).one_or_none()
    if row is None:
        raise NotFoundError(f"{analyzer.code} has no profile version {version}", code="PROFILE_VERSION_UNKNOWN")
    if version == analyzer.profile_version:
        return False
    row.activated_at, row.activated_by = utc_now(), user_id
    analyzer.profile, analyzer.profile_version = row.profile, version
    analyzer.protocol = str(row.profile.get("protocol", analyzer.protocol))
    session.add_all([row, analyzer])
    await session.flush()
    return True


async def confirmed_mappings(session: AsyncSession, analyzer_id: UUID) -> list[MappingRow]:
    """Return the mappings that a person stands behind, by code."""
    return await rows_of(session, MappingRow, _MAPPINGS, analyzer_id=analyzer_id)


async def propose_mappings(
    session: AsyncSession, analyzer_id: UUID, proposals: Iterable[Proposal], *, origin: str, user_id: UUID | None
) -> list[str]:
    """Add proposals that are not known yet and return their device codes; tests the lab does not offer are left out."""
    added: list[str] = []
    for proposal in proposals:
        facts = {
            "id": new_id(), "now": utc_now(), "analyzer_id": analyzer_id, "device_code": proposal.device_code,
            "test_code": proposal.test_code, "unit": proposal.unit, "factor": proposal.factor, "origin": origin,
            "state": MappingState.PROPOSED.value, "proposed_by": user_id,
        }  # fmt: skip
        added += (await session.execute(_PROPOSE, facts)).scalars()
    return added


async def _record_current(session: AsyncSession, analyzer: Analyzer) -> None:
    """Write down the profile in force where a device was entered without its first version."""
    query = select(AnalyzerProfile.id).where(
        AnalyzerProfile.analyzer_id == analyzer.id, AnalyzerProfile.version == analyzer.profile_version
    )
    if (await session.exec(query)).first() is None:
        session.add(
            AnalyzerProfile(
                analyzer_id=analyzer.id, version=analyzer.profile_version, profile=analyzer.profile,
                note="as entered", activated_at=analyzer.created_at,
            )
        )  # fmt: skip
        await session.flush()


def _unrecorded(analyzer: Analyzer) -> VersionRow:
    return VersionRow(
        version=analyzer.profile_version, note="as entered", profile=analyzer.profile, created_at=analyzer.created_at,
        created_by="", activated_at=analyzer.created_at, activated_by="",
    )  # fmt: skip
