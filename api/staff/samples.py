"""Samples: collected, received, rejected."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Response

from api.commanding import CommandAnswer, carry_out
from api.deps import FromApp
from api.errors import responses
from api.idempotency import OneRequest
from api.permissions import Permission, Principal, require
from domain.messages import CollectSamples, CommandKind, ReceiveSamples, RejectSample

router = APIRouter(prefix="/v1/orders/{order_no}/samples", tags=["samples"], responses=responses(400, 404, 409))

MayCollect = Annotated[Principal, Depends(require(Permission.SAMPLE_COLLECT))]
MayReceive = Annotated[Principal, Depends(require(Permission.SAMPLE_RECEIVE))]
MayReject = Annotated[Principal, Depends(require(Permission.SAMPLE_REJECT))]


@router.post("/collect", response_model=CommandAnswer)
async def collect(
    order_no: str, payload: CollectSamples, principal: MayCollect, request: OneRequest, resources: FromApp
) -> Response:
    """Say that samples have been drawn."""
    return await carry_out(
        resources, principal, request, order_no=order_no, kind=CommandKind.COLLECT_SAMPLES, payload=payload
    )


@router.post("/receive", response_model=CommandAnswer)
async def receive(
    order_no: str, payload: ReceiveSamples, principal: MayReceive, request: OneRequest, resources: FromApp
) -> Response:
    """Say that samples have arrived and are fit for analysis."""
    return await carry_out(
        resources, principal, request, order_no=order_no, kind=CommandKind.RECEIVE_SAMPLES, payload=payload
    )


@router.post("/reject", response_model=CommandAnswer)
async def reject(
    order_no: str, payload: RejectSample, principal: MayReject, request: OneRequest, resources: FromApp
) -> Response:
    """Say that a sample is unfit; a new one is planned."""
    return await carry_out(
        resources, principal, request, order_no=order_no, kind=CommandKind.REJECT_SAMPLE, payload=payload
    )
