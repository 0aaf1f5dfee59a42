"""The public page confirms a report and tells nothing else."""

import base64
import hashlib
import re
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from rendering.check_page import CHECK_PAGE_POLICY, CheckOutcome, ReportCheck, initials_of, render_check_page

CHECK = ReportCheck(
    outcome=CheckOutcome.VALID,
    lab_name="Setu <Diagnostics> & Co",
    report_no="R-DEL-2627-000917",
    version=1,
    newest_version=1,
    issued_at=datetime(2026, 11, 23, 7, 15, tzinfo=UTC),
    patient_initials="A. V.",
    sha256="0123456789abcdef" * 4,
)


def test_a_valid_report():
    page = render_check_page(CHECK)
    for needed in ("This report is genuine", "R-DEL-2627-000917", "23-11-2026 12:45 IST", "A. V.", "0123456789abcdef<"):
        assert needed in page
    assert "Setu &lt;Diagnostics&gt; &amp; Co" in page
    assert CHECK.sha256 not in page
    assert "newest" not in page


def test_a_superseded_report():
    page = render_check_page(replace(CHECK, outcome=CheckOutcome.SUPERSEDED, newest_version=3))
    assert "replaced by a newer version" in page
    assert "1 (newest: 3)" in page


def test_an_unknown_report_shows_no_facts():
    page = render_check_page(replace(CHECK, outcome=CheckOutcome.UNKNOWN))
    assert "not known here" in page
    assert "R-DEL" not in page
    assert "A. V." not in page


@pytest.mark.parametrize("outcome", list(CheckOutcome))
def test_the_policy_allows_exactly_the_style(outcome):
    page = render_check_page(replace(CHECK, outcome=outcome))
    style = re.search(r"<style>(.*)</style>", page)[1]
    assert base64.b64encode(hashlib.sha256(style.encode()).digest()).decode() in CHECK_PAGE_POLICY
    assert "<script" not in page
    assert "noindex" in page


@pytest.mark.parametrize(
    ("name", "initials"),
    [("Asha Verma", "A. V."), ("  ", ""), ("आशा वर्मा", "आ. व."), ("o'neil", "O."), ("a b c d e", "A. B. C. D.")],
)
def test_initials(name, initials):
    assert initials_of(name) == initials
