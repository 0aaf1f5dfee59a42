"""Messages to patients: each is a row before it is sent, and is never sent twice on one channel for one purpose.

No provider honours an idempotency key. So the row is committed as `sending` before the call; whoever finds it so later
knows that an earlier attempt was cut off in between, and leaves it `unknown` for a status report to settle.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from uuid import UUID

from pydantic import BaseModel, ConfigDict
from sqlmodel.ext.asyncio.session import AsyncSession
from temporalio import activity

from activities.people import system
from activities.report_links import ReportLinks
from activities.resources import not_configured
from connectors.messaging import MessageChannel
from domain.clock import utc_now
from domain.errors import ConnectorError, OutcomeUnknownError, RequestError
from domain.messages import WorkflowType
from domain.messaging import Channel, DeliveryState, OutboundMessage, SentMessage
from domain.money import formatted
from domain.payments import PaymentLinkState
from domain.report import ReportLanguage
from domain.sharing_messages import ReportRef
from rendering.messages import MessageTemplate, MessageText, render_message
from store import audit, billing, sharing
from store.progress import OrderFacts
from store.session import Database
from store.tables.organisation import Branch, Organisation
from store.tables.patients import Patient
from store.tables.sharing import Notification
from store.timeline import EventDetail, add_event

_PAYMENT_CHANNELS = (Channel.WHATSAPP.value, Channel.EMAIL.value)


class SendReport(ReportRef):
    """Ask for a message about a report.

    Attributes:
        channel: A value of `domain.messaging.Channel`.
        round: Counts how often staff let all channels be tried; each round may send once per channel.
    """

    channel: str
    round: int = 1


class SendPaymentRequest(BaseModel):
    """Ask for a message with an invoice's payment link."""

    model_config = ConfigDict(frozen=True)
    order_no: str
    invoice_no: str


class SentNotification(BaseModel):
    """What is known of a message.

    Attributes:
        state: A `domain.messaging.DeliveryState`, or `unknown` when it may or may not have gone out.
    """

    model_config = ConfigDict(frozen=True)
    notification_id: str
    channel: str
    state: str


@dataclass(frozen=True)
class _Letter:
    """A message before it has a row. Address and facts are the patient's."""

    order_id: UUID
    branch: str
    purpose_key: str
    template: MessageTemplate
    language: str
    subject: EventDetail
    text: MessageText = field(repr=False)
    addresses: Mapping[str, str] = field(repr=False)


@dataclass(frozen=True)
class NotificationActivities:
    """Steps that write to patients.

    Attributes:
        channels: The configured ones, by `domain.messaging.Channel` value.
        links: Makes the links in messages.
    """

    database: Database
    channels: Mapping[str, MessageChannel]
    links: ReportLinks

    @activity.defn(name="notify.send_report")
    async def send_report(self, request: SendReport) -> SentNotification:
        """Tell the patient on one channel that the report is ready, with a link to it.

        Raises:
            RequestError: Nothing may or can be sent: code REPORT_CONFIDENTIAL, REPORT_NOT_IN_FORCE,
                NO_MESSAGE_CONSENT, NO_ADDRESS or PARTNER_NOT_CONFIGURED.
            ConnectorError: As the channel.
        """
        async with self.database.transaction() as session:
            shared = await sharing.shared_report(session, request.order_no, request.report_id)
            _check_may_be_sent(shared)
            _check_consent(shared.patient)
            letter = await self._report_letter(session, shared, request)
        return await self._send(letter, request.channel)

    @activity.defn(name="notify.withhold_report")
    async def withhold_report(self, key: ReportRef) -> None:
        """Note that a confidential report is not sent by any message; it is handed over in person."""
        async with self.database.transaction() as session:
            shared = await sharing.shared_report(session, key.order_no, key.report_id, for_update=True)
            source = WorkflowType.REPORT_DELIVERY.value
            detail: EventDetail = {"report_no": shared.report.report_no, "reason": "confidential"}
            added = await sharing.event_once(
                session, shared.facts.order.id, source=source, kind="report_withheld", key="report_no", detail=detail
            )
            if added:
                await audit.record(
                    session, chain=shared.facts.branch.code, actor=system(source), action="report.withheld",
                    object_kind="report", object_id=shared.report.report_no, body=detail,
                )  # fmt: skip

    @activity.defn(name="notify.send_payment_request")
    async def send_payment_request(self, request: SendPaymentRequest) -> SentNotification:
        """Send the patient the open payment link of an invoice, by WhatsApp or else by e-mail.

        Raises:
            RequestError: There is no open link, no consent, no address or no channel; nothing was sent.
            ConnectorError: As the channel tried last.
        """
        async with self.database.transaction() as session:
            letter = await _payment_letter(session, request)
        refusal: ConnectorError = _no_address()
        for channel in _PAYMENT_CHANNELS:
            if channel in self.channels and letter.addresses.get(channel):
                try:
                    return await self._send(letter, channel, again=True)
                except ConnectorError as error:
                    if error.retryable:
                        raise
                    refusal = error
        raise refusal

    async def _report_letter(self, session: AsyncSession, shared: sharing.SharedReport, request: SendReport) -> _Letter:
        facts = {
            "patient_name": shared.patient.name,
            "lab_name": await _lab_name(session, shared.facts.branch),
            "order_no": request.order_no,
            "link": self.links.url(shared.report.id),
        }
        subject: EventDetail = {"report_no": shared.report.report_no, "round": request.round}
        purpose_key = f"report:{request.report_id}:{request.round}"
        return _letter(
            shared.facts, shared.patient, MessageTemplate.REPORT_READY, facts, purpose_key=purpose_key, subject=subject
        )

    async def _send(self, letter: _Letter, channel: str, *, again: bool = False) -> SentNotification:
        """Send a letter on one channel, unless that was done before; `again` repeats what is known to have failed."""
        sender = self.channels.get(channel)
        if sender is None:
            raise not_configured(channel, channel)
        address = letter.addresses.get(channel, "")
        if not address:
            raise _no_address()
        row, is_claimed = await self._claim(letter, channel, again=again)
        if not is_claimed:
            return _answer(row)
        message = OutboundMessage(
            notification_id=str(row.id), to=address, template=letter.template.value, language=letter.language,
            parameters=letter.text.parameters, text=letter.text.text, subject=letter.text.subject,
        )  # fmt: skip
        try:
            sent = await sender.send(message)
        except OutcomeUnknownError as error:
            return await self._note_unknown(row.id, letter, error)
        except ConnectorError as error:
            await self._note_refusal(row.id, letter, error)
            raise
        return await self._note_sent(row.id, letter, sent)

    async def _claim(self, letter: _Letter, channel: str, *, again: bool) -> tuple[Notification, bool]:
        """Return the letter's row, and whether this attempt is the one that sends it."""
        async with self.database.transaction() as session:
            row = await sharing.claim_notification(
                session, letter.order_id, purpose_key=letter.purpose_key, template=letter.template.value,
                channel=channel, language=letter.language,
            )  # fmt: skip
            may_send = row.state == sharing.QUEUED or (again and row.state == DeliveryState.FAILED)
            if may_send:
                row.state, row.error_code = sharing.SENDING, ""
            elif row.state == sharing.SENDING:
                row.state, row.error_code = sharing.UNKNOWN, "CUT_OFF"
                await _note(session, row, letter.branch, "send_unknown", letter.subject)
            row.updated_at = utc_now()
            session.add(row)
            return row, may_send

    async def _note_sent(self, row_id: UUID, letter: _Letter, sent: SentMessage) -> SentNotification:
        async with self.database.transaction() as session:
            row = await sharing.lock_notification(session, row_id)
            row.provider_id = sent.provider_id
            sharing.advance(row, sent.state)  # a status report may have been quicker
            session.add(row)
            await _note(session, row, letter.branch, "sent", letter.subject)
            return _answer(row)

    async def _note_unknown(self, row_id: UUID, letter: _Letter, error: ConnectorError) -> SentNotification:
        async with self.database.transaction() as session:
            row = await sharing.lock_notification(session, row_id)
            if row.state == sharing.SENDING:
                row.state, row.error_code, row.updated_at = sharing.UNKNOWN, error.code, utc_now()
                session.add(row)
                await _note(session, row, letter.branch, "send_unknown", letter.subject)
            return _answer(row)

    async def _note_refusal(self, row_id: UUID, letter: _Letter, error: ConnectorError) -> None:
        """Free the row for the next attempt, or close it when the channel refused for good."""
        async with self.database.transaction() as session:
            row = await sharing.lock_notification(session, row_id)
            if row.state != sharing.SENDING:
                return
            row.state = sharing.QUEUED if error.retryable else DeliveryState.FAILED.value
            row.error_code, row.updated_at = error.partner_code or error.code, utc_now()
            session.add(row)
            if not error.retryable:
                await _note(session, row, letter.branch, "send_failed", letter.subject)


async def note_delivery_report(
    session: AsyncSession, notification_id: UUID, reported: DeliveryState, code: str
) -> Notification:
    """Apply a provider's status report to its message; repeated, late and unordered ones change nothing.

    Returns:
        The message's row as it stands now.
    """
    row = await sharing.lock_notification(session, notification_id)
    before = sharing.reached(row)
    if not sharing.advance(row, reported):
        return row
    if reported is DeliveryState.FAILED:
        row.error_code = code
    session.add(row)
    was_delivered = before in {DeliveryState.DELIVERED, DeliveryState.READ}
    if reported is DeliveryState.FAILED or (reported.rank >= DeliveryState.DELIVERED.rank and not was_delivered):
        branch = await sharing.branch_code_of(session, row.order_id)
        what = "send_failed" if reported is DeliveryState.FAILED else "delivered"
        await _note(session, row, branch, what, {})
    return row


def report_id_of(row: Notification) -> str:
    """Return the report version a message is about, or "" when it is about something else."""
    subject, _, rest = row.purpose_key.partition(":")
    return rest.partition(":")[0] if subject == "report" else ""


async def _note(session: AsyncSession, row: Notification, branch: str, what: str, subject: EventDetail) -> None:
    """Write timeline and audit about a message: `report_sent`, `payment_request_delivered` and so on."""
    is_report = bool(report_id_of(row))
    source = (WorkflowType.REPORT_DELIVERY if is_report else WorkflowType.PAYMENT).value
    name = "report" if is_report else "payment_request"
    detail: EventDetail = {"channel": row.channel, "state": row.state, "code": row.error_code, **subject}
    await add_event(session, row.order_id, source=source, kind=f"{name}_{what}", detail=detail)
    await audit.record(
        session, chain=branch, actor=system(source), action=f"{name}.{what}", object_kind="notification",
        object_id=str(row.id), body=detail,
    )  # fmt: skip


def _check_may_be_sent(shared: sharing.SharedReport) -> None:
    if shared.report.is_confidential:
        raise RequestError(
            "the report is confidential: it never leaves by a message", code="REPORT_CONFIDENTIAL",
            action="Hand it over in person, as the law on HIV results demands.",
        )  # fmt: skip
    if not shared.is_in_force:
        raise RequestError(
            "another version of the report is in force, or it was withdrawn", code="REPORT_NOT_IN_FORCE",
            action="Nothing: the version in force has its own delivery.",
        )  # fmt: skip


def _check_consent(patient: Patient) -> None:
    if not patient.has_message_consent or patient.erased_at is not None:
        raise RequestError(
            "the patient did not agree to be written to", code="NO_MESSAGE_CONSENT",
            action="Hand the document over in person, then answer the step.",
        )  # fmt: skip


def _no_address() -> RequestError:
    return RequestError(
        "the patient has no address for this channel", code="NO_ADDRESS",
        action="Add a phone number or e-mail address and retry, or hand the document over in person.",
    )  # fmt: skip


async def _payment_letter(session: AsyncSession, request: SendPaymentRequest) -> _Letter:
    bill = await billing.bill_of(session, request.invoice_no)
    patient = await session.get_one(Patient, bill.order.patient_id)
    _check_consent(patient)
    opened = [row for row in await billing.links_of(session, bill.invoice.id) if PaymentLinkState(row.state).is_open]
    if not opened:
        raise RequestError(
            "the invoice has no open payment link", code="NO_PAYMENT_LINK",
            action="Nothing if it is paid; otherwise retry when a link has been made.",
        )  # fmt: skip
    link = opened[-1]
    facts = {
        "patient_name": patient.name,
        "amount": formatted(link.amount_paise),
        "lab_name": await _lab_name(session, bill.branch),
        "order_no": bill.order.order_no,
        "link": link.short_url,
    }
    subject: EventDetail = {"invoice_no": request.invoice_no}
    order = OrderFacts(bill.order, bill.branch)
    # by link, not by invoice: a link that replaces another is sent as well
    purpose_key = f"payment:{link.reference}"
    return _letter(order, patient, MessageTemplate.PAYMENT_REQUEST, facts, purpose_key=purpose_key, subject=subject)


def _letter(
    order: OrderFacts,
    patient: Patient,
    template: MessageTemplate,
    facts: Mapping[str, str],
    *,
    purpose_key: str,
    subject: EventDetail,
) -> _Letter:
    known = {language.value for language in ReportLanguage}
    language = patient.language if patient.language in known else ReportLanguage.ENGLISH.value
    return _Letter(
        order_id=order.order.id,
        branch=order.branch.code,
        purpose_key=purpose_key,
        template=template,
        language=language,
        subject=subject,
        text=render_message(template, language, facts),
        addresses={
            Channel.WHATSAPP.value: patient.phone,
            Channel.SMS.value: patient.phone,
            Channel.EMAIL.value: patient.email,
        },
    )


async def _lab_name(session: AsyncSession, branch: Branch) -> str:
    return (await session.get_one(Organisation, branch.organisation_id)).name


def _answer(row: Notification) -> SentNotification:
    return SentNotification(notification_id=str(row.id), channel=row.channel, state=row.state)
