"""How activities are called: timeouts and retry policies by kind, so that workflows name a kind and nothing else."""

from __future__ import annotations

from datetime import timedelta
from typing import TypedDict

from temporalio import workflow
from temporalio.common import RetryPolicy

with workflow.unsafe.imports_passed_through():
    from domain.policies import PartnerPolicy
    from workflows import queues


class ActivityOptions(TypedDict):
    """Keyword arguments of `workflow.execute_activity_method`."""

    task_queue: str
    start_to_close_timeout: timedelta
    retry_policy: RetryPolicy


DB = ActivityOptions(
    task_queue=queues.ORCHESTRATION,
    start_to_close_timeout=timedelta(seconds=15),
    retry_policy=RetryPolicy(
        initial_interval=timedelta(milliseconds=200), backoff_coefficient=2, maximum_interval=timedelta(seconds=30)
    ),
)
"""One database transaction: repeated until PostgreSQL is back."""

RENDER = ActivityOptions(
    task_queue=queues.RENDER,
    start_to_close_timeout=timedelta(seconds=60),
    retry_policy=RetryPolicy(initial_interval=timedelta(seconds=1), maximum_interval=timedelta(minutes=1)),
)
"""Rendering and object storage."""


def partner(policy: PartnerPolicy, queue: str) -> ActivityOptions:
    """Return the options of a partner call: repeated without end, capped back-off; the caller watches the clock."""
    return ActivityOptions(
        task_queue=queue,
        start_to_close_timeout=policy.attempt_timeout,
        retry_policy=RetryPolicy(
            initial_interval=policy.first_retry,
            backoff_coefficient=2,
            maximum_interval=policy.max_retry,
            non_retryable_error_types=["PayloadsTooLarge"],
        ),
    )
