"""Administration: staff and their roles."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, Response
from pydantic import BaseModel, ConfigDict, Field, SecretStr
from sqlmodel.ext.asyncio.session import AsyncSession

from api.deps import FromApp
from api.errors import responses
from api.etags import TaggedRoute
from api.idempotency import Answer, OneRequest, answered_once
from api.pagination import DEFAULT_PAGE, Cursor, Limit, Page, key_of, page_of
from api.permissions import Permission, Principal, require
from domain.enums import Role
from domain.errors import NotFoundError, NotPermittedError
from store import audit, users
from store.users import StaffMember

router = APIRouter(prefix="/v1", tags=["admin"], route_class=TaggedRoute)

MayManage = Annotated[Principal, Depends(require(Permission.STAFF_MANAGE))]


class Assignment(BaseModel):
    """A role at a branch."""

    model_config = ConfigDict(extra="forbid")

    branch: Annotated[str, Field(max_length=4)]
    role: Role


class UserIn(BaseModel):
    """A new member of staff."""

    model_config = ConfigDict(extra="forbid", str_strip_whitespace=True, hide_input_in_errors=True)

    username: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_.-]{2,39}$")]
    full_name: Annotated[str, Field(min_length=1, max_length=120)]
    password: Annotated[SecretStr, Field(max_length=128)]
    qualification: Annotated[str, Field(max_length=120)] = ""
    registration_no: Annotated[str, Field(max_length=60)] = ""
    roles: Annotated[list[Assignment], Field(max_length=50)] = []


class UserChange(BaseModel):
    """What becomes of a member of staff; a role list replaces the one at the caller's branches."""

    model_config = ConfigDict(extra="forbid")

    roles: Annotated[list[Assignment] | None, Field(max_length=50)] = None
    is_disabled: bool | None = None


class UserOut(BaseModel):
    """A member of staff with the roles held now."""

    username: str
    full_name: str
    is_disabled: bool
    roles: list[Assignment]

    @classmethod
    def of(cls, member: StaffMember) -> UserOut:
        """Show a member of staff."""
        roles = [Assignment(branch=member.branch_codes[branch], role=role) for role, branch in sorted(member.roles)]
        return cls(username=member.username, full_name=member.full_name, is_disabled=member.is_disabled, roles=roles)


@router.get("/users", responses=responses(400))
async def list_users(
    principal: MayManage, resources: FromApp, limit: Limit = DEFAULT_PAGE, cursor: Cursor = ""
) -> Page[UserOut]:
    """List the staff of the whole lab by name."""
    async with resources.database.transaction(branches=principal.branch_ids) as session:
        rows = await users.staff_page(session, after=key_of(cursor), limit=limit + 1)
    return page_of(rows, limit, show=UserOut.of, key=lambda row: row.username)


@router.post("/users", status_code=201, responses=responses(400, 409), response_model=UserOut)
async def add_user(given: UserIn, principal: MayManage, request: OneRequest, resources: FromApp) -> Response:
    """Add a member of staff."""
    roles = _assignments(principal, given.roles)
    password_hash = await resources.passwords.hashed(given.password.get_secret_value())

    async def work(session: AsyncSession) -> Answer:
        user_id = await users.add_user(
            session, username=given.username, full_name=given.full_name, password_hash=password_hash,
            qualification=given.qualification, registration_no=given.registration_no,
        )  # fmt: skip
        await users.set_roles(session, user_id, roles)
        member = await _member(session, user_id)
        await _audit(session, principal, "user.added", given.username, member)
        return Answer(UserOut.of(member), 201)

    return await answered_once(resources, principal, request, work)


@router.post("/users/{username}", responses=responses(400, 404), response_model=UserOut)
async def change_user(
    username: str, change: UserChange, principal: MayManage, request: OneRequest, resources: FromApp
) -> Response:
    """Give and take roles, shut a user out or let one in again; works at once."""
    if username == principal.username:
        raise NotPermittedError("nobody changes their own roles", code="OWN_ROLES_FIXED")
    wanted = None if change.roles is None else _assignments(principal, change.roles)

    async def work(session: AsyncSession) -> Answer:
        user_id = await users.user_id_of(session, username)
        before = await _member(session, user_id)
        if wanted is not None:
            elsewhere = {pair for pair in before.roles if pair[1] not in principal.branch_ids}
            await users.set_roles(session, user_id, elsewhere | set(wanted))
        if change.is_disabled is not None:
            await users.set_disabled(session, user_id, is_disabled=change.is_disabled)
        member = await _member(session, user_id)
        await _audit(session, principal, "user.changed", username, member)
        return Answer(UserOut.of(member))

    return await answered_once(resources, principal, request, work)


def _assignments(principal: Principal, roles: list[Assignment]) -> set[tuple[Role, UUID]]:
    return {(item.role, principal.branch_id(item.branch)) for item in roles}


async def _member(session: AsyncSession, user_id: UUID) -> StaffMember:
    member = await users.staff_member(session, user_id)
    if member is None:
        raise NotFoundError("there is no such user", code="USER_UNKNOWN")
    return member


async def _audit(session: AsyncSession, principal: Principal, action: str, username: str, member: StaffMember) -> None:
    roles = [f"{member.branch_codes[branch]}:{role.value}" for role, branch in sorted(member.roles)]
    await audit.record(
        session, chain="lab", actor=principal.username, action=action, object_kind="user", object_id=username,
        body={"roles": roles, "disabled": member.is_disabled},
    )  # fmt: skip
