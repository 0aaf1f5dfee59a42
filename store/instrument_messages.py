"""Raw messages of instruments, the analyzers they come from, and the keys with which they post over HTTP."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID

from pydantic import Field
from sqlalchemy import text
from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from domain.clock import utc_now
from domain.enums import MessageState
from domain.errors import ConflictError, NotFoundError
from domain.ids import new_id
from store.reading import ReadRow, row_of, rows_of
from store.tables.devices import InstrumentException
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
_FILTERS: Final[Mapping[str, str]] = {
    "state": "m.state = :state",
    "analyzer": "a.code = :analyzer",
    "is_unknown": "m.analyzer_id is null",
    "specimen": "m.specimen_ids @> array[:specimen]",
    "since": "m.received_at >= :since",
    "until": "m.received_at < :until",
    "before": "m.id < :before",
    "patient_no": "m.specimen_ids && (select coalesce(array_agg(s.accession_no), '{}') from samples s"
    " join orders o on o.id = s.order_id join patients p on p.id = o.patient_id where p.patient_no = :patient_no)",
    "exception": "exists (select from instrument_exceptions e where e.message_id = m.id and e.kind = :exception)",
    "open_only": "exists (select from instrument_exceptions e where e.message_id = m.id and e.state = 'open')",
}
"""What a search may ask for, each with its condition; only those given are part of the statement."""
_ONE = text(f"select {_COLUMNS} where m.id = :id and {_SCOPE}")
_REOPEN = text(
    "update instrument_messages set state = 'received', reason = '', read_at = null"
    " where id = :id and state in ('unmatched', 'partial', 'unreadable', 'ignored', 'control') returning id"
)

_RAWS = text(
    "select id, protocol, received_at, raw from instrument_messages where id = any(cast(:ids as uuid[]))"
    " order by received_at desc, id desc"
)
_WAITING = text(
    "select count(*) from instrument_messages where analyzer_id = :analyzer_id"
    " and state in ('unmatched', 'partial', 'unreadable')"
)
_FORGET = text("select id, sha256 from forget_instrument_messages(cast(:before as timestamptz), :most)")

REOPENABLE = (
    MessageState.UNMATCHED,
    MessageState.PARTIAL,
    MessageState.UNREADABLE,
    MessageState.IGNORED,
    MessageState.CONTROL,
)


@dataclass(frozen=True)
class MessageSearch:
    """What a search for messages asks for; what is empty is not asked.

    Attributes:
        is_unknown: Only those whose sender is not registered.
        specimen: A barcode as the device sent it, whole.
        patient_no: Of the patient whose tubes are in the message.
        since: Received at or after, aware.
        until: Received before, aware.
        exception: Kind of an exception of the message, open or closed.
        open_only: Only those with an open exception.
    """

    state: str = ""
    analyzer: str = ""
    is_unknown: bool = False
    specimen: str = ""
    patient_no: str = ""
    since: datetime | None = None
    until: datetime | None = None
    exception: str = ""
    open_only: bool = False


class StoredRaw(ReadRow):
    """A message with its bytes."""

    id: UUID
    protocol: str
    received_at: datetime
    raw: bytes = Field(repr=False)


class ForgottenRow(ReadRow):
    """What remains of a message that was deleted."""

    id: UUID
    sha256: str


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
    session: AsyncSession, *, branches: Sequence[UUID], wanted: MessageSearch, before: UUID | None, limit: int
) -> list[MessageRow]:
    """Return messages of the branches' analyzers and of unknown ones, newest first, older than `before`."""
    facts = {
        name: value for name, value in {**vars(wanted), "before": before}.items() if value not in {None, "", False}
    }
    conditions = [_SCOPE, *(_FILTERS[name] for name in facts)]
    # the conditions are constants; what is asked for travels beside them
    query = text(f"select {_COLUMNS} where {' and '.join(conditions)} order by m.id desc limit :limit")
    return await rows_of(session, MessageRow, query, branches=list(branches), limit=limit, **facts)


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


async def exceptions_of(session: AsyncSession, message_id: UUID) -> list[InstrumentException]:
    """Return what of a message waits for a person, or did, in the order it was found."""
    query = select(InstrumentException).where(InstrumentException.message_id == message_id)
    return list((await session.exec(query.order_by(col(InstrumentException.id)).limit(200))).all())


async def last_of(session: AsyncSession, analyzer_id: UUID, most: int) -> list[UUID]:
    """Return the ids of a device's last messages that are no repetitions, newest first."""
    query = (
        select(InstrumentMessage.id)
        .where(
            InstrumentMessage.analyzer_id == analyzer_id,
            InstrumentMessage.state != MessageState.DUPLICATE,
            InstrumentMessage.framing_error == "",
        )
        .order_by(col(InstrumentMessage.received_at).desc())
        .limit(most)
    )
    return list((await session.exec(query)).all())


async def raws_of(session: AsyncSession, ids: Sequence[UUID]) -> list[StoredRaw]:
    """Return messages that are known to exist with their bytes, newest first."""
    return await rows_of(session, StoredRaw, _RAWS, ids=list(ids))


async def waiting_of(session: AsyncSession, analyzer_id: UUID) -> int:
    """Count the messages of a device that would be worth reading again."""
    return int((await session.execute(_WAITING, {"analyzer_id": analyzer_id})).scalar_one())


async def forget_before(session: AsyncSession, before: datetime, most: int) -> list[ForgottenRow]:
    """Delete messages that are older than `before`, read and closed; the database itself holds to that rule.

    Returns:
        What was deleted, oldest first; the caller writes the audit entry in the same transaction.
    """
    gone = await rows_of(session, ForgottenRow, _FORGET, before=before, most=most)
    return sorted(gone, key=lambda row: row.id)


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
