"""Single tubes by their number: shown, received by scan, labelled, divided into aliquots."""

from __future__ import annotations

import asyncio
import base64
from datetime import datetime
from typing import Annotated, Literal
from uuid import UUID

from fastapi import APIRouter, Depends, Response
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field
from sqlmodel.ext.asyncio.session import AsyncSession

from activities.handling.aliquots import left_in, make_aliquot
from activities.handling.labels import labels_of, log_prints
from activities.handling.tubes import tube_of, tubes_of
from activities.people import Actor
from api.commanding import CommandAnswer, carry_out
from api.deps import FromApp, Resources
from api.errors import responses
from api.etags import TaggedRoute
from api.idempotency import Answer, OneRequest, answered_once
from api.permissions import Permission, Principal, require
from domain.clock import utc_now
from domain.enums import SampleState
from domain.handling import LabelForm
from domain.messages import Accession, CommandKind, ReceiveSamples, TestCode
from rendering.tube_labels import labels_pdf, labels_zpl
from store.handling import PrintRow, TubeRow, prints_of, tube_row

router = APIRouter(prefix="/v1/samples", tags=["samples"], route_class=TaggedRoute, responses=responses(400, 404, 409))

MayRead = Annotated[Principal, Depends(require(Permission.ORDER_READ))]
MayCollect = Annotated[Principal, Depends(require(Permission.SAMPLE_COLLECT))]
MayReceive = Annotated[Principal, Depends(require(Permission.SAMPLE_RECEIVE))]

MAX_LABELS = 50


class TubeOut(BaseModel):
    """A tube, where it comes from and where it is.

    Attributes:
        parent: The tube it was taken from, or "".
        aliquots: Tubes taken from it.
        left_ul: What is left in it in microlitres; None where nobody measured it.
        manifest: The last transport that it was on, or "".
        place: Where it stands, or "".
    """

    model_config = ConfigDict(from_attributes=True)

    accession_no: str
    order_no: str
    branch_code: str
    specimen: str
    container: str
    state: SampleState
    collection_site: str
    collected_at: datetime | None
    received_at: datetime | None
    rejected_at: datetime | None
    reject_reason: str
    replaces: str
    parent: str
    aliquots: list[str]
    volume_ul: int | None
    left_ul: int | None
    manifest: str
    place: str
    keep_until: datetime | None
    disposal_no: str

    @classmethod
    def of(cls, row: TubeRow, left_ul: int | None) -> TubeOut:
        """Show a tube."""
        return cls(**row.model_dump(), left_ul=left_ul)


class PrintOut(BaseModel):
    """That a label was printed; `reason` is empty for the first time only."""

    model_config = ConfigDict(from_attributes=True)

    at: datetime
    printed_by: str
    form: LabelForm
    copies: int
    reason: str


class LabelsIn(BaseModel):
    """Labels to print.

    Attributes:
        dpi: Of the label printer; for ZPL only.
        reason: Needed where one of them was printed before.
    """

    model_config = ConfigDict(extra="forbid", str_strip_whitespace=True)

    accession_nos: Annotated[list[Accession], Field(min_length=1, max_length=MAX_LABELS)]
    form: LabelForm = LabelForm.ZPL
    copies: Annotated[int, Field(ge=1, le=5)] = 1
    dpi: Literal[203, 300] = 203
    reason: Annotated[str, Field(max_length=300)] = ""


class Printed(BaseModel):
    """Which labels are to be printed."""

    accession_nos: list[str]


class LabelsOut(Printed):
    """Labels as a printer takes them.

    Attributes:
        content: ZPL as text, to be sent to the printer as UTF-8, or a PDF as base64.
    """

    media_type: str
    content: str


class AliquotIn(BaseModel):
    """A tube to fill from another one.

    Attributes:
        container: Of the aliquot; empty: as the tube it is taken from.
        test_codes: Tests to be measured from it instead.
    """

    model_config = ConfigDict(extra="forbid", str_strip_whitespace=True)

    container: Annotated[str, Field(max_length=40)] = ""
    volume_ul: Annotated[int, Field(gt=0, le=10_000_000)] | None = None
    test_codes: Annotated[list[TestCode], Field(max_length=100)] = []


@router.post("/labels", response_model=LabelsOut)
async def print_labels(given: LabelsIn, principal: MayCollect, request: OneRequest, resources: FromApp) -> Response:
    """Print labels, and note that they were: a label that is printed again needs a reason."""
    numbers = list(dict.fromkeys(given.accession_nos))
    branches = list(principal.branch_ids)

    async def work(session: AsyncSession) -> Answer:
        actor = Actor(principal.user_id, principal.username)
        await log_prints(
            session, actor, branches, numbers, form=given.form, copies=given.copies, reason=given.reason
        )  # fmt: skip
        return Answer(Printed(accession_nos=numbers))

    noted = await answered_once(resources, principal, request, work)
    # names stand on labels, so what is printed is not kept with the answer but made anew when it is asked for again
    labels = await _labels(resources, branches, numbers, given)
    replayed = {name: value for name, value in noted.headers.items() if name.casefold() == "idempotency-replayed"}
    return JSONResponse(labels.model_dump(), headers=replayed)


async def _labels(resources: Resources, branches: list[UUID], numbers: list[str], given: LabelsIn) -> LabelsOut:
    async with resources.database.transaction(branches=branches) as session:
        labels = await labels_of(session, branches, numbers)
    if given.form is LabelForm.ZPL:
        zpl = labels_zpl(labels, copies=given.copies, dpi=given.dpi)
        return LabelsOut(accession_nos=numbers, media_type="x/zpl", content=zpl)
    # off the event loop: typesetting takes its time
    pdf = await asyncio.to_thread(labels_pdf, labels, copies=given.copies, created_at=utc_now())
    return LabelsOut(accession_nos=numbers, media_type="application/pdf", content=base64.b64encode(pdf).decode())


@router.get("/{accession_no}")
async def read_tube(accession_no: Accession, principal: MayRead, resources: FromApp) -> TubeOut:
    """Return one tube."""
    branches = list(principal.branch_ids)
    async with resources.database.transaction(branches=branches) as session:
        (tube,) = await tubes_of(session, [accession_no], branches)
        return TubeOut.of(await tube_row(session, tube.sample.id), await left_in(session, tube.sample))


@router.get("/{accession_no}/labels")
async def read_prints(accession_no: Accession, principal: MayRead, resources: FromApp) -> list[PrintOut]:
    """Return when its label was printed, by whom and why again."""
    branches = list(principal.branch_ids)
    async with resources.database.transaction(branches=branches) as session:
        (tube,) = await tubes_of(session, [accession_no], branches)
        rows: list[PrintRow] = await prints_of(session, tube.sample.id)
    return [PrintOut.model_validate(row) for row in rows]


@router.post("/{accession_no}/receive", response_model=CommandAnswer)
async def receive_scanned(
    accession_no: Accession, principal: MayReceive, request: OneRequest, resources: FromApp
) -> Response:
    """Receive the tube whose label was scanned; its order is found by it."""
    branches = list(principal.branch_ids)
    async with resources.database.transaction(branches=branches) as session:
        (tube,) = await tubes_of(session, [accession_no], branches)
    return await carry_out(
        resources, principal, request, order_no=tube.order.order_no, kind=CommandKind.RECEIVE_SAMPLES,
        payload=ReceiveSamples(accession_nos=[accession_no]),
    )  # fmt: skip


@router.post("/{accession_no}/aliquots", status_code=201, response_model=TubeOut)
async def add_aliquot(
    accession_no: Accession, given: AliquotIn, principal: MayReceive, request: OneRequest, resources: FromApp
) -> Response:
    """Fill a tube from this one; it gets a number of its own."""
    branches = list(principal.branch_ids)

    async def work(session: AsyncSession) -> Answer:
        actor = Actor(principal.user_id, principal.username)
        aliquot = await make_aliquot(
            session, actor, branches, accession_no, container=given.container, volume_ul=given.volume_ul,
            test_codes=given.test_codes,
        )  # fmt: skip
        made = await tube_of(session, aliquot.accession_no, branches)
        shown = TubeOut.of(await tube_row(session, made.sample.id), await left_in(session, made.sample))
        return Answer(shown, 201, f"/v1/samples/{aliquot.accession_no}")

    return await answered_once(resources, principal, request, work)
