"""Mappings of device codes: listed beside what devices send, proposed, confirmed by a second person, retired."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, Response
from pydantic import BaseModel, ConfigDict, Field
from sqlmodel.ext.asyncio.session import AsyncSession

from activities.instruments.recent import MESSAGES, RecentValue, recent_values
from activities.instruments.rehearsal import MAX_MESSAGES, rehearse
from api.deps import FromApp
from api.errors import responses
from api.etags import TaggedRoute
from api.idempotency import Answer, OneRequest, answered_once
from api.livd_files import ImportIn, ImportOut
from api.permissions import Permission, Principal, require, roles_with
from api.staff.exceptions import ReplayOut
from connectors.analyzers.driver import MODELS
from domain.device_profile import DeviceProfile
from domain.enums import ExceptionState, MappingState
from domain.errors import ConflictError, NotPermittedError
from domain.results import ResultKind
from rules.livd import LivdFile
from rules.mapping import Suggestion, TestFace, UnitRule, check_confirmable, suggestions
from rules.units import Relation, fits_property, parse_unit, relation
from store import audit, exceptions, instrument_messages, mappings
from store.mappings import MappingRow
from store.tables.catalogue import LabTest
from store.tables.results import Analyzer

router = APIRouter(prefix="/v1", tags=["instruments"], route_class=TaggedRoute)

MayRead = Annotated[Principal, Depends(require(Permission.MESSAGE_READ))]
MayManage = Annotated[Principal, Depends(require(Permission.MAPPING_MANAGE))]
MayConfirm = Annotated[Principal, Depends(require(Permission.MAPPING_CONFIRM))]

MAX_UNMAPPED = 200
SCORES = {"exact": 1.0, "model": 0.95, "alias": 0.95, "abbreviation": 0.9}
"""What a proposal of each origin was worth; a person's and a vendor's have no score."""

DeviceCode = Annotated[str, Field(min_length=1, max_length=60)]


class ValueOut(BaseModel):
    """A value as a device sent it."""

    model_config = ConfigDict(from_attributes=True)

    value: str
    unit: str


class MappingOut(BaseModel):
    """What a device's code is said to mean.

    Attributes:
        factor: Multiplies the device's number; an exact decimal as text.
        unit_relation: How the device's unit stands to the test's: same, annotated, scaled, by_analyte, different,
            unknown.
        score: Of the suggestion it came from; None where a person or a vendor's file proposed it.
        recent: The newest values, for roles that may see results.
    """

    id: UUID
    device_code: str
    test_code: str
    test_name: str
    unit: str
    factor: str | None
    test_unit: str
    unit_relation: Relation
    state: MappingState
    origin: str
    score: float | None
    proposed_by: str
    confirmed_by: str
    confirmed_at: datetime | None
    recent: list[ValueOut] = []

    @classmethod
    def of(cls, row: MappingRow, recent: Iterable[RecentValue] = ()) -> MappingOut:
        """Show a mapping."""
        facts = row.model_dump(exclude={"analyzer_id", "analyzer", "branch_id", "proposer_id", "factor"})
        return cls(
            **facts,
            factor=None if row.factor is None else f"{row.factor:f}",
            unit_relation=relation(row.unit, row.test_unit),
            score=SCORES.get(row.origin),
            recent=[ValueOut.model_validate(value) for value in recent],
        )


class MappingList(BaseModel):
    """Every mapping of a device, by code."""

    items: list[MappingOut]


class SuggestionOut(BaseModel):
    """A test that a code may mean."""

    model_config = ConfigDict(from_attributes=True)

    test_code: str
    score: float
    origin: str


class UnmappedOut(BaseModel):
    """A code that waits for a mapping."""

    device_code: str
    messages: int
    suggestions: list[SuggestionOut]
    recent: list[ValueOut]


class UnmappedList(BaseModel):
    """The codes of a device that wait for a mapping, most frequent first."""

    items: list[UnmappedOut]


class ProposalIn(BaseModel):
    """What a code is proposed to mean.

    Attributes:
        unit: The unit text the device sends, as it is in its messages.
        factor: What the device's number is multiplied by to be in the test's unit.
    """

    model_config = ConfigDict(extra="forbid", str_strip_whitespace=True)

    device_code: DeviceCode
    test_code: Annotated[str, Field(min_length=1, max_length=40)]
    unit: Annotated[str, Field(max_length=40)] = ""
    factor: Annotated[Decimal | None, Field(gt=0, max_digits=15, decimal_places=12)] = None


class ChangeIn(BaseModel):
    """Why something is changed."""

    model_config = ConfigDict(extra="forbid", str_strip_whitespace=True)

    reason: Annotated[str, Field(max_length=500)] = ""


class ChangeOut(BaseModel):
    """A mapping after a change, and what reading the waiting messages of its code again would bring."""

    mapping: MappingOut
    replay: ReplayOut


@dataclass(frozen=True)
class _Device:
    analyzer: Analyzer
    recent: Mapping[str, list[RecentValue]]


async def _device(session: AsyncSession, principal: Principal, code: str) -> _Device:
    analyzer = await instrument_messages.analyzer_of(session, code, list(principal.branch_ids))
    if not principal.may(Permission.RESULT_READ, analyzer.branch_id):
        return _Device(analyzer, {})
    raws = await mappings.recent_messages(session, analyzer.id, limit=MESSAGES)
    profile = DeviceProfile.model_validate({"protocol": analyzer.protocol, **analyzer.profile})
    # off the event loop: a hostile message may take long to read
    return _Device(analyzer, await asyncio.to_thread(recent_values, raws, profile))


def face_of(test: LabTest) -> TestFace:
    """Return a test of the catalogue as far as a mapping needs it."""
    return TestFace(test.code, test.name, test.loinc, test.unit, ResultKind(test.kind))


@router.get("/analyzers/{code}/mappings", responses=responses(404))
async def list_mappings(code: str, principal: MayRead, resources: FromApp) -> MappingList:
    """List what a device's codes are said to mean, each with the newest values of its code."""
    async with resources.database.transaction(branches=principal.branch_ids) as session:
        device = await _device(session, principal, code)
        rows = await mappings.mappings_of(session, device.analyzer.id)
    return MappingList(items=[MappingOut.of(row, device.recent.get(row.device_code, ())) for row in rows])


@router.get("/analyzers/{code}/unmapped-codes", responses=responses(404))
async def list_unmapped(code: str, principal: MayRead, resources: FromApp) -> UnmappedList:
    """List the codes of a device that wait for a mapping, with what they may mean and their newest values."""
    async with resources.database.transaction(branches=principal.branch_ids) as session:
        device = await _device(session, principal, code)
        waiting = await mappings.unmapped_codes(session, device.analyzer.id, limit=MAX_UNMAPPED)
        faces = [face_of(test) for test in await mappings.catalogue_tests(session)]
    model = MODELS.get(device.analyzer.model)
    items = []
    for row in waiting:
        proposed = model.lab_code_of(row.device_code) if model else ""
        found: list[Suggestion] = suggestions(row.device_code, faces, model_code=proposed)
        items.append(
            UnmappedOut(
                device_code=row.device_code,
                messages=row.messages,
                suggestions=[SuggestionOut.model_validate(one) for one in found],
                recent=[ValueOut.model_validate(value) for value in device.recent.get(row.device_code, ())],
            )
        )
    return UnmappedList(items=items)


@router.post(
    "/analyzers/{code}/mappings", status_code=201, responses=responses(400, 404, 409), response_model=MappingOut
)
async def propose(
    code: str, given: ProposalIn, principal: MayManage, request: OneRequest, resources: FromApp
) -> Response:
    """Propose what a device's code means. It is used once a second person has confirmed it."""

    async def work(session: AsyncSession) -> Answer:
        analyzer = await instrument_messages.analyzer_of(session, code, list(principal.branch_ids))
        test = await mappings.lab_test_of(session, given.test_code)
        check_confirmable(given.device_code, UnitRule(given.unit, given.factor, test.unit), face_of(test))
        row = await mappings.propose(
            session, analyzer_id=analyzer.id, device_code=given.device_code, test_id=test.id, unit=given.unit,
            factor=given.factor, origin=_origin(given, analyzer, test), user_id=principal.user_id,
        )  # fmt: skip
        if row is None:
            raise ConflictError(
                "the code is mapped to this test already", code="MAPPING_EXISTS",
                action="Confirm the proposal, or retire the mapping and propose it anew.",
            )  # fmt: skip
        shown = await mappings.mapping_of(session, row.id, principal.branch_ids)
        await _audit(session, principal, "mapping.proposed", shown)
        return Answer(MappingOut.of(shown), 201)

    return await answered_once(resources, principal, request, work)


def _origin(given: ProposalIn, analyzer: Analyzer, test: LabTest) -> str:
    """Return where a proposal comes from: a suggestion that says the same, or the person."""
    model = MODELS.get(analyzer.model)
    proposed = model.lab_code_of(given.device_code) if model else ""
    found = suggestions(given.device_code, [face_of(test)], model_code=proposed)
    return found[0].origin if found else "person"


@router.post(
    "/analyzers/{code}/mappings/import", status_code=201, responses=responses(400, 404), response_model=ImportOut
)
async def import_livd(
    code: str, given: ImportIn, principal: MayManage, request: OneRequest, resources: FromApp
) -> Response:
    """Propose what a vendor's LIVD file says for tests of the catalogue; nothing counts before it is confirmed."""
    file = await asyncio.to_thread(given.read)

    async def work(session: AsyncSession) -> Answer:
        analyzer = await instrument_messages.analyzer_of(session, code, list(principal.branch_ids))
        answer = await _propose_rows(session, principal, analyzer, file)
        await audit.record(
            session, chain="lab", actor=principal.username, action="mapping.imported", object_kind="analyzer",
            object_id=analyzer.code, body={"rows": answer.rows, "proposed": answer.proposed[:100]},
        )  # fmt: skip
        return Answer(answer, 201)

    return await answered_once(resources, principal, request, work)


async def _propose_rows(session: AsyncSession, principal: Principal, analyzer: Analyzer, file: LivdFile) -> ImportOut:
    by_loinc: dict[str, list[LabTest]] = {}
    for test in await mappings.catalogue_tests(session):
        if test.loinc:
            by_loinc.setdefault(test.loinc, []).append(test)
    answer = ImportOut(
        rows=len(file.rows), proposed=[], known=0, not_offered=[], unusable=list(file.unusable),
        unusable_count=file.unusable_count,
    )  # fmt: skip
    for row in file.rows:
        sent = parse_unit(row.unit)
        if sent is not None and fits_property(sent, row.loinc_property) is False:
            answer.contradictory.append(row.code[:60])
            continue
        if row.loinc not in by_loinc:
            answer.not_offered += [row.loinc] if row.loinc not in answer.not_offered else []
        for test in by_loinc.get(row.loinc, ()):
            unit = row.unit if relation(row.unit, test.unit) is not Relation.UNKNOWN else ""
            made = await mappings.propose(
                session, analyzer_id=analyzer.id, device_code=row.code[:60], test_id=test.id, unit=unit, factor=None,
                origin="livd", user_id=principal.user_id,
            )  # fmt: skip
            if made is None:
                answer.known += 1
            else:
                answer.proposed.append(f"{row.code[:60]} → {test.code}")
    return answer


@router.post("/mappings/{mapping_id}/confirm", responses=responses(400, 404, 409), response_model=ChangeOut)
async def confirm(
    mapping_id: UUID, given: ChangeIn, principal: MayConfirm, request: OneRequest, resources: FromApp
) -> Response:
    """Stand behind a proposal, so that it is used. Not by who proposed it, where anybody else at the branch may."""

    async def work(session: AsyncSession) -> Answer:
        row = await mappings.mapping_of(session, mapping_id, principal.branch_ids)
        await _require_second_person(session, principal, row)
        test = await mappings.lab_test_of(session, row.test_code)
        check_confirmable(row.device_code, UnitRule(row.unit, row.factor, test.unit), face_of(test))
        await mappings.confirm(session, row, user_id=principal.user_id)
        return Answer(await _changed(session, principal, mapping_id, "mapping.confirmed", given.reason))

    return await answered_once(resources, principal, request, work)


@router.post("/mappings/{mapping_id}/retire", responses=responses(400, 404, 409), response_model=ChangeOut)
async def retire(
    mapping_id: UUID, given: ChangeIn, principal: MayManage, request: OneRequest, resources: FromApp
) -> Response:
    """Take a mapping out of force; results that it brought stay, new ones of its code wait."""

    async def work(session: AsyncSession) -> Answer:
        row = await mappings.mapping_of(session, mapping_id, principal.branch_ids)
        await mappings.retire(session, row)
        return Answer(await _changed(session, principal, mapping_id, "mapping.retired", given.reason))

    return await answered_once(resources, principal, request, work)


async def _require_second_person(session: AsyncSession, principal: Principal, row: MappingRow) -> None:
    if row.proposer_id != principal.user_id:
        return
    roles = roles_with(Permission.MAPPING_CONFIRM)
    if await mappings.somebody_else(session, branch_id=row.branch_id, roles=roles, user_id=principal.user_id):
        raise NotPermittedError(
            "who proposed a mapping does not confirm it", code="MAPPING_SELF_CONFIRMED",
            action="Ask a colleague to compare the code with the device's screen and to confirm it.",
        )  # fmt: skip


async def _changed(
    session: AsyncSession, principal: Principal, mapping_id: UUID, action: str, reason: str
) -> ChangeOut:
    row = await mappings.mapping_of(session, mapping_id, principal.branch_ids)
    wanted = exceptions.Filter(state=ExceptionState.OPEN, analyzer=row.analyzer, code=row.device_code)
    waiting = await exceptions.messages_with(session, wanted, branches=list(principal.branch_ids), limit=MAX_MESSAGES)
    replay = ReplayOut.of(await rehearse(session, waiting), is_dry_run=True, remaining=0)
    await _audit(session, principal, action, row, reason)
    return ChangeOut(mapping=MappingOut.of(row), replay=replay)


async def _audit(session: AsyncSession, principal: Principal, action: str, row: MappingRow, reason: str = "") -> None:
    body: dict[str, str | int | bool | list[str] | None] = {
        "analyzer": row.analyzer, "code": row.device_code, "test": row.test_code, "unit": row.unit,
        "factor": None if row.factor is None else f"{row.factor:f}", "origin": row.origin,
        "proposed_by": row.proposed_by, "reason": reason,
    }  # fmt: skip
    await audit.record(
        session, chain="lab", actor=principal.username, action=action, object_kind="mapping", object_id=str(row.id),
        body=body,
    )  # fmt: skip
