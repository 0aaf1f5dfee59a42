"""How long a report and a bill take to become a PDF."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace

from bench.results import Section, Table, is_quick, percentile, recorded, timed
from domain.report import ReportLanguage, ReportLine, ReportSection
from domain.results import ResultFlag
from rendering.receipt import render_invoice
from rendering.report import render_report
from tests.unit.rendering.samples import BILL, REPORT, TAX_INVOICE

_LINES = tuple(
    ReportLine(f"Analyte {number}", f"{number / 7:.2f}", "mg/dL", ResultFlag.NORMAL, "0 – 100", "Photometry", "718-7")
    for number in range(120)
)


def run() -> None:
    """Measure and record."""
    begun = time.perf_counter()
    render_report(REPORT)
    first = (time.perf_counter() - begun) * 1000
    section = Section(
        "render",
        "Typesetting",
        "The same content is rendered again and again in one thread, PDF/A-2a with its fonts and QR code.",
    )
    with recorded(section):
        section.tables = [_measured()]
        section.notes = [f"The first document of a process takes {first:,.0f} ms: fonts are read once."]


def _measured() -> Table:
    long = replace(REPORT, sections=(ReportSection("Biochemistry", _LINES, "Everything"),))
    documents: dict[str, Callable[[], bytes]] = {
        "report, 4 results": lambda: render_report(REPORT),
        "report, 4 results, Hindi headings": lambda: render_report(replace(REPORT, language=ReportLanguage.HINDI)),
        "report, 120 results": lambda: render_report(long),
        "bill of supply": lambda: render_invoice(BILL),
        "tax invoice with signed QR code": lambda: render_invoice(TAX_INVOICE),
    }
    table = Table(["document", "p50 ms", "p95 ms", "kB"])
    for name, call in documents.items():
        size = len(call()) / 1024
        spent = [each * 1000 for each in timed(call, for_s=0.3 if is_quick() else 3)]
        table.rows.append((name, percentile(spent, 50), percentile(spent, 95), size))
    return table
