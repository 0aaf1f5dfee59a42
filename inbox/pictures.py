"""Copies images and histograms from their messages to object storage, a little after the results.

The message keeps the bytes, so nothing is lost while the store is away; what is copied twice is the same object.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol
from uuid import UUID

from activities.instruments.pictures import Picture, pictures_in
from connectors.files import StoredObject, object_key
from domain.device_profile import DeviceProfile
from domain.errors import MessageError
from store.instrument_files import mark_stored, missing_files
from store.session import Database
from store.tables.devices import InstrumentFile
from store.tables.results import Analyzer, InstrumentMessage

BATCH = 20
GONE = "gone"
"""Bucket of a file that its message, read by a changed profile, does not have any more."""


class FileStore(Protocol):
    """Object storage as far as it is needed here; `connectors.files` is the real one. Calls block."""

    def put(self, key: str, data: bytes, content_type: str) -> StoredObject:
        """Store an object."""


@dataclass(frozen=True)
class PictureShelf:
    """Brings files that are only in their messages to object storage."""

    database: Database
    files: FileStore | None

    async def missing(self, leave_out: Sequence[UUID]) -> list[UUID]:
        """Return files to bring, oldest first; none where there is no object storage."""
        if self.files is None:
            return []
        async with self.database.transaction() as session:
            return await missing_files(session, leave_out=leave_out, limit=BATCH)

    async def bring(self, file_id: UUID) -> bool:
        """Copy one file; safe to repeat.

        Raises:
            ConnectorError: The store was not reached or refuses it; it is tried again later.
        """
        if self.files is None:
            return False
        async with self.database.transaction() as session:
            row = await session.get_one(InstrumentFile, file_id)
            message = await session.get_one(InstrumentMessage, row.message_id)
            analyzer = await session.get_one(Analyzer, row.analyzer_id)
        profile = DeviceProfile.model_validate({"protocol": analyzer.protocol, **analyzer.profile})
        picture = await asyncio.to_thread(_found_again, message.raw, profile, row.sha256)
        if picture is None:
            bucket, key = GONE, ""
        else:
            name = object_key("instrument-files", str(row.id), 1, row.sha256)
            stored = await asyncio.to_thread(self.files.put, name, picture.content, row.media_type)
            bucket, key = stored.bucket, stored.key
        async with self.database.transaction() as session:
            await mark_stored(session, file_id, bucket=bucket, key=key)
        return True


def _found_again(raw: bytes, profile: DeviceProfile, sha256: str) -> Picture | None:
    try:
        return next((picture for picture in pictures_in(raw, profile) if picture.sha256 == sha256), None)
    except MessageError:
        return None
