"""Keeps runs' histories as files that replay anywhere: payloads opened, nothing in them that names the machine.

Opened, because a reviewer must see what is in them: by design ids, codes and amounts, never a patient's data. The
converter passes unsealed payloads through, so a file needs no key.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from google.protobuf.message import Message
from temporalio.api.common.v1 import Payload
from temporalio.api.failure.v1 import Failure
from temporalio.client import Client, WorkflowExecution, WorkflowHistory

from workflows.codec import EncryptionCodec

_PROCESS = re.compile(r"\b\d+@[\w.-]+")
_SNAKE = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")


def folder_of(workflow_type: str) -> str:
    """Return the folder of a workflow's histories: `LabOrder` is `lab_order`, `EInvoice` is `einvoice`."""
    return "einvoice" if workflow_type == "EInvoice" else _SNAKE.sub("_", workflow_type).lower()


@dataclass
class HistoryFiles:
    """Writes histories below `folder`, one folder per workflow type.

    Attributes:
        codec: Opens what was recorded.
        known: Ids of runs that are written or belong to nobody's story.
    """

    client: Client
    codec: EncryptionCodec
    folder: Path
    known: set[str] = field(default_factory=set)

    async def fresh(self) -> list[WorkflowExecution]:
        """Return the runs that were started since the last `keep`, by id."""
        found = [run async for run in self.client.list_workflows() if run.id not in self.known]
        return sorted(found, key=lambda run: run.id)

    async def keep(self, behaviour: str, types: frozenset[str]) -> list[Path]:
        """Write the runs of these types that were started since the last call; return the files."""
        written: list[Path] = []
        for run in await self.fresh():
            self.known.add(run.id)
            if run.workflow_type not in types:
                continue
            history = await self.client.get_workflow_handle(run.id, run_id=run.run_id).fetch_history()
            file = self._free(self.folder / folder_of(run.workflow_type), behaviour, written)
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(await self._text(history), encoding="utf-8")
            written.append(file)
        return written

    @staticmethod
    def _free(folder: Path, behaviour: str, written: list[Path]) -> Path:
        """Return the behaviour's file, numbered from the second run of one type on."""
        taken = sum(file.parent == folder for file in written)
        return folder / (f"{behaviour}_{taken + 1}.json" if taken else f"{behaviour}.json")

    async def _text(self, history: WorkflowHistory) -> str:
        for event in history.events:
            await self._open(event)
        plain = _without_machine(json.loads(history.to_json()))
        return json.dumps(plain, separators=(",", ":"), ensure_ascii=False) + "\n"

    async def _open(self, message: Message) -> None:
        """Open every sealed payload in a message and drop what a failure tells of our source code, in place."""
        if isinstance(message, Payload):
            opened = await self.codec.decode([message])
            message.CopyFrom(opened[0])
            return
        if isinstance(message, Failure):
            message.ClearField("encoded_attributes")
            message.ClearField("stack_trace")
        for part in _parts(message):
            await self._open(part)


def _parts(message: Message) -> Iterator[Message]:
    for descriptor, value in message.ListFields():
        kind = descriptor.message_type
        if kind is None:
            continue
        if kind.GetOptions().map_entry:
            yield from (part for part in value.values() if isinstance(part, Message))
        elif isinstance(value, Message):
            yield value
        else:
            yield from value


def _without_machine(node: object) -> object:
    """Replace process ids with host names."""
    if isinstance(node, dict):
        return {key: _without_machine(value) for key, value in node.items()}
    if isinstance(node, list):
        return [_without_machine(value) for value in node]
    return _PROCESS.sub("worker", node) if isinstance(node, str) else node
