"""Each fault seeded into a good bundle is found by the FHIR model or by the profile's own rules."""

import copy

import pytest

from connectors.abdm.bundle import build_bundle, model_problems
from connectors.abdm.profile_rules import problems_of
from connectors.abdm.resources import Json
from tests.unit.connectors.abdm.sample import record

DOCUMENT = {
    "resourceType": "DocumentReference",
    "id": "d",
    "status": "current",
    "content": [{"attachment": {"contentType": "application/pdf", "data": "JVBERi0xLjQ="}}],
}


def _good() -> Json:
    return copy.deepcopy(build_bundle(record()))


def _find(bundle, kind):
    return next(one["resource"] for one in bundle["entry"] if one["resource"]["resourceType"] == kind)


def _delete(kind, *path):
    def mutate(bundle):
        place = bundle if kind == "Bundle" else _find(bundle, kind)
        for step in path[:-1]:
            place = place[step]
        del place[path[-1]]

    return mutate


def _put(kind, *path_and_value):
    *path, value = path_and_value

    def mutate(bundle):
        place = bundle if kind == "Bundle" else _find(bundle, kind)
        for step in path[:-1]:
            place = place[step]
        place[path[-1]] = value

    return mutate


def _swap_first_two(bundle):
    bundle["entry"][0], bundle["entry"][1] = bundle["entry"][1], bundle["entry"][0]


def _second_section(bundle):
    section = _find(bundle, "Composition")["section"]
    section.append(copy.deepcopy(section[0]))


def _document_without_data(bundle):
    document = copy.deepcopy(DOCUMENT)
    del document["content"][0]["attachment"]["data"]
    document["content"][0]["attachment"]["url"] = "https://example.com/x.pdf"
    bundle["entry"].append({"fullUrl": "urn:uuid:d", "resource": document})


LOCAL = [{"system": "https://lab.example.in/tests", "code": "HB", "display": "Hb"}]
SNOMED_CODE = [{"system": "http://snomed.info/sct", "code": "26604007", "display": "Complete blood count"}]

FAULTS = {
    "no versionId": _delete("Bundle", "meta", "versionId"),
    "no timestamp": _delete("Bundle", "timestamp"),
    "no identifier.system": _delete("Bundle", "identifier", "system"),
    "type collection": _put("Bundle", "type", "collection"),
    "not a bundle": _put("Bundle", "resourceType", "Parameters"),
    "Composition not first": _swap_first_two,
    "wrong type system": _put("Composition", "type", "coding", 0, "system", "https://ndhm.gov.in/sct"),
    "no type display": _delete("Composition", "type", "coding", 0, "display"),
    "two type codings": lambda bundle: _find(bundle, "Composition")["type"]["coding"].append(SNOMED_CODE[0]),
    "two sections": _second_section,
    "section entry without type": _delete("Composition", "section", 0, "entry", 0, "type"),
    "Observation as section entry": _put("Composition", "section", 0, "entry", 0, "type", "Observation"),
    "author without reference": _delete("Composition", "author", 0, "reference"),
    "no title": _delete("Composition", "title"),
    "bogus status": _put("Composition", "status", "bogus"),
    "no resultsInterpreter": _delete("DiagnosticReport", "resultsInterpreter"),
    "no conclusion": _delete("DiagnosticReport", "conclusion"),
    "no result": _delete("DiagnosticReport", "result"),
    "SNOMED in report code": _put("DiagnosticReport", "code", "coding", SNOMED_CODE),
    "local category": _put("DiagnosticReport", "category", 0, "coding", LOCAL),
    "bogus report status": _put("DiagnosticReport", "status", "done"),
    "PDF that is none": _put("DiagnosticReport", "presentedForm", 0, "data", "aGVsbG8="),
    "presented form without data": _delete("DiagnosticReport", "presentedForm", 0, "data"),
    "local Observation system": _put("Observation", "code", "coding", LOCAL),
    "Observation code without display": _delete("Observation", "code", "coding", 0, "display"),
    "bogus Observation status": _put("Observation", "status", "bogus"),
    "Patient identifier without type": _delete("Patient", "identifier", 0, "type"),
    "Patient identifier without value": _delete("Patient", "identifier", 0, "value"),
    "identifier type without display": _delete("Patient", "identifier", 1, "type", "coding", 0, "display"),
    "no name.text": _delete("Patient", "name", 0, "text"),
    "bogus gender": _put("Patient", "gender", "W"),
    "Practitioner without name.text": _put("Practitioner", "name", [{"family": "X"}]),
    "Specimen without receivedTime": _delete("Specimen", "receivedTime"),
    "Specimen with collectedPeriod": _put(
        "Specimen", "collection", {"collectedPeriod": {"start": "2026-11-20T09:15:00+05:30"}}
    ),
    "bogus Specimen status": _put("Specimen", "status", "fresh"),
    "Organization without identifier.system": _delete("Organization", "identifier", 0, "system"),
    "Organization without name": _delete("Organization", "name"),
    "dangling reference": _put("DiagnosticReport", "result", 0, "reference", "urn:uuid:nobody"),
    "DocumentReference without data": _document_without_data,
    "entry without fullUrl": lambda bundle: bundle["entry"][2].pop("fullUrl"),
    "no entries": _put("Bundle", "entry", []),
    "unknown element": _put("Patient", "favouriteColour", "red"),
    "bad date": _put("Patient", "birthDate", "15-01-1990"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_every_seeded_fault_is_found(fault):
    bundle = _good()
    FAULTS[fault](bundle)
    assert model_problems(bundle) or problems_of(bundle)


def test_a_good_bundle_has_no_findings_also_with_a_document_reference():
    bundle = _good()
    bundle["entry"].append({"fullUrl": "urn:uuid:d", "resource": DOCUMENT})
    assert problems_of(bundle) == []


@pytest.mark.parametrize(
    "hostile",
    [
        {},
        {"entry": None},
        {"entry": [None, 1, "x", {"resource": None}, {"resource": []}]},
        {"entry": [{"resource": {"resourceType": "Patient", "identifier": "x", "name": [[]]}}]},
        {"entry": [{"fullUrl": 3, "resource": {"resourceType": ["Composition"], "section": {"entry": 4}}}]},
        {"entry": [{"resource": {"resourceType": "DocumentReference", "content": [{"attachment": 3}, None]}}]},
        {"entry": [{"resource": {"resourceType": "Observation", "code": {"coding": [{}, 3]}}}]},
        {"entry": [{"resource": {"resourceType": "Composition", "section": [{"entry": [{"type": "x"}, 3]}]}}]},
    ],
)
def test_nonsense_gives_findings_and_never_a_crash(hostile):
    assert problems_of(hostile)


def test_endless_nesting_ends():
    bundle = _good()
    deep: Json = {}
    for _ in range(500):
        deep = {"x": deep}
    _find(bundle, "Patient")["extension"] = deep
    assert any("nested too deeply" in place for place in problems_of(bundle))


def test_findings_name_places_not_contents():
    bundle = _good()
    _find(bundle, "Patient")["gender"] = "ZZPHI-secret"
    assert "ZZPHI" not in "".join(problems_of(bundle))
