import base64
import json
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal

import pytest

from connectors.abdm import bundle, fhir_json
from connectors.abdm.profile_rules import problems_of
from domain.diagnostic_records import RecordObservation, RecordPatient, RecordPractitioner, RecordStatus
from domain.errors import RequestError
from tests.unit.connectors.abdm.sample import HAEMOGLOBIN, PDF, record


def _resources(rendered: bytes) -> dict[str, list[dict]]:
    found: dict[str, list[dict]] = {}
    for entry in fhir_json.loads(rendered)["entry"]:
        found.setdefault(entry["resource"]["resourceType"], []).append(entry["resource"])
    return found


@pytest.fixture(scope="module")
def rendered() -> bytes:
    return bundle.render_bundle(record())


@pytest.fixture(scope="module")
def resources(rendered) -> dict[str, list[dict]]:
    return _resources(rendered)


def test_it_is_valid_fhir_and_keeps_the_profile(rendered):
    parsed = fhir_json.loads(rendered)
    assert bundle.model_problems(parsed) == []
    assert problems_of(parsed) == []


def test_it_is_a_document_with_the_composition_first(rendered):
    parsed = fhir_json.loads(rendered)
    assert (parsed["resourceType"], parsed["type"]) == ("Bundle", "document")
    assert parsed["entry"][0]["resource"]["resourceType"] == "Composition"
    assert parsed["meta"]["security"][0]["code"] == "V"
    assert parsed["timestamp"] == "2026-11-20T11:45:33.000+05:30"


def test_digits_stay_as_reported(rendered, resources):
    assert b'"value":9.80,' in rendered
    assert b'"value":0.010,' in rendered
    assert b'"value":12.0,' in rendered
    quantity = resources["Observation"][0]["valueQuantity"]
    assert str(quantity["value"]) == "9.80"
    assert (quantity["unit"], quantity["code"], quantity["system"]) == ("g/dL", "g/dL", "http://unitsofmeasure.org")


def test_the_model_alone_would_lose_digits(rendered):
    from fhir.resources.R4B.bundle import Bundle

    dumped = Bundle.model_validate(fhir_json.loads(rendered)).model_dump_json()
    assert "9.80" not in dumped, "fhir.resources keeps digits now: the hand-written serialiser may go"


def test_values_by_kind(resources):
    _, crp, group, platelets, hindi, tsh = resources["Observation"]
    assert crp["valueQuantity"]["comparator"] == "<"
    assert group["valueString"] == "O positive"
    assert platelets["dataAbsentReason"]["coding"][0]["code"] == "not-performed"
    assert platelets["dataAbsentReason"]["text"] == "Sample clotted"
    assert "valueString" not in platelets
    assert hindi["code"] == {"text": "हीमोग्लोबिन <b>&"}
    assert hindi["interpretation"] == [{"text": "unheard-of"}]
    assert hindi["referenceRange"] == [{"text": "see text"}]
    assert "code" not in tsh["valueQuantity"]
    assert tsh["referenceRange"] == [{"text": "0.40 - trace"}]


def test_a_comparator_with_text_stays_readable():
    odd = RecordObservation(name="Titre", value="1:80", comparator=">", unit="dilution")
    (found,) = _resources(bundle.render_bundle(record(observations=(odd,))))["Observation"]
    assert found["valueString"] == "> 1:80 dilution"


@pytest.mark.parametrize("value", ["1,23,000", "1e5", " 5", "٣", ".5", "5.", "00.5", "NaN", "-"])
def test_what_is_no_plain_number_is_sent_as_text(value):
    (found,) = _resources(bundle.render_bundle(record(observations=(replace(HAEMOGLOBIN, value=value),))))[
        "Observation"
    ]
    assert "valueQuantity" not in found


def test_interpretation_and_range(resources):
    found = resources["Observation"][0]
    assert found["interpretation"][0]["coding"][0] == {
        "system": "http://terminology.hl7.org/CodeSystem/v3-ObservationInterpretation",
        "code": "L",
        "display": "Low",
    }
    assert found["referenceRange"][0]["low"]["value"] == Decimal("12.0")


def test_the_patient_has_all_known_numbers(resources):
    (patient,) = resources["Patient"]
    values = {one["type"]["coding"][0]["code"]: one["value"] for one in patient["identifier"]}
    assert values == {"MR": "P-000123", "HIN": "91-0000-0000-0000", "ABHA": "asha.k@sbx"}
    assert (patient["gender"], patient["birthDate"]) == ("female", "1990-01-15")


@pytest.mark.parametrize(("born", "expected"), [(1990, "1990"), (None, None)])
def test_only_what_is_known_of_a_birth_is_sent(born, expected):
    (patient,) = _resources(bundle.render_bundle(record(patient=RecordPatient("P-1", "Ravi", "U", born))))["Patient"]
    assert patient.get("birthDate") == expected
    assert patient["gender"] == "unknown"


def test_specimens_and_who_was_measured_in_which(resources):
    blood, serum = resources["Specimen"]
    assert blood["collection"] == {"collectedDateTime": "2026-11-20T09:15:00.000+05:30"}
    assert "collection" not in serum
    assert serum["receivedTime"]
    assert resources["Observation"][0]["specimen"]["reference"] == f"urn:uuid:{blood['id']}"
    assert "specimen" not in resources["Observation"][1]


def test_the_report_holds_all_results_and_the_document_once(rendered, resources):
    (report,) = resources["DiagnosticReport"]
    assert len(report["result"]) == 6
    assert base64.b64decode(report["presentedForm"][0]["data"]) == PDF
    assert rendered.count(base64.b64encode(PDF)) == 1
    assert report["conclusion"].startswith("Low haemoglobin")
    assert "DocumentReference" not in resources


@pytest.mark.parametrize(
    ("status", "report", "composition"),
    [
        (RecordStatus.FINAL, "final", "final"),
        (RecordStatus.AMENDED, "amended", "amended"),
        (RecordStatus.PARTIAL, "partial", "preliminary"),
    ],
)
def test_status_words(status, report, composition):
    found = _resources(bundle.render_bundle(record(status=status)))
    assert found["DiagnosticReport"][0]["status"] == report
    assert found["Composition"][0]["status"] == composition


def test_without_codes_remark_and_document_it_is_still_valid():
    bare = record(loinc=None, section=None, category=None, conclusion="", pdf=b"", specimens=())
    (report,) = _resources(bundle.render_bundle(bare))["DiagnosticReport"]
    assert report["code"] == {"text": "Complete blood count"}
    assert report["conclusion"] == "See results."
    assert not {"presentedForm", "category", "specimen"} & set(report)


def test_the_same_version_gives_the_same_bytes_and_another_version_another_identity(rendered):
    assert bundle.render_bundle(record()) == rendered
    second = fhir_json.loads(bundle.render_bundle(record(version=2, status=RecordStatus.AMENDED)))
    first = fhir_json.loads(rendered)
    assert second["identifier"] != first["identifier"]
    assert second["meta"]["versionId"] == "2"
    assert not {entry["fullUrl"] for entry in first["entry"]} & {entry["fullUrl"] for entry in second["entry"]}


def test_narratives_are_escaped_and_name_nobody(rendered):
    odd = json.loads(bundle.render_bundle(record(report_no="R<b>1", observations=(HAEMOGLOBIN,))))
    assert all("<b>" not in entry["resource"]["text"]["div"] for entry in odd["entry"])
    for entry in json.loads(rendered)["entry"]:
        assert "Asha" not in entry["resource"]["text"]["div"]


@pytest.mark.parametrize(
    ("changes", "place"),
    [
        ({"observations": ()}, "result"),
        ({"pdf": b"not a pdf"}, "presentedForm"),
        ({"practitioner": RecordPractitioner("", "")}, "Practitioner"),
        ({"title": ""}, "title"),
        ({"patient": RecordPatient("", "Asha", "F")}, "identifier"),
    ],
)
def test_an_incomplete_record_says_what_is_missing(changes, place):
    with pytest.raises(RequestError) as caught:
        bundle.render_bundle(record(**changes))
    assert place in str(caught.value)
    assert "Asha" not in str(caught.value)
    assert caught.value.context == {"report_id": "0193-77aa"}


def test_a_record_that_no_receiver_takes_is_not_sent():
    with pytest.raises(RequestError) as caught:
        bundle.render_bundle(record(pdf=b"%PDF-1.4" + bytes(4 * 1024 * 1024)))
    assert caught.value.code == "FHIR_BUNDLE_TOO_LARGE"


def test_a_one_megabyte_document_passes():
    assert len(bundle.render_bundle(record(pdf=b"%PDF-1.4" + bytes(1024 * 1024)))) > 1_300_000


def test_no_patient_in_a_repr():
    shown = repr(record(issued_at=datetime(2026, 11, 20, tzinfo=UTC)))
    for word in ("Asha", "9.80", "91000000000000", "asha.k"):
        assert word not in shown


def test_warm_up_builds_a_bundle():
    bundle.warm_up()
