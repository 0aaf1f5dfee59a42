"""Raw messages of instruments, the analyzers they come from, and the keys with which they post over HTTP."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from sqlalchemy import text
from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from domain.clock import utc_now
from domain.enums import MessageState
from domain.errors import ConflictError, NotFoundError
from domain.ids import new_id
from store.reading import ReadRow, row_of, rows_of
from store.tables.results import Analyzer, ApiKey, InstrumentMessage

_BY_KEY = text(
    "select a.id, a.code, a.branch_id, a.protocol from api_keys k join analyzers a on a.id = k.analyzer_id"
    " where k.key_hash = :key_hash and k.revoked_at is null and a.is_active"
)
_COLUMNS = (
    "m.id, m.analyzer_id, coalesce(a.code, '') as analyzer, m.protocol, m.transport, m.peer, m.received_at,"
    " m.framing_error, m.state, m.reason, m.control_id, m.specimen_ids, m.read_at, m.duplicate_of,"
    " octet_length(m.raw) as size_bytes from instrument_messages m left join analyzers a on a.id = m.analyzer_id"
)
_SCOPE = "(a.id is null or a.branch_id = any(cast(:branches as uuid[])))"
_PAGE = text(
    f"select {_COLUMNS} where {_SCOPE} and (:state = '' or m.state = :state)"
    " and (:analyzer = '' or a.code = :analyzer) and (:specimen = '' or :specimen = any(m.specimen_ids))"
    " and (cast(:before as uuid) is null or m.id < :before) order by m.id desc limit :limit"
)
_ONE = text(f"select {_COLUMNS} where m.id = :id and {_SCOPE}")
_ANALYZERS = text(
    "select a.id, a.code, a.name, a.model, a.protocol, a.is_active, b.code as branch_code,"
    " (select count(*) from analyzer_tests t where t.analyzer_id = a.id) as test_count,"
    " (select max(m.received_at) from instrument_messages m where m.analyzer_id = a.id) as last_message_at"
    " from analyzers a join branches b on b.id = a.branch_id"
    " where a.branch_id = any(cast(:branches as uuid[])) order by a.code"
)
_REOPEN = text(
    "update instrument_messages set state = 'received', reason = '', read_at = null"
    " where id = :id and state in ('unmatched', 'partial', 'unreadable', 'ignored', 'control') returning id"
)

REOPENABLE = (
    MessageState.UNMATCHED,
    MessageState.PARTIAL,
    MessageState.UNREADABLE,
    MessageState.IGNORED,
    MessageState.CONTROL,
)


class KeyOwner(ReadRow):
    """The analyzer that an API key speaks for."""

    id: UUID
    code: str
    branch_id: UUID
    protocol: str


class MessageRow(ReadRow):
    """A message as listed; its bytes are read one at a time."""

    id: UUID
    analyzer_id: UUID | None
    analyzer: str
    protocol: str
    transport: str
    peer: str
    received_at: datetime
    framing_error: str
    state: MessageState
    reason: str
    control_id: str
    specimen_ids: list[str]
    read_at: datetime | None
    duplicate_of: UUID | None
    size_bytes: int


class AnalyzerRow(ReadRow):
    """An analyzer as listed."""

    id: UUID
    code: str
    name: str
    model: str
    protocol: str
    is_active: bool
    branch_code: str
    test_count: int
    last_message_at: datetime | None


def key_hash(key: str) -> str:
    """Return what is stored of an API key: its SHA-256, hex. The key is random, so no slow hash is needed."""
    return hashlib.sha256(key.encode()).hexdigest()


async def owner_of_key(session: AsyncSession, key: str) -> KeyOwner | None:
    """Return the active analyzer that the key belongs to, or None."""
    return await row_of(session, KeyOwner, _BY_KEY, key_hash=key_hash(key))


async def add_api_key(session: AsyncSession, *, analyzer_id: UUID, name: str, key: str) -> UUID:
    """Store the hash of a new key."""
    row = ApiKey(analyzer_id=analyzer_id, name=name, key_hash=key_hash(key))
    session.add(row)
    await session.flush()
    return row.id


async def revoke_api_keys(session: AsyncSession, analyzer_id: UUID) -> int:
    """Revoke every key of an analyzer and return how many were in force."""
    query = select(ApiKey).where(ApiKey.analyzer_id == analyzer_id, col(ApiKey.revoked_at).is_(None))
    keys = (await session.exec(query)).all()
    for key in keys:
        key.revoked_at = utc_now()
    await session.flush()
    return len(keys)


async def analyzer_of(session: AsyncSession, code: str, branches: Sequence[UUID]) -> Analyzer:
    """Return an analyzer of one of the branches.

    Raises:
        NotFoundError: There is none.
    """
    query = select(Analyzer).where(Analyzer.code == code, col(Analyzer.branch_id).in_(branches))
    found = (await session.exec(query)).first()
    if found is None:
        raise NotFoundError("there is no such analyzer", code="ANALYZER_UNKNOWN")
    return found


async def analyzers(session: AsyncSession, branches: Sequence[UUID]) -> list[AnalyzerRow]:
    """Return the analyzers of the branches by code."""
    return await rows_of(session, AnalyzerRow, _ANALYZERS, branches=list(branches))


async def keep_message(
    session: AsyncSession,
    raw: bytes,
    *,
    analyzer_id: UUID | None,
    protocol: str,
    transport: str,
    peer: str,
    framing_error: str = "",
) -> UUID:
    """Store a message exactly as it came and return its id. It is read later; the caller acknowledges after the commit.

    Args:
        session: The transaction; nothing else belongs in it.
        raw: The bytes.
        analyzer_id: The device that sent it, None where it is not known.
        protocol: `astm` or `hl7`.
        transport: `tcp`, `serial` or `http`.
        peer: Address of the sender.
        framing_error: Code of what broke the link protocol, or "".
    """
    row = InstrumentMessage(
        id=new_id(), analyzer_id=analyzer_id, protocol=protocol, transport=transport, peer=peer, raw=raw,
        sha256=hashlib.sha256(raw).hexdigest(), received_at=utc_now(), framing_error=framing_error,
    )  # fmt: skip
    session.add(row)
    await session.flush()
    return row.id


async def message_page(
    session: AsyncSession,
    *,
    branches: Sequence[UUID],
    state: str,
    analyzer: str,
    specimen: str,
    before: UUID | None,
    limit: int,
) -> list[MessageRow]:
    """Return messages of the branches' analyzers and of unknown ones, newest first, older than `before`."""
    return await rows_of(
        session, MessageRow, _PAGE, branches=list(branches), state=state, analyzer=analyzer, specimen=specimen,
        before=before, limit=limit,
    )  # fmt: skip


async def message_of(session: AsyncSession, message_id: UUID, branches: Sequence[UUID]) -> MessageRow:
    """Return one message without its bytes.

    Raises:
        NotFoundError: Unknown, or of another branch's analyzer.
    """
    found = await row_of(session, MessageRow, _ONE, id=message_id, branches=list(branches))
    if found is None:
        raise NotFoundError("there is no such message", code="MESSAGE_UNKNOWN")
    return found


async def raw_of(session: AsyncSession, message_id: UUID) -> bytes:
    """Return the bytes of a message that is known to exist."""
    return (await session.exec(select(InstrumentMessage.raw).where(InstrumentMessage.id == message_id))).one()


async def reopen(session: AsyncSession, message: MessageRow) -> None:
    """Give a message back to the reader, after its mapping was corrected.

    Raises:
        ConflictError: Its results are already on an order, or it is being read.
    """
    if (await session.execute(_REOPEN, {"id": message.id})).first() is None:
        raise ConflictError(
            f"a message that is {message.state.value} is not read again", code="MESSAGE_NOT_REOPENABLE",
            action="Only unmatched, partial, unreadable, control and ignored messages can be read again.",
        )  # fmt: skip
