"""Issued reports: where the document is, and what its QR code opens."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from sqlalchemy import text
from sqlmodel.ext.asyncio.session import AsyncSession

from domain.enums import ReportState
from domain.errors import NotFoundError
from store.reading import ReadRow, row_of

_COLUMNS = (
    "r.id, r.order_id, o.order_no, r.branch_id, r.report_no, r.version, r.state, r.bucket, r.object_key,"
    " r.object_version, r.sha256, r.size_bytes, r.is_confidential, r.issued_at, u.full_name as signed_by,"
    " g.name as lab_name, p.name as patient_name"
    " from reports r join orders o on o.id = r.order_id join patients p on p.id = o.patient_id"
    " join users u on u.id = r.signed_by join branches b on b.id = r.branch_id"
    " join organisations g on g.id = b.organisation_id"
)
_IN_FORCE = text(f"select {_COLUMNS} where r.order_id = :order_id and r.state = 'issued' order by r.version desc")
_BY_ID = text(f"select {_COLUMNS} where r.id = :id")
_BY_TOKEN = text(f"select {_COLUMNS} where r.check_token = :token")
_NEWEST = text("select coalesce(max(version), 0) from reports where order_id = :order_id")


class ReportRow(ReadRow):
    """An issued report version."""

    id: UUID
    order_id: UUID
    order_no: str
    branch_id: UUID
    report_no: str
    version: int
    state: ReportState
    bucket: str
    object_key: str
    object_version: str
    sha256: str
    size_bytes: int
    is_confidential: bool
    issued_at: datetime
    signed_by: str
    lab_name: str
    patient_name: str


async def report_in_force(session: AsyncSession, order_id: UUID) -> ReportRow:
    """Return the version of an order's report that is in force.

    Raises:
        NotFoundError: None has been issued, or it was withdrawn.
    """
    found = await row_of(session, ReportRow, _IN_FORCE, order_id=order_id)
    if found is None:
        raise NotFoundError(
            "the order has no issued report", code="REPORT_NOT_ISSUED", action="Wait until it is authorised."
        )
    return found


async def report_by_id(session: AsyncSession, report_id: UUID) -> ReportRow | None:
    """Return a version, or None."""
    return await row_of(session, ReportRow, _BY_ID, id=report_id)


async def report_by_check_token(session: AsyncSession, token: str) -> ReportRow | None:
    """Return the version whose QR code carries the token, or None."""
    return await row_of(session, ReportRow, _BY_TOKEN, token=token)


async def newest_version(session: AsyncSession, order_id: UUID) -> int:
    """Return the number of an order's newest report version, 0 without one."""
    result = await session.execute(_NEWEST, {"order_id": order_id})
    return int(result.scalar_one())
