"""ConsentNotice: consents and their end are stored and acknowledged, with the simulated network."""

from datetime import timedelta

import pytest
from sqlmodel import select
from temporalio.client import Client, WorkflowHandle
from temporalio.common import SearchAttributeKey

from connectors.abdm.simulator.network import Consent as SimulatedConsent
from connectors.abdm.simulator.network import Link
from connectors.abdm.simulator.patient_app import pull, revoke, tell_consent
from domain import ids
from domain.clock import utc_now
from domain.policies import LabPolicies, PartnerPolicy, RecordPushPolicy
from domain.sharing_messages import ConsentNoticeResult
from store.tables.sharing import Consent
from tests.fixtures.sharing_desk import HIP_ID, SharingDesk
from tests.fixtures.workflows import eventually, running
from tests.workflows.standins import IMPATIENT, QUICK
from workflows.consent_notice import TRIES, ConsentNoticeWorkflow

WORKFLOWS = [ConsentNoticeWorkflow]


def given(desk: SharingDesk, client: Client, partner: PartnerPolicy = QUICK) -> SimulatedConsent:
    """Let the patient's app consent to a record of an order that is not here (yet)."""
    desk.connect(client, LabPolicies(record_push=RecordPushPolicy(partner=partner)))
    link = Link(HIP_ID, "asha.k@sbx", "P00000001", "DEL-000000-0001", "DiagnosticReport", utc_now())
    consent = pull(desk.network, link)
    desk.network.transfers.clear()
    return consent


def run_of(client: Client, consent: SimulatedConsent, status: str = "GRANTED"):
    workflow_id = ids.consent_workflow_id(consent.consent_id, status)
    handle: WorkflowHandle[ConsentNoticeWorkflow, ConsentNoticeResult]
    handle = client.get_workflow_handle_for(ConsentNoticeWorkflow.run, workflow_id)
    return handle


async def stored(desk: SharingDesk, consent: SimulatedConsent) -> Consent:
    async with desk.database.transaction() as session:
        return (await session.exec(select(Consent).where(Consent.consent_id == consent.consent_id))).one()


async def test_a_consent_is_stored_and_acknowledged(lab_client: Client, desk: SharingDesk):
    consent = given(desk, lab_client)
    async with running(lab_client, WORKFLOWS, *desk.activities, cached=0):
        await desk.pump()
        assert (await run_of(lab_client, consent).result()).outcome == "acknowledged"
    assert consent.acknowledged == 1
    row = await stored(desk, consent)
    assert row.status == "GRANTED"
    assert row.expires_at is not None
    assert abs(row.expires_at - consent.erase_at) < timedelta(milliseconds=1)  # the wire has milliseconds
    assert row.artefact["care_contexts"] == [["P00000001", "DEL-000000-0001"]]


async def test_a_notice_that_comes_twice_is_acknowledged_once(lab_client: Client, desk: SharingDesk):
    desk.abdm.state.sender.behaviour.webhooks_duplicate = True
    consent = given(desk, lab_client)
    tell_consent(desk.network, consent)
    async with running(lab_client, WORKFLOWS, *desk.activities):
        await desk.pump()
        await run_of(lab_client, consent).result()
        await desk.pump()
    assert consent.acknowledged == 1


async def test_a_consent_that_was_taken_back_stays_so_whatever_comes_later(lab_client: Client, desk: SharingDesk):
    consent = given(desk, lab_client)
    revoke(desk.network, consent)
    desk.abdm.state.sender.behaviour.webhooks_reversed = True
    consent.status = "GRANTED"
    async with running(lab_client, WORKFLOWS, *desk.activities):
        await desk.pump()
        for status in ("GRANTED", "REVOKED"):
            assert (await run_of(lab_client, consent, status).result()).outcome == "acknowledged"
        tell_consent(desk.network, consent)
        await desk.pump()
    row = await stored(desk, consent)
    assert row.status == "REVOKED"
    assert row.artefact["hi_types"] == ["DiagnosticReport"]


async def test_the_gateway_away_shows_and_is_told_later(lab_client: Client, desk: SharingDesk):
    consent = given(desk, lab_client, IMPATIENT)
    await desk.abdm.state.sender.drain()
    behaviour = desk.abdm.state.sender.behaviour
    behaviour.down = True
    attention = SearchAttributeKey.for_keyword_list("LabAttention")
    async with running(lab_client, WORKFLOWS, *desk.activities):
        await desk.dispatcher.drain()
        handle = run_of(lab_client, consent)

        async def shown() -> bool:
            return bool((await handle.describe()).typed_search_attributes.get(attention))

        await eventually(shown)
        behaviour.down = False
        assert (await handle.result()).outcome == "acknowledged"
        assert not (await handle.describe()).typed_search_attributes.get(attention)


async def test_a_gateway_that_refuses_is_tried_a_few_times_and_left(lab_client: Client, desk: SharingDesk):
    partner = PartnerPolicy(first_retry=timedelta(seconds=0.02), max_retry=timedelta(seconds=0.05))
    consent = given(desk, lab_client, partner)
    desk.network.quirks.not_subscribed = True
    async with running(lab_client, WORKFLOWS, *desk.activities):
        await desk.pump()
        result = await run_of(lab_client, consent).result()
    assert (result.outcome, result.code) == ("refused", "ABDM_NOT_SUBSCRIBED")
    assert len([text for text in desk.network.refusals if text.startswith("900908")]) >= TRIES
    assert (await stored(desk, consent)).status == "GRANTED"


@pytest.mark.parametrize("status", ["EXPIRED", "PAUSED"])
async def test_other_notices_stop_sharing_as_well(lab_client: Client, desk: SharingDesk, status: str):
    consent = given(desk, lab_client)
    await desk.pump()
    consent.status = status
    tell_consent(desk.network, consent)
    await desk.pump()
    assert (await stored(desk, consent)).status == ("UNKNOWN" if status == "PAUSED" else status)
