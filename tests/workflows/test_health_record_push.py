"""HealthRecordPush with real activities, PostgreSQL and the dispatcher, against the simulated ABDM network."""

import uuid
from dataclasses import replace
from datetime import timedelta

import pytest
from sqlmodel import select
from temporalio.client import Client, WorkflowHandle, WorkflowUpdateFailedError

from activities import care_contexts
from connectors.abdm.simulator.network import Link
from domain import ids
from domain.clock import utc_now
from domain.enums import CareContextState, StepDecision
from domain.health_records import AnswerOutcome, GatewayAnswer
from domain.messages import ReportInput, StepCommandRef
from domain.policies import LabPolicies, PartnerPolicy, RecordPushPolicy
from domain.sharing_messages import RecordPushResult
from store import sharing
from store.tables.patients import Patient
from store.tables.sharing import AbdmExchange
from tests.fixtures.sharing_desk import CONFIDENTIAL_TEST, HIP_ID, IssuedReport, SharingDesk
from tests.fixtures.workflows import eventually, running
from tests.workflows.standins import IMPATIENT, QUICK
from workflows import queues
from workflows.health_record_push import HealthRecordPushWorkflow

WORKFLOWS = [HealthRecordPushWorkflow]
Handle = WorkflowHandle[HealthRecordPushWorkflow, RecordPushResult]


async def start(
    client: Client,
    desk: SharingDesk,
    report: IssuedReport,
    *,
    callback_s: float = 10,
    tries: int = 3,
    partner: PartnerPolicy = QUICK,
    repeats_s: tuple[float, ...] = (0.3, 0.3, 0.5),
) -> Handle:
    push = RecordPushPolicy(
        callback_within=timedelta(seconds=callback_s),
        tries=tries,
        partner=partner,
        notice_repeats=tuple(timedelta(seconds=pause) for pause in repeats_s),
    )
    policies = LabPolicies(record_push=push)
    desk.connect(client, policies)
    return await client.start_workflow(
        HealthRecordPushWorkflow.run,
        ReportInput(lab="LAB1", order_no=report.order_no, report_id=report.report_id, policies=policies),
        id=ids.record_push_workflow_id(report.report_id),
        task_queue=queues.ORCHESTRATION,
    )


async def attention(desk: SharingDesk, report: IssuedReport, *keys: str) -> None:
    async def shown() -> bool:
        return await desk.attention(report) == [f"HealthRecordPush:{key}" for key in keys]

    await eventually(shown)


async def exchanges(desk: SharingDesk, report: IssuedReport) -> list[AbdmExchange]:
    async with desk.database.transaction() as session:
        workflow_id = ids.record_push_workflow_id(report.report_id)
        query = select(AbdmExchange).where(AbdmExchange.workflow_id == workflow_id).order_by(AbdmExchange.created_at)
        return list((await session.exec(query)).all())


async def give_token(desk: SharingDesk, report: IssuedReport, token: str) -> None:
    answer = GatewayAnswer(str(uuid.uuid4()), AnswerOutcome.DONE, link_token=token)
    async with desk.database.transaction() as session:
        await sharing.open_exchange(
            session, uuid.UUID(answer.request_id), api=care_contexts.LINK_TOKEN,
            business_key=care_contexts.token_key(report.patient_id, HIP_ID), workflow_id="earlier",
        )  # fmt: skip
        await care_contexts.record_answer(session, answer)


async def correct(desk: SharingDesk, report: IssuedReport, **changes: object) -> None:
    async with desk.database.transaction() as session:
        patient = await session.get_one(Patient, report.patient_id)
        patient.sqlmodel_update(changes)
        session.add(patient)


async def test_a_report_is_linked_and_announced(lab_client: Client, desk: SharingDesk):
    report = await desk.report()
    async with running(lab_client, WORKFLOWS, *desk.activities, cached=0):
        handle = await start(lab_client, desk, report)
        async with desk.pumping():
            assert (await handle.result()).outcome == "notified"
    (link,) = desk.network.links
    assert (link.reference, link.patient_reference, link.notices) == (report.order_no, report.patient_no, 1)
    assert (await desk.care_context(report)).state is CareContextState.NOTIFIED
    assert [(row.api, row.error_code) for row in await exchanges(desk, report)] == [
        ("link_token", ""), ("link", ""), ("notice", ""),
    ]  # fmt: skip
    assert await desk.events(report) == ["record_linked", "record_notified"]


async def test_a_second_report_of_the_patient_needs_no_new_token(lab_client: Client, desk: SharingDesk):
    patient = await desk.patient()
    async with running(lab_client, WORKFLOWS, *desk.activities):
        for _ in range(2):
            report = await desk.report(patient)
            async with desk.pumping():
                assert (await (await start(lab_client, desk, report)).result()).outcome == "notified"
    assert [row.api for row in await exchanges(desk, report)] == ["link", "notice"]


async def test_a_new_version_is_announced_in_the_linked_context(lab_client: Client, desk: SharingDesk):
    first = await desk.report()
    async with running(lab_client, WORKFLOWS, *desk.activities), _pumping_for(desk, lab_client):
        assert (await (await start(lab_client, desk, first)).result()).outcome == "notified"
        second = await desk.issue(first)
        assert (await (await start(lab_client, desk, second)).result()).outcome == "notified"
    (link,) = desk.network.links
    assert link.notices == 2
    assert [row.api for row in await exchanges(desk, second)] == ["notice"]


def _pumping_for(desk: SharingDesk, client: Client):
    desk.connect(client, LabPolicies())
    return desk.pumping()


@pytest.mark.parametrize("patient", [{"has_record_consent": False}, {"abha_number": "", "abha_address": ""}])
async def test_without_consent_the_gateway_hears_nothing(
    lab_client: Client, desk: SharingDesk, patient: dict[str, object]
):
    report = await desk.report(await desk.patient(**patient))
    async with running(lab_client, WORKFLOWS, *desk.activities):
        assert (await (await start(lab_client, desk, report)).result()).outcome == "no_consent"
    assert (desk.network.sessions, desk.network.seen_requests) == ({}, set())
    assert await desk.events(report) == ["record_not_shared"]


async def test_a_confidential_report_is_not_linked(lab_client: Client, desk: SharingDesk):
    report = await desk.report(values={CONFIDENTIAL_TEST: "Non-reactive"})
    async with running(lab_client, WORKFLOWS, *desk.activities):
        assert (await (await start(lab_client, desk, report)).result()).outcome == "no_consent"
    assert (desk.network.links, desk.network.seen_requests) == ([], set())


async def test_callbacks_may_come_twice_and_before_the_answer(lab_client: Client, desk: SharingDesk):
    await desk.health_records.abdm.access_token()
    behaviour = desk.abdm.state.sender.behaviour
    behaviour.webhooks_duplicate, behaviour.drop_after_next = True, 1
    report = await desk.report()
    async with running(lab_client, WORKFLOWS, *desk.activities):
        handle = await start(lab_client, desk, report)
        async with desk.pumping():
            assert (await handle.result()).outcome == "notified"
    assert len(desk.network.links) == 1
    assert await desk.events(report) == ["record_linked", "record_notified"]


async def test_a_late_callback_counts_for_the_try_that_follows(lab_client: Client, desk: SharingDesk):
    report = await desk.report()

    async def asked_twice() -> bool:
        return len(await exchanges(desk, report)) >= 2

    async with running(lab_client, WORKFLOWS, *desk.activities):
        handle = await start(lab_client, desk, report, callback_s=1.5)
        await eventually(asked_twice)
        async with desk.pumping():
            assert (await handle.result()).outcome == "notified"
    assert [row.api for row in await exchanges(desk, report)] == ["link_token", "link_token", "link", "notice"]


async def test_a_silent_gateway_is_shown_and_a_late_callback_goes_on(lab_client: Client, desk: SharingDesk):
    report = await desk.report()
    async with running(lab_client, WORKFLOWS, *desk.activities):
        handle = await start(lab_client, desk, report, callback_s=0.2, tries=2)
        await attention(desk, report, "request_link_token")
        async with desk.pumping():
            await handle.result()
    assert await desk.attention(report) == []


async def test_staff_let_a_silent_gateway_be_asked_again(lab_client: Client, desk: SharingDesk):
    behaviour = desk.abdm.state.sender.behaviour
    behaviour.webhooks_off = True
    report = await desk.report()
    async with running(lab_client, WORKFLOWS, *desk.activities, cached=0):
        handle = await start(lab_client, desk, report, callback_s=0.7, tries=1)
        await attention(desk, report, "request_link_token")
        behaviour.webhooks_off = False
        async with desk.pumping():
            await desk.decide(report, handle.id, "request_link_token", "retry")
            assert (await handle.result()).outcome == "notified"


async def test_a_refused_link_token_is_replaced(lab_client: Client, desk: SharingDesk):
    report = await desk.report()
    await give_token(desk, report, "an-old-token")
    async with running(lab_client, WORKFLOWS, *desk.activities):
        handle = await start(lab_client, desk, report)
        async with desk.pumping():
            assert (await handle.result()).outcome == "notified"
    assert [(row.api, row.error_code) for row in await exchanges(desk, report)] == [
        ("link", "token_invalid:ABDM-1026"), ("link_token", ""), ("link", ""), ("notice", ""),
    ]  # fmt: skip


async def test_a_context_that_is_linked_already_is_done(lab_client: Client, desk: SharingDesk):
    report = await desk.report()
    link = Link(HIP_ID, "asha.k@sbx", report.patient_no, report.order_no, "DiagnosticReport", utc_now())
    desk.network.links.append(link)
    async with running(lab_client, WORKFLOWS, *desk.activities):
        handle = await start(lab_client, desk, report)
        async with desk.pumping():
            assert (await handle.result()).outcome == "notified"
    assert len(desk.network.links) == 1


async def test_a_notice_that_overtakes_its_link_is_repeated(lab_client: Client, desk: SharingDesk):
    # so long that the first notice comes too early on a busy machine too
    desk.network.config = replace(desk.network.config, link_commit_s=3.0)
    report = await desk.report()
    async with running(lab_client, WORKFLOWS, *desk.activities):
        handle = await start(lab_client, desk, report, repeats_s=(2, 2, 4))
        async with desk.pumping():
            assert (await handle.result()).outcome == "notified"
    notices = [row.error_code for row in await exchanges(desk, report) if row.api == "notice"]
    assert notices[0] == "not_linked_yet:ABDM-1006"
    assert notices[-1] == ""


async def test_a_mismatch_waits_for_staff_who_correct_it(lab_client: Client, desk: SharingDesk):
    report = await desk.report(await desk.patient(name="Asha Kulkarni Deshpande"))
    async with running(lab_client, WORKFLOWS, *desk.activities), _pumping_for(desk, lab_client):
        handle = await start(lab_client, desk, report)
        await attention(desk, report, "request_link_token")
        await correct(desk, report, name="Asha Kulkarni")
        await desk.decide(report, handle.id, "request_link_token", "retry")
        assert (await handle.result()).outcome == "notified"
    assert (await exchanges(desk, report))[0].error_code == "refused:ABDM-1036"


async def test_an_unknown_patient_is_skipped_by_staff(lab_client: Client, desk: SharingDesk):
    report = await desk.report(await desk.patient(abha_number="", abha_address="nobody@sbx"))
    async with running(lab_client, WORKFLOWS, *desk.activities):
        handle = await start(lab_client, desk, report)
        await attention(desk, report, "request_link_token")
        await desk.decide(report, handle.id, "request_link_token", "skip")
        assert (await handle.result()).outcome == "skipped"
    assert (await desk.care_context(report)).state is CareContextState.SKIPPED
    assert "record_skipped" in await desk.events(report)


async def test_what_staff_did_at_the_partner_is_taken_over(lab_client: Client, desk: SharingDesk):
    report = await desk.report(await desk.patient(abha_number="", abha_address="nobody@sbx"))
    async with running(lab_client, WORKFLOWS, *desk.activities):
        handle = await start(lab_client, desk, report)
        await attention(desk, report, "request_link_token")
        await desk.decide(report, handle.id, "request_link_token", "answer")
        await attention(desk, report, "notify_care_context")
        assert (await desk.care_context(report)).state is CareContextState.LINKED
        await desk.decide(report, handle.id, "notify_care_context", "answer")
        assert (await handle.result()).outcome == "notified"
    assert (await desk.care_context(report)).state is CareContextState.NOTIFIED


async def test_the_gateway_away_shows_and_then_links(lab_client: Client, desk: SharingDesk):
    behaviour = desk.abdm.state.sender.behaviour
    behaviour.down = True
    report = await desk.report()
    async with running(lab_client, WORKFLOWS, *desk.activities):
        handle = await start(lab_client, desk, report, partner=IMPATIENT)
        await attention(desk, report, "request_link_token")
        behaviour.down = False
        async with desk.pumping():
            assert (await handle.result()).outcome == "notified"
    assert await desk.attention(report) == []
    assert len(desk.network.links) == 1


async def test_a_decision_about_a_step_that_does_not_wait_is_refused(lab_client: Client, desk: SharingDesk):
    report = await desk.report(await desk.patient(abha_number="", abha_address="nobody@sbx"))
    async with running(lab_client, WORKFLOWS, *desk.activities):
        handle = await start(lab_client, desk, report)
        await attention(desk, report, "request_link_token")
        ref = StepCommandRef(command_id=str(uuid.uuid4()), step="link_care_context", decision=StepDecision.SKIP)
        with pytest.raises(WorkflowUpdateFailedError):
            await handle.execute_update(HealthRecordPushWorkflow.resolve_step, ref)
        await handle.terminate()
