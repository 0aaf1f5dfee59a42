"""The gateway against a real Temporal server: once each, away, refused, gone."""

import uuid
from dataclasses import dataclass, field
from typing import Any

import pytest
from pydantic import BaseModel
from temporalio import workflow
from temporalio.client import Client, WorkflowExecutionStatus
from temporalio.exceptions import ApplicationError
from temporalio.worker import Worker

from devstack.temporal import TemporalServer
from domain import ids
from domain.enums import Priority
from domain.messages import CommandKind, CommandRef, MessageRef, SignalName, WorkflowType
from tests.fixtures.workflows import TEST_KEYS, eventually
from workflows import gateway as gateways
from workflows import queues
from workflows.failures import refuse
from workflows.gateway import (
    Gateway,
    NotAppliedInTimeError,
    RefusedByWorkflowError,
    TemporalAwayError,
    WorkflowGoneError,
)


class Heard(BaseModel):
    """What the stand-in run was told."""

    applied: list[str] = []
    signals: list[str] = []


@workflow.defn(name=WorkflowType.LAB_ORDER.value, sandboxed=False)
class OrderStandIn:
    """A run with the order's messages; a command's id says what it does."""

    def __init__(self) -> None:
        self.heard = Heard()
        self.is_done = False

    @workflow.run
    async def run(self, _order: dict[str, Any]) -> None:
        await workflow.wait_condition(lambda: self.is_done)

    @workflow.update(name=CommandKind.RELEASE_REPORT.value)
    async def release(self, ref: CommandRef) -> str:
        if ref.command_id.startswith("00000000"):
            raise ApplicationError("no", {"code": "OVERPAYMENT", "action": "Pay less."}, non_retryable=True)
        self.heard.applied.append(ref.command_id)
        return ref.command_id

    @release.validator
    def check(self, ref: CommandRef) -> None:
        if ref.command_id.startswith("11111111"):
            raise refuse("ORDER_ENDED", "the order is closed")

    @workflow.signal(name=SignalName.RESULTS_RECEIVED.value)
    def results_received(self, ref: MessageRef) -> None:
        self.heard.signals.append(ref.message_id)

    @workflow.signal
    def finish(self) -> None:
        self.is_done = True

    @workflow.query
    def told(self) -> Heard:
        return self.heard


@dataclass
class Pending:
    """A command's row."""

    id: uuid.UUID = field(default_factory=uuid.uuid4)
    kind: str = CommandKind.RELEASE_REPORT.value
    workflow_id: str = ""
    payload: dict[str, Any] = field(default_factory=dict)


def worked(client: Client) -> Worker:
    """Run a worker with the stand-in run only."""
    return Worker(
        client,
        task_queue=queues.ORCHESTRATION,
        workflows=[OrderStandIn],
        workflow_failure_exception_types=[Exception],
        build_id="test",
    )


def gateway_of(client: Client, **how: Any) -> Gateway:
    async def connected() -> Client:
        return client

    return Gateway(connect=connected, lab="LAB1", **how)


async def start(gateway: Gateway, order_no: str) -> str:
    assert await gateway.start_order(order_no=order_no, branch="DEL", priority=Priority.STAT)
    return ids.order_workflow_id("LAB1", order_no)


async def told(client: Client, workflow_id: str) -> Heard:
    return await client.get_workflow_handle_for(OrderStandIn.run, workflow_id).query(OrderStandIn.told)


async def test_an_order_is_started_once(lab_client: Client):
    gateway = gateway_of(lab_client)
    workflow_id = await start(gateway, "A-1")
    first = await lab_client.get_workflow_handle(workflow_id).describe()
    await start(gateway, "A-1")
    again = await lab_client.get_workflow_handle(workflow_id).describe()
    assert again.run_id == first.run_id
    assert first.raw_description.workflow_execution_info.priority.priority_key == 1
    assert first.typed_search_attributes.search_attributes


async def test_an_order_that_has_run_is_not_started_again(lab_client: Client):
    gateway = gateway_of(lab_client)
    workflow_id = await start(gateway, "A-2")
    handle = lab_client.get_workflow_handle(workflow_id)
    await handle.terminate("over")
    assert await gateway.start_order(order_no="A-2", branch="DEL", priority=Priority.ROUTINE)
    assert (await handle.describe()).status is WorkflowExecutionStatus.TERMINATED


async def test_what_is_started_carries_no_clear_text(lab_client: Client):
    workflow_id = await start(gateway_of(lab_client), "A-3")
    history = await lab_client.get_workflow_handle(workflow_id).fetch_history()
    started = history.events[0].workflow_execution_started_event_attributes
    assert {payload.metadata["encoding"] for payload in started.input.payloads} == {b"binary/encrypted"}


async def test_another_run_is_started_once(lab_client: Client):
    gateway = gateway_of(lab_client)
    for _ in range(2):
        await gateway.start(WorkflowType.CONSENT_NOTICE, "abdm-consent:1:GRANTED", CommandRef(command_id="1"),
                            summary="Consent")  # fmt: skip


async def test_a_signal_is_delivered_once(lab_client: Client):
    gateway = gateway_of(lab_client)
    async with worked(lab_client):
        workflow_id = await start(gateway, "B-1")
        for message_id, request_id in (("m1", "message:m1"), ("m1", "message:m1"), ("m2", "message:m2")):
            argument = MessageRef(message_id=message_id)
            await gateway.signal(workflow_id, SignalName.RESULTS_RECEIVED, argument, request_id=request_id)

        async def has_both() -> bool:
            return "m2" in (await told(lab_client, workflow_id)).signals

        await eventually(has_both)
        assert (await told(lab_client, workflow_id)).signals == ["m1", "m2"]


async def test_a_command_is_applied_once(lab_client: Client):
    gateway = gateway_of(lab_client)
    async with worked(lab_client):
        command = Pending(workflow_id=await start(gateway, "C-1"))
        await gateway.send_command(command)
        await gateway.send_command(command)
        assert (await told(lab_client, command.workflow_id)).applied == [str(command.id)]


@pytest.mark.parametrize(
    ("command_id", "code", "action"),
    [
        ("00000000-0000-4000-8000-000000000000", "OVERPAYMENT", "Pay less."),
        ("11111111-0000-4000-8000-000000000000", "ORDER_ENDED", "Reload the order and look at its stage."),
    ],
    ids=["by the activity", "by the validator"],
)
async def test_a_refusal_comes_back_with_its_code(lab_client: Client, command_id, code, action):
    gateway = gateway_of(lab_client)
    async with worked(lab_client):
        workflow_id = await start(gateway, f"D-{code}")
        with pytest.raises(RefusedByWorkflowError) as caught:
            await gateway.send_command(Pending(id=uuid.UUID(command_id), workflow_id=workflow_id))
    assert (caught.value.code, caught.value.action) == (code, action)


async def test_a_run_that_has_ended_is_gone(lab_client: Client):
    gateway = gateway_of(lab_client)
    workflow_id = await start(gateway, "E-1")
    await lab_client.get_workflow_handle(workflow_id).terminate("over")
    with pytest.raises(WorkflowGoneError):
        await gateway.send_command(Pending(workflow_id=workflow_id))
    with pytest.raises(WorkflowGoneError):
        await gateway.signal(workflow_id, SignalName.RESULTS_RECEIVED, MessageRef(message_id="m"), request_id="x")


async def test_a_run_that_never_was_is_gone(lab_client: Client):
    gateway = gateway_of(lab_client)
    with pytest.raises(WorkflowGoneError):
        await gateway.send_command(Pending(workflow_id="order:LAB1:NOBODY"))
    with pytest.raises(WorkflowGoneError):
        await gateway.signal("order:NOBODY", SignalName.RESULTS_RECEIVED, MessageRef(message_id="m"), request_id="x")


async def test_without_a_worker_a_command_is_not_applied_in_time(lab_client: Client):
    from datetime import timedelta

    gateway = gateway_of(lab_client, patience=timedelta(milliseconds=500))
    workflow_id = await start(gateway, "F-1")
    with pytest.raises(NotAppliedInTimeError):
        await gateway.send_command(Pending(workflow_id=workflow_id))


async def test_a_server_without_the_namespace_counts_as_away(temporal_server: TemporalServer):
    """Nothing that waits may be dropped because a namespace is not there (yet)."""
    client = await gateways.connect(temporal_server.address, "no-such-namespace", TEST_KEYS, "t1")
    gateway = gateway_of(client)
    assert not await gateway.start_order(order_no="G-1", branch="DEL", priority=Priority.ROUTINE)
    with pytest.raises(TemporalAwayError):
        await gateway.signal("order:G", SignalName.RESULTS_RECEIVED, MessageRef(message_id="m"), request_id="x")
    with pytest.raises(TemporalAwayError):
        await gateway.send_command(Pending(workflow_id="order:G"))


async def test_no_server_is_away():
    async def connect() -> Client:
        return await gateways.connect("127.0.0.1:1", "default", TEST_KEYS, "t1")

    gateway = Gateway(connect=connect, lab="LAB1")
    assert not await gateway.start_order(order_no="H-1", branch="DEL", priority=Priority.ROUTINE)
    assert not await gateway.is_reachable()
    with pytest.raises(TemporalAwayError):
        await gateway.send_command(Pending(workflow_id="order:H"))
    with pytest.raises(TemporalAwayError):
        await gateway.signal("order:H", SignalName.RESULTS_RECEIVED, MessageRef(message_id="m"), request_id="x")
    with pytest.raises(TemporalAwayError):
        await gateway.start(WorkflowType.PAYMENT, "payment:H", CommandRef(command_id="1"), summary="x")


async def test_a_server_that_answers_is_reachable(lab_client: Client):
    assert await gateway_of(lab_client).is_reachable()


async def test_a_client_is_connected_once(lab_client: Client):
    import asyncio

    made = []

    async def connect() -> Client:
        made.append(1)
        await asyncio.sleep(0.01)
        return lab_client

    gateway = Gateway(connect=connect, lab="LAB1")
    clients = await asyncio.gather(*(gateway.client() for _ in range(5)))
    assert (len(made), set(clients)) == (1, {lab_client})
