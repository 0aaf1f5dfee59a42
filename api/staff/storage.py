"""Where tubes are kept, how long, and their disposal."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Depends, Response
from pydantic import BaseModel, ConfigDict, Field
from sqlmodel.ext.asyncio.session import AsyncSession

from activities.handling import storage
from activities.people import Actor
from api.deps import FromApp
from api.errors import responses
from api.etags import TaggedRoute
from api.idempotency import Answer, OneRequest, answered_once
from api.pagination import DEFAULT_PAGE, Cursor, Limit, Page, page_of, row_id_of
from api.permissions import Permission, Principal, require
from domain.clock import utc_now
from domain.messages import Accession, Reason
from store.handling import DueRow, due_page, retention_rules

router = APIRouter(prefix="/v1", tags=["samples"], route_class=TaggedRoute, responses=responses(400, 404, 409))

MayReceive = Annotated[Principal, Depends(require(Permission.SAMPLE_RECEIVE))]
MayRead = Annotated[Principal, Depends(require(Permission.ORDER_READ))]
MaySetRetention = Annotated[Principal, Depends(require(Permission.RETENTION_MANAGE))]

MAX_TUBES = 500
MAX_DAYS = 36_525


class PlaceIn(BaseModel):
    """Where a tube is put, as the laboratory names its places."""

    model_config = ConfigDict(extra="forbid", str_strip_whitespace=True)

    place: Annotated[str, Field(min_length=1, max_length=60, pattern=r"^[A-Za-z0-9][A-Za-z0-9 ./:_-]*$")]


class TakeOutIn(BaseModel):
    """Why a tube is taken out."""

    model_config = ConfigDict(extra="forbid", str_strip_whitespace=True)

    reason: Reason


class StoredOut(BaseModel):
    """Where a tube is; `keep_until` is None where no rule says how long."""

    accession_no: str
    place: str
    keep_until: datetime | None


class DueOut(BaseModel):
    """A tube that was kept long enough."""

    model_config = ConfigDict(from_attributes=True)

    accession_no: str
    branch_code: str
    specimen: str
    place: str
    keep_until: datetime
    order_no: str


class DisposalIn(BaseModel):
    """Tubes to dispose of; a reason is needed for those that are to be kept longer."""

    model_config = ConfigDict(extra="forbid", str_strip_whitespace=True)

    accession_nos: Annotated[list[Accession], Field(min_length=1, max_length=MAX_TUBES)]
    reason: Annotated[str, Field(max_length=300)] = ""


class DisposalOut(BaseModel):
    """A run of disposal."""

    disposal_no: str
    accession_nos: list[str]


class RetentionIn(BaseModel):
    """How long tubes of a specimen are kept after they are stored."""

    model_config = ConfigDict(extra="forbid", str_strip_whitespace=True)

    specimen: Annotated[str, Field(min_length=1, max_length=80)]
    days: Annotated[int, Field(ge=0, le=MAX_DAYS)]
    source: Annotated[str, Field(min_length=3, max_length=300)]


class RetentionOut(RetentionIn):
    """A rule; `valid_to` is None while it is in force."""

    model_config = ConfigDict(from_attributes=True)

    approved_by: str
    valid_from: datetime
    valid_to: datetime | None


@router.post("/samples/{accession_no}/storage", response_model=StoredOut)
async def store_tube(
    accession_no: Accession, given: PlaceIn, principal: MayReceive, request: OneRequest, resources: FromApp
) -> Response:
    """Put a tube in a place; one that stood elsewhere has been moved."""

    async def work(session: AsyncSession) -> Answer:
        actor = Actor(principal.user_id, principal.username)
        row = await storage.store_tube(session, actor, list(principal.branch_ids), accession_no, given.place)
        return Answer(StoredOut(accession_no=accession_no, place=row.place, keep_until=row.keep_until))

    return await answered_once(resources, principal, request, work)


@router.post("/samples/{accession_no}/take-out", response_model=StoredOut)
async def take_out(
    accession_no: Accession, given: TakeOutIn, principal: MayReceive, request: OneRequest, resources: FromApp
) -> Response:
    """Take a tube out of its place."""

    async def work(session: AsyncSession) -> Answer:
        actor = Actor(principal.user_id, principal.username)
        await storage.take_out(session, actor, list(principal.branch_ids), accession_no, given.reason)
        return Answer(StoredOut(accession_no=accession_no, place="", keep_until=None))

    return await answered_once(resources, principal, request, work)


@router.get("/storage/due")
async def list_due(
    principal: MayRead, resources: FromApp, limit: Limit = DEFAULT_PAGE, cursor: Cursor = ""
) -> Page[DueOut]:
    """Return tubes that were kept long enough and whose orders are finished."""
    branches = list(principal.branch_ids)
    async with resources.database.transaction(branches=branches) as session:
        rows = await due_page(session, branches, now=utc_now(), after=row_id_of(cursor), limit=limit + 1)
    return page_of(rows, limit, show=DueOut.model_validate, key=_key)


@router.post("/disposals", status_code=201, response_model=DisposalOut)
async def dispose(given: DisposalIn, principal: MayReceive, request: OneRequest, resources: FromApp) -> Response:
    """Dispose of stored tubes of one branch: all of them or none."""
    numbers = list(dict.fromkeys(given.accession_nos))

    async def work(session: AsyncSession) -> Answer:
        actor = Actor(principal.user_id, principal.username)
        number = await storage.dispose(session, actor, list(principal.branch_ids), numbers, reason=given.reason)
        return Answer(DisposalOut(disposal_no=number, accession_nos=numbers), 201)

    return await answered_once(resources, principal, request, work)


@router.get("/retention-rules")
async def list_rules(principal: MayRead, resources: FromApp) -> list[RetentionOut]:
    """Return how long tubes are kept, with the rules that were in force before."""
    async with resources.database.transaction(branches=principal.branch_ids) as session:
        return [RetentionOut.model_validate(row) for row in await retention_rules(session)]


@router.post("/retention-rules", status_code=201, response_model=RetentionIn)
async def set_rule(given: RetentionIn, principal: MaySetRetention, request: OneRequest, resources: FromApp) -> Response:
    """Say how long tubes of a specimen are kept from now on."""

    async def work(session: AsyncSession) -> Answer:
        actor = Actor(principal.user_id, principal.username)
        await storage.set_rule(session, actor, specimen=given.specimen, days=given.days, source=given.source)
        return Answer(given, 201)

    return await answered_once(resources, principal, request, work)


def _key(row: DueRow) -> str:
    return str(row.id)
