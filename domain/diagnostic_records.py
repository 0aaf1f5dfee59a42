"""One issued laboratory report as a health record carries it: the facts a FHIR document bundle is built from.

Names, values and documents are kept out of `repr`, so that a log line of one of these shows ids only.
Source: NRCeS FHIR IG ndhm.in 6.5.0, DiagnosticReportRecord.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import date, datetime
from enum import StrEnum

_DECIMAL = re.compile(r"-?(?:0|[1-9][0-9]{0,17})(?:\.[0-9]{1,17})?")


class RecordStatus(StrEnum):
    """How final a diagnostic record is."""

    PARTIAL = "partial"
    """Some tests are still pending."""
    FINAL = "final"
    AMENDED = "amended"
    """A new version of a report that was issued before."""


class ObservationState(StrEnum):
    """How final one value is (FHIR observation-status)."""

    PRELIMINARY = "preliminary"
    FINAL = "final"
    AMENDED = "amended"
    CANCELLED = "cancelled"
    """Not measured; `value` says why."""


@dataclass(frozen=True)
class Coding:
    """One code of a terminology whose system the context fixes."""

    code: str
    display: str


@dataclass(frozen=True)
class RecordLab:
    """The laboratory that issues a record.

    Attributes:
        facility_id: Health Facility Registry id, 12 characters starting `IN`.
        namespace: `https` URL under which the lab's own numbers are unique, without a trailing slash.
    """

    name: str
    facility_id: str
    namespace: str
    phone: str = ""


@dataclass(frozen=True)
class RecordPatient:
    """The patient a record is about.

    Attributes:
        patient_no: The lab's own patient number.
        gender: `M`, `F`, `O` or `U`.
        born: Full date, or only the year where no more is known, or None.
        abha_number: 14 digits or "".
    """

    patient_no: str
    name: str = field(repr=False)
    gender: str
    born: date | int | None = field(default=None, repr=False)
    abha_number: str = field(default="", repr=False)
    abha_address: str = field(default="", repr=False)


@dataclass(frozen=True)
class RecordPractitioner:
    """The pathologist who answers for a record.

    Attributes:
        registration_no: Medical council registration number.
    """

    name: str
    registration_no: str


@dataclass(frozen=True)
class RecordSpecimen:
    """One tube; the word is FHIR's.

    Attributes:
        kind: SNOMED CT code, or None where only `kind_text` is known.
    """

    accession_no: str
    received_at: datetime
    collected_at: datetime | None = None
    kind: Coding | None = None
    kind_text: str = ""


@dataclass(frozen=True)
class RecordObservation:
    """One result.

    Attributes:
        name: The test's name on the report.
        loinc: LOINC code, or None where the catalogue has none.
        value: The exact text of the report: `9.80` stays `9.80`. Text results are text.
        comparator: `<`, `<=`, `>=`, `>` or "".
        unit: The unit as printed, or "".
        ucum: The unit's UCUM code, or "".
        low: Exact text of the lower reference limit, or "".
        high: Exact text of the upper reference limit, or "".
        reference_text: The reference range in words, or "".
        interpretation: HL7 v3 ObservationInterpretation code (`N`, `L`, `H`, `LL`, `HH`, `A`, `AA`, …) or "".
        measured_at: Aware; when the specimen's state is described, usually its collection.
        accession_no: Which specimen it was measured in, or "".
    """

    name: str
    value: str = field(repr=False)
    loinc: Coding | None = None
    comparator: str = ""
    unit: str = ""
    ucum: str = ""
    low: str = ""
    high: str = ""
    reference_text: str = ""
    interpretation: str = field(default="", repr=False)
    state: ObservationState = ObservationState.FINAL
    measured_at: datetime | None = None
    accession_no: str = ""


@dataclass(frozen=True)
class DiagnosticRecord:
    """One version of one issued laboratory report.

    Attributes:
        report_id: Our row id, stable over versions.
        report_no: The care context reference.
        version: 1 for the first issue.
        issued_at: Aware; when this version was released.
        section: SNOMED CT code of the kind of report (`4321000179101` Hematology report, …) or None.
        category: SNOMED CT code of the service (`708196005` Hematology service, …) or None.
        loinc: LOINC code of the whole report, or None.
        conclusion: The pathologist's remark, or "".
        pdf: The issued document, or b"".
    """

    report_id: str
    report_no: str
    version: int
    status: RecordStatus
    issued_at: datetime
    title: str
    lab: RecordLab
    patient: RecordPatient
    practitioner: RecordPractitioner
    specimens: tuple[RecordSpecimen, ...]
    observations: tuple[RecordObservation, ...]
    loinc: Coding | None = None
    section: Coding | None = None
    category: Coding | None = None
    conclusion: str = field(default="", repr=False)
    pdf: bytes = field(default=b"", repr=False)


def is_decimal(text: str) -> bool:
    """Tell whether `text` is a plain decimal number that FHIR can carry digit by digit."""
    return _DECIMAL.fullmatch(text) is not None
