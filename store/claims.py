"""Results that came before their sample was known wait in the inbox; here they are sent through again."""

from __future__ import annotations

from sqlalchemy import text
from sqlmodel.ext.asyncio.session import AsyncSession

_REQUEUE = text(
    "update instrument_messages set state = 'received', reason = 'claimed by a new barcode'"
    " where state in ('unmatched', 'partial') and specimen_ids @> array[:barcode]::text[] returning id"
)
_WAKE = text("select pg_notify('inbox', 'instrument_messages')")


async def requeue_messages(session: AsyncSession, barcode: str) -> int:
    """Send every waiting message that names `barcode` through the dispatcher again; return how many."""
    found = len((await session.execute(_REQUEUE, {"barcode": barcode})).all())
    if found:
        await session.execute(_WAKE)
    return found
