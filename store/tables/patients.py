"""Patients. Everything here is personal data: it never enters Temporal, a log or a URL."""

from __future__ import annotations

from datetime import date, datetime
from uuid import UUID

from sqlmodel import Field

from domain.enums import Sex
from store.tables.base import Row, UtcDateTime, stored


class Patient(Row, table=True):
    """A person whose samples are tested."""

    __tablename__ = "patients"

    patient_no: str = Field(unique=True)
    branch_id: UUID = Field(foreign_key="branches.id")
    """Where the person was registered first."""
    name: str
    sex: Sex = Field(sa_type=stored(Sex))
    birth_date: date
    """Exact, or 1 July of the estimated birth year where `is_birth_date_estimated`."""
    is_birth_date_estimated: bool = False
    phone: str = Field(default="", index=True)
    """E.164, or empty."""
    email: str = ""
    abha_number: str = ""
    """14 digits without dashes, or empty."""
    abha_address: str = ""
    language: str = "en"
    has_record_consent: bool = False
    """The patient agreed that reports are linked to the ABHA."""
    has_message_consent: bool = True
    """The patient agreed to be written to."""
    erased_at: datetime | None = Field(default=None, sa_type=UtcDateTime)
