"""One run tells another that something has happened."""

from __future__ import annotations

from temporalio import workflow
from temporalio.exceptions import ApplicationError

with workflow.unsafe.imports_passed_through():
    from pydantic import BaseModel

    from domain.messages import SignalName


async def tell(workflow_id: str, signal: SignalName, argument: BaseModel) -> bool:
    """Signal another run; False when it has ended or was never started, which is no error."""
    handle = workflow.get_external_workflow_handle(workflow_id)
    try:
        await handle.signal(signal.value, argument)
    except ApplicationError as error:
        workflow.logger.info("%s not told %s: %s", workflow_id, signal.value, error.message)
        return False
    return True
