"""What an analyzer said, in the lab's words: the common result of reading ASTM and HL7 messages.

Specimens are known by the barcode on the tube. What a device says of the patient is only compared with the order of
that tube, and kept out of every repr.
"""

from __future__ import annotations

from dataclasses import dataclass, field
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
        patient_ids: What the device calls the patient, as far as it says so.
    """

    specimen_id: str
    observations: tuple[Observation, ...]
    is_control: bool = False
    control_name: str = ""
    comments: tuple[str, ...] = ()
    patient_ids: tuple[str, ...] = field(default=(), repr=False)


@dataclass(frozen=True)
class DeviceImage:
    """An image or histogram that came with results.

    Attributes:
        specimen_id: The barcode as the device sent it, stripped.
        code: What the device calls the image.
        media_type: `image/bmp`, `image/png`, …; `text/plain` for numbers of a histogram as the device wrote them.
        content: Decoded where the device named an encoding.
    """

    specimen_id: str
    code: str
    media_type: str
    content: bytes = field(repr=False)


@dataclass(frozen=True)
class InstrumentMessage:
    """One message from an analyzer, read.

    Attributes:
        message_id: The device's control id (MSH-10, H.3) or "": many devices send a constant.
        sender: Device name and version as it calls itself.
        sent_at: Aware UTC, or None.
        queried_specimens: For a QUERY, the barcodes asked for.
        skipped_rows: Result rows left out on purpose: images, raw signals, run modes.
        flags: What a reader should know about the reading itself, e.g. `charset_fallback`.
        images: What the rows that are images hold, in the order of the message.
    """

    kind: MessageKind
    message_id: str
    sender: str
    sent_at: datetime | None
    specimens: tuple[SpecimenReport, ...] = ()
    queried_specimens: tuple[str, ...] = ()
    skipped_rows: int = 0
    flags: tuple[str, ...] = ()
    images: tuple[DeviceImage, ...] = ()


@dataclass(frozen=True)
class ReceivedMessage:
    """The bytes of one message as they came off the wire, before anybody tried to understand them.

    Attributes:
        protocol: `astm`, `hl7`, `au` or `dimension`.
        transport: `tcp`, `serial`, `folder` or `http`.
        peer: `ip:port` of the sender; of a serial line its port, of a folder its path.
        local_port: The port it arrived on; 0 where we connected, or where there is none.
        raw: ASTM: the text of the accepted frames (records ended by CR), or the frame itself where it is broken.
            HL7: the bytes between the MLLP marks. May hold patient data, so it is not part of the repr.
        received_at: Aware UTC.
        framing_error: Why the bytes are not a well-formed message, or "".
        device: Code of the device whose own line they came on, or "" where it is known by its address only.
    """

    protocol: str
    transport: str
    peer: str
    local_port: int
    raw: bytes = field(repr=False)
    received_at: datetime
    framing_error: str = ""
    device: str = ""


@dataclass(frozen=True)
class StoreOutcome:
    """What became of a received message.

    Attributes:
        accepted: The bytes are durable. Nothing is acknowledged before.
        readable: They were also understood.
        note: Reason for people, without patient data; may be sent back to the device.
    """

    accepted: bool
    readable: bool = True
    note: str = ""
