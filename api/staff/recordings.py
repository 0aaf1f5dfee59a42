"""Recording the lines of a device: started and stopped by staff, filled by the listener, given out as text.

A recording holds whatever goes over the lines, results and names included: its bytes are for clinical roles, every
reading of them is written to the audit trail, and it is deleted after some days.
"""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta
from typing import Annotated, Literal
from uuid import UUID

from fastapi import APIRouter, Depends, Query, Response
from fastapi.responses import PlainTextResponse
from pydantic import BaseModel, ConfigDict, Field
from sqlmodel.ext.asyncio.session import AsyncSession

from api.deps import FromApp
from api.errors import responses
from api.idempotency import Answer, OneRequest, answered_once
from api.permissions import Permission, Principal, require
from connectors.onboarding.capture import Form
from connectors.onboarding.recording import text_of
from domain.clock import utc_now
from domain.errors import ConflictError
from domain.line_recordings import DEFAULT_BYTES, MAX_BYTES, MAX_MINUTES
from store import audit, instrument_messages, line_recordings
from store.line_recordings import RecordingRow
from store.tables.results import Analyzer

router = APIRouter(prefix="/v1/analyzers/{code}/recordings", tags=["analyzers"])

MayRead = Annotated[Principal, Depends(require(Permission.MESSAGE_READ))]
MayRecord = Annotated[Principal, Depends(require(Permission.MESSAGE_REPROCESS))]
MAX_LISTED = 100


class RecordingIn(BaseModel):
    """How long and how much is recorded; whichever bound comes first ends it.

    Attributes:
        max_bytes: Of both directions together. An examination looks at the first 1 MiB.
    """

    model_config = ConfigDict(extra="forbid")

    minutes: Annotated[int, Field(ge=1, le=MAX_MINUTES)] = 10
    max_bytes: Annotated[int, Field(ge=1024, le=MAX_BYTES)] = DEFAULT_BYTES


class RecordingOut(BaseModel):
    """A recording without its bytes.

    Attributes:
        state: `asked` until a listener hears, which takes seconds; `running`; `ended`.
        end_reason: `time`, `size`, `stopped`, or `not_started` where no listener heard before its time was over.
        left_out_bytes: Heard, and not kept because the database was too slow: the recording has gaps.
    """

    id: UUID
    analyzer: str
    asked_by: str
    created_at: datetime
    started_at: datetime | None
    ends_at: datetime
    ended_at: datetime | None
    state: Literal["asked", "running", "ended"]
    end_reason: Literal["", "time", "size", "stopped", "not_started"]
    max_bytes: int
    size_bytes: int
    piece_count: int
    left_out_bytes: int

    @classmethod
    def of(cls, row: RecordingRow, analyzer: str) -> RecordingOut:
        """Show a recording as it is now."""
        is_ended = row.is_ended(utc_now())
        by_time = "time" if row.started_at else "not_started"
        facts = row.model_dump(exclude={"end_reason", "ended_at"})
        return cls(
            **facts, analyzer=analyzer, end_reason=row.end_reason or (by_time if is_ended else ""),
            ended_at=row.ended_at or (row.ends_at if is_ended else None),
            state="ended" if is_ended else "running" if row.started_at else "asked",
        )  # fmt: skip


class RecordingList(BaseModel):
    """The recordings of a device, newest first."""

    items: list[RecordingOut]


@router.post("", status_code=201, responses=responses(400, 404, 409), response_model=RecordingOut)
async def start(
    code: str, given: RecordingIn, principal: MayRecord, request: OneRequest, resources: FromApp
) -> Response:
    """Record what goes over a device's lines in both directions, from now on. It ends by itself."""

    async def work(session: AsyncSession) -> Answer:
        analyzer = await instrument_messages.analyzer_of(session, code, list(principal.branch_ids))
        _check_has_line(analyzer)
        row = await line_recordings.start(
            session, analyzer.id, user_id=principal.user_id, lasts=timedelta(minutes=given.minutes),
            max_bytes=given.max_bytes,
        )  # fmt: skip
        shown = await line_recordings.recording_of(session, analyzer.id, row.id)
        await _audit(
            session, principal, "recording.started", row.id, analyzer=code, minutes=given.minutes,
            max_bytes=given.max_bytes,
        )  # fmt: skip
        return Answer(RecordingOut.of(shown, code), 201)

    return await answered_once(resources, principal, request, work)


def _check_has_line(analyzer: Analyzer) -> None:
    if not analyzer.is_active or analyzer.transport.get("kind") == "http":
        raise ConflictError(
            "the device is switched off, or its middleware posts over HTTP: it has no line", code="RECORDING_NO_LINE",
            action="Switch the device on, or examine the messages that were posted.",
        )  # fmt: skip


@router.post("/{recording_id}/stop", responses=responses(400, 404, 409), response_model=RecordingOut)
async def stop(
    code: str, recording_id: UUID, principal: MayRecord, request: OneRequest, resources: FromApp
) -> Response:
    """End a recording now. What was heard in the last second follows shortly."""

    async def work(session: AsyncSession) -> Answer:
        analyzer = await instrument_messages.analyzer_of(session, code, list(principal.branch_ids))
        if not await line_recordings.stop(session, analyzer.id, recording_id, utc_now()):
            raise ConflictError(
                "the recording has ended already", code="RECORDING_ENDED", action="Nothing: read what it holds."
            )
        shown = await line_recordings.recording_of(session, analyzer.id, recording_id)
        await _audit(session, principal, "recording.stopped", recording_id, analyzer=code)
        return Answer(RecordingOut.of(shown, code))

    return await answered_once(resources, principal, request, work)


@router.get("", responses=responses(404))
async def list_recordings(code: str, principal: MayRead, resources: FromApp) -> RecordingList:
    """List the recordings of a device's lines, newest first, without their bytes."""
    async with resources.database.transaction(branches=principal.branch_ids) as session:
        analyzer = await instrument_messages.analyzer_of(session, code, list(principal.branch_ids))
        rows = await line_recordings.recordings_of(session, analyzer.id, limit=MAX_LISTED)
    return RecordingList(items=[RecordingOut.of(row, code) for row in rows])


@router.get("/{recording_id}", responses=responses(404))
async def read(code: str, recording_id: UUID, principal: MayRead, resources: FromApp) -> RecordingOut:
    """Show one recording without its bytes."""
    async with resources.database.transaction(branches=principal.branch_ids) as session:
        analyzer = await instrument_messages.analyzer_of(session, code, list(principal.branch_ids))
        return RecordingOut.of(await line_recordings.recording_of(session, analyzer.id, recording_id), code)


@router.get("/{recording_id}/text", responses=responses(404), response_class=PlainTextResponse)
async def download(
    code: str,
    recording_id: UUID,
    principal: MayRead,
    resources: FromApp,
    form: Annotated[Literal[Form.TEXT, Form.HEX], Query(description="Controls by name, or hex.")] = Form.TEXT,
) -> PlainTextResponse:
    """Give a recording out as text with times and RX/TX marks. Bytes for clinical roles only; others see lengths."""
    async with resources.database.transaction(branches=principal.branch_ids) as session:
        analyzer = await instrument_messages.analyzer_of(session, code, list(principal.branch_ids))
        row = await line_recordings.recording_of(session, analyzer.id, recording_id)
        sees = principal.may(Permission.RESULT_READ, analyzer.branch_id)
        pieces = await line_recordings.pieces_of(session, recording_id)
        await _audit(session, principal, "recording.read", recording_id, analyzer=code, with_bytes=sees)
    # off the event loop: megabytes take their time
    shown = await asyncio.to_thread(text_of, pieces, form, left_out=row.left_out_bytes, shows_bytes=sees)
    headers = {"Content-Disposition": f'attachment; filename="recording-{recording_id}.txt"'}
    return PlainTextResponse(shown, headers=headers)


async def _audit(
    session: AsyncSession, principal: Principal, action: str, recording_id: UUID, **body: str | int | bool
) -> None:
    await audit.record(
        session, chain="lab", actor=principal.username, action=action, object_kind="line_recording",
        object_id=str(recording_id), body=body,
    )  # fmt: skip
