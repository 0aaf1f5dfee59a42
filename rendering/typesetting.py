"""Compiles a typst template of this package to an archivable PDF.

Data reaches the template as one JSON text; nothing is ever spliced into typst source. Each thread keeps its own
compiler, so rendering may run on any pool of threads.
"""

from __future__ import annotations

import io
import json
import threading
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Final

import segno
import typst

from domain.errors import LabError
from rendering.glyphs import load_fonts

TEMPLATES: Final = Path(__file__).parent / "templates"
PDF_STANDARDS: Final = ("a-2a", "ua-1")
"""Archivable (ISO 19005-2, level A) and accessible (ISO 14289-1): tagged, with a title and alternative texts."""

_per_thread = threading.local()


def compile_pdf(template: str, facts: Mapping[str, object], *, created_at: datetime) -> bytes:
    """Return the PDF of `template` (a file name in `templates/`) with `facts`; the same input gives the same bytes.

    Raises:
        LabError: The template does not compile with these facts, or a font is missing.
    """
    compiler = _compiler()
    try:
        document = compiler.compile(
            input=str(TEMPLATES / template),
            format="pdf",
            sys_inputs={"facts": json.dumps(facts, ensure_ascii=False)},
            pdf_standards=list(PDF_STANDARDS),
            timestamp=int(created_at.astimezone(UTC).timestamp()),
        )
    except typst.TypstError as error:
        # The diagnostic may quote a patient's data: only the first words of typst's message, without quotations.
        reason = error.message.split('"')[0].split("`")[0][:120]
        raise LabError(
            f"{template} could not be typeset: {reason}",
            code="TYPESETTING_FAILED",
            action="Report this as a fault of the software, with the number of the document.",
        ) from None
    if not isinstance(document, bytes):
        raise LabError(f"{template} gave no document", code="TYPESETTING_FAILED")
    return document


def qr_svg(text: str, *, error: str = "m") -> str:
    """Return a QR code of exactly `text` as SVG with its quiet zone, one unit per module.

    Args:
        text: At most 2953 bytes, at level L.
        error: Error correction level, `l` to `h`.
    """
    out = io.BytesIO()
    segno.make(text, error=error, micro=False, boost_error=False).save(
        out, kind="svg", border=4, xmldecl=False, svgns=True, nl=False
    )
    return out.getvalue().decode()


@cache
def _fonts() -> typst.Fonts:
    return load_fonts()


def _compiler() -> typst.Compiler:
    compiler: typst.Compiler | None = getattr(_per_thread, "compiler", None)
    if compiler is None:
        compiler = typst.Compiler(root=str(TEMPLATES), font_paths=_fonts(), ignore_system_fonts=True)
        _per_thread.compiler = compiler
    return compiler
