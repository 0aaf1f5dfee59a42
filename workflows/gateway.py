"""From a process to Temporal: connect, start orders, send commands and signals. Never runs inside a workflow.

Temporal may be away for hours. Everything here is either repeated by a sweeper (starts, commands, signals wait in
PostgreSQL) or says so with `TemporalAwayError`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Protocol
from uuid import UUID

import temporalio.api.common.v1
import temporalio.api.workflowservice.v1
from pydantic import BaseModel
from temporalio.client import (
    Client,
    WorkflowUpdateFailedError,
    WorkflowUpdateRPCTimeoutOrCancelledError,
)
from temporalio.common import (
    Priority,
    SearchAttributePair,
    TypedSearchAttributes,
    WorkflowIDConflictPolicy,
    WorkflowIDReusePolicy,
)
from temporalio.exceptions import ApplicationError, WorkflowAlreadyStartedError
from temporalio.service import RPCError, RPCStatusCode

from domain import ids
from domain.enums import Priority as OrderPriority
from domain.enums import StepDecision
from domain.errors import LabError
from domain.messages import CommandKind, CommandRef, OrderInput, ReversalInput, SignalName, StepCommandRef, WorkflowType
from domain.policies import LabPolicies
from workflows import queues, search_attributes
from workflows.codec import EncryptionCodec, data_converter

_AWAY = {
    RPCStatusCode.UNAVAILABLE, RPCStatusCode.DEADLINE_EXCEEDED, RPCStatusCode.CANCELLED, RPCStatusCode.UNKNOWN,
    RPCStatusCode.RESOURCE_EXHAUSTED,
}  # fmt: skip
_NO_NAMESPACE = "NamespaceNotFoundFailure"

PRIORITY_KEYS = {OrderPriority.STAT: 1, OrderPriority.URGENT: 2, OrderPriority.ROUTINE: 3}
"""Temporal priority keys: lower runs first."""


class TemporalAwayError(LabError):
    """Temporal did not answer in time; what was asked waits in PostgreSQL and is sent again."""

    default_code = "TEMPORAL_AWAY"
    default_action = "Nothing: it is sent again by itself. If it lasts, check the Temporal server (`labsetu doctor`)."


class NotAppliedInTimeError(TemporalAwayError):
    """Temporal took the command, but no worker applied it in time; other commands may fare better."""


class WorkflowGoneError(LabError):
    """The run that the message was for has ended or never existed."""

    default_code = "WORKFLOW_ENDED"
    default_action = "Look at the order's timeline: this part of it is finished."


class RefusedByWorkflowError(LabError):
    """The run's validator or the activity refused the command."""

    default_code = "COMMAND_REFUSED"
    default_action = "Reload the order and look at its stage."


class PendingCommand(Protocol):
    """What the gateway needs of a row in `commands`."""

    id: UUID
    kind: str
    workflow_id: str
    payload: dict[str, Any]


@dataclass
class Gateway:
    """One per process; connects when first used and again after Temporal was away.

    Attributes:
        connect: Opens a client; called at most once at a time.
        lab: The lab's code, part of workflow ids.
        policies: Given to every run as input.
        patience: How long one call may take before Temporal counts as away.
    """

    connect: Callable[[], Coroutine[Any, Any, Client]]
    lab: str
    policies: LabPolicies = field(default_factory=LabPolicies)
    patience: timedelta = timedelta(seconds=5)
    _client: Client | None = None
    _connecting: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def client(self) -> Client:
        """Return the connected client.

        Raises:
            TemporalAwayError: Temporal cannot be reached.
        """
        async with self._connecting:
            if self._client is None:
                try:
                    self._client = await asyncio.wait_for(self.connect(), self.patience.total_seconds())
                except (RuntimeError, OSError, TimeoutError) as error:
                    raise TemporalAwayError("Temporal cannot be reached") from error
            return self._client

    async def is_reachable(self) -> bool:
        """Tell whether the Temporal frontend answers."""
        try:
            client = await self.client()
            return await client.service_client.check_health(timeout=timedelta(seconds=2))
        except (TemporalAwayError, RPCError):
            return False

    async def start_order(self, *, order_no: str, branch: str, priority: OrderPriority, summary: str = "") -> bool:
        """Start an order's workflow; True when it runs or has run, False when Temporal is away.

        Raises:
            RPCError: Temporal is there and refuses the call itself.
        """
        try:
            client = await self.client()
            await client.start_workflow(
                WorkflowType.LAB_ORDER,
                OrderInput(lab=self.lab, order_no=order_no, policies=self.policies),
                id=ids.order_workflow_id(self.lab, order_no),
                task_queue=queues.ORCHESTRATION,
                id_reuse_policy=WorkflowIDReusePolicy.REJECT_DUPLICATE,
                id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
                search_attributes=TypedSearchAttributes(
                    [
                        SearchAttributePair(search_attributes.ORDER_NO, order_no),
                        SearchAttributePair(search_attributes.BRANCH, branch),
                        SearchAttributePair(search_attributes.PRIORITY, priority.value),
                        SearchAttributePair(search_attributes.STAGE, "registered"),
                    ]
                ),
                static_summary=summary or f"Order {order_no}",
                priority=Priority(priority_key=PRIORITY_KEYS[priority]),
                rpc_timeout=self.patience,
            )
        except WorkflowAlreadyStartedError:
            return True
        except TemporalAwayError:
            return False
        except RPCError as error:
            if not isinstance(_translated(error), TemporalAwayError):
                raise
            return False
        return True

    async def send_command(self, command: PendingCommand) -> None:
        """Send a stored command to its workflow and wait until it is applied.

        Sent twice it is applied once: the command's id is the update's id.

        Raises:
            TemporalAwayError: No answer in time: Temporal or every worker is away.
            WorkflowGoneError: The run has ended.
            RefusedByWorkflowError: It was refused; the reason is in the error.
        """
        if command.kind == CommandKind.REVERSE_INVOICE:
            await self._start_reversal(command)
            return
        client = await self.client()
        argument: CommandRef = CommandRef(command_id=str(command.id))
        if command.kind == CommandKind.RESOLVE_STEP:
            argument = StepCommandRef(
                command_id=str(command.id),
                step=command.payload["step"],
                decision=StepDecision(command.payload["decision"]),
            )
        try:
            await client.get_workflow_handle(command.workflow_id).execute_update(
                command.kind, argument, id=str(command.id), rpc_timeout=self.patience
            )
        except WorkflowUpdateFailedError as error:
            raise _refusal(error) from error
        except WorkflowUpdateRPCTimeoutOrCancelledError as error:
            raise NotAppliedInTimeError("the command was not applied in time") from error
        except RPCError as error:
            raise _translated(error) from error

    async def _start_reversal(self, command: PendingCommand) -> None:
        client = await self.client()
        invoice_no = str(command.payload["invoice_no"])
        try:
            await client.start_workflow(
                WorkflowType.INVOICE_REVERSAL,
                ReversalInput(
                    lab=self.lab,
                    order_no=str(command.payload.get("order_no", "")),
                    invoice_no=invoice_no,
                    policies=self.policies,
                ),
                id=ids.reversal_workflow_id(invoice_no),
                task_queue=queues.ORCHESTRATION,
                id_reuse_policy=WorkflowIDReusePolicy.REJECT_DUPLICATE,
                id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
                static_summary=f"Take back {invoice_no}",
                rpc_timeout=self.patience,
            )
        except WorkflowAlreadyStartedError as error:
            # a run that ended applied the commands it found; one that came later has nothing left to do
            raise WorkflowGoneError(
                "the invoice was taken back before", action="Look at the invoice: it is reversed already."
            ) from error
        except RPCError as error:
            raise _translated(error) from error

    async def signal(self, workflow_id: str, name: SignalName, argument: BaseModel, *, request_id: str) -> None:
        """Signal a workflow; the same `request_id` is delivered once however often it is sent.

        The raw call is used because the client's own method takes a fresh request id each time.

        Raises:
            TemporalAwayError: Temporal is away.
            WorkflowGoneError: The run has ended or never existed.
        """
        client = await self.client()
        try:
            await client.workflow_service.signal_workflow_execution(
                temporalio.api.workflowservice.v1.SignalWorkflowExecutionRequest(
                    namespace=client.namespace,
                    workflow_execution=temporalio.api.common.v1.WorkflowExecution(workflow_id=workflow_id),
                    signal_name=name.value,
                    input=await client.data_converter.encode_wrapper([argument]),
                    identity=client.identity,
                    request_id=request_id,
                ),
                retry=False,
                timeout=self.patience,
            )
        except RPCError as error:
            raise _translated(error) from error

    async def start(self, kind: WorkflowType, workflow_id: str, argument: BaseModel, *, summary: str) -> None:
        """Start any workflow once; a second start of the same id is no error.

        Raises:
            TemporalAwayError: Temporal is away.
        """
        client = await self.client()
        try:
            await client.start_workflow(
                kind.value,
                argument,
                id=workflow_id,
                task_queue=queues.ORCHESTRATION,
                id_reuse_policy=WorkflowIDReusePolicy.REJECT_DUPLICATE,
                id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
                static_summary=summary,
                rpc_timeout=self.patience,
            )
        except WorkflowAlreadyStartedError:
            return
        except RPCError as error:
            raise _translated(error) from error


def _translated(error: RPCError) -> LabError:
    if error.status is RPCStatusCode.NOT_FOUND:
        if any(detail.type_url.endswith(_NO_NAMESPACE) for detail in error.grpc_status.details):
            # a server without its namespaces says nothing about the run: what waits must go on waiting
            return TemporalAwayError("Temporal has no such namespace")
        return WorkflowGoneError("the workflow has ended or was never started")
    if error.status in _AWAY:
        return TemporalAwayError(f"Temporal did not answer ({error.status.name.lower()})")
    return LabError(f"Temporal refused the call ({error.status.name.lower()})", code="TEMPORAL_REFUSED")


def _refusal(error: WorkflowUpdateFailedError) -> LabError:
    cause = error.cause
    if not isinstance(cause, ApplicationError):
        return RefusedByWorkflowError(str(cause))
    details = cause.details[0] if cause.details and isinstance(cause.details[0], dict) else {}
    if details.get("code") == "WORKFLOW_ENDED":
        return WorkflowGoneError(cause.message)
    return RefusedByWorkflowError(
        cause.message, code=str(details.get("code", "")), action=str(details.get("action", ""))
    )


async def connect(
    address: str,
    namespace: str,
    codec_keys: dict[str, bytes],
    active_key: str,
    *,
    tls: bool = False,
    api_key: str = "",
) -> Client:
    """Connect to Temporal with the sealing converter.

    Args:
        address: `host:port` of the frontend.
        namespace: The lab's namespace.
        codec_keys: Key ring of the payload codec.
        active_key: The key that seals.
        tls: Encrypt the connection; without it an API key would travel in clear inside the cluster's network.
        api_key: Bearer token of a cluster that asks for one, or "".
    """
    return await Client.connect(
        address,
        namespace=namespace,
        data_converter=data_converter(EncryptionCodec(codec_keys, active_key)),
        tls=tls,
        api_key=api_key or None,
    )
