"""What is known of one tube on its way to a report, and the steps and verdict that come of it. Ids, codes, times."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from domain.enums import (
    DeviceWorkState,
    ExceptionKind,
    ExceptionState,
    LineState,
    MessageState,
    OrderStage,
    ReportState,
    ResultState,
    SampleState,
    VerificationDecision,
    VerificationLevel,
)


class WaitsFor(StrEnum):
    """What a tube waits for."""

    NOTHING = "nothing"
    """It is reported and released."""
    CANCELLED = "cancelled"
    NEW_SAMPLE = "new_sample"
    COLLECTION = "collection"
    RECEPTION = "reception"
    READING = "reading"
    """A message is stored and not read yet."""
    PERSON = "person"
    """Something of a message, or a held result, waits for a person."""
    DEVICE = "device"
    """No analyzer has sent what is missing."""
    VERIFICATION = "verification"
    AUTHORISATION = "authorisation"
    REPORT = "report"
    RELEASE = "release"


@dataclass(frozen=True)
class LineFacts:
    """One ordered test; `code` is masked for those who may not see it."""

    code: str
    state: LineState


@dataclass(frozen=True)
class MessageFacts:
    """One message that names the tube."""

    id: str
    analyzer: str
    received_at: datetime
    read_at: datetime | None
    state: MessageState
    reason: str
    readings: int


@dataclass(frozen=True)
class ExceptionFacts:
    """Something of such a message that found no place."""

    message_id: str
    analyzer: str
    at: datetime
    kind: ExceptionKind
    device_code: str
    state: ExceptionState


@dataclass(frozen=True)
class QueryFacts:
    """A device asked for the tube's work; `found` counts the tubes that it was given work for."""

    analyzer: str
    at: datetime
    found: int
    elapsed_ms: int


@dataclass(frozen=True)
class WorkFacts:
    """Work that was to be sent to a device unasked."""

    analyzer: str
    at: datetime
    action: str
    tests: int
    state: DeviceWorkState
    attempts: int
    settled_at: datetime | None
    note: str


@dataclass(frozen=True)
class ResultFacts:
    """One version of a result; never its value."""

    code: str
    version: int
    state: ResultState
    source: str
    analyzer: str
    at: datetime
    hold_reason: str


@dataclass(frozen=True)
class DecisionFacts:
    """A person's decision about a result."""

    code: str
    level: VerificationLevel
    decision: VerificationDecision
    by: str
    at: datetime


@dataclass(frozen=True)
class ReportFacts:
    """One issued report of the order."""

    report_no: str
    version: int
    state: ReportState
    at: datetime


@dataclass(frozen=True)
class EventFacts:
    """An event of the order's timeline that says something of the way."""

    kind: str
    source: str
    actor: str
    at: datetime


@dataclass(frozen=True)
class TraceFacts:
    """All that is known of one tube."""

    accession_no: str
    order_no: str
    stage: OrderStage
    attention: tuple[str, ...]
    placed_at: datetime
    placed_by: str
    closed_at: datetime | None
    cancel_reason: str
    sample_state: SampleState
    collected_at: datetime | None
    collected_by: str
    received_at: datetime | None
    received_by: str
    rejected_at: datetime | None
    reject_reason: str
    replaced_by: str
    lines: tuple[LineFacts, ...] = ()
    messages: tuple[MessageFacts, ...] = ()
    exceptions: tuple[ExceptionFacts, ...] = ()
    queries: tuple[QueryFacts, ...] = ()
    work: tuple[WorkFacts, ...] = ()
    results: tuple[ResultFacts, ...] = ()
    decisions: tuple[DecisionFacts, ...] = ()
    reports: tuple[ReportFacts, ...] = ()
    events: tuple[EventFacts, ...] = ()


@dataclass(frozen=True)
class Step:
    """One thing that happened.

    Attributes:
        at: Aware UTC.
        what: Stable name, e.g. `message_received`.
        text: For people.
        detail: Ids and codes.
    """

    at: datetime
    what: str
    text: str
    detail: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Verdict:
    """Why the tube is where it is.

    Attributes:
        text: In words.
        action: What a person can do.
        tests: Codes that are concerned.
    """

    waits_for: WaitsFor
    text: str
    action: str = ""
    tests: tuple[str, ...] = ()
