"""The doors as operators see them: partner events, partner calls, the audit trail."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

from pydantic import field_validator
from sqlalchemy import text
from sqlmodel.ext.asyncio.session import AsyncSession

from domain.clock import utc_now
from domain.enums import PartnerEventState
from domain.ids import new_id
from domain.partner_events import PartnerEvent
from store.reading import ReadRow, rows_of

_KEEP_EVENT = text(
    "insert into partner_events (id, created_at, source, event_id, kind, reference, entity_id, headers, raw,"
    " received_at, state, reason, workflow_id)"
    " values (:id, :now, :source, :event_id, :kind, :reference, :entity_id, cast(:headers as jsonb), :raw, :now,"
    " :state, :reason, '') on conflict (source, event_id) do nothing returning id"
)
_EVENTS = text(
    "select id, source, event_id, kind, reference, entity_id, received_at, state, reason, workflow_id, handled_at"
    " from partner_events where (:source = '' or source = :source) and (:state = '' or state = :state)"
    " and (cast(:before as uuid) is null or id < :before) order by id desc limit :limit"
)
_CALLS = text(
    "select id, created_at, connector, operation, reference, method, url, cast(request_headers as text) as"
    " request_headers, request_body, status, response_body, outcome, elapsed_ms from partner_calls"
    " where (:connector = '' or connector = :connector) and (:reference = '' or reference = :reference)"
    " and (cast(:before as uuid) is null or id < :before) order by id desc limit :limit"
)
_AUDIT = text(
    "select chain, seq, at, actor, action, object_kind, object_id, body, hash from audit_entries"
    " where chain = :chain and (:object_id = '' or object_id = :object_id) and (:actor = '' or actor = :actor)"
    " and (:before = 0 or seq < :before) order by seq desc limit :limit"
)


class EventRow(ReadRow):
    """A partner event as listed."""

    id: UUID
    source: str
    event_id: str
    kind: str
    reference: str
    entity_id: str
    received_at: datetime
    state: PartnerEventState
    reason: str
    workflow_id: str
    handled_at: datetime | None


class CallRow(ReadRow):
    """A call to a partner, masked when it was stored."""

    id: UUID
    created_at: datetime
    connector: str
    operation: str
    reference: str
    method: str
    url: str
    request_headers: dict[str, str]
    request_body: str
    status: int
    response_body: str
    outcome: str
    elapsed_ms: int

    @field_validator("request_headers", mode="before")
    @classmethod
    def from_json(cls, value: Any) -> Any:
        """Read what PostgreSQL gives as text."""
        return json.loads(value) if isinstance(value, str) else value


class AuditRow(ReadRow):
    """An audit entry; `body` is JSON text as it was hashed."""

    chain: str
    seq: int
    at: datetime
    actor: str
    action: str
    object_kind: str
    object_id: str
    body: str
    hash: str


async def keep_event(
    session: AsyncSession, source: str, event: PartnerEvent, *, raw: bytes, headers: Mapping[str, str]
) -> bool:
    """Store an event that was proved to be the partner's; False when it was stored before."""
    return await _keep(session, source, event, raw=raw, headers=headers)


async def keep_poison(
    session: AsyncSession, source: str, *, raw: bytes, headers: Mapping[str, str], reason: str
) -> bool:
    """Store a delivery that is signed but cannot be read; the same bytes are stored once."""
    event = PartnerEvent(event_id=f"sha256:{hashlib.sha256(raw).hexdigest()}", kind="unreadable")
    return await _keep(session, source, event, raw=raw, headers=headers, state=PartnerEventState.POISON, reason=reason)


async def _keep(
    session: AsyncSession,
    source: str,
    event: PartnerEvent,
    *,
    raw: bytes,
    headers: Mapping[str, str],
    state: PartnerEventState = PartnerEventState.RECEIVED,
    reason: str = "",
) -> bool:
    facts = {
        "id": new_id(), "now": utc_now(), "source": source, "event_id": event.event_id, "kind": event.kind,
        "reference": event.reference, "entity_id": event.entity_id, "headers": json.dumps(dict(headers)), "raw": raw,
        "state": state.value, "reason": reason,
    }  # fmt: skip
    return (await session.execute(_KEEP_EVENT, facts)).first() is not None


async def event_page(
    session: AsyncSession, *, source: str, state: str, before: UUID | None, limit: int
) -> list[EventRow]:
    """Return partner events, newest first, older than `before`."""
    return await rows_of(session, EventRow, _EVENTS, source=source, state=state, before=before, limit=limit)


async def call_page(
    session: AsyncSession, *, connector: str, reference: str, before: UUID | None, limit: int
) -> list[CallRow]:
    """Return calls to partners, newest first, older than `before`."""
    return await rows_of(session, CallRow, _CALLS, connector=connector, reference=reference, before=before, limit=limit)


async def audit_page(
    session: AsyncSession, *, chain: str, object_id: str, actor: str, before: int, limit: int
) -> list[AuditRow]:
    """Return entries of one chain, newest first, numbered below `before` (0: from the newest)."""
    return await rows_of(
        session, AuditRow, _AUDIT, chain=chain, object_id=object_id, actor=actor, before=before, limit=limit
    )
