"""The audit trail: append-only, hash-chained, written in the same transaction as the change it records.

`hash = HMAC-SHA256(key, previous hash ‖ chain ‖ seq ‖ time ‖ body)`. The body is kept as text because `jsonb` would
reorder it. Whoever edits a row without the key breaks the chain there; cutting off the tail needs an outside anchor to
be seen, which `labsetu audit verify` prints (`chain seq hash`) for that purpose.
"""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import text
from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from domain.clock import utc_now
from store.tables.exchange import AuditEntry, AuditHead

_LOCK_HEAD = text(
    "insert into audit_heads (chain, seq, hash) values (:chain, 0, '')"
    " on conflict (chain) do update set seq = audit_heads.seq returning seq, hash"
)
_BEYOND_HEAD = text(
    "select h.chain, h.seq from audit_heads h"
    " where exists (select from audit_entries e where e.chain = h.chain and e.seq > h.seq) order by h.chain"
)
_APPEND = text(  # one statement: the head is held no longer than it must
    "with head as (update audit_heads set seq = :seq, hash = :hash where chain = :chain)"
    " insert into audit_entries (chain, seq, at, actor, action, object_kind, object_id, body, hash)"
    " values (:chain, :seq, :at, :actor, :action, :object_kind, :object_id, :body, :hash)"
)

Body = Mapping[str, str | int | bool | list[str] | None]


@dataclass(frozen=True)
class BrokenLink:
    """Where a chain does not hold."""

    chain: str
    seq: int
    what: str


async def record(
    session: AsyncSession,
    *,
    chain: str,
    actor: str,
    action: str,
    object_kind: str,
    object_id: str,
    body: Body | None = None,
) -> None:
    """Append one entry. Call it last in the transaction: it holds the chain's head until the commit.

    Args:
        session: The transaction that makes the change.
        chain: Branch code, or `lab` for what belongs to no branch.
        actor: Username, or `system:<workflow type>`.
        action: `<object>.<verb>`, e.g. `sample.received`.
        object_kind: Table-like noun, e.g. `sample`.
        object_id: Business number or row id.
        body: Ids, codes and states before and after; never a patient's name or a result value.
    """
    await session.flush()
    head = (await session.execute(_LOCK_HEAD, {"chain": chain})).one()
    seq, at = int(head.seq) + 1, utc_now()
    text_body = json.dumps(dict(body or {}), sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    entry = AuditEntry(
        chain=chain, seq=seq, at=at, actor=actor, action=action, object_kind=object_kind, object_id=object_id,
        body=text_body, hash="",
    )  # fmt: skip
    entry.hash = _link(session.info["audit_key"], head.hash, entry)
    await session.execute(_APPEND, entry.model_dump())


def _link(key: bytes, previous: str, entry: AuditEntry) -> str:
    parts = (
        previous, entry.chain, str(entry.seq), _instant(entry.at), entry.actor, entry.action, entry.object_kind,
        entry.object_id, entry.body,
    )  # fmt: skip
    return hmac.new(key, "\x1f".join(parts).encode(), hashlib.sha256).hexdigest()


def _instant(at: datetime) -> str:
    return at.isoformat(timespec="microseconds")


async def verify(session: AsyncSession, key: bytes) -> tuple[list[AuditHead], list[BrokenLink]]:
    """Recompute every chain and return its heads and every place that does not hold, in order.

    May run while others write: what they append after a head was read is left for the next time.
    """
    heads = list((await session.exec(select(AuditHead).order_by(AuditHead.chain))).all())
    broken: list[BrokenLink] = []
    for head in heads:
        broken += await _verify_chain(session, key, head)
    beyond = (await session.execute(_BEYOND_HEAD)).all()
    broken += [BrokenLink(row.chain, row.seq, "entries after the head") for row in beyond]
    known = {head.chain for head in heads}
    orphans = await session.exec(select(AuditEntry.chain).where(col(AuditEntry.chain).not_in(known)).distinct())
    broken += [BrokenLink(chain, 0, "entries without a head") for chain in orphans.all()]
    return heads, broken


async def _verify_chain(session: AsyncSession, key: bytes, head: AuditHead) -> list[BrokenLink]:
    previous, expected, broken = "", 1, list[BrokenLink]()
    query = (
        select(AuditEntry)
        .where(AuditEntry.chain == head.chain, col(AuditEntry.seq) <= head.seq)
        .order_by(col(AuditEntry.seq))
    )
    stream = await session.stream_scalars(query.execution_options(yield_per=500))
    async for entry in stream:
        if entry.seq != expected:
            broken.append(BrokenLink(head.chain, expected, "entry missing"))
        if not hmac.compare_digest(_link(key, previous, entry), entry.hash):
            broken.append(BrokenLink(head.chain, entry.seq, "entry changed"))
        previous, expected = entry.hash, entry.seq + 1
    if (expected - 1, previous) != (head.seq, head.hash):
        broken.append(BrokenLink(head.chain, head.seq, "tail missing"))
    return broken
