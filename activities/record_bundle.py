"""Reads an issued report from PostgreSQL as the health record that is shared: the same digits as on paper.

Source: NRCeS FHIR IG ndhm.in 6.5.0, DiagnosticReportRecord, for what a record must hold.
"""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal

from sqlmodel.ext.asyncio.session import AsyncSession

from activities.report_content import ReportedTest, printed_result, reported_tests
from domain.catalogue import rounded
from domain.diagnostic_records import (
    Coding,
    DiagnosticRecord,
    RecordLab,
    RecordObservation,
    RecordPatient,
    RecordPractitioner,
    RecordSpecimen,
    RecordStatus,
)
from domain.enums import Sex
from domain.errors import RequestError
from domain.results import ResultFlag
from store.sharing import SharedReport
from store.tables.orders import Sample
from store.tables.organisation import Organisation, User
from store.tables.patients import Patient

GENDERS = {Sex.MALE: "M", Sex.FEMALE: "F", Sex.OTHER: "O", Sex.UNKNOWN: "U"}

_INTERPRETATIONS = {
    ResultFlag.NORMAL: "N",
    ResultFlag.LOW: "L",
    ResultFlag.HIGH: "H",
    ResultFlag.CRITICAL_LOW: "LL",
    ResultFlag.CRITICAL_HIGH: "HH",
    ResultFlag.ABNORMAL: "A",
    ResultFlag.NOT_APPLICABLE: "",
}
"""Source: HL7 Terminology, CodeSystem v3-ObservationInterpretation."""

_HAEMATOLOGY = "Haematology"
_HAEMATOLOGY_REPORT = Coding("4321000179101", "Hematology report")
_HAEMATOLOGY_SERVICE = Coding("708196005", "Hematology service")
_BLOOD = Coding("119297000", "Blood specimen")
"""SNOMED CT codes of the guide's own examples; other departments and specimens go by their names."""


async def diagnostic_record(
    session: AsyncSession, shared: SharedReport, *, facility_id: str, pdf: bytes = b""
) -> DiagnosticRecord:
    """Return a report version as a health record.

    Args:
        session: The transaction.
        shared: The report version in force.
        facility_id: Health Facility Registry id under which it is shared.
        pdf: The issued document.

    Raises:
        RequestError: The order has no authorised results any more.
    """
    tests = await reported_tests(session, shared.facts)
    if not tests:
        raise RequestError(
            "the report has no authorised results", code="RECORD_EMPTY", connector="abdm",
            action="Nothing is shared; look at the order.",
        )  # fmt: skip
    branch, report = shared.facts.branch, shared.report
    organisation = await session.get_one(Organisation, branch.organisation_id)
    signer = await session.get_one(User, report.signed_by)
    is_haematology = all(reported.test.department == _HAEMATOLOGY for reported in tests)
    return DiagnosticRecord(
        report_id=str(shared.facts.order.id),  # every version is the same record
        report_no=shared.facts.order.order_no,
        version=report.version,
        status=RecordStatus.FINAL if report.version == 1 else RecordStatus.AMENDED,
        issued_at=report.issued_at,
        title=_title(tests),
        lab=RecordLab(organisation.name, facility_id, f"https://facility.ndhm.gov.in/{facility_id}", branch.phone),
        patient=_patient(shared.patient),
        practitioner=RecordPractitioner(signer.full_name, signer.registration_no),
        specimens=_specimens(tests),
        observations=tuple(_observation(reported) for reported in tests),
        loinc=_panel_code(tests),
        section=_HAEMATOLOGY_REPORT if is_haematology else None,
        category=_HAEMATOLOGY_SERVICE if is_haematology else None,
        pdf=pdf,
    )


def _patient(patient: Patient) -> RecordPatient:
    return RecordPatient(
        patient_no=patient.patient_no,
        name=patient.name,
        gender=GENDERS[patient.sex],
        born=patient.birth_date.year if patient.is_birth_date_estimated else patient.birth_date,
        abha_number=patient.abha_number,
        abha_address=patient.abha_address,
    )


def _title(tests: Sequence[ReportedTest]) -> str:
    names = {reported.panel.name if reported.panel else reported.test.name for reported in tests}
    return names.pop() if len(names) == 1 else "Laboratory report"


def _panel_code(tests: Sequence[ReportedTest]) -> Coding | None:
    """Return the LOINC code of the one panel that the whole report is, or None."""
    panels = {reported.panel.id: reported.panel for reported in tests if reported.panel}
    if len(panels) != 1 or not all(reported.panel for reported in tests):
        return None
    (panel,) = panels.values()
    return Coding(panel.loinc, panel.name) if panel.loinc else None


def _specimens(tests: Sequence[ReportedTest]) -> tuple[RecordSpecimen, ...]:
    unique = {reported.sample.id: reported.sample for reported in tests}
    return tuple(_specimen(sample) for sample in unique.values())


def _specimen(sample: Sample) -> RecordSpecimen:
    return RecordSpecimen(
        accession_no=sample.accession_no,
        received_at=sample.received_at or sample.collected_at or sample.created_at,
        collected_at=sample.collected_at,
        kind=_BLOOD if "blood" in sample.specimen.casefold() else None,
        kind_text=sample.specimen,
    )


def _observation(reported: ReportedTest) -> RecordObservation:
    test, result = reported.test, reported.result
    decimals = test.decimals or 0
    return RecordObservation(
        name=test.name,
        value=printed_result(test, result).removeprefix(result.comparator).strip(),
        loinc=Coding(test.loinc, test.name) if test.loinc else None,
        comparator=result.comparator,
        unit=test.unit_display,
        ucum=test.unit,
        low=_limit(result.reference_low, decimals),
        high=_limit(result.reference_high, decimals),
        reference_text=result.reference_text,
        interpretation=_INTERPRETATIONS[ResultFlag(result.flag)],
        measured_at=reported.sample.collected_at or result.observed_at,
        accession_no=reported.sample.accession_no,
    )


def _limit(limit: Decimal | None, decimals: int) -> str:
    return "" if limit is None else f"{rounded(limit, decimals):f}"
