"""InvoiceReversal: takes an invoice back, its money and its document.

marked → collection stopped ∥ document cancelled | IRN cancelled | credit note → refunds made → done

Started by LabOrder when an order is cancelled, and by staff's command. The two halves run side by side: the portal
cancels within 24 hours, a refund may take a week. Starts a Refund for each captured payment and an EInvoice for a
credit note. Lives until the ledger of the invoice has nothing left to move. Sets LabOrderNo and LabAttention.
Cancelling the run stops it half way: start no second one, resolve its steps instead.
"""

from __future__ import annotations

import asyncio
from typing import Literal

from temporalio import workflow
from temporalio.exceptions import ActivityError

with workflow.unsafe.imports_passed_through():
    from activities.billing import InvoiceKey
    from activities.commands import CommandActivities
    from activities.einvoicing import EInvoiceActivities, EInvoiceFacts, IrnCancellation
    from activities.reversal import CreditNote, ReversalActivities, ReversalFacts
    from domain import ids
    from domain.enums import EInvoiceState, StepDecision
    from domain.messages import (
        CommandKind,
        CommandOutcome,
        CommandRef,
        EInvoiceInput,
        InvoiceRef,
        RefundInput,
        ReversalInput,
        ReversalResult,
        SignalName,
        StepCommandRef,
        WorkflowType,
    )
    from domain.policies import PartnerPolicy
    from workflows import queues, search_attributes
    from workflows.children import start_child
    from workflows.details import details
    from workflows.failures import failure_of
    from workflows.notices import tell
    from workflows.options import DB, partner
    from workflows.partner_steps import PartnerSteps, StepResult

Outcome = Literal["cancelled", "irn_cancelled", "credited", "refused"]


BALANCE = "ledger_balance"


@workflow.defn(name=WorkflowType.INVOICE_REVERSAL.value)
class InvoiceReversalWorkflow:
    """Invariants: an invoice is reversed once, by cancellation or by one credit note; its ledger ends at zero.

    Every step is written so that doing it twice changes nothing.
    """

    @workflow.init
    def __init__(self, reversal: ReversalInput) -> None:
        self._reversal = reversal
        self._key = InvoiceKey(invoice_no=reversal.invoice_no)
        self._order_no = reversal.order_no
        self._steps = PartnerSteps(WorkflowType.INVOICE_REVERSAL.value, reversal.order_no)
        self._stages = {"Money": "to be given back", "Document": "to be taken back"}
        self._note_no = ""

    @workflow.run
    async def run(self, _reversal: ReversalInput) -> ReversalResult:
        """Take the invoice back and return how."""
        await self._find_order()
        facts = await self._apply_commands()
        if not facts.is_marked:
            return await self._end("refused")
        facts = await self._begin()
        async with asyncio.TaskGroup() as halves:
            document = halves.create_task(self._take_document_back(facts.branch))
            halves.create_task(self._give_money_back())
        await self._balance()
        await self._apply_commands()
        order_id = ids.order_workflow_id(self._reversal.lab, self._order_no)
        await tell(order_id, SignalName.PAYMENT_SETTLED, InvoiceRef(invoice_no=self._reversal.invoice_no))
        return await self._end(document.result())

    async def _find_order(self) -> None:
        """Learn the order: a command that waited for Temporal names the invoice only."""
        self._order_no = (await self._read()).order_no
        self._steps = PartnerSteps(WorkflowType.INVOICE_REVERSAL.value, self._order_no)
        workflow.upsert_search_attributes([search_attributes.ORDER_NO.value_set(self._order_no)])

    async def _end(self, outcome: Outcome) -> ReversalResult:
        await workflow.wait_condition(workflow.all_handlers_finished)
        self._show("done", "nothing")
        return ReversalResult(invoice_no=self._reversal.invoice_no, outcome=outcome, note_no=self._note_no)

    async def _apply_commands(self) -> ReversalFacts:
        """Apply staff's commands that ask for this reversal; a refused one keeps its reason in its row."""
        facts = await self._read()
        for command_id in facts.commands:
            try:
                await workflow.execute_activity_method(
                    CommandActivities.apply, CommandRef(command_id=command_id), **DB, summary="Note who asked for it"
                )
            except ActivityError as error:
                workflow.logger.info("reversal refused: %s", failure_of(error).code)
        return await self._read() if facts.commands else facts

    async def _read(self) -> ReversalFacts:
        return await workflow.execute_activity_method(
            ReversalActivities.reversal_facts, self._key, **DB, summary=f"Read {self._reversal.invoice_no}"
        )

    async def _begin(self) -> ReversalFacts:
        return await workflow.execute_activity_method(
            ReversalActivities.begin_reversal, self._key, **DB, summary=f"Mark {self._reversal.invoice_no}"
        )

    async def _give_money_back(self) -> None:
        """Stop the collection, refund what was captured, and wait until both have had their effect."""
        invoice = InvoiceRef(invoice_no=self._reversal.invoice_no)
        await tell(ids.payment_workflow_id(invoice.invoice_no), SignalName.COLLECTION_STOPPED, invoice)
        refunds = self._reversal.policies.refund
        pause = refunds.partner.first_retry
        while True:
            facts = await self._read()
            for payment_ref in facts.refundable:
                await self._start_refund(payment_ref, facts.branch)
            if not (facts.open_links or facts.refundable or facts.refunds_open):
                break
            under_way = [*facts.refundable, *facts.refunds_open]
            self._stage("Money", f"{len(under_way)} refunds, {facts.open_links} links open")
            await workflow.sleep(pause, summary="Look at the money again")
            pause = min(pause * 2, refunds.poll_every)
        self._stage("Money", "given back")

    async def _balance(self) -> None:
        """Have a person look at a ledger that does not end at zero."""
        while not (await self._read()).is_settled:
            await self._steps.ask(BALANCE, "ledger_open")
            decided: StepResult[ReversalFacts] | None = await self._steps.decide(BALANCE)
            if decided is not None:
                break
            await self._give_money_back()
        await self._steps.settle(BALANCE)

    async def _take_document_back(self, branch: str) -> Outcome:
        """Cancel the document, cancel its registration, or issue a credit note."""
        known = await self._withdraw()
        if known.state is EInvoiceState.CANCELLED and known.is_sent:
            self._stage("Document", "looking for a registration")
            found = await self._steps.run("look_up_irn", self._start_look_up, self._partner)
            known = found.value or known
        if known.state is not EInvoiceState.GENERATED:
            await self._cancel_invoice()
            return "cancelled"
        if await self._cancel_irn():
            await self._cancel_invoice()
            return "irn_cancelled"
        await self._credit(branch)
        return "credited"

    async def _withdraw(self) -> EInvoiceFacts:
        """Make sure that nothing more is registered, then let the EInvoice end."""
        known = await workflow.execute_activity_method(
            EInvoiceActivities.withdraw, self._key, **DB, summary=f"Withdraw {self._reversal.invoice_no}"
        )
        invoice = InvoiceRef(invoice_no=self._reversal.invoice_no)
        await tell(ids.einvoice_workflow_id(invoice.invoice_no), SignalName.DOCUMENT_WITHDRAWN, invoice)
        return known

    async def _cancel_irn(self) -> bool:
        """Cancel the registration; False when it is too late for that, or staff prefer a credit note."""
        self._stage("Document", "cancelling the IRN")
        ended = await self._steps.run("cancel_irn", self._start_cancel_irn, self._partner)
        if ended.value is not None:
            return ended.value.is_cancelled
        if ended.decision is not StepDecision.ANSWER:
            return False
        await workflow.execute_activity_method(
            EInvoiceActivities.note_cancelled, self._key, **DB, summary="Note that it was cancelled on the portal"
        )
        return True

    async def _cancel_invoice(self) -> None:
        await workflow.execute_activity_method(
            ReversalActivities.cancel_invoice, self._key, **DB, summary=f"Cancel {self._reversal.invoice_no}"
        )
        self._stage("Document", "cancelled")

    async def _credit(self, branch: str) -> None:
        note: CreditNote = await workflow.execute_activity_method(
            ReversalActivities.issue_credit_note, self._key, **DB, summary=f"Credit {self._reversal.invoice_no}"
        )
        self._note_no = note.document_no
        if note.requires_irn:
            await start_child(
                WorkflowType.EINVOICE,
                ids.einvoice_workflow_id(note.document_no),
                EInvoiceInput(
                    lab=self._reversal.lab,
                    order_no=self._order_no,
                    invoice_no=note.document_no,
                    policies=self._reversal.policies,
                ),
                order_no=self._order_no,
                branch=branch,
                summary=f"E-invoice of credit note {note.document_no}",
            )
        self._stage("Document", f"credited by {note.document_no}")

    async def _start_refund(self, payment_ref: str, branch: str) -> None:
        await start_child(
            WorkflowType.REFUND,
            ids.refund_workflow_id(payment_ref),
            RefundInput(
                lab=self._reversal.lab,
                order_no=self._order_no,
                invoice_no=self._reversal.invoice_no,
                payment_ref=payment_ref,
                policies=self._reversal.policies,
            ),
            order_no=self._order_no,
            branch=branch,
            summary=f"Refund of {self._reversal.invoice_no}",
        )

    @workflow.update(name=CommandKind.RESOLVE_STEP.value, description="Retry, skip or answer a step by hand")
    async def resolve_step(self, ref: StepCommandRef) -> CommandOutcome:
        """Retry, skip or answer a step by hand."""
        return await self._steps.resolve(ref)

    @resolve_step.validator
    def _refuse_unknown_step(self, ref: StepCommandRef) -> None:
        self._steps.check(ref)

    @property
    def _partner(self) -> PartnerPolicy:
        return self._reversal.policies.einvoice.partner

    def _start_look_up(self) -> workflow.ActivityHandle[EInvoiceFacts]:
        return workflow.start_activity_method(
            EInvoiceActivities.look_up,
            self._key,
            **partner(self._partner, queues.EINVOICE),
            summary=f"IRP: look for {self._reversal.invoice_no}",
        )

    def _start_cancel_irn(self) -> workflow.ActivityHandle[IrnCancellation]:
        return workflow.start_activity_method(
            EInvoiceActivities.cancel_irn,
            self._key,
            **partner(self._partner, queues.EINVOICE),
            summary=f"IRP: cancel {self._reversal.invoice_no}",
        )

    def _stage(self, half: str, stage: str) -> None:
        self._stages[half] = stage
        self._show("being taken back", "the gateway and the portal")

    def _show(self, title: str, waits_for: str) -> None:
        name = f"{self._reversal.invoice_no}: {title}"
        workflow.set_current_details(details(name, waits_for, self._stages, self._steps.waiting))
