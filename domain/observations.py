"""What an analyzer said, in the lab's words: the common result of reading ASTM and HL7 messages.

Nothing here identifies a patient: specimens are known by the barcode on the tube.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


class ObservationStatus(StrEnum):
    """How final the analyzer calls its value."""

    FINAL = "final"
    PRELIMINARY = "preliminary"
    CORRECTED = "corrected"
    RERUN = "rerun"
    """A repeat measurement of the same specimen."""
    FAILED = "failed"
    """The analyzer could not measure; the value, if any, must not be used."""
    PENDING = "pending"
    """Announced, not measured yet."""
    UNKNOWN = "unknown"
    """A status this software does not know; held for a person."""


class MessageKind(StrEnum):
    """What a message from an analyzer is for."""

    RESULTS = "results"
    QUERY = "query"
    """The analyzer asks which tests to run."""
    ACKNOWLEDGEMENT = "acknowledgement"
    OTHER = "other"


@dataclass(frozen=True)
class Observation:
    """One measured value.

    Attributes:
        code: The device's own test code, exactly as sent and stripped of padding.
        value: The exact text of the value; never a parsed number.
        unit: The device's unit text, or "".
        reference_range: The device's range text, or "".
        abnormal_flags: The device's flags in the order sent (`H`, `LL`, `>`, …).
        comments: Free-text comments and instrument flags attached to this value.
        observed_at: Aware UTC, or None where the device sent none.
        replicate: The device's replicate or dilution index, or "".
        operator: The operator code the device sent, or "".
        value_type: The HL7 value type or ASTM kind (`NM`, `ST`, `CE`, …) or "".
    """

    code: str
    value: str
    unit: str = ""
    reference_range: str = ""
    abnormal_flags: tuple[str, ...] = ()
    status: ObservationStatus = ObservationStatus.FINAL
    observed_at: datetime | None = None
    replicate: str = ""
    operator: str = ""
    value_type: str = ""
    comments: tuple[str, ...] = ()


@dataclass(frozen=True)
class SpecimenReport:
    """All values of one specimen in one message.

    Attributes:
        specimen_id: The barcode text as the device sent it, stripped; may be "".
        is_control: True for quality-control and calibrator material: never a patient's result.
        control_name: Name or lot of the control, or "".
    """

    specimen_id: str
    observations: tuple[Observation, ...]
    is_control: bool = False
    control_name: str = ""
    comments: tuple[str, ...] = ()


@dataclass(frozen=True)
class InstrumentMessage:
    """One message from an analyzer, read.

    Attributes:
        message_id: The device's control id (MSH-10, H.3) or "": many devices send a constant.
        sender: Device name and version as it calls itself.
        sent_at: Aware UTC, or None.
        queried_specimens: For a QUERY, the barcodes asked for.
    """

    kind: MessageKind
    message_id: str
    sender: str
    sent_at: datetime | None
    specimens: tuple[SpecimenReport, ...] = ()
    queried_specimens: tuple[str, ...] = ()
