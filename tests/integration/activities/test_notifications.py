"""Messages to patients: sent once, refused for a reason, settled by status reports."""

import pytest
from sqlmodel import select

from activities.notifications import NotificationActivities, SendPaymentRequest, SendReport
from domain.errors import ConnectorError, RejectedError, RequestError, UnavailableError
from domain.messaging import DeliveryState
from domain.sharing_messages import ReportRef
from store import sharing
from store.tables.billing import Invoice, PaymentLinkRow
from tests.fixtures.sharing_desk import CONFIDENTIAL_TEST, IssuedReport, SharingDesk


def ask(report: IssuedReport, channel: str = "whatsapp", round: int = 1) -> SendReport:  # noqa: A002
    return SendReport(order_no=report.order_no, report_id=report.report_id, channel=channel, round=round)


async def test_a_report_is_announced_with_a_link_that_opens_it(desk: SharingDesk):
    report = await desk.report()
    sent = await desk.run(desk.notifications.send_report, ask(report))
    assert sent.state == DeliveryState.ACCEPTED
    (message,) = desk.whatsapp_messages
    assert message["biz_opaque_callback_data"] == sent.notification_id
    values = [one["text"] for one in message["template"]["components"][0]["parameters"]]
    assert values[:3] == ["Asha Kulkarni", "Setu Diagnostics", report.order_no]
    token = values[3].removeprefix("https://lab.example/r/")
    assert str(desk.notifications.links.report_of(token)) == report.report_id
    assert await desk.events(report) == ["report_sent"]


async def test_a_hindi_reader_is_written_to_in_hindi_and_others_in_english(desk: SharingDesk):
    for language, expected in (("hi", "hi"), ("ta", "en")):
        report = await desk.report(await desk.patient(language=language))
        await desk.run(desk.notifications.send_report, ask(report))
        assert desk.whatsapp_messages[-1]["template"]["language"]["code"] == expected


async def test_sending_again_sends_nothing(desk: SharingDesk):
    report = await desk.report()
    first = await desk.run(desk.notifications.send_report, ask(report))
    assert await desk.run(desk.notifications.send_report, ask(report)) == first
    assert len(desk.whatsapp_messages) == 1
    await desk.run(desk.notifications.send_report, ask(report, round=2))
    assert len(desk.whatsapp_messages) == 2


async def test_a_confidential_report_is_never_sent(desk: SharingDesk):
    report = await desk.report(values={"HGB": "12.1", CONFIDENTIAL_TEST: "Non-reactive"})
    for channel in ("whatsapp", "sms", "email"):
        with pytest.raises(RequestError) as caught:
            await desk.run(desk.notifications.send_report, ask(report, channel))
        assert caught.value.code == "REPORT_CONFIDENTIAL"
    assert (desk.whatsapp_messages, desk.sms_messages, desk.mail.mails) == ([], [], [])
    assert await desk.messages(report) == []
    key = ReportRef(order_no=report.order_no, report_id=report.report_id)
    for _ in range(2):
        await desk.run(desk.notifications.withhold_report, key)
    assert await desk.events(report) == ["report_withheld"]


@pytest.mark.parametrize(
    ("patient", "channel", "code"),
    [
        ({"has_message_consent": False}, "whatsapp", "NO_MESSAGE_CONSENT"),
        ({"phone": ""}, "sms", "NO_ADDRESS"),
        ({"email": ""}, "email", "NO_ADDRESS"),
        ({}, "fax", "PARTNER_NOT_CONFIGURED"),
    ],
)
async def test_what_cannot_be_sent_says_why(desk: SharingDesk, patient: dict[str, object], channel: str, code: str):
    report = await desk.report(await desk.patient(**patient))
    with pytest.raises(RequestError) as caught:
        await desk.run(desk.notifications.send_report, ask(report, channel))
    assert caught.value.code == code
    assert caught.value.action


async def test_a_replaced_version_is_not_sent(desk: SharingDesk):
    first = await desk.report()
    await desk.issue(first)
    with pytest.raises(RequestError) as caught:
        await desk.run(desk.notifications.send_report, ask(first))
    assert caught.value.code == "REPORT_NOT_IN_FORCE"


async def test_a_provider_that_is_away_is_tried_again_with_the_same_row(desk: SharingDesk):
    report = await desk.report()
    desk.whatsapp.state.sender.behaviour.down = True
    with pytest.raises(UnavailableError):
        await desk.run(desk.notifications.send_report, ask(report))
    (row,) = await desk.messages(report)
    assert row.state == sharing.QUEUED
    desk.whatsapp.state.sender.behaviour.down = False
    sent = await desk.run(desk.notifications.send_report, ask(report))
    assert sent.notification_id == str(row.id)


async def test_an_unknown_outcome_is_not_sent_again(desk: SharingDesk):
    report = await desk.report()
    desk.whatsapp.state.sender.behaviour.drop_after_next = 1
    sent = await desk.run(desk.notifications.send_report, ask(report))
    assert sent.state == sharing.UNKNOWN
    assert (await desk.run(desk.notifications.send_report, ask(report))).state == sharing.UNKNOWN
    assert len(desk.whatsapp_messages) == 1
    assert await desk.events(report) == ["report_send_unknown"]


class _CutOff:
    """A channel whose process dies in the middle of a call."""

    name = "whatsapp"

    async def send(self, message: object) -> object:
        raise KeyboardInterrupt


async def test_an_attempt_that_was_cut_off_is_not_repeated(desk: SharingDesk):
    report = await desk.report()
    dying = NotificationActivities(desk.database, {"whatsapp": _CutOff()}, desk.notifications.links)
    with pytest.raises(KeyboardInterrupt):
        await dying.send_report(ask(report))
    sent = await desk.run(desk.notifications.send_report, ask(report))
    assert sent.state == sharing.UNKNOWN
    assert desk.whatsapp_messages == []


async def test_a_refusal_closes_the_row(desk: SharingDesk):
    report = await desk.report(await desk.patient(phone="+919000011610"))
    with pytest.raises(RejectedError):
        await desk.run(desk.notifications.send_report, ask(report, "sms"))
    (row,) = await desk.messages(report)
    assert (row.state, row.error_code) == ("failed", "21610")
    assert (await desk.run(desk.notifications.send_report, ask(report, "sms"))).state == "failed"
    assert await desk.events(report) == ["report_send_failed"]


# Payment requests


async def payment_link(desk: SharingDesk, report: IssuedReport, reference: str = "") -> str:
    """Give the order's invoice an open payment link."""
    async with desk.database.transaction() as session:
        invoice = (await session.exec(_invoice(report))).one()
        session.add(
            PaymentLinkRow(
                invoice_id=invoice.id, gateway="razorpay", link_id=f"plink_{reference or invoice.document_no}",
                reference=reference or invoice.document_no, state="pending", amount_paise=invoice.total_paise,
                short_url="https://rzp.example/i/abc", expires_at=invoice.created_at,
            )
        )  # fmt: skip
    return invoice.document_no


def _invoice(report: IssuedReport):
    return select(Invoice).where(Invoice.order_id == report.order_id)


async def test_a_payment_link_is_sent_once_per_link(desk: SharingDesk):
    report = await desk.report()
    invoice_no = await payment_link(desk, report)
    request = SendPaymentRequest(order_no=report.order_no, invoice_no=invoice_no)
    for _ in range(2):
        sent = await desk.run(desk.notifications.send_payment_request, request)
    assert (sent.channel, len(desk.whatsapp_messages)) == ("whatsapp", 1)
    await payment_link(desk, report, f"{invoice_no}-2")
    await desk.run(desk.notifications.send_payment_request, request)
    assert len(desk.whatsapp_messages) == 2


async def test_a_payment_link_goes_by_mail_when_whatsapp_refuses_or_there_is_no_phone(desk: SharingDesk):
    for phone in ("", "+910"):
        report = await desk.report(await desk.patient(phone=phone))
        request = SendPaymentRequest(order_no=report.order_no, invoice_no=await payment_link(desk, report))
        sent = await desk.run(desk.notifications.send_payment_request, request)
        assert sent.channel == "email"
    assert [one.message["Subject"] for one in desk.mail.mails] == ["Payment for your laboratory order"] * 2


async def test_a_payment_request_that_cannot_be_sent_says_why(desk: SharingDesk):
    report = await desk.report(await desk.patient(phone="", email=""))
    async with desk.database.transaction() as session:
        invoice_no = (await session.exec(_invoice(report))).one().document_no
    request = SendPaymentRequest(order_no=report.order_no, invoice_no=invoice_no)
    codes = []
    for has_link in (False, True):
        if has_link:
            await payment_link(desk, report)
        with pytest.raises(ConnectorError) as caught:
            await desk.run(desk.notifications.send_payment_request, request)
        codes.append(caught.value.code)
    assert codes == ["NO_PAYMENT_LINK", "NO_ADDRESS"]
