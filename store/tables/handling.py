"""Where tubes are and what was done with them: labels, transport, storage."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from uuid import UUID

from sqlmodel import Field, SQLModel

from domain.handling import LabelForm, ManifestState
from store.tables.base import Exact, Row, UtcDateTime, stored


class LabelPrint(Row, table=True):
    """That a label was printed, and why again. Never changed."""

    __tablename__ = "label_prints"

    sample_id: UUID = Field(foreign_key="samples.id", index=True)
    printed_by: UUID = Field(foreign_key="users.id")
    form: LabelForm = Field(sa_type=stored(LabelForm))
    copies: int
    reason: str = ""
    """Empty for the first print only."""


class Manifest(Row, table=True):
    """Tubes on their way from one branch to another."""

    __tablename__ = "manifests"

    manifest_no: str = Field(unique=True)
    from_branch_id: UUID = Field(foreign_key="branches.id")
    to_branch_id: UUID = Field(foreign_key="branches.id")
    state: ManifestState = Field(default=ManifestState.PACKED, sa_type=stored(ManifestState))
    packed_by: UUID = Field(foreign_key="users.id")
    carrier: str = ""
    lowest_celsius: Decimal | None = Field(default=None, sa_type=Exact)
    """Coldest the tubes may be; None: no matter."""
    highest_celsius: Decimal | None = Field(default=None, sa_type=Exact)
    dispatched_at: datetime | None = Field(default=None, sa_type=UtcDateTime)
    dispatched_by: UUID | None = Field(default=None, foreign_key="users.id")
    dispatch_celsius: Decimal | None = Field(default=None, sa_type=Exact)
    arrived_at: datetime | None = Field(default=None, sa_type=UtcDateTime)
    arrived_by: UUID | None = Field(default=None, foreign_key="users.id")
    arrival_celsius: Decimal | None = Field(default=None, sa_type=Exact)
    closed_at: datetime | None = Field(default=None, sa_type=UtcDateTime)
    closed_by: UUID | None = Field(default=None, foreign_key="users.id")
    close_note: str = ""


class ManifestSample(SQLModel, table=True):
    """A tube on a manifest."""

    __tablename__ = "manifest_samples"

    manifest_id: UUID = Field(foreign_key="manifests.id", primary_key=True)
    sample_id: UUID = Field(foreign_key="samples.id", primary_key=True, index=True)
    accession_no: str
    arrived_at: datetime | None = Field(default=None, sa_type=UtcDateTime)
    arrived_by: UUID | None = Field(default=None, foreign_key="users.id")


class RetentionRule(Row, table=True):
    """How long tubes of a specimen are kept after they were stored. Ended by a date, never changed."""

    __tablename__ = "retention_rules"

    specimen: str
    days: int
    source: str
    approved_by: UUID = Field(foreign_key="users.id")
    valid_from: datetime = Field(sa_type=UtcDateTime)
    valid_to: datetime | None = Field(default=None, sa_type=UtcDateTime)


class SampleStorage(Row, table=True):
    """A tube at a place; it left when it was moved, taken out or disposed of."""

    __tablename__ = "sample_storage"

    sample_id: UUID = Field(foreign_key="samples.id")
    branch_id: UUID = Field(foreign_key="branches.id")
    place: str
    """As the laboratory names it: `FRIDGE-2/R14/A3`."""
    stored_by: UUID = Field(foreign_key="users.id")
    keep_until: datetime | None = Field(default=None, sa_type=UtcDateTime)
    """None: no rule says how long, so it is never due."""
    left_at: datetime | None = Field(default=None, sa_type=UtcDateTime)
    left_by: UUID | None = Field(default=None, foreign_key="users.id")
    leave_reason: str = ""
    disposal_no: str = ""
