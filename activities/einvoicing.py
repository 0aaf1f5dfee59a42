"""Registering tax documents at the invoice portal, and taking registrations back.

The IRN is known before anybody is asked. Before a document is sent its row is marked, so that whoever comes after a
lost answer looks the registration up first, and whoever takes the document back knows that there may be one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from pydantic import BaseModel, ConfigDict
from sqlmodel.ext.asyncio.session import AsyncSession
from temporalio import activity

from activities.answers import answered
from activities.billing import InvoiceKey
from activities.einvoice_answer import registration_from
from activities.invoicing import document_of, gst_policy
from activities.people import system
from connectors.einvoice.connector import EInvoiceConnector
from domain.clock import lab_day, parse_instant, utc_now
from domain.einvoice import CancelReason, IrnRecord, IrnState, TaxDocument
from domain.enums import EInvoiceState
from domain.errors import AuthError, OutcomeUnknownError, RejectedError, RequestError
from domain.messages import WorkflowType
from rules import gst, gst_checks
from rules.gst import ReversalRoute, SubmissionMode
from store import audit, billing
from store.billing import Bill
from store.session import Database
from store.tables.billing import EInvoiceDocument
from store.timeline import EventDetail

SOURCE = WorkflowType.EINVOICE.value
SENT = "sent_at"
"""Mark in the row's `rules`: when the document was last sent."""

IN_FLIGHT = timedelta(minutes=3)
"""How long a sent document may still come to be registered: beyond the time limit of one attempt."""

DUPLICATE = "2150"
TOO_OLD_TO_SHOW = "2283"
WINDOW_OVER = "2270"


class StaffDecision(InvoiceKey):
    """What staff decided about a document; reason and answer are in the command."""

    command_id: str


class EInvoiceFacts(BaseModel):
    """Where the e-invoice of a document stands.

    Attributes:
        irn: Precomputed or registered, or "".
        findings: Codes of what the portal would refuse.
        submission: How the lab's policy sends it.
        is_sent: It was sent at least once; only a look-up tells whether it is registered.
    """

    model_config = ConfigDict(frozen=True)
    invoice_no: str
    state: EInvoiceState
    irn: str = ""
    findings: tuple[str, ...] = ()
    submission: SubmissionMode = SubmissionMode.NOW
    is_sent: bool = False


class IrnCancellation(BaseModel):
    """Whether a registration was cancelled; it is not when the window is over."""

    model_config = ConfigDict(frozen=True)
    is_cancelled: bool


@dataclass(frozen=True)
class EInvoiceActivities:
    """Steps of the EInvoice workflow, and those of InvoiceReversal that concern a registration.

    Attributes:
        einvoice: The portal, or None where the lab has no access.
        now: Aware clock.
    """

    database: Database
    einvoice: EInvoiceConnector | None
    now: Callable[[], datetime] = utc_now

    @activity.defn(name="einvoice.prepare")
    async def prepare(self, key: InvoiceKey) -> EInvoiceFacts:
        """Say whether the document needs an IRN, and check it before anything is sent."""
        async with self.database.transaction() as session:
            bill = await billing.bill_of(session, key.invoice_no, for_update=True)
            row = await billing.einvoice_of(session, bill.invoice.id, for_update=True)
            if row.state is EInvoiceState.NOT_REQUIRED:
                detail: EventDetail = {"reason": row.reason_code}
                await billing.event_once(session, bill, source=SOURCE, kind="einvoice_not_required", detail=detail)
            if row.state is not EInvoiceState.PENDING:
                return _facts(bill, row)
            document, policy = document_of(bill.invoice), gst_policy(bill.branch)
            findings = gst_checks.prevalidate(
                document,
                today=lab_day(self.now()),
                policy=policy,
                check_gstin_checksum=self.einvoice is None or self.einvoice.settings.validate_gstin_checksum,
            )
            listed = [f"{finding.code} {finding.field}: {finding.text}" for finding in findings]
            if row.rules.get("findings", []) != listed:
                _note(row, {"findings": listed})
                session.add(row)
                await billing.event(session, bill, source=SOURCE, kind="einvoice_checked", detail={"findings": listed})
            return _facts(
                bill,
                row,
                findings=tuple(dict.fromkeys(finding.code for finding in findings)),
                submission=gst.submission_mode(document, policy),
            )

    @activity.defn(name="einvoice.generate")
    async def generate(self, key: InvoiceKey) -> EInvoiceFacts:
        """Register the document, or adopt the registration that an earlier attempt has left.

        Raises:
            AuthError: Credentials, or a signature that is not the portal's.
            MessageError: The portal signed something else than the document.
            ConnectorError: Others as the connector.
        """
        portal = self._portal()
        async with self.database.transaction() as session:
            bill = await billing.bill_of(session, key.invoice_no, for_update=True)
            row = await billing.einvoice_of(session, bill.invoice.id, for_update=True)
            if row.state is not EInvoiceState.PENDING:
                return _facts(bill, row)
            document, was_sent = document_of(bill.invoice), SENT in row.rules
            _note(row, {SENT: self.now().isoformat()})
            session.add(row)
        record = None
        if was_sent or activity.info().attempt > 1:
            record = await portal.get_by_irn(irn=document.irn, supplier_gstin=document.supplier.gstin)
        if record is None:
            record = await self._register(portal, key, document)
        if record.state is not IrnState.ACTIVE:
            raise RejectedError(
                "the registration was cancelled on the portal", code="EINVOICE_CANCELLED_THERE", connector="einvoice",
                operation="generate", action="Reverse the invoice and bill anew: its number is used up for the year.",
            )  # fmt: skip
        portal.verify(record=record, document=document)
        return await self._store(key, record)

    @activity.defn(name="einvoice.answer")
    async def answer(self, decision: StaffDecision) -> EInvoiceFacts:
        """Keep the registration that a person made on the portal and entered here.

        Raises:
            RuleError: It is not the registration of this document, or not signed by the portal.
        """
        async with self.database.transaction() as session:
            bill = await billing.bill_of(session, decision.invoice_no)
            answer = await answered(session, decision.command_id, needs=("irn", "ack_no", "ack_at", "signed_qr"))
        keys = self.einvoice.settings.signing_keys if self.einvoice is not None else {}
        return await self._store(decision, registration_from(answer, document_of(bill.invoice), keys, self.now()))

    @activity.defn(name="einvoice.skip")
    async def skip(self, decision: StaffDecision) -> EInvoiceFacts:
        """Note that staff go on without an IRN."""
        async with self.database.transaction() as session:
            bill = await billing.bill_of(session, decision.invoice_no, for_update=True)
            row = await billing.einvoice_of(session, bill.invoice.id, for_update=True)
            if row.state is EInvoiceState.PENDING:
                row.state, row.reason_code = EInvoiceState.SKIPPED, "skipped_by_staff"
                session.add(row)
                await _tell(session, bill, "einvoice_skipped", "einvoice.skipped", {"command_id": decision.command_id})
            return _facts(bill, row)

    @activity.defn(name="einvoice.withdraw")
    async def withdraw(self, key: InvoiceKey) -> EInvoiceFacts:
        """Stop a registration that has not happened: after this nothing more is sent for the document."""
        async with self.database.transaction() as session:
            bill = await billing.bill_of(session, key.invoice_no, for_update=True)
            row = await billing.einvoice_of(session, bill.invoice.id, for_update=True)
            if row.state in {EInvoiceState.PENDING, EInvoiceState.SKIPPED}:
                row.state = EInvoiceState.CANCELLED
                session.add(row)
                await _tell(session, bill, "einvoice_withdrawn", "einvoice.withdrawn", {})
            return _facts(bill, row)

    @activity.defn(name="einvoice.look_up")
    async def look_up(self, key: InvoiceKey) -> EInvoiceFacts:
        """Find out whether a document that was sent and then withdrawn is registered after all.

        Raises:
            OutcomeUnknownError: Not found, but the last attempt may still arrive there.
        """
        async with self.database.transaction() as session:
            bill = await billing.bill_of(session, key.invoice_no)
            row = await billing.einvoice_of(session, bill.invoice.id)
        if row.state is not EInvoiceState.CANCELLED or row.ack_at is not None or SENT not in row.rules:
            return _facts(bill, row)
        document, sent_at = document_of(bill.invoice), parse_instant(row.rules[SENT])
        try:
            record = await self._portal().get_by_irn(irn=document.irn, supplier_gstin=document.supplier.gstin)
        except RejectedError as error:
            if error.partner_code != TOO_OLD_TO_SHOW:
                raise
            # it exists, and so long that only a credit note takes it back
            record = IrnRecord(document.irn, "", sent_at, "", "", IrnState.ACTIVE)
        if record is not None and record.state is IrnState.ACTIVE:
            return await self._store(key, record)
        if record is None and self.now() < sent_at + IN_FLIGHT:
            raise OutcomeUnknownError(
                "the document may still be on its way to the portal", connector="einvoice", operation="look_up",
                retry_after=sent_at + IN_FLIGHT - self.now(),
            )  # fmt: skip
        return _facts(bill, row)

    @activity.defn(name="einvoice.cancel_irn")
    async def cancel_irn(self, key: InvoiceKey) -> IrnCancellation:
        """Cancel the registration while the portal's window is open."""
        async with self.database.transaction() as session:
            bill = await billing.bill_of(session, key.invoice_no)
            row = await billing.einvoice_of(session, bill.invoice.id)
        if row.state is not EInvoiceState.GENERATED:
            return IrnCancellation(is_cancelled=row.state is EInvoiceState.CANCELLED)
        if gst.reversal_route(row.ack_at, self.now()) is not ReversalRoute.CANCEL_IRN:
            return IrnCancellation(is_cancelled=False)
        document = document_of(bill.invoice)
        try:
            record = await self._portal().cancel_irn(
                irn=document.irn,
                supplier_gstin=document.supplier.gstin,
                reason_code=CancelReason.ORDER_CANCELLED,
                remark="Order cancelled",
            )
        except RejectedError as error:
            if error.partner_code != WINDOW_OVER:
                raise
            return IrnCancellation(is_cancelled=False)
        await self._mark_cancelled(key, record.cancelled_at or self.now())
        return IrnCancellation(is_cancelled=True)

    @activity.defn(name="einvoice.note_cancelled")
    async def note_cancelled(self, key: InvoiceKey) -> None:
        """Keep that a person has cancelled the registration on the portal."""
        await self._mark_cancelled(key, self.now())

    def _portal(self) -> EInvoiceConnector:
        if self.einvoice is None:
            raise RequestError(
                "no access to the e-invoice portal is configured", code="PARTNER_NOT_CONFIGURED",
                connector="einvoice", action="Answer the step with the registration from the portal, or configure it.",
            )  # fmt: skip
        return self.einvoice

    async def _register(self, portal: EInvoiceConnector, key: InvoiceKey, document: TaxDocument) -> IrnRecord:
        """Send the document; when it is registered already, fetch that registration to be compared."""
        try:
            return await portal.generate_irn(document=document)
        except (AuthError, RejectedError, RequestError) as error:
            if error.partner_code != DUPLICATE:
                await self._unmark(key)
                raise
            record = await portal.get_by_irn(irn=document.irn, supplier_gstin=document.supplier.gstin)
            if record is None:
                raise
            return record

    async def _unmark(self, key: InvoiceKey) -> None:
        """Take the mark back: the portal has surely not registered the document."""
        async with self.database.transaction() as session:
            bill = await billing.bill_of(session, key.invoice_no, for_update=True)
            row = await billing.einvoice_of(session, bill.invoice.id, for_update=True)
            row.rules = {name: kept for name, kept in row.rules.items() if name != SENT}
            session.add(row)

    async def _store(self, key: InvoiceKey, record: IrnRecord) -> EInvoiceFacts:
        """Keep a registration. One that was withdrawn meanwhile is registered all the same, and shown so."""
        async with self.database.transaction() as session:
            bill = await billing.bill_of(session, key.invoice_no, for_update=True)
            row = await billing.einvoice_of(session, bill.invoice.id, for_update=True)
            if row.ack_at is None and row.state is not EInvoiceState.NOT_REQUIRED:
                row.state, row.irn = EInvoiceState.GENERATED, record.irn
                row.ack_no, row.ack_at = record.ack_no, record.ack_at or self.now()
                row.signed_invoice, row.signed_qr = record.signed_invoice, record.signed_qr
                session.add(row)
                detail: EventDetail = {"irn": record.irn, "ack_no": record.ack_no}
                await _tell(session, bill, "irn_generated", "einvoice.generated", detail)
            return _facts(bill, row)

    async def _mark_cancelled(self, key: InvoiceKey, cancelled_at: datetime) -> None:
        async with self.database.transaction() as session:
            bill = await billing.bill_of(session, key.invoice_no, for_update=True)
            row = await billing.einvoice_of(session, bill.invoice.id, for_update=True)
            if row.state is EInvoiceState.GENERATED:
                row.state, row.cancelled_at = EInvoiceState.CANCELLED, cancelled_at
                session.add(row)
                await _tell(session, bill, "irn_cancelled", "einvoice.cancelled", {"irn": row.irn})


def _facts(
    bill: Bill,
    row: EInvoiceDocument,
    *,
    findings: tuple[str, ...] = (),
    submission: SubmissionMode = SubmissionMode.NOW,
) -> EInvoiceFacts:
    return EInvoiceFacts(
        invoice_no=bill.invoice.document_no,
        state=row.state,
        irn=row.irn or "",
        findings=findings,
        submission=submission,
        is_sent=SENT in row.rules,
    )


def _note(row: EInvoiceDocument, what: Mapping[str, object]) -> None:
    # a new object: a change inside the old one would not be noticed
    row.rules = {**row.rules, **what}


async def _tell(session: AsyncSession, bill: Bill, kind: str, action: str, detail: EventDetail) -> None:
    await billing.event(session, bill, source=SOURCE, kind=kind, detail=detail)
    await audit.record(
        session, chain=bill.branch.code, actor=system(SOURCE), action=action, object_kind="invoice",
        object_id=bill.invoice.document_no, body=detail,
    )  # fmt: skip
