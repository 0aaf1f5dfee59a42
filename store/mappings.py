"""What devices' test codes mean, per device: proposed by anybody or anything, used once a person has confirmed it."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime
from decimal import Decimal
from uuid import UUID

from sqlalchemy import text
from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from domain.clock import utc_now
from domain.enums import MappingState, Role
from domain.errors import ConflictError, NotFoundError
from store.reading import ReadRow, row_of, rows_of
from store.tables.catalogue import LabTest
from store.tables.devices import DeviceMapping
from store.tables.results import InstrumentMessage

MAX_MAPPINGS = 2_000
"""Rows of one device that are listed; no device has as many codes."""

_COLUMNS = (
    "m.id, m.analyzer_id, a.code as analyzer, a.branch_id, m.device_code, t.code as test_code, t.name as test_name,"
    " m.unit, m.factor, t.unit as test_unit, m.state, m.origin, coalesce(p.username, '') as proposed_by,"
    " m.proposed_by as proposer_id, coalesce(c.username, '') as confirmed_by, m.confirmed_at"
    " from device_mappings m join analyzers a on a.id = m.analyzer_id join tests t on t.id = m.test_id"
    " left join users p on p.id = m.proposed_by left join users c on c.id = m.confirmed_by"
)
_ALL = text(f"select {_COLUMNS} where m.analyzer_id = :analyzer_id order by m.device_code, t.code limit :limit")
_ONE = text(f"select {_COLUMNS} where m.id = :id and a.branch_id = any(cast(:branches as uuid[]))")
_UNMAPPED = text(
    "select device_code, count(distinct message_id) as messages from instrument_exceptions"
    " where analyzer_id = :analyzer_id and kind = 'unmapped_code' and state = 'open'"
    " group by device_code order by messages desc, device_code limit :limit"
)
_OTHERS = text(
    "select 1 from user_roles r join users u on u.id = r.user_id where r.branch_id = :branch_id"
    " and r.role = any(cast(:roles as text[])) and r.user_id <> :user_id and u.disabled_at is null limit 1"
)


class MappingRow(ReadRow):
    """A mapping as listed."""

    id: UUID
    analyzer_id: UUID
    analyzer: str
    branch_id: UUID
    device_code: str
    test_code: str
    test_name: str
    unit: str
    factor: Decimal | None
    test_unit: str
    state: MappingState
    origin: str
    proposed_by: str
    proposer_id: UUID | None
    confirmed_by: str
    confirmed_at: datetime | None


class UnmappedRow(ReadRow):
    """A code that nothing is known about, and in how many messages it waits."""

    device_code: str
    messages: int


async def confirmed_mappings(session: AsyncSession, analyzer_id: UUID) -> dict[str, list[DeviceMapping]]:
    """Return what a device's codes are confirmed to mean; one code may stand for several tests."""
    query = select(DeviceMapping).where(
        DeviceMapping.analyzer_id == analyzer_id, DeviceMapping.state == MappingState.CONFIRMED
    )
    found: dict[str, list[DeviceMapping]] = {}
    for row in (await session.exec(query.order_by(col(DeviceMapping.id)))).all():
        found.setdefault(row.device_code, []).append(row)
    return found


async def mappings_of(session: AsyncSession, analyzer_id: UUID) -> list[MappingRow]:
    """Return every mapping of a device by code."""
    return await rows_of(session, MappingRow, _ALL, analyzer_id=analyzer_id, limit=MAX_MAPPINGS)


async def mapping_of(session: AsyncSession, mapping_id: UUID, branches: Collection[UUID]) -> MappingRow:
    """Return one mapping of a device of the branches.

    Raises:
        NotFoundError: There is none.
    """
    found = await row_of(session, MappingRow, _ONE, id=mapping_id, branches=list(branches))
    if found is None:
        raise NotFoundError("there is no such mapping", code="MAPPING_UNKNOWN")
    return found


async def unmapped_codes(session: AsyncSession, analyzer_id: UUID, *, limit: int) -> list[UnmappedRow]:
    """Return the codes of open exceptions that nothing is mapped to, most frequent first."""
    return await rows_of(session, UnmappedRow, _UNMAPPED, analyzer_id=analyzer_id, limit=limit)


async def catalogue_tests(session: AsyncSession) -> list[LabTest]:
    """Return the tests that are offered, by code."""
    query = select(LabTest).where(col(LabTest.is_active)).order_by(col(LabTest.code))
    return list((await session.exec(query)).all())


async def lab_test_of(session: AsyncSession, code: str) -> LabTest:
    """Return a test of the catalogue.

    Raises:
        NotFoundError: There is none.
    """
    found = (await session.exec(select(LabTest).where(LabTest.code == code))).one_or_none()
    if found is None:
        raise NotFoundError(f"no test has the code {code[:40]!r}", code="TEST_UNKNOWN")
    return found


async def propose(
    session: AsyncSession,
    *,
    analyzer_id: UUID,
    device_code: str,
    test_id: UUID,
    unit: str,
    factor: Decimal | None,
    origin: str,
    user_id: UUID,
) -> DeviceMapping | None:
    """Propose what a code means; one that was retired is proposed anew.

    Returns:
        The proposal, or None where the code is proposed or confirmed for this test already.
    """
    query = select(DeviceMapping).where(
        DeviceMapping.analyzer_id == analyzer_id,
        DeviceMapping.device_code == device_code,
        DeviceMapping.test_id == test_id,
    )
    row = (await session.exec(query.with_for_update())).one_or_none()
    if row is None:
        row = DeviceMapping(analyzer_id=analyzer_id, device_code=device_code, test_id=test_id)
    elif row.state is not MappingState.RETIRED:
        return None
    row.unit, row.factor, row.origin, row.proposed_by = unit, factor, origin, user_id
    row.state, row.confirmed_by, row.confirmed_at, row.target_unit = MappingState.PROPOSED, None, None, ""
    session.add(row)
    await session.flush()
    return row


async def confirm(session: AsyncSession, mapping: MappingRow, *, user_id: UUID) -> None:
    """Put a proposal in force.

    Raises:
        ConflictError: It is confirmed or retired.
    """
    row = await _locked(session, mapping.id, MappingState.PROPOSED)
    row.state, row.confirmed_by, row.confirmed_at = MappingState.CONFIRMED, user_id, utc_now()
    row.target_unit = mapping.test_unit
    session.add(row)
    await session.flush()


async def retire(session: AsyncSession, mapping: MappingRow) -> None:
    """Take a mapping out of force; results that it brought stay.

    Raises:
        ConflictError: It is retired already.
    """
    row = await _locked(session, mapping.id, MappingState.PROPOSED, MappingState.CONFIRMED)
    row.state = MappingState.RETIRED
    session.add(row)
    await session.flush()


async def _locked(session: AsyncSession, mapping_id: UUID, *states: MappingState) -> DeviceMapping:
    query = select(DeviceMapping).where(DeviceMapping.id == mapping_id).with_for_update()
    row = (await session.exec(query.execution_options(populate_existing=True))).one()
    if row.state not in states:
        raise ConflictError(f"the mapping is {row.state.value}", code="MAPPING_STATE")
    return row


async def recent_messages(session: AsyncSession, analyzer_id: UUID, *, limit: int) -> list[bytes]:
    """Return the bytes of a device's newest whole messages, newest first."""
    query = (
        select(InstrumentMessage.raw)
        .where(InstrumentMessage.analyzer_id == analyzer_id, InstrumentMessage.framing_error == "")
        .order_by(col(InstrumentMessage.id).desc())
        .limit(limit)
    )
    return list((await session.exec(query)).all())


async def somebody_else(session: AsyncSession, *, branch_id: UUID, roles: Collection[Role], user_id: UUID) -> bool:
    """Tell whether anybody but this user has one of the roles at a branch."""
    facts = {"branch_id": branch_id, "roles": [role.value for role in roles], "user_id": user_id}
    return (await session.execute(_OTHERS, facts)).first() is not None
