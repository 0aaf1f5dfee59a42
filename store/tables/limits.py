"""Rate limits that every process shares."""

from __future__ import annotations

from datetime import datetime

from sqlmodel import Field, SQLModel

from store.tables.base import UtcDateTime


class RateLimit(SQLModel, table=True):
    """When a key may act again, as the generic cell rate algorithm counts it. Unlogged: a crash forgives."""

    __tablename__ = "rate_limits"

    key: str = Field(primary_key=True)
    tat: datetime = Field(sa_type=UtcDateTime)
