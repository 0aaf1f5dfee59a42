"""WhatsApp in the shared suites. The samples in `wire/` are written from the published reference."""

import hashlib
import hmac
from pathlib import Path

from connectors.http import PartnerHttp
from connectors.whatsapp import WhatsAppConnector, WhatsAppSettings, webhook
from domain.errors import AuthError, RateLimitedError, RejectedError, RequestError, UnavailableError
from domain.messaging import DeliveryState, OutboundMessage, SentMessage
from domain.partner_events import PartnerEvent
from tests.contract.suites import ConnectorCases, ErrorSample, OperationCase, WebhookCases

TOKEN = "EAAG-token-of-the-system-user"
APP_SECRETS = ["newest-app-secret", "older-app-secret"]
VERIFY_TOKEN = "long-random-verify-token"
WIRE = Path(__file__).parent / "wire"

MESSAGE = OutboundMessage(
    notification_id="ntf-0190a1b2",
    to="+919810012345",
    template="report_ready",
    language="en",
    parameters=("Asha\n Rao", "DEL-261123-0042"),
    text="Dear Asha Rao, your report is ready.",
    document_url="https://lab.example.in/d/abc?sig=xyz",
    document_name="DEL-261123-0042.pdf",
)


SETTINGS = WhatsAppSettings(
    phone_number_id="100000000000001", access_token=TOKEN, app_secrets=APP_SECRETS, verify_token=VERIFY_TOKEN
)


def build(client, journal):
    return WhatsAppConnector(PartnerHttp(client, "whatsapp", journal), SETTINGS)


def sign(body: bytes, secret: str = APP_SECRETS[0]) -> dict[str, str]:
    return {"x-hub-signature-256": "sha256=" + hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()}


def _status(wamid: str, status: str, kind: str, reference: str = "", code: str = "") -> PartnerEvent:
    return PartnerEvent(f"{wamid}:{status}", kind, reference, wamid, code)


BATCH = [
    _status("wamid.A", "sent", "message.sent", "ntf-1"),
    _status("wamid.B", "sent", "message.sent", "ntf-2"),
    _status("wamid.A", "read", "message.read", "ntf-1"),
    _status("wamid.C", "failed", "message.failed", "ntf-3", "131026"),
    _status("wamid.D", "played", "message.read"),
]


def _paused() -> PartnerEvent:
    body = WIRE / "webhook.template_paused.json"
    return PartnerEvent(f"{hashlib.sha256(body.read_bytes()).hexdigest()}:0", "message_template_status_update")


OPERATIONS = (
    OperationCase(
        name="send",
        invoke=lambda whatsapp: whatsapp.send(MESSAGE),
        method="POST",
        path="/v25.0/100000000000001/messages",
        request_file="send.request.json",
        response_file="send.response.json",
        expected=SentMessage("wamid.HBgMOTE5ODEwMDEyMzQ1FQIAERgS", DeliveryState.ACCEPTED),
        headers={"authorization": f"Bearer {TOKEN}"},
        unavailable_is_unknown=True,
        errors=(
            ErrorSample("error.token_expired.json", 401, AuthError, "190"),
            ErrorSample("error.token_expired.json", 400, AuthError, "190"),
            ErrorSample("error.permission.json", 403, AuthError, "200"),
            ErrorSample("error.account_locked.json", 403, AuthError, "131031"),
            ErrorSample("error.spam.json", 429, AuthError, "131048"),
            ErrorSample("error.number_unknown.json", 400, RequestError, "100"),
            ErrorSample("error.parameter_count.json", 400, RequestError, "132000"),
            ErrorSample("error.template_missing.json", 404, RejectedError, "132001"),
            ErrorSample("error.template_paused.json", 400, RejectedError, "132015"),
            ErrorSample("error.not_on_whatsapp.json", 400, RejectedError, "131026"),
            ErrorSample("error.too_fast.json", 429, RateLimitedError, "130429"),
            ErrorSample("error.too_fast.json", 400, RateLimitedError, "130429"),
            ErrorSample("error.pair_rate.json", 400, RateLimitedError, "131056"),
            ErrorSample("error.maintenance.json", 400, UnavailableError, "131057"),
            ErrorSample("error.unknown_code.json", 400, RejectedError, "139999"),
        ),
    ),
    OperationCase(
        name="partner_time",
        invoke=lambda whatsapp: whatsapp.partner_time(),
        method="GET",
        path="/v25.0/100000000000001",
        response_file="partner_time.response.json",
        expected=None,
        errors=(ErrorSample("error.token_expired.json", 401, AuthError, "190"),),
    ),
)

CASES = ConnectorCases(
    name="whatsapp",
    build=build,
    base_url="https://graph.facebook.com",
    operations=OPERATIONS,
    secrets=(TOKEN, VERIFY_TOKEN, *APP_SECRETS, "Asha", "9810012345", "sig=xyz"),
    webhook=WebhookCases(
        verify=lambda body, headers: webhook.verify(body, headers, SETTINGS.active_secrets()),
        parse=webhook.parse,
        sign=sign,
        samples=(
            ("webhook.delivered.json", [_status("wamid.A", "delivered", "message.delivered", "ntf-1")]),
            ("webhook.batch.json", BATCH),
            ("webhook.inbound.json", [PartnerEvent("wamid.IN1", "message.received", "", "wamid.IN1")]),
            ("webhook.template_paused.json", [_paused()]),
        ),
        signature_header="x-hub-signature-256",
    ),
)
