"""What found no place by itself: noted per message, resolved when a reading places it, dismissed by a person."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from sqlalchemy import func, text
from sqlalchemy.dialects.postgresql import insert
from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from domain.clock import utc_now
from domain.enums import ExceptionKind, ExceptionState, MessageState
from domain.errors import ConflictError, NotFoundError
from domain.ids import new_id
from store.reading import ReadRow, row_of, rows_of
from store.tables.devices import SpecimenCorrection

MAX_PER_MESSAGE = 500
MAX_SPECIMEN_CHARS = 100
MAX_CODE_CHARS = 60
MAX_DETAIL_CHARS = 2000
MAX_CODES = 500
"""Of one exception."""

_NOTE = text(
    "insert into instrument_exceptions (id, created_at, message_id, analyzer_id, kind, specimen_id, device_code,"
    " detail, codes, state, close_reason) values (:id, :now, :message_id, :analyzer_id, :kind, :specimen_id,"
    " :device_code, :detail, cast(:codes as text[]), 'open', '')"
    " on conflict (message_id, kind, specimen_id, device_code) do update set"
    " (detail, codes, analyzer_id, state, closed_at, closed_by, close_reason) = ("
    "  select kept.detail, kept.codes, excluded.analyzer_id, kept.state, kept.closed_at, kept.closed_by,"
    "   kept.close_reason from (values"
    "    (true, instrument_exceptions.detail, instrument_exceptions.codes, instrument_exceptions.state,"
    "     instrument_exceptions.closed_at, instrument_exceptions.closed_by, instrument_exceptions.close_reason),"
    "    (false, excluded.detail, excluded.codes, 'open', null, null, '')"
    "   ) kept (is_dismissed, detail, codes, state, closed_at, closed_by, close_reason)"
    "   where kept.is_dismissed = (instrument_exceptions.state = 'dismissed'"
    "    and excluded.codes <@ instrument_exceptions.codes))"
)
"""What a person dismissed stays as it was dismissed, unless there are codes that were not among them."""
_OPEN_OF = text(
    "select id, kind, specimen_id, device_code from instrument_exceptions where message_id = :id and state = 'open'"
)
_RESOLVE = text(
    "update instrument_exceptions set state = 'resolved', closed_at = :now, close_reason = :reason"
    " where id = any(cast(:ids as uuid[])) and state = 'open'"
)
_RESOLVE_PLACE = text(
    "update instrument_exceptions set state = 'resolved', closed_at = :now, close_reason = :reason"
    " where analyzer_id = :analyzer_id and specimen_id = :specimen_id and device_code = :device_code"
    " and kind in ('unit_mismatch', 'unusable_value') and state = 'open'"
)
_COLUMNS = (
    "e.id, e.created_at, e.message_id, coalesce(a.code, '') as analyzer, e.kind, e.specimen_id, e.device_code,"
    " e.codes, e.detail, e.state, e.closed_at, e.close_reason, coalesce(u.username, '') as closed_by, m.received_at,"
    " m.state as message_state from instrument_exceptions e join instrument_messages m on m.id = e.message_id"
    " left join analyzers a on a.id = e.analyzer_id left join users u on u.id = e.closed_by"
)
_SCOPE = "(a.id is null or a.branch_id = any(cast(:branches as uuid[])))"
_FILTER = (
    "(:state = '' or e.state = :state) and (:kind = '' or e.kind = :kind) and (:analyzer = '' or a.code = :analyzer)"
    " and (:specimen = '' or e.specimen_id = :specimen) and (:code = '' or e.device_code = :code"
    "  or :code = any(e.codes))"
    " and (cast(:since as timestamptz) is null or e.created_at >= :since)"
)
_PAGE = text(
    f"select {_COLUMNS} where {_SCOPE} and {_FILTER} and (cast(:before as uuid) is null or e.id < :before)"
    " order by e.id desc limit :limit"
)
_ONE = text(f"select {_COLUMNS} where e.id = :id and {_SCOPE}")
_FROM_MESSAGES = (
    "from instrument_exceptions e join instrument_messages m on m.id = e.message_id"
    " left join analyzers a on a.id = e.analyzer_id"
)
_MESSAGES = text(
    f"select e.message_id {_FROM_MESSAGES} where {_SCOPE} and {_FILTER}"
    " and m.state <> 'received' and (cast(:after as uuid) is null or e.message_id > :after)"
    " group by e.message_id order by e.message_id limit :limit"
)
_CLOSE = text(
    "update instrument_exceptions set state = :state, closed_at = :now, closed_by = :user_id, close_reason = :reason"
    " where id = :id and state = 'open' returning id"
)
_REQUEUE = text(
    "update instrument_messages set state = 'received', reason = :reason, read_at = null"
    " where id = any(cast(:ids as uuid[])) and state <> 'received' returning id"
)
_WAKE = text("select pg_notify('inbox', 'instrument_messages')")


class Problem(NamedTuple):
    """Why something of a message waits; unique within it."""

    kind: ExceptionKind
    specimen_id: str = ""
    device_code: str = ""


@dataclass(frozen=True)
class Noted:
    """What is written down of a problem.

    Attributes:
        detail: Codes and units, never a value or a name.
        codes: Where it is about several of the device's codes.
    """

    detail: str
    codes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Filter:
    """Which exceptions are meant; empty members mean all."""

    state: ExceptionState | None = None
    kind: ExceptionKind | None = None
    analyzer: str = ""
    specimen: str = ""
    code: str = ""
    since: datetime | None = None

    def facts(self) -> dict[str, object]:
        """Return it as query parameters."""
        return {
            "state": self.state.value if self.state else "", "kind": self.kind.value if self.kind else "",
            "analyzer": self.analyzer, "specimen": self.specimen, "code": self.code, "since": self.since,
        }  # fmt: skip


class ExceptionRow(ReadRow):
    """An exception as listed."""

    id: UUID
    created_at: datetime
    message_id: UUID
    analyzer: str
    kind: ExceptionKind
    specimen_id: str
    device_code: str
    codes: list[str]
    detail: str
    state: ExceptionState
    closed_at: datetime | None
    close_reason: str
    closed_by: str
    received_at: datetime
    message_state: MessageState


def problem(kind: ExceptionKind, specimen_id: str = "", device_code: str = "") -> Problem:
    """Return a problem whose texts fit the table."""
    return Problem(kind, specimen_id[:MAX_SPECIMEN_CHARS], device_code[:MAX_CODE_CHARS])


async def settle(
    session: AsyncSession,
    message_id: UUID,
    analyzer_id: UUID | None,
    found: Mapping[Problem, Noted],
    *,
    is_whole: bool = True,
) -> None:
    """Note what waits of a message that was just read, and resolve what does not wait any more.

    Reading it again notes nothing twice; what a person dismissed stays dismissed.

    Args:
        session: The transaction of the reading.
        message_id: What was read.
        analyzer_id: Its sender, None where it is not known.
        found: What waits.
        is_whole: The message was read to its end; otherwise what waited before goes on waiting.
    """
    now = utc_now()
    kept = dict(list(found.items())[:MAX_PER_MESSAGE])
    for one, noted in kept.items():
        facts = {
            "id": new_id(), "now": now, "message_id": message_id, "analyzer_id": analyzer_id, "kind": one.kind.value,
            "specimen_id": one.specimen_id, "device_code": one.device_code, "detail": noted.detail[:MAX_DETAIL_CHARS],
            "codes": [code[:MAX_CODE_CHARS] for code in noted.codes[:MAX_CODES]],
        }  # fmt: skip
        await session.execute(_NOTE, facts)
    if not is_whole:
        return
    waiting = (await session.execute(_OPEN_OF, {"id": message_id})).all()
    gone = [row.id for row in waiting if Problem(ExceptionKind(row.kind), row.specimen_id, row.device_code) not in kept]
    if gone:
        await session.execute(_RESOLVE, {"ids": gone, "now": now, "reason": "read again"})


async def resolve_place(
    session: AsyncSession, *, analyzer_id: UUID, specimen_id: str, device_code: str, reason: str
) -> None:
    """Resolve what waited for a usable value of one code on one tube, whichever message it was in."""
    place = problem(ExceptionKind.UNUSABLE_VALUE, specimen_id, device_code)
    facts = {
        "analyzer_id": analyzer_id, "specimen_id": place.specimen_id, "device_code": place.device_code,
        "now": utc_now(), "reason": reason,
    }  # fmt: skip
    await session.execute(_RESOLVE_PLACE, facts)


async def exception_page(
    session: AsyncSession, wanted: Filter, *, branches: Sequence[UUID], before: UUID | None, limit: int
) -> list[ExceptionRow]:
    """Return exceptions of the branches' analyzers and of unknown ones, newest first, older than `before`."""
    facts = wanted.facts()
    return await rows_of(session, ExceptionRow, _PAGE, branches=list(branches), before=before, limit=limit, **facts)


async def exception_of(session: AsyncSession, exception_id: UUID, branches: Sequence[UUID]) -> ExceptionRow:
    """Return one exception.

    Raises:
        NotFoundError: Unknown, or of another branch's analyzer.
    """
    found = await row_of(session, ExceptionRow, _ONE, id=exception_id, branches=list(branches))
    if found is None:
        raise NotFoundError("there is no such exception", code="EXCEPTION_UNKNOWN")
    return found


async def messages_with(
    session: AsyncSession, wanted: Filter, *, branches: Sequence[UUID], limit: int, after: UUID | None = None
) -> list[UUID]:
    """Return the messages that have such exceptions and are not waiting to be read, oldest first, after `after`."""
    facts = {**wanted.facts(), "branches": list(branches), "limit": limit, "after": after}
    return [row.message_id for row in (await session.execute(_MESSAGES, facts)).all()]


async def close(
    session: AsyncSession, row: ExceptionRow, state: ExceptionState, *, user_id: UUID, reason: str
) -> ExceptionRow:
    """Close an open exception by a person's decision and return it as it is then.

    Raises:
        ConflictError: It is closed already.
    """
    now = utc_now()
    facts = {"id": row.id, "state": state.value, "now": now, "user_id": user_id, "reason": reason}
    if (await session.execute(_CLOSE, facts)).first() is None:
        raise ConflictError(f"the exception is {row.state.value}", code="EXCEPTION_CLOSED")
    return row.model_copy(update={"state": state, "closed_at": now, "close_reason": reason})


async def requeue(session: AsyncSession, message_ids: Sequence[UUID], *, reason: str) -> list[UUID]:
    """Give messages back to the reader; return those that were not waiting for it already."""
    rows = await session.execute(_REQUEUE, {"ids": list(message_ids), "reason": reason})
    found = [row.id for row in rows.all()]
    if found:
        await session.execute(_WAKE)
    return found


async def corrections_of(session: AsyncSession, message_id: UUID) -> dict[str, str]:
    """Return the accession numbers that persons gave to a message's specimens, by what the device sent."""
    query = select(SpecimenCorrection.specimen_id, SpecimenCorrection.accession_no).where(
        SpecimenCorrection.message_id == message_id, col(SpecimenCorrection.undone_at).is_(None)
    )
    return dict((await session.exec(query)).all())


async def correction_in_force(session: AsyncSession, message_id: UUID, specimen_id: str) -> SpecimenCorrection | None:
    """Return a person's word on a specimen, locked; `specimen_id` may be cut as an exception has it."""
    query = select(SpecimenCorrection).where(
        SpecimenCorrection.message_id == message_id,
        func.left(col(SpecimenCorrection.specimen_id), MAX_SPECIMEN_CHARS) == specimen_id[:MAX_SPECIMEN_CHARS],
        col(SpecimenCorrection.undone_at).is_(None),
    )
    return (await session.exec(query.with_for_update().limit(1))).one_or_none()


async def add_correction(
    session: AsyncSession, *, message_id: UUID, specimen_id: str, accession_no: str, user_id: UUID, reason: str
) -> None:
    """Keep a person's word on which tube a specimen is.

    Raises:
        ConflictError: Somebody has said so before.
    """
    row = SpecimenCorrection(
        id=new_id(), message_id=message_id, specimen_id=specimen_id, accession_no=accession_no, corrected_by=user_id,
        reason=reason,
    )  # fmt: skip
    statement = insert(SpecimenCorrection).values(**row.model_dump())
    once = statement.on_conflict_do_nothing(
        index_elements=["message_id", "specimen_id"], index_where=col(SpecimenCorrection.undone_at).is_(None)
    )
    if (await session.execute(once.returning(col(SpecimenCorrection.id)))).first() is None:
        raise ConflictError("the specimen was assigned before", code="SPECIMEN_ASSIGNED")
