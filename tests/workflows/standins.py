"""What stand-ins of the billing activities share: calls counted, errors on demand, attention and commands noted."""

import json
import os
import re
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

from temporalio import activity
from temporalio.client import WorkflowHandle

from activities.commands import Applied
from activities.orders import AttentionChange
from domain.enums import OrderStage, StepDecision
from domain.errors import UnavailableError
from domain.messages import CommandRef, Progress, StepCommandRef
from domain.policies import PartnerPolicy
from tests.fixtures.workflows import eventually

ORDER_NO = "DEL-261123-0001"
INVOICE_NO = "DELB2627-000001"
QUICK = PartnerPolicy.model_validate({"first_retry": 0.02, "max_retry": 0.05})
IMPATIENT = PartnerPolicy.model_validate({"first_retry": 0.02, "max_retry": 0.05, "alert_after": 0.3})


HISTORIES = Path(__file__).parent / "replay"
_KEEP = "LABSETU_KEEP_HISTORIES"


_PROCESS = re.compile(r"\d+@[\w.-]+")


def _anonymous(node: object) -> object:
    """Leave out what names the machine that ran it: process ids with host names, and stack traces."""
    if isinstance(node, dict):
        return {key: _anonymous(value) for key, value in node.items() if key != "encodedAttributes"}
    if isinstance(node, list):
        return [_anonymous(value) for value in node]
    return _PROCESS.sub("test", node) if isinstance(node, str) else node


async def keep_history(handle: WorkflowHandle[Any, Any], name: str) -> None:
    """Write a run's history to `replay/<name>.json` when LABSETU_KEEP_HISTORIES is set; review it before committing."""
    if not os.environ.get(_KEEP):
        return
    history = _anonymous(json.loads((await handle.fetch_history()).to_json()))
    file = HISTORIES / f"{name}.json"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(history, separators=(",", ":")) + "\n")


class Desk:
    """Stands in for PostgreSQL and for a partner.

    Attributes:
        errors: By short name of an activity: what its next calls raise, one each.
        is_down: Every call that goes to a partner finds nobody there.
    """

    def __init__(self) -> None:
        self.errors: dict[str, list[Exception]] = {}
        self.calls: list[str] = []
        self.attention: list[tuple[str, str, bool]] = []
        self.effects: dict[str, Callable[[Any], None]] = {}
        self.is_down = False

    def note(self, name: str, *, at_partner: bool = False) -> None:
        self.calls.append(name)
        if at_partner and self.is_down:
            raise UnavailableError("the partner is away")
        if self.errors.get(name):
            raise self.errors[name].pop(0)

    def command(self, effect: Callable[[Any], None] = lambda _: None) -> CommandRef:
        ref = CommandRef(command_id=str(uuid.uuid4()))
        self.effects[ref.command_id] = effect
        return ref

    def decision(self, step: str, decision: StepDecision) -> StepCommandRef:
        return StepCommandRef(command_id=self.command().command_id, step=step, decision=decision)

    async def called(self, name: str, times: int = 1) -> None:
        async def check() -> bool:
            return self.calls.count(name) >= times

        await eventually(check)

    async def raised(self, key: str, code: str) -> None:
        async def check() -> bool:
            return (key, code, True) in self.attention

        await eventually(check)

    @activity.defn(name="orders.show_attention")
    async def show_attention(self, change: AttentionChange) -> None:
        self.attention.append((change.key, change.code, change.is_raised))

    @activity.defn(name="commands.apply")
    async def apply(self, ref: CommandRef) -> Applied:
        self.note("apply")
        self.effects[ref.command_id](self)
        return Applied(
            progress=Progress(order_no=ORDER_NO, stage=OrderStage.REGISTERED, branch="DEL", priority="routine")
        )
