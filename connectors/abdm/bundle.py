"""A laboratory report as the FHIR document bundle that ABDM calls DiagnosticReportRecord.

The bundle is built as plain dictionaries, checked against the FHIR model and the national profile's own rules, and
written with exact decimals; the model itself is never serialised, because it drops trailing zeros.
Everything here is CPU work of up to a second on first use: call it in a thread or process pool, never in the event
loop, and `warm_up` once when a worker starts.
Source: NRCeS FHIR IG ndhm.in 6.5.0, profiles DocumentBundle and DiagnosticReportRecord.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

from pydantic import ValidationError

from connectors.abdm import fhir_json, resources
from connectors.abdm.profile_rules import problems_of
from connectors.abdm.resources import Json
from domain.diagnostic_records import (
    DiagnosticRecord,
    RecordLab,
    RecordObservation,
    RecordPatient,
    RecordPractitioner,
    RecordStatus,
)
from domain.errors import RequestError

MAX_BUNDLE_BYTES = 5 * 1024 * 1024
"""Above this other providers switch to links, which receivers rightly refuse. Source: ProjectEKA HIP (2021)."""


def render_bundle(record: DiagnosticRecord) -> bytes:
    """Return the record as a checked bundle in UTF-8 JSON; the same record always gives the same bytes.

    Raises:
        RequestError: The record lacks something the profile demands, or is larger than 5 MiB.
    """
    bundle = build_bundle(record)
    found = [*model_problems(bundle), *problems_of(bundle)]
    if found:
        raise RequestError(
            f"the report cannot become a health record: {', '.join(found[:5])}", code="FHIR_BUNDLE_INVALID",
            action="Complete the catalogue entry or the report, then retry the step.",
            connector="abdm", operation="render_bundle", context={"report_id": record.report_id},
        )  # fmt: skip
    rendered = fhir_json.dumps(bundle).encode()
    if len(rendered) > MAX_BUNDLE_BYTES:
        raise RequestError(
            f"the health record exceeds {MAX_BUNDLE_BYTES} bytes", code="FHIR_BUNDLE_TOO_LARGE",
            action="Issue the report with a smaller PDF.",
            connector="abdm", operation="render_bundle", context={"report_id": record.report_id},
        )  # fmt: skip
    return rendered


def build_bundle(record: DiagnosticRecord) -> Json:
    """Return the record as a bundle, unchecked; numbers are Decimals."""
    bundle_id = resources.identity(record, "bundle")
    return {
        "resourceType": "Bundle",
        "id": bundle_id,
        "meta": {
            "versionId": str(record.version),
            "lastUpdated": resources.when(record.issued_at),
            "profile": [f"{resources.PROFILE}DocumentBundle"],
            "security": [
                {
                    "system": "http://terminology.hl7.org/CodeSystem/v3-Confidentiality",
                    "code": "V",
                    "display": "very restricted",
                }
            ],
        },
        "identifier": {"system": f"{record.lab.namespace}/bundle", "value": bundle_id},
        "type": "document",
        "timestamp": resources.when(record.issued_at),
        "entry": [{"fullUrl": entry.full_url, "resource": entry.resource} for entry in _entries(record)],
    }


def _entries(record: DiagnosticRecord) -> Iterator[resources.Entry]:
    yield resources.composition(record)
    yield resources.patient(record)
    yield resources.practitioner(record)
    yield resources.organization(record)
    for tube in record.specimens:
        yield resources.specimen(record, tube)
    for index, result in enumerate(record.observations):
        yield resources.observation(record, index, result)
    yield resources.report(record)


def model_problems(bundle: Json) -> list[str]:
    """Return the places where `bundle` is not valid FHIR R4, without what stands there.

    R4B is the model used: for every resource of these bundles its fields are those of R4.
    """
    # Imported late: it takes more than a second, and most processes never build a bundle.
    from fhir.resources.R4B.bundle import Bundle

    try:
        Bundle.model_validate(bundle)
    except ValidationError as error:
        return sorted({".".join(str(step) for step in problem["loc"]) or "bundle" for problem in error.errors()})
    return []


def warm_up() -> None:
    """Import and build the FHIR model classes, so that the first report of a worker does not pay for it."""
    render_bundle(
        DiagnosticRecord(
            report_id="warm-up",
            report_no="warm-up",
            version=1,
            status=RecordStatus.FINAL,
            issued_at=datetime(2000, 1, 1, tzinfo=UTC),
            title="Warm-up",
            lab=RecordLab("Warm-up", "IN0000000000", "https://lab.example"),
            patient=RecordPatient("0", "Warm-up", "U"),
            practitioner=RecordPractitioner("Warm-up", "0"),
            specimens=(),
            observations=(RecordObservation(name="Warm-up", value="1.0"),),
        )
    )
