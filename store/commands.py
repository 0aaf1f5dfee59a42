"""Staff commands: accepted here, applied by the activity that the workflow calls."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any
from uuid import UUID

from pydantic import field_validator
from sqlalchemy import text
from sqlmodel.ext.asyncio.session import AsyncSession

from domain.enums import CommandState, OrderStage
from domain.errors import NotFoundError
from store.reading import ReadRow, row_of
from store.tables.exchange import Command

_ONE = text(
    "select c.id, c.kind, c.order_id, o.order_no, c.branch_id, c.workflow_id, cast(c.payload as text) as payload,"
    " c.state, cast(c.result as text) as result, c.refusal_code, c.refusal, c.refusal_action, c.created_at,"
    " c.applied_at, o.stage from commands c join orders o on o.id = c.order_id where c.id = :id"
)
_REFUSE = text(
    "update commands set state = 'refused', refusal_code = :code, refusal = :message, refusal_action = :action"
    " where id = :id and state = 'accepted'"
)


class CommandRow(ReadRow):
    """A command with its order's present stage."""

    id: UUID
    kind: str
    order_id: UUID
    order_no: str
    branch_id: UUID
    workflow_id: str
    payload: dict[str, Any]
    state: CommandState
    result: dict[str, Any]
    refusal_code: str
    refusal: str
    refusal_action: str
    created_at: datetime
    applied_at: datetime | None
    stage: OrderStage

    @field_validator("payload", "result", mode="before")
    @classmethod
    def from_json(cls, value: Any) -> Any:
        """Read what PostgreSQL gives as text."""
        return json.loads(value) if isinstance(value, str) else value


async def add_command(session: AsyncSession, command: Command) -> None:
    """Store a new command; its id will be the update's id."""
    session.add(command)
    await session.flush()


async def command_of(session: AsyncSession, command_id: UUID) -> CommandRow:
    """Return one command of the branches that the transaction sees.

    Raises:
        NotFoundError: Unknown, or of another branch.
    """
    found = await row_of(session, CommandRow, _ONE, id=command_id)
    if found is None:
        raise NotFoundError("there is no such command", code="COMMAND_UNKNOWN")
    return found


async def refuse(session: AsyncSession, command_id: UUID, *, code: str, message: str, action: str) -> None:
    """Note that the workflow refused a command; nothing happens where it was applied meanwhile."""
    await session.execute(_REFUSE, {"id": command_id, "code": code, "message": message, "action": action})
