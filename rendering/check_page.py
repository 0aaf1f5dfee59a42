"""The public page behind a report's QR code: is there such a report, and is it the newest? No results, no full name."""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final

from markupsafe import Markup

from domain.clock import on_paper
from rendering.templating import environment

_STYLE: Final = (
    "body{margin:0;background:#eef2f6;color:#1c2733;font:16px/1.5 'Noto Sans',system-ui,sans-serif}"
    "main{max-width:32rem;margin:2rem auto;padding:1.5rem;background:#fff;border-top:.5rem solid #55606b}"
    "main.valid{border-color:#1b7f4b}main.superseded{border-color:#b26a00}"
    "main.withdrawn,main.unknown{border-color:#b3261e}"
    ".sign{font-size:2.5rem;line-height:1;margin:0}h1{font-size:1.35rem;margin:.5rem 0}"
    "dl{display:grid;grid-template-columns:auto 1fr;gap:.35rem 1rem}dt{color:#55606b}"
    "dd{margin:0;overflow-wrap:anywhere}"
)
CHECK_PAGE_POLICY: Final = (
    "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
    f"style-src 'sha256-{base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()}'"
)
"""Content-Security-Policy header to serve the page with: nothing but its own style."""

FINGERPRINT_CHARS: Final = 16


class CheckOutcome(StrEnum):
    """What is known about the report that a QR code names."""

    VALID = "valid"
    SUPERSEDED = "superseded"
    WITHDRAWN = "withdrawn"
    UNKNOWN = "unknown"


@dataclass(frozen=True)
class ReportCheck:
    """What the page may show.

    Attributes:
        patient_initials: `initials_of` the name; never more.
        sha256: Of the document, hexadecimal; only its beginning is shown.
        newest_version: The version in force.
    """

    outcome: CheckOutcome
    lab_name: str = ""
    report_no: str = ""
    version: int = 0
    newest_version: int = 0
    issued_at: datetime | None = None
    patient_initials: str = ""
    sha256: str = ""


_WORDS: Final = {
    CheckOutcome.VALID: (
        "✓",
        "This report is genuine",
        "यह रिपोर्ट असली है",
        "Compare the number, version and initials below with the paper.",
    ),
    CheckOutcome.SUPERSEDED: (
        "!",
        "This report was replaced by a newer version",
        "इस रिपोर्ट का नया संस्करण जारी हो चुका है",
        "Do not rely on this version. Ask the laboratory for the newest one.",
    ),
    CheckOutcome.WITHDRAWN: (
        "✕",
        "This report was withdrawn",
        "यह रिपोर्ट वापस ले ली गई है",
        "Do not rely on it. Ask the laboratory.",
    ),
    CheckOutcome.UNKNOWN: (
        "✕",
        "This report is not known here",
        "यह रिपोर्ट यहाँ दर्ज नहीं है",
        "The code may be incomplete or forged. Ask the laboratory named on the paper.",
    ),
}


def initials_of(name: str) -> str:
    """Return the first letters of up to four words of a name: `A. V.`; combining signs stay with their letter."""
    letters: list[str] = []
    for word in name.split()[:4]:
        first = next((char for char in word if char.isalpha()), "")
        if first:
            letters.append(f"{first.upper()}.")
    return " ".join(letters)


def render_check_page(check: ReportCheck) -> str:
    """Return the page as HTML; everything in it is escaped. Serve it with CHECK_PAGE_POLICY."""
    sign, heading, heading_hindi, advice = _WORDS[check.outcome]
    shown = check if check.outcome is not CheckOutcome.UNKNOWN else ReportCheck(CheckOutcome.UNKNOWN)
    return (
        environment()
        .get_template("check_page.html")
        .render(
            check=shown,
            style=Markup(_STYLE),  # noqa: S704  a constant of this file
            sign=sign,
            heading=heading,
            heading_hindi=heading_hindi,
            advice=advice,
            issued=f"{on_paper(shown.issued_at)} IST" if shown.issued_at else "",
            fingerprint=shown.sha256[:FINGERPRINT_CHARS],
        )
    )
