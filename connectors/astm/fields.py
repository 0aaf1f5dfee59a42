"""The names of the fields of every record type, so that people can read a record beside its bytes.

Source: CLSI LIS02-A2, 6 to 14 (field lists of H, P, O, R, C, Q, L, M, S), read in specs.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from connectors.astm.codec import Record

RECORD_NAMES: Final = {
    "H": "Header",
    "P": "Patient",
    "O": "Order",
    "R": "Result",
    "C": "Comment",
    "Q": "Query",
    "L": "Terminator",
    "S": "Scientific",
    "M": "Manufacturer",
}
"""What each record type is called."""

LEVELS: Final = {"H": 0, "L": 0, "P": 1, "Q": 1, "S": 1, "O": 2, "R": 3}
"""Level of each record type; C and M belong to the record before them. Source: LIS02-A2, 5.2."""

FIELD_NAMES: Final[dict[str, tuple[str, ...]]] = {
    "H": (
        "Record type",
        "Delimiters",
        "Message control id",
        "Access password",
        "Sender name or id",
        "Sender address",
        "Reserved",
        "Sender telephone",
        "Sender characteristics",
        "Receiver id",
        "Comment or special instructions",
        "Processing id",
        "Version",
        "Date and time of message",
    ),
    "P": (
        "Record type",
        "Sequence number",
        "Practice-assigned patient id",
        "Laboratory-assigned patient id",
        "Patient id no. 3",
        "Patient name",
        "Mother's maiden name",
        "Birth date",
        "Sex",
        "Race or ethnic origin",
        "Address",
        "Reserved",
        "Telephone",
        "Attending physician",
        "Special field 1",
        "Special field 2",
        "Height",
        "Weight",
        "Known or suspected diagnosis",
        "Active medications",
        "Diet",
        "Practice field 1",
        "Practice field 2",
        "Admission and discharge dates",
        "Admission status",
        "Location",
        "Alternative diagnostic code",
        "Alternative diagnostic classification",
        "Religion",
        "Marital status",
        "Isolation status",
        "Language",
        "Hospital service",
        "Hospital institution",
        "Dosage category",
    ),
    "O": (
        "Record type",
        "Sequence number",
        "Specimen id",
        "Instrument specimen id",
        "Universal test id",
        "Priority",
        "Requested date and time",
        "Collected date and time",
        "Collection end time",
        "Collection volume",
        "Collector id",
        "Action code",
        "Danger code",
        "Relevant clinical information",
        "Specimen received date and time",
        "Specimen descriptor",
        "Ordering physician",
        "Physician's telephone",
        "User field 1",
        "User field 2",
        "Laboratory field 1",
        "Laboratory field 2",
        "Results reported or last modified",
        "Instrument charge",
        "Instrument section id",
        "Report type",
        "Reserved",
        "Location of specimen collection",
        "Nosocomial infection flag",
        "Specimen service",
        "Specimen institution",
    ),
    "R": (
        "Record type",
        "Sequence number",
        "Universal test id",
        "Value",
        "Units",
        "Reference ranges",
        "Abnormal flags",
        "Nature of abnormality testing",
        "Result status",
        "Date of change in norms or units",
        "Operator",
        "Test started",
        "Test completed",
        "Instrument id",
    ),
    "C": ("Record type", "Sequence number", "Comment source", "Comment text", "Comment type"),
    "Q": (
        "Record type",
        "Sequence number",
        "Starting range id",
        "Ending range id",
        "Universal test id",
        "Nature of request time limits",
        "Beginning of results",
        "End of results",
        "Requesting physician",
        "Physician's telephone",
        "User field 1",
        "User field 2",
        "Request information status",
    ),
    "L": ("Record type", "Sequence number", "Termination code"),
    "S": (
        "Record type",
        "Sequence number",
        "Analytical method",
        "Instrumentation",
        "Reagents",
        "Units of measure",
        "Quality control",
        "Specimen descriptor",
        "Reserved",
        "Container",
        "Specimen id",
        "Analyte",
        "Result",
        "Result units",
        "Collected date and time",
        "Result date and time",
        "Analytical preprocessing steps",
        "Patient diagnosis",
        "Patient birth date",
        "Patient sex",
        "Patient race",
    ),
    "M": ("Record type", "Sequence number"),
}
"""Names by record type; the first is that of field 1."""


@dataclass(frozen=True)
class NamedField:
    """One field of a record with its name.

    Attributes:
        number: From 1.
        name: What the standard calls it; `Field 17` beyond the standard's list.
        value: The field unescaped, repetitions and components with the delimiters they came with.
        repetitions: The components of every repetition, unescaped; empty for an empty field.
    """

    number: int
    name: str
    value: str = field(repr=False)
    repetitions: tuple[tuple[str, ...], ...] = field(repr=False)

    @property
    def components(self) -> tuple[str, ...]:
        """The components of the first repetition."""
        return self.repetitions[0] if self.repetitions else ()


def field_name(kind: str, number: int) -> str:
    """Return the name of field `number` of a record type; one the standard does not list is called by its number."""
    names = FIELD_NAMES.get(kind, ())
    if 0 < number <= len(names):
        return names[number - 1]
    return f"Manufacturer field {number}" if kind == "M" else f"Field {number}"


def named_fields(record: Record) -> list[NamedField]:
    """Return every field that was sent, empty ones included, in order.

    Raises:
        MessageError: A field repeats beyond the reader's bound.
    """
    return [
        NamedField(
            number=number,
            name=field_name(record.kind, number),
            value=record.text_of(number),
            repetitions=record.parts(number),
        )
        for number in range(1, record.field_count + 1)
    ]
