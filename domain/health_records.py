"""What leaves the lab for a patient's national health record: people, care contexts, consents and requests.

Everything that names a patient is kept out of `repr`, so that a log line of one of these shows ids only.
Source: ABDM Developer Portal, catalogue 2026.09.16, M2 "Building a HIP".
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from domain.errors import RuleError

ABHA_NUMBER_DIGITS = 14
_ABHA_ADDRESS = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.]{1,62}[a-zA-Z0-9]@(?:abdm|sbx)")
_REFERENCE = re.compile(r"[a-zA-Z0-9_\-@,. ()/:\\]{1,255}")
_DISPLAY = re.compile(r"""[a-zA-Z0-9_\-@,. "':|()/]{1,255}""")


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


class Acceptance(StrEnum):
    """What the gateway said at once to a call whose real answer comes later."""

    ACCEPTED = "accepted"
    ALREADY_KNOWN = "already_known"
    """It has this request, or its effect, already; the answer of the earlier attempt counts."""


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
    TOKEN_INVALID = "token_invalid"
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
    if not _covers(artefact, request):
        return HealthInfoRefusal("ABDM-1063", "Date Range given is invalid")
    if request.key_expiry is not None and request.key_expiry <= now:
        return HealthInfoRefusal("ABDM-1031", "Invalid request: the key has expired")
    return None


def _covers(artefact: ConsentArtefact, request: HealthInfoRequest) -> bool:
    if artefact.date_from is None or artefact.date_to is None:
        return False
    return artefact.date_from <= request.date_from <= request.date_to <= artefact.date_to
