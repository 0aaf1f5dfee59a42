"""Where events of the messaging providers and of ABDM belong.

Status reports move a message's state, callbacks are kept on the exchange they answer, consents and requests become
rows: all in the routing transaction, so that the signalled run finds them, and so that late ones are kept although
their run has ended.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from sqlmodel.ext.asyncio.session import AsyncSession

from activities.care_contexts import record_answer
from activities.notifications import note_delivery_report, report_id_of
from activities.people import system
from activities.transfers import stored_artefact, stored_request
from connectors.abdm.webhook import (
    CONSENT_NOTIFIED,
    HEALTH_INFO_REQUESTED,
    LINK_ANSWERED,
    LINK_TOKEN_ANSWERED,
    NOTICE_ANSWERED,
    answer_from,
    consent_from,
    health_info_request_from,
)
from connectors.sms import webhook as sms
from connectors.whatsapp import webhook as whatsapp
from domain import ids
from domain.errors import MessageError
from domain.health_records import ConsentArtefact, ConsentStatus
from domain.messages import PartnerEventRef, SignalName, TransferInput, WorkflowType
from domain.messaging import delivery_state_of
from domain.partner_events import PartnerEvent
from domain.sharing_messages import ConsentNoticeInput
from inbox.partner_events import Done, Route, Router, Signal, Start, Unmatched
from store import audit, sharing
from store.tables.exchange import PartnerEventRow
from store.tables.sharing import Consent, HealthInfoTransferRow

_ENDED = {ConsentStatus.REVOKED.value, ConsentStatus.EXPIRED.value}


async def route_message_event(session: AsyncSession, row: PartnerEventRow) -> Route:
    """Apply a status report to its message and tell the delivery of the report it is about."""
    state = delivery_state_of(row.kind)
    if state is None:
        return Done("not a status report", is_ignored=True)
    known = await sharing.find_notification(session, row.source, reference=row.reference, provider_id=row.entity_id)
    if known is None:
        return Unmatched("no message of ours has this id")
    notification = await note_delivery_report(session, known, state, _code_of(row))
    report_id = report_id_of(notification)
    if not report_id:
        return Done(f"message is {notification.state}")
    told = PartnerEventRef(
        event_row_id=str(row.id), source=row.source, kind=row.kind, entity_id=row.entity_id, reference=str(known)
    )
    return Signal(ids.delivery_workflow_id(report_id), SignalName.PARTNER_EVENT_RECEIVED, told)


def _code_of(row: PartnerEventRow) -> str:
    """Return the provider's error code of a status report, or ""."""
    parse = _PARSERS.get(row.source)
    try:
        events = parse(bytes(row.raw), {}) if parse else []
    except MessageError:
        return ""
    return next((event.code for event in events if event.event_id == row.event_id), "")


async def route_abdm_event(session: AsyncSession, row: PartnerEventRow) -> Route:
    """Keep what a callback of the gateway says, and signal or start the run it is for."""
    route = _ABDM_ROUTES.get(row.kind)
    if route is None:
        return Done("nothing here is about this", is_ignored=True)
    try:
        return await route(session, row)
    except MessageError as error:
        return Done(f"{error.code}: {error.message}", is_ignored=True)


async def _route_answer(session: AsyncSession, row: PartnerEventRow) -> Route:
    exchange = await record_answer(session, answer_from(row.raw))
    if exchange is None:
        return Unmatched("no request of ours has this id")
    told = PartnerEventRef(
        event_row_id=str(row.id), source=row.source, kind=row.kind, entity_id=str(exchange.id),
        reference=row.reference,
    )  # fmt: skip
    return Signal(exchange.workflow_id, SignalName.PARTNER_EVENT_RECEIVED, told)


async def _route_consent(session: AsyncSession, row: PartnerEventRow) -> Route:
    artefact = consent_from(row.raw)
    await _keep_consent(session, artefact, row)
    consent_id, status, notice_id = artefact.consent_id, artefact.status.value, row.event_id
    return Start(
        ids.consent_workflow_id(consent_id, status),
        WorkflowType.CONSENT_NOTICE,
        lambda lab, policies: ConsentNoticeInput(
            lab=lab, consent_id=consent_id, status=status, notice_id=notice_id, policies=policies
        ),
        f"Consent {status.lower()}",
    )


async def _keep_consent(session: AsyncSession, artefact: ConsentArtefact, row: PartnerEventRow) -> None:
    """Keep a consent's status and, with a grant, what it allows. An ended consent never becomes granted again."""
    detail, status = stored_artefact(artefact), artefact.status.value
    kept, is_new = await sharing.claim_consent(
        session,
        Consent(
            consent_id=artefact.consent_id,
            status=status,
            artefact=detail,
            expires_at=artefact.data_erase_at,
            status_at=row.received_at,
        ),
    )
    if artefact.status is ConsentStatus.GRANTED:
        kept.artefact, kept.expires_at = detail, artefact.data_erase_at
    is_changed = is_new or (kept.status != status and kept.status not in _ENDED)
    if is_changed:
        kept.status, kept.status_at = status, row.received_at
    session.add(kept)
    if is_changed:
        await audit.record(
            session, chain="lab", actor=system(WorkflowType.CONSENT_NOTICE.value), action=f"consent.{status.lower()}",
            object_kind="consent", object_id=artefact.consent_id,
            body={"records": len(artefact.care_contexts), "requester": artefact.hiu_id},
        )  # fmt: skip


async def _route_request(session: AsyncSession, row: PartnerEventRow) -> Route:
    asked = health_info_request_from(row.raw)
    await sharing.add_transfer(
        session,
        HealthInfoTransferRow(
            transaction_id=asked.transaction_id,
            consent_id=asked.consent_id,
            request=stored_request(asked, row.event_id),
        ),
    )
    transaction_id, requested_at = asked.transaction_id, row.received_at
    return Start(
        ids.transfer_workflow_id(transaction_id),
        WorkflowType.HEALTH_INFO_TRANSFER,
        lambda lab, policies: TransferInput(
            lab=lab, transaction_id=transaction_id, requested_at=requested_at, policies=policies
        ),
        "Health information requested",
    )


_PARSERS: Mapping[str, Callable[[bytes, Mapping[str, str]], list[PartnerEvent]]] = {
    "whatsapp": whatsapp.parse,
    "sms": sms.parse,
}

_ABDM_ROUTES: Mapping[str, Router] = {
    LINK_TOKEN_ANSWERED: _route_answer,
    LINK_ANSWERED: _route_answer,
    NOTICE_ANSWERED: _route_answer,
    CONSENT_NOTIFIED: _route_consent,
    HEALTH_INFO_REQUESTED: _route_request,
}

SHARING_ROUTERS: Mapping[str, Router] = {
    "whatsapp": route_message_event,
    "sms": route_message_event,
    "abdm": route_abdm_event,
}
"""For `inbox.partner_events.routers`."""
