"""The worker process: every workflow and activity, on every queue, and the inbox dispatcher beside them.

`build_workers` is the only list of workflows and activities; tests use it too, so registration and interceptors are the
same there. One process can serve all queues; `--queues` splits them when a lab grows.
"""

from __future__ import annotations

import asyncio
import logging
import signal
from collections.abc import Callable, Iterable, Sequence
from contextlib import AsyncExitStack
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from temporalio.client import Client
from temporalio.worker import Worker

from activities.billing import BillingActivities
from activities.commands import CommandActivities
from activities.einvoicing import EInvoiceActivities
from activities.errors import ErrorInterceptor
from activities.health_records import HealthRecordActivities
from activities.notifications import NotificationActivities
from activities.orders import OrderActivities
from activities.refunds import RefundActivities
from activities.report_links import ReportLinks
from activities.reports import ReportActivities
from activities.resources import Resources, open_resources
from activities.reversal import ReversalActivities
from domain import VERSION
from inbox.dispatcher import Dispatcher
from inbox.partner_events import routers
from inbox.sharing_events import SHARING_ROUTERS
from telemetry import metrics
from workflows import gateway, queues
from workflows.consent_notice import ConsentNoticeWorkflow
from workflows.einvoice import EInvoiceWorkflow
from workflows.health_info_transfer import HealthInfoTransferWorkflow
from workflows.health_record_push import HealthRecordPushWorkflow
from workflows.invoice_reversal import InvoiceReversalWorkflow
from workflows.lab_order import LabOrderWorkflow
from workflows.payment import PaymentWorkflow
from workflows.refund import RefundWorkflow
from workflows.report_delivery import ReportDeliveryWorkflow

if TYPE_CHECKING:
    from settings import Settings

logger = logging.getLogger(__name__)

WORKFLOWS: Sequence[type] = (
    LabOrderWorkflow,
    PaymentWorkflow,
    RefundWorkflow,
    EInvoiceWorkflow,
    InvoiceReversalWorkflow,
    ReportDeliveryWorkflow,
    HealthRecordPushWorkflow,
    HealthInfoTransferWorkflow,
    ConsentNoticeWorkflow,
)

MAX_WORKFLOW_TASKS = 8
"""A restarted worker replays all it is given under one interpreter lock; beyond about 12 at once it misses 2 s."""

GRACE = timedelta(seconds=25)
"""How long activities may finish after SIGTERM."""

_PARTNER_RATES = {queues.EINVOICE: 10.0, queues.ABDM: 10.0}
"""Activities per second that a partner's queue hands out, over all workers; others are limited by the partner's 429."""


def activities_of(resources: Resources) -> list[Callable[..., Any]]:
    """Return every activity, bound to what it needs."""
    database = resources.database
    owners: Iterable[object] = (
        OrderActivities(database),
        CommandActivities(database),
        ReportActivities(database, resources.files, resources.public_url),
        BillingActivities(database, resources.razorpay),
        RefundActivities(database, resources.razorpay),
        ReversalActivities(database),
        EInvoiceActivities(database, resources.einvoice),
        NotificationActivities(
            database, resources.channels or {}, ReportLinks(resources.link_key, resources.public_url)
        ),
        HealthRecordActivities(database, resources.abdm, resources.abdm_push, resources.files),
    )
    return [method for owner in owners for method in _defined_on(owner)]


def _defined_on(owner: object) -> list[Callable[..., Any]]:
    names = [name for name in dir(type(owner)) if hasattr(getattr(type(owner), name), "__temporal_activity_definition")]
    return [getattr(owner, name) for name in names]


def build_workers(
    client: Client, resources: Resources, *, task_queues: Sequence[str] = queues.ALL, build_id: str = VERSION
) -> list[Worker]:
    """Return one worker per queue; workflows run on the orchestration queue.

    Args:
        client: Connected with the sealing converter.
        resources: Open as long as the workers run.
        task_queues: Which queues this process serves.
        build_id: Version of the code. Named, because the default hashes every loaded module for seconds per worker.
    """
    activities = activities_of(resources)
    return [
        Worker(
            client,
            task_queue=queue,
            workflows=list(WORKFLOWS) if queue == queues.ORCHESTRATION else [],
            activities=activities,
            interceptors=[ErrorInterceptor()],
            build_id=build_id,
            max_concurrent_workflow_tasks=MAX_WORKFLOW_TASKS,
            max_concurrent_activities=20,
            max_task_queue_activities_per_second=_PARTNER_RATES.get(queue),
            graceful_shutdown_timeout=GRACE,
        )
        for queue in task_queues
    ]


async def connect_patiently(settings: Settings) -> Client:
    """Connect to Temporal; it may come up after us.

    Raises:
        asyncio.CancelledError: The process was told to stop meanwhile.
    """
    own = settings.temporal
    while True:
        try:
            return await gateway.connect(
                own.address,
                own.namespace,
                own.decoded_codec_keys(),
                own.codec_active_key,
                tls=own.tls,
                api_key=own.api_key.get_secret_value(),
            )
        except RuntimeError as error:
            logger.warning("Temporal is away, trying again: %s", type(error).__name__)
            await asyncio.sleep(2)


async def main(settings: Settings, task_queues: Sequence[str] = queues.ALL) -> None:
    """Run until SIGTERM or SIGINT."""
    if settings.telemetry.worker_metrics_port:
        metrics.serve(settings.telemetry.metrics_host, settings.telemetry.worker_metrics_port)
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    async with open_resources(settings) as resources, asyncio.TaskGroup() as tasks:
        work = tasks.create_task(run(settings, resources, task_queues))
        await stop.wait()
        logger.info("stopping")
        work.cancel()


async def run(settings: Settings, resources: Resources, task_queues: Sequence[str] = queues.ALL) -> None:
    """Run workers and dispatcher until cancelled."""
    client = await connect_patiently(settings)
    async with AsyncExitStack() as stack:
        for built in build_workers(client, resources, task_queues=task_queues):
            await stack.enter_async_context(built)
        logger.info("worker ready", extra={"count": len(task_queues)})
        await dispatcher_of(settings, resources, client).run()


def dispatcher_of(settings: Settings, resources: Resources, client: Client) -> Dispatcher:
    """Return the inbox dispatcher of this process."""

    async def connected() -> Client:
        return client

    return Dispatcher(
        database=resources.database,
        gateway=gateway.Gateway(connect=connected, lab=settings.lab.code, policies=settings.policies),
        listen_dsn=settings.database.url.get_secret_value().replace("+asyncpg", "", 1),
        routers=routers(SHARING_ROUTERS),
        files=resources.files,
    )
