"""Starting child workflows: own id, abandoned when the parent closes, never started twice."""

from __future__ import annotations

from temporalio import workflow
from temporalio.common import SearchAttributePair, TypedSearchAttributes, WorkflowIDReusePolicy
from temporalio.exceptions import WorkflowAlreadyStartedError
from temporalio.workflow import ParentClosePolicy

with workflow.unsafe.imports_passed_through():
    from pydantic import BaseModel

    from domain.messages import WorkflowType
    from workflows import queues, search_attributes


async def start_child(
    kind: WorkflowType, workflow_id: str, argument: BaseModel, *, order_no: str, branch: str, summary: str
) -> bool:
    """Start a child that lives its own life; False when it was started before."""
    try:
        await workflow.start_child_workflow(
            kind.value,
            argument,
            id=workflow_id,
            task_queue=queues.ORCHESTRATION,
            parent_close_policy=ParentClosePolicy.ABANDON,
            id_reuse_policy=WorkflowIDReusePolicy.REJECT_DUPLICATE,
            search_attributes=TypedSearchAttributes(
                [
                    SearchAttributePair(search_attributes.ORDER_NO, order_no),
                    SearchAttributePair(search_attributes.BRANCH, branch),
                ]
            ),
            static_summary=summary,
        )
    except WorkflowAlreadyStartedError:
        return False
    return True
