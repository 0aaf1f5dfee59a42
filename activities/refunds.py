"""Giving money back: one refund for each captured payment, asked for once, booked once.

The row is written before the gateway is asked, with the key that makes a repeated question harmless. How long the
gateway remembers that key is not documented, so its list of refunds is looked at first.
"""

from __future__ import annotations

from dataclasses import dataclass

from pydantic import BaseModel, ConfigDict
from sqlmodel.ext.asyncio.session import AsyncSession
from temporalio import activity

from activities.answers import answered
from activities.billing import connected, shares_to_give_back
from activities.people import system
from connectors.razorpay.connector import RazorpayConnector
from domain.enums import LedgerKind, RefundState
from domain.errors import NotFoundError, RejectedError
from domain.messages import WorkflowType
from domain.payments import Refund, advanced_refund
from store import audit, billing
from store.billing import Bill
from store.session import Database
from store.tables.billing import LedgerEntry, RefundRow
from store.timeline import EventDetail

SOURCE = WorkflowType.REFUND.value


class RefundKey(BaseModel):
    """Names the refund of one captured payment."""

    model_config = ConfigDict(frozen=True)
    invoice_no: str
    payment_ref: str


class RefundDecision(RefundKey):
    """What staff decided about a refund; the reason and the answer are in the command."""

    command_id: str


class RefundFacts(BaseModel):
    """Where a refund stands.

    Attributes:
        is_needed: False when nothing is owed back for this payment.
        is_by_hand: The money was taken at the counter, so a person gives it back.
        is_closed: Staff decided that it is not made.
    """

    model_config = ConfigDict(frozen=True)
    state: RefundState = RefundState.REQUESTED
    is_needed: bool = True
    is_by_hand: bool = False
    is_closed: bool = False


@dataclass(frozen=True)
class RefundActivities:
    """Steps of the Refund workflow.

    Attributes:
        razorpay: The gateway, or None where the lab has none.
    """

    database: Database
    razorpay: RazorpayConnector | None

    @activity.defn(name="billing.open_refund")
    async def open_refund(self, key: RefundKey) -> RefundFacts:
        """Write down what is given back, before anybody is asked for it.

        Raises:
            NotFoundError: No such payment was booked to the invoice.
        """
        async with self.database.transaction() as session:
            bill = await billing.bill_of(session, key.invoice_no, for_update=True)
            row = await billing.refund_of(session, key.payment_ref)
            if row is not None:
                return _facts(row)
            payments = {one.gateway_ref: one for one in await billing.payments_of(session, bill.invoice.id)}
            if key.payment_ref not in payments:
                raise NotFoundError("no such payment is booked to this invoice", code="PAYMENT_NOT_FOUND")
            amount = (await shares_to_give_back(session, bill)).get(key.payment_ref, 0)
            if amount <= 0:
                return RefundFacts(is_needed=False)
            row = RefundRow(
                invoice_id=bill.invoice.id,
                payment_ref=key.payment_ref,
                amount_paise=amount,
                gateway=payments[key.payment_ref].gateway,
                idempotency_key=f"refund-{key.payment_ref}",
                reason="invoice reversed" if bill.is_reversed else "paid more than owed",
            )
            session.add(row)
            await _tell(session, bill, row, "refund_requested", "refund.requested")
            return _facts(row)

    @activity.defn(name="billing.request_refund")
    async def request_refund(self, key: RefundKey) -> RefundFacts:
        """Ask the gateway for the refund unless it has it already.

        Raises:
            RejectedError: Among others REFUND_PARTLY_DONE: a part was given back by hand at the gateway.
        """
        async with self.database.transaction() as session:
            row = await self._row(session, key)
        if row.refund_ref or row.state is not RefundState.REQUESTED:
            return _facts(row)
        gateway = connected(self.razorpay)
        found = _matching(row, await gateway.find_refunds(payment_id=row.payment_ref))
        if found is None:
            found = await gateway.refund(
                payment_id=row.payment_ref,
                amount_paise=row.amount_paise,
                idempotency_key=row.idempotency_key,
                reference=row.idempotency_key,
            )
        return await self._keep(key, found)

    @activity.defn(name="billing.refresh_refund")
    async def refresh_refund(self, key: RefundKey) -> RefundFacts:
        """Ask the gateway how far the refund has come."""
        async with self.database.transaction() as session:
            row = await self._row(session, key)
        if not row.refund_ref or row.state is RefundState.PROCESSED:
            return _facts(row)
        return await self._keep(key, await connected(self.razorpay).fetch_refund(refund_id=row.refund_ref))

    @activity.defn(name="billing.renew_refund")
    async def renew_refund(self, key: RefundKey) -> RefundFacts:
        """Prepare a failed refund to be asked for again, under a new key: the old one would give the old answer."""
        async with self.database.transaction() as session:
            bill = await billing.bill_of(session, key.invoice_no, for_update=True)
            row = await self._row(session, key)
            if row.state is RefundState.FAILED:
                stem, _, number = row.idempotency_key.removeprefix("refund-").partition("-try-")
                row.idempotency_key = f"refund-{stem}-try-{int(number or 1) + 1}"
                row.state, row.refund_ref = RefundState.REQUESTED, ""
                session.add(row)
                await _tell(session, bill, row, "refund_requested", "refund.requested")
            return _facts(row)

    @activity.defn(name="billing.answer_refund")
    async def answer_refund(self, decision: RefundDecision) -> RefundFacts:
        """Book a refund that a person has made by hand.

        Raises:
            RuleError: The answer does not name the voucher or transfer (`reference`).
        """
        async with self.database.transaction() as session:
            bill = await billing.bill_of(session, decision.invoice_no, for_update=True)
            row = await self._row(session, decision)
            if row.state is not RefundState.PROCESSED:
                answer = await answered(session, decision.command_id, needs=("reference",))
                row.refund_ref, row.state = f"hand:{answer['reference']}"[:100], RefundState.PROCESSED
                session.add(row)
                await _post(session, bill, row, gateway=billing.COUNTER)
            return _facts(row)

    @activity.defn(name="billing.close_refund")
    async def close_refund(self, decision: RefundDecision) -> RefundFacts:
        """Note that staff decided not to make the refund; what is owed stays in the ledger."""
        async with self.database.transaction() as session:
            bill = await billing.bill_of(session, decision.invoice_no, for_update=True)
            row = await self._row(session, decision)
            if row.state is not RefundState.PROCESSED and not row.reason.startswith(_CLOSED):
                row.state, row.reason = RefundState.FAILED, f"{_CLOSED} {decision.command_id}"
                session.add(row)
                await _tell(session, bill, row, "refund_skipped", "refund.skipped")
            return _facts(row)

    async def _row(self, session: AsyncSession, key: RefundKey) -> RefundRow:
        row = await billing.refund_of(session, key.payment_ref, for_update=True)
        if row is None:
            raise NotFoundError("there is no refund of this payment", code="REFUND_NOT_FOUND")
        return row

    async def _keep(self, key: RefundKey, refund: Refund) -> RefundFacts:
        async with self.database.transaction() as session:
            bill = await billing.bill_of(session, key.invoice_no, for_update=True)
            row = await self._row(session, key)
            before = row.state
            row.refund_ref = row.refund_ref or refund.refund_id
            row.state = advanced_refund(before, refund.state)
            session.add(row)
            if row.state is RefundState.PROCESSED and before is not RefundState.PROCESSED:
                await _post(session, bill, row, gateway=row.gateway)
            return _facts(row)


_CLOSED = "closed by"


def is_closed(row: RefundRow) -> bool:
    """Return whether staff decided that the refund is not made."""
    return row.state is RefundState.FAILED and row.reason.startswith(_CLOSED)


def _facts(row: RefundRow) -> RefundFacts:
    return RefundFacts(
        state=row.state,
        is_by_hand=row.gateway == billing.COUNTER,
        is_closed=is_closed(row),
    )


def _matching(row: RefundRow, refunds: tuple[Refund, ...]) -> Refund | None:
    """Return the refund that the gateway has for `row`: ours, or one that somebody made there by hand.

    Raises:
        RejectedError: A part was given back by hand; asking for the whole would fail, for a part be a guess.
    """
    alive = [refund for refund in refunds if refund.state is not RefundState.FAILED]
    ours = next((refund for refund in alive if refund.reference == row.idempotency_key), None)
    if ours is not None:
        return ours
    by_hand = [refund for refund in alive if not refund.reference.startswith("refund-")]
    whole = next((refund for refund in by_hand if refund.amount_paise == row.amount_paise), None)
    if whole is None and by_hand:
        raise RejectedError(
            "a part of this payment was given back at the gateway by hand", code="REFUND_PARTLY_DONE",
            action="Give the rest back at the gateway, then answer the step with its reference.",
            connector="razorpay", operation="refund",
        )  # fmt: skip
    return whole


async def _post(session: AsyncSession, bill: Bill, row: RefundRow, *, gateway: str) -> None:
    """Book the refund in the ledger, where it is unique at its gateway."""
    session.add(
        LedgerEntry(
            invoice_id=bill.invoice.id,
            kind=LedgerKind.REFUND,
            amount_paise=row.amount_paise,
            gateway=gateway,
            gateway_ref=row.refund_ref,
        )
    )
    await billing.settle_state(session, bill.invoice)
    await _tell(session, bill, row, "refund_processed", "refund.processed")


async def _tell(session: AsyncSession, bill: Bill, row: RefundRow, kind: str, action: str) -> None:
    detail: EventDetail = {
        "payment_ref": row.payment_ref,
        "amount_paise": row.amount_paise,
        "refund_ref": row.refund_ref,
    }
    await billing.event(session, bill, source=SOURCE, kind=kind, detail=detail)
    await audit.record(
        session, chain=bill.branch.code, actor=system(SOURCE), action=action, object_kind="invoice",
        object_id=bill.invoice.document_no, body=detail,
    )  # fmt: skip
