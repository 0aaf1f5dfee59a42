"""Renders a laboratory report to PDF: a pure function from content to bytes, safe on any thread."""

from __future__ import annotations

from domain.errors import RuleError
from domain.report import ReportContent, ReportSection, faults_of
from domain.results import ResultFlag
from rendering.labels import labels_for
from rendering.literal_text import paper_facts, printable
from rendering.typesetting import compile_pdf, qr_svg

_ARROWS = {
    ResultFlag.LOW: "▼",
    ResultFlag.HIGH: "▲",
    ResultFlag.CRITICAL_LOW: "▼▼",
    ResultFlag.CRITICAL_HIGH: "▲▲",
    ResultFlag.ABNORMAL: "■",
}
"""Beside the letter, so that a flag is seen on a black-and-white print and by those who do not see colours."""


def render_report(content: ReportContent) -> bytes:
    """Return the report as PDF/A-2a, accessible, the same bytes for the same content.

    Blocking and CPU-bound, some milliseconds a page: call it on a thread.

    Raises:
        RuleError: The content may not be issued; the message says why.
        LabError: It cannot be typeset.
    """
    faults = faults_of(content)
    if faults:
        raise RuleError(
            f"report {content.report_no[:40]} may not be issued: {'; '.join(faults)}",
            code="REPORT_INCOMPLETE",
            action="Complete or correct the order, then issue the report again.",
        )
    facts = paper_facts(content)
    document = {
        "report": facts,
        "sections": [_section(section) for section in content.sections],
        "marks": _marks(content),
        "labels": dict(labels_for(content.language)),
        "qr": qr_svg(content.verification_url),
    }
    return compile_pdf("report.typ", document, created_at=content.reported_at)


def _section(section: ReportSection) -> dict[str, object]:
    lines = [
        {
            "facts": paper_facts(line),
            "letter": line.flag.letter,
            "arrow": _ARROWS.get(line.flag, ""),
            "is_abnormal": line.flag.is_abnormal,
            "marks": "".join(
                [
                    "†" if line.performed_by else "",
                    "‡" if line.is_research else "",
                    " (P)" if line.is_preliminary else "",
                ]
            ),
        }
        for line in section.lines
    ]
    return {
        "department": printable(section.department),
        "title": printable(section.title),
        "specimen": printable(section.specimen),
        "comments": [printable(comment) for comment in section.comments],
        "lines": lines,
    }


def _marks(content: ReportContent) -> list[str]:
    """Return the explanations that this report needs, in the order of its marks."""
    lines = content.lines
    found: list[str] = []
    if any(line.flag.is_abnormal for line in lines):
        found.append("▲ H above, ▼ L below the reference interval; ■ A abnormal")
    if any(line.flag.is_critical for line in lines):
        found.append("* critical result")
    elsewhere = dict.fromkeys(line.performed_by for line in lines if line.performed_by)
    found += [f"† performed by {printable(name)}" for name in elsewhere]
    if any(line.is_research for line in lines):
        found.append("‡ research or development: no performance is claimed")
    if any(line.is_preliminary for line in lines):
        found.append("(P) preliminary result")
    return found
