"""What stand-ins of the billing activities share: calls counted, errors on demand, attention and commands noted."""

import uuid
from collections.abc import Callable
from typing import Any

from temporalio import activity

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
