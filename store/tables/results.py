"""Analyzers, their raw messages (the inbox), results, verifications and reports."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from sqlalchemy import UniqueConstraint
from sqlmodel import Field, SQLModel

from domain.enums import (
    MessageState,
    ReportState,
    ResultSource,
    ResultState,
    VerificationDecision,
    VerificationLevel,
)
from store.tables.base import Exact, Json, Row, TextList, UtcDateTime, stored


class Analyzer(Row, table=True):
    """An instrument of a branch."""

    __tablename__ = "analyzers"

    branch_id: UUID = Field(foreign_key="branches.id")
    code: str = Field(unique=True)
    name: str
    model: str
    protocol: str
    """`astm` or `hl7`."""
    profile: dict[str, Any] = Field(default_factory=dict, sa_type=Json)
    """`domain.device_profile.DeviceProfile` as JSON."""
    peers: list[str] = Field(default_factory=list, sa_type=TextList)
    """Source addresses it may connect from; matched exactly."""
    is_active: bool = True
    transport: dict[str, Any] = Field(default_factory=lambda: {"kind": "listener"}, sa_type=Json)
    """`domain.device_transport.DeviceTransport` as JSON: how the bytes get here."""
    profile_version: int = 1
    """Of the profile in force; all versions are in `analyzer_profiles`."""
    silent_after_minutes: int | None = None
    """Silence in working hours after which somebody is told; None: never."""


class AnalyzerTest(SQLModel, table=True):
    """What a device calls a test. The key is the device, not its model: numbers differ between two of a kind."""

    __tablename__ = "analyzer_tests"

    analyzer_id: UUID = Field(foreign_key="analyzers.id", primary_key=True)
    device_code: str = Field(primary_key=True)
    test_id: UUID = Field(foreign_key="tests.id")
    unit: str = ""
    """The unit text the device sends for it; a result with another unit is held."""


class ApiKey(Row, table=True):
    """A key with which an analyzer or its middleware posts over HTTP."""

    __tablename__ = "api_keys"

    analyzer_id: UUID = Field(foreign_key="analyzers.id")
    name: str
    key_hash: str = Field(unique=True)
    """SHA-256 of the key, hex."""
    revoked_at: datetime | None = Field(default=None, sa_type=UtcDateTime)


class InstrumentMessage(Row, table=True):
    """A message from an instrument exactly as it came. Never changed but for `state` and what explains it."""

    __tablename__ = "instrument_messages"

    analyzer_id: UUID | None = Field(default=None, foreign_key="analyzers.id", index=True)
    protocol: str
    transport: str
    peer: str
    raw: bytes
    sha256: str = Field(index=True)
    received_at: datetime = Field(sa_type=UtcDateTime)
    framing_error: str = ""
    state: MessageState = Field(default=MessageState.RECEIVED, sa_type=stored(MessageState), index=True)
    reason: str = ""
    control_id: str = ""
    """The device's message id."""
    specimen_ids: list[str] = Field(default_factory=list, sa_type=TextList)
    read_at: datetime | None = Field(default=None, sa_type=UtcDateTime)
    readings: int = 0
    """How often it was read: once, and again after a new barcode or a corrected mapping."""
    duplicate_of: UUID | None = None


class MessageSignal(SQLModel, table=True):
    """That a message's results are to be made known to an order's workflow; kept until they are."""

    __tablename__ = "message_signals"

    message_id: UUID = Field(foreign_key="instrument_messages.id", primary_key=True)
    order_id: UUID = Field(foreign_key="orders.id", primary_key=True)
    delivered_at: datetime | None = Field(default=None, sa_type=UtcDateTime)


class Result(Row, table=True):
    """One version of the result of one ordered test. Versions are added, never overwritten."""

    __tablename__ = "results"
    __table_args__ = (UniqueConstraint("order_line_id", "version"), UniqueConstraint("dedupe_key"))

    order_line_id: UUID = Field(foreign_key="order_lines.id", index=True)
    sample_id: UUID = Field(foreign_key="samples.id")
    version: int
    state: ResultState = Field(sa_type=stored(ResultState))
    source: ResultSource = Field(sa_type=stored(ResultSource))
    dedupe_key: str
    """Same for the same measurement however often it is sent, or the command that entered it."""
    analyzer_id: UUID | None = Field(default=None, foreign_key="analyzers.id")
    message_id: UUID | None = None
    """Where it came from; old messages are forgotten, so there may be no such row any more."""
    command_id: UUID | None = None
    value_text: str
    """Exactly as measured or typed."""
    comparator: str = ""
    number: Decimal | None = Field(default=None, sa_type=Exact)
    unit: str = ""
    flag: str
    is_critical: bool = False
    reference_low: Decimal | None = Field(default=None, sa_type=Exact)
    reference_high: Decimal | None = Field(default=None, sa_type=Exact)
    reference_text: str = ""
    device_flags: list[str] = Field(default_factory=list, sa_type=TextList)
    comments: list[str] = Field(default_factory=list, sa_type=TextList)
    hold_reason: str = ""
    rules_version: str
    observed_at: datetime = Field(sa_type=UtcDateTime)
    entered_by: UUID | None = Field(default=None, foreign_key="users.id")


class Verification(Row, table=True):
    """A person's decision about one result version."""

    __tablename__ = "verifications"
    __table_args__ = (UniqueConstraint("result_id", "level"),)

    result_id: UUID = Field(foreign_key="results.id")
    order_line_id: UUID = Field(foreign_key="order_lines.id", index=True)
    level: VerificationLevel = Field(sa_type=stored(VerificationLevel))
    decision: VerificationDecision = Field(sa_type=stored(VerificationDecision))
    user_id: UUID = Field(foreign_key="users.id")
    reason: str = ""


class Report(Row, table=True):
    """One issued version of an order's report; the document itself is in object storage."""

    __tablename__ = "reports"
    __table_args__ = (UniqueConstraint("order_id", "version"),)

    order_id: UUID = Field(foreign_key="orders.id", index=True)
    branch_id: UUID = Field(foreign_key="branches.id")
    report_no: str
    version: int
    state: ReportState = Field(sa_type=stored(ReportState))
    bucket: str
    object_key: str
    object_version: str
    sha256: str
    size_bytes: int
    check_token: str = Field(unique=True)
    """128 random bits in the verification QR; opens the public check page."""
    is_confidential: bool = False
    """Holds a confidential test: it never leaves through messaging or ABDM."""
    issued_at: datetime = Field(sa_type=UtcDateTime)
    signed_by: UUID = Field(foreign_key="users.id")
