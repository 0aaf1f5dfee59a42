"""SMS in the shared suites. The samples in `wire/` are written from Twilio's published reference."""

import base64
import hashlib
import hmac
from urllib.parse import parse_qsl

from connectors.http import PartnerHttp
from connectors.sms import SmsConnector, SmsSettings, webhook
from domain.errors import AuthError, RateLimitedError, RejectedError, RequestError
from domain.messaging import DeliveryState, OutboundMessage, SentMessage
from domain.partner_events import PartnerEvent
from tests.contract.suites import ConnectorCases, ErrorSample, OperationCase, WebhookCases

ACCOUNT = "AC" + "1" * 32
TOKEN = "auth-token-of-the-account"
OLD_TOKEN = "auth-token-being-replaced"
BASIC = base64.b64encode(f"{ACCOUNT}:{TOKEN}".encode()).decode()
SID = "SM0123456789abcdef0123456789abcdef"
URL = "https://lab.example.in/webhooks/sms?ref=ntf-0190a1b2"

MESSAGE = OutboundMessage(
    notification_id="ntf-0190a1b2",
    to="+919810012345",
    template="report_ready",
    language="en",
    parameters=("Asha", "DEL-261123-0042", "https://l.in/a1", "LabSetu"),
    text="Dear Asha, your report DEL-261123-0042 is ready: https://l.in/a1 - LabSetu",
)


SETTINGS = SmsSettings(
    account_sid=ACCOUNT,
    auth_token=TOKEN,
    webhook_auth_tokens=[OLD_TOKEN],
    sender="LABSTU",
    status_callback_url="https://lab.example.in/webhooks/sms",
)


def build(client, journal):
    return SmsConnector(PartnerHttp(client, "sms", journal), SETTINGS)


def sign(body: bytes, token: str = TOKEN) -> dict[str, str]:
    fields = dict(parse_qsl(body.decode(errors="replace"), keep_blank_values=True))
    text = URL + "".join(name + fields[name] for name in sorted(fields))
    digest = hmac.new(token.encode(), text.encode(), hashlib.sha1).digest()
    return {"x-twilio-signature": base64.b64encode(digest).decode()}


def _status(status: str, kind: str, code: str = "") -> list[PartnerEvent]:
    return [PartnerEvent(f"{SID}:{status}", kind, "ntf-0190a1b2", SID, code)]


REFUSED_CREDENTIALS = ErrorSample("error.authenticate.json", 401, AuthError, "20003")

OPERATIONS = (
    OperationCase(
        name="send",
        invoke=lambda sms: sms.send(MESSAGE),
        method="POST",
        path=f"/2010-04-01/Accounts/{ACCOUNT}/Messages.json",
        request_file="send.request.json",
        response_file="send.response.json",
        status=201,
        expected=SentMessage(SID, DeliveryState.ACCEPTED),
        headers={"authorization": f"Basic {BASIC}", "content-type": "application/x-www-form-urlencoded"},
        unavailable_is_unknown=True,
        errors=(
            REFUSED_CREDENTIALS,
            ErrorSample("error.suspended.json", 401, AuthError, "20005"),
            ErrorSample("error.bad_number.json", 400, RejectedError, "21211"),
            ErrorSample("error.opted_out.json", 400, RejectedError, "21610"),
            ErrorSample("error.landline.json", 400, RejectedError, "21614"),
            ErrorSample("error.bad_sender.json", 400, RequestError, "21606"),
            ErrorSample("error.too_many.json", 429, RateLimitedError, "20429"),
            ErrorSample("error.too_many_as_400.json", 400, RateLimitedError, "20429"),
        ),
    ),
    OperationCase(
        name="fetch_status",
        invoke=lambda sms: sms.fetch_status(provider_id=SID),
        method="GET",
        path=f"/2010-04-01/Accounts/{ACCOUNT}/Messages/{SID}.json",
        response_file="fetch_status.response.json",
        expected=SentMessage(SID, DeliveryState.FAILED),
        errors=(REFUSED_CREDENTIALS, ErrorSample("error.not_found.json", 404, RejectedError, "20404")),
    ),
    OperationCase(
        name="partner_time",
        invoke=lambda sms: sms.partner_time(),
        method="GET",
        path=f"/2010-04-01/Accounts/{ACCOUNT}.json",
        response_file="partner_time.response.json",
        expected=None,
        errors=(REFUSED_CREDENTIALS,),
    ),
)

CASES = ConnectorCases(
    name="sms",
    build=build,
    base_url="https://api.twilio.com",
    operations=OPERATIONS,
    secrets=(TOKEN, OLD_TOKEN, BASIC, "Asha", "9810012345", "l.in/a1"),
    webhook=WebhookCases(
        verify=lambda body, headers: webhook.verify(body, headers, url=URL, auth_tokens=SETTINGS.active_secrets()),
        parse=lambda body, headers: webhook.parse(body, headers, url=URL),
        sign=sign,
        samples=(
            ("webhook.delivered.form", _status("delivered", "message.delivered")),
            ("webhook.undelivered.form", _status("undelivered", "message.failed", "30003")),
            ("webhook.sending.form", _status("sending", "message.accepted")),
        ),
        signature_header="x-twilio-signature",
    ),
)
