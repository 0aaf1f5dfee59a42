"""Staff: who they are, which roles they hold where, and their refresh tokens."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import groupby
from operator import attrgetter
from typing import Any
from uuid import UUID

from sqlalchemy import Row, text
from sqlmodel import select
from sqlmodel.ext.asyncio.session import AsyncSession

from domain.clock import utc_now
from domain.enums import Role
from domain.errors import ConflictError, NotFoundError
from domain.ids import new_id
from store.tables.organisation import RefreshToken, User, UserRole

_COLUMNS = (
    "u.id, u.username, u.full_name, u.disabled_at, r.role, r.branch_id, b.code from users u"
    " left join user_roles r on r.user_id = u.id left join branches b on b.id = r.branch_id"
)
_MEMBER = text(f"select {_COLUMNS} where u.id = :user_id")
_PAGE = "select id from users where username > :after order by username limit :limit"
_MEMBERS = text(f"select {_COLUMNS} where u.id in ({_PAGE}) order by u.username")
_USE_TOKEN = text(
    "update refresh_tokens set used_at = :now where token_hash = :token_hash and used_at is null"
    " and revoked_at is null and expires_at > :now returning user_id, family_id, expires_at"
)
_REVOKE_FAMILY = text(
    "update refresh_tokens set revoked_at = :now where revoked_at is null and family_id ="
    " (select family_id from refresh_tokens where token_hash = :token_hash)"
)
_REVOKE_USER = text("update refresh_tokens set revoked_at = :now where revoked_at is null and user_id = :user_id")
_TAKE_TURN = text(
    "insert into rate_limits as r (key, tat) values (:key, clock_timestamp() + make_interval(secs => :every))"
    " on conflict (key) do update set tat = greatest(r.tat, clock_timestamp()) + make_interval(secs => :every)"
    " where greatest(r.tat, clock_timestamp()) - clock_timestamp() <= make_interval(secs => :slack) returning tat"
)


@dataclass(frozen=True)
class StaffMember:
    """One user with the roles held now.

    Attributes:
        roles: Pairs of role and branch id.
    """

    user_id: UUID
    username: str
    full_name: str
    is_disabled: bool
    roles: frozenset[tuple[Role, UUID]]
    branch_codes: dict[UUID, str]


@dataclass(frozen=True)
class Login:
    """What a password is checked against."""

    user_id: UUID
    password_hash: str = field(repr=False)
    is_disabled: bool


@dataclass(frozen=True)
class UsedToken:
    """A refresh token that has just been used up."""

    user_id: UUID
    family_id: UUID
    expires_at: datetime


def token_hash(token: str) -> str:
    """Return the SHA-256 of a random token, hex: what is stored of it."""
    return hashlib.sha256(token.encode()).hexdigest()


async def login_of(session: AsyncSession, username: str) -> Login | None:
    """Return what is needed to check a password, or None for an unknown name."""
    user = (await session.exec(select(User).where(User.username == username))).first()
    return Login(user.id, user.password_hash, user.disabled_at is not None) if user else None


async def staff_member(session: AsyncSession, user_id: UUID) -> StaffMember | None:
    """Return one user with roles, in one query; None when there is none."""
    rows = (await session.execute(_MEMBER, {"user_id": user_id})).all()
    return _member(rows) if rows else None


async def staff_page(session: AsyncSession, *, after: str, limit: int) -> list[StaffMember]:
    """Return users by name, from the first after `after`."""
    rows = (await session.execute(_MEMBERS, {"after": after, "limit": limit})).all()
    return [_member(list(own)) for _, own in groupby(rows, key=attrgetter("id"))]


def _member(rows: Sequence[Row[Any]]) -> StaffMember:
    """Return the user whose roles the rows are."""
    first = rows[0]
    held = [(Role(row.role), row.branch_id, row.code) for row in rows if row.role is not None]
    return StaffMember(
        user_id=first.id,
        username=first.username,
        full_name=first.full_name,
        is_disabled=first.disabled_at is not None,
        roles=frozenset((role, branch_id) for role, branch_id, _ in held),
        branch_codes={branch_id: code for _, branch_id, code in held},
    )


async def user_id_of(session: AsyncSession, username: str) -> UUID:
    """Return a user's row id.

    Raises:
        NotFoundError: There is no such user.
    """
    found = (await session.exec(select(User.id).where(User.username == username))).first()
    if found is None:
        raise NotFoundError("there is no such user", code="USER_UNKNOWN")
    return found


async def add_user(
    session: AsyncSession,
    *,
    username: str,
    full_name: str,
    password_hash: str,
    qualification: str = "",
    registration_no: str = "",
) -> UUID:
    """Add a user without roles and return the row id.

    Raises:
        ConflictError: The name is taken.
    """
    if (await session.exec(select(User.id).where(User.username == username))).first():
        raise ConflictError(f"the user name {username} is taken", code="USERNAME_TAKEN", action="Choose another name.")
    user = User(
        username=username, full_name=full_name, password_hash=password_hash, qualification=qualification,
        registration_no=registration_no,
    )  # fmt: skip
    session.add(user)
    await session.flush()
    return user.id


async def set_roles(session: AsyncSession, user_id: UUID, roles: Iterable[tuple[Role, UUID]]) -> None:
    """Make `roles` the only ones the user holds."""
    await session.execute(text("delete from user_roles where user_id = :user_id"), {"user_id": user_id})
    for role, branch_id in sorted(set(roles)):
        session.add(UserRole(user_id=user_id, branch_id=branch_id, role=role))
    await session.flush()


async def set_disabled(session: AsyncSession, user_id: UUID, *, is_disabled: bool) -> None:
    """Shut a user out at once, refresh tokens included, or let the user in again."""
    now = utc_now()
    await session.execute(
        text("update users set disabled_at = :at where id = :user_id"),
        {"at": now if is_disabled else None, "user_id": user_id},
    )
    if is_disabled:
        await session.execute(_REVOKE_USER, {"now": now, "user_id": user_id})


async def add_refresh_token(
    session: AsyncSession, *, user_id: UUID, token: str, expires_at: datetime, family_id: UUID | None = None
) -> None:
    """Store the hash of a new refresh token; without `family_id` it founds a family."""
    session.add(
        RefreshToken(
            user_id=user_id, family_id=family_id or new_id(), token_hash=token_hash(token), expires_at=expires_at
        )
    )
    await session.flush()


async def use_refresh_token(session: AsyncSession, token: str) -> UsedToken | None:
    """Use a token up. One that was used before, however long ago, revokes its whole family; then None is returned."""
    facts = {"token_hash": token_hash(token), "now": utc_now()}
    row = (await session.execute(_USE_TOKEN, facts)).first()
    if row is None:
        await session.execute(_REVOKE_FAMILY, facts)
        return None
    return UsedToken(row.user_id, row.family_id, row.expires_at)


async def revoke_family(session: AsyncSession, token: str) -> None:
    """Revoke a token with everything rotated from the same login."""
    await session.execute(_REVOKE_FAMILY, {"token_hash": token_hash(token), "now": utc_now()})


async def take_turn(session: AsyncSession, key: str, *, every_s: float, burst: int) -> bool:
    """Tell whether `key` may act now: `burst` times at once, then once in `every_s` seconds.

    The generic cell rate algorithm in one statement; concurrent callers are counted exactly.
    """
    facts = {"key": key, "every": every_s, "slack": every_s * (burst - 1)}
    return (await session.execute(_TAKE_TURN, facts)).first() is not None


async def forgive(session: AsyncSession, key: str) -> None:
    """Forget what `key` has done."""
    await session.execute(text("delete from rate_limits where key = :key"), {"key": key})
