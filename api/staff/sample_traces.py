"""Why a sample is not reported: its way from order to report, and the one thing it waits for."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Depends, Path
from pydantic import BaseModel

from api.deps import FromApp
from api.errors import responses
from api.etags import TaggedRoute
from api.permissions import Permission, Principal, require
from domain.enums import OrderStage, SampleState
from domain.sample_trace import WaitsFor
from rules.sample_trace import steps_of, verdict_of
from store.tracing import trace_facts

router = APIRouter(prefix="/v1", tags=["samples"], route_class=TaggedRoute)

MayRead = Annotated[Principal, Depends(require(Permission.ORDER_READ))]


class StepOut(BaseModel):
    """One thing that happened."""

    at: datetime
    what: str
    text: str
    detail: dict[str, str]


class VerdictOut(BaseModel):
    """What the sample waits for, in a word, in words, and what to do."""

    waits_for: WaitsFor
    text: str
    action: str
    tests: list[str]


class TraceOut(BaseModel):
    """A sample's way; steps are oldest first."""

    accession_no: str
    order_no: str
    sample_state: SampleState
    order_stage: OrderStage
    verdict: VerdictOut
    steps: list[StepOut]


@router.get("/samples/{accession_no}/trace", responses=responses(404))
async def trace(accession_no: Annotated[str, Path(max_length=40)], principal: MayRead, resources: FromApp) -> TraceOut:
    """Say why a sample is not reported: every step from bytes to report, and what it waits for. No values."""
    reach = principal.branch_ids
    clinical = {branch for branch in reach if principal.may(Permission.RESULT_READ, branch)}
    async with resources.database.transaction(branches=reach) as session:
        facts = await trace_facts(session, accession_no, list(reach), clinical=clinical)
    verdict = verdict_of(facts)
    return TraceOut(
        accession_no=facts.accession_no,
        order_no=facts.order_no,
        sample_state=facts.sample_state,
        order_stage=facts.stage,
        verdict=VerdictOut(
            waits_for=verdict.waits_for, text=verdict.text, action=verdict.action, tests=list(verdict.tests)
        ),
        steps=[StepOut(at=step.at, what=step.what, text=step.text, detail=step.detail) for step in steps_of(facts)],
    )
