"""Getting to know a device: paste what it sent, or choose what is stored, and see how it speaks. Writes nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Depends
from pydantic import BaseModel, ConfigDict, Field, model_validator
from sqlmodel.ext.asyncio.session import AsyncSession

from api.deps import FromApp
from api.errors import responses
from api.permissions import Permission, Principal, require
from api.staff.mappings import face_of
from connectors.onboarding.capture import Capture, Form, of_stored, read_capture
from connectors.onboarding.examination import CodeSeen, Findings, examine
from connectors.onboarding.recording import capture_of
from domain.code_suggestions import Suggest
from rules.suggestions import suggest_among
from store import instrument_messages, line_recordings, mappings

router = APIRouter(prefix="/v1/analyzers", tags=["analyzers"])

MayRead = Annotated[Principal, Depends(require(Permission.MESSAGE_READ))]
MAX_STORED = 50


class CaptureIn(BaseModel):
    """A capture as text, messages that are stored already, or a recording of a device's lines.

    Attributes:
        capture: Base64, a hex dump, or text with control characters by name (`<ENQ>`), with or without RX/TX marks.
        message_ids: Of stored messages, e.g. of an unknown device.
        recording_id: Of a recording of the lines of a device.
    """

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)

    capture: Annotated[str, Field(max_length=4 << 20)] = ""
    form: Form = Form.AUTO
    message_ids: Annotated[list[UUID], Field(max_length=MAX_STORED)] = []
    recording_id: UUID | None = None

    @model_validator(mode="after")
    def _one_source(self) -> CaptureIn:
        if [bool(self.capture.strip()), bool(self.message_ids), self.recording_id is not None].count(True) != 1:
            raise ValueError("give either a capture, or ids of stored messages, or the id of a recording")
        return self


class ProblemOut(BaseModel):
    """Something wrong on the line."""

    model_config = ConfigDict(from_attributes=True)

    code: str
    text: str
    count: int
    where: int


class CandidateOut(BaseModel):
    """A device that may have sent it; `model` is a built-in one's key, or empty."""

    model_config = ConfigDict(from_attributes=True)

    model: str
    title: str
    score: float
    why: str


class FieldOut(BaseModel):
    """A field that may hold the barcode."""

    model_config = ConfigDict(from_attributes=True)

    path: str
    score: float
    shape: str
    filled: int
    distinct: int
    examples: list[str]


class SuggestionOut(BaseModel):
    """What a code may mean; a person confirms it or not."""

    model_config = ConfigDict(from_attributes=True)

    test_code: str
    test_name: str
    origin: str
    score: float
    unit_check: str
    factor: Decimal | None


class CodeOut(BaseModel):
    """A test code of the device; `values` only for roles that may see results."""

    code: str
    count: int
    units: list[str]
    values: list[str] | None
    suggestions: list[SuggestionOut]

    @classmethod
    def of(cls, seen: CodeSeen, *, sees: bool) -> CodeOut:
        """Show a code."""
        return cls(
            code=seen.code, count=seen.count, units=list(seen.units), values=list(seen.values) if sees else None,
            suggestions=[SuggestionOut.model_validate(one) for one in seen.suggestions],
        )  # fmt: skip


class FindingsOut(BaseModel):
    """What a capture says of its device.

    Attributes:
        form: How the capture was written.
        profile: A draft to start from: `POST /v1/analyzers/{code}/profiles` takes it as it is.
    """

    form: str
    protocol: str
    frame_style: str
    confidence: float
    evidence: list[str]
    messages: int
    kinds: dict[str, int]
    delimiters: dict[str, str]
    charset: str
    declared_charset: str
    sender: str
    sender_version: str
    sender_kind: str
    instrument: str
    candidates: list[CandidateOut]
    specimen_fields: list[FieldOut]
    codes: list[CodeOut]
    controls: list[str]
    problems: list[ProblemOut]
    profile: dict[str, Any] | None

    @classmethod
    def of(cls, form: str, found: Findings, *, sees: bool) -> FindingsOut:
        """Show findings."""
        marks = found.marks
        return cls(
            form=form, protocol=found.protocol, frame_style=found.frame_style, confidence=found.confidence,
            evidence=list(found.evidence), messages=found.messages, kinds=dict(found.kinds),
            delimiters=dict(found.delimiters), charset=found.charset, declared_charset=found.declared_charset,
            sender=marks.sender if marks else "", sender_version=marks.version if marks else "",
            sender_kind=marks.kind if marks else "", instrument=marks.instrument if marks else "",
            candidates=[CandidateOut.model_validate(one) for one in found.candidates],
            specimen_fields=[FieldOut.model_validate(one) for one in found.specimen_fields],
            codes=[CodeOut.of(one, sees=sees) for one in found.codes],
            controls=list(found.controls),
            problems=[ProblemOut.model_validate(one) for one in found.problems],
            profile=found.profile.model_dump(mode="json") if found.profile else None,
        )  # fmt: skip


@router.post("/examine", responses=responses(400, 404))
async def examine_capture(given: CaptureIn, principal: MayRead, resources: FromApp) -> FindingsOut:
    """Say how a device speaks, from what it sent: protocol, barcode field, codes with suggestions, problems.

    Changes nothing: needs no key.
    """
    async with resources.database.transaction(branches=principal.branch_ids) as session:
        suggest = suggest_among([face_of(test) for test in await mappings.catalogue_tests(session)])
        source = await _source(session, given, principal)
    # off the event loop: a long capture takes its time
    form, found = await asyncio.to_thread(_examined, source, suggest)
    return FindingsOut.of(form, found, sees=source.sees)


@dataclass(frozen=True)
class _Source:
    """Where a capture comes from.

    Attributes:
        form: What the answer says of it; "" says how the capture was written.
        sees: Values in it may be shown to the caller.
    """

    form: str
    read: Callable[[], Capture]
    sees: bool


async def _source(session: AsyncSession, given: CaptureIn, principal: Principal) -> _Source:
    if given.recording_id is not None:
        device = await line_recordings.device_of(session, given.recording_id, list(principal.branch_ids))
        pieces = await line_recordings.pieces_of(session, given.recording_id)
        sees = principal.may(Permission.RESULT_READ, device.branch_id)
        return _Source("recording", lambda: capture_of(pieces, left_out=device.left_out_bytes), sees)
    if given.message_ids:
        for message_id in given.message_ids:
            await instrument_messages.message_of(session, message_id, list(principal.branch_ids))
        stored = await instrument_messages.raws_of(session, given.message_ids)
        sees = bool(principal.reach(Permission.RESULT_READ))
        return _Source("stored", lambda: of_stored(row.raw for row in reversed(stored)), sees)
    return _Source("", lambda: read_capture(given.capture, given.form), sees=True)


def _examined(source: _Source, suggest: Suggest) -> tuple[str, Findings]:
    capture = source.read()
    return source.form or capture.form.value, examine(capture, suggest)
