"""The printed report holds what it must, on the page where it must, whatever is in its fields."""

import re
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from io import BytesIO

import pytest
from pypdf import PdfReader

from domain.errors import RuleError
from domain.report import Amendment, ReportChange, ReportLanguage, ReportLine, ReportSection, ReportStatus
from domain.results import ResultFlag
from rendering.report import render_report
from tests.unit.rendering.samples import COLLECTED, HAEMOGLOBIN, REPORT, URL, letters_of, pages_of

HOSTILE = '#panic("x") *bold* _em_ $x^2$ `raw` <label> @ref #read("/etc/passwd") // c = H [b] {c} \\u{41} ~ --- "q"'


@pytest.fixture(scope="module")
def pdf() -> bytes:
    return render_report(REPORT)


@pytest.fixture(scope="module")
def page(pdf) -> str:
    return pages_of(pdf)[0]


@pytest.mark.parametrize(
    "needed",
    {
        "a patient": "Patient no. P-0001742",
        "a name": "Asha Verma",
        "a age and sex": "34 years / Female",
        "a collected": "Collected 23-11-2026 08:40 IST",
        "a received": "Received 23-11-2026 09:22 IST",
        "a issued": "Reported 23-11-2026 12:45 IST",
        "b laboratory": "Setu Diagnostics",
        "b address": "14 Ring Road, New Delhi 110024",
        "c requester": "Dr A. Rao, Sunrise Clinic",
        "c order": "DEL-261123-0042",
        "d sample": "Whole blood (EDTA) (261123000425)",
        "d site": "Serum, left arm",
        "e examination": "Haemoglobin",
        "f method": "Photometry · LOINC 718-7",
        "g result and unit": "6.4 ▼▼ L* g/dL",
        "h interval": "12.0 – 15.1",
        "i research": "‡ research or development: no performance is claimed",
        "j authorised": "Authorised by Dr Meera Krishnan MD (Pathology)",
        "j registration": "Reg. no. DMC/R/12345",
        "l critical": "* critical result",
        "l call": "Called to Dr A. Rao at 10:05; read back.",
        "m end": "*** End of report ***",
        "m pages": "Page 1 of 1",
        "m number": "R-DEL-2627-000917 v1",
        "sample quality": "slightly haemolysed",
        "not examined": "Plasma (fluoride) 261123000441: clotted",
        "referral laboratory": "† performed by Metro Reference Lab",
        "interpretation": "Please repeat fasting.",
        "notes": "Results relate only to the specimens received.",
        "check": URL,
    }.items(),
    ids=lambda item: item[0],
)
def test_every_item_that_the_standard_asks_for(page, needed):
    assert letters_of(needed[1]) in letters_of(page)


def test_a_normal_result_carries_no_flag(page):
    assert "0.82 mg/dL" in page
    assert "148 ▲ H mmol/L" in page


def test_patient_dates_number_and_page_stand_on_every_page():
    lines = tuple(
        ReportLine(f"Test {number}", str(number), "mg/dL", ResultFlag.NORMAL, "0 – 100", "A method", "718-7")
        for number in range(60)
    )
    pages = pages_of(render_report(replace(REPORT, sections=(ReportSection("Biochemistry", lines, "Panel"),))))
    assert len(pages) >= 3
    for number, text in enumerate(pages, start=1):
        assert f"Page {number} of {len(pages)}" in text
        for needed in ("P-0001742", "R-DEL-2627-000917 v1", "23-11-2026 08:40 IST", "23-11-2026 12:45 IST"):
            assert needed in text
        assert "Asha Verma" in text
        if "Test" in text and "mg/dL" in text:
            assert "Reference interval" in text, "the heading of the table is repeated"
    assert sum("End of report" in text for text in pages) == 1
    assert "End of report" in pages[-1]
    found = [int(number) for text in pages for number in re.findall(r"Test (\d+) A method", text)]
    assert found == list(range(60)), "each result once and in order"


def test_the_same_content_gives_the_same_bytes_on_any_thread(pdf):
    with ThreadPoolExecutor(4) as pool:
        assert set(pool.map(render_report, [REPORT] * 8)) == {pdf}
    assert render_report(replace(REPORT, notes=("other",))) != pdf


def test_the_file_is_archivable_accessible_and_dated_by_its_content(pdf):
    reader = PdfReader(BytesIO(pdf))
    assert reader.metadata.creation_date == REPORT.reported_at
    assert reader.metadata.title == "Report R-DEL-2627-000917 v1"
    assert reader.trailer["/Root"]["/MarkInfo"]["/Marked"]
    xmp = reader.trailer["/Root"]["/Metadata"].get_data()
    assert b"pdfaid:part>2<" in xmp
    assert b"pdfuaid:part>1<" in xmp


def fonts_of(reader):
    return {
        str(font.get_object()["/BaseFont"]).partition("+")[2]
        for sheet in reader.pages
        for font in sheet["/Resources"]["/Font"].values()
    }


def test_only_packaged_fonts_are_used(pdf):
    assert fonts_of(PdfReader(BytesIO(pdf))) <= {
        "NotoSans-Regular",
        "NotoSans-Italic",
        "DejaVuSansMono",
        "DejaVuSansMono-Bold",
        "DejaVuSansMono-Oblique",
    }


def test_an_amended_report_says_what_changed():
    amended = replace(
        REPORT,
        status=ReportStatus.AMENDED,
        version=2,
        amendment=Amendment(1, REPORT.reported_at, "Transcription error", (ReportChange("Creatinine", "8.2", "0.82"),)),
    )
    text = pages_of(render_report(amended))[0]
    assert "AMENDED REPORT, version 2, replaces version 1 of 23-11-2026 12:45 IST" in text
    assert "Reason: Transcription error" in text
    assert "Changed: Creatinine: 8.2 → 0.82" in text


def test_a_preliminary_report_says_so():
    line = replace(HAEMOGLOBIN, is_preliminary=True)
    preliminary = replace(
        REPORT, status=ReportStatus.PRELIMINARY, signatories=(), sections=(ReportSection("Haematology", (line,)),)
    )
    text = pages_of(render_report(preliminary))[0]
    assert "PRELIMINARY REPORT" in text
    assert "Haemoglobin (P)" in text
    assert "(P) preliminary result" in text


def test_auto_verified_is_printed():
    text = pages_of(render_report(replace(REPORT, signatories=(), auto_verified="autoverification-3")))[0]
    assert "Auto verified by the laboratory’s approved rules (autoverification-3)" in text


def is_drawn(words, text):
    """Whether all characters come in this order; the reader used here tells shaped syllables twice."""
    rest = iter(text)
    return all(char in rest for char in words)


def test_hindi_names_are_drawn():
    text = pages_of(render_report(replace(REPORT, patient=replace(REPORT.patient, name="आशा वर्मा"))))[0]
    assert is_drawn("Patient आशा वर्मा", text)
    assert "[U+" not in text


def test_hindi_headings_stand_beside_the_english_ones():
    text = pages_of(render_report(replace(REPORT, language=ReportLanguage.HINDI)))[0]
    assert is_drawn("Laboratory Report / प्रयोगशाला रिपोर्ट", text)
    assert "23-11-2026 08:40 IST" in text, "Latin digits in every language"


def test_markup_prints_literally_in_every_field():
    content = replace(
        REPORT,
        patient=replace(REPORT.patient, name=HOSTILE, age=HOSTILE, sex=HOSTILE, patient_no=HOSTILE),
        lab=replace(REPORT.lab, name=HOSTILE, address=(HOSTILE,), contact=HOSTILE, registration=HOSTILE),
        order_no=HOSTILE,
        report_no=HOSTILE,
        referring_doctor=HOSTILE,
        notes=(HOSTILE,),
        sections=(
            ReportSection(
                HOSTILE,
                (ReportLine(HOSTILE, HOSTILE, HOSTILE, ResultFlag.HIGH, HOSTILE, HOSTILE, HOSTILE, (HOSTILE,)),),
                HOSTILE,
                HOSTILE,
                (HOSTILE,),
            ),
        ),
        signatories=tuple(replace(one, name=HOSTILE, qualification=HOSTILE) for one in REPORT.signatories),
    )
    text = letters_of("".join(pages_of(render_report(content))))
    assert text.count(letters_of(HOSTILE)) >= 15


@pytest.mark.parametrize(
    ("name", "printed"),
    [
        ("a\x00b\x1bc\x7f", "a[U+0000]b[U+001B]c[U+007F]"),
        ("\u202egnp.exe", "[U+202E]gnp.exe"),
        ("علي", "[U+0639][U+0644][U+064A]"),
        ("\ud800", "[U+D800]"),
        ("பிரியா", "[U+0BAA]"),
        ("Z" + "\u0301" * 9, "[U+0301]"),
        ("x≤5 ≥ ±", "x≤5 ≥ ±"),
        ("k\u200cx", "k[U+200C]x"),
    ],
)
def test_what_no_font_shows_is_written_out(name, printed):
    text = pages_of(render_report(replace(REPORT, patient=replace(REPORT.patient, name=name))))[0]
    assert letters_of(printed) in letters_of(text)


def positions(pdf):
    """Return the right edge, in points, at which any text begins on any page."""
    found = []
    for sheet in PdfReader(BytesIO(pdf)).pages:
        sheet.extract_text(visitor_text=lambda text, cm, tm, *_: found.append(cm[4] + tm[4]) if text.strip() else None)
    return found


def test_endless_words_stay_inside_the_page_and_lose_nothing():
    word = "W" * 500
    line = ReportLine(word, "Ж" * 4000, word, ResultFlag.HIGH, word, word, "", ("क्षत्रियार्थ्य" * 300,))
    content = replace(
        REPORT,
        patient=replace(REPORT.patient, name=word),
        sections=(ReportSection(word, (line,), word, word),),
        notes=("n " * 4000,),
    )
    pdf = render_report(content)
    text = "".join(pages_of(pdf))
    assert text.count("Ж") == 4000
    assert max(positions(pdf)) < 595 - 40


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({"signatories": ()}, "nobody has authorised it"),
        ({"specimens": ()}, "no specimen is named"),
        ({"sections": ()}, "no result"),
        ({"report_no": " "}, "report number is missing"),
        ({"version": 0}, "version"),
        ({"status": ReportStatus.AMENDED}, "amended"),
        ({"verification_url": "javascript:alert(1)"}, "web address"),
        ({"reported_at": COLLECTED.replace(tzinfo=None)}, "no time zone"),
        ({"reported_at": COLLECTED - timedelta(hours=1)}, "in this order"),
        ({"notes": ("x" * 10_001,)}, "10000 characters"),
        ({"referring_doctor": "x" * 501}, "500 characters"),
        ({"lab": replace(REPORT.lab, accreditation="NABL MC-1234")}, "outside the accredited scope"),
        ({"sections": (ReportSection("X", (replace(HAEMOGLOBIN, is_preliminary=True),)),)}, "preliminary lines"),
        ({"sections": (ReportSection("X", (HAEMOGLOBIN,) * 1001),)}, "more than 1000 lines"),
        ({"sections": (ReportSection("X", (replace(HAEMOGLOBIN, result=" "),)),)}, "no result"),
    ],
)
def test_what_may_not_be_issued(change, fault):
    with pytest.raises(RuleError, match="may not be issued") as caught:
        render_report(replace(REPORT, **change))
    assert fault in caught.value.message
    assert "Asha" not in caught.value.message


def test_accreditation_is_printed_when_every_line_is_in_scope():
    section = ReportSection("Haematology", (replace(HAEMOGLOBIN, is_accredited=True),))
    lab = replace(REPORT.lab, accreditation="NABL certificate MC-1234")
    assert "NABL certificate MC-1234" in pages_of(render_report(replace(REPORT, lab=lab, sections=(section,))))[0]
