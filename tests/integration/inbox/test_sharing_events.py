"""Where events of messaging providers and ABDM go, and what they leave in PostgreSQL, one event at a time."""

import json
import uuid
from datetime import UTC, datetime, timedelta

import pytest
from sqlmodel import select

from activities import care_contexts
from activities.notifications import SendReport
from connectors.abdm import webhook
from domain.clock import utc_now
from domain.messages import SignalName, TransferInput, WorkflowType
from domain.messaging import DeliveryState, delivery_kind
from domain.policies import LabPolicies
from domain.sharing_messages import ConsentNoticeInput
from inbox.partner_events import Done, Route, Signal, Start, Unmatched, routers
from inbox.sharing_events import SHARING_ROUTERS
from store import sharing
from store.tables.exchange import AuditEntry, PartnerEventRow
from store.tables.sharing import AbdmExchange, Consent, HealthInfoTransferRow, Notification
from tests.fixtures.sharing_desk import HIP_ID, IssuedReport, SharingDesk


async def route(desk: SharingDesk, source: str, kind: str, *, body: object = None, **facts: str) -> Route:
    """Store an event and route it, as the dispatcher does."""
    raw = body if isinstance(body, bytes) else json.dumps(body or {}).encode()
    async with desk.database.transaction() as session:
        row = PartnerEventRow(
            source=source, event_id=facts.pop("event_id", str(uuid.uuid4())), kind=kind, raw=raw,
            received_at=utc_now(), **facts,
        )  # fmt: skip
        session.add(row)
        await session.flush()
        return await routers(SHARING_ROUTERS)[source](session, row)


# Status reports of messages


async def sent(desk: SharingDesk, channel: str = "whatsapp") -> tuple[IssuedReport, str]:
    report = await desk.report()
    request = SendReport(order_no=report.order_no, report_id=report.report_id, channel=channel)
    return report, (await desk.run(desk.notifications.send_report, request)).notification_id


async def notification(desk: SharingDesk, notification_id: str) -> Notification:
    async with desk.database.transaction() as session:
        return await session.get_one(Notification, uuid.UUID(notification_id))


async def test_a_status_report_moves_the_message_and_signals_the_delivery(desk: SharingDesk):
    report, notification_id = await sent(desk)
    found = await route(desk, "whatsapp", "message.delivered", reference=notification_id, entity_id="wamid.x")
    assert isinstance(found, Signal)
    assert (found.workflow_id, found.name) == (f"delivery:{report.report_id}", SignalName.PARTNER_EVENT_RECEIVED)
    assert found.argument.reference == notification_id
    assert (await notification(desk, notification_id)).state == "delivered"


async def test_a_report_without_our_id_is_matched_by_the_providers(desk: SharingDesk):
    _, notification_id = await sent(desk, "sms")
    provider_id = (await notification(desk, notification_id)).provider_id
    found = await route(desk, "sms", "message.delivered", entity_id=provider_id)
    assert isinstance(found, Signal)
    assert found.argument.reference == notification_id


async def test_states_only_move_upwards_and_delivery_is_noted_once(desk: SharingDesk):
    report, notification_id = await sent(desk)
    for state in (DeliveryState.READ, DeliveryState.FAILED, DeliveryState.DELIVERED, DeliveryState.SENT):
        await route(desk, "whatsapp", delivery_kind(state), reference=notification_id)
    assert (await notification(desk, notification_id)).state == "read"
    assert await desk.events(report) == ["report_sent", "report_delivered"]


async def test_a_failure_keeps_the_providers_code_until_a_proof_of_delivery(desk: SharingDesk):
    report = await desk.report(await desk.patient(phone="+919000010049"))
    request = SendReport(order_no=report.order_no, report_id=report.report_id, channel="whatsapp")
    notification_id = (await desk.run(desk.notifications.send_report, request)).notification_id
    await desk.whatsapp.state.sender.drain()
    async with desk.database.transaction() as session:
        query = select(PartnerEventRow).where(PartnerEventRow.reference == notification_id)
        row = (await session.exec(query)).one()
        await routers(SHARING_ROUTERS)["whatsapp"](session, row)
    failed = await notification(desk, notification_id)
    assert (failed.state, failed.error_code) == ("failed", "131049")
    await route(desk, "whatsapp", "message.delivered", reference=notification_id)
    assert (await notification(desk, notification_id)).state == "delivered"
    assert await desk.events(report) == ["report_sent", "report_send_failed", "report_delivered"]


@pytest.mark.parametrize("facts", [{}, {"reference": str(uuid.uuid4())}, {"reference": "x", "entity_id": "wamid.?"}])
async def test_a_report_about_nothing_of_ours_waits(desk: SharingDesk, facts: dict[str, str]):
    assert isinstance(await route(desk, "whatsapp", "message.sent", **facts), Unmatched)


async def test_a_report_of_one_channel_is_never_about_a_message_of_another(desk: SharingDesk):
    _, notification_id = await sent(desk)
    assert isinstance(await route(desk, "sms", "message.sent", reference=notification_id), Unmatched)


@pytest.mark.parametrize("kind", ["message.received", "account_update", "message.teleported"])
async def test_other_news_of_a_provider_is_ignored(desk: SharingDesk, kind: str):
    found = await route(desk, "whatsapp", kind)
    assert isinstance(found, Done)
    assert found.is_ignored


# Answers of the ABDM gateway


async def asked(desk: SharingDesk, api: str = care_contexts.LINK, about: str = "x") -> str:
    request_id = uuid.uuid4()
    async with desk.database.transaction() as session:
        await sharing.open_exchange(session, request_id, api=api, business_key=about, workflow_id="abdm:r")
    return str(request_id)


async def exchange(desk: SharingDesk, request_id: str) -> AbdmExchange:
    async with desk.database.transaction() as session:
        return await session.get_one(AbdmExchange, uuid.UUID(request_id))


async def test_an_answer_is_kept_and_told_each_time_it_comes(desk: SharingDesk):
    request_id = await asked(desk)
    first = {"status": "Successfully Linked care context", "response": {"requestId": request_id}}
    second = {"error": {"code": "ABDM-1024", "message": "x"}, "response": {"requestId": request_id}}
    for body in (first, second):
        found = await route(desk, "abdm", webhook.LINK_ANSWERED, body=body, reference=request_id)
        assert isinstance(found, Signal)
        assert (found.workflow_id, found.argument.entity_id) == ("abdm:r", request_id)
    assert (await exchange(desk, request_id)).error_code == ""


async def test_a_refusal_is_kept_with_what_it_means(desk: SharingDesk):
    request_id = await asked(desk)
    body = {"error": {"code": "ABDM-1038", "message": "mismatch"}, "response": {"requestId": request_id}}
    await route(desk, "abdm", webhook.LINK_ANSWERED, body=body, reference=request_id)
    assert (await exchange(desk, request_id)).error_code == "token_invalid:ABDM-1038"


async def test_a_token_answer_without_a_token_is_no_success(desk: SharingDesk):
    report = await desk.report()
    about = care_contexts.token_key(report.patient_id, HIP_ID)
    request_id = await asked(desk, care_contexts.LINK_TOKEN, about)
    body = {"status": "SUCCESS", "response": {"requestId": request_id}}
    await route(desk, "abdm", webhook.LINK_TOKEN_ANSWERED, body=body, reference=request_id)
    assert (await exchange(desk, request_id)).error_code == "refused:NO_TOKEN"


@pytest.mark.parametrize("request_id", ["0193a1b2-0000-7000-8000-000000000001", "not-a-uuid"])
async def test_an_answer_to_nobody_waits(desk: SharingDesk, request_id: str):
    body = {"status": "SUCCESS", "response": {"requestId": request_id}}
    assert isinstance(await route(desk, "abdm", webhook.LINK_ANSWERED, body=body), Unmatched)


@pytest.mark.parametrize("kind", [*webhook.CALLBACK_PATHS.values()])
async def test_a_callback_that_cannot_be_read_is_put_aside(desk: SharingDesk, kind: str):
    for body in (b"not json", b"[]", b"{}"):
        found = await route(desk, "abdm", kind, body=body)
        assert isinstance(found, Done)
        assert found.is_ignored


async def test_an_unknown_callback_is_ignored(desk: SharingDesk):
    found = await route(desk, "abdm", "patient.shared")
    assert isinstance(found, Done)
    assert found.is_ignored


# Consents and requests for records

GRANT = {
    "patient": {"id": "asha.k@sbx"},
    "careContexts": [{"patientReference": "P00000001", "careContextReference": "DEL-261123-0001"}],
    "purpose": {"code": "PATRQT"},
    "hiu": {"id": "IN2810099999"},
    "hiTypes": ["DiagnosticReport"],
    "permission": {
        "dateRange": {"from": "2025-11-23T00:00:00.000Z", "to": "2026-11-24T00:00:00.000Z"},
        "dataEraseAt": "2026-12-24T00:00:00.000Z",
    },
}


async def consent(desk: SharingDesk, consent_id: str, status: str) -> Route:
    notice: dict[str, object] = {"status": status, "consentId": consent_id}
    if status == "GRANTED":
        notice["consentDetail"] = GRANT
    return await route(
        desk,
        "abdm",
        webhook.CONSENT_NOTIFIED,
        body={"notification": notice},
        reference=consent_id,
        event_id=f"{consent_id}:{status}:{uuid.uuid4()}",
    )


async def stored(desk: SharingDesk, consent_id: str) -> Consent:
    async with desk.database.transaction() as session:
        return (await session.exec(select(Consent).where(Consent.consent_id == consent_id))).one()


async def test_a_consent_is_kept_and_its_notice_acknowledged(desk: SharingDesk):
    consent_id = str(uuid.uuid4())
    found = await consent(desk, consent_id, "GRANTED")
    assert isinstance(found, Start)
    assert (found.kind, found.workflow_id) == (WorkflowType.CONSENT_NOTICE, f"abdm-consent:{consent_id}:GRANTED")
    argument = found.argument("LAB1", LabPolicies())
    assert isinstance(argument, ConsentNoticeInput)
    assert (argument.lab, argument.notice_id.startswith(consent_id)) == ("LAB1", True)
    row = await stored(desk, consent_id)
    assert row.expires_at == datetime(2026, 12, 24, tzinfo=UTC)
    assert row.artefact["patient_abha_address"] == "asha.k@sbx"


@pytest.mark.parametrize(
    ("notices", "status"),
    [
        (["GRANTED", "REVOKED"], "REVOKED"),
        (["REVOKED", "GRANTED"], "REVOKED"),
        (["GRANTED", "EXPIRED", "GRANTED"], "EXPIRED"),
        (["GRANTED", "PAUSED"], "UNKNOWN"),
        (["REQUESTED", "GRANTED"], "GRANTED"),
        (["EXPIRED", "REVOKED"], "EXPIRED"),
    ],
)
async def test_an_ended_consent_never_comes_back(desk: SharingDesk, notices: list[str], status: str):
    consent_id = str(uuid.uuid4())
    for notice in notices:
        await consent(desk, consent_id, notice)
    row = await stored(desk, consent_id)
    assert row.status == status
    assert bool(row.artefact["care_contexts"]) == ("GRANTED" in notices)


async def test_each_change_of_a_consent_is_audited_once(desk: SharingDesk):
    consent_id = str(uuid.uuid4())
    for notice in ("GRANTED", "GRANTED", "REVOKED", "GRANTED"):
        await consent(desk, consent_id, notice)
    async with desk.database.transaction() as session:
        query = select(AuditEntry.action).where(AuditEntry.object_id == consent_id).order_by(AuditEntry.seq)
        assert (await session.exec(query)).all() == ["consent.granted", "consent.revoked"]


async def test_a_request_for_records_is_kept_once_and_started(desk: SharingDesk):
    transaction_id = str(uuid.uuid4())
    body = {
        "transactionId": transaction_id,
        "hiRequest": {
            "consent": {"id": "c"},
            "dateRange": {"from": "2026-01-01T00:00:00.000Z", "to": "2026-11-01T00:00:00.000Z"},
            "dataPushUrl": "https://hiu.example/push",
            "keyMaterial": {"dhPublicKey": {"expiry": "2026-11-24T00:00:00.000Z", "keyValue": "BA=="}, "nonce": "AA=="},
        },
    }
    callback_id = str(uuid.uuid4())
    for event_id in (callback_id, str(uuid.uuid4())):
        found = await route(desk, "abdm", webhook.HEALTH_INFO_REQUESTED, body=body, event_id=event_id)
        assert isinstance(found, Start)
        assert found.workflow_id == f"abdm-hi:{transaction_id}"
    argument = found.argument("LAB1", LabPolicies())
    assert isinstance(argument, TransferInput)
    assert argument.requested_at is not None
    assert utc_now() - argument.requested_at < timedelta(minutes=1)
    async with desk.database.transaction() as session:
        wanted = HealthInfoTransferRow.transaction_id == transaction_id
        row = (await session.exec(select(HealthInfoTransferRow).where(wanted))).one()
    assert (row.state, row.consent_id, row.request["callback_request_id"]) == ("requested", "c", callback_id)
