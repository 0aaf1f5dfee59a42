"""What reading messages again would bring: they are read for real, and everything is rolled back."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from uuid import UUID

from sqlalchemy import text
from sqlmodel import select
from sqlmodel.ext.asyncio.session import AsyncSession

from activities.instruments.reading import interpret
from domain.enums import MessageState
from domain.errors import LabError
from store.tables.results import InstrumentMessage

MAX_MESSAGES = 100
"""At most so many at once: their orders are locked until all were read."""

_OPEN = text("select id, kind from instrument_exceptions where message_id = :id and state = 'open'")


@dataclass
class Rehearsal:
    """What would become of some messages, in counts.

    Attributes:
        messages: How many were read.
        results: Values that would become results.
        placed: Exceptions that would be resolved, by kind.
        still_open: Exceptions that would be open, by kind.
        failed: Messages that could not be read, by code; `busy` where one is being read.
    """

    messages: int = 0
    results: int = 0
    placed: Counter[str] = field(default_factory=Counter)
    still_open: Counter[str] = field(default_factory=Counter)
    failed: Counter[str] = field(default_factory=Counter)


async def rehearse(session: AsyncSession, message_ids: Sequence[UUID]) -> Rehearsal:
    """Read messages again inside a savepoint that is rolled back, and return what that brought."""
    result = Rehearsal()
    await session.flush()
    everything = await session.begin_nested()
    try:
        for message_id in message_ids[:MAX_MESSAGES]:
            await _rehearse_one(session, message_id, result)
    finally:
        await everything.rollback()
    return result


async def _rehearse_one(session: AsyncSession, message_id: UUID, result: Rehearsal) -> None:
    query = select(InstrumentMessage).where(InstrumentMessage.id == message_id).with_for_update(skip_locked=True)
    row = (await session.exec(query.execution_options(populate_existing=True))).one_or_none()
    if row is None:
        result.failed["busy"] += 1
        return
    before = await _open_of(session, message_id)
    one = await session.begin_nested()
    try:
        found = await interpret(session, row, is_rehearsal=True)
    except LabError as error:
        await one.rollback()
        result.failed[error.code] += 1
        return
    await one.commit()
    after = await _open_of(session, message_id)
    result.messages += 1
    result.results += sum(len(tests) for _, _, tests in found.written)
    result.placed.update(kind for key, kind in before.items() if key not in after)
    result.still_open.update(after.values())
    if row.state is MessageState.UNREADABLE:
        result.failed[row.reason.partition(":")[0]] += 1


async def _open_of(session: AsyncSession, message_id: UUID) -> dict[UUID, str]:
    return {row.id: str(row.kind) for row in (await session.execute(_OPEN, {"id": message_id})).all()}
