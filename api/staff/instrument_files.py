"""Images and histograms that came with results, and control values: what belongs to a message but is no result."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, Query
from pydantic import BaseModel, ConfigDict

from api.deps import FromApp
from api.errors import responses
from api.etags import TaggedRoute
from api.pagination import DEFAULT_PAGE, Cursor, Limit, Page, page_of, row_id_of
from api.permissions import Permission, Principal, require
from store import controls, instrument_files, instrument_messages
from store.controls import ControlRow

router = APIRouter(prefix="/v1", tags=["instruments"], route_class=TaggedRoute)

MayRead = Annotated[Principal, Depends(require(Permission.MESSAGE_READ))]

_ENDINGS = {"image/png": "png", "image/jpeg": "jpg", "image/bmp": "bmp"}


class FileOut(BaseModel):
    """An image or histogram.

    Attributes:
        link: Works for five minutes; "" until the file is in object storage, and for roles without results.
    """

    id: UUID
    position: int
    specimen_id: str
    code: str
    media_type: str
    size_bytes: int
    sha256: str
    link: str


class FileList(BaseModel):
    """The files of one message, in its order."""

    items: list[FileOut]


class ControlOut(BaseModel):
    """A value measured on control material; `number` is an exact decimal as text."""

    model_config = ConfigDict(from_attributes=True)

    id: UUID
    message_id: UUID
    control_name: str
    specimen_id: str
    device_code: str
    test_code: str
    value_text: str
    number: str | None
    unit: str
    device_flags: list[str]
    observed_at: datetime

    @classmethod
    def of(cls, row: ControlRow) -> ControlOut:
        """Show a control value."""
        number = None if row.number is None else f"{row.number:f}"
        return cls(**row.model_dump(exclude={"number"}), number=number)


@router.get("/instrument-messages/{message_id}/files", responses=responses(404))
async def list_files(message_id: UUID, principal: MayRead, resources: FromApp) -> FileList:
    """List the images and histograms of a message, with links for roles that may see results."""
    sees = bool(principal.reach(Permission.RESULT_READ))
    async with resources.database.transaction(branches=principal.branch_ids) as session:
        await instrument_messages.message_of(session, message_id, list(principal.branch_ids))
        rows = await instrument_files.files_of(session, message_id)
    items = []
    for row in rows:
        link = ""
        if sees and row.object_key:
            name = f"{row.id}.{_ENDINGS.get(row.media_type, 'bin')}"
            link = resources.documents.presign_get(row.object_key, filename=name)
        facts = row.model_dump(include=set(FileOut.model_fields) - {"link"})
        items.append(FileOut(**facts, link=link))
    return FileList(items=items)


@router.get("/analyzers/{code}/controls", responses=responses(400, 404))
async def list_controls(
    code: str,
    principal: MayRead,
    resources: FromApp,
    *,
    device_code: Annotated[str, Query(max_length=60)] = "",
    limit: Limit = DEFAULT_PAGE,
    cursor: Cursor = "",
) -> Page[ControlOut]:
    """List the values that a device measured on control material, newest first."""
    async with resources.database.transaction(branches=principal.branch_ids) as session:
        analyzer = await instrument_messages.analyzer_of(session, code, list(principal.branch_ids))
        rows = await controls.control_page(
            session, analyzer.id, code=device_code, before=row_id_of(cursor), limit=limit + 1
        )
    return page_of(rows, limit, show=ControlOut.of, key=lambda row: str(row.id))
