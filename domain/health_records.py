"""What leaves the lab for a patient's national health record: people, care contexts, consent, one diagnostic record.

Everything that names a patient is kept out of `repr`, so that a log line of one of these shows ids only.
Source: ABDM Developer Portal, catalogue 2026.09.16, M2 "Building a HIP"; NRCeS FHIR IG ndhm.in 6.5.0.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import date, datetime
from enum import StrEnum

from domain.errors import RuleError

ABHA_NUMBER_DIGITS = 14
_ABHA_ADDRESS = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.]{1,62}[a-zA-Z0-9]@(?:abdm|sbx)")
_REFERENCE = re.compile(r"[a-zA-Z0-9_\-@,. ()/:\\]{1,255}")
_DISPLAY = re.compile(r"""[a-zA-Z0-9_\-@,. "':|()/]{1,255}""")
_DECIMAL = re.compile(r"-?(?:0|[1-9][0-9]{0,17})(?:\.[0-9]{1,17})?")


class HiType(StrEnum):
    """Kinds of health information a lab issues, in the network's own spelling."""

    DIAGNOSTIC_REPORT = "DiagnosticReport"
    HEALTH_DOCUMENT_RECORD = "HealthDocumentRecord"
    INVOICE = "Invoice"


class ConsentStatus(StrEnum):
    """State of a consent artefact as the consent manager tells a provider."""

    GRANTED = "GRANTED"
    REVOKED = "REVOKED"
    EXPIRED = "EXPIRED"
    UNKNOWN = "UNKNOWN"
    """A word this software does not know; nothing is shared under it."""


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


class AnswerOutcome(StrEnum):
    """What an answer of the gateway means for the step that waits for it."""

    DONE = "done"
    ALREADY_DONE = "already_done"
    """An earlier attempt had succeeded."""
    NOT_LINKED_YET = "not_linked_yet"
    """The notice overtook its own link: repeat with a fresh request id after 5 s, 15 s, 60 s."""
    TRY_LATER = "try_later"
    SLOW_DOWN = "slow_down"
    BLOCKED = "blocked"
    """This patient may be tried again after 24 hours."""
    TOKEN_INVALID = "token_invalid"  # noqa: S105  a state, not a secret
    """The link token no longer fits; ask for a new one."""
    REFUSED = "refused"
    ONBOARDING = "onboarding"
    """The facility or client id is not set up at the gateway; only an operator can help."""


@dataclass(frozen=True)
class AbhaPatient:
    """A patient as the ABHA registry must know them for a demographic match.

    Attributes:
        abha_number: 14 digits without dashes, or "".
        abha_address: Such as `asha.k@abdm`, or "". At least one of the two is given.
        gender: `M`, `F` or `O`.
        year_of_birth: Four digits.
    """

    abha_number: str = field(repr=False)
    abha_address: str = field(repr=False)
    name: str = field(repr=False)
    gender: str
    year_of_birth: int = field(repr=False)

    def __post_init__(self) -> None:
        if self.abha_number and not is_abha_number(self.abha_number):
            raise RuleError("the ABHA number is not 14 digits", code="ABHA_NUMBER_INVALID")
        if self.abha_address and not is_abha_address(self.abha_address):
            raise RuleError("the ABHA address is malformed", code="ABHA_ADDRESS_INVALID")
        if not self.abha_number and not self.abha_address:
            raise RuleError("neither ABHA number nor ABHA address is known", code="ABHA_MISSING")
        if self.gender not in {"M", "F", "O"}:
            raise RuleError("the gender must be M, F or O", code="ABHA_GENDER_INVALID")


@dataclass(frozen=True)
class CareContext:
    """One linkable record: for a lab, one report.

    Attributes:
        patient_reference: Our patient number.
        patient_display: Shown to the patient before consent.
        reference: Our report number; unique in the facility, the same for every version of the report.
        display: Shown before consent: never a diagnosis or a test name.
    """

    patient_reference: str
    patient_display: str = field(repr=False)
    reference: str
    display: str
    hi_type: HiType = HiType.DIAGNOSTIC_REPORT

    def __post_init__(self) -> None:
        for text in (self.patient_reference, self.reference):
            if not _REFERENCE.fullmatch(text):
                raise RuleError("a care context reference has characters the network refuses", code="REFERENCE_INVALID")
        for text in (self.patient_display, self.display):
            if not _DISPLAY.fullmatch(text):
                raise RuleError("a care context display has characters the network refuses", code="DISPLAY_INVALID")


@dataclass(frozen=True)
class GatewayAnswer:
    """The gateway's later answer to one of our calls.

    Attributes:
        request_id: REQUEST-ID of the call it answers.
        code: The gateway's error code, or "".
        message: The gateway's words about an error, or "".
        link_token: The token asked for, or ""; a secret that lives six months.
    """

    request_id: str
    outcome: AnswerOutcome
    code: str = ""
    message: str = ""
    abha_address: str = field(default="", repr=False)
    link_token: str = field(default="", repr=False)


@dataclass(frozen=True)
class ConsentArtefact:
    """What a patient allowed, as the consent manager signed it.

    Only a granted artefact carries more than its id and status.

    Attributes:
        care_contexts: Pairs (patient reference, care context reference) that may be shared.
        date_from: Start of the period whose records may be shared; aware UTC.
        date_to: End of that period; aware UTC.
        data_erase_at: When the permission ends; aware UTC.
    """

    consent_id: str
    status: ConsentStatus
    hi_types: tuple[str, ...] = ()
    care_contexts: tuple[tuple[str, str], ...] = ()
    date_from: datetime | None = None
    date_to: datetime | None = None
    data_erase_at: datetime | None = None
    hiu_id: str = ""
    purpose_code: str = ""
    patient_abha_address: str = field(default="", repr=False)


@dataclass(frozen=True)
class HealthInfoRequest:
    """Somebody who holds a consent asks for the records.

    Attributes:
        data_push_url: Where to send them; chosen by the requester, so it is hostile until checked.
        hiu_public_key: Base64 of the requester's public key, in any of the encodings in use.
        hiu_nonce: Base64 of 32 random bytes.
        key_expiry: Aware UTC, or None where the requester gave none.
    """

    transaction_id: str
    consent_id: str
    date_from: datetime
    date_to: datetime
    data_push_url: str
    hiu_public_key: str
    hiu_nonce: str
    key_expiry: datetime | None


@dataclass(frozen=True)
class HealthInfoRefusal:
    """Why records are not sent, in the network's vocabulary."""

    code: str
    message: str


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


def is_abha_number(text: str) -> bool:
    """Tell whether `text` is 14 ASCII digits, the form the linking calls take."""
    return len(text) == ABHA_NUMBER_DIGITS and text.isascii() and text.isdigit()


def is_abha_address(text: str) -> bool:
    """Tell whether `text` has the form of an ABHA address (`name@abdm`, in the sandbox `name@sbx`)."""
    return _ABHA_ADDRESS.fullmatch(text) is not None


def has_abha_check_digit(number: str) -> bool:
    """Tell whether the 14 digits pass the Luhn check, which real numbers do.

    No official statement fixes the check digit: use it to warn at manual entry, never to refuse.
    """
    if not is_abha_number(number):
        return False
    total = 0
    for place, digit in enumerate(reversed(number)):
        doubled = int(digit) * (1 + place % 2)
        total += doubled - 9 if doubled > 9 else doubled  # noqa: PLR2004  the digit sum of Luhn
    return total % 10 == 0


def abha_number_of(text: str) -> str:
    """Return 14 digits from what a person typed or a card shows (`91-0000-0000-0000`).

    Raises:
        RuleError: It is not an ABHA number.
    """
    digits = text.replace("-", "").replace(" ", "")
    if not is_abha_number(digits):
        raise RuleError("the ABHA number is not 14 digits", code="ABHA_NUMBER_INVALID")
    return digits


def display_text(text: str, fallback: str) -> str:
    """Return `text` when the network accepts it as a display, else `fallback` (names in Indian scripts are refused)."""
    trimmed = " ".join(text.split())[:255]
    return trimmed if _DISPLAY.fullmatch(trimmed) else fallback


def is_decimal(text: str) -> bool:
    """Tell whether `text` is a plain decimal number that FHIR can carry digit by digit."""
    return _DECIMAL.fullmatch(text) is not None


def refusal_of(request: HealthInfoRequest, artefact: ConsentArtefact | None, now: datetime) -> HealthInfoRefusal | None:
    """Return why `request` must be refused, or None when the consent covers it.

    Asked again right before the push: a consent may be revoked in between.

    Source: ABDM error list of 21 Sep 2026, codes 1061 to 1063 and 1112.
    """
    if artefact is None or artefact.consent_id != request.consent_id:
        return HealthInfoRefusal("ABDM-1112", "Invalid or already expired consent artefact id")
    if artefact.status is ConsentStatus.EXPIRED or (artefact.data_erase_at and artefact.data_erase_at <= now):
        return HealthInfoRefusal("ABDM-1061", "Consent artefact expired")
    if artefact.status is not ConsentStatus.GRANTED:
        return HealthInfoRefusal("ABDM-1062", "Consent Not granted")
    if artefact.date_from is None or artefact.date_to is None or request.date_from > request.date_to:
        return HealthInfoRefusal("ABDM-1063", "Date Range given is invalid")
    if request.date_from < artefact.date_from or request.date_to > artefact.date_to:
        return HealthInfoRefusal("ABDM-1063", "Date Range given is invalid")
    if request.key_expiry is not None and request.key_expiry <= now:
        return HealthInfoRefusal("ABDM-1031", "Invalid request: the key has expired")
    return None
