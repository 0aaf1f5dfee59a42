"""What stands on a tube's label, as one immutable value.

Latin letters only: barcode printers hold no Indian scripts unless a font is loaded into them, and a box where a name
should be identifies nobody. What cannot be printed is left out; the number under the bars is what counts.
Source: CLSI AUTO02 and AUTO12 (label size 50.8 x 25.4 mm, human-readable items), read in specs.
"""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass

from domain.accession import is_accession_no
from domain.errors import RuleError

MAX_LINE_CHARS = 60
WIDTH_MM, HEIGHT_MM = "50.8", "25.4"


@dataclass(frozen=True)
class TubeLabel:
    """One label.

    Attributes:
        accession_no: In the bars and below them.
        patient: Name, or "" where it has no Latin letters.
        person: Patient number, age and sex.
        collected: Time and collector, or "" before the collection.
        tube: Specimen and container; for an aliquot, of which tube.
        tests: Codes of what is to be measured, without confidential ones.
        priority: `STAT` or `URGENT`, or "".
    """

    accession_no: str
    patient: str = ""
    person: str = ""
    collected: str = ""
    tube: str = ""
    tests: str = ""
    priority: str = ""

    def __post_init__(self) -> None:
        if not is_accession_no(self.accession_no):
            raise RuleError(
                f"{self.accession_no[:20]!r} is not an accession number", code="LABEL_INVALID",
                action="Print labels for samples on record only.",
            )  # fmt: skip


def latin(text: str) -> str:
    """Return the text in printable Latin letters on one line, at most MAX_LINE_CHARS; "" where none would be left."""
    plain = unicodedata.normalize("NFKC", text)
    kept = "".join(char for char in plain if char == " " or (char.isprintable() and ord(char) < 0x250))  # noqa: PLR2004
    kept = " ".join(kept.split())[:MAX_LINE_CHARS]
    return kept if any(char.isalnum() for char in kept) else ""
