"""Patients as hospital systems send them: ADT^A01, A04, A05, A08 (admit, register, update), A40 (merge), and QRY^A19.

What is read here goes to a person or a matching step; nothing of it names a patient to an analyzer.

Source: HL7 2.5.1, 3.3 (ADT), 3.4.2 (PID), 3.4.9 (MRG), 2.3.1, 3.2.19 (QRY^A19, ADR^A19); tables 0001, 0004, 0203,
read in specs.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Final

from connectors.hl7.codec import FieldValue, Hl7Message, Segment
from connectors.hl7.envelope import Heading, envelope_for, write_message
from connectors.hl7.replies import echo
from domain.device_profile import DELETE_VALUE, DeviceProfile
from domain.errors import MessageError

STANDARD: Final = DeviceProfile(protocol="hl7")
"""How a sender without peculiarities is read."""
_SEXES: Final = {"M": "male", "F": "female", "O": "other", "A": "other"}
_LOCATION_PARTS = 3


@dataclass(frozen=True)
class PatientNumber:
    """One number of a patient: CX-1, the authority that gave it (CX-4) and its kind (CX-5: `MR`, `PI`, …)."""

    number: str
    authority: str = ""
    kind: str = ""


@dataclass(frozen=True)
class PatientRecord:
    """What a message says of a patient.

    Attributes:
        numbers: PID-3, the first one first; PID-2 where an old sender leaves PID-3 empty.
        sex: `male`, `female`, `other` or `unknown`.
    """

    numbers: tuple[PatientNumber, ...]
    family_name: str = field(default="", repr=False)
    given_name: str = field(default="", repr=False)
    birth_date: date | None = field(default=None, repr=False)
    sex: str = "unknown"
    phone: str = field(default="", repr=False)
    address: str = field(default="", repr=False)


@dataclass(frozen=True)
class Visit:
    """Where the patient is: PV1-2 (`I`, `O`, `E`, …), PV1-3, PV1-19."""

    patient_class: str = ""
    location: str = ""
    number: str = ""


@dataclass(frozen=True)
class PatientMerge:
    """Two records that are one patient: `survivor` stays, the numbers in `retired` are no longer used."""

    survivor: PatientRecord
    retired: tuple[PatientNumber, ...]


@dataclass(frozen=True)
class PatientEvent:
    """One ADT message.

    Attributes:
        event: `A01`, `A04`, `A08`, `A40`, …
        happened_at: EVN-6, else EVN-2; aware UTC, or None.
        merges: For A40 and its like.
    """

    event: str
    message_id: str
    happened_at: datetime | None
    patient: PatientRecord | None
    visit: Visit
    merges: tuple[PatientMerge, ...] = ()


def read_patient_event(message: Hl7Message, profile: DeviceProfile = STANDARD) -> PatientEvent:
    """Read an ADT message.

    Raises:
        MessageError: It is none, or names no patient.
    """
    header = message.header
    if header.value(9, 1).strip().upper() != "ADT":
        raise MessageError("not an ADT message")
    patient: PatientRecord | None = None
    current: PatientRecord | None = None
    merges: list[PatientMerge] = []
    for segment in message.segments:
        if segment.name == "PID":
            current = read_patient(segment, profile)
            patient = patient or current
        elif segment.name == "MRG" and current is not None:
            merges.append(PatientMerge(current, read_numbers(segment, 1) or read_numbers(segment, 4)))
    if patient is None:
        raise MessageError("an ADT message without PID")
    recorded = first_segment(message, "EVN")
    when = (recorded.value(6, 1) or recorded.value(2, 1)) if recorded else ""
    return PatientEvent(
        event=header.value(9, 2).strip().upper() or (recorded.value(1).strip().upper() if recorded else ""),
        message_id=header.value(10).strip(),
        happened_at=profile.instant(when),
        patient=patient,
        visit=read_visit(message),
        merges=tuple(merges),
    )


def first_segment(message: Hl7Message, name: str) -> Segment | None:
    """Return the first segment of that name, or None."""
    return next((segment for segment in message.segments if segment.name == name), None)


def read_patient(pid: Segment, profile: DeviceProfile = STANDARD) -> PatientRecord:
    """Read a PID segment."""
    born = profile.instant(pid.value(7, 1)[: len("YYYYMMDD")] + "1200")  # noon: the day is the same in UTC
    street = (pid.value(11, number) for number in (1, 2, 3, 4, 5))
    return PatientRecord(
        numbers=read_numbers(pid, 3) or read_numbers(pid, 2),
        family_name=_text(pid.value(5, 1, 1)),
        given_name=" ".join(part for part in (_text(pid.value(5, 2)), _text(pid.value(5, 3))) if part),
        birth_date=born.date() if born else None,
        sex=_SEXES.get(pid.value(8, 1).strip().upper()[:1], "unknown"),
        phone=_text(pid.value(13, 1) or pid.value(13, 12)),
        address=", ".join(part for part in map(_text, street) if part),
    )


def read_numbers(segment: Segment, field_number: int) -> tuple[PatientNumber, ...]:
    """Read a repeatable CX field."""
    found = zip(
        segment.values(field_number, 1),
        segment.values(field_number, 4, 1),
        segment.values(field_number, 5),
        strict=True,
    )
    return tuple(
        PatientNumber(_text(number), _text(authority), _text(kind))
        for number, authority, kind in found
        if _text(number)
    )


def read_visit(message: Hl7Message) -> Visit:
    """Read PV1; a message without one has an empty visit."""
    visit = first_segment(message, "PV1")
    if visit is None:
        return Visit()
    parts = [_text(visit.value(3, number)) for number in range(1, _LOCATION_PARTS + 1)]
    return Visit(
        patient_class=_text(visit.value(2, 1)),
        location=" ".join(part for part in parts if part),
        number=_text(visit.value(19, 1)),
    )


def asked_patients(message: Hl7Message) -> tuple[str, ...]:
    """Return the numbers a QRY^A19 asks for (QRD-8); empty where the message is none."""
    query = first_segment(message, "QRD")
    if query is None or message.header.value(9, 2).strip().upper() != "A19":
        return ()
    return tuple(text for text in map(_text, query.values(8, 1)) if text)


def patient_answer(
    message: Hl7Message, patients: Sequence[PatientRecord] | None, control_id: str, moment: datetime
) -> bytes:
    """Return ADR^A19 for a QRY^A19.

    Args:
        message: The query.
        patients: Those found; None where they cannot be looked up now, which is answered AE.
        control_id: For MSH-10.
        moment: For MSH-7; aware.

    Raises:
        MessageError: The message asks nothing.
    """
    query = first_segment(message, "QRD")
    if query is None:
        raise MessageError("a patient query without QRD")
    code = "AE" if patients is None else "AA"
    status = "AE" if patients is None else "OK" if patients else "NF"
    body: list[tuple[str, Sequence[FieldValue]]] = [
        ("MSA", [code, message.header.value(10)]),
        ("QAK", [query.value(4), status]),
        echo(query),
    ]
    body += [patient_segment(number, patient) for number, patient in enumerate(patients or (), start=1)]
    heading = Heading(("ADR", "A19"), control_id)
    return write_message(envelope_for(STANDARD, message.header), heading, moment, body)


def patient_segment(number: int, patient: PatientRecord) -> tuple[str, Sequence[FieldValue]]:
    """Return PID `number` for a message of ours."""
    letters = {"male": "M", "female": "F", "other": "O"}
    return "PID", [
        str(number),
        "",
        _identifiers(patient.numbers),
        "",
        (patient.family_name, patient.given_name),
        "",
        f"{patient.birth_date:%Y%m%d}" if patient.birth_date else "",
        letters.get(patient.sex, "U"),
    ]


def _identifiers(numbers: Iterable[PatientNumber]) -> FieldValue:
    return [(entry.number, "", "", entry.authority, entry.kind) for entry in numbers]


def _text(value: str) -> str:
    text = value.strip()
    return "" if text == DELETE_VALUE else text
