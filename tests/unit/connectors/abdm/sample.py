"""One report with everything a bundle has to cope with."""

from datetime import UTC, date, datetime

from domain.diagnostic_records import (
    Coding,
    DiagnosticRecord,
    ObservationState,
    RecordLab,
    RecordObservation,
    RecordPatient,
    RecordPractitioner,
    RecordSpecimen,
    RecordStatus,
)

COLLECTED = datetime(2026, 11, 20, 3, 45, tzinfo=UTC)
RECEIVED = datetime(2026, 11, 20, 4, 10, tzinfo=UTC)
ISSUED = datetime(2026, 11, 20, 6, 15, 33, tzinfo=UTC)
PDF = b"%PDF-1.4\n1 0 obj<</Type/Catalog>>endobj\ntrailer<</Root 1 0 R>>\n%%EOF"

HAEMOGLOBIN = RecordObservation(
    name="Haemoglobin",
    value="9.80",
    loinc=Coding("718-7", "Hemoglobin [Mass/volume] in Blood"),
    unit="g/dL",
    ucum="g/dL",
    low="12.0",
    high="15.0",
    interpretation="L",
    measured_at=COLLECTED,
    accession_no="261120000017",
)
OBSERVATIONS = (
    HAEMOGLOBIN,
    RecordObservation(
        name="CRP", value="5.00", comparator="<", unit="mg/L", ucum="mg/L", high="5.00", interpretation="N"
    ),
    RecordObservation(name="Blood group", value="O positive"),
    RecordObservation(name="Platelets", value="Sample clotted", state=ObservationState.CANCELLED),
    RecordObservation(name="हीमोग्लोबिन <b>&", value="₹ 1 & 2", reference_text="see text", interpretation="unheard-of"),
    RecordObservation(name="TSH", value="0.010", unit="µIU/mL", low="0.40", high="trace"),
)


def record(**changes) -> DiagnosticRecord:
    """Return the sample, with some fields changed."""
    fields = {
        "report_id": "0193-77aa",
        "report_no": "RPT-2026-0001",
        "version": 1,
        "status": RecordStatus.FINAL,
        "issued_at": ISSUED,
        "title": "Complete blood count",
        "lab": RecordLab("Example Diagnostics", "IN2810000001", "https://lab.example.in", "+910000000001"),
        "patient": RecordPatient("P-000123", "Asha Kulkarni", "F", date(1990, 1, 15), "91000000000000", "asha.k@sbx"),
        "practitioner": RecordPractitioner("Dr. Example Pathologist", "MMC-2009-12345"),
        "specimens": (
            RecordSpecimen("261120000017", RECEIVED, COLLECTED, Coding("119297000", "Blood specimen")),
            RecordSpecimen("261120000025", RECEIVED, kind_text="Serum"),
        ),
        "observations": OBSERVATIONS,
        "loinc": Coding("58410-2", "CBC panel - Blood by Automated count"),
        "section": Coding("4321000179101", "Hematology report"),
        "category": Coding("708196005", "Hematology service"),
        "conclusion": "Low haemoglobin. Please correlate clinically.",
        "pdf": PDF,
    }
    return DiagnosticRecord(**(fields | changes))
