"""The gateway's and consent manager's calls for a provider: session, keys, bridge, linking, consent, data flow."""

from __future__ import annotations

import re
import secrets
from datetime import timedelta

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, Response

from connectors.abdm.simulator import door
from connectors.abdm.simulator.door import Admitted, Refusal, dig, objects_at, text_at
from connectors.abdm.simulator.network import (
    BASE,
    BLOCKED_FOR,
    MATCHES_BEFORE_BLOCK,
    Link,
    Network,
    Person,
)
from connectors.simulation import bounded_body, json_object

MAX_CONTEXTS = 20
HI_TYPES = frozenset(
    {
        "Prescription", "DiagnosticReport", "OPConsultation", "DischargeSummary", "ImmunizationRecord",
        "HealthDocumentRecord", "WellnessRecord", "Invoice",
    }
)  # fmt: skip
_REFERENCE = re.compile(r"[a-zA-Z0-9_\-@,. ()/:\\]{0,255}")
_DISPLAY = re.compile(r"""[a-zA-Z0-9_\-@,. "':|()/]{0,255}""")

ON_TOKEN = "/api/v3/hip/token/on-generate-token"
ON_LINK = "/api/v3/link/on_carecontext"
ON_NOTICE = "/api/v3/links/context/on-notify"

Error = dict[str, str]


def _accepted() -> Response:
    return Response(status_code=202)


def gateway_routes(network: Network) -> APIRouter:
    """Return the routes below `/api/hiecm`."""
    routes = APIRouter(prefix=BASE)
    _account_routes(routes, network)
    _linking_routes(routes, network)
    _data_routes(routes, network)
    return routes


def _account_routes(routes: APIRouter, network: Network) -> None:
    @routes.post("/gateway/v3/sessions")
    async def open_session(request: Request) -> Response:
        door.check_headers(network, request)
        if "application/json" not in request.headers.get("content-type", ""):
            raise Refusal(400, "ABDM-9999: ", "415 UNSUPPORTED_MEDIA_TYPE")
        body = json_object(await bounded_body(request))
        config = network.config
        known = secrets.compare_digest(text_at(body, "clientSecret").encode(), config.client_secret.encode())
        if text_at(body, "clientId") != config.client_id or not known:
            raise Refusal(401, "900901", "Invalid Credentials", fixed_shape=True)
        token = secrets.token_urlsafe(32)
        network.sessions[token] = network.clock() + timedelta(seconds=config.session_s)
        answer = {
            "accessToken": token,
            "expiresIn": config.session_s,
            "refreshExpiresIn": 1800,
            "refreshToken": secrets.token_urlsafe(32),
            "tokenType": "bearer",
        }
        return JSONResponse(answer, 202)

    @routes.get("/gateway/v3/certs")
    async def certs(request: Request) -> Response:
        door.check_bearer(network, request)
        return JSONResponse(network.key_set())

    @routes.get("/gateway/v3/bridge-services")
    async def bridge_services(request: Request) -> Response:
        door.check_bearer(network, request)
        config = network.config
        service = {"id": config.hip_id, "name": "Simulated Lab", "types": ["HIP"], "endpoints": {}, "active": True}
        bridge = {"id": config.client_id, "name": "Simulated bridge", "url": network.bridge_url, "active": True}
        return JSONResponse({"bridge": bridge, "services": [service]})

    @routes.patch("/gateway/v3/bridge/url")
    async def bridge_url(request: Request) -> Response:
        door.check_bearer(network, request)
        door.check_headers(network, request)
        url = text_at(json_object(await bounded_body(request)), "url")
        if not url.startswith(("http://", "https://")):
            raise Refusal(400, "ABDM-1031", "Invalid request")
        network.bridge_url = url
        return _accepted()


def _linking_routes(routes: APIRouter, network: Network) -> None:
    @routes.post("/v3/token/generate-token")
    async def generate_token(request: Request) -> Response:
        asked = await door.admit(network, request, duplicate=("ABDM-1092", "Duplicate Link token request"))
        if asked.is_ours:
            _generate_token(network, asked)
        return _accepted()

    @routes.post("/hip/v3/link/carecontext")
    async def link_carecontext(request: Request) -> Response:
        asked = await door.admit(network, request)
        number = dig(asked.body, "abhaNumber")
        if isinstance(number, str) and not number.isdigit():
            return Response(status_code=400)
        patients = objects_at(asked.body, "patient")
        _check_patients(patients)
        if asked.is_ours:
            _link(network, asked, patients, request.headers.get("x-link-token", ""))
        return _accepted()

    @routes.post("/hip/v3/link/context/notify")
    async def context_notify(request: Request) -> Response:
        asked = await door.admit(network, request)
        if asked.is_ours:
            _notify(network, asked)
        return _accepted()


def _generate_token(network: Network, asked: Admitted) -> None:
    number, address = dig(asked.body, "abhaNumber"), text_at(asked.body, "abhaAddress")
    digits = str(number) if isinstance(number, int | str) else ""
    if digits and not re.fullmatch(r"\d{14}", digits):
        raise Refusal(400, "ABDM-1013", "Invalid ABHA Number")
    person = network.person_of(digits, address)
    if person is None:
        raise Refusal(400, "ABDM-9999", "User not found")
    now = network.clock()
    fingerprint = repr(sorted((key, str(value)) for key, value in asked.body.items()))
    last = network.token_requests.get(fingerprint)
    if last is not None and now - last < timedelta(seconds=network.config.token_repeat_window_s):
        raise Refusal(400, "ABDM-1092", "Duplicate Link token request")
    network.token_requests[fingerprint] = now
    response = {"requestId": asked.request_id}
    error = _match_error(network, person, asked.body, digits)
    if error:
        network.call_back(ON_TOKEN, {"error": error, "response": response})
        return
    token = network.link_token(person, asked.hip_id)
    network.call_back(ON_TOKEN, {"abhaAddress": person.abha_address, "linkToken": token, "response": response})


def _match_error(network: Network, person: Person, body: dict[str, object], digits: str) -> Error | None:
    """Compare demographics; too many failures block the person for a day."""
    key, now = person.abha_address, network.clock()
    if network.blocked_until.get(key, now) > now:
        return {"code": "ABDM-1027", "message": "You are blocked. Please try again after 24 hours."}
    same_name = text_at(body, "name").casefold().split() == person.name.casefold().split()
    same_birth = str(dig(body, "yearOfBirth")) == str(person.year_of_birth)
    same_number = not digits or digits == person.abha_number
    if same_name and same_birth and same_number and text_at(body, "gender") == person.gender:
        network.failed_matches[key] = 0
        return None
    network.failed_matches[key] = network.failed_matches.get(key, 0) + 1
    if network.failed_matches[key] >= MATCHES_BEFORE_BLOCK:
        network.blocked_until[key] = now + BLOCKED_FOR
        network.failed_matches[key] = 0
    return {"code": "ABDM-1036", "message": "Data does not matched"}


def _check_patients(patients: list[dict[str, object]]) -> None:
    """Refuse a malformed link body at once.

    Raises:
        Refusal: 400 ABDM-1006.
    """
    if not patients:
        raise Refusal(400, "ABDM-1006", "Bad Request, invalid request Body")
    for patient in patients:
        if text_at(patient, "hiType") not in HI_TYPES:
            raise Refusal(400, "ABDM-1006", f"Invalid HIType, it must be in {','.join(sorted(HI_TYPES))}")
        contexts = objects_at(patient, "careContexts")
        if not 1 <= len(contexts) <= MAX_CONTEXTS:
            raise Refusal(400, "ABDM-1006", "Invalid count, must be 2 digit and ranges between 1 to 20")
        for item in (patient, *contexts):
            reference, display = text_at(item, "referenceNumber"), text_at(item, "display")
            if not reference or not _REFERENCE.fullmatch(reference) or not _DISPLAY.fullmatch(display):
                raise Refusal(400, "ABDM-1006", "Bad Request, invalid request Body")


def _link(network: Network, asked: Admitted, patients: list[dict[str, object]], token: str) -> None:
    claims = network.read_link_token(token)
    error = _link_error(asked, patients, claims)
    address = str(claims.get("abhaAddress", "")) if claims else ""
    fresh: list[Link] = []
    if error is None:
        fresh = _new_links(network, asked.hip_id, address, patients)
        if not fresh:
            error = {"code": "ABDM-1056", "message": "This care contexts has been already linked"}
    network.links += fresh
    status = "Successfully Linked care context" if error is None else "Failed to link care context"
    answer: dict[str, object] = {
        "abhaAddress": address, "status": status, "response": {"requestId": asked.request_id},
    }  # fmt: skip
    network.call_back(ON_LINK, answer | ({"error": error} if error else {}))


def _link_error(asked: Admitted, patients: list[dict[str, object]], claims: object) -> Error | None:
    if not isinstance(claims, dict):
        return {"code": "ABDM-1026", "message": "Invalid Link Token"}
    address, number = text_at(asked.body, "abhaAddress"), dig(asked.body, "abhaNumber")
    if address and address.lower() != str(claims["abhaAddress"]).lower():
        return {"code": "ABDM-1038", "message": "ABHA address and Link token mismatch"}
    if number and str(number) != claims["abhaNumber"]:
        return {"code": "ABDM-1062", "message": "ABHA number mismatch with Link token"}
    if claims["hipId"] != asked.hip_id:
        return {"code": "ABDM-1063", "message": "HIP Id mismatch with Link token"}
    if any(dig(patient, "count") != len(objects_at(patient, "careContexts")) for patient in patients):
        return {"code": "ABDM-1037", "message": "Counter and Care context count mismatch"}
    return None


def _new_links(network: Network, hip_id: str, address: str, patients: list[dict[str, object]]) -> list[Link]:
    committed_at = network.clock() + timedelta(seconds=network.config.link_commit_s)
    known = {(link.hip_id, link.abha_address, link.reference, link.hi_type) for link in network.links}
    return [
        Link(hip_id, address, text_at(patient, "referenceNumber"), reference, text_at(patient, "hiType"), committed_at)
        for patient in patients
        for reference in (text_at(context, "referenceNumber") for context in objects_at(patient, "careContexts"))
        if (hip_id, address, reference, text_at(patient, "hiType")) not in known
    ]


def _notify(network: Network, asked: Admitted) -> None:
    notice = dig(asked.body, "notification")
    address = text_at(notice, "patient", "id").lower()
    patient_reference = text_at(notice, "careContext", "patientReference")
    reference = text_at(notice, "careContext", "careContextReference")
    now = network.clock()
    if text_at(notice, "hip", "id") != asked.hip_id:
        raise Refusal(400, "ABDM-1035", "Invalid HIP ID")
    link = next(
        (
            one
            for one in network.links
            if one.abha_address.lower() == address
            and (one.patient_reference, one.reference) == (patient_reference, reference)
            and one.committed_at <= now
        ),
        None,
    )
    if link is None:
        raise Refusal(400, "ABDM-1006", "No care context linked with given reference number")
    link.notices += 1
    response = {"requestId": asked.request_id}
    network.call_back(ON_NOTICE, {"acknowledgement": {"status": "SUCCESS"}, "error": None, "response": response})
    if network.config.pull_after_s >= 0:
        network.pulls.append((now + timedelta(seconds=network.config.pull_after_s), link))


def _data_routes(routes: APIRouter, network: Network) -> None:
    @routes.post("/consent/v3/request/hip/on-notify")
    async def consent_on_notify(request: Request) -> Response:
        asked = await door.admit(network, request)
        if not isinstance(dig(asked.body, "acknowledgement"), dict):
            raise Refusal(400, "ABDM-1006", "Bad Request, invalid request Body")
        _check_answered(network, asked)
        consent = network.consents.get(text_at(asked.body, "acknowledgement", "consentId"))
        if consent is None:
            raise Refusal(400, "ABDM-1112", "Invalid or already expired consent artefact id")
        consent.acknowledged += 1
        return _accepted()

    @routes.post("/data-flow/v3/health-information/hip/on-request")
    async def hi_on_request(request: Request) -> Response:
        asked = await door.admit(network, request)
        _answer_request(network, asked)
        return _accepted()

    @routes.post("/data-flow/v3/health-information/notify")
    async def hi_notify(request: Request) -> Response:
        asked = await door.admit(network, request)
        notice = dig(asked.body, "notification")
        transfer = network.transfers.get(text_at(notice, "transactionId"))
        if transfer is None or text_at(notice, "consentId") != transfer.consent_id:
            raise Refusal(400, "ABDM-1017", "Invalid TransactionId")
        status = text_at(notice, "statusNotification", "sessionStatus")
        if status not in {"TRANSFERRED", "FAILED"} or text_at(notice, "notifier", "type") != "HIP":
            raise Refusal(400, "ABDM-2406", "The status is invalid. Please follow the logical status flow.")
        transfer.notified = transfer.session_status = status
        return JSONResponse({"status": "Notification is Accepted"}, 202)


def _answer_request(network: Network, asked: Admitted) -> None:
    """Take the provider's yes or no to a request for records.

    Raises:
        Refusal: It answers nothing that was asked, or answers twice.
    """
    transaction_id = _check_answered(network, asked)
    transfer = network.transfers.get(transaction_id)
    if transfer is None:
        raise Refusal(400, "ABDM-1017", "Invalid TransactionId")
    if transfer.session_status != "REQUESTED":
        raise Refusal(400, "ABDM-1113", "Duplicate health information provider data flow response")
    error = dig(asked.body, "error")
    if error is not None:
        transfer.session_status, transfer.refusal = "FAILED", text_at(error, "code")
    elif text_at(asked.body, "hiRequest", "transactionId") != transaction_id:
        raise Refusal(400, "ABDM-1052", "Invalid TransactionId or response's requestId")
    elif text_at(asked.body, "hiRequest", "sessionStatus") != "ACKNOWLEDGED":
        raise Refusal(400, "ABDM-2406", "The status is invalid. Please follow the logical status flow.")
    else:
        transfer.session_status = "ACKNOWLEDGED"


def _check_answered(network: Network, asked: Admitted) -> str:
    """Return which transaction (or "") the answered callback was about.

    Raises:
        Refusal: 400 ABDM-1052, the answer names no callback of ours.
    """
    answered = text_at(asked.body, "response", "requestId")
    if answered not in network.callbacks:
        raise Refusal(400, "ABDM-1052", "Invalid TransactionId or response's requestId")
    return network.callbacks[answered].partition("#")[2]
