"""Steps with ABDM: linking a report to the patient's health record, answering consents, sending records on request.

The gateway answers by callback. Each request is on record before it is sent, under the REQUEST-ID it carries, so an
answer always finds what it belongs to; the inbox writes the answer there and signals the run that waits.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict
from temporalio import activity

from activities import care_contexts, transfers
from activities.care_contexts import Exchange, ExchangeAnswer, LinkPlan
from activities.people import system
from activities.resources import not_configured
from connectors.abdm import AbdmConnector
from connectors.files import FilesConnector
from connectors.http import PartnerHttp
from domain.clock import utc_now
from domain.enums import CareContextState
from domain.errors import ConnectorError, RequestError
from domain.health_records import Acceptance, AnswerOutcome
from domain.messages import WorkflowType
from domain.sharing_messages import ReportRef
from store import audit, sharing
from store.session import Database
from store.sharing import SharedReport

_BRANCHED = {
    "LINK_TOKEN_INVALID": AnswerOutcome.TOKEN_INVALID,
    "CARE_CONTEXT_NOT_LINKED_YET": AnswerOutcome.NOT_LINKED_YET,
}
"""Refusals given at once that mean the same as the callback of that kind."""


class AskGateway(ReportRef):
    """Ask the gateway for something about a report.

    Attributes:
        request_id: REQUEST-ID: the same for every attempt of one try, a fresh one for the next try.
    """

    request_id: str


class TakeAnswer(ReportRef):
    """Look whether the gateway has answered any of these requests."""

    request_ids: tuple[str, ...]


class SetCareContext(ReportRef):
    """Staff decided where the care context of a report stands."""

    state: CareContextState


class AcknowledgeConsent(BaseModel):
    """Confirm that a consent notice was stored.

    Attributes:
        notice_id: REQUEST-ID of the notice.
        request_id: REQUEST-ID of the confirmation.
    """

    model_config = ConfigDict(frozen=True)
    consent_id: str
    notice_id: str
    request_id: str


class TransferStep(BaseModel):
    """One step of answering a request for records; `request_id` is the REQUEST-ID of the call it makes."""

    model_config = ConfigDict(frozen=True)
    transaction_id: str
    request_id: str = ""


class Acknowledged(BaseModel):
    """What the requester was told.

    Attributes:
        refusal: The network's code of our refusal, or "" when the request is served.
    """

    model_config = ConfigDict(frozen=True)
    refusal: str = ""


class Pushed(BaseModel):
    """Care contexts whose records were sent."""

    model_config = ConfigDict(frozen=True)
    references: tuple[str, ...]


class CloseTransfer(TransferStep):
    """Report how a transfer ended.

    Attributes:
        references: Care contexts that were sent.
        code: Why it failed, or "".
    """

    outcome: Literal["transferred", "failed"]
    references: tuple[str, ...] = ()
    code: str = ""


@dataclass(frozen=True)
class HealthRecordActivities:
    """Every step with ABDM.

    Attributes:
        abdm: The gateway, or None where the lab has not joined the network.
        push: Sends to addresses that requesters choose, and refuses private ones; None without `abdm`.
    """

    database: Database
    abdm: AbdmConnector | None
    push: PartnerHttp | None
    files: FilesConnector

    @activity.defn(name="abdm.prepare_link")
    async def prepare_link(self, key: ReportRef) -> LinkPlan:
        """Decide whether a report may be linked, and what remains to be done."""
        async with self.database.transaction() as session:
            return await care_contexts.plan_link(session, key)

    @activity.defn(name="abdm.request_link_token")
    async def request_link_token(self, ask: AskGateway) -> ExchangeAnswer:
        """Ask for a link token unless a valid one is there.

        Raises:
            RuleError: Our record of the patient lacks what the demographic match needs.
            ConnectorError: As the connector.
        """
        gateway = self._gateway()
        hip_id = gateway.settings.hip_id
        shared = await self._shared(ask)
        async with self.database.transaction() as session:
            if await care_contexts.valid_token(session, shared.patient.id, hip_id) is not None:
                return ExchangeAnswer(outcome=AnswerOutcome.DONE)
        patient = care_contexts.abha_patient(shared.patient)
        exchange = self._exchange(care_contexts.LINK_TOKEN, care_contexts.token_key(shared.patient.id, hip_id))
        return await self._ask(
            ask, exchange, lambda: gateway.request_link_token(patient=patient, request_id=ask.request_id)
        )

    @activity.defn(name="abdm.link_care_context")
    async def link_care_context(self, ask: AskGateway) -> ExchangeAnswer:
        """Ask the gateway to link a report; without a valid link token the answer says so at once.

        Raises:
            ConnectorError: As the connector.
        """
        gateway = self._gateway()
        shared = await self._shared(ask)
        async with self.database.transaction() as session:
            token = await care_contexts.valid_token(session, shared.patient.id, gateway.settings.hip_id)
        if token is None:
            return ExchangeAnswer(outcome=AnswerOutcome.TOKEN_INVALID, code="LINK_TOKEN_INVALID")
        context, patient = care_contexts.care_context(shared), care_contexts.abha_patient(shared.patient)
        return await self._ask(
            ask,
            self._exchange(care_contexts.LINK, context.reference),
            lambda: gateway.link_care_context(
                link_token=token, patient=patient, contexts=[context], request_id=ask.request_id
            ),
        )

    @activity.defn(name="abdm.notify_care_context")
    async def notify_care_context(self, ask: AskGateway) -> ExchangeAnswer:
        """Tell the network that a linked report has data.

        Raises:
            RequestError: The patient's ABHA address is not known.
            ConnectorError: As the connector.
        """
        gateway = self._gateway()
        shared = await self._shared(ask)
        address = shared.patient.abha_address
        if not address:
            raise RequestError(
                "the patient's ABHA address is not known", code="ABHA_ADDRESS_MISSING", connector="abdm",
                action="Add the ABHA address to the patient's record and retry, or skip the step.",
            )  # fmt: skip
        context = care_contexts.care_context(shared)
        return await self._ask(
            ask,
            self._exchange(care_contexts.NOTICE, context.reference),
            lambda: gateway.notify_care_context(
                patient_address=address, context=context, date=shared.report.issued_at, request_id=ask.request_id
            ),
        )

    @activity.defn(name="abdm.take_answer")
    async def take_answer(self, wanted: TakeAnswer) -> ExchangeAnswer:
        """Return what the gateway has answered so far and keep what follows from a success."""
        async with self.database.transaction() as session:
            answer, api = await care_contexts.answer_to(session, wanted.request_ids)
        if answer.outcome is AnswerOutcome.DONE:
            await self._settle(wanted, api)
        return answer

    @activity.defn(name="abdm.drop_link_token")
    async def drop_link_token(self, key: ReportRef) -> None:
        """Stop using the patient's link token: the gateway refused it."""
        hip_id = self._gateway().settings.hip_id
        async with self.database.transaction() as session:
            shared = await sharing.shared_report(session, key.order_no, key.report_id)
            await sharing.expire_link_token(session, shared.patient.id, hip_id)

    @activity.defn(name="abdm.set_care_context")
    async def set_care_context(self, wanted: SetCareContext) -> None:
        """Keep what staff decided about a care context."""
        async with self.database.transaction() as session:
            await care_contexts.set_state(session, wanted, wanted.state)

    @activity.defn(name="abdm.acknowledge_consent")
    async def acknowledge_consent(self, wanted: AcknowledgeConsent) -> None:
        """Confirm to the gateway that a consent notice is stored.

        Raises:
            ConnectorError: As the connector.
        """
        await self._gateway().acknowledge_consent(
            consent_id=wanted.consent_id, callback_request_id=wanted.notice_id, request_id=wanted.request_id
        )
        async with self.database.transaction() as session:
            await audit.record(
                session, chain="lab", actor=system(WorkflowType.CONSENT_NOTICE.value), action="consent.acknowledged",
                object_kind="consent", object_id=wanted.consent_id,
            )  # fmt: skip

    @activity.defn(name="abdm.acknowledge_request")
    async def acknowledge_request(self, step: TransferStep) -> Acknowledged:
        """Accept a request for records, or refuse it when the consent does not cover it.

        Raises:
            ConnectorError: As the connector.
        """
        async with self.database.transaction() as session:
            asked = await transfers.asked_for(session, step.transaction_id)
        refusal = asked.refusal
        await self._gateway().acknowledge_health_info_request(
            transaction_id=step.transaction_id, callback_request_id=asked.callback_request_id,
            request_id=step.request_id, refusal=refusal,
        )  # fmt: skip
        state, code = ("refused", refusal.code) if refusal else ("acknowledged", "")
        async with self.database.transaction() as session:
            await transfers.set_state(session, step.transaction_id, state, code=code)
        return Acknowledged(refusal=code)

    @activity.defn(name="abdm.push_records")
    async def push_records(self, step: TransferStep) -> Pushed:
        """Send the records that the consent opens as it stands now.

        Raises:
            RequestError: The consent no longer covers them, there are none, or the address is refused.
            LabError: As rendering, encryption, the object store or the requester.
        """
        gateway = self._gateway()
        if self.push is None:
            raise not_configured("abdm", "abdm")
        async with self.database.transaction() as session:
            asked = await transfers.asked_for(session, step.transaction_id)
            reports = await transfers.reports_for(session, asked)
        refusal = asked.refusal
        if refusal is not None:
            raise RequestError(
                "the consent no longer covers the request", code="CONSENT_NOT_VALID", partner_code=refusal.code,
                action="Nothing: it was taken back or has ended.", connector="abdm",
            )  # fmt: skip
        if not reports:
            raise transfers.nothing_to_send()
        for shared in reports:
            care_contexts.check_facility(shared, gateway.settings.hip_id)
        await transfers.Sender(self.database, gateway, self.push, self.files).send(asked, reports)
        return Pushed(references=tuple(shared.facts.order.order_no for shared in reports))

    @activity.defn(name="abdm.notify_transfer")
    async def notify_transfer(self, done: CloseTransfer) -> None:
        """Keep how a transfer ended and report it to the gateway, also when it failed.

        Raises:
            ConnectorError: As the connector.
        """
        async with self.database.transaction() as session:
            asked = await transfers.asked_for(session, done.transaction_id)
            due = await transfers.reports_for(session, asked)
            await transfers.note_shared(session, done.transaction_id, done.references)
            await transfers.set_state(
                session, done.transaction_id, done.outcome, code=done.code, sent_count=len(done.references)
            )
        sent = dict.fromkeys(done.references, True)
        await self._gateway().notify_transfer(
            consent_id=asked.request.consent_id,
            transaction_id=done.transaction_id,
            delivered=sent or {shared.facts.order.order_no: False for shared in due},
            done_at=utc_now(),
            request_id=done.request_id,
        )

    def _gateway(self) -> AbdmConnector:
        if self.abdm is None:
            raise not_configured("abdm", "abdm")
        return self.abdm

    async def _shared(self, key: ReportRef) -> SharedReport:
        """Return a report that may be linked, checked again: consent may have been taken back since the plan."""
        async with self.database.transaction() as session:
            shared = await sharing.shared_report(session, key.order_no, key.report_id)
        if shared.report.is_confidential or not shared.patient.has_record_consent:
            raise RequestError(
                "this report is not shared", code="RECORD_NOT_SHARED", connector="abdm",
                action="Skip the step: the report is confidential or the patient took the consent back.",
            )  # fmt: skip
        care_contexts.check_facility(shared, self._gateway().settings.hip_id)
        return shared

    @staticmethod
    def _exchange(api: str, about: str) -> Exchange:
        return Exchange(api, about, activity.info().workflow_id or "")

    async def _ask(
        self, ask: AskGateway, exchange: Exchange, send: Callable[[], Awaitable[Acceptance]]
    ) -> ExchangeAnswer:
        """Put a request on record, then send it; its answer comes later unless the gateway refuses at once."""
        request_id = UUID(ask.request_id)
        async with self.database.transaction() as session:
            await sharing.open_exchange(
                session, request_id, api=exchange.api, business_key=exchange.about, workflow_id=exchange.workflow_id
            )
        try:
            await send()
        except ConnectorError as error:
            if error.retryable:
                raise
            outcome = _BRANCHED.get(error.code)
            await self._close(request_id, outcome or AnswerOutcome.REFUSED, error.partner_code or error.code)
            if outcome is None:
                raise
            return ExchangeAnswer(outcome=outcome, code=error.code)
        return ExchangeAnswer()

    async def _close(self, request_id: UUID, outcome: AnswerOutcome, code: str) -> None:
        async with self.database.transaction() as session:
            row = await sharing.lock_exchange(session, request_id)
            if row is not None and row.answered_at is None:
                care_contexts.close_exchange(row, outcome, code)
                session.add(row)

    async def _settle(self, key: ReportRef, api: str) -> None:
        states = {care_contexts.LINK: CareContextState.LINKED, care_contexts.NOTICE: CareContextState.NOTIFIED}
        if api in states:
            async with self.database.transaction() as session:
                await care_contexts.set_state(session, key, states[api])
