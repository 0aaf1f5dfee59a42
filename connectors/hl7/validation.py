"""Checks and builds single messages with hl7apy: for the onboarding of a device and as a second opinion in tests.

hl7apy knows the standard's structures; it needs 65 to 90 ms for a message of 20 results and drops segments that do not
end in CR, so it stays off the path of live messages: segments are normalised first and counted afterwards, and
`validate_off_loop` runs in a thread.

Source: hl7apy 1.3.5 (MIT), HL7 2.1 to 2.8.2 schemas; behaviour measured, see specs.
"""

from __future__ import annotations

import asyncio
import re
from dataclasses import dataclass

from hl7apy.core import Message
from hl7apy.exceptions import HL7apyException
from hl7apy.parser import parse_message as parse_with_hl7apy

from connectors.hl7.codec import Hl7Message, escape, parse_message
from domain.errors import MessageError
from domain.observations import ObservationStatus, SpecimenReport

MAX_VALIDATED_BYTES = 64 << 10
MAX_VALIDATED_SEGMENTS = 250
_VALIDATION_SECONDS = 30.0
_BUILT_VERSION = "2.5.1"
_STATUS_LETTERS = {
    ObservationStatus.FINAL: "F",
    ObservationStatus.RERUN: "F",
    ObservationStatus.CORRECTED: "C",
    ObservationStatus.PRELIMINARY: "P",
    ObservationStatus.PENDING: "I",
    ObservationStatus.FAILED: "X",
    ObservationStatus.UNKNOWN: "R",
}
"""OBX-11 for each status; what is not understood is "not verified"."""


@dataclass(frozen=True)
class ValidationReport:
    """What hl7apy says of one message.

    Attributes:
        structure: Message type and version as read, e.g. `ORU^R01 2.3.1`.
        segments: Number of segments in the message.
        findings: Departures from the standard's structure, without field contents; empty for a conforming message.
    """

    structure: str
    segments: int
    findings: tuple[str, ...]

    @property
    def is_conforming(self) -> bool:
        """True when hl7apy has nothing to say."""
        return not self.findings


def validate_message(raw: bytes, charset: str = "auto") -> ValidationReport:
    """Compare one message with the structure its version defines.

    Raises:
        MessageError: No usable MSH, or more than 64 KiB or 250 segments.
    """
    if len(raw) > MAX_VALIDATED_BYTES:
        raise MessageError(f"only messages up to {MAX_VALIDATED_BYTES} bytes are validated", code="MESSAGE_TOO_LARGE")
    message = parse_message(raw, charset)
    if len(message.segments) > MAX_VALIDATED_SEGMENTS:
        raise MessageError(f"only up to {MAX_VALIDATED_SEGMENTS} segments are validated", code="MESSAGE_TOO_LARGE")
    header = message.header
    return ValidationReport(
        structure=f"{header.value(9, 1)}^{header.value(9, 2)} {header.value(12, 1)}",
        segments=len(message.segments),
        findings=_findings(message),
    )


async def validate_off_loop(raw: bytes, charset: str = "auto") -> ValidationReport:
    """Do `validate_message` in a thread, for at most 30 s.

    Raises:
        MessageError: As above.
        TimeoutError: It takes too long.
    """
    async with asyncio.timeout(_VALIDATION_SECONDS):
        return await asyncio.to_thread(validate_message, raw, charset)


def _findings(message: Hl7Message) -> tuple[str, ...]:
    text = "\r".join(segment.text for segment in message.segments) + "\r"
    try:
        parsed = parse_with_hl7apy(text, find_groups=True)
        report = _validate(parsed)
        kept = len(re.findall(r"(?m)^[A-Z][A-Z0-9]{2}", parsed.to_er7().replace("\r", "\n")))
    except HL7apyException as error:
        return (f"{type(error).__name__}: {_without_contents(str(error))}",)
    except (IndexError, KeyError, ValueError, AttributeError) as error:
        # hl7apy meets unknown message types and odd data types with whatever Python raises
        return (f"hl7apy cannot read it: {type(error).__name__}",)
    lost = (
        [f"{len(message.segments) - kept} segments are unknown to the version"] if kept < len(message.segments) else []
    )
    return (*lost, *report)


def _validate(parsed: Message) -> tuple[str, ...]:
    try:
        parsed.validate()
    except HL7apyException as error:
        return (_without_contents(str(error)),)
    return ()


def _without_contents(text: str) -> str:
    """Return hl7apy's words without what it quotes from fields: names of segments and fields stay."""
    return re.sub(r"(?:(?<=value )|(?<=Value ))\S.*$", "…", text)[:300]


def build_result_message(
    report: SpecimenReport, *, sender: str, message_id: str, sent_at: str, order_code: str = "LAB^Laboratory^L"
) -> bytes:
    """Write one specimen's values as a standard ORU^R01 2.5.1, e.g. to replay a reading into another system.

    Args:
        report: The values; texts are escaped.
        sender: For MSH-3.
        message_id: For MSH-10.
        sent_at: For MSH-7, `YYYYMMDDHHMMSS`.
        order_code: For OBR-4, ready components.
    """
    message = Message("ORU_R01", version=_BUILT_VERSION)
    message.msh.msh_3 = sender
    message.msh.msh_7 = sent_at
    message.msh.msh_9 = "ORU^R01^ORU_R01"
    message.msh.msh_10 = message_id
    message.msh.msh_11 = "P"
    message.msh.msh_12 = _BUILT_VERSION
    group = message.add_group("ORU_R01_PATIENT_RESULT").add_group("ORU_R01_ORDER_OBSERVATION")
    order = group.add_segment("OBR")
    order.obr_1 = "1"
    order.obr_3 = escape(report.specimen_id)
    order.obr_4 = order_code
    for number, row in enumerate(report.observations, start=1):
        segment = group.add_group("ORU_R01_OBSERVATION").add_segment("OBX")
        segment.obx_1 = str(number)
        segment.obx_2 = "ST"
        segment.obx_3 = escape(row.code)
        segment.obx_5 = escape(row.value)
        segment.obx_6 = escape(row.unit)
        segment.obx_7 = escape(row.reference_range)
        for flag in row.abnormal_flags:
            segment.add_field("OBX_8").value = escape(flag)
        segment.obx_11 = _STATUS_LETTERS[row.status]
    return str(message.to_er7()).encode("utf-8")
