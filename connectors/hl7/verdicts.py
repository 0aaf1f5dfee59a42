"""What a device says of work it was sent: MSA for the message, ORC-1 for each test.

Source: IHE LAW, LAB-28 (ORL^O34: OK, UA, CR, UC); HL7 2.5.1, tables 0008 and 0119; Mindray BS manual v5 (ACK^Q03),
read in specs.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Final

from connectors.hl7.codec import Hl7Message, Segment
from domain.device_orders import DownloadResult

_REFUSALS: Final = frozenset({"UA", "UC", "UD", "UF", "UH", "UM", "UN", "UR", "UX", "DE", "OC"})
"""ORC-1: unable to accept, to cancel, …; data error; order cancelled by the one who was to do it."""
_LONGEST_CONDITION = 4
_AGREED = frozenset({"AA", "CA"})
_FINAL_REFUSALS = frozenset({"AR", "CR"})


@dataclass(frozen=True)
class Verdict:
    """One answer.

    Attributes:
        control_id: MSA-2: our message.
        is_commit: It only says that the message arrived; the answer proper comes later.
        result: What became of the work; None where the device asks to try again.
        note: For people; codes and counts, nothing of a patient's.
    """

    control_id: str
    is_commit: bool
    result: DownloadResult | None
    note: str = ""


def read_verdict(message: Hl7Message) -> Verdict | None:
    """Return what an acknowledgement or order response says, or None where the message is neither."""
    answers = [segment for segment in message.segments if segment.name == "MSA"]
    if not answers:
        return None
    code, control_id = answers[0].value(1).strip().upper(), answers[0].value(2).strip()
    refused = Counter(letters for letters in _controls(message) if letters in _REFUSALS)
    if refused:
        total = sum(1 for segment in message.segments if segment.name == "ORC")
        kinds = ", ".join(sorted(refused))
        note = f"{sum(refused.values())} of {total} refused: {kinds}{_condition(message)}"
        return Verdict(control_id, is_commit=False, result=DownloadResult.REFUSED, note=note)
    if code in _AGREED:
        return Verdict(control_id, is_commit=code == "CA", result=DownloadResult.ACCEPTED)
    note = f"answered {code or 'nothing'}{_condition(message)}" if code.isalpha() or not code else "not understood"
    result = DownloadResult.REFUSED if code in _FINAL_REFUSALS else None
    return Verdict(control_id, is_commit=False, result=result, note=note[:80])


def _controls(message: Hl7Message) -> list[str]:
    return [segment.value(1).strip().upper() for segment in message.segments if segment.name == "ORC"]


def _condition(message: Hl7Message) -> str:
    """Return the error number of ERR-3, or of MSA-6 in older versions; never the device's own words."""
    for segment in message.segments:
        number = _error_number(segment)
        if number:
            return f", condition {number}"
    return ""


def _error_number(segment: Segment) -> str:
    field = {"ERR": 3, "MSA": 6}.get(segment.name)
    text = segment.value(field, 1).strip() if field else ""
    return text if text.isascii() and text.isdigit() and len(text) <= _LONGEST_CONDITION and text != "0" else ""
