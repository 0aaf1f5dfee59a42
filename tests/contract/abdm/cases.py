"""ABDM for the shared contract suites: every call of a provider, every callback."""

import uuid
from datetime import UTC, datetime, timedelta
from pathlib import Path

import jwt
from cryptography.hazmat.primitives.asymmetric import rsa
from pydantic import SecretStr

from connectors.abdm import AbdmConnector, AbdmSettings, webhook
from connectors.abdm.connector import Bridge
from connectors.http import PartnerHttp
from domain.clock import utc_now
from domain.errors import RateLimitedError, RejectedError, RequestError, UnavailableError
from domain.health_records import AbhaPatient, Acceptance, CareContext, HealthInfoRefusal
from domain.partner_events import PartnerEvent
from tests.contract.suites import ConnectorCases, ErrorSample, OperationCase, WebhookCases

WIRE = Path(__file__).parent / "wire"
SECRET = "very-secret-client-secret"
ACCESS_TOKEN = "very-secret-access-token"
LINK_TOKEN = "very-secret-link-token"
REQUEST_ID = "6f0d7a4e-33a1-4d0e-9a55-90a3bd3c5b01"
CALLBACK_ID = "8a3c7a10-27fb-4f4c-9d7c-6a1f5e4d3c01"
CONSENT_ID = "3f0c1a52-0d3b-4a57-9f0e-6b1b7c1d2e01"
TRANSACTION_ID = "5b1d9e6e-7f5b-4d2f-8d94-0f8f3a2b1c01"
BASE = "/api/hiecm"

SETTINGS = AbdmSettings(
    base_url=f"https://gateway.example{BASE}",
    client_id="SBX_000001",
    client_secret=SecretStr(SECRET),
    hip_id="IN2810000001",
    cm_id="sbx",
    bridge_url="https://lis.example.in",
)
PATIENT = AbhaPatient("91000000000000", "asha.k@sbx", "Asha Kulkarni", "F", 1990)
CONTEXT = CareContext("P-000123", "Asha Kulkarni", "RPT-2026-0001", "Lab report 20 Nov 2026")
HEADERS = {
    "REQUEST-ID": REQUEST_ID,
    "X-CM-ID": "sbx",
    "X-HIP-ID": "IN2810000001",
    "Authorization": f"Bearer {ACCESS_TOKEN}",
}
_DONE_AT = datetime(2026, 11, 20, 6, 17, tzinfo=UTC)
_BAD_BODY = ErrorSample("error.bad_body.array.json", 400, RejectedError, "ABDM-1006")
_EMPTY = ErrorSample("error.empty.json", 400, RequestError, "400")
_TRY_LATER = ErrorSample("error.try_later.colon.json", 400, UnavailableError, "ABDM-9999")
_CLOCK = ErrorSample("error.clock.json", 400, RequestError, "ABDM-2402")


def _tell(name, invoke, path, request_file, *errors, **more):
    return OperationCase(
        name=name,
        invoke=invoke,
        method="POST",
        path=BASE + path,
        request_file=request_file,
        response_file="",
        status=202,
        expected=Acceptance.ACCEPTED,
        headers=HEADERS | more.pop("headers", {}),
        errors=errors,
        **more,
    )


OPERATIONS = (
    _tell(
        "request_link_token",
        lambda abdm: abdm.request_link_token(patient=PATIENT, request_id=REQUEST_ID),
        "/v3/token/generate-token",
        "generate_token.request.json",
        ErrorSample("error.user_not_found.json", 400, RejectedError, "ABDM-9999"),
        ErrorSample("error.blocked.json", 400, RateLimitedError, "ABDM-1027"),
        _TRY_LATER,
        _CLOCK,
    ),
    _tell(
        "link_care_context",
        lambda abdm: abdm.link_care_context(
            link_token=SecretStr(LINK_TOKEN), patient=PATIENT, contexts=[CONTEXT], request_id=REQUEST_ID
        ),
        "/hip/v3/link/carecontext",
        "link_carecontext.request.json",
        _EMPTY,
        _BAD_BODY,
        ErrorSample("error.link_token.json", 400, RejectedError, "ABDM-1026"),
        headers={"X-LINK-TOKEN": LINK_TOKEN},
    ),
    _tell(
        "notify_care_context",
        lambda abdm: abdm.notify_care_context(
            patient_address="asha.k@sbx",
            context=CONTEXT,
            date=datetime(2026, 11, 20, 6, 15, 33, tzinfo=UTC),
            request_id=REQUEST_ID,
        ),
        "/hip/v3/link/context/notify",
        "context_notify.request.json",
        ErrorSample("error.not_linked_yet.json", 400, RejectedError, "ABDM-1006"),
        ErrorSample("error.facility.json", 400, RequestError, "ABDM-1035"),
    ),
    _tell(
        "acknowledge_consent",
        lambda abdm: abdm.acknowledge_consent(
            consent_id=CONSENT_ID, callback_request_id=CALLBACK_ID, request_id=REQUEST_ID
        ),
        "/consent/v3/request/hip/on-notify",
        "consent_on_notify.request.json",
        ErrorSample("error.consent_unknown.json", 400, RejectedError, "ABDM-1112"),
    ),
    _tell(
        "acknowledge_health_info_request",
        lambda abdm: abdm.acknowledge_health_info_request(
            transaction_id=TRANSACTION_ID, callback_request_id=CALLBACK_ID[:-1] + "2", request_id=REQUEST_ID
        ),
        "/data-flow/v3/health-information/hip/on-request",
        "hi_on_request.request.json",
        ErrorSample("error.transaction.flat.json", 400, RejectedError, "ABDM-1017"),
    ),
    _tell(
        "refuse_health_info_request",
        lambda abdm: abdm.acknowledge_health_info_request(
            transaction_id=TRANSACTION_ID,
            callback_request_id=CALLBACK_ID[:-1] + "2",
            request_id=REQUEST_ID,
            refusal=HealthInfoRefusal("ABDM-1062", "Consent Not granted"),
        ),
        "/data-flow/v3/health-information/hip/on-request",
        "hi_on_request.refused.request.json",
        ErrorSample("error.spring.json", 400, RequestError, "400"),
    ),
    _tell(
        "notify_transfer",
        lambda abdm: abdm.notify_transfer(
            consent_id=CONSENT_ID,
            transaction_id=TRANSACTION_ID,
            delivered={"RPT-2026-0001": True},
            done_at=_DONE_AT,
            request_id=REQUEST_ID,
        ),
        "/data-flow/v3/health-information/notify",
        "hi_notify.request.json",
        ErrorSample("error.too_many.json", 400, RateLimitedError, "ABDM-2429"),
    ),
    OperationCase(
        name="fetch_signing_keys",
        invoke=lambda abdm: abdm.fetch_signing_keys(),
        method="GET",
        path=f"{BASE}/gateway/v3/certs",
        response_file="certs.response.json",
        expected=(
            {"kid": "one", "kty": "RSA", "use": "sig", "alg": "RS256", "n": "AQAB", "e": "AQAB"},
            {"kid": "two", "kty": "RSA", "use": "sig", "alg": "RS512", "n": "AQAB", "e": "AQAB"},
        ),
        errors=(ErrorSample("error.message_only.json", 400, RequestError, "400"),),
    ),
    OperationCase(
        name="fetch_bridge",
        invoke=lambda abdm: abdm.fetch_bridge(),
        method="GET",
        path=f"{BASE}/gateway/v3/bridge-services",
        response_file="bridge_services.response.json",
        expected=Bridge("https://lis.example.in", {"IN2810000001": ("HIP", "HIU")}),
        errors=(_TRY_LATER,),
    ),
    OperationCase(
        name="register_bridge_url",
        invoke=lambda abdm: abdm.register_bridge_url(url="https://lis.example.in", request_id=REQUEST_ID),
        method="PATCH",
        path=f"{BASE}/gateway/v3/bridge/url",
        request_file="bridge_url.request.json",
        response_file="",
        status=202,
        expected=Acceptance.ACCEPTED,
        headers=HEADERS,
        errors=(_BAD_BODY,),
    ),
)

KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)
KEYS = webhook.signing_keys(
    [{**jwt.algorithms.RSAAlgorithm.to_jwk(KEY.public_key(), as_dict=True), "kid": "k1", "use": "sig", "alg": "RS256"}]
)


def callback_token(key=KEY, *, algorithm="RS256", kid="k1", **claims) -> str:
    """Return a token as the gateway signs it; a claim given as None is left out."""
    now = utc_now()
    all_claims = {"aud": "account", "iat": now, "exp": now + timedelta(minutes=10)} | claims
    kept = {name: value for name, value in all_claims.items() if value is not None}
    return jwt.encode(kept, key, algorithm=algorithm, headers={"kid": kid})


TOKEN = callback_token()


def sign(body: bytes) -> dict[str, str]:
    return {
        "authorization": f"Bearer {TOKEN}",
        "request-id": str(uuid.uuid5(uuid.NAMESPACE_OID, body.hex())),
        "x-hip-id": "IN2810000001",
    }


CALLBACKS = {
    "webhook.on_generate_token.json": "/api/v3/hip/token/on-generate-token",
    "webhook.on_generate_token.blocked.json": "/api/v3/hip/token/on-generate-token",
    "webhook.on_carecontext.json": "/api/v3/link/on_carecontext",
    "webhook.context_on_notify.json": "/api/v3/links/context/on-notify",
    "webhook.consent_granted.json": "/api/v3/consent/request/hip/notify",
    "webhook.consent_revoked.json": "/api/v3/consent/request/hip/notify",
    "webhook.hi_request.json": "/api/v3/hip/health-information/request",
}
_PATH_OF = {(WIRE / file).read_bytes(): path for file, path in CALLBACKS.items()}


def _parse(body: bytes, headers) -> list[PartnerEvent]:
    return webhook.parse(body, headers, path=_PATH_OF.get(body, "/lab/api/v3/link/on_carecontext"))


def _event(file: str, kind: str, reference: str, entity_id: str = ""):
    event_id = sign((WIRE / file).read_bytes())["request-id"]
    return file, [PartnerEvent(event_id, kind, reference, entity_id)]


_ANSWERED = "0b4e7d63-9c1f-4a0e-8f35-2d8a51c0aa0"
SAMPLES = (
    _event("webhook.on_generate_token.json", webhook.LINK_TOKEN_ANSWERED, _ANSWERED + "1"),
    _event("webhook.on_generate_token.blocked.json", webhook.LINK_TOKEN_ANSWERED, _ANSWERED + "1"),
    _event("webhook.on_carecontext.json", webhook.LINK_ANSWERED, _ANSWERED + "2"),
    _event("webhook.context_on_notify.json", webhook.NOTICE_ANSWERED, _ANSWERED + "3"),
    _event("webhook.consent_granted.json", webhook.CONSENT_NOTIFIED, CONSENT_ID, CONSENT_ID),
    _event("webhook.consent_revoked.json", webhook.CONSENT_NOTIFIED, CONSENT_ID, CONSENT_ID),
    _event("webhook.hi_request.json", webhook.HEALTH_INFO_REQUESTED, TRANSACTION_ID, CONSENT_ID),
)

CASES = ConnectorCases(
    name="abdm",
    build=lambda client, journal: AbdmConnector(PartnerHttp(client, "abdm", journal), SETTINGS),
    base_url=SETTINGS.base_url,
    operations=OPERATIONS,
    secrets=(SECRET, ACCESS_TOKEN, LINK_TOKEN, "Asha Kulkarni", "asha.k@sbx", "91000000000000"),
    answers={
        ("POST", f"{BASE}/gateway/v3/sessions"): {
            "accessToken": ACCESS_TOKEN,
            "expiresIn": 1200,
            "refreshExpiresIn": 1800,
            "refreshToken": "unused",
            "tokenType": "bearer",
        }
    },
    webhook=WebhookCases(
        verify=lambda _body, headers: webhook.verify(headers, KEYS, SETTINGS),
        parse=_parse,
        sign=sign,
        samples=SAMPLES,
        signature_header="authorization",
        signs_body=False,
    ),
)
