"""ReportDelivery with real activities, PostgreSQL and the dispatcher, against simulated WhatsApp, SMS and e-mail."""

import uuid
from dataclasses import dataclass, replace
from datetime import timedelta

import pytest
from temporalio.client import Client, WorkflowHandle, WorkflowUpdateFailedError

from connectors.messaging import MessageChannel
from domain import ids
from domain.enums import StepDecision
from domain.messages import ReportInput, StepCommandRef
from domain.messaging import OutboundMessage, SentMessage
from domain.policies import DeliveryPolicy, LabPolicies, PartnerPolicy
from domain.sharing_messages import DeliveryResult
from store.tables.patients import Patient
from tests.fixtures.sharing_desk import CONFIDENTIAL_TEST, IssuedReport, SharingDesk
from tests.fixtures.workflows import eventually, running
from tests.workflows.standins import IMPATIENT, QUICK
from workflows import queues
from workflows.report_delivery import ReportDeliveryWorkflow

WORKFLOWS = [ReportDeliveryWorkflow]
Handle = WorkflowHandle[ReportDeliveryWorkflow, DeliveryResult]


async def start(
    client: Client, desk: SharingDesk, report: IssuedReport, *, confirm_s: float = 10, partner: PartnerPolicy = QUICK
) -> Handle:
    policies = LabPolicies(delivery=DeliveryPolicy(confirm_within=timedelta(seconds=confirm_s), partner=partner))
    desk.connect(client, policies)
    return await client.start_workflow(
        ReportDeliveryWorkflow.run,
        ReportInput(lab="LAB1", order_no=report.order_no, report_id=report.report_id, policies=policies),
        id=ids.delivery_workflow_id(report.report_id),
        task_queue=queues.ORCHESTRATION,
    )


async def attention(desk: SharingDesk, report: IssuedReport, *keys: str) -> None:
    async def shown() -> bool:
        return await desk.attention(report) == [f"ReportDelivery:{key}" for key in keys]

    await eventually(shown)


async def correct(desk: SharingDesk, report: IssuedReport, **changes: object) -> None:
    async with desk.database.transaction() as session:
        patient = await session.get_one(Patient, report.patient_id)
        patient.sqlmodel_update(changes)
        session.add(patient)


async def test_a_report_is_read_on_whatsapp(lab_client: Client, desk: SharingDesk):
    report = await desk.report()
    async with running(lab_client, WORKFLOWS, *desk.activities, cached=0):
        handle = await start(lab_client, desk, report)
        async with desk.pumping():
            result = await handle.result()
    assert (result.outcome in {"read", "delivered"}, result.channel, result.rounds) == (True, "whatsapp", 1)
    await desk.pump()
    assert await desk.events(report) == ["report_sent", "report_delivered"]
    assert (desk.sms_messages, desk.mail.mails) == ([], [])


async def test_reports_of_the_provider_may_repeat_and_come_in_any_order(lab_client: Client, desk: SharingDesk):
    behaviour = desk.whatsapp.state.sender.behaviour
    behaviour.webhooks_duplicate = behaviour.webhooks_reversed = True
    report = await desk.report()
    async with running(lab_client, WORKFLOWS, *desk.activities):
        handle = await start(lab_client, desk, report)
        async with desk.pumping():
            assert (await handle.result()).channel == "whatsapp"
    await desk.pump()
    (message,) = await desk.messages(report)
    assert message.state == "read"
    assert await desk.events(report) == ["report_sent", "report_delivered"]


@dataclass
class EarlyBird:
    """A channel whose status reports are here before its answer."""

    channel: MessageChannel
    desk: SharingDesk

    @property
    def name(self) -> str:
        return self.channel.name

    async def send(self, message: OutboundMessage) -> SentMessage:
        sent = await self.channel.send(message)
        await self.desk.pump()
        return sent


async def test_a_proof_that_comes_before_the_answer_counts(lab_client: Client, desk: SharingDesk):
    early = EarlyBird(desk.notifications.channels["whatsapp"], desk)
    desk.notifications = replace(desk.notifications, channels={"whatsapp": early})
    report = await desk.report()
    async with running(lab_client, WORKFLOWS, *desk.activities):
        handle = await start(lab_client, desk, report)
        assert (await handle.result()).outcome == "read"
    (message,) = await desk.messages(report)
    assert message.state == "read"
    assert message.provider_id.startswith("wamid.")


async def test_a_lost_answer_is_settled_by_the_status_report(lab_client: Client, desk: SharingDesk):
    desk.whatsapp.state.sender.behaviour.drop_after_next = 1
    report = await desk.report()
    async with running(lab_client, WORKFLOWS, *desk.activities):
        handle = await start(lab_client, desk, report)
        async with desk.pumping():
            assert (await handle.result()).channel == "whatsapp"
    assert len(desk.whatsapp_messages) == 1


async def test_a_number_that_is_not_on_whatsapp_gets_an_sms(lab_client: Client, desk: SharingDesk):
    report = await desk.report(await desk.patient(phone="+919000010026"))
    async with running(lab_client, WORKFLOWS, *desk.activities, cached=0):
        handle = await start(lab_client, desk, report)
        async with desk.pumping():
            result = await handle.result()
    assert (result.outcome, result.channel) == ("delivered", "sms")
    states = {row.channel: (row.state, row.error_code) for row in await desk.messages(report)}
    assert states["whatsapp"] == ("failed", "131026")
    assert "report_send_failed" in await desk.events(report)


async def test_a_refusal_at_once_leads_to_the_next_channel(lab_client: Client, desk: SharingDesk):
    desk.whatsapp.state.number.templates.clear()
    report = await desk.report()
    async with running(lab_client, WORKFLOWS, *desk.activities):
        handle = await start(lab_client, desk, report)
        async with desk.pumping():
            assert (await handle.result()).channel == "sms"


async def test_a_channel_that_confirms_nothing_is_followed_by_the_next_and_a_late_proof_wins(
    lab_client: Client, desk: SharingDesk
):
    report = await desk.report()

    async def sms_sent() -> bool:
        return len(desk.sms_messages) == 1

    async with running(lab_client, WORKFLOWS, *desk.activities):
        handle = await start(lab_client, desk, report, confirm_s=2)
        await eventually(sms_sent)
        await desk.whatsapp.state.sender.drain()
        await desk.dispatcher.drain()
        assert (await handle.result()).channel == "whatsapp"
    assert desk.mail.mails == []


async def test_mail_is_the_last_thing_tried_and_needs_no_proof(lab_client: Client, desk: SharingDesk):
    report = await desk.report(await desk.patient(phone=""))
    async with running(lab_client, WORKFLOWS, *desk.activities):
        result = await (await start(lab_client, desk, report)).result()
    assert (result.outcome, result.channel) == ("accepted", "email")
    assert report.order_no in desk.mail.mails[0].text


async def test_a_provider_away_shows_and_then_sends(lab_client: Client, desk: SharingDesk):
    behaviour = desk.whatsapp.state.sender.behaviour
    behaviour.down = True
    report = await desk.report()
    async with running(lab_client, WORKFLOWS, *desk.activities):
        handle = await start(lab_client, desk, report, partner=IMPATIENT.model_copy(update={"max_retry": timedelta(0)}))
        await attention(desk, report, "send_whatsapp")
        behaviour.down = False
        async with desk.pumping():
            assert (await handle.result()).channel == "whatsapp"
    assert await desk.attention(report) == []
    assert len(desk.whatsapp_messages) == 1


async def test_a_confidential_report_is_withheld(lab_client: Client, desk: SharingDesk):
    report = await desk.report(values={CONFIDENTIAL_TEST: "Reactive"})
    async with running(lab_client, WORKFLOWS, *desk.activities, cached=0):
        assert (await (await start(lab_client, desk, report)).result()).outcome == "withheld"
    assert (desk.whatsapp_messages, desk.sms_messages, desk.mail.mails) == ([], [], [])
    assert await desk.events(report) == ["report_withheld"]


async def test_a_replaced_version_is_left_to_its_successor(lab_client: Client, desk: SharingDesk):
    first = await desk.report()
    await desk.issue(first)
    async with running(lab_client, WORKFLOWS, *desk.activities):
        assert (await (await start(lab_client, desk, first)).result()).outcome == "superseded"
    assert desk.whatsapp_messages == []


@pytest.mark.parametrize(("decision", "outcome"), [("answer", "handed_over"), ("skip", "skipped")])
async def test_a_patient_who_does_not_want_messages_is_served_by_hand(
    lab_client: Client, desk: SharingDesk, decision: str, outcome: str
):
    report = await desk.report(await desk.patient(has_message_consent=False))
    async with running(lab_client, WORKFLOWS, *desk.activities):
        handle = await start(lab_client, desk, report)
        await attention(desk, report, "deliver_report")
        await desk.decide(report, handle.id, "deliver_report", decision)
        assert (await handle.result()).outcome == outcome
    assert (desk.whatsapp_messages, desk.sms_messages, desk.mail.mails) == ([], [], [])
    assert await desk.attention(report) == []


async def test_staff_correct_the_address_and_try_again(lab_client: Client, desk: SharingDesk):
    report = await desk.report(await desk.patient(phone="", email=""))
    async with running(lab_client, WORKFLOWS, *desk.activities, cached=0):
        handle = await start(lab_client, desk, report)
        await attention(desk, report, "deliver_report")
        await correct(desk, report, email="asha@patients.example")
        await desk.decide(report, handle.id, "deliver_report", "retry")
        result = await handle.result()
    assert (result.outcome, result.rounds) == ("accepted", 2)


async def test_a_proof_that_comes_while_staff_are_asked_ends_the_question(lab_client: Client, desk: SharingDesk):
    report = await desk.report(await desk.patient(email=""))
    async with running(lab_client, WORKFLOWS, *desk.activities):
        handle = await start(lab_client, desk, report, confirm_s=0.2)
        await attention(desk, report, "deliver_report")
        await desk.pump()
        assert (await handle.result()).outcome in {"read", "delivered"}
    assert await desk.attention(report) == []


async def test_staff_skip_a_channel_that_is_away(lab_client: Client, desk: SharingDesk):
    desk.whatsapp.state.sender.behaviour.down = True
    report = await desk.report()
    async with running(lab_client, WORKFLOWS, *desk.activities):
        handle = await start(lab_client, desk, report, partner=IMPATIENT)
        await attention(desk, report, "send_whatsapp")
        await desk.decide(report, handle.id, "send_whatsapp", "skip")
        async with desk.pumping():
            assert (await handle.result()).channel == "sms"


async def test_a_decision_about_a_step_that_does_not_wait_is_refused(lab_client: Client, desk: SharingDesk):
    report = await desk.report(await desk.patient(has_message_consent=False))
    async with running(lab_client, WORKFLOWS, *desk.activities):
        handle = await start(lab_client, desk, report)
        await attention(desk, report, "deliver_report")
        ref = StepCommandRef(command_id=str(uuid.uuid4()), step="send_fax", decision=StepDecision.SKIP)
        with pytest.raises(WorkflowUpdateFailedError):
            await handle.execute_update(ReportDeliveryWorkflow.resolve_step, ref)
        await handle.terminate()
