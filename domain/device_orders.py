"""What an analyzer is told to do: the work on one tube, in the lab's words, and what the analyzer asked.

The connectors turn these into the words of each device. Names and birth dates of patients go to the analyzer's screen
and nowhere else: they are kept out of every repr.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date, datetime
from enum import StrEnum
from typing import Protocol
from uuid import UUID


class WorkAction(StrEnum):
    """What is to happen with the tests."""

    NEW = "new"
    CANCEL = "cancel"
    RERUN = "rerun"
    """Measure again; the first value is not released before the second is there."""
    REFLEX = "reflex"
    """A test that follows from a result."""


class WorkPriority(StrEnum):
    """How soon."""

    ROUTINE = "routine"
    STAT = "stat"


@dataclass(frozen=True)
class DeviceWork:
    """The work on one tube for one device.

    Attributes:
        specimen_id: The barcode as the lab knows it.
        codes: The device's own test codes, confirmed by a person, in the order of the device's table.
        specimen: The lab's word for the kind of specimen (`serum`, `edta_blood`, `urine`, …).
        collected_at: Aware UTC, or None.
        patient_no: The lab's patient number.
        sex: `male`, `female`, `other` or `unknown`.
        order_no: The lab's order number.
    """

    specimen_id: str
    codes: tuple[str, ...]
    action: WorkAction = WorkAction.NEW
    priority: WorkPriority = WorkPriority.ROUTINE
    specimen: str = ""
    collected_at: datetime | None = None
    patient_no: str = ""
    patient_name: str = field(default="", repr=False)
    birth_date: date | None = field(default=None, repr=False)
    sex: str = "unknown"
    order_no: str = ""


@dataclass(frozen=True)
class WorkQuery:
    """What a device asks: the work on some tubes, or all that waits for it.

    Attributes:
        specimen_ids: Barcodes without padding; empty where the device asks for everything.
        wants_all: The device asks for every tube that waits for it.
        is_cancelled: The device takes its last query back; nothing is answered.
    """

    specimen_ids: tuple[str, ...] = ()
    wants_all: bool = False
    is_cancelled: bool = False


class DownloadResult(StrEnum):
    """What became of work sent to a device."""

    ACCEPTED = "accepted"
    REFUSED = "refused"
    """The device answered that it cannot do it; it is not sent again by itself."""
    UNDELIVERED = "undelivered"
    """It did not arrive; it is sent again."""


@dataclass(frozen=True)
class Download:
    """Work to be sent to a device that did not ask.

    Attributes:
        id: Of the queue entry, to be settled.
    """

    id: UUID
    work: DeviceWork


class WorkDesk(Protocol):
    """Where a conversation with one device gets its work from. One desk per connection, bound to the device.

    No method raises for a store that is away: a query is then answered like one that finds nothing is *not* (see
    `work_for`), and a download waits.
    """

    async def work_for(self, query: WorkQuery) -> tuple[DeviceWork, ...] | None:
        """Return the work on the tubes asked for, in their order; a tube without work has no entry.

        Returns:
            None where the store cannot be asked now: the device must not be told that there is no work.
        """
        ...

    async def next_download(self) -> Download:
        """Wait until there is work to send to the device, and return it. Cancelling is safe: it stays queued."""
        ...

    async def settle(self, download: Download, result: DownloadResult, note: str = "") -> None:
        """Say what became of a download; `note` is for people and holds no patient data."""
        ...
