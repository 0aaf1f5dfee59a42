"""Analyzers: entered, read, changed, listed; and the keys with which their middleware posts."""

from __future__ import annotations

import ipaddress
import secrets
from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from fastapi import APIRouter, Depends, Response
from pydantic import AfterValidator, BaseModel, ConfigDict, Field
from sqlmodel.ext.asyncio.session import AsyncSession

from api.deps import FromApp
from api.device_checks import refuse_clashes
from api.errors import responses
from api.etags import IfMatch, TaggedRoute, etag_of, require_match
from api.idempotency import Answer, OneRequest, answered_once
from api.permissions import Permission, Principal, require
from connectors.analyzers.driver import MODELS
from domain.device_profile import DeviceProfile
from domain.device_transport import TRANSPORT, DeviceTransport, SharedListener
from store import analyzers, audit, instrument_messages, profiles
from store.analyzers import AnalyzerRow
from store.profiles import Proposal
from store.tables.organisation import Branch
from store.tables.results import Analyzer

router = APIRouter(prefix="/v1", tags=["analyzers"], route_class=TaggedRoute)

MayManage = Annotated[Principal, Depends(require(Permission.ANALYZER_MANAGE))]

Protocol = Literal["astm", "hl7", "au", "dimension"]
OTHER_MODEL = "other"


def _address(text: str) -> str:
    try:
        return str(ipaddress.ip_address(text.strip()))
    except ValueError:
        raise ValueError("write an IP address such as 192.168.7.21, without a port") from None


def _known_model(text: str) -> str:
    if text != OTHER_MODEL and text not in MODELS:
        raise ValueError(f"choose one of {', '.join(sorted(MODELS))}, or {OTHER_MODEL}")
    return text


Code = Annotated[str, Field(pattern=r"^[A-Z0-9][A-Z0-9-]{0,19}$")]
Name = Annotated[str, Field(min_length=1, max_length=120)]
BranchCode = Annotated[str, Field(min_length=1, max_length=4)]
Peers = Annotated[list[Annotated[str, Field(max_length=45), AfterValidator(_address)]], Field(max_length=20)]
SilentAfter = Annotated[int | None, Field(ge=1, le=10_080)]


class DeviceIn(BaseModel):
    """A new analyzer.

    Attributes:
        model: Key of a built-in model: it gives the profile and proposes test codes; `other` for none.
        protocol: Taken from the model where it is left out.
        peers: Addresses it connects from.
        silent_after_minutes: Silence in working hours after which somebody is told.
    """

    model_config = ConfigDict(extra="forbid", str_strip_whitespace=True)

    code: Code
    name: Name
    branch: BranchCode
    model: Annotated[str, Field(max_length=40), AfterValidator(_known_model)] = OTHER_MODEL
    protocol: Protocol | None = None
    peers: Peers = []
    transport: DeviceTransport = SharedListener()
    silent_after_minutes: SilentAfter = None


class DeviceChange(BaseModel):
    """What becomes of an analyzer; what is left out stays. Another protocol starts a new profile version."""

    model_config = ConfigDict(extra="forbid", str_strip_whitespace=True)

    name: Name | None = None
    branch: BranchCode | None = None
    protocol: Protocol | None = None
    peers: Peers | None = None
    transport: DeviceTransport | None = None
    is_active: bool | None = None
    silent_after_minutes: SilentAfter = None


class AnalyzerOut(BaseModel):
    """An analyzer as listed."""

    model_config = ConfigDict(from_attributes=True)

    code: str
    name: str
    model: str
    protocol: str
    branch_code: str
    is_active: bool
    profile_version: int
    test_count: int
    last_message_at: datetime | None


class AnalyzerList(BaseModel):
    """Every analyzer of the caller's branches."""

    items: list[AnalyzerOut]


class AnalyzerDetail(BaseModel):
    """An analyzer as it is set up.

    Attributes:
        warnings: What keeps it from working, in words.
    """

    code: str
    name: str
    model: str
    protocol: str
    branch_code: str
    is_active: bool
    peers: list[str]
    transport: dict[str, Any]
    profile_version: int
    silent_after_minutes: int | None
    warnings: list[str]

    @classmethod
    def of(cls, row: AnalyzerRow) -> AnalyzerDetail:
        """Show an analyzer."""
        kept = row.model_dump(exclude={"id", "test_count", "last_message_at"})
        return cls(**kept, warnings=_warnings(row))

    @property
    def tag(self) -> str:
        """Return its ETag."""
        return etag_of(self.model_dump_json().encode())


class KeyIn(BaseModel):
    """What a new key is for."""

    model_config = ConfigDict(extra="forbid", str_strip_whitespace=True)

    name: Annotated[str, Field(min_length=1, max_length=60)]
    revokes_others: bool = False


class KeyOut(BaseModel):
    """A new API key. `key` is in the first answer only."""

    id: UUID
    analyzer: str
    name: str
    key: str = ""


@router.get("/analyzers", responses=responses())
async def list_analyzers(principal: MayManage, resources: FromApp) -> AnalyzerList:
    """List the analyzers of the caller's branches."""
    async with resources.database.transaction(branches=principal.branch_ids) as session:
        rows = await analyzers.analyzers(session, list(principal.branch_ids))
    return AnalyzerList(items=[AnalyzerOut.model_validate(row) for row in rows])


@router.get("/analyzers/{code}", responses=responses(404))
async def read_analyzer(code: str, principal: MayManage, resources: FromApp, response: Response) -> AnalyzerDetail:
    """Show how one analyzer is set up; its ETag is for changing it."""
    async with resources.database.transaction(branches=principal.branch_ids) as session:
        row = await analyzers.analyzer_row(session, code, list(principal.branch_ids))
    detail = AnalyzerDetail.of(row)
    response.headers["ETag"] = detail.tag
    return detail


@router.post("/analyzers", status_code=201, responses=responses(400, 409), response_model=AnalyzerDetail)
async def add_analyzer(given: DeviceIn, principal: MayManage, request: OneRequest, resources: FromApp) -> Response:
    """Enter an analyzer. A built-in model gives its profile and proposes test codes, which a person confirms."""
    branch_id = principal.branch_id(given.branch)
    model = MODELS.get(given.model)
    protocol = given.protocol or (model.profile.protocol if model else "astm")
    fits_model = model is not None and model.profile.protocol == protocol
    profile = model.profile if model and fits_model else DeviceProfile(protocol=protocol)
    row = Analyzer(
        branch_id=branch_id, code=given.code, name=given.name, model=given.model, protocol=protocol,
        profile=profile.model_dump(mode="json"), peers=given.peers,
        transport=TRANSPORT.dump_python(given.transport, mode="json"),
        silent_after_minutes=given.silent_after_minutes,
    )  # fmt: skip

    async def work(session: AsyncSession) -> Answer:
        await refuse_clashes(session, row, resources.config.shared_ports)
        await analyzers.add_analyzer(session, row)
        await profiles.add_first_version(session, row, user_id=principal.user_id)
        if model and fits_model:
            known = [Proposal(test.code, test.lab_code, test.unit) for test in model.tests]
            await profiles.propose_mappings(session, row.id, known, origin="model", user_id=principal.user_id)
        await _audit(session, principal, "analyzer.added", row)
        detail = AnalyzerDetail.of(await analyzers.analyzer_row(session, row.code, [branch_id]))
        return Answer(detail, 201, location=f"/v1/analyzers/{row.code}")

    return await answered_once(resources, principal, request, work)


@router.post("/analyzers/{code}", responses=responses(400, 404, 409, 412), response_model=AnalyzerDetail)
async def change_analyzer(
    code: str,
    change: DeviceChange,
    principal: MayManage,
    request: OneRequest,
    resources: FromApp,
    *,
    if_match: IfMatch = "",
) -> Response:
    """Change an analyzer; mappings and messages stay with it."""
    wanted = change.model_dump(exclude_unset=True, exclude={"branch", "transport", "protocol"}, mode="json")
    branch_id = principal.branch_id(change.branch) if change.branch else None
    reach = list(principal.branch_ids)

    async def work(session: AsyncSession) -> Answer:
        others = await analyzers.setups(session)
        row = await analyzers.locked_analyzer(session, code, reach)
        require_match(if_match, AnalyzerDetail.of(await analyzers.analyzer_row(session, code, reach)).tag)
        for name, value in wanted.items():
            if value is not None or name == "silent_after_minutes":
                setattr(row, name, value)
        row.branch_id = branch_id or row.branch_id
        if change.transport is not None:
            row.transport = TRANSPORT.dump_python(change.transport, mode="json")
        if change.protocol is not None and change.protocol != row.protocol:
            profile = DeviceProfile(protocol=change.protocol).model_dump(mode="json")
            draft = await profiles.add_version(
                session, row, profile, note=f"protocol changed to {change.protocol}", user_id=principal.user_id
            )
            await profiles.activate(session, row, draft.version, user_id=principal.user_id)
        await refuse_clashes(session, row, resources.config.shared_ports, others)
        session.add(row)
        await session.flush()
        await _audit(session, principal, "analyzer.changed", row)
        return Answer(AnalyzerDetail.of(await analyzers.analyzer_row(session, code, reach)))

    return await answered_once(resources, principal, request, work)


@router.post("/analyzers/{code}/keys", status_code=201, responses=responses(400, 404), response_model=KeyOut)
async def add_key(code: str, given: KeyIn, principal: MayManage, request: OneRequest, resources: FromApp) -> Response:
    """Make an API key with which an analyzer's middleware posts over HTTP; it is shown this once."""
    key = secrets.token_urlsafe(32)

    async def work(session: AsyncSession) -> Answer:
        analyzer = await instrument_messages.analyzer_of(session, code, list(principal.branch_ids))
        revoked = await instrument_messages.revoke_api_keys(session, analyzer.id) if given.revokes_others else 0
        key_id = await instrument_messages.add_api_key(session, analyzer_id=analyzer.id, name=given.name, key=key)
        await audit.record(
            session, chain="lab", actor=principal.username, action="api_key.added", object_kind="analyzer",
            object_id=code, body={"key": str(key_id), "name": given.name, "revoked": revoked},
        )  # fmt: skip
        return Answer(KeyOut(id=key_id, analyzer=code, name=given.name), 201, shown_once={"key": key})

    return await answered_once(resources, principal, request, work)


def _warnings(row: AnalyzerRow) -> list[str]:
    found = []
    if row.transport.get("kind") == "listener" and not row.peers:
        found.append("no address: its messages on the shared ports cannot be told from others'")
    if not row.test_count:
        found.append("no confirmed test code: its results wait as unmapped")
    if not row.is_active:
        found.append("switched off: its connections are refused")
    return found


async def _audit(session: AsyncSession, principal: Principal, action: str, row: Analyzer) -> None:
    branch = await session.get_one(Branch, row.branch_id)
    await audit.record(
        session, chain="lab", actor=principal.username, action=action, object_kind="analyzer", object_id=row.code,
        body={
            "branch": branch.code, "name": row.name, "protocol": row.protocol, "peers": sorted(row.peers),
            "transport": str(row.transport.get("kind", "")), "active": row.is_active,
            "profile_version": row.profile_version, "silent_after_minutes": row.silent_after_minutes,
        },
    )  # fmt: skip
