"""Where the barcode may be: every field that could hold it, scored by what stands in it.

Rack positions and sequence numbers look like ids to a program; an accession number with its check digit does not
happen by chance, so it outweighs everything else.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from connectors.astm.codec import Record, parse_records
from connectors.astm.records import unframe
from connectors.hl7.codec import Segment, parse_message
from domain.accession import is_accession_no
from domain.device_profile import DELETE_VALUE, decode_text, parse_path
from domain.errors import MessageError

ASTM_PATHS: Final = (
    "O.3.1", "O.3.2", "O.3.3", "O.4.1", "O.4.2", "O.4.3", "O.4.4", "P.3.1", "P.4.1", "P.5.1", "Q.3.1", "Q.3.2", "Q.3.3",
)  # fmt: skip
HL7_PATHS: Final = (
    "SPM.2.1.1", "SPM.2.2", "SAC.3.1.1", "SAC.4.1", "OBR.2.1", "OBR.3.1", "ORC.2.1", "ORC.3.1", "PID.2.1", "PID.3.1",
    "QPD.3.1", "QPD.4.1", "QRD.8.1",
)  # fmt: skip
RESULT_RECORDS: Final = frozenset({"O", "P", "SPM", "SAC", "OBR", "ORC", "PID"})
"""Fields of the others name what a query asks for."""
MAX_EXAMPLES: Final = 3

_BARCODE: Final = re.compile(r"(?=(?:[^\d]{0,20}\d){4})[A-Za-z0-9_-]{6,20}")
_DATE: Final = re.compile(r"(?:19|20)\d{6}(?:\d{4}|\d{6})?")
_SMALL: Final = re.compile(r"\d{1,5}")
_SHAPES: Final = {"accession": 1.0, "barcode": 0.6, "text": 0.2, "date": 0.1, "number": 0.1}


@dataclass(frozen=True)
class FieldScore:
    """What stands in one field.

    Attributes:
        score: 0 to 1.
        shape: The most frequent one: `accession`, `barcode`, `text`, `date` or `number`.
        filled: In how many messages it holds something.
        distinct: How many different values.
        examples: Barcodes or numbers as sent.
    """

    path: str
    score: float
    shape: str
    filled: int
    distinct: int
    examples: tuple[str, ...]


def shape_of(value: str) -> str:
    """Return what a value looks like."""
    if is_accession_no(value):
        return "accession"
    if _DATE.fullmatch(value):
        return "date"
    if _SMALL.fullmatch(value):
        return "number"
    return "barcode" if _BARCODE.fullmatch(value) else "text"


def specimen_fields(messages: Sequence[bytes], protocol: str, charset: str = "auto") -> list[FieldScore]:
    """Return the fields that hold something, the most likely first. Messages that cannot be read are passed over."""
    paths = HL7_PATHS if protocol == "hl7" else ASTM_PATHS
    seen: dict[str, list[str]] = {path: [] for path in paths}
    read = 0
    for message in messages:
        values = list(_values(message, protocol, charset, paths))
        read += bool(values)
        for path, value in values:
            seen[path].append(value)
    scores = [_score(path, values, read) for path, values in seen.items() if values]
    return sorted(scores, key=lambda score: (-score.score, paths.index(score.path)))


def _values(message: bytes, protocol: str, charset: str, paths: Sequence[str]) -> Iterator[tuple[str, str]]:
    try:
        parts = list(_parts(message, protocol, charset))
    except MessageError:
        return
    for path in paths:
        name, field, component, subcomponent = parse_path(path)
        for kind, read in parts:
            if kind == name and (value := read(field, component, subcomponent)):
                yield path, value


_Read = Callable[[int, int, int], str]


def _parts(message: bytes, protocol: str, charset: str) -> Iterable[tuple[str, _Read]]:
    if protocol == "hl7":
        return [(segment.name, _of_segment(segment)) for segment in parse_message(message, charset).segments]
    text, _ = decode_text(unframe(message), ["utf-8"] if charset == "auto" else [charset])
    return [(record.kind, _of_record(record)) for record in parse_records(text)]


def _of_segment(segment: Segment) -> _Read:
    def read(field: int, component: int, subcomponent: int) -> str:
        return _first(segment.values(field, component, subcomponent))

    return read


def _of_record(record: Record) -> _Read:
    def read(field: int, component: int, _subcomponent: int) -> str:
        return _first(record.values(field, component))

    return read


def _first(values: Sequence[str]) -> str:
    value = values[0].strip()[:64] if values else ""
    return "" if value == DELETE_VALUE else value


def _score(path: str, values: list[str], read: int) -> FieldScore:
    shapes = [shape_of(value) for value in values]
    best = max(set(shapes), key=lambda shape: (shapes.count(shape), _SHAPES[shape]))
    mean = sum(_SHAPES[shape] for shape in shapes) / len(shapes)
    distinct = len(set(values))
    # the same text in many messages is the name of a rack or a patient, not of a tube
    repeated = 0.5 if len(values) > 2 and distinct == 1 and best != "accession" else 1.0  # noqa: PLR2004
    coverage = min(len(values) / max(read, 1), 1.0)
    of_person = 0.8 if path.partition(".")[0] in {"P", "PID"} else 1.0
    score = round(mean * repeated * of_person * (0.5 + 0.5 * coverage), 3)
    return FieldScore(path, score, best, len(values), distinct, tuple(dict.fromkeys(values))[:MAX_EXAMPLES])
