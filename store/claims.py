"""Results that came before their sample was known wait in the inbox; here they are sent through again."""

from __future__ import annotations

from sqlalchemy import text
from sqlmodel.ext.asyncio.session import AsyncSession

_HOLD = text("select pg_advisory_xact_lock(hashtextextended(:barcode, 0))")
_REQUEUE = text(
    "update instrument_messages set state = 'received', reason = 'claimed by a new barcode'"
    " where state in ('unmatched', 'partial') and specimen_ids @> array[:barcode]::text[] returning id"
)
_WAKE = text("select pg_notify('inbox', 'instrument_messages')")


async def hold_barcode(session: AsyncSession, barcode: str) -> None:
    """Wait for whoever puts `barcode` on a tube, or reads a message that names it, and make others wait.

    Without this a message could be read just before its barcode is known, and noted as unmatched just after the
    waiting messages were looked through: nobody would ever claim it.
    """
    await session.execute(_HOLD, {"barcode": barcode})


async def requeue_messages(session: AsyncSession, barcode: str) -> int:
    """Send every waiting message that names `barcode` through the dispatcher again; return how many."""
    await hold_barcode(session, barcode)
    found = len((await session.execute(_REQUEUE, {"barcode": barcode})).all())
    if found:
        await session.execute(_WAKE)
    return found
