"""Orders for an analyzer as HL7 2.5.1 has them: OML^O33 by specimen (IHE LAW, Roche) and OML^O21 by order.

One test on one specimen is an *AWOS* (analytical work order step); its id in OBR-2 is made of the barcode and the test
code, so that it is the same when the order is sent again and when it is cancelled.

Source: IHE LAW, LAB-28 (OML^O33, ORC-1 NW, CA, DC; MSH-15, 16, 18, 21); HL7 2.5.1, 4.4.6 and 4.4.8, tables 0065,
0119, 0369, 0485, 0487; Roche cobas pro host interface examples, read in specs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from connectors.hl7.codec import FieldValue, Repetition
from connectors.hl7.envelope import LAW_STYLES, Envelope, Heading, write_message
from connectors.hl7.replies import NO_VALUE, birth_day, patient_name, sex_letter
from domain.device_orders import DeviceWork, WorkAction, WorkPriority
from domain.device_profile import DeviceProfile

_ROCHE = "roche_law"
_ROCHE_CODES = "99ROC"
_SPECIMEN_TYPES: Final[dict[str, tuple[str, str]]] = {
    "serum": ("SER", "Serum"),
    "plasma": ("PLAS", "Plasma"),
    "urine": ("UR", "Urine"),
    "csf": ("CSF", "Cerebral spinal fluid"),
    "blood": ("BLD", "Whole blood"),
    "edta_blood": ("BLDV", "Blood venous"),
    "stool": ("STL", "Stool"),
    "sputum": ("SPT", "Sputum"),
}
"""The lab's word to table 0487."""
_ACTION_LETTERS: Final = {WorkAction.REFLEX: "G"}
"""OBR-11, table 0065: G generated, reflex."""


@dataclass(frozen=True)
class Place:
    """Where the device says the tube stands, and what it takes it for; echoed to it.

    Attributes:
        rack: SAC-10.
        position: SAC-11.
        tray: SAC-13.
        tray_position: SAC-14.
        specimen_type: SPM-4 in the device's words.
        container: SPM-27.
    """

    rack: FieldValue = ""
    position: FieldValue = ""
    tray: FieldValue = ""
    tray_position: FieldValue = ""
    specimen_type: FieldValue = ""
    container: FieldValue = ""


NO_PLACE = Place()


def awos_id(work: DeviceWork, code: str) -> str:
    """Return OBR-2 for one test: what is measured again is another step than the first."""
    suffix = "-R" if work.action is WorkAction.RERUN else ""
    return f"{work.specimen_id}-{code}{suffix}"


def order_message(
    work: DeviceWork,
    profile: DeviceProfile,
    envelope: Envelope,
    *,
    control_id: str,
    moment: datetime,
    place: Place = NO_PLACE,
) -> bytes:
    """Return the order for one tube, in the style of the device: OML^O21 for `oml`, else OML^O33."""
    if profile.work.style == "oml":
        body = [*_patient(work), *_orders(work, profile, envelope, moment, _specimen(work, profile, envelope, place))]
        return write_message(envelope, _heading("O21", control_id, profile), moment, body)
    body = [*_patient(work), *_specimen(work, profile, envelope, place), *_orders(work, profile, envelope, moment)]
    return write_message(envelope, _heading("O33", control_id, profile), moment, body)


def nothing_to_do(
    specimen_id: str, profile: DeviceProfile, envelope: Envelope, *, control_id: str, moment: datetime
) -> bytes:
    """Return the negative query response of LAW: ORC-1 DC, SPM-11 U, the tube in SAC-3."""
    stamp = envelope.time(moment, has_zone=True)
    unknown = ("U", "Unknown", "HL70369")
    body: list[tuple[str, Sequence[FieldValue]]] = [
        ("SPM", ["1", NO_VALUE, "", NO_VALUE, "", "", "", "", "", "", unknown]),
        ("SAC", ["", "", specimen_id or NO_VALUE]),
        ("ORC", ["DC", "", "", "", "", "", "", "", stamp]),
    ]
    return write_message(envelope, _heading("O33", control_id, profile), moment, body)


def _heading(event: str, control_id: str, profile: DeviceProfile) -> Heading:
    is_law = profile.work.style in LAW_STYLES
    return Heading(
        ("OML", event, f"OML_{event}"),
        control_id,
        accept="NE",
        application="AL",
        profiles=("LAB-28", "IHE") if is_law else "",
        has_zone=True,
    )


def _patient(work: DeviceWork) -> list[tuple[str, Sequence[FieldValue]]]:
    if not (work.patient_no or work.patient_name):
        return []
    number = (work.patient_no, "", "", "", "PI") if work.patient_no else ""
    return [("PID", ["1", "", number, "", patient_name(work), "", birth_day(work), sex_letter(work)])]


def _specimen(
    work: DeviceWork, profile: DeviceProfile, envelope: Envelope, place: Place
) -> list[tuple[str, Sequence[FieldValue]]]:
    is_roche = profile.work.style == _ROCHE
    number: Repetition = ((work.specimen_id, "BARCODE"),) if is_roche else work.specimen_id
    container: FieldValue = (work.specimen_id, "BARCODE") if is_roche else work.specimen_id
    specimen: list[FieldValue] = ["1", number, "", place.specimen_type or _specimen_type(work, is_roche=is_roche)]
    specimen += [""] * 6
    specimen.append(("P", "Patient specimen", "HL70369"))
    if work.collected_at is not None or place.container:
        specimen += [""] * 5
        specimen.append(envelope.time(work.collected_at, has_zone=True) if work.collected_at is not None else "")
    if place.container:
        specimen += [*[""] * 9, place.container]
    holder: list[FieldValue] = ["", "", container]
    if place != NO_PLACE:
        holder += [*[""] * 6, place.rack, place.position, "", place.tray, place.tray_position]
        while not holder[-1]:
            holder.pop()
    return [("SPM", specimen), ("SAC", holder)]


def _specimen_type(work: DeviceWork, *, is_roche: bool) -> FieldValue:
    if is_roche and work.specimen in {"", "serum", "plasma"}:
        return ("SERPLAS", "", _ROCHE_CODES)
    known = _SPECIMEN_TYPES.get(work.specimen)
    return (*known, "HL70487") if known else NO_VALUE


def _orders(
    work: DeviceWork,
    profile: DeviceProfile,
    envelope: Envelope,
    moment: datetime,
    specimen: Sequence[tuple[str, Sequence[FieldValue]]] = (),
) -> list[tuple[str, Sequence[FieldValue]]]:
    """Return ORC, TQ1, OBR and TCD for each test; OML^O21 repeats the specimen under each."""
    control = "CA" if work.action is WorkAction.CANCEL else "NW"
    stamp = envelope.time(moment, has_zone=True)
    priority = ("S" if work.priority is WorkPriority.STAT else "R", "", "HL70485")
    system = profile.work.coding_system or (_ROCHE_CODES if profile.work.style == _ROCHE else "")
    letter = _ACTION_LETTERS.get(work.action, "")
    body: list[tuple[str, Sequence[FieldValue]]] = []
    for number, code in enumerate(work.codes, start=1):
        test: FieldValue = (code, "", system) if system else code
        step = awos_id(work, code)
        request: list[FieldValue] = [str(number), step, "", test]
        if letter:
            request += [*[""] * 6, letter]
        body += [
            ("ORC", [control, step if specimen else "", "", "", "", "", "", "", stamp]),
            ("TQ1", ["1", *[""] * 7, priority]),
            ("OBR", request),
            ("TCD", [test]),
            *specimen,
        ]
    return body
