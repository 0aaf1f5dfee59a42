"""What a device asks: the Q records of a message, with everything its answer must echo.

By the standard Q.3 is `patient^specimen`; devices send the bare id, a list, or the rack and position with it. The id is
kept exactly as it came, padding included, because the answer must carry it so.

Source: CLSI LIS02-A2, 11 (query record); Roche, Sysmex, Beckman, Siemens, Erba, Mindray host queries, read in specs.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

from connectors.astm.codec import Record, parse_records
from connectors.astm.records import unframe
from domain.device_orders import WorkQuery
from domain.device_profile import DeviceProfile, WorkStyle, decode_text, parse_path

QUERY_CANCELLED: Final = "A"
"""Q.13: the last query is taken back."""

_EVERYTHING: Final = "ALL"
_BY_STANDARD: Final = (2, 1, 3)
_ID_COMPONENTS: Final[dict[WorkStyle, tuple[int, ...]]] = {
    "roche_astm": (3,),  # ^^id^sequence^rack^position^^type^container
    "sysmex": (3,),  # rack^position^id^attribute
}
"""Components of Q.3 that may hold the id, by style; the first that is not blank counts."""


@dataclass(frozen=True)
class AskedTube:
    """One tube of a query.

    Attributes:
        specimen_id: The barcode without padding; "" where the device could not read it and gives only the place.
        text: The barcode as received.
        parts: All components of the place where it stood, as received.
    """

    specimen_id: str
    text: str
    parts: tuple[str, ...] = ()

    @property
    def is_everything(self) -> bool:
        """True for the word that stands for all tubes."""
        return self.specimen_id.upper() == _EVERYTHING


@dataclass(frozen=True)
class HostQuery:
    """The queries of one message.

    Attributes:
        header: The H record, or None.
        tubes: In the order asked, none twice; those without barcode can only be told that there is no work.
        wants_all: The device asks for every tube that waits for it.
        is_cancelled: The device takes its last query back.
    """

    header: Record | None = field(repr=False)
    tubes: tuple[AskedTube, ...] = ()
    wants_all: bool = False
    is_cancelled: bool = False

    @property
    def is_answerable(self) -> bool:
        """False where the device names no tube: an empty question must not be taken for "everything"."""
        return self.wants_all or bool(self.wanted.specimen_ids)

    @property
    def wanted(self) -> WorkQuery:
        """The query in the lab's words."""
        return WorkQuery(
            specimen_ids=tuple(tube.specimen_id for tube in self.tubes if tube.specimen_id),
            wants_all=self.wants_all,
            is_cancelled=self.is_cancelled,
        )


def query_of(raw: bytes, profile: DeviceProfile) -> HostQuery | None:
    """Return what a message asks, or None where it holds no Q record.

    Raises:
        MessageError: It exceeds a bound.
    """
    charsets = ("utf-8",) if profile.charset == "auto" else (profile.charset, "utf-8")
    text, _ = decode_text(unframe(raw), charsets)
    return read_query(parse_records(text), profile)


def header_of(raw: bytes) -> Record | None:
    """Return the H record a message begins with, or None."""
    first = next(iter(parse_records(raw.split(b"\r", 1)[0].decode("latin-1"))), None)
    return first if first is not None and first.kind == "H" else None


def read_query(records: Iterable[Record], profile: DeviceProfile) -> HostQuery | None:
    """Return what records ask, or None where there is no Q record among them.

    A message that takes a query back and asks anew in the same breath asks.
    """
    header: Record | None = None
    asking: list[Record] = []
    has_query = False
    for record in records:
        if record.kind == "H":
            header = record
        elif record.kind == "Q":
            has_query = True
            if record.value(13).strip().upper() != QUERY_CANCELLED:
                asking.append(record)
    if not has_query:
        return None
    found = [tube for record in asking for tube in asked_tubes(record, profile)]
    tubes: dict[str | tuple[str, ...], AskedTube] = {}
    for tube in found:
        if not tube.is_everything:
            tubes.setdefault(tube.specimen_id or tube.parts, tube)
    return HostQuery(
        header=header,
        tubes=tuple(tubes.values()),
        wants_all=any(tube.is_everything for tube in found),
        is_cancelled=not asking,
    )


def asked_tubes(record: Record, profile: DeviceProfile) -> list[AskedTube]:
    """Return the tubes a Q record names, by barcode or by place; the word ALL counts as one of them."""
    places = _places(profile)
    found: list[AskedTube] = []
    for number, components in places.items():
        found += [_tube(parts, components) for parts in record.parts(number) if any(part.strip() for part in parts)]
        if found and profile.work.query_fields:
            return found
    return found


def _places(profile: DeviceProfile) -> dict[int, tuple[int, ...]]:
    """Return the fields of Q to look in, with the components that may hold the barcode; 0 is the whole field."""
    rules = profile.work
    if not rules.query_fields:
        # Q.4 ends a range; it repeats Q.3 where one tube is meant
        components = _ID_COMPONENTS.get(rules.style, _BY_STANDARD)
        return {3: components, 4: components}
    places: dict[int, tuple[int, ...]] = {}
    for path in rules.query_fields:
        _, number, component, _ = parse_path(path)
        places[number] = (*places.get(number, ()), component)
    return places


def _tube(parts: tuple[str, ...], components: tuple[int, ...]) -> AskedTube:
    if _EVERYTHING in {part.strip().upper() for part in parts[:2]}:
        return AskedTube(_EVERYTHING, _EVERYTHING, parts)
    texts = [parts[number - 1] if number else "^".join(parts) for number in components if number <= len(parts)]
    text = next((text for text in texts if text.strip()), texts[0] if texts else "")
    return AskedTube(text.strip(), text, parts)
