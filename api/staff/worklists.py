"""Worklists: what is to be done, most urgent first, then longest waiting first."""

# no postponed annotations: FastAPI must see the dependency that `_reader` builds

from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime
from types import MappingProxyType
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends
from pydantic import BaseModel, ConfigDict

from api.deps import FromApp
from api.errors import BadRequestError, responses
from api.etags import TaggedRoute
from api.pagination import DEFAULT_PAGE, Cursor, Limit, Page, key_of, page_of
from api.permissions import Permission, Principal, require
from domain.enums import Priority
from store.worklists import AttentionRow, Place, Worklist, WorkRow, attention_page, work_page

router = APIRouter(prefix="/v1/worklists", tags=["worklists"], route_class=TaggedRoute)

LIST_PERMISSIONS: Mapping[Worklist, Permission] = MappingProxyType(
    {
        Worklist.COLLECTION: Permission.SAMPLE_COLLECT,
        Worklist.RECEPTION: Permission.SAMPLE_RECEIVE,
        Worklist.ANALYSIS: Permission.RESULT_ENTER,
        Worklist.VERIFICATION: Permission.RESULT_VERIFY,
        Worklist.AUTHORISATION: Permission.REPORT_AUTHORISE,
    }
)

MayResolve = Annotated[Principal, Depends(require(Permission.ATTENTION_RESOLVE))]


class WorkItem(BaseModel):
    """A sample with something to do."""

    model_config = ConfigDict(from_attributes=True)

    order_no: str
    branch_code: str
    priority: Priority
    patient_no: str
    patient_name: str
    accession_no: str
    specimen: str
    container: str
    since: datetime
    tests: list[str]
    has_critical: bool


class AttentionItem(BaseModel):
    """An order that needs a person, and why."""

    model_config = ConfigDict(from_attributes=True)

    order_no: str
    branch_code: str
    priority: Priority
    stage: str
    attention: list[str]
    since: datetime


def _place(cursor: str) -> Place:
    key = key_of(cursor)
    if not key:
        return Place()
    rank, _, row_id = key.partition(":")
    try:
        return Place.model_validate({"rank": rank, "id": UUID(row_id)})
    except ValueError as error:
        raise BadRequestError("the cursor is not one of this list", code="CURSOR_INVALID") from error


def _key(row: WorkRow | AttentionRow) -> str:
    return f"{row.rank}:{row.id}"


def _reader(worklist: Worklist) -> Callable[..., Awaitable[Page[WorkItem]]]:
    may = Annotated[Principal, Depends(require(LIST_PERMISSIONS[worklist]))]

    async def read(
        principal: may, resources: FromApp, limit: Limit = DEFAULT_PAGE, cursor: Cursor = ""
    ) -> Page[WorkItem]:
        branches = list(principal.branch_ids)
        async with resources.database.transaction(branches=branches) as session:
            rows = await work_page(
                session, worklist, branches=branches, after=_place(cursor), limit=limit + 1,
                shows_confidential=all(principal.may(Permission.RESULT_READ, branch) for branch in branches),
            )  # fmt: skip
        return page_of(rows, limit, show=WorkItem.model_validate, key=_key)

    return read


@router.get("/attention", responses=responses(400))
async def attention(
    principal: MayResolve, resources: FromApp, limit: Limit = DEFAULT_PAGE, cursor: Cursor = ""
) -> Page[AttentionItem]:
    """Orders with a step that needs a person."""
    branches = list(principal.branch_ids)
    async with resources.database.transaction(branches=branches) as session:
        rows = await attention_page(session, branches=branches, after=_place(cursor), limit=limit + 1)
    return page_of(rows, limit, show=AttentionItem.model_validate, key=_key)


for _worklist in Worklist:
    router.add_api_route(
        f"/{_worklist.value}", _reader(_worklist), methods=["GET"], name=f"{_worklist.value} worklist",
        summary=f"Samples for {_worklist.value}", responses=responses(400),
    )  # fmt: skip
