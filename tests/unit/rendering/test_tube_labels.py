"""Labels are read back by a barcode reader, from the picture that a printer or a viewer makes of them."""

import io
from datetime import UTC, date, datetime

import pypdfium2
import pytest
import zxingcpp
from PIL import Image
from pypdf import PdfReader
from zpl_core.render import render

from domain.accession import accession_no
from domain.errors import RuleError
from domain.tube_label import TubeLabel
from rendering.tube_labels import MAX_LABELS, labels_pdf, labels_zpl

AT = datetime(2026, 11, 23, 4, 30, tzinfo=UTC)


def label(serial: int = 12, **more: str) -> TubeLabel:
    facts = {
        "patient": "Asha Kulkarni", "person": "P000123 34 y F", "collected": "23-11-2026 08:15 ravi",
        "tube": "Serum, SST", "tests": "GLU CREA TSH", "priority": "STAT",
    }  # fmt: skip
    return TubeLabel(str(accession_no(date(2026, 11, 23), serial)), **{**facts, **more})


def read(picture: Image.Image) -> list[str]:
    found = zxingcpp.read_barcodes(picture)
    assert all(code.format == zxingcpp.BarcodeFormat.Code128 for code in found)
    return [code.text for code in found]


@pytest.mark.parametrize("dpi", [203, 300])
@pytest.mark.parametrize("serial", [1, 12, 98_765, 99_999])
def test_a_zpl_label_is_read_by_a_scanner(tmp_path, dpi, serial):
    render(labels_zpl([label(serial)], dpi=dpi), dpi=dpi, out=tmp_path / "label.png")
    with Image.open(tmp_path / "label.png") as picture:
        assert read(picture) == [label(serial).accession_no]


def test_nothing_of_a_zpl_label_leaves_the_paper(tmp_path):
    wide = label(patient="W" * 60, person="W" * 60, tests="W" * 60, tube="W" * 60, collected="W" * 60)
    drawn = render(labels_zpl([wide]), out=tmp_path / "label.png")
    assert drawn["warnings"] == []
    bars = next(item for item in drawn["drawn"] if item["type"] == "code128")
    left, _, right, _ = bars["dots"]
    assert bars["module_width"] == 2  # 0.25 mm
    assert left >= 20
    assert 406 - right >= 20, "a quiet zone of ten modules on either side"


@pytest.mark.parametrize("serial", [1, 12, 99_999])
def test_a_pdf_label_is_read_by_a_scanner(serial):
    pdf = labels_pdf([label(serial)], created_at=AT)
    page = pypdfium2.PdfDocument(pdf)[0]
    picture = page.render(scale=300 / 72).to_pil()
    assert read(picture) == [label(serial).accession_no]
    width, height = page.get_size()
    assert (round(width / 72 * 25.4, 1), round(height / 72 * 25.4, 1)) == (50.8, 25.4)


def test_a_pdf_has_a_page_for_each_label_and_copy():
    pdf = labels_pdf([label(1), label(2)], copies=2, created_at=AT)
    pages = PdfReader(io.BytesIO(pdf)).pages
    assert len(pages) == 4
    words = pages[0].extract_text()
    assert "261123 00001" in words
    assert "Asha Kulkarni" in words
    assert "23-11-2026 08:15" in words


def test_what_a_person_is_called_is_no_command_to_the_printer():
    zpl = labels_zpl([label(patient="^XZ~JA_5E\\", person="^FS^XA")])
    assert zpl.count("^XA") == zpl.count("^XZ") == 1
    assert "~" not in zpl
    assert "^FD_5EXZ_7EJA_5F5E_5C^FS" in zpl


def test_a_name_without_latin_letters_is_left_out():
    assert "आ" not in labels_zpl([label(patient="आशा")])


@pytest.mark.parametrize("count", [0, MAX_LABELS + 1])
def test_too_many_or_no_labels_are_refused(count):
    with pytest.raises(RuleError, match="labels cannot be printed"):
        labels_zpl([label()] * count)
    with pytest.raises(RuleError, match="labels cannot be printed"):
        labels_pdf([label()] * count, created_at=AT)


def test_an_unknown_resolution_is_refused():
    with pytest.raises(RuleError, match="dpi"):
        labels_zpl([label()], dpi=72)
