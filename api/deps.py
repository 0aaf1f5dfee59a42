"""What endpoints are given: the process's resources and the signed-in user."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Annotated, Any, Protocol
from uuid import UUID

from fastapi import Depends, Request
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from temporalio.converter import PayloadCodec

from activities.report_links import ReportLinks
from api.auth import AccessTokens, Authenticator, Passwords
from api.config import ApiConfig
from api.errors import UnauthenticatedError
from domain.enums import Priority
from domain.partner_events import PartnerEvent
from store.session import Database
from store.users import StaffMember, staff_member


class SendableCommand(Protocol):
    """What the gateway needs of a stored command."""

    id: UUID
    kind: str
    workflow_id: str
    payload: dict[str, Any]


class CommandGateway(Protocol):
    """The way to Temporal; `workflows.gateway.Gateway` is the real one."""

    async def start_order(self, *, order_no: str, branch: str, priority: Priority, summary: str = "") -> bool:
        """Start an order's workflow; False when Temporal is away."""

    async def send_command(self, command: SendableCommand) -> None:
        """Send a command and wait until it is applied or refused."""

    async def is_reachable(self) -> bool:
        """Tell whether Temporal answers."""


class Documents(Protocol):
    """Object storage as far as the API reads it; `connectors.files` is the real one. Calls block: run in a thread."""

    def get(self, key: str, version_id: str = "", *, sha256: str = "") -> bytes:
        """Return an object's bytes, refused where their digest is another one."""

    def presign_get(self, key: str, expires: timedelta = ..., filename: str = ..., version_id: str = "") -> str:
        """Return an expiring link."""


@dataclass(frozen=True)
class Delivery:
    """A webhook as it arrived.

    Attributes:
        headers: Names in lower case.
        url: The public address it was posted to, with its query, as the partner knows it.
    """

    body: bytes
    headers: Mapping[str, str]
    url: str


@dataclass(frozen=True)
class Door:
    """How a partner's deliveries are proved and read. A partner that is not configured has no door.

    Attributes:
        verify: Raises AuthError when the delivery is not the partner's, another ConnectorError when it cannot tell.
        parse: Returns its events; raises MessageError.
        handshake: Answers a subscription handshake from its query, for partners that have one.
    """

    verify: Callable[[Delivery], Awaitable[None]]
    parse: Callable[[Delivery], list[PartnerEvent]]
    handshake: Callable[[Mapping[str, str]], str] | None = None


@dataclass(frozen=True)
class Resources:
    """Everything the API process holds open.

    Attributes:
        codec: Opens workflow payloads for the Temporal UI.
        links: Reads patients' report links.
        doors: By source: `razorpay`, `whatsapp`, `sms`, `abdm`.
        checks: Further dependencies that `/health/ready` asks, by name.
    """

    config: ApiConfig
    database: Database
    gateway: CommandGateway
    documents: Documents
    codec: PayloadCodec | None
    links: ReportLinks
    passwords: Passwords
    tokens: AccessTokens
    doors: Mapping[str, Door] = field(default_factory=dict)
    checks: Mapping[str, Callable[[], Awaitable[bool]]] = field(default_factory=dict)

    @property
    def authenticator(self) -> Authenticator:
        """Return what signs staff in."""
        return Authenticator(self.database, self.config, self.passwords, self.tokens)


def resources_of(request: Request) -> Resources:
    """Return the resources that the lifespan opened."""
    resources: Resources = request.app.state.resources
    return resources


FromApp = Annotated[Resources, Depends(resources_of)]

SignedIn = StaffMember


_bearer = HTTPBearer(auto_error=False, description="The access token from `/v1/auth/token`.")
Bearer = Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)]


async def signed_in(resources: FromApp, bearer: Bearer) -> SignedIn:
    """Return the caller of a staff route.

    Raises:
        UnauthenticatedError: No token, a bad one, or the user is disabled.
    """
    if bearer is None:
        raise UnauthenticatedError("this needs an access token")
    user_id = resources.tokens.user_of(bearer.credentials)
    async with resources.database.transaction(branches=()) as session:
        member = await staff_member(session, user_id)
    if member is None or member.is_disabled:
        raise UnauthenticatedError("the access token is not valid", code="TOKEN_INVALID")
    return member
