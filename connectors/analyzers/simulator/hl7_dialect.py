"""HL7 as simulated devices and hosts write it: what all dialects share.

Source: HL7 2.5.1, 2.14 (MSH, MSA), 7.4 (OBR, OBX), read in specs.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import ClassVar

from connectors.analyzers.simulator.content import Desk, Outgoing, Sample, SimulatedTest, WorkAnswer
from connectors.analyzers.simulator.dialect import Dialect
from connectors.analyzers.simulator.mllp_link import field_of, segments_of
from connectors.hl7.codec import FieldValue, build_segment

Row = list[FieldValue]
Segment = tuple[str, Row]
_EVENT_LENGTH = 2


class Hl7Dialect(Dialect):
    """A device that sends ORU^R01.

    Attributes:
        version: MSH-12.
        application: MSH-3 and MSH-4 of the device.
        event: MSH-9 of results.
        accept: MSH-15 and MSH-16 of what the device sends.
        charset: MSH-18.
        profile_id: MSH-21 of results.
    """

    version: ClassVar[str] = "2.3.1"
    application: ClassVar[tuple[str, str]] = ("SimAnalyzer", "Sim")
    event: ClassVar[tuple[str, ...]] = ("ORU", "R01")
    accept: ClassVar[tuple[str, str]] = ("", "")
    charset: ClassVar[str] = "UNICODE"
    asks = False

    # the device ---------------------------------------------------------------------------------------------------

    def results(self, sample: Sample) -> list[bytes]:
        """Return one message with all tests of the tube."""
        segments = [self.header(sample, self.event), *self.head(sample)]
        for number, (test, value) in enumerate(sample.values, start=1):
            segments += self.rows(number, test, value, sample)
        return [written([*segments, *self.tail(sample)])]

    def header(self, sample: Sample, event: tuple[str, ...], profile_id: str = "") -> Segment:
        """Return the MSH of a result."""
        return self.msh(event, str(sample.serial), sample.at, processing=self.processing(sample), profile_id=profile_id)

    def processing(self, sample: Sample) -> str:
        """MSH-11."""
        return "Q" if sample.is_control else "P"

    def msh(
        self,
        event: tuple[str, ...],
        control_id: str,
        at: datetime,
        *,
        processing: str = "P",
        profile_id: str = "",
        application_ack: str = "",
    ) -> Segment:
        """Return an MSH of the device."""
        head: Row = [*self.application, "", "", f"{at:%Y%m%d%H%M%S}", "", event, control_id, processing, self.version]
        accept, application = self.accept
        tail: Row = ["", "", accept, application_ack or application, "", self.charset, "", "", profile_id]
        return "MSH", [*head, *(tail if profile_id else tail[:6])]

    def head(self, sample: Sample) -> list[Segment]:
        """Return what stands between MSH and the rows."""
        return [("PID", ["1"]), ("OBR", ["1", "", sample.specimen_id, "SIM", "", sample.stamp, sample.stamp])]

    def rows(self, number: int, test: SimulatedTest, value: str, sample: Sample) -> list[Segment]:
        """Return the segments of one result."""
        kind = "ST" if test.choices else "NM"
        return [obx(number, kind, (test.code, test.name), value, test.unit, limits_of(test), test.flag_of(value))]

    def tail(self, sample: Sample) -> list[Segment]:
        """Return what follows the rows."""
        return []

    def query(self, specimen_ids: Sequence[str], serial: int, at: datetime) -> bytes:
        """Return b"": the dialect has no question."""
        return b""

    def work_in(self, raw: bytes) -> WorkAnswer | None:
        """Return None: the dialect brings no work."""
        return None

    def reply(self, raw: bytes, serial: int, at: datetime) -> bytes:
        """Acknowledge what the host sends unless it is itself an acknowledgement."""
        if field_of(raw, "MSA", 1):
            return b""
        return self.acknowledgement(raw, f"A{serial}", at)

    # both ---------------------------------------------------------------------------------------------------------

    def acknowledgement(self, raw: bytes, control_id: str, at: datetime, code: str = "AA") -> bytes:
        """Return the general acknowledgement of a message."""
        return written(self.answering(raw, ("ACK", *event_of(raw)[1:2]), control_id, at, code))

    def answering(
        self, raw: bytes, event: tuple[str, ...], control_id: str, at: datetime, code: str = "AA"
    ) -> list[Segment]:
        """Return MSH and MSA of an answer: sender and receiver change places."""
        theirs = {number: field_of(raw, "MSH", number) for number in (3, 4, 5, 6, 10, 11, 12)}
        stamp = f"{at:%Y%m%d%H%M%S}"
        head: Row = [theirs[5], theirs[6], theirs[3], theirs[4], stamp, "", event, control_id, theirs[11], theirs[12]]
        return [("MSH", [*head, "", "", "", "", "", self.charset]), ("MSA", [code, theirs[10]])]

    # the host -----------------------------------------------------------------------------------------------------

    def respond(self, raw: bytes, desk: Desk, serial: int, at: datetime) -> list[Outgoing]:
        """Acknowledge results."""
        if field_of(raw, "MSA", 1):
            return []
        code = "CA" if field_of(raw, "MSH", 15) == "AL" and field_of(raw, "MSH", 16) == "NE" else "AA"
        return [Outgoing(self.acknowledgement(raw, f"H{serial}", at, code), wants_answer=False)]

    def download(self, specimen_id: str, codes: Sequence[str], serial: int, at: datetime) -> bytes:
        """Return b"": the dialect takes no work."""
        return b""


def written(segments: Sequence[Segment]) -> bytes:
    """Return segments as bytes."""
    return "".join(build_segment(name, fields) for name, fields in segments).encode("utf-8")


def obx(number: int, kind: str, code: FieldValue, *said: FieldValue) -> Segment:
    """Return an OBX as most devices fill it: final, without times; `said` is value, unit, range and flag."""
    return "OBX", [str(number), kind, code, "", *said, "", "", "F"]


def limits_of(test: SimulatedTest) -> str:
    """Return the range as text."""
    return "" if test.choices else "-".join(test.limits)


def event_of(raw: bytes) -> tuple[str, ...]:
    """Return the components of MSH-9."""
    return tuple(field_of(raw, "MSH", 9).split("^"))


def all_of(raw: bytes, name: str) -> list[list[str]]:
    """Return all segments of a name as fields."""
    return [fields for fields in segments_of(raw) if fields[0] == name]


def part(fields: Sequence[str], number: int, component: int = 1) -> str:
    """Return a component of a field, or ""."""
    text = fields[number] if number < len(fields) else ""
    parts = text.split("^")
    return parts[component - 1].strip() if component <= len(parts) else ""
