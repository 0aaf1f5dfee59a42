"""What can be ordered: tests, panels, reference intervals."""

from __future__ import annotations

from decimal import Decimal
from uuid import UUID

from sqlmodel import Field, SQLModel

from store.tables.base import Amount, Exact, Row, TextList


class LabTest(Row, table=True):
    """A test the lab offers."""

    __tablename__ = "tests"

    code: str = Field(unique=True)
    name: str
    loinc: str = ""
    department: str
    specimen: str
    container: str
    method: str = ""
    kind: str
    """`numeric`, `text`, `coded` or `titre`."""
    unit: str = ""
    """UCUM code."""
    unit_display: str = ""
    decimals: int | None = None
    price_paise: int = Field(sa_type=Amount)
    sac: str
    """Services accounting code."""
    gst_rate: Decimal = Field(default=Decimal(0), sa_type=Exact)
    """Combined rate in percent where taxable."""
    is_taxable: bool = False
    critical_low: Decimal | None = Field(default=None, sa_type=Exact)
    critical_high: Decimal | None = Field(default=None, sa_type=Exact)
    critical_source: str = ""
    is_confidential: bool = False
    is_research: bool = False
    """Reported without performance claims."""
    tat_minutes: int = 1440
    is_active: bool = True


class ReferenceIntervalRow(Row, table=True):
    """A reference interval of a test; ages are half-open, in days."""

    __tablename__ = "reference_intervals"

    test_id: UUID = Field(foreign_key="tests.id", index=True)
    sex: str
    age_from_days: int
    age_to_days: int
    low: Decimal | None = Field(default=None, sa_type=Exact)
    high: Decimal | None = Field(default=None, sa_type=Exact)
    text: str = ""
    normal: list[str] = Field(default_factory=list, sa_type=TextList)
    """Expected answers of a coded result."""
    source: str = ""
    """Where the limits come from; example values say so until the laboratory has approved its own."""


class Panel(Row, table=True):
    """Tests ordered together under one price."""

    __tablename__ = "panels"

    code: str = Field(unique=True)
    name: str
    loinc: str = ""
    price_paise: int = Field(sa_type=Amount)
    is_active: bool = True


class PanelTest(SQLModel, table=True):
    """A test of a panel, in report order."""

    __tablename__ = "panel_tests"

    panel_id: UUID = Field(foreign_key="panels.id", primary_key=True)
    test_id: UUID = Field(foreign_key="tests.id", primary_key=True)
    position: int
