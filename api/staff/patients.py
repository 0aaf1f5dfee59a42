"""Patients: register, search, read. Names and phones are asked for in a body: an address is logged on its way."""

from __future__ import annotations

from datetime import date, datetime
from typing import Annotated, Self

from fastapi import APIRouter, Depends, Response
from pydantic import BaseModel, ConfigDict, Field, model_validator
from sqlmodel.ext.asyncio.session import AsyncSession

from api.deps import FromApp
from api.errors import responses
from api.etags import TaggedRoute
from api.idempotency import Answer, OneRequest, answered_once
from api.pagination import DEFAULT_PAGE, Cursor, Limit, Page, page_of, row_id_of
from api.permissions import Permission, Principal, require
from domain.clock import lab_day
from domain.enums import Sex
from domain.errors import RuleError
from store import audit, patients
from store.patients import PatientRow
from store.tables.patients import Patient

router = APIRouter(prefix="/v1/patients", tags=["patients"], route_class=TaggedRoute)

MAX_AGE_YEARS = 130

MayRegister = Annotated[Principal, Depends(require(Permission.PATIENT_REGISTER))]
MayRead = Annotated[Principal, Depends(require(Permission.PATIENT_READ))]

Phone = Annotated[str, Field(pattern=r"^(\+[1-9]\d{7,14})?$", description="E.164, or empty.")]
Abha = Annotated[str, Field(pattern=r"^(\d{14})?$", description="14 digits without dashes, or empty.")]


class PatientIn(BaseModel):
    """A person to register. Give the birth date, or the age in years when it is not known."""

    model_config = ConfigDict(extra="forbid", str_strip_whitespace=True, hide_input_in_errors=True)

    branch: Annotated[str, Field(max_length=4)]
    name: Annotated[str, Field(min_length=1, max_length=120)]
    sex: Sex
    birth_date: date | None = None
    age_years: Annotated[int | None, Field(ge=0, le=MAX_AGE_YEARS)] = None
    phone: Phone = ""
    email: Annotated[str, Field(max_length=200, pattern=r"^([^@\s]+@[^@\s]+)?$")] = ""
    abha_number: Abha = ""
    abha_address: Annotated[str, Field(max_length=80, pattern=r"^([a-zA-Z0-9._]+@[a-z]+)?$")] = ""
    language: Annotated[str, Field(pattern=r"^[a-z]{2}$")] = "en"
    has_record_consent: bool = False
    has_message_consent: bool = True

    @model_validator(mode="after")
    def one_age(self) -> Self:
        """Refuse both or neither of birth date and age."""
        if (self.birth_date is None) == (self.age_years is None):
            raise ValueError("give birth_date or age_years")
        return self


class PatientSearch(BaseModel):
    """What is known of a person; at least one."""

    model_config = ConfigDict(extra="forbid", str_strip_whitespace=True, hide_input_in_errors=True)

    phone: Phone = ""
    name: Annotated[str, Field(max_length=120, description="Beginning of the name.")] = ""
    patient_no: Annotated[str, Field(max_length=20)] = ""
    cursor: Annotated[str, Field(max_length=200)] = ""
    limit: Annotated[int, Field(ge=1, le=200)] = DEFAULT_PAGE

    @model_validator(mode="after")
    def something(self) -> Self:
        """Refuse a search for everybody."""
        if not (self.phone or self.name or self.patient_no):
            raise ValueError("give phone, name or patient_no")
        return self


class PatientOut(BaseModel):
    """A patient as staff sees one."""

    model_config = ConfigDict(from_attributes=True)

    patient_no: str
    branch_code: str
    created_at: datetime
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


def _birth(given: PatientIn, today: date) -> tuple[date, bool]:
    """Return the birth date and whether it is an estimate, then 1 July of the year."""
    if given.birth_date is not None:
        if not today.year - MAX_AGE_YEARS <= given.birth_date.year or given.birth_date > today:
            raise RuleError("the birth date lies in the future or too far back", code="BIRTH_DATE_INVALID")
        return given.birth_date, False
    estimate = date(today.year - (given.age_years or 0), 7, 1)
    return min(estimate, today), True


@router.post("", status_code=201, responses=responses(400), response_model=PatientOut)
async def register(given: PatientIn, principal: MayRegister, request: OneRequest, resources: FromApp) -> Response:
    """Register a patient."""
    branch_id = principal.branch_id(given.branch)
    birth_date, is_estimated = _birth(given, lab_day())

    async def work(session: AsyncSession) -> Answer:
        patient = Patient(
            **given.model_dump(exclude={"branch", "birth_date", "age_years"}),
            patient_no="", branch_id=branch_id, birth_date=birth_date, is_birth_date_estimated=is_estimated,
        )  # fmt: skip
        await patients.register(session, patient)
        row = await patients.patient_of(session, patient.patient_no)
        await audit.record(
            session, chain=given.branch, actor=principal.username, action="patient.registered",
            object_kind="patient", object_id=patient.patient_no,
        )  # fmt: skip
        return Answer(PatientOut.model_validate(row), 201, f"/v1/patients/{patient.patient_no}")

    return await answered_once(resources, principal, request, work)


@router.get("", responses=responses(400))
async def newest(
    principal: MayRead, resources: FromApp, limit: Limit = DEFAULT_PAGE, cursor: Cursor = ""
) -> Page[PatientOut]:
    """List the patients registered at the caller's branches, newest first."""
    async with resources.database.transaction(branches=principal.branch_ids) as session:
        rows = await patients.newest(
            session, branches=list(principal.branch_ids), before=row_id_of(cursor), limit=limit + 1
        )
    return page_of(rows, limit, show=PatientOut.model_validate, key=_key)


@router.post("/search", responses=responses(400))
async def search(wanted: PatientSearch, principal: MayRead, resources: FromApp) -> Page[PatientOut]:
    """Find patients of the whole lab by phone, beginning of the name, or number. Changes nothing: needs no key."""
    async with resources.database.transaction(branches=principal.branch_ids) as session:
        rows = await patients.matching(
            session, phone=wanted.phone, name=wanted.name, patient_no=wanted.patient_no,
            before=row_id_of(wanted.cursor), limit=wanted.limit + 1,
        )  # fmt: skip
    return page_of(rows, wanted.limit, show=PatientOut.model_validate, key=_key)


@router.get("/{patient_no}", responses=responses(404))
async def read(patient_no: str, principal: MayRead, resources: FromApp) -> PatientOut:
    """Show one patient."""
    async with resources.database.transaction(branches=principal.branch_ids) as session:
        return PatientOut.model_validate(await patients.patient_of(session, patient_no))


def _key(row: PatientRow) -> str:
    return str(row.id)
