"""What a device asks for: the work on some tubes, or all of it.

QBP (QPD): IHE LAW `WOS`, `WOS_ALL` and its rack and tray forms, Roche `INISEQ` and `INIBAR`, Cepheid `Z01` (all) and
`Z03`. QRY (QRD): Mindray BS, Getein and others; an empty QRD-8 asks for everything, `CAN` in QRD-9 takes the query
back. ORM with `ORC|RF`: Mindray BC. QCN^J01 takes a query back.

Source: IHE LAW, LAB-27; HL7 2.5.1, 5.4 and 5.10; vendor dialects, read in specs.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

from connectors.hl7.codec import Hl7Message, Segment
from domain.device_orders import WorkQuery
from domain.device_profile import DELETE_VALUE, DeviceProfile, parse_path

QueryForm: TypeAlias = Literal["parameters", "cepheid", "display", "order", "cancel"]
"""How it is asked, which is how it has to be answered: QPD, QPD of a GeneXpert, QRD, ORC with RF, QID."""

_SPECIMEN_FIELDS: Final = {"parameters": ("QPD", 3), "cepheid": ("QPD", 4), "display": ("QRD", 8)}
_CEPHEID = frozenset({"Z01", "Z03"})
"""Source: Cepheid GeneXpert LIS interface 301-2002 rev. E, read in specs."""
_DISPLAY_EVENTS = frozenset({"", "Q01", "Q02"})
"""MSH-9.2 of display queries; QRD also asks for patients (A19) and results (R02)."""
_MOST_SPECIMENS = 2000
_ASKS_FOR_ALL = frozenset({"WOS_ALL", "Z01"})


@dataclass(frozen=True)
class DeviceQuery:
    """One query, with what its answer echoes.

    Attributes:
        asked: In the lab's words.
        source: The segment that asks: QPD, QRD, ORC or QID.
        is_by_place: It names a rack or tray instead of a tube; where tubes stand is not known here.
    """

    message: Hl7Message
    form: QueryForm
    asked: WorkQuery
    source: Segment
    is_by_place: bool = False

    @property
    def control_id(self) -> str:
        """MSH-10, as sent."""
        return self.message.header.value(10)


def read_query(message: Hl7Message, profile: DeviceProfile) -> DeviceQuery | None:
    """Return what a message asks, or None where it is no query.

    Raises:
        MessageError: A field repeats too often.
    """
    first: dict[str, Segment] = {}
    for segment in message.segments:
        first.setdefault(segment.name, segment)
    if "MSA" in first:
        return None
    for name in ("QPD", "QRD", "QID"):
        if name in first:
            is_about_work = name != "QRD" or message.header.value(9, 2).strip().upper() in _DISPLAY_EVENTS
            return _read(message, first[name], profile) if is_about_work else None
    if message.header.value(9, 1).strip().upper() == "ORM":
        return _worklist_query(message, profile)
    return None


def _read(message: Hl7Message, source: Segment, profile: DeviceProfile) -> DeviceQuery:
    if source.name == "QID":
        return DeviceQuery(message, "cancel", WorkQuery(is_cancelled=True), source)
    name = source.value(1, 1).strip().upper()
    form: QueryForm = "display" if source.name == "QRD" else "cepheid" if name in _CEPHEID else "parameters"
    if form == "display" and source.value(9, 1).strip().upper() == "CAN":
        return DeviceQuery(message, form, WorkQuery(is_cancelled=True), source)
    ids = _distinct(_named_by_profile(message, profile) or source.values(_SPECIMEN_FIELDS[form][1], 1))
    asks_all = name in _ASKS_FOR_ALL or ids == ("ALL",) or (form == "display" and not ids)
    if asks_all:
        ids = ()
    return DeviceQuery(message, form, WorkQuery(ids, wants_all=asks_all), source, is_by_place=not ids and not asks_all)


def _worklist_query(message: Hl7Message, profile: DeviceProfile) -> DeviceQuery | None:
    orders = [
        segment for segment in message.segments if segment.name == "ORC" and segment.value(1).strip().upper() == "RF"
    ]
    if not orders:
        return None
    named = _named_by_profile(message, profile) or [order.value(3, 1) or order.value(2, 1) for order in orders]
    ids = _distinct(named)
    return DeviceQuery(message, "order", WorkQuery(ids), orders[0], is_by_place=not ids)


def _named_by_profile(message: Hl7Message, profile: DeviceProfile) -> list[str]:
    """Return what stands where the profile says that this device names the tube."""
    found: list[str] = []
    for path in profile.work.query_fields:
        name, number, component, subcomponent = parse_path(path)
        for segment in message.segments:
            if segment.name == name:
                found += segment.values(number, component, subcomponent)
        if any(text.strip() for text in found):
            break
    return found


def _distinct(found: tuple[str, ...] | list[str]) -> tuple[str, ...]:
    texts = (text.strip() for text in found)
    return tuple(dict.fromkeys(text for text in texts if text and text != DELETE_VALUE))[:_MOST_SPECIMENS]
