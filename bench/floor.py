"""The engine's floor: a workflow of as many bare activities, updates and signals as an order has in all its runs.

`python -m bench.floor` is its worker, with the settings of the stack that is measured.
"""

from __future__ import annotations

import asyncio
import signal
from concurrent.futures import Future
from datetime import timedelta
from typing import TYPE_CHECKING

from temporalio import activity, workflow
from temporalio.client import Client
from temporalio.worker import Worker

with workflow.unsafe.imports_passed_through():
    from pydantic import BaseModel

if TYPE_CHECKING:
    from settings import Settings

QUEUE = "bench.floor"


class Load(BaseModel):
    """What one order costs the engine, counted in its histories; each update and signal runs one of the activities."""

    activities: int
    updates: int
    signals: int


class Nothing(BaseModel):
    """What every bare activity takes and gives."""

    text: str = "DEL-261123-0001"


@activity.defn(name="bench.nothing")
async def nothing(given: Nothing) -> Nothing:
    """Do nothing."""
    return given


@workflow.defn(name="BenchFloor")
class FloorWorkflow:
    """As many activities, updates and signals as it is told, and nothing else."""

    @workflow.init
    def __init__(self, load: Load) -> None:
        self._load = load
        self._updates = self._signals = 0

    @workflow.run
    async def run(self, load: Load) -> None:
        """Run the activities that neither updates nor signals run, then wait for those."""
        for _ in range(load.activities - load.updates - load.signals):
            await self._act()
        await workflow.wait_condition(
            lambda: self._updates >= load.updates and self._signals >= load.signals, timeout=timedelta(hours=1)
        )

    @workflow.update
    async def command(self, _given: Nothing) -> Nothing:
        """Do as a command does."""
        done = await self._act()
        self._updates += 1
        return done

    @workflow.signal
    async def event(self, _given: Nothing) -> None:
        """Do as an event does."""
        await self._act()
        self._signals += 1

    async def _act(self) -> Nothing:
        return await workflow.execute_activity(nothing, Nothing(), start_to_close_timeout=timedelta(seconds=30))


async def carry(client: Client, workflow_id: str, load: Load) -> None:
    """Run one floor workflow from its start to its end, one message after the other."""
    handle = await client.start_workflow(FloorWorkflow.run, load, id=workflow_id, task_queue=QUEUE)
    for _ in range(load.updates):
        await handle.execute_update(FloorWorkflow.command, Nothing())
    for _ in range(load.signals):
        await handle.signal(FloorWorkflow.event, Nothing())
    await handle.result()


async def serve(settings: Settings) -> None:
    """Run the worker until SIGTERM."""
    from domain import VERSION
    from worker import MAX_WORKFLOW_TASKS, connect_patiently

    stop: Future[None] = Future()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set_result, None)
    client = await connect_patiently(settings)
    async with Worker(
        client, task_queue=QUEUE, workflows=[FloorWorkflow], activities=[nothing], build_id=VERSION,
        max_concurrent_workflow_tasks=MAX_WORKFLOW_TASKS, max_concurrent_activities=20,
    ):  # fmt: skip
        await asyncio.wrap_future(stop)


if __name__ == "__main__":
    import os

    from settings import load_settings

    asyncio.run(serve(load_settings()))
    os._exit(0)
