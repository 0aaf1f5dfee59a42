"""Everything that is printed on a laboratory report, as one immutable value.

The printed page is a pure function of `ReportContent`: the same content gives the same bytes. Times are aware UTC here
and Indian Standard Time on paper; results, units and intervals are the texts to be printed, decided before.
Source: ISO 15189:2022, 7.4.1.6 a to m and 7.4.1.7 (report content), 7.4.1.8 (amended reports), specs.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from domain.results import ResultFlag

MAX_LINES = 1000
MAX_TEXT_CHARS = 500
MAX_COMMENT_CHARS = 10_000
MAX_COMMENTS = 50
MAX_URL_CHARS = 300


class ReportStatus(StrEnum):
    """How final the report is."""

    PRELIMINARY = "preliminary"
    FINAL = "final"
    AMENDED = "amended"


class ReportLanguage(StrEnum):
    """Language of headings beside English; results, numbers and dates are always in English with Latin digits."""

    ENGLISH = "en"
    HINDI = "hi"


@dataclass(frozen=True)
class LabHeader:
    """The issuing laboratory.

    Attributes:
        address: Lines of the address.
        contact: Telephones, e-mail and web site as printed.
        registration: Clinical establishment registration, or "".
        accreditation: Accreditation text with certificate number, or ""; only where every line is in its scope.
    """

    name: str
    address: tuple[str, ...]
    contact: str = ""
    registration: str = ""
    accreditation: str = ""


@dataclass(frozen=True)
class ReportPatient:
    """Whose report it is.

    Attributes:
        age: As printed, at collection: `34 years`, `12 days`.
        sex: As printed.
    """

    name: str
    patient_no: str
    age: str
    sex: str


@dataclass(frozen=True)
class ReportSpecimen:
    """One primary sample.

    Attributes:
        type: `Serum`; with the site where it matters.
        remark: Quality that may compromise results (haemolysed), or "".
    """

    type: str
    accession_no: str
    collected_at: datetime
    received_at: datetime | None = None
    remark: str = ""


@dataclass(frozen=True)
class ReportLine:
    """One result.

    Attributes:
        test_name: In English.
        method: Examination method, or "".
        loinc: LOINC code, or "".
        result: As printed (`rules.flags.printed_value`).
        reference: Reference interval or decision limit as printed, or "".
        comments: Printed under the line, among them who was called about a critical result and when.
        is_accredited: Within the scope of the accreditation in the header.
        is_research: Part of research or development, without performance claims.
        performed_by: Name of the referral laboratory, or "" for this one.
    """

    test_name: str
    result: str
    unit: str = ""
    flag: ResultFlag = ResultFlag.NOT_APPLICABLE
    reference: str = ""
    method: str = ""
    loinc: str = ""
    comments: tuple[str, ...] = ()
    is_preliminary: bool = False
    is_research: bool = False
    is_accredited: bool = False
    performed_by: str = ""


@dataclass(frozen=True)
class ReportSection:
    """Lines that belong together.

    Attributes:
        department: Heading; printed once for sections in a row of the same department.
        title: Panel name, or "".
        specimen: Specimen type of the lines.
        comments: Interpretation printed under the section.
    """

    department: str
    lines: tuple[ReportLine, ...]
    title: str = ""
    specimen: str = ""
    comments: tuple[str, ...] = ()


@dataclass(frozen=True)
class Signatory:
    """A person who reviewed the results or authorised their release.

    Attributes:
        role: What the signature means: `Authorised by`, `Technically verified by`.
        registration_no: State medical council registration, or "".
    """

    name: str
    qualification: str
    role: str
    signed_at: datetime
    registration_no: str = ""


@dataclass(frozen=True)
class ReportChange:
    """One revised value of an amended report."""

    test_name: str
    old_result: str
    new_result: str


@dataclass(frozen=True)
class Amendment:
    """What an amended report replaces, and why."""

    replaces_version: int
    replaces_issued_at: datetime
    reason: str
    changes: tuple[ReportChange, ...]


@dataclass(frozen=True)
class ReportContent:
    """One version of one report.

    Attributes:
        reported_at: Time of issue; also the creation date of the document.
        rejected_specimens: Samples that were not examined, each with its reason.
        verification_url: Opens the public check page; the QR code holds exactly this.
        auto_verified: Rule set that released results without a person, or "".
        amendment: Exactly when the status is AMENDED.
    """

    lab: LabHeader
    patient: ReportPatient
    order_no: str
    report_no: str
    version: int
    status: ReportStatus
    specimens: tuple[ReportSpecimen, ...]
    sections: tuple[ReportSection, ...]
    signatories: tuple[Signatory, ...]
    reported_at: datetime
    verification_url: str
    referring_doctor: str = "Self"
    notes: tuple[str, ...] = ()
    rejected_specimens: tuple[str, ...] = ()
    auto_verified: str = ""
    amendment: Amendment | None = None
    language: ReportLanguage = ReportLanguage.ENGLISH

    @property
    def lines(self) -> tuple[ReportLine, ...]:
        """All lines, in the order printed."""
        return tuple(line for section in self.sections for line in section.lines)


def faults_of(content: ReportContent) -> list[str]:
    """Return why `content` may not be issued, in words fit for a person; empty when it may."""
    return [*_identity_faults(content), *_status_faults(content), *_time_faults(content), *_size_faults(content)]


def _identity_faults(content: ReportContent) -> list[str]:
    needed = {
        "laboratory name": content.lab.name,
        "laboratory address": "".join(content.lab.address),
        "patient name": content.patient.name,
        "patient number": content.patient.patient_no,
        "order number": content.order_no,
        "report number": content.report_no,
        "requester": content.referring_doctor,
    }
    found = [f"the {name} is missing" for name, value in needed.items() if not value.strip()]
    if not content.lines:
        found.append("there is no result on it")
    if any(not line.test_name.strip() or not line.result.strip() for line in content.lines):
        found.append("a line has no test name or no result")
    if not content.specimens:
        found.append("no specimen is named")
    if not content.verification_url.startswith(("https://", "http://")):
        found.append("the verification address is not a web address")
    return found


def _status_faults(content: ReportContent) -> list[str]:
    found: list[str] = []
    is_preliminary = content.status is ReportStatus.PRELIMINARY
    if not is_preliminary and not content.signatories and not content.auto_verified:
        found.append("nobody has authorised it")
    if not is_preliminary and any(line.is_preliminary for line in content.lines):
        found.append("a final report has preliminary lines")
    if (content.status is ReportStatus.AMENDED) != (content.amendment is not None):
        found.append("an amended report, and only one, says what was amended")
    if content.version < 1 or (content.amendment and content.version <= content.amendment.replaces_version):
        found.append("the version does not follow the one it replaces")
    # NABL 133 (symbol): since 2022 accredited and other results may not share a report that carries the accreditation.
    if content.lab.accreditation and not all(line.is_accredited for line in content.lines):
        found.append("results outside the accredited scope share a report that claims accreditation")
    return found


def _time_faults(content: ReportContent) -> list[str]:
    moments = [content.reported_at, *(person.signed_at for person in content.signatories)]
    for specimen in content.specimens:
        moments += [moment for moment in (specimen.collected_at, specimen.received_at) if moment]
    if content.amendment:
        moments.append(content.amendment.replaces_issued_at)
    if any(moment.tzinfo is None for moment in moments):
        return ["a time has no time zone"]
    found: list[str] = []
    for specimen in content.specimens:
        received = specimen.received_at or specimen.collected_at
        if not specimen.collected_at <= received <= content.reported_at:
            found.append("a specimen was not collected, received and reported in this order")
    if any(person.signed_at > content.reported_at for person in content.signatories):
        found.append("a signature is later than the report")
    return found


def _size_faults(content: ReportContent) -> list[str]:
    groups = [section.comments for section in content.sections] + [line.comments for line in content.lines]
    counted = [*groups, content.notes, content.rejected_specimens, content.lab.address, content.signatories]
    short, long = _short_texts(content), [*_long_texts(content), *(text for group in groups for text in group)]
    found: list[str] = []
    if len(content.lines) > MAX_LINES or len(content.specimens) > MAX_COMMENTS:
        found.append(f"it has more than {MAX_LINES} lines or {MAX_COMMENTS} specimens")
    if any(len(group) > MAX_COMMENTS for group in counted):
        found.append(f"a place has more than {MAX_COMMENTS} entries")
    if any(len(text) > MAX_TEXT_CHARS for text in short) or len(content.verification_url) > MAX_URL_CHARS:
        found.append(f"a field has more than {MAX_TEXT_CHARS} characters, or the address more than {MAX_URL_CHARS}")
    if any(len(text) > MAX_COMMENT_CHARS for text in long):
        found.append(f"a comment has more than {MAX_COMMENT_CHARS} characters")
    return found


def _short_texts(content: ReportContent) -> list[str]:
    patient, lab = content.patient, content.lab
    texts = [patient.name, patient.patient_no, patient.age, patient.sex, lab.name, *lab.address, lab.contact]
    texts += [lab.registration, lab.accreditation, content.order_no, content.report_no, content.referring_doctor]
    texts.append(content.auto_verified)
    for specimen in content.specimens:
        texts += [specimen.type, specimen.accession_no, specimen.remark]
    for line in content.lines:
        texts += [line.test_name, line.unit, line.reference, line.method, line.loinc, line.performed_by]
    for section in content.sections:
        texts += [section.department, section.title, section.specimen]
    for person in content.signatories:
        texts += [person.name, person.qualification, person.role, person.registration_no]
    return texts


def _long_texts(content: ReportContent) -> list[str]:
    texts = [*content.notes, *content.rejected_specimens, *(line.result for line in content.lines)]
    if content.amendment:
        texts.append(content.amendment.reason)
        for change in content.amendment.changes:
            texts += [change.test_name, change.old_result, change.new_result]
    return texts
