"""What can be ordered, and from whom: tests, panels, payers, doctors."""

from __future__ import annotations

from decimal import Decimal
from uuid import UUID

from sqlalchemy import text
from sqlmodel.ext.asyncio.session import AsyncSession

from store.reading import ReadRow, rows_of

_TESTS = text(
    "select code, name, loinc, department, specimen, container, method, kind, unit_display, price_paise, gst_rate,"
    " is_taxable, is_confidential, tat_minutes from tests where is_active and code > :after"
    " and (:q = '' or lower(name) like :like or lower(code) = :q) order by code limit :limit"
)
_PANELS = text(
    "select p.code, p.name, p.loinc, p.price_paise,"
    " array(select t.code from panel_tests x join tests t on t.id = x.test_id where x.panel_id = p.id"
    "   order by x.position) as tests"
    " from panels p where p.is_active and p.code > :after"
    " and (:q = '' or lower(p.name) like :like or lower(p.code) = :q) order by p.code limit :limit"
)
_PAYERS = text("select code, legal_name, gstin, city from payers where code > :after order by code limit :limit")
_DOCTORS = text(
    "select id, name, registration_no from doctors where (cast(:after as uuid) is null or id > :after)"
    " order by id limit :limit"
)


class TestRow(ReadRow):
    """A test as listed."""

    __test__ = False  # the name begins with "Test": pytest must not take it for a test class

    code: str
    name: str
    loinc: str
    department: str
    specimen: str
    container: str
    method: str
    kind: str
    unit_display: str
    price_paise: int
    gst_rate: Decimal
    is_taxable: bool
    is_confidential: bool
    tat_minutes: int


class PanelRow(ReadRow):
    """A panel as listed; its tests in report order."""

    code: str
    name: str
    loinc: str
    price_paise: int
    tests: list[str]


class PayerRow(ReadRow):
    """A payer as listed."""

    code: str
    legal_name: str
    gstin: str
    city: str


class DoctorRow(ReadRow):
    """A referring doctor as listed."""

    id: UUID
    name: str
    registration_no: str


def _like(q: str) -> str:
    escaped = q.lower().replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
    return f"%{escaped}%"


async def tests_page(session: AsyncSession, *, q: str, after: str, limit: int) -> list[TestRow]:
    """Return tests by code, after `after`; `q` is a code or a part of a name."""
    return await rows_of(session, TestRow, _TESTS, q=q.lower(), like=_like(q), after=after, limit=limit)


async def panels_page(session: AsyncSession, *, q: str, after: str, limit: int) -> list[PanelRow]:
    """Return panels by code, after `after`; `q` is a code or a part of a name."""
    return await rows_of(session, PanelRow, _PANELS, q=q.lower(), like=_like(q), after=after, limit=limit)


async def payers_page(session: AsyncSession, *, after: str, limit: int) -> list[PayerRow]:
    """Return payers by code, after `after`."""
    return await rows_of(session, PayerRow, _PAYERS, after=after, limit=limit)


async def doctors_page(session: AsyncSession, *, after: UUID | None, limit: int) -> list[DoctorRow]:
    """Return doctors, oldest first, after `after`."""
    return await rows_of(session, DoctorRow, _DOCTORS, after=after, limit=limit)
