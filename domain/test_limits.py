"""Limits that decide about results: critical, absurd, analytical range, verification window, delta, interference.

A limit is data with a source, an approver and a time of validity, never a constant. What nobody has approved decides
nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from uuid import UUID

from domain.catalogue import SexScope

MAX_AGE_HOURS = 54_787 * 24
"""150 years: the open end of an age range."""


class LimitKind(StrEnum):
    """What a limit decides."""

    CRITICAL = "critical"
    """At or beyond it a person is called; never released without a person."""
    ABSURD = "absurd"
    """Beyond it a value is not compatible with life: never released as it is."""
    ANALYTICAL_RANGE = "analytical_range"
    """What the method measures: above it the sample is diluted, below it the result is "less than"."""
    VERIFICATION_WINDOW = "verification_window"
    """Within it a result may be released without a person."""
    DELTA = "delta"
    """The largest change from the patient's previous result; `low` for a fall, `high` for a rise, both positive."""
    HAEMOLYSIS = "haemolysis"
    """Index of the sample: from `low` on the report says so, from `high` on the result is not reported."""
    ICTERUS = "icterus"
    LIPAEMIA = "lipaemia"


class DeltaKind(StrEnum):
    """How a change is measured. Source: Park 2012 (PMC3427822), read in specs."""

    DIFFERENCE = "difference"
    """new - old, in the test's unit."""
    PERCENT = "percent"
    """100 * (new - old) / old."""
    RATE = "rate"
    """(new - old) per day."""
    RATE_PERCENT = "rate_percent"
    """100 * (new - old) / old per day."""


@dataclass(frozen=True)
class TestLimit:
    """One limit of one test for one group of people.

    Attributes:
        age_from_hours: Inclusive; newborns count in hours.
        age_to_hours: Exclusive.
        analyzer_id: The device it holds for; None for every one.
        low: In the test's unit, or see the kind; None: no lower one.
        high: In the test's unit, or see the kind; None: no upper one.
        delta_kind: For DELTA only.
        window_hours: For DELTA only: how old the previous result may be.
        source: Where the numbers come from.
        approved_by: User who approved it; None while it is a proposal.
        valid_from: Inclusive.
        valid_to: Exclusive; None while it has no end.
    """

    __test__ = False
    id: UUID
    kind: LimitKind
    sex: SexScope = SexScope.ANY
    age_from_hours: int = 0
    age_to_hours: int = MAX_AGE_HOURS
    analyzer_id: UUID | None = None
    low: Decimal | None = None
    high: Decimal | None = None
    delta_kind: DeltaKind | None = None
    window_hours: int | None = None
    source: str = ""
    approved_by: UUID | None = None
    valid_from: datetime | None = None
    valid_to: datetime | None = None

    @property
    def covers_every_age(self) -> bool:
        """Whether it may be used for a person of unknown age."""
        return self.age_from_hours == 0 and self.age_to_hours >= MAX_AGE_HOURS

    def covers_age(self, age_hours: int | None) -> bool:
        """Whether a person of that age belongs to the group; one of unknown age only where every age does."""
        if age_hours is None:
            return self.covers_every_age
        return self.age_from_hours <= age_hours < self.age_to_hours
