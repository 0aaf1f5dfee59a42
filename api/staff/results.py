"""Results: entered, technically verified, medically authorised."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Response

from api.commanding import CommandAnswer, carry_out
from api.deps import FromApp
from api.errors import responses
from api.idempotency import OneRequest
from api.permissions import Permission, Principal, require
from domain.messages import AuthoriseReport, CommandKind, EnterResults, VerifyResults

router = APIRouter(prefix="/v1/orders/{order_no}", tags=["results"], responses=responses(400, 404, 409))

MayEnter = Annotated[Principal, Depends(require(Permission.RESULT_ENTER))]
MayVerify = Annotated[Principal, Depends(require(Permission.RESULT_VERIFY))]
MayAuthorise = Annotated[Principal, Depends(require(Permission.REPORT_AUTHORISE))]


@router.post("/results", response_model=CommandAnswer)
async def enter(
    order_no: str, payload: EnterResults, principal: MayEnter, request: OneRequest, resources: FromApp
) -> Response:
    """Enter results of tests without an analyzer interface."""
    return await carry_out(
        resources, principal, request, order_no=order_no, kind=CommandKind.ENTER_RESULTS, payload=payload
    )


@router.post("/verify", response_model=CommandAnswer)
async def verify(
    order_no: str, payload: VerifyResults, principal: MayVerify, request: OneRequest, resources: FromApp
) -> Response:
    """Accept results technically, or send tests back to be run again."""
    return await carry_out(
        resources, principal, request, order_no=order_no, kind=CommandKind.VERIFY_RESULTS, payload=payload
    )


@router.post("/authorise", response_model=CommandAnswer)
async def authorise(
    order_no: str, payload: AuthoriseReport, principal: MayAuthorise, request: OneRequest, resources: FromApp
) -> Response:
    """Authorise results medically; when all are, the report is issued."""
    return await carry_out(
        resources, principal, request, order_no=order_no, kind=CommandKind.AUTHORISE_REPORT, payload=payload
    )
