"""LabOrder against stand-in activities: what it waits for, what follows, what it refuses."""

import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import timedelta

import pytest
from temporalio import activity, workflow
from temporalio.client import Client, WorkflowHandle, WorkflowUpdateFailedError
from temporalio.common import RawValue

from activities.commands import Applied
from activities.orders import AttentionChange, OrderRef, OrderStarted
from activities.reports import IssuedReport, IssueReport
from domain import ids
from domain.enums import OrderStage, StepDecision
from domain.errors import ConflictError, RuleError, UnavailableError
from domain.messages import CommandRef, InvoiceRef, MessageRef, OrderInput, Progress, StepCommandRef
from domain.policies import LabPolicies, OrderPolicy, PartnerPolicy
from tests.fixtures.workflows import eventually, running
from workflows import queues
from workflows.lab_order import LabOrderWorkflow


@dataclass
class Lab:
    """Stands in for PostgreSQL: a command's id says what it does."""

    progress: Progress
    commands: dict[str, Callable[["Lab"], None]] = field(default_factory=dict)
    attention: list[tuple[str, str, bool]] = field(default_factory=list)
    applied: list[str] = field(default_factory=list)
    report_errors: list[Exception] = field(default_factory=list)
    issued: int = 0

    def set(self, **changes: object) -> None:
        self.progress = self.progress.model_copy(update=changes)

    def command(self, effect: Callable[["Lab"], None]) -> CommandRef:
        ref = CommandRef(command_id=str(uuid.uuid4()))
        self.commands[ref.command_id] = effect
        return ref

    def moving(self, stage: OrderStage, **changes: object) -> CommandRef:
        return self.command(lambda lab: lab.set(stage=stage, **changes))

    @activity.defn(name="orders.open")
    async def open_order(self, started: OrderStarted) -> Progress:
        return self.progress

    @activity.defn(name="orders.measure_progress")
    async def measure_progress(self, order: OrderRef) -> Progress:
        return self.progress

    @activity.defn(name="orders.show_attention")
    async def show_attention(self, change: AttentionChange) -> None:
        self.attention.append((change.key, change.code, change.is_raised))

    @activity.defn(name="orders.close")
    async def close_order(self, order: OrderRef) -> Progress:
        self.set(stage=OrderStage.CLOSED)
        return self.progress

    @activity.defn(name="commands.apply")
    async def apply(self, ref: CommandRef) -> Applied:
        self.applied.append(ref.command_id)
        self.commands[ref.command_id](self)
        return Applied(progress=self.progress)

    @activity.defn(name="reports.issue_report")
    async def issue_report(self, request: IssueReport) -> IssuedReport:
        if self.report_errors:
            raise self.report_errors.pop(0)
        self.issued += 1
        self.set(stage=OrderStage.REPORTED, report_id="r1")
        return IssuedReport(report_id="r1", report_no="R1", version=1)


@workflow.defn(dynamic=True, sandboxed=False)
class AnyChild:
    """Stands in for every child workflow: it only exists."""

    @workflow.run
    async def run(self, _arguments: Sequence[RawValue]) -> None:
        await workflow.wait_condition(lambda: False, timeout=timedelta(days=900))


ORDER_NO = "DEL-261123-0001"


@pytest.fixture
def lab() -> Lab:
    return Lab(
        Progress(
            order_no=ORDER_NO,
            stage=OrderStage.REGISTERED,
            branch="DEL",
            priority="routine",
            samples_total=1,
            tests_total=2,
            invoices=("DELB2627-000001",),
            unpaid=("DELB2627-000001",),
        )
    )


async def _start(client: Client, **policy: object) -> WorkflowHandle[LabOrderWorkflow, Progress]:
    policies = LabPolicies(order=OrderPolicy.model_validate(policy))
    return await client.start_workflow(
        LabOrderWorkflow.run,
        OrderInput(lab="LAB1", order_no=ORDER_NO, policies=policies),
        id=ids.order_workflow_id("LAB1", ORDER_NO),
        task_queue=queues.ORCHESTRATION,
    )


async def _to_authorised(handle: WorkflowHandle, lab: Lab) -> None:
    await handle.execute_update("collect_samples", lab.moving(OrderStage.COLLECTED))
    await handle.execute_update("receive_samples", lab.moving(OrderStage.RECEIVED))
    lab.set(stage=OrderStage.RESULTED)
    await handle.signal("results_received", MessageRef(message_id="m1"))
    await handle.execute_update("verify_results", lab.moving(OrderStage.VERIFIED))
    await handle.execute_update("authorise_report", lab.moving(OrderStage.AUTHORISED))


async def _exists(client: Client, workflow_id: str) -> bool:
    try:
        await client.get_workflow_handle(workflow_id).describe()
    except Exception:  # noqa: BLE001
        return False
    return True


async def test_an_order_runs_to_its_end(lab_client: Client, lab: Lab):
    async with running(lab_client, [LabOrderWorkflow, AnyChild], lab):
        handle = await _start(lab_client)
        await _to_authorised(handle, lab)
        lab.set(unpaid=())
        await eventually(lambda: _reported(lab))
        await handle.signal("payment_settled", InvoiceRef(invoice_no="DELB2627-000001"))
        ended = await handle.result()
        assert ended.stage is OrderStage.CLOSED
        assert lab.issued == 1
        for child in ("payment:DELB2627-000001", "einvoice:DELB2627-000001", "delivery:r1", "abdm:r1"):
            assert await _exists(lab_client, child)
        assert not await _exists(lab_client, "reversal:DELB2627-000001")


async def _reported(lab: Lab) -> bool:
    return lab.issued == 1


async def test_report_is_held_until_paid_or_released(lab_client: Client, lab: Lab):
    async with running(lab_client, [LabOrderWorkflow, AnyChild], lab):
        handle = await _start(lab_client, payment_due=timedelta(seconds=1))
        await _to_authorised(handle, lab)
        await eventually(lambda: _raised(lab, "LabOrder:payment"))
        assert not await _exists(lab_client, "delivery:r1")
        await handle.execute_update("release_report", lab.command(lambda own: own.set(is_release_overridden=True)))
        assert (await handle.result()).stage is OrderStage.CLOSED
        assert await _exists(lab_client, "delivery:r1")
        assert lab.attention[-1] == ("LabOrder:payment", "", False)


async def _raised(lab: Lab, key: str) -> bool:
    return any(name == key and is_raised for name, _, is_raised in lab.attention)


async def test_overdue_stage_shows_and_clears(lab_client: Client, lab: Lab):
    async with running(lab_client, [LabOrderWorkflow, AnyChild], lab):
        handle = await _start(lab_client, collection_due=timedelta(seconds=1))
        await eventually(lambda: _raised(lab, "LabOrder:registered"))
        await handle.execute_update("collect_samples", lab.moving(OrderStage.COLLECTED))
        await eventually(lambda: _cleared(lab, "LabOrder:registered"))
        await handle.terminate()


async def _cleared(lab: Lab, key: str) -> bool:
    return (key, "", False) in lab.attention


async def test_refused_command_changes_nothing_and_says_why(lab_client: Client, lab: Lab):
    def refuse(_: Lab) -> None:
        raise RuleError("the label is in use", code="LABEL_IN_USE", action="Take a fresh label.")

    async with running(lab_client, [LabOrderWorkflow, AnyChild], lab):
        handle = await _start(lab_client)
        with pytest.raises(WorkflowUpdateFailedError) as caught:
            await handle.execute_update("collect_samples", lab.command(refuse))
        assert caught.value.cause.details[0]["code"] == "LABEL_IN_USE"
        assert await handle.query("stage") == "registered"
        await handle.terminate()


async def test_tests_that_are_to_be_measured_again_are_waited_for(lab_client: Client, lab: Lab):
    async with running(lab_client, [LabOrderWorkflow, AnyChild], lab):
        handle = await _start(lab_client)
        await handle.execute_update("collect_samples", lab.moving(OrderStage.COLLECTED))
        await handle.execute_update("receive_samples", lab.moving(OrderStage.VERIFIED))
        outcome = await handle.execute_update("rerun_tests", lab.moving(OrderStage.RECEIVED))
        assert outcome["stage"] == "received"
        assert await handle.query("stage") == "received"
        assert lab.issued == 0
        await handle.execute_update("authorise_report", lab.moving(OrderStage.AUTHORISED))
        await eventually(lambda: _stage_is(handle, "reported"))
        with pytest.raises(WorkflowUpdateFailedError) as caught:
            await handle.execute_update("rerun_tests", lab.moving(OrderStage.RECEIVED))
        assert caught.value.cause.details[0]["code"] == "ORDER_ENDED"
        await handle.terminate()


async def test_cancellation_reverses_every_bill(lab_client: Client, lab: Lab):
    async with running(lab_client, [LabOrderWorkflow, AnyChild], lab):
        handle = await _start(lab_client)
        await handle.execute_update("cancel_order", lab.moving(OrderStage.CANCELLED))
        assert (await handle.result()).stage is OrderStage.CANCELLED
        assert await _exists(lab_client, "reversal:DELB2627-000001")
        assert lab.issued == 0
        assert not await _exists(lab_client, "delivery:r1")


async def test_commands_after_the_report_are_refused_by_the_validator(lab_client: Client, lab: Lab):
    async with running(lab_client, [LabOrderWorkflow, AnyChild], lab):
        handle = await _start(lab_client)
        await _to_authorised(handle, lab)
        await eventually(lambda: _reported(lab))
        await eventually(lambda: _stage_is(handle, "reported"))
        before = len(lab.applied)
        with pytest.raises(WorkflowUpdateFailedError) as caught:
            await handle.execute_update("cancel_order", lab.moving(OrderStage.CANCELLED))
        assert caught.value.cause.details[0]["code"] == "ORDER_ENDED"
        assert len(lab.applied) == before
        await handle.terminate()


async def _stage_is(handle: WorkflowHandle, stage: str) -> bool:
    return await handle.query("stage") == stage


async def test_a_rerun_takes_the_order_back_to_analysis(lab_client: Client, lab: Lab):
    async with running(lab_client, [LabOrderWorkflow, AnyChild], lab):
        handle = await _start(lab_client)
        await handle.execute_update("receive_samples", lab.moving(OrderStage.RESULTED))
        await handle.execute_update("verify_results", lab.moving(OrderStage.RECEIVED))
        assert await handle.query("stage") == "received"
        lab.set(stage=OrderStage.RESULTED)
        await handle.signal("results_received", MessageRef(message_id="m2"))
        await eventually(lambda: _stage_is(handle, "resulted"))
        await handle.terminate()


async def test_report_store_down_shows_and_staff_can_retry_now(lab_client: Client, lab: Lab):
    lab.report_errors = [UnavailableError("the store is down")] * 2
    quick = PartnerPolicy(alert_after=timedelta(seconds=1), first_retry=timedelta(minutes=10))
    async with running(lab_client, [LabOrderWorkflow, AnyChild], lab):
        handle = await _start(lab_client, partner=quick.model_dump(), hold_until_paid=False)
        await _to_authorised(handle, lab)
        await eventually(lambda: _raised(lab, "LabOrder:issue_report"))
        ref = lab.command(lambda own: own.report_errors.clear())
        step = StepCommandRef(command_id=ref.command_id, step="issue_report", decision=StepDecision.RETRY)
        await handle.execute_update("resolve_step", step)
        assert (await handle.result()).stage is OrderStage.CLOSED
        assert lab.issued == 1


async def test_report_refused_because_a_test_went_back_waits_again(lab_client: Client, lab: Lab):
    lab.report_errors = [ConflictError("not every test is authorised")]
    async with running(lab_client, [LabOrderWorkflow, AnyChild], lab):
        handle = await _start(lab_client, hold_until_paid=False)
        await handle.execute_update("authorise_report", lab.moving(OrderStage.AUTHORISED))
        assert (await handle.result()).stage is OrderStage.CLOSED
        assert lab.issued == 1


async def test_duplicate_signal_is_counted_once(lab_client: Client, lab: Lab):
    async with running(lab_client, [LabOrderWorkflow, AnyChild], lab):
        handle = await _start(lab_client)
        for _ in range(3):
            await handle.signal("results_received", MessageRef(message_id="m1"))
        await handle.execute_update("collect_samples", lab.moving(OrderStage.COLLECTED))
        history = await handle.fetch_history()
        counted = [
            event for event in history.events
            if event.activity_task_scheduled_event_attributes.activity_type.name == "orders.measure_progress"
        ]  # fmt: skip
        assert len(counted) == 1
        await handle.terminate()


async def test_same_update_id_is_applied_once(lab_client: Client, lab: Lab):
    async with running(lab_client, [LabOrderWorkflow, AnyChild], lab):
        handle = await _start(lab_client)
        ref = lab.moving(OrderStage.COLLECTED)
        for _ in range(2):
            await handle.execute_update("collect_samples", ref, id=ref.command_id)
        assert lab.applied == [ref.command_id]
        await handle.terminate()


async def test_every_step_replays_without_a_cache(lab_client: Client, lab: Lab):
    async with running(lab_client, [LabOrderWorkflow, AnyChild], lab, cached=0):
        handle = await _start(lab_client, hold_until_paid=False)
        await _to_authorised(handle, lab)
        assert (await handle.result()).stage is OrderStage.CLOSED


async def test_nothing_personal_is_readable_in_history(lab_client: Client, lab: Lab):
    async with running(lab_client, [LabOrderWorkflow, AnyChild], lab):
        handle = await _start(lab_client, hold_until_paid=False)
        await _to_authorised(handle, lab)
        await handle.result()
        raw = lab_client.workflow_service
        text = (await handle.fetch_history()).to_json()
        assert raw is not None
        assert "binary/encrypted" in text or "YmluYXJ5L2VuY3J5cHRlZA" in text
        assert "samples_total" not in text
