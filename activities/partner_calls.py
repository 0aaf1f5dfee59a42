"""Keeps what was said to partners in `partner_calls`, and counts it. Everything arrives masked."""

from __future__ import annotations

import logging
from dataclasses import dataclass

from connectors.http import CallRecord
from store.session import Database, StoreUnavailableError
from store.tables.exchange import PartnerCall
from telemetry import metrics

logger = logging.getLogger(__name__)

_MS = 1000


@dataclass(frozen=True)
class StoredJournal:
    """The journal of every connector in a process with a database."""

    database: Database

    async def record(self, call: CallRecord) -> None:
        """Keep one call. A database that is away costs the entry, never the call."""
        metrics.partner_called(call.connector, call.operation, call.outcome, call.elapsed_ms / _MS)
        row = PartnerCall(
            connector=call.connector,
            operation=call.operation,
            reference=_storable(call.reference),
            method=call.method,
            url=_storable(call.url),
            request_headers={_storable(name): _storable(value) for name, value in call.request_headers.items()},
            request_body=_storable(call.request_body),
            status=call.status,
            response_body=_storable(call.response_body),
            outcome=call.outcome,
            elapsed_ms=call.elapsed_ms,
        )
        try:
            async with self.database.transaction() as session:
                session.add(row)
        except StoreUnavailableError:
            logger.warning(
                "a partner call was not recorded", extra={"connector": call.connector, "operation": call.operation}
            )


def _storable(text: str) -> str:
    """Return `text` without what PostgreSQL's text cannot hold: a partner's odd byte must not undo the call."""
    return text.replace("\x00", "\ufffd").encode("utf-8", "replace").decode("utf-8")
