"""The two dialects that are neither ASTM nor HL7, written from the facts alone.

Source: field facts from live sites citing the AU680/AU480 Instrument Online Specification; roy-harmon/RosieLIS for
the Dimension; both read in specs.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from connectors.analyzers.simulator.content import (
    NAMED,
    NUMBERED,
    Desk,
    Outgoing,
    Sample,
    SimulatedTest,
    Tests,
    WorkAnswer,
)
from connectors.analyzers.simulator.dialect import Dialect

_FS = "\x1c"
_NAME_BLOCK = "M00000"
_NAME_WIDTH = 20
_IDENTITY_START = 4


class BeckmanAu(Dialect):
    """Beckman AU Online: fixed fields whose widths are those of the profile.

    The identity is code(2) rack(4) cup(2) type(1) number(4) barcode(right-justified).
    """

    tests: Tests = NUMBERED

    def results(self, sample: Sample) -> list[bytes]:
        """D for a patient's tube, DQ for control material; one group per test."""
        layout = self.model.profile.au
        width = layout.test_width
        groups = "".join(
            f"{test.code[-width:]:>0{width}}{'':{layout.dilution_width}}{value:>{layout.value_width}}"
            f"{self._marks(test, value):<{layout.marks_width}}"
            for test, value in sample.values
        )
        code = "DQ" if sample.is_control else "D "
        between = self._between(sample)
        return [f"{self._identity(code, sample.specimen_id, sample.serial)}{between}{groups}".encode("latin-1")]

    def query(self, specimen_ids: Sequence[str], serial: int, at: datetime) -> bytes:
        """R, the type flag N for a normal sample."""
        return self._identity("R ", specimen_ids[0], serial, kind="N").encode("latin-1")

    def work_in(self, raw: bytes) -> WorkAnswer | None:
        """S repeats the identity, then E, a name where the site wants one, and three-digit numbers."""
        text, layout = raw.decode("latin-1"), self.model.profile.au
        if text[:1] != "S":
            return None
        if text[:2] == "SE":
            return WorkAnswer({})
        start = self._identity_length()
        specimen_id, rest = text[start - layout.specimen_width : start].strip(), text[start:]
        tests = rest[_IDENTITY_START + 1 :] if rest[: _IDENTITY_START + 1] == "    E" else ""
        if layout.has_name_block:
            tests = tests[len(_NAME_BLOCK) + _NAME_WIDTH :] if tests.startswith(_NAME_BLOCK) else ""
        width = 3
        numbers = [tests[at : at + width] for at in range(0, len(tests.rstrip()), width)]
        known = {test.code.zfill(width): test.code for test in self.tests}
        return WorkAnswer({specimen_id: tuple(known.get(number, number) for number in numbers)})

    def respond(self, raw: bytes, desk: Desk, serial: int, at: datetime) -> list[Outgoing]:
        """Answer R, RH and Rh; markers and results want nothing but the acknowledgement of the block."""
        text = raw.decode("latin-1")
        if text[:2] not in {"R ", "RH", "Rh"}:
            return []
        length = self._identity_length()
        specimen_id = text[length - self.model.profile.au.specimen_width : length].strip()
        return [Outgoing(self._work(text[:length], text[1:2], desk.get(specimen_id, ())))]

    def download(self, specimen_id: str, codes: Sequence[str], serial: int, at: datetime) -> bytes:
        """Return b"": the analyzer takes no work it did not ask for."""
        return b""

    def _work(self, identity: str, variant: str, codes: Sequence[str]) -> bytes:
        blanked = f"S{variant}{identity[2:8]} {identity[9:]}"
        name = f"{_NAME_BLOCK}{'SIM':<{_NAME_WIDTH}}" if self.model.profile.au.has_name_block else ""
        tests = "".join(f"{code[-3:]:>03}" for code in codes)
        return f"{blanked}{'':{_IDENTITY_START}}E{name}{tests}".encode("latin-1")

    def _identity(self, code: str, specimen_id: str, serial: int, *, kind: str = " ") -> str:
        width = self.model.profile.au.specimen_width
        return f"{code}{(serial - 1) // 10 + 1:04d}{(serial - 1) % 10 + 1:02d}{kind}{serial:04d}{specimen_id:>{width}}"

    def _identity_length(self) -> int:
        return 2 + 4 + 2 + 1 + 4 + self.model.profile.au.specimen_width

    def _between(self, sample: Sample) -> str:
        """Return what a site has between the identity and the groups: marks, and at the end the time of the run."""
        offset = self.model.profile.au.results_offset
        stamp = sample.stamp
        if offset <= len(stamp):
            return f"{'':{_IDENTITY_START}}E"[:offset].ljust(offset)
        return f"{'':{_IDENTITY_START}}E0".ljust(offset - len(stamp)) + stamp

    def _marks(self, test: SimulatedTest, value: str) -> str:
        return {"H": "H", "L": "L"}.get(test.flag_of(value), "")


class Dimension(Dialect):
    """Siemens Dimension: fields divided by FS; polls for work, asks for a tube, confirms every order."""

    tests: Tests = NAMED

    def results(self, sample: Sample) -> list[bytes]:
        """R: patient, sample, type, location, priority, time, cups, dilution, count, then four fields per test.

        The type of control material and of serum are numbers of the device; the time is SSMMHHDDMMYY.
        """
        kind = "QC1" if sample.is_control else "1"
        fields = ["R", "SIM", sample.specimen_id, kind, "", "0", f"{sample.at:%S%M%H%d%m%y}", "1", "1"]
        fields.append(str(len(sample.values)))
        for test, value in sample.values:
            fields += [test.code, value, test.unit, ""]
        return [_packed(fields)]

    def query(self, specimen_ids: Sequence[str], serial: int, at: datetime) -> bytes:
        """Ask for one tube; without a barcode poll for whatever there is."""
        return _packed(["I", specimen_ids[0]]) if specimen_ids else _packed(["P", "SIM", "1", "1", "0"])

    def work_in(self, raw: bytes) -> WorkAnswer | None:
        """D brings an order, N says that there is none."""
        fields = _fields(raw)
        if fields[0] == "N":
            return WorkAnswer({})
        if fields[0] != "D":
            return None
        count = int(fields[12]) if fields[12].isdigit() else 0
        codes = tuple(fields[13 : 13 + count]) if fields[3] == "A" else ()
        return WorkAnswer({fields[5]: codes})

    def reply(self, raw: bytes, serial: int, at: datetime) -> bytes:
        """Accept an order whose tests are known, reject any other."""
        fields = _fields(raw)
        if fields[0] != "D":
            return b""
        work = self.work_in(raw)
        known = {test.code for test in self.tests}
        is_known = work is not None and all(set(codes) <= known for codes in work.orders.values())
        return _packed(["M", "A", "", "", "", "42"] if is_known else ["M", "R", "2", "", "", "0"])

    def respond(self, raw: bytes, desk: Desk, serial: int, at: datetime) -> list[Outgoing]:
        """Answer polls, questions and results."""
        fields = _fields(raw)
        if fields[0] == "R":
            return [Outgoing(_packed(["M", "A", ""]))]
        if fields[0] == "I" and desk.get(fields[1]):
            return [Outgoing(self.download(fields[1], desk[fields[1]], serial, at))]
        if fields[0] in {"I", "P"}:
            return [Outgoing(_packed(["N"]))]
        return []

    def download(self, specimen_id: str, codes: Sequence[str], serial: int, at: datetime) -> bytes:
        """D: carrier, loadlist, A or D, patient, sample, type, location, priority, cups, position, dilution, tests."""
        fields = ["D", "0", "0", "A", "SIM", specimen_id, "1", "", "0", "1", "**", "1"]
        return _packed([*fields, str(len(codes)), *codes])


def _packed(fields: Sequence[str]) -> bytes:
    return (_FS.join(fields) + _FS).encode("latin-1")


def _fields(raw: bytes) -> list[str]:
    return [*raw.decode("latin-1").split(_FS), *[""] * 20]
