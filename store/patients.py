"""Patients: register, find, read. Names and numbers are parameters of statements, never part of one."""

from __future__ import annotations

from datetime import date, datetime
from uuid import UUID

from sqlalchemy import text
from sqlmodel.ext.asyncio.session import AsyncSession

from domain.enums import Sex
from domain.errors import NotFoundError
from store.counters import next_number
from store.reading import ReadRow, row_of, rows_of
from store.tables.patients import Patient

_COLUMNS = (
    "p.id, p.patient_no, p.created_at, b.code as branch_code, p.name, p.sex, p.birth_date, p.is_birth_date_estimated,"
    " p.phone, p.email, p.abha_number, p.abha_address, p.language, p.has_record_consent, p.has_message_consent"
    " from patients p join branches b on b.id = p.branch_id"
)
_ONE = text(f"select {_COLUMNS} where p.patient_no = :patient_no and p.erased_at is null")
_PAGE = text(
    f"select {_COLUMNS} where p.erased_at is null and p.branch_id = any(cast(:branches as uuid[]))"
    " and (cast(:before as uuid) is null or p.id < :before) order by p.id desc limit :limit"
)
_SEARCH = text(
    f"select {_COLUMNS} where p.erased_at is null"
    " and (:phone = '' or p.phone = :phone)"
    " and (:name = '' or lower(p.name) like :name)"
    " and (:patient_no = '' or p.patient_no = :patient_no)"
    " and (cast(:before as uuid) is null or p.id < :before) order by p.id desc limit :limit"
)


class PatientRow(ReadRow):
    """A patient as read."""

    id: UUID
    patient_no: str
    created_at: datetime
    branch_code: str
    name: str
    sex: Sex
    birth_date: date
    is_birth_date_estimated: bool
    phone: str
    email: str
    abha_number: str
    abha_address: str
    language: str
    has_record_consent: bool
    has_message_consent: bool


async def register(session: AsyncSession, patient: Patient) -> None:
    """Add a patient under the next number; `patient.patient_no` is set here."""
    patient.patient_no = f"P{await next_number(session, 'patient'):08d}"
    session.add(patient)
    await session.flush()


async def patient_of(session: AsyncSession, patient_no: str) -> PatientRow:
    """Return one patient. Patients belong to the whole lab: a person may visit any branch.

    Raises:
        NotFoundError: Unknown or erased.
    """
    found = await row_of(session, PatientRow, _ONE, patient_no=patient_no)
    if found is None:
        raise NotFoundError("there is no such patient", code="PATIENT_UNKNOWN")
    return found


async def newest(session: AsyncSession, *, branches: list[UUID], before: UUID | None, limit: int) -> list[PatientRow]:
    """Return patients registered at the branches, newest first, older than `before`."""
    return await rows_of(session, PatientRow, _PAGE, branches=branches, before=before, limit=limit)


async def matching(
    session: AsyncSession, *, phone: str, name: str, patient_no: str, before: UUID | None, limit: int
) -> list[PatientRow]:
    """Return patients that fit everything given, newest first; "" does not narrow.

    Args:
        session: The transaction.
        phone: E.164, whole.
        name: Beginning of the name, in any case.
        patient_no: Whole number.
        before: Continue below this row id.
        limit: At most so many.
    """
    beginning = name.lower().replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
    return await rows_of(
        session, PatientRow, _SEARCH, phone=phone, name=f"{beginning}%" if beginning else "", patient_no=patient_no,
        before=before, limit=limit,
    )  # fmt: skip
