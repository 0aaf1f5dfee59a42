"""The doors: partner events in, partner calls out, staff commands, idempotency keys, audit."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import UniqueConstraint
from sqlmodel import Field, SQLModel

from domain.enums import CommandState, PartnerEventState
from store.tables.base import Json, Row, UtcDateTime, stored


class PartnerEventRow(Row, table=True):
    """A webhook or callback exactly as it came, after its signature was verified."""

    __tablename__ = "partner_events"
    __table_args__ = (UniqueConstraint("source", "event_id"),)

    source: str
    event_id: str
    kind: str
    reference: str = ""
    entity_id: str = ""
    headers: dict[str, Any] = Field(default_factory=dict, sa_type=Json)
    raw: bytes
    received_at: datetime = Field(sa_type=UtcDateTime)
    state: PartnerEventState = Field(default=PartnerEventState.RECEIVED, sa_type=stored(PartnerEventState), index=True)
    reason: str = ""
    workflow_id: str = ""
    handled_at: datetime | None = Field(default=None, sa_type=UtcDateTime)


class PartnerCall(Row, table=True):
    """One call to a partner, masked: what was said, what came back, how long it took."""

    __tablename__ = "partner_calls"

    connector: str = Field(index=True)
    operation: str
    reference: str = Field(index=True)
    method: str
    url: str
    request_headers: dict[str, Any] = Field(sa_type=Json)
    request_body: str
    status: int
    response_body: str
    outcome: str
    elapsed_ms: int


class Command(Row, table=True):
    """A staff action on its way to a workflow. Its id is the update id, so it is applied once.

    The payload stays here: the workflow sees the command's id and the ids it names.
    """

    __tablename__ = "commands"
    __table_args__ = (UniqueConstraint("actor_id", "idempotency_key"),)

    kind: str
    order_id: UUID = Field(foreign_key="orders.id", index=True)
    branch_id: UUID = Field(foreign_key="branches.id")
    workflow_id: str
    payload: dict[str, Any] = Field(sa_type=Json)
    actor_id: UUID = Field(foreign_key="users.id")
    idempotency_key: str
    request_hash: str
    state: CommandState = Field(default=CommandState.ACCEPTED, sa_type=stored(CommandState), index=True)
    result: dict[str, Any] = Field(default_factory=dict, sa_type=Json)
    refusal_code: str = ""
    refusal: str = ""
    refusal_action: str = ""
    applied_at: datetime | None = Field(default=None, sa_type=UtcDateTime)


class IdempotentRequest(SQLModel, table=True):
    """The stored answer to a POST, given again when the same key comes again."""

    __tablename__ = "idempotent_requests"

    actor_id: UUID = Field(primary_key=True)
    key: str = Field(primary_key=True)
    route: str
    request_hash: str
    status: int
    body: dict[str, Any] = Field(sa_type=Json)
    created_at: datetime = Field(sa_type=UtcDateTime)


class AuditHead(SQLModel, table=True):
    """Where a chain of audit entries ends."""

    __tablename__ = "audit_heads"

    chain: str = Field(primary_key=True)
    seq: int
    hash: str


class AuditEntry(SQLModel, table=True):
    """One change, chained to the one before by HMAC. Append-only: triggers refuse anything else."""

    __tablename__ = "audit_entries"

    chain: str = Field(primary_key=True)
    seq: int = Field(primary_key=True)
    at: datetime = Field(sa_type=UtcDateTime)
    actor: str
    action: str
    object_kind: str
    object_id: str = Field(index=True)
    body: str
    """Canonical JSON text, hashed as it stands."""
    hash: str
