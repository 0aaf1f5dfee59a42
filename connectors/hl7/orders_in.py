"""Orders as hospital systems send them: ORM^O01, OML^O21 and OML^O33, and the answers to them.

They are read into one shape whatever the message: a line per test, with the specimen it stands under or over.

Source: HL7 2.5.1, 4.4.1 (ORM), 4.4.6 (OML^O21), 4.4.8 (OML^O33), 4.4.7 and 4.4.9 (ORL), 4.4.2 (ORR); tables 0119,
0485; 2.3.1, 4.4 (TQ in ORC-7 and OBR-27), read in specs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final

from connectors.hl7.codec import FieldValue, Hl7Message, Segment
from connectors.hl7.envelope import Heading, envelope_for, write_message
from connectors.hl7.patients import STANDARD, PatientRecord, Visit, patient_segment, read_patient, read_visit
from connectors.hl7.replies import err
from domain.device_orders import WorkPriority
from domain.device_profile import DELETE_VALUE, DeviceProfile
from domain.errors import MessageError

_URGENT = frozenset({"S", "A", "T", "STAT", "ASAP"})
"""Tables 0485 and 0027: stat, as soon as possible, timing critical."""
_ANSWERS: Final = {
    "ORM": ("ORR", "O02"),
    "OML^O21": ("ORL", "O22", "ORL_O22"),
    "OML^O33": ("ORL", "O34", "ORL_O34"),
}


@dataclass(frozen=True)
class OrderLine:
    """One test that is ordered, cancelled or changed.

    Attributes:
        control: ORC-1: `NW`, `CA`, `XO`, …
        placer_no: Number of the one who orders: ORC-2, else OBR-2.
        filler_no: Number of the laboratory: ORC-3, else OBR-3.
        group_no: ORC-4.
        code: OBR-4.1; `name` OBR-4.2, `coding_system` OBR-4.3.
        specimen_id: SPM-2, else SAC-3; "" where the tube is not named.
        specimen: Code of the kind of specimen: SPM-4, else OBR-15.
        collected_at: SPM-17, else OBR-7; aware UTC, or None.
        ordered_at: ORC-9, else OBR-6; aware UTC, or None.
        ordered_by: ORC-12, else OBR-16: code and name of the doctor.
    """

    control: str
    placer_no: str = ""
    filler_no: str = ""
    group_no: str = ""
    code: str = ""
    name: str = ""
    coding_system: str = ""
    priority: WorkPriority = WorkPriority.ROUTINE
    specimen_id: str = ""
    specimen: str = ""
    collected_at: datetime | None = None
    ordered_at: datetime | None = None
    ordered_by: str = ""
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class OrderMessage:
    """One message with orders.

    Attributes:
        kind: `ORM^O01`, `OML^O21`, `OML^O33`.
    """

    kind: str
    message_id: str
    sender: str
    patient: PatientRecord | None
    visit: Visit
    lines: tuple[OrderLine, ...]


class _Reader:
    """Walks the segments once. OML^O33 has the specimen before its orders, OML^O21 after each."""

    def __init__(self, profile: DeviceProfile, *, specimen_leads: bool) -> None:
        self._profile = profile
        self._leads = specimen_leads
        self._specimen: dict[str, Segment] = {}
        self._common: Segment | None = None
        self.lines: list[OrderLine] = []

    def take(self, segment: Segment) -> None:
        match segment.name:
            case "SPM":
                self._specimen = {"SPM": segment}
                self._describe()
            case "SAC":
                self._specimen["SAC"] = segment
                self._describe()
            case "ORC":
                self._common = segment
                self.lines.append(self._from_common(segment))
            case "OBR":
                self._take_request(segment)
            case "TQ1" if self.lines:
                self._amend(priority=_priority(segment.value(9, 1)))
            case "NTE" if self.lines and segment.value(3).strip():
                self._amend(notes=(*self.lines[-1].notes, segment.value(3).strip()))

    def _amend(self, **changes: object) -> None:
        self.lines[-1] = replace(self.lines[-1], **changes)  # type: ignore[arg-type]  # names are those of the class

    def _from_common(self, orc: Segment) -> OrderLine:
        line = OrderLine(
            control=orc.value(1).strip().upper(),
            placer_no=_text(orc.value(2, 1)),
            filler_no=_text(orc.value(3, 1)),
            group_no=_text(orc.value(4, 1)),
            priority=_priority(orc.value(7, 6)),
            ordered_at=self._profile.instant(orc.value(9, 1)),
            ordered_by=_person(orc, 12),
        )
        return self._under_specimen(line) if self._leads else line

    def _take_request(self, obr: Segment) -> None:
        """Complete the line its ORC began; an OBR of its own, or a second one, is a line too."""
        common, self._common = self._common, None
        if common is None or not self.lines:
            control = self.lines[-1].control if self.lines else "NW"
            fresh = OrderLine(control=control)
            self.lines.append(self._under_specimen(fresh) if self._leads else fresh)
        line = self.lines[-1]
        urgent = WorkPriority.STAT in {line.priority, _priority(obr.value(27, 6)), _priority(obr.value(5))}
        self.lines[-1] = replace(
            line,
            placer_no=line.placer_no or _text(obr.value(2, 1)),
            filler_no=line.filler_no or _text(obr.value(3, 1)),
            code=_text(obr.value(4, 1)),
            name=_text(obr.value(4, 2)),
            coding_system=_text(obr.value(4, 3)),
            priority=WorkPriority.STAT if urgent else WorkPriority.ROUTINE,
            specimen=line.specimen or _text(obr.value(15, 1, 1)),
            collected_at=line.collected_at or self._profile.instant(obr.value(7, 1)),
            ordered_at=line.ordered_at or self._profile.instant(obr.value(6, 1)),
            ordered_by=line.ordered_by or _person(obr, 16),
        )

    def _describe(self) -> None:
        if not self._leads and self.lines:
            self.lines[-1] = self._under_specimen(self.lines[-1])

    def _under_specimen(self, line: OrderLine) -> OrderLine:
        spm, sac = self._specimen.get("SPM"), self._specimen.get("SAC")
        barcode = _text(spm.value(2, 1, 1)) if spm else ""
        return replace(
            line,
            specimen_id=barcode or (_text(sac.value(3, 1)) if sac else ""),
            specimen=(_text(spm.value(4, 1)) if spm else "") or line.specimen,
            collected_at=(self._profile.instant(spm.value(17, 1, 1)) if spm else None) or line.collected_at,
        )


def read_orders(message: Hl7Message, profile: DeviceProfile = STANDARD) -> OrderMessage:
    """Read a message with orders.

    Raises:
        MessageError: It is none, or holds no order.
    """
    header = message.header
    kind = f"{header.value(9, 1).strip().upper()}^{header.value(9, 2).strip().upper()}"
    if header.value(9, 1).strip().upper() not in {"ORM", "OML"}:
        raise MessageError("not an order message")
    names = [segment.name for segment in message.segments]
    orders = [names.index(name) for name in ("ORC", "OBR") if name in names]
    leads = "SPM" in names and bool(orders) and names.index("SPM") < min(orders)
    reader = _Reader(profile, specimen_leads=leads)
    patient: PatientRecord | None = None
    for segment in message.segments:
        if segment.name == "PID" and patient is None:
            patient = read_patient(segment, profile)
        reader.take(segment)
    if not reader.lines:
        raise MessageError("an order message without ORC and OBR")
    return OrderMessage(
        kind=kind,
        message_id=header.value(10).strip(),
        sender=" ".join(part for part in (header.value(3, 1).strip(), header.value(4, 1).strip()) if part),
        patient=patient,
        visit=read_visit(message),
        lines=tuple(reader.lines),
    )


def order_answer(
    message: Hl7Message,
    verdicts: Mapping[str, str],
    *,
    code: str = "AA",
    control_id: str,
    moment: datetime,
) -> bytes:
    """Return ORR^O02, ORL^O22 or ORL^O34 for a message with orders.

    Args:
        message: The orders.
        verdicts: ORC-1 of the answer by placer number: `OK`, `UA`, `CR`, `UC`, …; lines without one are left out.
        code: MSA-1.
        control_id: For MSH-10.
        moment: For MSH-7; aware.

    Raises:
        MessageError: The message is no order.
    """
    orders = read_orders(message)
    kind = _ANSWERS.get(orders.kind) or _ANSWERS["ORM"]
    body: list[tuple[str, Sequence[FieldValue]]] = [("MSA", [code, message.header.value(10)])]
    if message.header.value(12, 1).strip() >= "2.5":
        body += err(code)
    answered = [line for line in orders.lines if line.placer_no in verdicts]
    if answered and orders.patient:
        body.append(patient_segment(1, orders.patient))
    specimen = None
    for line in answered:
        if kind[1] == "O34" and line.specimen_id != specimen:
            specimen = line.specimen_id
            body.append(("SPM", ["1", specimen, "", line.specimen or DELETE_VALUE]))
        body.append(("ORC", [verdicts[line.placer_no], line.placer_no, line.filler_no, line.group_no]))
    heading = Heading(kind, control_id, has_zone=kind[0] == "ORL")
    return write_message(envelope_for(STANDARD, message.header), heading, moment, body)


def _priority(text: str) -> WorkPriority:
    return WorkPriority.STAT if text.strip().upper() in _URGENT else WorkPriority.ROUTINE


def _person(segment: Segment, number: int) -> str:
    parts = (_text(segment.value(number, component)) for component in (1, 3, 2))
    return " ".join(part for part in parts if part)


def _text(value: str) -> str:
    text = value.strip()
    return "" if text == DELETE_VALUE else text
