"""The FHIR resources of a laboratory report, one function each, as plain dictionaries with exact decimals.

Source: NRCeS FHIR IG ndhm.in 6.5.0 (FHIR 4.0.1), profiles DiagnosticReportLab, Observation, Specimen, Patient,
Practitioner and Organization.
"""

from __future__ import annotations

import base64
import html
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal

from domain.clock import IST
from domain.diagnostic_records import (
    Coding,
    DiagnosticRecord,
    ObservationState,
    RecordObservation,
    RecordSpecimen,
    RecordStatus,
    is_decimal,
)

Json = dict[str, object]

PROFILE = "https://nrces.in/ndhm/fhir/r4/StructureDefinition/"
SNOMED = "http://snomed.info/sct"
LOINC = "http://loinc.org"
UCUM = "http://unitsofmeasure.org"
V2_IDENTIFIER = "http://terminology.hl7.org/CodeSystem/v2-0203"
NDHM_IDENTIFIER = "https://nrces.in/ndhm/fhir/r4/CodeSystem/ndhm-identifier-type-code"
INTERPRETATION = "http://terminology.hl7.org/CodeSystem/v3-ObservationInterpretation"

_INTERPRETATIONS = {
    "N": "Normal", "L": "Low", "H": "High", "LL": "Critical low", "HH": "Critical high", "A": "Abnormal",
    "AA": "Critical abnormal", "POS": "Positive", "NEG": "Negative", "IND": "Indeterminate", "S": "Susceptible",
    "I": "Intermediate", "R": "Resistant", "<": "Off scale low", ">": "Off scale high",
}  # fmt: skip
"""Source: HL7 Terminology, CodeSystem v3-ObservationInterpretation."""

_GENDERS = {"M": "male", "F": "female", "O": "other"}
_REPORT_STATUS = {
    RecordStatus.PARTIAL: "partial",
    RecordStatus.FINAL: "final",
    RecordStatus.AMENDED: "amended",
}
_COMPOSITION_STATUS = _REPORT_STATUS | {RecordStatus.PARTIAL: "preliminary"}
_NO_REMARK = "See results."
"""The profile demands a conclusion; this one says nothing the pathologist did not say."""


@dataclass(frozen=True)
class Entry:
    """One resource with the address the others refer to it by."""

    full_url: str
    resource: Json


def when(moment: datetime) -> str:
    """Return an instant in IST with milliseconds, as FHIR writes it."""
    return moment.astimezone(IST).isoformat(timespec="milliseconds")


def identity(record: DiagnosticRecord, kind: str) -> str:
    """Return the UUID of one resource of one version: the same record always gives the same bundle."""
    return str(uuid.uuid5(uuid.NAMESPACE_URL, f"{record.lab.namespace}/{record.report_id}/{record.version}/{kind}"))


def reference(record: DiagnosticRecord, kind: str, display: str) -> Json:
    """Return a reference to a resource of the same bundle."""
    return without_empty({"reference": f"urn:uuid:{identity(record, kind)}", "display": display})


def entry(
    record: DiagnosticRecord, kind: str, profile: str, resource_type: str, content: Mapping[str, object]
) -> Entry:
    """Return a resource with what all have: id, profile and a narrative that names no patient."""
    name = identity(record, kind)
    words = html.escape(f"{resource_type} of laboratory report {record.report_no}, version {record.version}")
    resource: Json = {
        "resourceType": resource_type,
        "id": name,
        "meta": {
            "versionId": str(record.version),
            "lastUpdated": when(record.issued_at),
            "profile": [PROFILE + profile],
        },
        "text": {"status": "generated", "div": f'<div xmlns="http://www.w3.org/1999/xhtml">{words}</div>'},
    }
    return Entry(f"urn:uuid:{name}", resource | without_empty(content))


def without_empty(content: Mapping[str, object]) -> Json:
    """Return `content` without keys that say nothing: FHIR forbids empty strings, lists and objects."""
    return {key: value for key, value in content.items() if value not in (None, "", [], {})}


def coded(system: str, code: Coding | None, text: str = "") -> Json:
    """Return a CodeableConcept; without a code only its text."""
    coding = [{"system": system, "code": code.code, "display": code.display}] if code else []
    return without_empty({"coding": coding, "text": text})


def _identifier(system: str, code: Coding, value: str, namespace: str = "") -> Json:
    return without_empty({"type": coded(system, code), "system": namespace, "value": value})


def composition(record: DiagnosticRecord) -> Entry:
    """Return the document's first resource: whose, by whom, and the one section that points at the report."""
    title = record.title
    section = without_empty(
        {
            "title": title,
            "code": coded(SNOMED, record.section),
            "entry": [reference(record, "report", title) | {"type": "DiagnosticReport"}],
        }
    )
    return entry(
        record, "composition", "DiagnosticReportRecord", "Composition",
        {
            "identifier": {
                "system": f"{record.lab.namespace}/composition",
                "value": f"{record.report_no}-{record.version}",
            },
            "status": _COMPOSITION_STATUS[record.status],
            "type": coded(SNOMED, Coding("721981007", "Diagnostic studies report"), "Diagnostic Report - Lab"),
            "subject": reference(record, "patient", record.patient.name),
            "date": when(record.issued_at),
            "author": [reference(record, "practitioner", record.practitioner.name)],
            "title": title,
            "custodian": reference(record, "lab", record.lab.name),
            "section": [section],
        },
    )  # fmt: skip


def patient(record: DiagnosticRecord) -> Entry:
    """Return the patient with the lab's number and the ABHA identifiers that are known."""
    who = record.patient
    mrn = Coding("MR", "Medical record number")
    identifiers = [_identifier(V2_IDENTIFIER, mrn, who.patient_no, f"{record.lab.namespace}/patient")]
    if who.abha_number:
        digits = who.abha_number
        dashed = f"{digits[:2]}-{digits[2:6]}-{digits[6:10]}-{digits[10:]}"
        health_id = Coding("HIN", "Health ID issued by NDHM")
        identifiers.append(_identifier(NDHM_IDENTIFIER, health_id, dashed, "https://healthid.ndhm.gov.in"))
    if who.abha_address:
        abha = Coding("ABHA", "Ayushman Bharat Health Account (ABHA) ID")
        identifiers.append(_identifier(NDHM_IDENTIFIER, abha, who.abha_address))
    born = who.born.isoformat() if isinstance(who.born, date) else f"{who.born:04d}" if who.born else ""
    return entry(
        record, "patient", "Patient", "Patient",
        {
            "identifier": identifiers,
            "name": [{"text": who.name}],
            "gender": _GENDERS.get(who.gender, "unknown"),
            "birthDate": born,
        },
    )  # fmt: skip


def practitioner(record: DiagnosticRecord) -> Entry:
    """Return the pathologist with the council registration number."""
    who = record.practitioner
    licence = Coding("MD", "Medical License number")
    return entry(
        record, "practitioner", "Practitioner", "Practitioner",
        {
            "identifier": [_identifier(V2_IDENTIFIER, licence, who.registration_no, "https://doctor.ndhm.gov.in")],
            "name": [{"text": who.name}],
        },
    )  # fmt: skip


def organization(record: DiagnosticRecord) -> Entry:
    """Return the laboratory with its facility id."""
    number = Coding("PRN", "Provider number")
    facility = _identifier(V2_IDENTIFIER, number, record.lab.facility_id, "https://facility.ndhm.gov.in")
    phone = [{"system": "phone", "value": record.lab.phone, "use": "work"}] if record.lab.phone else []
    return entry(
        record, "lab", "Organization", "Organization",
        {"identifier": [facility], "name": record.lab.name, "telecom": phone},
    )  # fmt: skip


def specimen_kind(accession_no: str) -> str:
    """Return the name under which a specimen is referred to."""
    return f"specimen/{accession_no}"


def specimen(record: DiagnosticRecord, tube: RecordSpecimen) -> Entry:
    """Return one tube; `collection` appears only with its time, which the profile then demands."""
    collected = {"collectedDateTime": when(tube.collected_at)} if tube.collected_at else {}
    return entry(
        record, specimen_kind(tube.accession_no), "Specimen", "Specimen",
        {
            "identifier": [{"system": f"{record.lab.namespace}/accession", "value": tube.accession_no}],
            "status": "available",
            "type": coded(SNOMED, tube.kind, tube.kind_text),
            "subject": reference(record, "patient", record.patient.name),
            "receivedTime": when(tube.received_at),
            "collection": collected,
        },
    )  # fmt: skip


def _quantity(digits: str, result: RecordObservation) -> Json:
    unit = {"unit": result.unit or result.ucum}
    code = {"system": UCUM, "code": result.ucum} if result.ucum else {}
    return without_empty({"value": Decimal(digits), **unit, **code})


def _value(result: RecordObservation) -> Json:
    """Return the value as a quantity with its exact digits, as text, or as the reason why there is none."""
    if result.state is ObservationState.CANCELLED:
        system = "http://terminology.hl7.org/CodeSystem/data-absent-reason"
        return {"dataAbsentReason": coded(system, Coding("not-performed", "Not Performed"), result.value)}
    if is_decimal(result.value):
        quantity = _quantity(result.value, result)
        return {"valueQuantity": quantity | without_empty({"comparator": result.comparator})}
    return {"valueString": f"{result.comparator} {result.value} {result.unit}".strip()}


def _reference_range(result: RecordObservation) -> Json:
    limits = {name: text for name, text in (("low", result.low), ("high", result.high)) if text}
    if all(is_decimal(text) for text in limits.values()):
        ranges: Json = {name: _quantity(text, result) for name, text in limits.items()}
        return without_empty(ranges | {"text": result.reference_text})
    return {"text": result.reference_text or " - ".join(limits.values())}


def _interpretation(code: str) -> Json:
    known = _INTERPRETATIONS.get(code)
    return coded(INTERPRETATION, Coding(code, known)) if known else without_empty({"text": code})


def observation_kind(index: int) -> str:
    """Return the name under which the result at `index` is referred to."""
    return f"observation/{index}"


def observation(record: DiagnosticRecord, index: int, result: RecordObservation) -> Entry:
    """Return one result. A code of the lab's own stays text: the profile allows LOINC and SNOMED codings only."""
    laboratory = Coding("laboratory", "Laboratory")
    tubes = {tube.accession_no for tube in record.specimens}
    tube = reference(record, specimen_kind(result.accession_no), "") if result.accession_no in tubes else {}
    limits, meaning = _reference_range(result), _interpretation(result.interpretation)
    return entry(
        record, observation_kind(index), "Observation", "Observation",
        {
            "status": result.state.value,
            "category": [coded("http://terminology.hl7.org/CodeSystem/observation-category", laboratory)],
            "code": coded(LOINC, result.loinc, result.name),
            "subject": reference(record, "patient", record.patient.name),
            "effectiveDateTime": when(result.measured_at) if result.measured_at else "",
            "issued": when(record.issued_at),
            "performer": [reference(record, "lab", record.lab.name)],
            **_value(result),
            "interpretation": [meaning] if meaning else [],
            "specimen": tube,
            "referenceRange": [limits] if limits else [],
        },
    )  # fmt: skip


def report(record: DiagnosticRecord) -> Entry:
    """Return the report that holds the results together; the issued PDF is inside it, once."""
    document = (
        [
            {
                "contentType": "application/pdf",
                "data": base64.b64encode(record.pdf).decode("ascii"),
                "title": record.title,
            }
        ]
        if record.pdf
        else []
    )
    category = coded(SNOMED, record.category)
    return entry(
        record, "report", "DiagnosticReportLab", "DiagnosticReport",
        {
            "identifier": [{"system": f"{record.lab.namespace}/report", "value": record.report_no}],
            "status": _REPORT_STATUS[record.status],
            "category": [category] if category else [],
            "code": coded(LOINC, record.loinc, record.title),
            "subject": reference(record, "patient", record.patient.name),
            "issued": when(record.issued_at),
            "performer": [reference(record, "lab", record.lab.name)],
            "resultsInterpreter": [reference(record, "practitioner", record.practitioner.name)],
            "specimen": [reference(record, specimen_kind(tube.accession_no), "") for tube in record.specimens],
            "result": [
                reference(record, observation_kind(index), result.name)
                for index, result in enumerate(record.observations)
            ],
            "conclusion": record.conclusion or _NO_REMARK,
            "presentedForm": document,
        },
    )  # fmt: skip
