"""Translates our errors for Temporal, in one place: what is retried, how soon, and what operators see.

A ConnectorError that is retryable is retried; every other LabError ends the activity at once and the workflow decides.
A store that is away is retried. Anything unknown is retried too: a bug parks the step visibly until a fix is deployed.
"""

from __future__ import annotations

from typing import Any

from temporalio import activity
from temporalio.exceptions import ApplicationError, ApplicationErrorCategory
from temporalio.worker import ActivityInboundInterceptor, ExecuteActivityInput, Interceptor

from domain.errors import ConnectorError, LabError, RejectedError, RuleError
from store.session import StoreUnavailableError
from telemetry.logs import bind


class ErrorInterceptor(Interceptor):
    """The worker's one interceptor: errors translated, log lines carry the run they belong to."""

    def intercept_activity(self, next: ActivityInboundInterceptor) -> ActivityInboundInterceptor:
        """Wrap every activity."""
        return _TranslateErrors(next)


class _TranslateErrors(ActivityInboundInterceptor):
    async def execute_activity(self, input: ExecuteActivityInput) -> Any:
        info = activity.info()
        with bind(workflow_id=info.workflow_id or "", operation=info.activity_type):
            try:
                return await super().execute_activity(input)
            except LabError as error:
                raise as_application_error(error) from error


def as_application_error(error: LabError) -> ApplicationError:
    """Return the Temporal error that says how `error` is to be treated.

    Its first detail is `{"code", "action", "partner_code"}`; its type is the class name of our error.
    """
    is_retryable = isinstance(error, StoreUnavailableError) or (isinstance(error, ConnectorError) and error.retryable)
    partner_code = error.partner_code if isinstance(error, ConnectorError) else ""
    expected = isinstance(error, (RejectedError, RuleError))
    return ApplicationError(
        str(error),
        {"code": error.code, "action": error.action, "partner_code": partner_code},
        type=type(error).__name__,
        non_retryable=not is_retryable,
        next_retry_delay=error.retry_after if isinstance(error, ConnectorError) else None,
        category=ApplicationErrorCategory.BENIGN if expected else ApplicationErrorCategory.UNSPECIFIED,
    )
