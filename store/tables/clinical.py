"""What decides about results: limits, and blocks of a test at a device while its control is out."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from uuid import UUID

from sqlmodel import Field

from domain.catalogue import SexScope
from domain.test_limits import MAX_AGE_HOURS, DeltaKind, LimitKind
from store.tables.base import Exact, Row, UtcDateTime, stored


class TestLimitRow(Row, table=True):
    """A limit; see `domain.test_limits.TestLimit`. Ended by a date, never changed once approved."""

    __test__ = False
    __tablename__ = "test_limits"

    test_id: UUID = Field(foreign_key="tests.id", index=True)
    kind: LimitKind = Field(sa_type=stored(LimitKind))
    sex: SexScope = Field(default=SexScope.ANY, sa_type=stored(SexScope))
    age_from_hours: int = 0
    age_to_hours: int = MAX_AGE_HOURS
    analyzer_id: UUID | None = Field(default=None, foreign_key="analyzers.id")
    low: Decimal | None = Field(default=None, sa_type=Exact)
    high: Decimal | None = Field(default=None, sa_type=Exact)
    delta_kind: DeltaKind | None = Field(default=None, sa_type=stored(DeltaKind))
    window_hours: int | None = None
    source: str
    proposed_by: UUID | None = Field(default=None, foreign_key="users.id")
    approved_by: UUID | None = Field(default=None, foreign_key="users.id")
    approved_at: datetime | None = Field(default=None, sa_type=UtcDateTime)
    valid_from: datetime = Field(sa_type=UtcDateTime)
    valid_to: datetime | None = Field(default=None, sa_type=UtcDateTime)


class QcBlock(Row, table=True):
    """Results of a test at a device may not be released until a person has closed it with a corrective action."""

    __tablename__ = "qc_blocks"

    analyzer_id: UUID = Field(foreign_key="analyzers.id", index=True)
    test_id: UUID = Field(foreign_key="tests.id")
    reason: str
    """Codes of what was violated, e.g. `1_3s`."""
    closed_at: datetime | None = Field(default=None, sa_type=UtcDateTime)
    closed_by: UUID | None = Field(default=None, foreign_key="users.id")
    corrective_action: str = ""
    """`recalibration`, `maintenance`, `repeat_control`, `reagent_change` or `other`."""
    close_note: str = ""
