"""Transport of tubes between branches."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, Response
from pydantic import BaseModel, ConfigDict, Field
from sqlmodel import select
from sqlmodel.ext.asyncio.session import AsyncSession

from activities.handling import manifests
from activities.handling.manifests import Temperatures, manifest_of
from activities.people import Actor
from api.deps import FromApp
from api.errors import responses
from api.etags import TaggedRoute
from api.idempotency import Answer, OneRequest, answered_once
from api.pagination import DEFAULT_PAGE, Cursor, Limit, Page, page_of, row_id_of
from api.permissions import Permission, Principal, require
from domain.errors import NotFoundError
from domain.handling import ManifestState
from domain.messages import Accession
from store.handling import ManifestRow, manifest_page
from store.tables.handling import Manifest
from store.tables.organisation import Branch

router = APIRouter(
    prefix="/v1/manifests", tags=["samples"], route_class=TaggedRoute, responses=responses(400, 404, 409)
)

MayPack = Annotated[Principal, Depends(require(Permission.SAMPLE_COLLECT))]
MayReceive = Annotated[Principal, Depends(require(Permission.SAMPLE_RECEIVE))]
MayRead = Annotated[Principal, Depends(require(Permission.ORDER_READ))]

MAX_TUBES = 500
Celsius = Annotated[Decimal, Field(ge=-200, le=60, decimal_places=1)]
Numbers = Annotated[list[Accession], Field(min_length=1, max_length=MAX_TUBES)]


class ManifestIn(BaseModel):
    """Tubes to send to another branch.

    Attributes:
        lowest_celsius: Coldest the box may be; None: no matter.
        highest_celsius: Warmest.
    """

    model_config = ConfigDict(extra="forbid", str_strip_whitespace=True)

    from_branch: Annotated[str, Field(max_length=4)]
    to_branch: Annotated[str, Field(max_length=4)]
    accession_nos: Numbers
    carrier: Annotated[str, Field(max_length=120)] = ""
    lowest_celsius: Celsius | None = None
    highest_celsius: Celsius | None = None


class DispatchIn(BaseModel):
    """That a box leaves; `counted` is what somebody counted in it."""

    model_config = ConfigDict(extra="forbid")

    counted: Annotated[int, Field(ge=0, le=MAX_TUBES)]
    celsius: Celsius | None = None


class ArrivalIn(BaseModel):
    """What was scanned at the other end."""

    model_config = ConfigDict(extra="forbid")

    accession_nos: Annotated[list[Accession], Field(max_length=MAX_TUBES)]
    celsius: Celsius | None = None


class CloseIn(BaseModel):
    """That nothing more is expected of a transport."""

    model_config = ConfigDict(extra="forbid", str_strip_whitespace=True)

    note: Annotated[str, Field(max_length=500)] = ""


class ManifestOut(BaseModel):
    """A transport.

    Attributes:
        samples: Tubes on it.
        arrived: Of them, scanned or received.
        tubes: Only where one transport is asked for.
        unexpected: Numbers just scanned that are not on it.
    """

    model_config = ConfigDict(from_attributes=True)

    manifest_no: str
    from_branch: str
    to_branch: str
    state: ManifestState
    carrier: str
    lowest_celsius: Decimal | None
    highest_celsius: Decimal | None
    packed_at: datetime
    dispatched_at: datetime | None
    dispatch_celsius: Decimal | None
    arrived_at: datetime | None
    arrival_celsius: Decimal | None
    closed_at: datetime | None
    close_note: str
    samples: int
    arrived: int
    tubes: dict[str, datetime | None] = {}
    unexpected: list[str] = []


@router.post("", status_code=201, response_model=ManifestOut)
async def pack(given: ManifestIn, principal: MayPack, request: OneRequest, resources: FromApp) -> Response:
    """Put collected tubes on a manifest."""
    origin_id = principal.branch_id(given.from_branch)

    async def work(session: AsyncSession) -> Answer:
        origin = await session.get_one(Branch, origin_id)
        target = (await session.exec(select(Branch).where(Branch.code == given.to_branch))).one_or_none()
        if target is None:
            raise NotFoundError(f"there is no branch {given.to_branch}", code="BRANCH_NOT_FOUND")
        manifest = await manifests.pack(
            session, Actor(principal.user_id, principal.username), origin=origin, target=target,
            numbers=list(dict.fromkeys(given.accession_nos)), carrier=given.carrier,
            temperatures=Temperatures(given.lowest_celsius, given.highest_celsius),
        )  # fmt: skip
        shown = await _shown(session, manifest, list(principal.branch_ids))
        return Answer(shown, 201, f"/v1/manifests/{manifest.manifest_no}")

    return await answered_once(resources, principal, request, work)


@router.get("")
async def list_manifests(
    principal: MayRead, resources: FromApp, state: ManifestState | None = None, limit: Limit = DEFAULT_PAGE,
    cursor: Cursor = "",
) -> Page[ManifestOut]:  # fmt: skip
    """Return transports that leave or reach the caller's branches, newest first."""
    branches = list(principal.branch_ids)
    async with resources.database.transaction(branches=branches) as session:
        rows = await manifest_page(
            session, branches, state=state.value if state else "", before=row_id_of(cursor), limit=limit + 1
        )
    return page_of(rows, limit, show=ManifestOut.model_validate, key=_key)


@router.get("/{manifest_no}")
async def read_manifest(manifest_no: str, principal: MayRead, resources: FromApp) -> ManifestOut:
    """Return one transport with its tubes and when each arrived."""
    branches = list(principal.branch_ids)
    async with resources.database.transaction(branches=branches) as session:
        return await _shown(session, await manifest_of(session, manifest_no, branches), branches)


@router.post("/{manifest_no}/dispatch", response_model=ManifestOut)
async def dispatch(
    manifest_no: str, given: DispatchIn, principal: MayPack, request: OneRequest, resources: FromApp
) -> Response:
    """Say that the box has left, after counting its tubes."""
    branches = list(principal.branch_ids)

    async def work(session: AsyncSession) -> Answer:
        manifest = await _of_end(session, manifest_no, principal, is_origin=True)
        actor = Actor(principal.user_id, principal.username)
        await manifests.dispatch(session, actor, manifest, counted=given.counted, celsius=given.celsius)
        return Answer(await _shown(session, manifest, branches))

    return await answered_once(resources, principal, request, work)


@router.post("/{manifest_no}/arrival", response_model=ManifestOut)
async def arrive(
    manifest_no: str, given: ArrivalIn, principal: MayReceive, request: OneRequest, resources: FromApp
) -> Response:
    """Say which tubes were scanned at the other end; more may follow."""
    branches = list(principal.branch_ids)

    async def work(session: AsyncSession) -> Answer:
        manifest = await _of_end(session, manifest_no, principal, is_origin=False)
        actor = Actor(principal.user_id, principal.username)
        unexpected = await manifests.arrive(
            session, actor, manifest, scanned=list(dict.fromkeys(given.accession_nos)), celsius=given.celsius
        )
        shown = await _shown(session, manifest, branches)
        return Answer(shown.model_copy(update={"unexpected": unexpected}))

    return await answered_once(resources, principal, request, work)


@router.post("/{manifest_no}/close", response_model=ManifestOut)
async def close(
    manifest_no: str, given: CloseIn, principal: MayReceive, request: OneRequest, resources: FromApp
) -> Response:
    """Say that nothing more is expected; missing tubes show on their orders."""
    branches = list(principal.branch_ids)

    async def work(session: AsyncSession) -> Answer:
        manifest = await _of_end(session, manifest_no, principal, is_origin=False)
        await manifests.close(session, Actor(principal.user_id, principal.username), manifest, note=given.note)
        return Answer(await _shown(session, manifest, branches))

    return await answered_once(resources, principal, request, work)


async def _of_end(session: AsyncSession, manifest_no: str, principal: Principal, *, is_origin: bool) -> Manifest:
    """Return a manifest for whoever works at the right end of it."""
    manifest = await manifest_of(session, manifest_no, list(principal.branch_ids))
    end = manifest.from_branch_id if is_origin else manifest.to_branch_id
    if end not in principal.branch_ids:
        raise NotFoundError(f"there is no manifest {manifest_no[:30]} at your end", code="MANIFEST_NOT_FOUND")
    return manifest


async def _shown(session: AsyncSession, manifest: Manifest, branches: list[UUID]) -> ManifestOut:
    await session.flush()
    (row,) = await manifest_page(session, branches, number=manifest.manifest_no)
    tubes = {row.accession_no: row.arrived_at for row in await manifests.rows(session, manifest)}
    return ManifestOut.model_validate(row).model_copy(update={"tubes": tubes})


def _key(row: ManifestRow) -> str:
    return str(row.id)
