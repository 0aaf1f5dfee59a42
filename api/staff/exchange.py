"""What partners told us, what we asked them, and who did what: for operators and auditors."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Depends, Query
from pydantic import BaseModel, ConfigDict

from api.deps import FromApp
from api.errors import responses
from api.etags import TaggedRoute
from api.pagination import DEFAULT_PAGE, Cursor, Limit, Page, number_of, page_of, row_id_of
from api.permissions import Permission, Principal, require
from domain.enums import PartnerEventState
from store import exchange

router = APIRouter(prefix="/v1", tags=["operations"], route_class=TaggedRoute)

MayReadPartners = Annotated[Principal, Depends(require(Permission.PARTNER_READ))]
MayAudit = Annotated[Principal, Depends(require(Permission.AUDIT_READ))]

Name = Annotated[str, Query(max_length=60)]


class PartnerEventOut(BaseModel):
    """A webhook or callback; its bytes stay in the database."""

    model_config = ConfigDict(from_attributes=True)

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


class PartnerCallOut(BaseModel):
    """A call to a partner, masked."""

    model_config = ConfigDict(from_attributes=True)

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


class AuditOut(BaseModel):
    """An entry of the audit trail."""

    chain: str
    seq: int
    at: datetime
    actor: str
    action: str
    object_kind: str
    object_id: str
    body: dict[str, Any]
    hash: str


@router.get("/partner-events", responses=responses(400))
async def partner_events(
    principal: MayReadPartners,
    resources: FromApp,
    *,
    source: Name = "",
    state: Annotated[PartnerEventState | None, Query()] = None,
    limit: Limit = DEFAULT_PAGE,
    cursor: Cursor = "",
) -> Page[PartnerEventOut]:
    """List partner events, newest first."""
    async with resources.database.transaction(branches=principal.branch_ids) as session:
        rows = await exchange.event_page(
            session, source=source, state=state.value if state else "", before=row_id_of(cursor), limit=limit + 1
        )
    return page_of(rows, limit, show=PartnerEventOut.model_validate, key=lambda row: str(row.id))


@router.get("/partner-calls", responses=responses(400))
async def partner_calls(
    principal: MayReadPartners,
    resources: FromApp,
    *,
    connector: Name = "",
    reference: Name = "",
    limit: Limit = DEFAULT_PAGE,
    cursor: Cursor = "",
) -> Page[PartnerCallOut]:
    """List calls to partners, newest first."""
    async with resources.database.transaction(branches=principal.branch_ids) as session:
        rows = await exchange.call_page(
            session, connector=connector, reference=reference, before=row_id_of(cursor), limit=limit + 1
        )
    return page_of(rows, limit, show=PartnerCallOut.model_validate, key=lambda row: str(row.id))


@router.get("/audit", responses=responses(400))
async def audit(
    principal: MayAudit,
    resources: FromApp,
    *,
    chain: Annotated[str, Query(max_length=10, description="A branch code, or `lab`.")] = "lab",
    object_id: Name = "",
    actor: Name = "",
    limit: Limit = DEFAULT_PAGE,
    cursor: Cursor = "",
) -> Page[AuditOut]:
    """List entries of one chain of the audit trail, newest first."""
    if chain != "lab":
        principal.branch_id(chain)
    async with resources.database.transaction(branches=principal.branch_ids) as session:
        rows = await exchange.audit_page(
            session, chain=chain, object_id=object_id, actor=actor, before=number_of(cursor), limit=limit + 1
        )
    return page_of(rows, limit, show=_shown, key=lambda row: str(row.seq))


def _shown(row: exchange.AuditRow) -> AuditOut:
    return AuditOut.model_validate({**row.model_dump(), "body": json.loads(row.body)})
