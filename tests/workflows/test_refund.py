"""Refund against stand-in activities: asked once, followed to its end, made by hand where the gateway cannot."""

from datetime import timedelta

from temporalio import activity
from temporalio.client import Client, WorkflowHandle
from temporalio.testing import TimeSkipper

from activities.refunds import RefundDecision, RefundFacts, RefundKey
from domain import ids
from domain.enums import RefundState, StepDecision
from domain.errors import RejectedError, RuleError
from domain.messages import PartnerEventRef, RefundInput, RefundResult
from domain.policies import LabPolicies, RefundPolicy
from tests.fixtures.workflows import running
from tests.workflows.standins import IMPATIENT, INVOICE_NO, ORDER_NO, QUICK, Desk, keep_history
from workflows import queues
from workflows.refund import RefundWorkflow

WORKFLOWS = [RefundWorkflow]


class Teller(Desk):
    """Stands in for the refund's row and the gateway."""

    def __init__(self, **facts: object) -> None:
        super().__init__()
        self.facts = RefundFacts.model_validate(facts)
        self.at_gateway = RefundState.PROCESSED

    def set(self, **changes: object) -> RefundFacts:
        self.facts = self.facts.model_copy(update=changes)
        return self.facts

    @activity.defn(name="billing.open_refund")
    async def open_refund(self, key: RefundKey) -> RefundFacts:
        self.note("open")
        return self.facts

    @activity.defn(name="billing.request_refund")
    async def request_refund(self, key: RefundKey) -> RefundFacts:
        self.note("request", at_partner=True)
        return self.set(state=self.at_gateway)

    @activity.defn(name="billing.refresh_refund")
    async def refresh_refund(self, key: RefundKey) -> RefundFacts:
        self.note("refresh", at_partner=True)
        return self.set(state=self.at_gateway)

    @activity.defn(name="billing.renew_refund")
    async def renew_refund(self, key: RefundKey) -> RefundFacts:
        self.note("renew")
        return self.set(state=RefundState.REQUESTED)

    @activity.defn(name="billing.answer_refund")
    async def answer_refund(self, decision: RefundDecision) -> RefundFacts:
        self.note("answer")
        return self.set(state=RefundState.PROCESSED)

    @activity.defn(name="billing.close_refund")
    async def close_refund(self, decision: RefundDecision) -> RefundFacts:
        self.note("close")
        return self.set(state=RefundState.FAILED, is_closed=True)


async def start(client: Client, **policy: object) -> WorkflowHandle[RefundWorkflow, RefundResult]:
    refund = RefundPolicy.model_validate({"partner": QUICK, **policy})
    return await client.start_workflow(
        RefundWorkflow.run,
        RefundInput(
            lab="LAB1", order_no=ORDER_NO, invoice_no=INVOICE_NO, payment_ref="pay_1",
            policies=LabPolicies(refund=refund),
        ),
        id=ids.refund_workflow_id("pay_1"),
        task_queue=queues.ORCHESTRATION,
    )  # fmt: skip


def event(row_id: str) -> PartnerEventRef:
    return PartnerEventRef(event_row_id=row_id, source="razorpay", kind="refund.processed", entity_id="rfnd_1")


async def test_a_refund_that_is_processed_at_once(lab_client: Client):
    desk = Teller()
    async with running(lab_client, WORKFLOWS, desk):
        handle = await start(lab_client)
        assert (await handle.result()).outcome == "processed"
        await keep_history(handle, "refund/processed")
        assert desk.calls == ["open", "request"]


async def test_nothing_is_asked_where_nothing_is_owed(lab_client: Client):
    desk = Teller(is_needed=False)
    async with running(lab_client, WORKFLOWS, desk):
        assert (await (await start(lab_client)).result()).outcome == "not_needed"
        assert desk.calls == ["open"]


async def test_a_pending_refund_is_followed_by_event_and_by_clock(lab_client: Client, clock: TimeSkipper):
    desk = Teller()
    desk.at_gateway = RefundState.PENDING
    async with running(lab_client, WORKFLOWS, desk):
        handle = await start(clock.client, alert_after=timedelta(hours=2))
        await desk.called("request")
        await handle.signal("partner_event_received", event("e1"))
        await desk.called("refresh")
        await handle.signal("partner_event_received", event("e1"))
        await clock.fast_forward(handle, timedelta(hours=3.5))
        await desk.raised("Refund:refund_pending", "overdue")
        desk.at_gateway = RefundState.PROCESSED
        await handle.signal("partner_event_received", event("e2"))
        assert (await handle.result()).outcome == "processed"
        assert desk.attention[-1] == ("Refund:refund_pending", "", False)
        assert desk.calls.count("request") == 1


async def test_the_gateway_away_then_back(lab_client: Client):
    desk = Teller()
    desk.is_down = True
    async with running(lab_client, WORKFLOWS, desk):
        handle = await start(lab_client, partner=IMPATIENT)
        await desk.raised("Refund:request_refund", "overdue")
        desk.is_down = False
        assert (await handle.result()).outcome == "processed"
        assert desk.attention[-1] == ("Refund:request_refund", "", False)


async def test_a_refused_refund_is_answered_by_hand(lab_client: Client):
    desk = Teller()
    desk.errors["request"] = [RejectedError("too late", code="PARTNER_REJECTED", partner_code="REFUND_TOO_LATE")]
    async with running(lab_client, WORKFLOWS, desk):
        handle = await start(lab_client)
        await desk.raised("Refund:request_refund", "PARTNER_REJECTED")
        await handle.execute_update("resolve_step", desk.decision("request_refund", StepDecision.ANSWER))
        assert (await handle.result()).outcome == "processed"
        assert "answer" in desk.calls


async def test_a_refused_refund_is_skipped(lab_client: Client):
    desk = Teller()
    desk.errors["request"] = [RejectedError("no", code="PARTNER_REJECTED")]
    async with running(lab_client, WORKFLOWS, desk):
        handle = await start(lab_client)
        await desk.raised("Refund:request_refund", "PARTNER_REJECTED")
        await handle.execute_update("resolve_step", desk.decision("request_refund", StepDecision.SKIP))
        assert (await handle.result()).outcome == "skipped"


async def test_a_failed_refund_is_asked_for_again(lab_client: Client):
    desk = Teller()
    desk.at_gateway = RefundState.FAILED
    async with running(lab_client, WORKFLOWS, desk):
        handle = await start(lab_client)
        await desk.raised("Refund:refund_failed", "refund_failed")
        desk.at_gateway = RefundState.PROCESSED
        await handle.execute_update("resolve_step", desk.decision("refund_failed", StepDecision.RETRY))
        assert (await handle.result()).outcome == "processed"
        await keep_history(handle, "refund/failed_and_renewed")
        assert desk.calls == ["open", "request", "apply", "renew", "request"]


async def test_cash_goes_back_by_hand_and_a_useless_answer_asks_again(lab_client: Client):
    desk = Teller(is_by_hand=True)
    desk.errors["answer"] = [RuleError("no reference", code="ANSWER_INCOMPLETE")]
    async with running(lab_client, WORKFLOWS, desk, cached=0):
        handle = await start(lab_client)
        await desk.raised("Refund:refund_by_hand", "refund_by_hand")
        await handle.execute_update("resolve_step", desk.decision("refund_by_hand", StepDecision.ANSWER))
        await desk.raised("Refund:refund_by_hand", "ANSWER_INCOMPLETE")
        await handle.execute_update("resolve_step", desk.decision("refund_by_hand", StepDecision.ANSWER))
        assert (await handle.result()).outcome == "processed"
        await keep_history(handle, "refund/by_hand")
        assert "request" not in desk.calls
