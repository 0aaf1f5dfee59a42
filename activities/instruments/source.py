"""What every step of a reading is given, and what it found."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from uuid import UUID

from domain.device_profile import DeviceProfile
from domain.enums import ExceptionKind, MessageState
from domain.observations import InstrumentMessage as Message
from domain.observations import MessageKind, Observation
from store.exceptions import Noted, Problem, problem
from store.tables.devices import DeviceMapping
from store.tables.orders import Order
from store.tables.results import Analyzer, InstrumentMessage

MAX_REASON_CHARS = 500
_SHOWN_CODE_CHARS = 30


@dataclass(frozen=True)
class Source:
    """A message being read.

    Attributes:
        codes: Confirmed mappings by device code.
        corrections: Accession numbers that persons gave to specimens of this message.
        is_repeat: The same bytes came before, and what they brought is to be measured again: without a time in them
            nobody can tell a repeated transmission from a second measurement.
    """

    row: InstrumentMessage
    analyzer: Analyzer
    profile: DeviceProfile
    message: Message
    codes: Mapping[str, list[DeviceMapping]]
    corrections: Mapping[str, str]
    is_repeat: bool = False

    def key_of(self, observation: Observation, specimen: str) -> str:
        """Return the same key for the same measurement in whatever message it comes.

        A measurement is device, specimen, code, replicate and completion time, and what was found then. Message ids
        are not part of it: devices start them again at every power-up.
        Source: CLSI LIS02-A2, R.13 and R.9, and captures of devices, read in specs.
        """
        moment = observation.observed_at.isoformat() if observation.observed_at else ""
        parts = (
            str(self.analyzer.id), specimen, observation.code, observation.replicate, moment, observation.value,
            observation.status.value,
        )  # fmt: skip
        return "analyzer:" + hashlib.sha256("\x1f".join(parts).encode()).hexdigest()


@dataclass
class Findings:
    """What reading one message brought to light.

    Attributes:
        problems: What waits for a person.
        ignored: Codes that the device's profile says are never wanted.
        written: Order, barcode and test codes of what became results.
        files: Images and histograms noted.
    """

    orders: set[UUID] = field(default_factory=set)
    matched: int = 0
    controls: int = 0
    files: int = 0
    unmatched: list[str] = field(default_factory=list)
    unplaced: list[str] = field(default_factory=list)
    not_ordered: list[str] = field(default_factory=list)
    ignored: list[str] = field(default_factory=list)
    problems: dict[Problem, Noted] = field(default_factory=dict)
    written: list[tuple[Order, str, list[str]]] = field(default_factory=list)

    def note(self, kind: ExceptionKind, detail: str, specimen_id: str = "", device_code: str = "") -> None:
        """Add a problem; the first detail of each stands."""
        self.problems.setdefault(problem(kind, specimen_id, device_code), Noted(detail))

    def spare(self, specimen_id: str, device_code: str) -> None:
        """Note that a value was not ordered on its tube; those of one specimen are one problem, which lists them."""
        self.not_ordered.append(device_code[:_SHOWN_CODE_CHARS])
        key = problem(ExceptionKind.NOT_ORDERED, specimen_id)
        before = self.problems.get(key, Noted("")).codes
        codes = tuple(dict.fromkeys((*before, device_code)))
        self.problems[key] = Noted(f"not ordered on this tube: {', '.join(codes)}", codes)

    def unmatch(self, specimen_id: str, why: str) -> None:
        """Note that a specimen is no tube of ours."""
        self.unmatched.append(f"{specimen_id[:20] or 'no barcode'}: {why}")
        self.note(ExceptionKind.UNMATCHED_SPECIMEN, why, specimen_id)

    def misplace(self, kind: ExceptionKind, specimen_id: str, device_code: str, why: str) -> None:
        """Note that a value of a known tube belongs to no test that can take it."""
        self.unplaced.append(why)
        self.note(kind, why, specimen_id, device_code)

    def state(self, kind: MessageKind) -> MessageState:
        """Return the state the message ends in."""
        if kind is not MessageKind.RESULTS:
            return MessageState.IGNORED
        if self.unmatched or self.unplaced:
            return MessageState.PARTIAL if self.matched else MessageState.UNMATCHED
        if self.controls and not self.matched:
            return MessageState.CONTROL
        return MessageState.MATCHED

    def reason(self) -> str:
        """Return why it is not (wholly) matched, in codes."""
        parts = [*self.unmatched, *self.unplaced]
        if self.not_ordered:
            parts.append(f"not ordered: {', '.join(self.not_ordered)}")
        return "; ".join(parts)[:MAX_REASON_CHARS]
