"""ABDM against published vectors, official example bundles, recorded messages and hostile addresses."""

import base64
import json
import os
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from connectors.abdm import bundle, fhir_json, mapping
from connectors.abdm.cipher import KeyEncoding, OwnKey, encrypt_bundle
from connectors.abdm.errors import failure_of, outcome_of
from connectors.abdm.profile_rules import problems_of
from connectors.abdm.push import check_push_url, push_http
from connectors.abdm.webhook import CALLBACK_PATHS
from domain.errors import ConnectorError, RequestError
from domain.health_records import AnswerOutcome
from tests.contract.abdm.cases import SETTINGS

DATA = Path(os.environ.get("LABSETU_CORPUS", Path(__file__).parents[2] / ".." / "shared" / "data"))
ABDM, SECURITY = DATA / "abdm", DATA / "security" / "hostile_inputs.json"
VECTORS = ABDM / "crypto" / "fidelius_vectors.json"

pytestmark = [
    pytest.mark.corpus,
    pytest.mark.skipif(
        not (VECTORS.exists() and SECURITY.exists()), reason="no ABDM vectors or hostile inputs under LABSETU_CORPUS"
    ),
]

N = 2**252 + 0x14DEF9DEA2F79CD65812631A5CF5D3ED


def _read(path: Path):
    return json.loads(path.read_bytes()) if path.exists() else {}


def _vectors() -> list[dict]:
    found = _read(VECTORS)
    return [found["published_vector"], *found["derived_edge_vectors"]] if found else []


def _key(side: dict) -> OwnKey:
    """Return a foreign key pair: up to sign and multiples of the order its scalar can be clamped."""
    scalar = int.from_bytes(base64.b64decode(side["privateKey"]), "big")
    for sign in (scalar, -scalar):
        for multiple in range(3, 10):
            candidate = sign + multiple * N
            if 2**254 <= candidate < 2**255 and candidate % 8 == 0:
                private = X25519PrivateKey.from_private_bytes(candidate.to_bytes(32, "little"))
                return OwnKey(private, base64.b64decode(side["nonce"]))
    raise AssertionError("no clamped scalar")


@pytest.mark.parametrize("vector", _vectors(), ids=lambda one: one.get("name", "published"))
@pytest.mark.parametrize("encoding", ["publicKey", "x509PublicKey"])
def test_vectors_both_ways(vector, encoding):
    sender, requester = _key(vector["sender"]), _key(vector["requester"])
    plain = vector["plaintext"].encode()
    sealed = sender.encrypt(plain, vector["requester"][encoding], vector["requester"]["nonce"])
    assert base64.b64encode(sealed).decode() == vector["encryptedData"]
    opened = requester.decrypt(
        base64.b64decode(vector["encryptedData"]), vector["sender"][encoding], vector["sender"]["nonce"]
    )
    assert opened == plain
    expected = vector.get("shared_secret_x_hex") or vector["intermediate"]["shared_secret_x_hex"]
    assert sender.shared_secret(vector["requester"][encoding]).hex() == expected


@pytest.mark.parametrize("vector", _vectors(), ids=lambda one: one.get("name", "published"))
def test_the_checksum_is_the_recorded_one(vector):
    if "plaintext_md5_hex" not in vector:
        pytest.skip("the published vector has no checksum")
    peer = OwnKey()
    assert (
        encrypt_bundle(vector["plaintext"].encode(), peer.public_key(), peer.nonce).checksum
        == vector["plaintext_md5_hex"]
    )


def test_the_key_form_is_the_recorded_one():
    prefix = _read(VECTORS)["x509_spki_prefix_hex"]
    assert base64.b64decode(OwnKey().public_key(KeyEncoding.X509)).hex().startswith(prefix)


@pytest.mark.parametrize("file", ["minimal/min_lab.json", "examples/Bundle-DiagnosticReport-Lab-example-03.json"])
def test_official_and_minimal_report_bundles_keep_the_rules(file):
    parsed = fhir_json.loads((ABDM / "fhir" / file).read_bytes())
    assert bundle.model_problems(parsed) == []
    assert problems_of(parsed) == []


@pytest.mark.parametrize("file", ["minimal/min_invoice.json", "minimal/min_healthdocument.json"])
def test_other_records_are_not_taken_for_reports(file):
    assert problems_of(fhir_json.loads((ABDM / "fhir" / file).read_bytes()))


def test_our_bundle_has_what_the_profile_digest_demands():
    """Every element that a profile requires without condition stands in our bundle."""
    from tests.unit.connectors.abdm.sample import record

    digest = _read(ABDM / "fhir" / "profile_digest.json")
    parsed = fhir_json.loads(bundle.render_bundle(record()))
    profiles = {
        "Composition": "DiagnosticReportRecord", "DiagnosticReport": "DiagnosticReportLab",
        "Observation": "Observation",
        "Specimen": "Specimen", "Patient": "Patient", "Practitioner": "Practitioner", "Organization": "Organization",
    }  # fmt: skip
    missing = []
    for resource in [parsed, *(entry["resource"] for entry in parsed["entry"])]:
        name = profiles.get(resource["resourceType"], "DocumentBundle")
        for element in digest[name]["elements"]:
            path = element["path"].split(".")[1:]
            if element["min"] == 0 or "optional_parent" in element or "[x]" in element["path"]:
                continue
            missing += [element["id"] for place in _at([resource], path[:-1]) if not place.get(path[-1])]
    assert missing == []


def _at(places: list[dict], path: list[str]) -> list[dict]:
    for step in path:
        found = [place.get(step) for place in places]
        places = [
            one for item in found for one in (item if isinstance(item, list) else [item]) if isinstance(one, dict)
        ]
    return places


@pytest.mark.parametrize("url", _read(SECURITY).get("ssrf_urls_must_be_refused", []))
async def test_hostile_addresses_are_refused(url):
    http = push_http(SETTINGS)
    try:
        with pytest.raises((RequestError, ConnectorError)) as caught:
            await http.send(
                http.client.build_request("POST", check_push_url(url)), operation="push", safe_to_repeat=True
            )
    finally:
        await http.client.aclose()
    assert caught.value.code in {"PUSH_URL_REFUSED", "NOT_CONNECTED"}


def _messages() -> dict[str, dict]:
    return {one["key"]: one for one in _read(ABDM / "messages" / "v3_messages.json").get("messages", [])}


@pytest.mark.parametrize(
    ("key", "read"),
    [
        ("m2.cb.on_generate_token", mapping.answer_from),
        ("m2.cb.on_carecontext", mapping.answer_from),
        ("m2.cb.context_on_notify", mapping.answer_from),
        ("m2.cb.consent_hip_notify", mapping.consent_from),
        ("m2.cb.hi_request", mapping.health_info_request_from),
    ],
)
def test_recorded_callbacks_are_read_at_their_paths(key, read):
    message = _messages()[key]
    assert message["path"].removeprefix("{bridge}") in CALLBACK_PATHS
    found = read(json.dumps(message["body"]).encode())
    assert getattr(found, "outcome", AnswerOutcome.DONE) is AnswerOutcome.DONE


def test_every_listed_error_has_a_meaning():
    listed = _read(ABDM / "messages" / "error_codes.json")
    for group in ("m2_m3", "m1_and_api_gateway"):
        for one in listed[group]:
            failure = failure_of(one["code"], one["message"])
            assert failure.code == one["code"].strip(" :")
            assert outcome_of(failure) is not AnswerOutcome.DONE
