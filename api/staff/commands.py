"""Commands: what became of one, and deciding about a step that needs a person."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, Request, Response

from api.commanding import CommandAnswer, answer_of, carry_out
from api.deps import FromApp
from api.errors import request_id_of, responses
from api.idempotency import OneRequest
from api.permissions import COMMAND_PERMISSIONS, Permission, Principal, require
from domain.errors import NotFoundError
from domain.messages import CommandKind, ResolveStep
from store import commands

router = APIRouter(prefix="/v1", tags=["commands"])

MayRead = Annotated[Principal, Depends(require(Permission.ORDER_READ))]
MayResolve = Annotated[Principal, Depends(require(Permission.ATTENTION_RESOLVE))]


@router.get("/commands/{command_id}", responses=responses(404, 409), response_model=CommandAnswer)
async def read(command_id: UUID, principal: MayRead, request: Request, resources: FromApp) -> Response:
    """Say what became of a command that was answered with 202. Shown to those who may give such a command."""
    async with resources.database.transaction(branches=principal.branch_ids) as session:
        row = await commands.command_of(session, command_id)
    if not principal.may(COMMAND_PERMISSIONS[CommandKind(row.kind)], row.branch_id):
        raise NotFoundError("there is no such command", code="COMMAND_UNKNOWN")
    return answer_of(row, request_id=request_id_of(request))


@router.post("/orders/{order_no}/attention/resolve", responses=responses(400, 404, 409), response_model=CommandAnswer)
async def resolve(
    order_no: str, payload: ResolveStep, principal: MayResolve, request: OneRequest, resources: FromApp
) -> Response:
    """Retry a step, skip it with a reason, or enter the outcome that somebody reached by hand."""
    return await carry_out(
        resources, principal, request, order_no=order_no, kind=CommandKind.RESOLVE_STEP, payload=payload
    )
