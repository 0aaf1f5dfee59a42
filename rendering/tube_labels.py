"""Renders tube labels: as ZPL for label printers, as PDF for every other one.

50.8 x 25.4 mm. The bars have modules of 2 dots at 203 dpi (0.25 mm) and quiet zones of ten modules, so twelve digits
take 25.3 mm and 30.3 mm with their quiet zones.
Source: ZPL II Programming Guide (^XA, ^FO, ^A0, ^BY, ^BC, ^FH, ^CI28, ^PQ); CLSI AUTO02 and AUTO12, read in specs.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Final

from domain.errors import RuleError
from domain.tube_label import TubeLabel, latin
from rendering.code128 import QUIET_MODULES, code128_svg, modules_of
from rendering.typesetting import compile_pdf

MAX_LABELS: Final = 200
_DOTS: Final = {203: 8, 300: 12}
"""Dots per millimetre of the printers in use."""
_WIDTH_MM: Final = 50.8
_HEIGHT_MM: Final = 25.4


def labels_zpl(labels: Sequence[TubeLabel], *, copies: int = 1, dpi: int = 203) -> str:
    """Return the labels as one ZPL text, to be sent to a printer as UTF-8 as it is.

    Raises:
        RuleError: There are no labels or too many, or the printer's resolution is not known.
    """
    _check(labels)
    if dpi not in _DOTS:
        raise RuleError(f"{dpi} dpi is not a resolution in use", code="LABEL_REFUSED", action="Use 203 or 300 dpi.")
    return "".join(_zpl(label, copies, _DOTS[dpi]) for label in labels)


def labels_pdf(labels: Sequence[TubeLabel], *, copies: int = 1, created_at: datetime) -> bytes:
    """Return the labels as PDF, one page each, in the size of the label.

    Raises:
        RuleError: There are no labels or too many.
        LabError: They cannot be typeset.
    """
    _check(labels)
    pages = [
        {
            "bars": code128_svg(label.accession_no),
            "number": spaced(label.accession_no),
            "patient": latin(label.patient),
            "person": latin(label.person),
            "collected": latin(label.collected),
            "tube": latin(label.tube),
            "tests": latin(label.tests),
            "priority": latin(label.priority),
        }
        for label in labels
        for _ in range(copies)
    ]
    return compile_pdf("tube_label.typ", {"labels": pages}, created_at=created_at)


def spaced(accession_no: str) -> str:
    """Return the number as people read it: day, serial and check digit apart."""
    return f"{accession_no[:6]} {accession_no[6:11]} {accession_no[11:]}"


def _check(labels: Sequence[TubeLabel]) -> None:
    if not 1 <= len(labels) <= MAX_LABELS:
        raise RuleError(
            f"{len(labels)} labels cannot be printed at once", code="LABEL_REFUSED",
            action=f"Print 1 to {MAX_LABELS} labels.",
        )  # fmt: skip


def _zpl(label: TubeLabel, copies: int, dots: int) -> str:
    width, height, module = round(_WIDTH_MM * dots), round(_HEIGHT_MM * dots), dots // 4
    bars = (len(modules_of(label.accession_no)) + 2 * QUIET_MODULES) * module
    left = (width - bars) // 2 + QUIET_MODULES * module
    edge, small, large, tall = dots, round(2.2 * dots), round(2.8 * dots), round(8.7 * dots)
    lines = [
        _text(edge, 0.6 * dots, large, latin(label.patient)[:26]),
        _text(width - 9 * dots, 0.6 * dots, large, latin(label.priority)[:6]),
        _text(edge, 3.6 * dots, small, latin(label.person)[:34]),
        f"^FO{left},{round(6.3 * dots)}^BY{module},2.5,{tall}^BCN,{tall},N,N,N,A^FD{label.accession_no}^FS",
        _text(left, 15.4 * dots, large, spaced(label.accession_no)),
        _text(edge, 18.4 * dots, small, latin(label.tube)[:38]),
        _text(edge, 20.7 * dots, small, latin(label.tests)[:38]),
        _text(edge, 23.0 * dots, small, latin(label.collected)[:38]),
    ]
    head = f"^XA^CI28^PW{width}^LL{height}^LH0,0"
    return head + "".join(lines) + f"^PQ{copies},0,0,N^XZ\n"


def _text(x: float, y: float, size: int, text: str) -> str:
    """Return a line of text; what would be a command to the printer is written as bytes in hexadecimal."""
    if not text:
        return ""
    escaped = "".join(f"_{ord(char):02X}" if char in "^~_\\" else char for char in text)
    return f"^FO{round(x)},{round(y)}^A0N,{size},{size}^FH_^FD{escaped}^FS"
