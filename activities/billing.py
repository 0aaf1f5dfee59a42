"""Collecting an invoice: links at the gateway, what was captured through them, and what is still owed.

A webhook's numbers are never booked: whatever happened, the link is fetched and every captured payment is posted once.
Every activity is safe to repeat, and answers with the same few facts.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from pydantic import BaseModel, ConfigDict
from sqlmodel.ext.asyncio.session import AsyncSession
from temporalio import activity

from activities.people import system
from connectors.razorpay.connector import RazorpayConnector
from connectors.razorpay.errors import LINK_ALREADY_CLOSED, LINK_ALREADY_PAID, REFERENCE_EXISTS
from domain.clock import utc_now
from domain.enums import CollectionMode, InvoiceState, LedgerKind, RefundState
from domain.errors import RejectedError, RequestError
from domain.messages import WorkflowType
from domain.payments import CapturedPayment, PaymentLink, PaymentLinkRequest, PaymentLinkState, PaymentState
from rules.settlement import Captured, to_give_back
from store import audit, billing
from store.billing import Bill
from store.session import Database
from store.tables.billing import LedgerEntry, PaymentLinkRow
from store.timeline import EventDetail

SOURCE = WorkflowType.PAYMENT.value

MIN_LINK_LIFE = timedelta(minutes=16)
"""Source: Razorpay, "Create a Standard Payment Link": `expire_by` is at least 15 minutes ahead; one is for the way."""


class InvoiceKey(BaseModel):
    """Names an invoice."""

    model_config = ConfigDict(frozen=True)
    invoice_no: str


class LinkOrder(InvoiceKey):
    """Ask for a payment link.

    Attributes:
        valid_for: Its life.
    """

    valid_for: timedelta


class PaymentFacts(BaseModel):
    """Where the collection of an invoice stands.

    Attributes:
        due_paise: Still owed; negative is owed to the payer.
        entries: Ledger entries so far; facts with fewer are older.
        is_reversed: The invoice is taken back, or staff have asked for it.
        link_state: Of the newest link, or "" where there is none.
        open_links: Links through which money can still come.
        is_link_stale: An open link asks for another amount than is owed.
        captured: References of every payment booked, oldest first.
        refundable: Those of them that are to be given back and have no refund yet.
    """

    model_config = ConfigDict(frozen=True)
    invoice_no: str
    branch: str
    mode: CollectionMode
    state: InvoiceState
    due_paise: int
    entries: int = 0
    is_reversed: bool = False
    link_state: str = ""
    open_links: int = 0
    is_link_stale: bool = False
    link_expires_at: datetime | None = None
    captured: tuple[str, ...] = ()
    refundable: tuple[str, ...] = ()


async def shares_to_give_back(session: AsyncSession, bill: Bill) -> dict[str, int]:
    """Return the paise to give back by payment, payments with a refund left out."""
    refunds = {row.payment_ref: row for row in await billing.refunds_of(session, bill.invoice.id)}
    payments = [
        Captured(entry.gateway_ref, -entry.amount_paise, has_refund=entry.gateway_ref in refunds)
        for entry in await billing.payments_of(session, bill.invoice.id)
    ]
    return to_give_back(
        payments,
        balance_paise=await billing.balance_paise(session, bill.invoice.id),
        is_reversed=bill.is_reversed,
        under_way_paise=sum(row.amount_paise for row in refunds.values() if row.state is not RefundState.PROCESSED),
    )


async def payment_facts(session: AsyncSession, bill: Bill) -> PaymentFacts:
    """Bring the invoice's state in line with its ledger and return where its collection stands."""
    due = await billing.settle_state(session, bill.invoice)
    links = await billing.links_of(session, bill.invoice.id)
    opened = [row for row in links if PaymentLinkState(row.state).is_open]
    return PaymentFacts(
        invoice_no=bill.invoice.document_no,
        branch=bill.branch.code,
        mode=bill.invoice.mode,
        state=bill.invoice.state,
        due_paise=due,
        entries=await billing.count_entries(session, bill.invoice.id),
        is_reversed=bill.is_reversed,
        link_state=links[-1].state if links else "",
        open_links=len(opened),
        is_link_stale=due > 0 and any(row.amount_paise != due for row in opened),
        link_expires_at=links[-1].expires_at if links else None,
        captured=tuple(entry.gateway_ref for entry in await billing.payments_of(session, bill.invoice.id)),
        refundable=tuple(await shares_to_give_back(session, bill)),
    )


def connected(razorpay: RazorpayConnector | None) -> RazorpayConnector:
    """Return the gateway.

    Raises:
        RequestError: The lab has none.
    """
    if razorpay is None:
        raise RequestError(
            "no payment gateway is configured", code="PARTNER_NOT_CONFIGURED", connector="razorpay",
            action="Skip the step and collect at the counter, or configure the gateway and retry.",
        )  # fmt: skip
    return razorpay


@dataclass(frozen=True)
class BillingActivities:
    """Steps of the Payment workflow.

    Attributes:
        razorpay: The gateway, or None where the lab has none.
        now: Aware clock.
    """

    database: Database
    razorpay: RazorpayConnector | None
    now: Callable[[], datetime] = utc_now

    @activity.defn(name="billing.measure_payment")
    async def measure_payment(self, key: InvoiceKey) -> PaymentFacts:
        """Read where the collection stands, without asking the gateway."""
        async with self.database.transaction() as session:
            return await payment_facts(session, await billing.bill_of(session, key.invoice_no, for_update=True))

    @activity.defn(name="billing.create_payment_link")
    async def create_payment_link(self, order: LinkOrder) -> PaymentFacts:
        """Make a link for what is owed, or adopt the one that an earlier attempt made.

        Raises:
            ConnectorError: As the connector; a refusal asks for a person.
        """
        async with self.database.transaction() as session:
            bill = await billing.bill_of(session, order.invoice_no, for_update=True)
            facts = await payment_facts(session, bill)
            made = len(await billing.links_of(session, bill.invoice.id))
        if facts.is_reversed or facts.due_paise <= 0 or facts.open_links:
            return facts
        life = max(order.valid_for, MIN_LINK_LIFE)
        link = await self._find_or_create(_reference(order.invoice_no, made), facts.due_paise, self.now() + life)
        return await self._book(order.invoice_no, [link])

    @activity.defn(name="billing.refresh_payment")
    async def refresh_payment(self, key: InvoiceKey) -> PaymentFacts:
        """Ask the gateway about every link of the invoice and post what was captured."""
        async with self.database.transaction() as session:
            bill = await billing.bill_of(session, key.invoice_no)
            rows = await billing.links_of(session, bill.invoice.id)
        gateway = connected(self.razorpay) if rows else None
        links = [await gateway.fetch_payment_link(link_id=row.link_id) for row in rows] if gateway else []
        return await self._book(key.invoice_no, links)

    @activity.defn(name="billing.close_payment_links")
    async def close_payment_links(self, key: InvoiceKey) -> PaymentFacts:
        """Cancel every link that is still open; one that was paid meanwhile is booked instead."""
        async with self.database.transaction() as session:
            bill = await billing.bill_of(session, key.invoice_no)
            rows = await billing.links_of(session, bill.invoice.id)
        if self.razorpay is None and not rows:
            return await self._book(key.invoice_no, [])
        gateway = connected(self.razorpay)
        links = [
            await self._cancel(gateway, row.link_id) for row in rows if PaymentLinkState(row.state).rank <= _OPEN_RANK
        ]
        # a creation whose answer was lost left no row
        lost = await gateway.find_payment_link_by_reference(reference=_reference(key.invoice_no, len(rows)))
        if lost is not None:
            links.append(await self._cancel(gateway, lost.link_id) if lost.state.is_open else lost)
        return await self._book(key.invoice_no, links)

    @activity.defn(name="billing.note_settled")
    async def note_settled(self, key: InvoiceKey) -> None:
        """Tell timeline and audit that the invoice is paid, once."""
        async with self.database.transaction() as session:
            bill = await billing.bill_of(session, key.invoice_no, for_update=True)
            if await billing.event_once(session, bill, source=SOURCE, kind="payment_settled", detail={}):
                await audit.record(
                    session, chain=bill.branch.code, actor=system(SOURCE), action="payment.settled",
                    object_kind="invoice", object_id=key.invoice_no,
                )  # fmt: skip

    async def _find_or_create(self, reference: str, amount_paise: int, expires_at: datetime) -> PaymentLink:
        gateway = connected(self.razorpay)
        found = await gateway.find_payment_link_by_reference(reference=reference)
        if found is None:
            request = PaymentLinkRequest(
                reference=reference,
                amount_paise=amount_paise,
                description=f"Invoice {reference}",
                expires_at=expires_at,
            )
            try:
                return await gateway.create_payment_link(request=request)
            except RejectedError as error:
                if error.partner_code != REFERENCE_EXISTS:
                    raise
                found = await gateway.find_payment_link_by_reference(reference=reference)
                if found is None:
                    raise
        if found.amount_paise != amount_paise:
            raise RejectedError(
                "the gateway has a link with this reference for another amount", code="PAYMENT_LINK_DIFFERS",
                action="Cancel that link at the gateway, skip the step and collect at the counter.",
                context={"reference": reference}, connector="razorpay", operation="create_payment_link",
            )  # fmt: skip
        return found

    async def _cancel(self, gateway: RazorpayConnector, link_id: str) -> PaymentLink:
        try:
            return await gateway.cancel_payment_link(link_id=link_id)
        except RejectedError as error:
            if error.partner_code not in {LINK_ALREADY_PAID, LINK_ALREADY_CLOSED}:
                raise
        return await gateway.fetch_payment_link(link_id=link_id)

    async def _book(self, invoice_no: str, links: Sequence[PaymentLink]) -> PaymentFacts:
        """Keep what the gateway said of the links, in one transaction."""
        async with self.database.transaction() as session:
            bill = await billing.bill_of(session, invoice_no, for_update=True)
            rows = {row.link_id: row for row in await billing.links_of(session, bill.invoice.id)}
            booked: list[CapturedPayment] = []
            for link in links:
                row = rows.get(link.link_id) or await _add_link(session, bill, link)
                row.state = PaymentLinkState(row.state).advanced(link.state).value
                session.add(row)
                booked += [one for one in link.payments if await _post(session, bill, one)]
            facts = await payment_facts(session, bill)
            await _tell(session, bill, booked)
            return facts


_OPEN_RANK = PaymentLinkState.PARTIALLY_PAID.rank


def _reference(invoice_no: str, made: int) -> str:
    """Return the reference of the next link after `made` of them: the invoice number, then `-2` and so on.

    Source: Razorpay, "Create a Standard Payment Link": `reference_id` is unique among all links ever made.
    """
    return f"{invoice_no}-{made + 1}" if made else invoice_no


async def _add_link(session: AsyncSession, bill: Bill, link: PaymentLink) -> PaymentLinkRow:
    row = PaymentLinkRow(
        invoice_id=bill.invoice.id,
        gateway=billing.RAZORPAY,
        link_id=link.link_id,
        reference=link.reference,
        state=link.state.value,
        amount_paise=link.amount_paise,
        short_url=link.short_url,
        expires_at=link.expires_at,
    )
    session.add(row)
    await session.flush()
    detail = {"reference": link.reference}
    await billing.event(session, bill, source=SOURCE, kind="payment_link_created", detail=detail)
    return row


async def _post(session: AsyncSession, bill: Bill, payment: CapturedPayment) -> bool:
    """Post a captured payment; False when it is not captured or was posted before."""
    if payment.state.rank < PaymentState.CAPTURED.rank:
        return False
    if await billing.ledger_entry(session, billing.RAZORPAY, payment.payment_id) is not None:
        return False
    session.add(
        LedgerEntry(
            invoice_id=bill.invoice.id,
            kind=LedgerKind.PAYMENT,
            amount_paise=-payment.amount_paise,
            method=payment.method,
            gateway=billing.RAZORPAY,
            gateway_ref=payment.payment_id,
        )
    )
    await session.flush()
    return True


async def _tell(session: AsyncSession, bill: Bill, booked: Sequence[CapturedPayment]) -> None:
    for payment in booked:
        detail: EventDetail = {
            "payment_ref": payment.payment_id,
            "amount_paise": payment.amount_paise,
            "method": payment.method,
        }
        await billing.event(session, bill, source=SOURCE, kind="payment_captured", detail=detail)
        await audit.record(
            session, chain=bill.branch.code, actor=system(SOURCE), action="payment.captured", object_kind="invoice",
            object_id=bill.invoice.document_no, body=detail,
        )  # fmt: skip
