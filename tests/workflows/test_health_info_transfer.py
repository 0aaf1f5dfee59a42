"""HealthInfoTransfer: a patient's app consents, asks and receives, with real activities and the simulated network."""

import uuid
from datetime import timedelta

import httpx
import pytest
from sqlmodel import select
from temporalio import activity
from temporalio.client import Client, WorkflowHandle

from activities.health_records import Acknowledged, CloseTransfer, Pushed, SetCareContext, TransferStep
from connectors.abdm.simulator.network import Link, Transfer
from connectors.abdm.simulator.patient_app import pull, revoke
from domain import ids
from domain.clock import utc_now
from domain.enums import CareContextState
from domain.errors import AuthError, RequestError
from domain.messages import TransferInput
from domain.policies import LabPolicies, PartnerPolicy, TransferPolicy
from domain.sharing_messages import ReportRef, TransferResult
from store.tables.sharing import HealthInfoTransferRow
from tests.fixtures.sharing_desk import HIP_ID, IssuedReport, SharingDesk
from tests.fixtures.workflows import eventually, running
from tests.workflows.standins import QUICK, Desk
from workflows import queues
from workflows.consent_notice import ConsentNoticeWorkflow
from workflows.health_info_transfer import HealthInfoTransferWorkflow

WORKFLOWS = [HealthInfoTransferWorkflow, ConsentNoticeWorkflow]
PATIENT = PartnerPolicy(first_retry=timedelta(seconds=0.2), max_retry=timedelta(seconds=0.2))


def connect(desk: SharingDesk, client: Client, partner: PartnerPolicy = QUICK) -> None:
    desk.connect(client, LabPolicies(transfer=TransferPolicy(partner=partner)))


async def linked(desk: SharingDesk, report: IssuedReport | None = None) -> Link:
    """Issue a report and have it linked, here and at the network."""
    report = report or await desk.report()
    key = ReportRef(order_no=report.order_no, report_id=report.report_id)
    await desk.run(desk.health_records.prepare_link, key)
    state = SetCareContext(**key.model_dump(), state=CareContextState.LINKED)
    await desk.run(desk.health_records.set_care_context, state)
    link = Link(HIP_ID, "asha.k@sbx", report.patient_no, report.order_no, "DiagnosticReport", utc_now())
    desk.network.links.append(link)
    return link


def transfer(desk: SharingDesk) -> Transfer:
    return list(desk.network.transfers.values())[-1]


async def told(desk: SharingDesk, status: str) -> Transfer:
    """Wait until the network was told how the transfer ended."""

    async def reported() -> bool:
        return transfer(desk).session_status == status

    await eventually(reported)
    return transfer(desk)


async def row_of(desk: SharingDesk) -> HealthInfoTransferRow:
    async with desk.database.transaction() as session:
        wanted = HealthInfoTransferRow.transaction_id == transfer(desk).transaction_id
        return (await session.exec(select(HealthInfoTransferRow).where(wanted))).one()


async def ended(client: Client, desk: SharingDesk) -> TransferResult:
    workflow_id = ids.transfer_workflow_id(transfer(desk).transaction_id)
    handle: WorkflowHandle[HealthInfoTransferWorkflow, TransferResult]
    handle = client.get_workflow_handle_for(HealthInfoTransferWorkflow.run, workflow_id)
    return await handle.result()


async def test_the_patient_receives_the_record_as_it_was_reported(lab_client: Client, desk: SharingDesk):
    connect(desk, lab_client)
    report = await desk.report(values={"HGB": "10.00", "TSH": "<0.01"})
    pull(desk.network, await linked(desk, report))
    async with running(lab_client, WORKFLOWS, *desk.activities, cached=0), desk.pumping():
        done = await told(desk, "TRANSFERRED")
        result = await ended(lab_client, desk)
    assert (result.outcome, result.records, result.is_reported) == ("transferred", 1, True)
    (record,) = done.records
    assert record.problems == []
    assert "Haemoglobin: 10.0 g/dL" in record.summary
    assert any("<0.01" in line for line in record.summary)
    assert (done.pushes, done.failures) == (1, [])
    assert [one.acknowledged for one in desk.network.consents.values()] == [1]
    row = await row_of(desk)
    assert (row.state, row.sent_count, row.error_code) == ("transferred", 1, "")
    assert "record_shared" in await desk.events(report)


async def test_a_request_that_comes_twice_is_answered_once(lab_client: Client, desk: SharingDesk):
    connect(desk, lab_client)
    desk.abdm.state.sender.behaviour.webhooks_duplicate = True
    pull(desk.network, await linked(desk))
    async with running(lab_client, WORKFLOWS, *desk.activities), desk.pumping():
        done = await told(desk, "TRANSFERRED")
        await ended(lab_client, desk)
    assert done.pushes == 1


async def test_a_request_beyond_the_consent_is_refused(lab_client: Client, desk: SharingDesk):
    connect(desk, lab_client)
    desk.network.quirks.hiu_asks_too_much = True
    pull(desk.network, await linked(desk))
    async with running(lab_client, WORKFLOWS, *desk.activities, cached=0):
        await desk.pump()
        await desk.pump()
        result = await ended(lab_client, desk)
    assert (result.outcome, result.code) == ("refused", "ABDM-1063")
    assert (transfer(desk).refusal, transfer(desk).pushes) == ("ABDM-1063", 0)
    assert (await row_of(desk)).state == "refused"


async def test_a_consent_taken_back_before_the_answer_is_refused(lab_client: Client, desk: SharingDesk):
    connect(desk, lab_client)
    desk.network.quirks.revoke_before_push = True
    pull(desk.network, await linked(desk))
    await desk.pump()
    await desk.pump()
    async with running(lab_client, WORKFLOWS, *desk.activities):
        result = await ended(lab_client, desk)
    assert (result.outcome, result.code) == ("refused", "ABDM-1062")
    assert transfer(desk).pushes == 0


async def test_a_consent_taken_back_during_the_transfer_stops_it(lab_client: Client, desk: SharingDesk):
    connect(desk, lab_client, PATIENT)
    desk.network.quirks.hiu_status = 503
    consent = pull(desk.network, await linked(desk))
    async with running(lab_client, WORKFLOWS, *desk.activities), desk.pumping():
        await told(desk, "ACKNOWLEDGED")
        revoke(desk.network, consent)
        result = await ended(lab_client, desk)
    assert (result.outcome, result.code) == ("failed", "CONSENT_NOT_VALID")
    assert (transfer(desk).session_status, transfer(desk).records) == ("FAILED", [])


async def test_a_requester_that_is_away_gets_its_records_later(lab_client: Client, desk: SharingDesk):
    connect(desk, lab_client, PATIENT)
    desk.network.quirks.hiu_status = 503
    pull(desk.network, await linked(desk))
    async with running(lab_client, WORKFLOWS, *desk.activities), desk.pumping():
        await told(desk, "ACKNOWLEDGED")
        desk.network.quirks.hiu_status = 202
        await told(desk, "TRANSFERRED")


@pytest.mark.parametrize(
    ("quirks", "code"),
    [
        ({"push_url": "https://169.254.169.254/latest/meta-data"}, "PUSH_URL_REFUSED"),
        ({"push_url": "http://127.0.0.1:9/"}, "PUSH_URL_REFUSED"),
        ({"hiu_nonce_bytes": 16}, "PEER_NONCE_INVALID"),
        ({"hiu_status": 413}, "PARTNER_REJECTED"),
    ],
)
async def test_what_cannot_be_sent_is_reported_as_failed(
    lab_client: Client, desk: SharingDesk, quirks: dict[str, object], code: str
):
    connect(desk, lab_client)
    for name, value in quirks.items():
        setattr(desk.network.quirks, name, value)
    pull(desk.network, await linked(desk))
    async with running(lab_client, WORKFLOWS, *desk.activities), desk.pumping():
        done = await told(desk, "FAILED")
        result = await ended(lab_client, desk)
    assert (result.outcome, result.code, done.records) == ("failed", code, [])
    assert ((await row_of(desk)).state, (await row_of(desk)).error_code) == ("failed", code)


async def test_a_report_that_became_confidential_is_not_sent(lab_client: Client, desk: SharingDesk):
    connect(desk, lab_client)
    report = await desk.report()
    link = await linked(desk, report)
    await desk.issue(report, is_confidential=True)
    pull(desk.network, link)
    async with running(lab_client, WORKFLOWS, *desk.activities), desk.pumping():
        done = await told(desk, "FAILED")
        result = await ended(lab_client, desk)
    assert (result.code, done.pushes) == ("NOTHING_TO_SEND", 0)


async def test_only_what_the_consent_names_is_sent(lab_client: Client, desk: SharingDesk):
    connect(desk, lab_client)
    first, _second = await linked(desk), await linked(desk)
    pull(desk.network, first)
    async with running(lab_client, WORKFLOWS, *desk.activities), desk.pumping():
        done = await told(desk, "TRANSFERRED")
    assert [record.care_context_reference for record in done.records] == [first.reference]


async def test_the_network_away_when_the_request_is_answered(lab_client: Client, desk: SharingDesk):
    connect(desk, lab_client, PATIENT)
    pull(desk.network, await linked(desk))
    await desk.pump()
    await desk.pump()
    desk.abdm.state.sender.behaviour.down = True
    async with running(lab_client, WORKFLOWS, *desk.activities):

        async def tried() -> bool:
            return any("on-request -> 503" in call or "sessions -> 503" in call for call in await _calls(desk))

        await eventually(tried)
        desk.abdm.state.sender.behaviour.down = False
        assert (await ended(lab_client, desk)).outcome == "transferred"


async def _calls(desk: SharingDesk) -> list[str]:
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app=desk.abdm), base_url="http://sim.example") as client:
        return list((await client.get("/_sim/state")).json()["calls"])


# Against stand-ins: what the network's rules about time and hearing mean


class Network(Desk):
    """Stands in for every activity of a transfer."""

    def __init__(self) -> None:
        super().__init__()
        self.closed: list[CloseTransfer] = []

    @activity.defn(name="abdm.acknowledge_request")
    async def acknowledge_request(self, step: TransferStep) -> Acknowledged:
        self.note("acknowledge", at_partner=True)
        return Acknowledged()

    @activity.defn(name="abdm.push_records")
    async def push_records(self, step: TransferStep) -> Pushed:
        self.note("push", at_partner=True)
        return Pushed(references=("DEL-261123-0001",))

    @activity.defn(name="abdm.notify_transfer")
    async def notify_transfer(self, done: CloseTransfer) -> None:
        self.note("notify")
        self.closed.append(done)


async def carry_out(client: Client, network: Network, **policy: object) -> TransferResult:
    transaction_id = str(uuid.uuid4())
    policies = LabPolicies(transfer=TransferPolicy.model_validate({"partner": QUICK, **policy}))
    async with running(client, WORKFLOWS, network):
        return await client.execute_workflow(
            HealthInfoTransferWorkflow.run,
            TransferInput(lab="LAB1", transaction_id=transaction_id, requested_at=utc_now(), policies=policies),
            id=ids.transfer_workflow_id(transaction_id),
            task_queue=queues.ORCHESTRATION,
        )


async def test_after_its_time_nothing_is_sent_but_the_end_is_told(lab_client: Client):
    network = Network()
    result = await carry_out(lab_client, network, send_within=0)
    assert (result.outcome, result.code) == ("failed", "TRANSFER_TOO_LATE")
    assert network.calls == ["notify"]


async def test_what_is_not_done_in_time_has_failed(lab_client: Client):
    network = Network()
    network.is_down = True
    result = await carry_out(lab_client, network, send_within=1)
    assert result.outcome == "failed"
    assert network.closed[0].outcome == "failed"
    assert "push" not in network.calls


@pytest.mark.parametrize("error", [AuthError("not subscribed"), RequestError("malformed")])
async def test_a_network_that_will_not_hear_the_end_does_not_hold_the_run(lab_client: Client, error: Exception):
    network = Network()
    network.errors["notify"] = [error]
    result = await carry_out(lab_client, network)
    assert (result.outcome, result.is_reported) == ("transferred", False)
