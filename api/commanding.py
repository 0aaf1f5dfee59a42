"""The one path of every staff command: store it, send it, answer with what became of it.

The command is committed before Temporal hears of it, so it is never lost: when Temporal is away the answer is 202 with
the command's address, and a sweeper sends it later. Its id is the update's id, so it is applied once.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID

from fastapi import Response
from fastapi.responses import JSONResponse
from pydantic import BaseModel
from sqlmodel.ext.asyncio.session import AsyncSession
from temporalio.service import RPCError

from api.deps import CommandGateway, Resources
from api.errors import problem
from api.idempotency import RepeatableRequest
from api.permissions import Principal
from domain import ids
from domain.clock import utc_now
from domain.enums import CommandState, OrderStage
from domain.errors import LabError, NotFoundError
from domain.ids import new_id
from domain.messages import CommandKind, Payload, RecordPayment, ResolveStep, ReverseInvoice
from store import audit, commands
from store.commands import CommandRow
from store.idempotency import claim, keep_answer
from store.invoices import invoice_of
from store.orders import OrderRef, mark_started, order_ref, workflow_ids_of
from store.session import Database
from store.tables.exchange import Command
from telemetry import logs, metrics
from workflows.gateway import RefusedByWorkflowError, TemporalAwayError, WorkflowGoneError

log = logging.getLogger("labsetu.api")

YOUNG = timedelta(minutes=2)
"""Within this after an order was placed, a run that is not there yet has not started rather than ended."""

_UNPROCESSABLE = ("_INVALID", "_UNKNOWN", "_NOT_FOUND", "_REFUSED", "_REPEATED", "_MISSING")
_STATUS_OF_CODE = {"NOT_FOUND": 404, "NOT_PERMITTED": 403}


class CommandAnswer(BaseModel):
    """What became of a command.

    Attributes:
        stage: The order's stage now.
    """

    command_id: UUID
    kind: str
    order_no: str
    state: CommandState
    stage: OrderStage
    result: dict[str, Any]


@dataclass
class _Sendable:
    """A command as the gateway takes it: its payload names the order, which the stored one need not."""

    id: UUID
    kind: str
    workflow_id: str
    payload: dict[str, Any]


async def carry_out(
    resources: Resources,
    principal: Principal,
    request: RepeatableRequest,
    *,
    order_no: str,
    kind: CommandKind,
    payload: Payload,
) -> Response:
    """Do what a member of staff asked.

    Returns:
        200 with the new state; a problem when it was refused; 202 with its address when Temporal is away.

    Raises:
        NotFoundError: The order, or a thing named in the payload, is not one of the caller's branches.
    """
    branches = principal.branch_ids
    async with resources.database.transaction(branches=branches) as session:
        order = await order_ref(session, order_no, branches)
        key = request.by(principal)
        stored = await claim(session, key)
        if stored is not None:
            command_id = UUID(json.loads(stored.body)["command_id"])
        else:
            command = Command(
                id=new_id(), kind=kind.value, order_id=order.id, branch_id=order.branch_id,
                workflow_id=await _target(session, resources.config.lab, order, payload, branches),
                payload=payload.model_dump(mode="json"), actor_id=principal.user_id, idempotency_key=key.key,
                request_hash=key.request_hash,
            )  # fmt: skip
            command_id = command.id
            await commands.add_command(session, command)
            await keep_answer(session, key, status=202, body={"command_id": str(command_id)})
            await audit.record(
                session, chain=order.branch_code, actor=principal.username, action="command.accepted",
                object_kind="order", object_id=order_no, body={"command": str(command_id), "kind": kind.value},
            )  # fmt: skip
        row = await commands.command_of(session, command_id)
    with logs.bind(order_no=order_no, workflow_id=row.workflow_id):
        if row.state is CommandState.ACCEPTED:
            row = await _deliver(resources, order, row)
            metrics.command_done(row.kind, row.refusal_code or row.state.value)
        return answer_of(row, request_id=logs.bound().get("request_id", ""), is_repeated=stored is not None)


async def _target(
    session: AsyncSession, lab: str, order: OrderRef, payload: Payload, branches: frozenset[UUID] | Sequence[UUID]
) -> str:
    """Return the run that the command is for; what the payload names must belong to the order."""
    if isinstance(payload, RecordPayment | ReverseInvoice):
        invoice = await invoice_of(session, payload.invoice_no, branches)
        if invoice.order_id != order.id:
            raise NotFoundError("the order has no such invoice", code="INVOICE_UNKNOWN")
        is_reversal = isinstance(payload, ReverseInvoice)
        number = invoice.document_no
        return ids.reversal_workflow_id(number) if is_reversal else ids.payment_workflow_id(number)
    if isinstance(payload, ResolveStep):
        if payload.workflow_id not in await workflow_ids_of(session, lab, order):
            raise NotFoundError("the order has no such run", code="RUN_UNKNOWN", action="Take it from the order.")
        return payload.workflow_id
    return ids.order_workflow_id(lab, order.order_no)


async def ensure_started(database: Database, gateway: CommandGateway, order: OrderRef, *, summary: str = "") -> bool:
    """Start the order's run where nobody has yet; False when Temporal is away."""
    if order.workflow_started_at is not None:
        return True
    try:
        is_started = await gateway.start_order(
            order_no=order.order_no, branch=order.branch_code, priority=order.priority, summary=summary
        )
    except RPCError as error:
        # Temporal is there but misconfigured: the order is committed all the same and the sweeper goes on trying
        log.warning("Temporal refused to start an order", extra={"code": error.status.name})
        return False
    if is_started:
        async with database.transaction(branches=[order.branch_id]) as session:
            await mark_started(session, order.id)
    return is_started


async def _deliver(resources: Resources, order: OrderRef, row: CommandRow) -> CommandRow:
    """Send the command and return its row as it is afterwards."""
    refusal: LabError | None = None
    try:
        if await ensure_started(resources.database, resources.gateway, order):
            payload = {**row.payload, "order_no": order.order_no}
            await resources.gateway.send_command(_Sendable(row.id, row.kind, row.workflow_id, payload))
    except TemporalAwayError:
        pass  # stored: the sweeper sends it
    except WorkflowGoneError as error:
        refusal = None if utc_now() - order.created_at < YOUNG else error
    except RefusedByWorkflowError as error:
        refusal = error
    async with resources.database.transaction(branches=[row.branch_id]) as session:
        if refusal is not None:
            await commands.refuse(session, row.id, code=refusal.code, message=refusal.message, action=refusal.action)
        return await commands.command_of(session, row.id)


def answer_of(row: CommandRow, *, request_id: str, is_repeated: bool = False) -> Response:
    """Return the HTTP answer for a command as it stands."""
    headers = {"Idempotency-Replayed": "true"} if is_repeated else {}
    if row.state is CommandState.REFUSED:
        return problem(
            refusal_status(row.refusal_code), code=row.refusal_code, detail=row.refusal, action=row.refusal_action,
            request_id=request_id, context={"command_id": str(row.id), "stage": row.stage.value}, headers=headers,
        )  # fmt: skip
    body = CommandAnswer(
        command_id=row.id, kind=row.kind, order_no=row.order_no, state=row.state, stage=row.stage, result=row.result
    )
    is_pending = row.state is CommandState.ACCEPTED
    if is_pending:
        headers |= {"Location": f"/v1/commands/{row.id}", "Retry-After": "5"}
    return JSONResponse(body.model_dump(mode="json"), 202 if is_pending else 200, headers=headers)


def refusal_status(code: str) -> int:
    """Return the status of a refusal: 422 where the request is wrong, 409 where the order's state does not allow it."""
    if code in _STATUS_OF_CODE:
        return _STATUS_OF_CODE[code]
    return 422 if code.endswith(_UNPROCESSABLE) else 409
