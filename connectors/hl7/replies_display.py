"""The answer to QRY^Q02 of Mindray BS and Getein analyzers: QCK^Q02, then DSR^Q03 for each tube.

DSP lines 1 to 28 have fixed meanings (1 patient number, 3 name, 4 birth, 5 sex, 21 barcode, 23 collected, 24 urgent,
26 kind of specimen), the tests stand from line 29 on as `code^name^unit^range`. DSC-1 is not empty while more tubes
follow. All of them carry the control id of the query. Empty fields at the end are kept: Getein counts them. No work
is `QAK|SR|NF` without DSR.

Source: Mindray BS series host interface manual v5; Getein MAGICL field facts, read in specs.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from connectors.hl7.codec import FieldValue
from connectors.hl7.envelope import Heading, write_message
from connectors.hl7.replies import Inquiry, Outgoing, Reply, birth_day, echo, sex_letter
from domain.device_orders import DeviceWork, WorkPriority

_FIXED_LINES = 28
_QUERY_TAG = "SR"
_CONDITIONS: Final = {
    "AA": ("Message accepted", "0"),
    "AE": ("Application internal error", "207"),
    "AR": ("Unknown key identifier", "204"),
}
"""MSA-3 with MSA-6 and ERR-1, table 0357."""
_KINDS: Final = {"": "", "serum": "serum", "plasma": "plasma", "urine": "urine"}


def answer(inquiry: Inquiry) -> Reply:
    """Return QCK^Q02 and, where there is work, DSR^Q03 for each tube."""
    works = [work for work in inquiry.works or () if work.codes]
    code = inquiry.code
    status = ("OK" if works or inquiry.query.asked.is_cancelled else "NF") if code == "AA" else code
    heading = Heading(("QCK", "Q02"), inquiry.echoed_id, keeps_empty=True)
    acknowledged = write_message(inquiry.envelope, heading, inquiry.moment, _head(inquiry, status))
    return Reply(
        (acknowledged,),
        tuple(_display(inquiry, work, number, len(works)) for number, work in enumerate(works, start=1)),
    )


def _head(inquiry: Inquiry, status: str) -> list[tuple[str, Sequence[FieldValue]]]:
    text, number = _CONDITIONS[inquiry.code]
    return [
        ("MSA", [inquiry.code, inquiry.query.control_id, text, "", "", number, ""]),
        ("ERR", [number, ""]),
        ("QAK", [_QUERY_TAG, status, ""]),
    ]


def _display(inquiry: Inquiry, work: DeviceWork, number: int, count: int) -> Outgoing:
    control_id = inquiry.echoed_id
    lines = [*_fixed_lines(inquiry, work), *((code, "", "", "") for code in work.codes)]
    query = [segment for segment in inquiry.query.message.segments if segment.name in {"QRD", "QRF"}]
    body: list[tuple[str, Sequence[FieldValue]]] = _head(inquiry, "OK")
    body += [echo(segment) for segment in query]
    body += [("DSP", [str(index), "", line, "", "", ""]) for index, line in enumerate(lines, start=1)]
    body.append(("DSC", [str(number + 1) if number < count else "", ""]))
    heading = Heading(("DSR", "Q03"), control_id, keeps_empty=True)
    return Outgoing(control_id, write_message(inquiry.envelope, heading, inquiry.moment, body))


def _fixed_lines(inquiry: Inquiry, work: DeviceWork) -> list[FieldValue]:
    lines: list[FieldValue] = [""] * _FIXED_LINES
    birth = birth_day(work)
    lines[0] = work.patient_no
    lines[2] = work.patient_name
    lines[3] = f"{birth}000000" if birth else ""
    lines[4] = sex_letter(work)
    lines[20] = work.specimen_id
    lines[22] = inquiry.envelope.time(work.collected_at) if work.collected_at is not None else ""
    lines[23] = "Y" if work.priority is WorkPriority.STAT else "N"
    lines[25] = _KINDS.get(work.specimen, "other")
    return lines
