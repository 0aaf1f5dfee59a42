"""Signing in and out. These answers hold secrets, so none of them is stored: no Idempotency-Key here."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Request, Response
from pydantic import BaseModel, ConfigDict, Field, SecretStr

from api.auth import TokenPair
from api.deps import FromApp, SignedIn, signed_in
from api.errors import responses
from api.permissions import ROLE_PERMISSIONS

router = APIRouter(prefix="/v1/auth", tags=["auth"])


class Credentials(BaseModel):
    """A user name and a password."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)

    username: Annotated[str, Field(min_length=1, max_length=60)]
    password: Annotated[SecretStr, Field(min_length=1, max_length=128)]


class RefreshRequest(BaseModel):
    """A refresh token."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)

    refresh_token: Annotated[SecretStr, Field(min_length=20, max_length=200)]


class Tokens(BaseModel):
    """An access token for the next minutes and a refresh token for one use."""

    access_token: str
    refresh_token: str
    token_type: str = "bearer"
    expires_in: int

    @classmethod
    def of(cls, pair: TokenPair) -> Tokens:
        """Show a pair."""
        return cls(access_token=pair.access_token, refresh_token=pair.refresh_token, expires_in=pair.expires_in_s)


class RoleAtBranch(BaseModel):
    """A role the caller holds at a branch."""

    branch: str
    role: str
    permissions: list[str]


class Me(BaseModel):
    """The caller."""

    username: str
    full_name: str
    roles: list[RoleAtBranch]


@router.post("/token", responses=responses(429))
async def sign_in(credentials: Credentials, request: Request, resources: FromApp) -> Tokens:
    """Sign in with a user name and a password."""
    address = request.client.host if request.client else ""
    pair = await resources.authenticator.sign_in(credentials.username, credentials.password.get_secret_value(), address)
    return Tokens.of(pair)


@router.post("/refresh", responses=responses())
async def refresh(body: RefreshRequest, resources: FromApp) -> Tokens:
    """Exchange a refresh token for a new pair. Using one twice ends the session it belongs to."""
    return Tokens.of(await resources.authenticator.refresh(body.refresh_token.get_secret_value()))


@router.post("/logout", status_code=204, responses=responses())
async def sign_out(body: RefreshRequest, resources: FromApp) -> Response:
    """End the session that a refresh token belongs to."""
    await resources.authenticator.sign_out(body.refresh_token.get_secret_value())
    return Response(status_code=204)


@router.get("/me", responses=responses())
async def me(user: Annotated[SignedIn, Depends(signed_in)]) -> Me:
    """Say who the caller is and what the caller may do where."""
    return Me(
        username=user.username,
        full_name=user.full_name,
        roles=[
            RoleAtBranch(branch=user.branch_codes[branch], role=role.value, permissions=sorted(ROLE_PERMISSIONS[role]))
            for role, branch in sorted(user.roles)
        ],
    )
