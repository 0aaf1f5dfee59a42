"""What leaves the lab: notifications to patients, ABDM consents, care contexts and transfers."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import UniqueConstraint
from sqlmodel import Field

from domain.enums import CareContextState
from store.tables.base import Json, Row, UtcDateTime, stored


class Notification(Row, table=True):
    """One message to one person through one channel."""

    __tablename__ = "notifications"
    __table_args__ = (UniqueConstraint("purpose_key", "channel"),)

    order_id: UUID = Field(foreign_key="orders.id", index=True)
    purpose_key: str
    """What it is about, e.g. `report:<report id>:<round>`: one message per purpose and channel."""
    template: str
    channel: str
    language: str
    provider_id: str = Field(default="", index=True)
    state: str = "queued"
    """`queued`, `sending`, `unknown`, or a `domain.messaging.DeliveryState`."""
    error_code: str = ""
    updated_at: datetime = Field(sa_type=UtcDateTime)


class LinkToken(Row, table=True):
    """An ABDM link token of a patient at a HIP; valid six months, sealed at rest."""

    __tablename__ = "link_tokens"
    __table_args__ = (UniqueConstraint("patient_id", "hip_id"),)

    patient_id: UUID = Field(foreign_key="patients.id")
    hip_id: str
    sealed_token: str
    expires_at: datetime = Field(sa_type=UtcDateTime)


class AbdmExchange(Row, table=True):
    """One request to the ABDM gateway whose answer comes as a callback. The id is the REQUEST-ID."""

    __tablename__ = "abdm_exchanges"

    api: str
    business_key: str = Field(index=True)
    workflow_id: str
    answered_at: datetime | None = Field(default=None, sa_type=UtcDateTime)
    error_code: str = ""
    """Empty for a success, else `<domain.health_records.AnswerOutcome>:<code>`."""


class CareContextRow(Row, table=True):
    """A report as a care context at ABDM."""

    __tablename__ = "care_contexts"

    report_id: UUID = Field(foreign_key="reports.id", unique=True)
    patient_id: UUID = Field(foreign_key="patients.id")
    reference: str = Field(unique=True)
    display: str
    state: CareContextState = Field(default=CareContextState.PENDING, sa_type=stored(CareContextState))
    linked_at: datetime | None = Field(default=None, sa_type=UtcDateTime)


class Consent(Row, table=True):
    """A consent artefact the patient gave at ABDM."""

    __tablename__ = "consents"

    consent_id: str = Field(unique=True)
    status: str
    artefact: dict[str, Any] = Field(sa_type=Json)
    expires_at: datetime | None = Field(default=None, sa_type=UtcDateTime)
    status_at: datetime = Field(sa_type=UtcDateTime)


class HealthInfoTransferRow(Row, table=True):
    """One health-information request and what became of it."""

    __tablename__ = "health_info_transfers"

    transaction_id: str = Field(unique=True)
    consent_id: str
    request: dict[str, Any] = Field(sa_type=Json)
    state: str = "requested"
    """`requested`, `acknowledged`, `transferred`, `failed` or `refused`."""
    error_code: str = ""
    sent_count: int = 0
