"""What belongs to analyzers beside their messages: profile versions, mappings, work, controls, exceptions, files."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from sqlalchemy import UniqueConstraint
from sqlmodel import Field

from domain.enums import DeviceWorkState, ExceptionKind, ExceptionState, MappingState
from store.tables.base import Exact, Json, Row, TextList, UtcDateTime, stored


class AnalyzerProfile(Row, table=True):
    """One version of a device's profile; the one in force is copied to `analyzers.profile`. Never changed."""

    __tablename__ = "analyzer_profiles"
    __table_args__ = (UniqueConstraint("analyzer_id", "version"),)

    analyzer_id: UUID = Field(foreign_key="analyzers.id")
    version: int
    profile: dict[str, Any] = Field(sa_type=Json)
    note: str = ""
    created_by: UUID | None = Field(default=None, foreign_key="users.id")
    activated_at: datetime | None = Field(default=None, sa_type=UtcDateTime)
    activated_by: UUID | None = Field(default=None, foreign_key="users.id")


class DeviceMapping(Row, table=True):
    """What a device's test code means. One code may stand for several orderable tests (fasting, random)."""

    __tablename__ = "device_mappings"
    __table_args__ = (UniqueConstraint("analyzer_id", "device_code", "test_id"),)

    analyzer_id: UUID = Field(foreign_key="analyzers.id", index=True)
    device_code: str
    test_id: UUID = Field(foreign_key="tests.id")
    unit: str = ""
    """The unit text the device sends for it; a result with another unit waits for a person."""
    factor: Decimal | None = Field(default=None, sa_type=Exact)
    """What the device's number is multiplied by to be in the test's unit; None: as it is."""
    target_unit: str = ""
    """The test's unit for which the mapping was confirmed; another one makes the factor void."""
    state: MappingState = Field(default=MappingState.PROPOSED, sa_type=stored(MappingState))
    origin: str = ""
    """Where the proposal came from: `model`, `livd`, `exact`, `alias`, `abbreviation`, `person`."""
    proposed_by: UUID | None = Field(default=None, foreign_key="users.id")
    confirmed_by: UUID | None = Field(default=None, foreign_key="users.id")
    confirmed_at: datetime | None = Field(default=None, sa_type=UtcDateTime)


class ControlResult(Row, table=True):
    """A value measured on control material: never a patient's."""

    __tablename__ = "control_results"

    analyzer_id: UUID = Field(foreign_key="analyzers.id", index=True)
    message_id: UUID
    """Where it came from; old messages are forgotten, so there may be no such row any more."""
    control_name: str
    specimen_id: str
    device_code: str
    test_id: UUID | None = Field(default=None, foreign_key="tests.id")
    value_text: str
    number: Decimal | None = Field(default=None, sa_type=Exact)
    unit: str = ""
    device_flags: list[str] = Field(default_factory=list, sa_type=TextList)
    observed_at: datetime = Field(sa_type=UtcDateTime)
    dedupe_key: str = Field(unique=True)


class InstrumentException(Row, table=True):
    """Something of a message that found no place by itself and waits for a person."""

    __tablename__ = "instrument_exceptions"
    __table_args__ = (UniqueConstraint("message_id", "kind", "specimen_id", "device_code"),)

    message_id: UUID = Field(foreign_key="instrument_messages.id", index=True)
    analyzer_id: UUID | None = Field(default=None, foreign_key="analyzers.id", index=True)
    kind: ExceptionKind = Field(sa_type=stored(ExceptionKind))
    specimen_id: str = ""
    device_code: str = ""
    detail: str = ""
    """Codes and units, never a value or a name."""
    codes: list[str] = Field(default_factory=list, sa_type=TextList)
    """Where it is about several of the device's codes; `device_code` is empty then."""
    state: ExceptionState = Field(default=ExceptionState.OPEN, sa_type=stored(ExceptionState))
    closed_at: datetime | None = Field(default=None, sa_type=UtcDateTime)
    closed_by: UUID | None = Field(default=None, foreign_key="users.id")
    close_reason: str = ""


class SpecimenCorrection(Row, table=True):
    """A person's word that a specimen of a message is another tube than its barcode says.

    At most one per specimen is in force. It is never changed, only undone, and stays on record.
    """

    __tablename__ = "specimen_corrections"

    message_id: UUID
    """Old messages are forgotten, so there may be no such row any more."""
    specimen_id: str
    """As the device sent it."""
    accession_no: str
    corrected_by: UUID = Field(foreign_key="users.id")
    reason: str
    undone_at: datetime | None = Field(default=None, sa_type=UtcDateTime)
    undone_by: UUID | None = Field(default=None, foreign_key="users.id")
    undo_reason: str = ""


class InstrumentFile(Row, table=True):
    """An image or histogram that came with results; its bytes are in object storage."""

    __tablename__ = "instrument_files"
    __table_args__ = (UniqueConstraint("message_id", "position"),)

    message_id: UUID = Field(index=True)
    analyzer_id: UUID = Field(foreign_key="analyzers.id")
    position: int
    """Counted from 0 in the message."""
    specimen_id: str = ""
    code: str = ""
    media_type: str
    bucket: str = ""
    object_key: str = ""
    """Empty until it is in object storage; the bytes can be read from the message again."""
    sha256: str
    size_bytes: int


class DeviceWorkItem(Row, table=True):
    """Work to be sent to a device unasked: new tests, a cancellation, a rerun."""

    __tablename__ = "device_work"

    analyzer_id: UUID = Field(foreign_key="analyzers.id", index=True)
    order_id: UUID = Field(foreign_key="orders.id", index=True)
    sample_id: UUID = Field(foreign_key="samples.id")
    action: str
    """`domain.device_orders.WorkAction`."""
    codes: list[str] = Field(sa_type=TextList)
    state: DeviceWorkState = Field(default=DeviceWorkState.WAITING, sa_type=stored(DeviceWorkState), index=True)
    attempts: int = 0
    not_before: datetime = Field(sa_type=UtcDateTime)
    settled_at: datetime | None = Field(default=None, sa_type=UtcDateTime)
    note: str = ""


class DeviceQuery(Row, table=True):
    """That a device asked for work, and how fast it was answered."""

    __tablename__ = "device_queries"

    analyzer_id: UUID = Field(foreign_key="analyzers.id", index=True)
    specimen_ids: list[str] = Field(default_factory=list, sa_type=TextList)
    found: int
    elapsed_ms: Decimal = Field(sa_type=Exact)


class DeviceLink(Row, table=True):
    """One connection to a device as the process that has it last wrote it down; old rows are dead processes'.

    A line that should be there and is not has a row too, with its `trouble`.
    """

    __tablename__ = "device_links"
    __table_args__ = (UniqueConstraint("process", "peer", "local_port"),)

    process: str
    """Host and pid."""
    analyzer_id: UUID | None = Field(default=None, foreign_key="analyzers.id")
    protocol: str
    transport: str
    peer: str
    local_port: int
    since: datetime = Field(sa_type=UtcDateTime)
    seen_at: datetime = Field(sa_type=UtcDateTime)
    last_message_at: datetime | None = Field(default=None, sa_type=UtcDateTime)
    received: int = 0
    acknowledged: int = 0
    refused: int = 0
    broken: int = 0
    repeated: int = 0
    """Messages that came again although they were acknowledged: the device may not hear us."""
    trouble: str = ""
    """Why there is no connection, in words for people."""
