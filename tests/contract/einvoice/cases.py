"""The e-invoice connector through Adaequare, for the shared suites. NIC's bodies are encrypted: see test_nic.py."""

from datetime import UTC, datetime

from connectors.einvoice import EInvoiceConnector, EInvoiceSettings
from domain.einvoice import CancelReason, IrnRecord, IrnState
from domain.errors import (
    AuthError,
    OutcomeUnknownError,
    RateLimitedError,
    RejectedError,
    RequestError,
    UnavailableError,
)
from tests.contract.einvoice.documents import LAB, invoice
from tests.contract.suites import ConnectorCases, ErrorSample, OperationCase

SETTINGS = EInvoiceSettings(
    base_url="https://gsp.example",
    gstin=LAB.gstin,
    username="lab_api_user",
    password="api-password-123",
    client_id="gsp-app-id-456",
    client_secret="gsp-app-secret-789",
)
TOKEN = "gsp-access-token-000"
DOCUMENT = invoice()
HEADERS = {
    "authorization": f"bearer {TOKEN}",
    "user_name": "lab_api_user",
    "password": "api-password-123",
    "gstin": LAB.gstin,
}
RECORD = IrnRecord(
    irn=DOCUMENT.irn,
    ack_no="172600000000001",
    ack_at=datetime(2026, 11, 20, 10, 35, 30, tzinfo=UTC),
    signed_invoice="eyJhbGciOiJSUzI1NiJ9.e30.c2lnbmVk",
    signed_qr="eyJhbGciOiJSUzI1NiJ9.e30.cXI",
    state=IrnState.ACTIVE,
)
SHOWN = IrnRecord(
    irn=RECORD.irn,
    ack_no=RECORD.ack_no,
    ack_at=datetime(2026, 11, 20, 10, 35, tzinfo=UTC),
    signed_invoice=RECORD.signed_invoice,
    signed_qr=RECORD.signed_qr,
    state=IrnState.ACTIVE,
)
CANCELLED = IrnRecord(
    irn=RECORD.irn,
    ack_no="",
    ack_at=None,
    signed_invoice="",
    signed_qr="",
    state=IrnState.CANCELLED,
    cancelled_at=datetime(2026, 11, 20, 12, 39, tzinfo=UTC),
)

CASES = ConnectorCases(
    name="einvoice",
    build=lambda client, journal: EInvoiceConnector(client, SETTINGS, journal),
    base_url="https://gsp.example",
    operations=(
        OperationCase(
            name="generate_irn",
            invoke=lambda connector: connector.generate_irn(document=DOCUMENT),
            method="POST",
            path="/enriched/ei/api/invoice",
            request_file="generate_irn.request.json",
            response_file="generate_irn.response.json",
            expected=RECORD,
            headers=HEADERS,
            errors=(
                ErrorSample("error.duplicate.json", 200, RejectedError, "2150"),
                ErrorSample("error.burnt_number.json", 200, RejectedError, "2278"),
                ErrorSample("error.several.json", 200, RejectedError, "2174"),
                ErrorSample("error.stopped.json", 200, RejectedError, "3096"),
                ErrorSample("error.schema.json", 200, RejectedError, "5002"),
                ErrorSample("error.not_enabled.json", 200, RequestError, "3026"),
                ErrorSample("error.bad_login.json", 200, AuthError, "1008"),
                ErrorSample("error.limit.json", 200, RateLimitedError, "3108"),
                ErrorSample("error.unable_to_sign.json", 200, UnavailableError, "2147"),
                ErrorSample("error.application.json", 200, OutcomeUnknownError, "5001"),
                ErrorSample("error.gateway_down.json", 200, OutcomeUnknownError, "GSPGSTDOWN"),
            ),
            unavailable_is_unknown=True,
        ),
        OperationCase(
            name="get_by_irn",
            invoke=lambda connector: connector.get_by_irn(irn=RECORD.irn, supplier_gstin=LAB.gstin),
            method="GET",
            path="/enriched/ei/api/invoice/irn",
            query={"irn": RECORD.irn},
            response_file="get_by_irn.response.json",
            expected=SHOWN,
            headers=HEADERS,
            errors=(
                ErrorSample("error.too_old.json", 200, RejectedError, "2283"),
                ErrorSample("error.gateway_down.json", 200, UnavailableError, "GSPGSTDOWN"),
            ),
        ),
        OperationCase(
            name="cancel_irn",
            invoke=lambda connector: connector.cancel_irn(
                irn=RECORD.irn,
                supplier_gstin=LAB.gstin,
                reason_code=CancelReason.DATA_ENTRY_MISTAKE,
                remark="Wrong quantity entered",
            ),
            method="POST",
            path="/enriched/ei/api/invoice/cancel",
            request_file="cancel_irn.request.json",
            response_file="cancel_irn.response.json",
            expected=CANCELLED,
            headers=HEADERS,
            errors=(
                ErrorSample("error.window_over.json", 200, RejectedError, "2270"),
                ErrorSample("error.foreign.json", 200, RejectedError, "2143"),
            ),
            unavailable_is_unknown=True,
        ),
    ),
    secrets=("api-password-123", "gsp-app-id-456", "gsp-app-secret-789", TOKEN),
    answers={("POST", "/gsp/authenticate"): {"access_token": TOKEN, "token_type": "bearer", "expires_in": 86400}},
)
