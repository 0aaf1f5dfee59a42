"""What goes back to a device that asked for work: the shapes that all dialects share."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from connectors.hl7.codec import Component, FieldValue, Segment, fields_of
from connectors.hl7.envelope import Envelope
from connectors.hl7.queries import DeviceQuery
from domain.device_orders import DeviceWork
from domain.device_profile import DeviceProfile

NO_VALUE: Final = '""'
"""What is known to be absent. Source: IHE LAW, common message conventions, read in specs."""
_ERROR_CODES: Final = {"AE": ("207", "Application internal error"), "AR": ("204", "Unknown key identifier")}
"""Table 0357."""


@dataclass(frozen=True)
class Outgoing:
    """A message of ours that the device has to answer.

    Attributes:
        control_id: MSH-10, which the answer names in MSA-2.
    """

    control_id: str
    message: bytes = field(repr=False)


@dataclass(frozen=True)
class Reply:
    """The answer to one query.

    Attributes:
        at_once: Messages for the connection on which the query came; they need no answer.
        then: Work that follows, one message after the other, each answered by the device before the next.
    """

    at_once: tuple[bytes, ...]
    then: tuple[Outgoing, ...] = ()


@dataclass(frozen=True)
class Inquiry:
    """One query with all that is needed to answer it.

    Attributes:
        works: What there is to do, in the order asked for; None where the store cannot be asked, which must never
            look like "nothing to do".
        moment: Aware; for MSH-7.
        new_id: Gives the control id of each further message.
    """

    query: DeviceQuery
    works: tuple[DeviceWork, ...] | None
    profile: DeviceProfile
    envelope: Envelope
    moment: datetime
    new_id: Callable[[], str]

    @property
    def code(self) -> str:
        """MSA-1: AA, AE where the store is away, AR where the query cannot be answered here at all."""
        if self.works is None:
            return "AE"
        return "AR" if self.query.is_by_place else "AA"

    @property
    def echoed_id(self) -> str:
        """MSH-10 for devices that want to see their own number again, as all known answers to them have it."""
        return self.query.control_id or self.new_id()


def err(code: str) -> list[tuple[str, Sequence[FieldValue]]]:
    """Return the ERR segment of 2.5 and later for MSA-1 `code`; none where it is positive."""
    found = _ERROR_CODES.get(code)
    return [("ERR", ["", "", (*found, "HL70357"), "E"])] if found else []


def echo(segment: Segment) -> tuple[str, Sequence[FieldValue]]:
    """Return a segment of the query to be sent back as it came."""
    return segment.name, fields_of(segment)


def patient_name(work: DeviceWork) -> tuple[Component, ...]:
    """Return PID-5: the name as the lab has it, whole in the first component, or "name unknown"."""
    kind = "L" if work.patient_name else "U"
    return (work.patient_name, "", "", "", "", "", kind)


def sex_letter(work: DeviceWork) -> str:
    """Return PID-8, table 0001."""
    return {"male": "M", "female": "F", "other": "O"}.get(work.sex, "U")


def birth_day(work: DeviceWork) -> str:
    """Return the birth date as `YYYYMMDD`, or ""."""
    return f"{work.birth_date:%Y%m%d}" if work.birth_date else ""
