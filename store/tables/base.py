"""What every table shares: time-sorted ids, aware UTC times, exact decimals."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from enum import StrEnum
from functools import cache
from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger, DateTime, Dialect, Numeric, Text
from sqlalchemy.dialects.postgresql import ARRAY, JSONB
from sqlalchemy.types import TypeDecorator
from sqlmodel import Field, SQLModel

from domain.clock import utc_now
from domain.ids import new_id

# Constraint names are part of the schema: migrations and error handling refer to them.
SQLModel.metadata.naming_convention = {
    "ix": "ix_%(column_0_label)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_name)s",
    "pk": "pk_%(table_name)s",
}


class UtcDateTime(TypeDecorator[datetime]):
    """`timestamptz` that refuses naive datetimes and always gives back UTC."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Refuse a datetime without a zone: nobody can say later which clock it was."""
        if value is not None and value.tzinfo is None:
            raise ValueError("a naive datetime cannot be stored")
        return value

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Give the instant in UTC whatever the connection's time zone is."""
        return value.astimezone(UTC) if value is not None else None


class Amount(TypeDecorator[int]):
    """Paise as `bigint`."""

    impl = BigInteger
    cache_ok = True


class Exact(TypeDecorator[Decimal]):
    """An exact decimal, `numeric` without a fixed scale."""

    impl = Numeric
    cache_ok = True


class TextList(TypeDecorator[list[str]]):
    """A `text[]`."""

    impl = ARRAY(Text)
    cache_ok = True


class Json(TypeDecorator[Any]):
    """A `jsonb`."""

    impl = JSONB
    cache_ok = True


@cache
def stored(kind: type[StrEnum]) -> type[TypeDecorator[Any]]:
    """Return the column type of an enum: its value as `text`, its member in Python."""

    class Stored(TypeDecorator[Any]):
        impl = Text
        cache_ok = True

        def process_bind_param(self, value: Any, dialect: Dialect) -> str | None:
            return None if value is None else kind(value).value

        def process_result_value(self, value: Any, dialect: Dialect) -> StrEnum | None:
            return None if value is None else kind(value)

    return Stored


class Row(SQLModel):
    """A row with an id that sorts by creation and the time it was written."""

    id: UUID = Field(default_factory=new_id, primary_key=True)
    created_at: datetime = Field(default_factory=utc_now, sa_type=UtcDateTime)
