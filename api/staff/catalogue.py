"""What can be ordered, and the payers and doctors that an order may name."""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, Query
from pydantic import BaseModel, ConfigDict

from api.deps import FromApp
from api.errors import responses
from api.etags import TaggedRoute
from api.pagination import DEFAULT_PAGE, Cursor, Limit, Page, key_of, page_of, row_id_of
from api.permissions import Permission, Principal, require
from store import catalogue

router = APIRouter(prefix="/v1", tags=["catalogue"], route_class=TaggedRoute)

MayRead = Annotated[Principal, Depends(require(Permission.CATALOGUE_READ))]
Text = Annotated[str, Query(max_length=60, description="A code, or a part of a name.")]


class TestOut(BaseModel):
    """A test that can be ordered."""

    __test__ = False  # the name begins with "Test": pytest must not take it for a test class
    model_config = ConfigDict(from_attributes=True)

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


class PanelOut(BaseModel):
    """Tests that are ordered together."""

    model_config = ConfigDict(from_attributes=True)

    code: str
    name: str
    loinc: str
    price_paise: int
    tests: list[str]


class PayerOut(BaseModel):
    """A company or sponsor that can be billed instead of the patient."""

    model_config = ConfigDict(from_attributes=True)

    code: str
    legal_name: str
    gstin: str
    city: str


class DoctorOut(BaseModel):
    """A referring doctor."""

    model_config = ConfigDict(from_attributes=True)

    id: UUID
    name: str
    registration_no: str


@router.get("/catalogue/tests", responses=responses(400))
async def orderable_tests(
    principal: MayRead, resources: FromApp, q: Text = "", limit: Limit = DEFAULT_PAGE, cursor: Cursor = ""
) -> Page[TestOut]:
    """List the tests by code."""
    async with resources.database.transaction(branches=principal.branch_ids) as session:
        rows = await catalogue.tests_page(session, q=q, after=key_of(cursor), limit=limit + 1)
    return page_of(rows, limit, show=TestOut.model_validate, key=lambda row: row.code)


@router.get("/catalogue/panels", responses=responses(400))
async def orderable_panels(
    principal: MayRead, resources: FromApp, q: Text = "", limit: Limit = DEFAULT_PAGE, cursor: Cursor = ""
) -> Page[PanelOut]:
    """List the panels by code."""
    async with resources.database.transaction(branches=principal.branch_ids) as session:
        rows = await catalogue.panels_page(session, q=q, after=key_of(cursor), limit=limit + 1)
    return page_of(rows, limit, show=PanelOut.model_validate, key=lambda row: row.code)


@router.get("/payers", responses=responses(400))
async def payers(
    principal: MayRead, resources: FromApp, limit: Limit = DEFAULT_PAGE, cursor: Cursor = ""
) -> Page[PayerOut]:
    """List the payers by code."""
    async with resources.database.transaction(branches=principal.branch_ids) as session:
        rows = await catalogue.payers_page(session, after=key_of(cursor), limit=limit + 1)
    return page_of(rows, limit, show=PayerOut.model_validate, key=lambda row: row.code)


@router.get("/doctors", responses=responses(400))
async def doctors(
    principal: MayRead, resources: FromApp, limit: Limit = DEFAULT_PAGE, cursor: Cursor = ""
) -> Page[DoctorOut]:
    """List the referring doctors."""
    async with resources.database.transaction(branches=principal.branch_ids) as session:
        rows = await catalogue.doctors_page(session, after=row_id_of(cursor), limit=limit + 1)
    return page_of(rows, limit, show=DoctorOut.model_validate, key=lambda row: str(row.id))
