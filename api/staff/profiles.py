"""Profile versions of an analyzer: drafted, tried on stored messages, put in force, rolled back, carried elsewhere."""

from __future__ import annotations

import asyncio
from datetime import datetime
from decimal import Decimal
from typing import Annotated, Any, Literal
from uuid import UUID

from fastapi import APIRouter, Depends, Query, Response
from fastapi.responses import PlainTextResponse
from pydantic import BaseModel, ConfigDict, Field, model_validator
from sqlmodel.ext.asyncio.session import AsyncSession

from api.deps import FromApp
from api.device_checks import refuse_clashes
from api.device_documents import DeviceDocument, document_of, read_document, read_profile, written
from api.errors import responses
from api.etags import TaggedRoute
from api.idempotency import Answer, OneRequest, answered_once
from api.permissions import Permission, Principal, require
from connectors.analyzers.driver import MODELS
from connectors.onboarding.trial import Change, Trial, compare
from domain.device_profile import DeviceProfile
from domain.errors import NotFoundError
from store import analyzers, audit, instrument_messages, profiles
from store.profiles import Proposal
from store.tables.results import Analyzer

router = APIRouter(prefix="/v1/analyzers/{code}", tags=["analyzers"], route_class=TaggedRoute)

MayManage = Annotated[Principal, Depends(require(Permission.ANALYZER_MANAGE))]
Note = Annotated[str, Field(max_length=200)]
MAX_TRIED = 50
HIDDEN = "•••"


class VersionOut(BaseModel):
    """One version of a profile. A draft was never in force."""

    version: int
    is_in_force: bool
    is_draft: bool
    note: str
    created_at: datetime
    created_by: str
    activated_at: datetime | None
    activated_by: str
    profile: dict[str, Any]


class VersionList(BaseModel):
    """Every version, newest first."""

    items: list[VersionOut]


class DraftIn(BaseModel):
    """A draft: from a built-in model, or a profile as members or as YAML or JSON text."""

    model_config = ConfigDict(extra="forbid", str_strip_whitespace=True)

    model: Annotated[str, Field(max_length=40)] = ""
    profile: dict[str, Any] | Annotated[str, Field(max_length=131_072)] | None = None
    note: Note = ""

    @model_validator(mode="after")
    def _one_source(self) -> DraftIn:
        if (self.model == "") == (self.profile is None):
            raise ValueError("give either a model or a profile")
        return self

    def read(self) -> DeviceProfile:
        """Return the profile.

        Raises:
            NotFoundError: There is no such model.
            BadRequestError: The profile is none.
        """
        if self.profile is not None:
            return read_profile(self.profile)
        if self.model not in MODELS:
            raise NotFoundError(
                "there is no such model", code="MODEL_UNKNOWN", action=f"Choose one of {', '.join(sorted(MODELS))}."
            )
        return MODELS[self.model].profile


class DraftOut(BaseModel):
    """The number under which a draft was kept."""

    analyzer: str
    version: int
    note: str


class ActivationOut(BaseModel):
    """What is in force now. Messages that wait can be read again."""

    analyzer: str
    version: int
    was_version: int
    waiting_messages: int


class ChangeOut(BaseModel):
    """One difference; values of patients only for roles that may see results."""

    what: str
    row: int
    code: str
    before: str
    after: str


class TriedMessage(BaseModel):
    """What a draft would change in one message."""

    message_id: UUID
    received_at: datetime
    is_same: bool
    rows_before: int
    rows_after: int
    matchable_before: int
    matchable_after: int
    changes: list[ChangeOut]


class TrialOut(BaseModel):
    """What a version would change, message by message, newest first."""

    analyzer: str
    version: int
    in_force: int
    tried: int
    changed: int
    messages: list[TriedMessage]


class ImportIn(BaseModel):
    """A document that another device was exported to."""

    model_config = ConfigDict(extra="forbid")

    document: Annotated[str, Field(min_length=1, max_length=131_072)]
    note: Note = ""


class ImportOut(BaseModel):
    """What an import made: a draft and proposals, nothing in force.

    Attributes:
        proposed: Device codes with a new proposal.
        left_out: Device codes whose test the lab does not offer, or that are known already.
    """

    analyzer: str
    version: int
    proposed: list[str]
    left_out: list[str]


@router.get("/profiles", responses=responses(404))
async def list_versions(code: str, principal: MayManage, resources: FromApp) -> VersionList:
    """List the versions of an analyzer's profile, newest first."""
    async with resources.database.transaction(branches=principal.branch_ids) as session:
        analyzer = await instrument_messages.analyzer_of(session, code, list(principal.branch_ids))
        rows = await profiles.versions(session, analyzer)
    items = [
        VersionOut(
            **row.model_dump(), is_in_force=row.version == analyzer.profile_version, is_draft=row.activated_at is None
        )
        for row in rows
    ]
    return VersionList(items=items)


@router.post("/profiles", status_code=201, responses=responses(400, 404), response_model=DraftOut)
async def add_draft(
    code: str, given: DraftIn, principal: MayManage, request: OneRequest, resources: FromApp
) -> Response:
    """Draft a new profile version; nothing changes before it is put in force."""
    profile = given.read()

    async def work(session: AsyncSession) -> Answer:
        analyzer = await analyzers.locked_analyzer(session, code, list(principal.branch_ids))
        draft = await _add_draft(session, analyzer, profile, given.note, principal)
        return Answer(draft, 201)

    return await answered_once(resources, principal, request, work)


@router.get("/profiles/{version}/trial", responses=responses(404))
async def try_version(
    code: str,
    version: int,
    principal: MayManage,
    resources: FromApp,
    *,
    message_id: Annotated[UUID | None, Query(description="One stored message; else the device's last ones.")] = None,
    last: Annotated[int, Query(ge=1, le=MAX_TRIED)] = 20,
) -> TrialOut:
    """Read stored messages by a version and by the one in force, and show what would change. Writes nothing."""
    reach = list(principal.branch_ids)
    async with resources.database.transaction(branches=principal.branch_ids) as session:
        analyzer = await instrument_messages.analyzer_of(session, code, reach)
        after = DeviceProfile.model_validate(await profiles.profile_version(session, analyzer, version))
        if message_id is None:
            ids = await instrument_messages.last_of(session, analyzer.id, last)
        else:
            ids = [(await instrument_messages.message_of(session, message_id, reach)).id]
        stored = await instrument_messages.raws_of(session, ids)
    sees = principal.may(Permission.RESULT_READ, analyzer.branch_id)
    before = DeviceProfile.model_validate({"protocol": analyzer.protocol, **analyzer.profile})
    tried = []
    for message in stored:
        trial = await asyncio.to_thread(compare, message.raw, before, after)
        tried.append(_tried(message, trial, sees=sees))
    return TrialOut(
        analyzer=code, version=version, in_force=analyzer.profile_version, tried=len(tried),
        changed=sum(not one.is_same for one in tried), messages=tried,
    )  # fmt: skip


@router.post("/profiles/{version}/activate", responses=responses(400, 404), response_model=ActivationOut)
async def activate_version(
    code: str, version: int, principal: MayManage, request: OneRequest, resources: FromApp
) -> Response:
    """Put a version in force, also an older one. Mappings are kept."""

    async def work(session: AsyncSession) -> Answer:
        others = await analyzers.setups(session)
        analyzer = await analyzers.locked_analyzer(session, code, list(principal.branch_ids))
        was = analyzer.profile_version
        changed = await profiles.activate(session, analyzer, version, user_id=principal.user_id)
        await refuse_clashes(session, analyzer, resources.config.shared_ports, others)  # another protocol may be taken
        waiting = await instrument_messages.waiting_of(session, analyzer.id)
        if changed:
            await audit.record(
                session, chain="lab", actor=principal.username, action="analyzer_profile.activated",
                object_kind="analyzer", object_id=code, body={"version": version, "was": was},
            )  # fmt: skip
        return Answer(ActivationOut(analyzer=code, version=version, was_version=was, waiting_messages=waiting))

    return await answered_once(resources, principal, request, work)


@router.get("/export", responses=responses(404), response_class=PlainTextResponse)
async def export(
    code: str,
    principal: MayManage,
    resources: FromApp,
    *,
    form: Annotated[Literal["yaml", "json"], Query(alias="format")] = "yaml",
) -> Response:
    """Write the profile in force and the confirmed mappings as a document for another device or branch."""
    document = await _document(resources, principal, code)
    kind = "application/yaml" if form == "yaml" else "application/json"
    return Response(written(document, as_yaml=form == "yaml"), media_type=kind)


@router.post("/import", status_code=201, responses=responses(400, 404), response_model=ImportOut)
async def import_document(
    code: str, given: ImportIn, principal: MayManage, request: OneRequest, resources: FromApp
) -> Response:
    """Take a document over as a draft and as proposals; a person puts it in force and confirms each mapping."""
    document = read_document(given.document)
    wanted = [
        Proposal(line.device_code, line.test, line.unit, Decimal(line.factor) if line.factor else None)
        for line in document.mappings
    ]

    async def work(session: AsyncSession) -> Answer:
        analyzer = await analyzers.locked_analyzer(session, code, list(principal.branch_ids))
        proposed = await profiles.propose_mappings(
            session, analyzer.id, wanted, origin="person", user_id=principal.user_id
        )
        draft = await _add_draft(session, analyzer, document.profile, given.note or "imported", principal)
        left_out = [line.device_code for line in document.mappings if line.device_code not in set(proposed)]
        return Answer(ImportOut(analyzer=code, version=draft.version, proposed=proposed, left_out=left_out), 201)

    return await answered_once(resources, principal, request, work)


async def _document(resources: FromApp, principal: Principal, code: str) -> DeviceDocument:
    async with resources.database.transaction(branches=principal.branch_ids) as session:
        analyzer = await instrument_messages.analyzer_of(session, code, list(principal.branch_ids))
        mappings = await profiles.confirmed_mappings(session, analyzer.id)
    profile = DeviceProfile.model_validate({"protocol": analyzer.protocol, **analyzer.profile})
    return document_of(analyzer.model, analyzer.transport, profile, mappings)


async def _add_draft(
    session: AsyncSession, analyzer: Analyzer, profile: DeviceProfile, note: str, principal: Principal
) -> DraftOut:
    content = profile.model_dump(mode="json")
    draft = await profiles.add_version(session, analyzer, content, note=note, user_id=principal.user_id)
    await audit.record(
        session, chain="lab", actor=principal.username, action="analyzer_profile.drafted", object_kind="analyzer",
        object_id=analyzer.code, body={"version": draft.version, "protocol": profile.protocol},
    )  # fmt: skip
    return DraftOut(analyzer=analyzer.code, version=draft.version, note=note)


def _tried(message: instrument_messages.StoredRaw, trial: Trial, *, sees: bool) -> TriedMessage:
    return TriedMessage(
        message_id=message.id, received_at=message.received_at, is_same=trial.is_same,
        rows_before=trial.rows_before, rows_after=trial.rows_after, matchable_before=trial.matchable_before,
        matchable_after=trial.matchable_after, changes=[_shown(change, sees=sees) for change in trial.changes],
    )  # fmt: skip


def _shown(change: Change, *, sees: bool) -> ChangeOut:
    is_hidden = change.is_clinical and not sees
    return ChangeOut(
        what=change.what, row=change.row, code=change.code, before=HIDDEN if is_hidden else change.before,
        after=HIDDEN if is_hidden else change.after,
    )  # fmt: skip
