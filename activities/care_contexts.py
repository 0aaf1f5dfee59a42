"""What is kept of linking a report at ABDM: whether it may be linked, the exchanges with the gateway, link tokens.

The reference of a care context is the order's number: every version of the report is new data in the same context.
Everything here runs in the caller's transaction.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, SecretStr
from sqlmodel.ext.asyncio.session import AsyncSession

from activities.people import system
from activities.record_bundle import GENDERS
from activities.sealing import SealError, seal, unseal
from domain.clock import IST, utc_now
from domain.enums import CareContextState
from domain.errors import RequestError
from domain.health_records import AbhaPatient, AnswerOutcome, CareContext, GatewayAnswer, display_text
from domain.messages import WorkflowType
from domain.sharing_messages import ReportRef
from store import audit, sharing
from store.sharing import SharedReport
from store.tables.patients import Patient
from store.tables.sharing import AbdmExchange, CareContextRow
from store.timeline import EventDetail, add_event

LINK_TOKEN = "link_token"
LINK = "link"
NOTICE = "notice"

TOKEN_LIFE = timedelta(days=175)
"""A link token lives six months; it is renewed a little earlier. Source: ABDM Developer Portal, M2 "Link token"."""

_SOURCE = WorkflowType.HEALTH_RECORD_PUSH.value
_DONE = {AnswerOutcome.DONE, AnswerOutcome.ALREADY_DONE}
_EVENTS = {
    CareContextState.LINKED: "record_linked",
    CareContextState.NOTIFIED: "record_notified",
    CareContextState.SKIPPED: "record_skipped",
}


class LinkPlan(BaseModel):
    """What is to be done for a report.

    Attributes:
        outcome: Why there is nothing to do, or "".
    """

    model_config = ConfigDict(frozen=True)
    step: Literal["link", "notify", "none"]
    outcome: Literal["", "no_consent", "skipped", "superseded", "notified"] = ""


class ExchangeAnswer(BaseModel):
    """What the gateway has answered so far; `outcome` is None while it has not."""

    model_config = ConfigDict(frozen=True)
    outcome: AnswerOutcome | None = None
    code: str = ""


@dataclass(frozen=True)
class Exchange:
    """One request to the gateway: what is asked, about what, and who waits for the answer."""

    api: str
    about: str
    workflow_id: str


async def plan_link(session: AsyncSession, key: ReportRef) -> LinkPlan:
    """Decide what is to be done for a report version and keep the decision on its care context."""
    shared = await sharing.shared_report(session, key.order_no, key.report_id, for_update=True)
    if not shared.is_in_force:
        return LinkPlan(step="none", outcome="superseded")
    row = await _care_context(session, shared)
    reason = _why_not(shared)
    if reason:
        is_ours = reason == "branch_not_registered"
        row.state = CareContextState.SKIPPED if is_ours else CareContextState.NO_CONSENT
        session.add(row)
        await _note_not_shared(session, shared, reason)
        return LinkPlan(step="none", outcome="skipped" if is_ours else "no_consent")
    is_new_version = row.report_id != shared.report.id
    row.report_id = shared.report.id
    if row.state is CareContextState.NOTIFIED and not is_new_version:
        return LinkPlan(step="none", outcome="notified")
    row.state = CareContextState.LINKED if row.linked_at else CareContextState.PENDING
    session.add(row)
    return LinkPlan(step="notify" if row.linked_at else "link")


async def _care_context(session: AsyncSession, shared: SharedReport) -> CareContextRow:
    reference = shared.facts.order.order_no
    row = await sharing.care_context_of(session, reference)
    if row is None:
        row = CareContextRow(
            report_id=shared.report.id,
            patient_id=shared.patient.id,
            reference=reference,
            display=_display(shared.report.issued_at),
        )
        session.add(row)
        await session.flush()
    return row


def _display(issued_at: datetime) -> str:
    """Return what the patient sees before consenting: never what was tested."""
    return f"Laboratory report {issued_at.astimezone(IST):%d %b %Y}"


def _why_not(shared: SharedReport) -> str:
    patient = shared.patient
    if shared.report.is_confidential:
        return "confidential"
    if not patient.has_record_consent or patient.erased_at is not None:
        return "no_consent"
    if not patient.abha_number and not patient.abha_address:
        return "no_abha"
    return "" if shared.facts.branch.hip_id else "branch_not_registered"


async def _note_not_shared(session: AsyncSession, shared: SharedReport, reason: str) -> None:
    detail: EventDetail = {"report_no": shared.report.report_no, "reason": reason}
    if await sharing.event_once(
        session, shared.facts.order.id, source=_SOURCE, kind="record_not_shared", key="report_no", detail=detail
    ):
        await _audit(session, shared, "record.not_shared", detail)


async def set_state(session: AsyncSession, key: ReportRef, state: CareContextState) -> None:
    """Move a report's care context to `state`, with its line in timeline and audit; repeated, nothing happens."""
    shared = await sharing.shared_report(session, key.order_no, key.report_id, for_update=True)
    row = await _care_context(session, shared)
    if row.report_id != shared.report.id or row.state in {state, CareContextState.NO_CONSENT}:
        return
    if row.state is CareContextState.NOTIFIED and state is CareContextState.LINKED:
        return
    row.state = state
    if state is not CareContextState.SKIPPED:
        row.linked_at = row.linked_at or utc_now()
    session.add(row)
    detail: EventDetail = {"report_no": shared.report.report_no, "reference": row.reference}
    await add_event(session, shared.facts.order.id, source=_SOURCE, kind=_EVENTS[state], detail=detail)
    await _audit(session, shared, _EVENTS[state].replace("_", ".", 1), detail)


async def _audit(session: AsyncSession, shared: SharedReport, action: str, body: EventDetail) -> None:
    await audit.record(
        session, chain=shared.facts.branch.code, actor=system(_SOURCE), action=action, object_kind="report",
        object_id=shared.report.report_no, body=body,
    )  # fmt: skip


def care_context(shared: SharedReport) -> CareContext:
    """Return a report as the network knows it."""
    patient_no = shared.patient.patient_no
    return CareContext(
        patient_reference=patient_no,
        patient_display=display_text(shared.patient.name, patient_no),
        reference=shared.facts.order.order_no,
        display=_display(shared.report.issued_at),
    )


def abha_patient(patient: Patient) -> AbhaPatient:
    """Return a patient as the ABHA registry must know them.

    Raises:
        RuleError: Our record lacks what the demographic match needs.
    """
    return AbhaPatient(
        abha_number=patient.abha_number,
        abha_address=patient.abha_address,
        name=patient.name,
        gender=GENDERS[patient.sex],
        year_of_birth=patient.birth_date.year,
    )


def check_facility(shared: SharedReport, hip_id: str) -> None:
    """Refuse to share a branch's report under another facility's id.

    Raises:
        RequestError: The branch is registered under another id than the one that is connected.
    """
    if shared.facts.branch.hip_id != hip_id:
        raise RequestError(
            f"branch {shared.facts.branch.code} is another facility than the one connected to ABDM",
            code="FACILITY_NOT_CONNECTED", connector="abdm",
            action="Correct the branch's facility id or LABSETU_ABDM__HIP_ID, or skip the step.",
        )  # fmt: skip


# Link tokens


async def valid_token(session: AsyncSession, patient_id: UUID, hip_id: str) -> SecretStr | None:
    """Return the patient's link token, or None where there is none that can still be used."""
    row = await sharing.link_token_of(session, patient_id, hip_id)
    if row is None:
        return None
    try:
        return unseal(session, row.sealed_token, bound_to=_binding(patient_id, hip_id))
    except SealError:
        return None


def token_key(patient_id: UUID, hip_id: str) -> str:
    """Return what an exchange about a link token is about."""
    return f"{hip_id}:{patient_id}"


def _binding(patient_id: UUID, hip_id: str) -> str:
    return f"link_token:{token_key(patient_id, hip_id)}"


async def _keep_token(session: AsyncSession, about: str, answer: GatewayAnswer) -> None:
    hip_id, _, patient_key = about.rpartition(":")
    patient_id = UUID(patient_key)
    token = SecretStr(answer.link_token)
    sealed = seal(session, token, bound_to=_binding(patient_id, hip_id))
    await sharing.keep_link_token(session, patient_id, hip_id, sealed=sealed, expires_at=utc_now() + TOKEN_LIFE)
    patient = await session.get_one(Patient, patient_id)
    if answer.abha_address and not patient.abha_address:
        patient.abha_address = answer.abha_address
        session.add(patient)
        await audit.record(
            session, chain="lab", actor=system(_SOURCE), action="patient.abha_address_learned", object_kind="patient",
            object_id=patient.patient_no,
        )  # fmt: skip


# Exchanges


async def record_answer(session: AsyncSession, answer: GatewayAnswer) -> AbdmExchange | None:
    """Keep the gateway's answer to one of our requests; a repeated one changes nothing.

    Returns:
        The exchange, or None where the request is not ours.
    """
    request_id = sharing.as_uuid(answer.request_id)
    row = await sharing.lock_exchange(session, request_id) if request_id else None
    if row is None or row.answered_at is not None:
        return row
    if row.api == LINK_TOKEN and answer.outcome in _DONE:
        if not answer.link_token:
            close_exchange(row, AnswerOutcome.REFUSED, "NO_TOKEN")
            session.add(row)
            return row
        await _keep_token(session, row.business_key, answer)
    close_exchange(row, answer.outcome, answer.code)
    session.add(row)
    return row


def close_exchange(row: AbdmExchange, outcome: AnswerOutcome, code: str) -> None:
    """Write on an exchange how it ended."""
    row.answered_at = utc_now()
    row.error_code = "" if outcome in _DONE else f"{outcome.value}:{code}"


async def answer_to(session: AsyncSession, request_ids: Sequence[str]) -> tuple[ExchangeAnswer, str]:
    """Return what the gateway has answered to any of these requests, and of which call they are.

    A success counts whichever request it answers; otherwise the newest request that was answered does.
    """
    rows = await sharing.exchanges_of(session, request_ids)
    answered = [row for row in rows if row.answered_at is not None]
    api = rows[-1].api if rows else ""
    if not answered:
        return ExchangeAnswer(), api
    if any(not row.error_code for row in answered):
        return ExchangeAnswer(outcome=AnswerOutcome.DONE), api
    outcome, _, code = answered[-1].error_code.partition(":")
    return ExchangeAnswer(outcome=AnswerOutcome(outcome), code=code or outcome.upper()), api
