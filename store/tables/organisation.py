"""The laboratory: its branches, staff, doctors, payers and who may do what."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import UniqueConstraint
from sqlmodel import Field, SQLModel

from domain.enums import Role
from store.tables.base import Json, Row, UtcDateTime, stored


class Organisation(Row, table=True):
    """The legal entity that runs the laboratory."""

    __tablename__ = "organisations"

    code: str = Field(unique=True)
    name: str
    legal_name: str
    accreditation: str = ""
    """Text under the lab's name on reports, e.g. an accreditation certificate number; empty where there is none."""


class Branch(Row, table=True):
    """A laboratory or collection centre, with its own GST registration."""

    __tablename__ = "branches"

    organisation_id: UUID = Field(foreign_key="organisations.id")
    code: str = Field(unique=True, max_length=4)
    name: str
    address1: str
    address2: str = ""
    city: str
    pin: str
    state_code: str
    """GST state code, two digits."""
    gstin: str
    phone: str = ""
    email: str = ""
    hip_id: str = ""
    """Health Information Provider id at ABDM."""
    gst_policy: dict[str, Any] = Field(default_factory=dict, sa_type=Json)
    """`domain.einvoice.GstPolicy` as JSON; empty: not enabled for e-invoicing."""


class User(Row, table=True):
    """A member of staff."""

    __tablename__ = "users"

    username: str = Field(unique=True)
    full_name: str
    password_hash: str
    """argon2id, never anything else."""
    qualification: str = ""
    registration_no: str = ""
    """State medical council registration of a signatory."""
    disabled_at: datetime | None = Field(default=None, sa_type=UtcDateTime)


class UserRole(SQLModel, table=True):
    """One role of one user at one branch."""

    __tablename__ = "user_roles"

    user_id: UUID = Field(foreign_key="users.id", primary_key=True)
    branch_id: UUID = Field(foreign_key="branches.id", primary_key=True)
    role: Role = Field(primary_key=True, sa_type=stored(Role))


class RefreshToken(Row, table=True):
    """A refresh token in use. Each is used once; using one again revokes its family."""

    __tablename__ = "refresh_tokens"

    user_id: UUID = Field(foreign_key="users.id", index=True)
    family_id: UUID = Field(index=True)
    token_hash: str = Field(unique=True)
    expires_at: datetime = Field(sa_type=UtcDateTime)
    used_at: datetime | None = Field(default=None, sa_type=UtcDateTime)
    revoked_at: datetime | None = Field(default=None, sa_type=UtcDateTime)


class Doctor(Row, table=True):
    """A referring doctor."""

    __tablename__ = "doctors"

    name: str
    registration_no: str = ""
    phone: str = ""


class Payer(Row, table=True):
    """A company, hospital or sponsor that is billed instead of the patient."""

    __tablename__ = "payers"
    __table_args__ = (UniqueConstraint("code"),)

    code: str
    legal_name: str
    gstin: str = ""
    address1: str = ""
    address2: str = ""
    city: str = ""
    pin: str = ""
    state_code: str = ""
    email: str = ""
    credit_days: int = 45
