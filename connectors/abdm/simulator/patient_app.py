"""The patient's own app on the network: consents to its own records, asks for them, receives and opens them.

It behaves as the observed apps do: some seconds after a provider's notice it creates a consent for purpose PATRQT,
then requests the records with key material of its own, and shows what arrives.
"""

from __future__ import annotations

import asyncio
import base64
import secrets
import uuid
from datetime import timedelta

from fastapi import APIRouter, HTTPException, Request
from fastapi.responses import JSONResponse, Response

from connectors.abdm import fhir_json
from connectors.abdm.bundle import model_problems
from connectors.abdm.cipher import NONCE_BYTES, OwnKey, decrypt
from connectors.abdm.profile_rules import problems_of
from connectors.abdm.simulator import door
from connectors.abdm.simulator.door import Refusal, dig, objects_at, text_at
from connectors.abdm.simulator.network import (
    PUSH_LIMIT,
    Consent,
    Link,
    Network,
    ReceivedRecord,
    Transfer,
    stamp,
)
from connectors.simulation import json_object
from domain.errors import MessageError

ON_CONSENT = "/api/v3/consent/request/hip/notify"
ON_REQUEST = "/api/v3/hip/health-information/request"
HIU_ID = "IN2810099999"
MAX_PUSH_BYTES = 16 * 1024 * 1024
MAX_ENTRIES = 100


def pull_due(network: Network) -> None:
    """Do what the app does by itself by now: consent after a notice, request after a consent."""
    now = network.clock()
    due = [link for at, link in network.pulls if at <= now]
    network.pulls = [(at, link) for at, link in network.pulls if at > now]
    for link in due:
        pull(network, link)
    for transfer in network.transfers.values():
        if not transfer.sent and transfer.due <= now:
            _request(network, transfer)


def pull(network: Network, link: Link) -> Consent:
    """Create a consent for one linked record, tell the provider, and plan the request for it."""
    now = network.clock()
    consent = Consent(
        consent_id=str(uuid.uuid4()),
        abha_address=link.abha_address,
        contexts=[(link.patient_reference, link.reference)],
        hi_type=link.hi_type,
        date_from=now - timedelta(days=365),
        date_to=now + timedelta(days=1),
        erase_at=now + timedelta(days=30),
    )
    network.consents[consent.consent_id] = consent
    tell_consent(network, consent)
    transaction_id = str(uuid.uuid4())
    nonce = secrets.token_bytes(NONCE_BYTES)
    network.transfers[transaction_id] = Transfer(
        transaction_id, consent.consent_id, OwnKey(nonce=nonce), now,
        now + timedelta(seconds=network.config.request_after_s),
    )  # fmt: skip
    return consent


def tell_consent(network: Network, consent: Consent) -> None:
    """Queue the notice about a consent; only a grant carries the artefact."""
    notification: dict[str, object] = {"status": consent.status, "consentId": consent.consent_id}
    if consent.status == "GRANTED":
        notification |= {"consentDetail": _artefact(network, consent), "signature": "c2ltdWxhdGVk"}
    network.call_back(ON_CONSENT, {"notification": notification | {"grantAcknowledgement": False}})


def _artefact(network: Network, consent: Consent) -> dict[str, object]:
    hip = {"id": network.config.hip_id, "name": "Simulated Lab", "type": "HIP"}
    identifier = {"value": "REG1", "type": "REGNO", "system": "https://www.mciindia.org"}
    return {
        "schemaVersion": "v3",
        "consentId": consent.consent_id,
        "createdAt": stamp(network.clock()),
        "patient": {"id": consent.abha_address},
        "careContexts": [
            {"patientReference": patient, "careContextReference": reference} for patient, reference in consent.contexts
        ],
        "purpose": {"text": "Self Requested", "code": "PATRQT", "refUri": "www.abdm.gov.in"},
        "hip": hip,
        "hiu": {"id": HIU_ID, "name": "Simulated patient app", "type": "HIU"},
        "consentManager": {"id": network.config.cm_id},
        "requester": {"name": consent.abha_address, "identifier": identifier},
        "hiTypes": [consent.hi_type],
        "permission": {
            "accessMode": "VIEW",
            "dateRange": {"from": stamp(consent.date_from), "to": stamp(consent.date_to)},
            "dataEraseAt": stamp(consent.erase_at),
            "frequency": {"unit": "HOUR", "value": 1, "repeats": 0},
        },
    }


def _request(network: Network, transfer: Transfer) -> None:
    """Queue the request for the records of a consent."""
    quirks, consent = network.quirks, network.consents[transfer.consent_id]
    transfer.sent, transfer.requested_at = True, network.clock()
    date_from = consent.date_from - timedelta(days=365 if quirks.hiu_asks_too_much else 0)
    own_url = f"{network.config.public_url.rstrip('/')}/hiu/data-push/{transfer.transaction_id}"
    nonce = transfer.own.nonce
    if quirks.hiu_nonce_bytes != NONCE_BYTES:
        nonce = base64.b64encode(secrets.token_bytes(quirks.hiu_nonce_bytes)).decode()
    expiry = stamp(transfer.requested_at + timedelta(hours=2))
    public_key = {
        "expiry": expiry,
        "parameters": "Curve25519/32byte random key",
        "keyValue": transfer.own.public_key(quirks.hiu_key),
    }
    request_id = network.call_back(
        ON_REQUEST,
        {
            "requestId": "",
            "timestamp": "",
            "transactionId": transfer.transaction_id,
            "hiRequest": {
                "consent": {"id": consent.consent_id},
                "dateRange": {"from": stamp(date_from), "to": stamp(consent.date_to)},
                "dataPushUrl": quirks.push_url or own_url,
                "keyMaterial": {
                    "cryptoAlg": "ECDH",
                    "curve": "Curve25519",
                    "dhPublicKey": public_key,
                    "nonce": nonce,
                },
            },
        },
    )
    network.callbacks[request_id] += f"#{transfer.transaction_id}"
    if quirks.revoke_before_push:
        revoke(network, consent)


def revoke(network: Network, consent: Consent) -> None:
    """Take a consent back and tell the provider."""
    consent.status = "REVOKED"
    tell_consent(network, consent)


def patient_app_routes(network: Network) -> APIRouter:
    """Return the push endpoint and the buttons of the app."""
    routes = APIRouter()

    @routes.post("/hiu/data-push/{transaction_id}")
    async def data_push(transaction_id: str, request: Request) -> Response:
        door.check_bearer(network, request)
        if network.quirks.hiu_status >= 300:
            return Response(status_code=network.quirks.hiu_status)
        body = json_object(await _push_body(request))
        transfer = network.transfers.get(transaction_id)
        if transfer is None or text_at(body, "transactionId") != transaction_id:
            raise Refusal(400, "ABDM-1017", "Invalid TransactionId")
        await _receive(network, transfer, body)
        return Response(status_code=network.quirks.hiu_status)

    @routes.post("/_sim/pull/{reference}")
    async def pull_now(reference: str) -> Response:
        link = next((one for one in network.links if one.reference == reference), None)
        if link is None:
            raise HTTPException(404, "no such linked record")
        return JSONResponse({"consent_id": pull(network, link).consent_id})

    @routes.post("/_sim/revoke/{consent_id}")
    async def revoke_now(consent_id: str) -> Response:
        consent = network.consents.get(consent_id)
        if consent is None:
            raise HTTPException(404, "no such consent")
        revoke(network, consent)
        return JSONResponse({"status": consent.status})

    return routes


async def _push_body(request: Request) -> bytes:
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_PUSH_BYTES:
            raise HTTPException(413, "too large")
    return bytes(body)


async def _receive(network: Network, transfer: Transfer, body: dict[str, object]) -> None:
    """Open every entry of a page and keep it.

    Raises:
        Refusal: The page is late, early, covered by no consent, or cannot be opened.
    """
    consent = network.consents[transfer.consent_id]
    transfer.pushes += 1
    if network.clock() - transfer.requested_at > PUSH_LIMIT:
        raise _failed(transfer, "pushed later than 20 minutes after the request")
    if transfer.session_status not in {"ACKNOWLEDGED", "TRANSFERRED"}:
        raise _failed(transfer, "pushed before the request was acknowledged")
    if consent.status != "GRANTED":
        raise _failed(transfer, "pushed under a consent that is not granted")
    entries = objects_at(body, "entries")
    if not 1 <= len(entries) <= MAX_ENTRIES or dig(body, "pageNumber") != 1 or dig(body, "pageCount") != 1:
        raise _failed(transfer, "the page is malformed")
    allowed = {reference for _, reference in consent.contexts}
    for item in entries:
        reference = text_at(item, "careContextReference")
        if reference not in allowed:
            raise _failed(transfer, "a record that the consent does not cover")
        record = await asyncio.to_thread(_opened, transfer, item, body)
        transfer.records = [one for one in transfer.records if one.care_context_reference != reference] + [record]


def _failed(transfer: Transfer, why: str) -> Refusal:
    transfer.failures.append(why)
    return Refusal(400, "ABDM-1031", why)


def _opened(transfer: Transfer, item: dict[str, object], body: dict[str, object]) -> ReceivedRecord:
    material = dig(body, "keyMaterial")
    if text_at(item, "media") != "application/fhir+json" or text_at(material, "curve") != "Curve25519":
        raise _failed(transfer, "unknown media type or curve")
    try:
        plain = decrypt(
            text_at(item, "content"),
            transfer.own,
            text_at(material, "dhPublicKey", "keyValue"),
            text_at(material, "nonce"),
        )
        bundle = fhir_json.loads(plain)
    except MessageError as error:
        raise _failed(transfer, error.code) from None
    if not isinstance(bundle, dict):
        raise _failed(transfer, "not a bundle")
    problems = [*model_problems(bundle), *problems_of(bundle)]
    return ReceivedRecord(text_at(item, "careContextReference"), problems, _results_of(bundle), len(plain), plain)


def _results_of(bundle: dict[str, object]) -> list[str]:
    """Return what the app shows: name and value of each result, digits exactly as sent."""
    lines = []
    for item in objects_at(bundle, "entry"):
        resource = dig(item, "resource")
        if text_at(resource, "resourceType") != "Observation":
            continue
        quantity = dig(resource, "valueQuantity")
        value = f"{text_at(quantity, 'comparator')}{dig(quantity, 'value')} {text_at(quantity, 'unit')}"
        lines.append(f"{text_at(resource, 'code', 'text')}: {value if quantity else text_at(resource, 'valueString')}")
    return lines
