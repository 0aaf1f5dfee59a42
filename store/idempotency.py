"""Stored answers: a POST with a key that was used before gets the answer that was given then.

The key is claimed in the transaction that does the work. A second request with the same key waits for the first one's
commit, so exactly one of them works and the other repeats its answer; a roll-back frees the key.
"""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import text
from sqlmodel.ext.asyncio.session import AsyncSession

from domain.clock import utc_now
from domain.errors import RuleError
from store.reading import ReadRow, row_of

_CLAIM = text(
    "insert into idempotent_requests (actor_id, key, route, request_hash, status, body, created_at)"
    " values (:actor_id, :key, :route, :request_hash, 0, '{}', :now) on conflict do nothing returning key"
)
_STORED = text(
    "select route, request_hash, status, cast(body as text) as body from idempotent_requests"
    " where actor_id = :actor_id and key = :key"
)
_KEEP = text(
    "update idempotent_requests set status = :status, body = cast(:body as jsonb)"
    " where actor_id = :actor_id and key = :key"
)
_FORGET = (
    text("delete from idempotent_requests where created_at < :before"),
    text("delete from rate_limits where tat < :before"),
)


class RequestKey(ReadRow):
    """What identifies a request.

    Attributes:
        route: Method and path template.
        request_hash: SHA-256 over the path and the body.
    """

    actor_id: UUID
    key: str
    route: str
    request_hash: str


class StoredAnswer(ReadRow):
    """An answer given before; `body` is JSON text."""

    route: str
    request_hash: str
    status: int
    body: str


async def claim(session: AsyncSession, request: RequestKey) -> StoredAnswer | None:
    """Claim the key, or return what was answered to it.

    Raises:
        RuleError: The key was used for another request.
    """
    facts = request.model_dump()
    if (await session.execute(_CLAIM, {**facts, "now": utc_now()})).first():
        return None
    stored = await row_of(session, StoredAnswer, _STORED, actor_id=request.actor_id, key=request.key)
    if stored is None:
        return None  # forgotten between the two statements: the key is free, and old enough not to matter
    if (stored.route, stored.request_hash) != (request.route, request.request_hash):
        raise RuleError(
            "this Idempotency-Key was used for another request",
            code="IDEMPOTENCY_KEY_REUSED",
            action="Use a new key for a new request, and the same body when repeating one.",
        )
    return stored


async def keep_answer(session: AsyncSession, request: RequestKey, *, status: int, body: dict[str, Any]) -> None:
    """Store what is answered, in the same transaction as the work."""
    await session.execute(
        _KEEP, {"actor_id": request.actor_id, "key": request.key, "status": status, "body": json.dumps(body)}
    )


async def forget_before(session: AsyncSession, before: datetime) -> None:
    """Delete answers and rate-limit counts older than `before`: answers hold what was answered, names included."""
    for statement in _FORGET:
        await session.execute(statement, {"before": before})
