"""QR codes, fonts, and what a typesetting error tells."""

import json
import re
from datetime import UTC, datetime

import pytest
import segno
import typst

from domain.errors import LabError
from rendering.glyphs import SIGNS, load_fonts, printable_characters
from rendering.typesetting import compile_pdf, qr_svg
from tests.unit.rendering.samples import TAX_INVOICE, URL

NOW = datetime(2026, 11, 23, tzinfo=UTC)


def modules_of(svg):
    """Return the dark modules of a QR code in SVG, as (row, column), by walking its path."""
    size = int(re.search(r'<svg[^>]* width="(\d+)"', svg)[1])
    path = re.search(r'<path[^>]* d="([^"]+)"', svg)[1]
    dark, x, y = set(), 0.0, 0.0
    for command, numbers in re.findall(r"([Mmh])([^Mmh]*)", path):
        values = [float(number) for number in re.findall(r"-?\d*\.?\d+", numbers)]
        if command == "M":
            x, y = values
        elif command == "m":
            x, y = x + values[0], y + values[1]
        else:
            dark |= {(int(y), int(x) + step) for step in range(int(values[0]))}
            x += values[0]
    return size, dark


@pytest.mark.parametrize(("text", "level"), [(URL, "m"), (TAX_INVOICE.signed_qr, "l")])
def test_the_qr_code_holds_exactly_the_text(text, level):
    size, dark = modules_of(qr_svg(text, error=level))
    matrix = segno.make(text, error=level, micro=False, boost_error=False).matrix
    border = 4
    assert size == len(matrix) + 2 * border
    assert dark == {
        (row + border, column + border) for row, bits in enumerate(matrix) for column, bit in enumerate(bits) if bit
    }
    assert len(dark) > 200


def test_another_text_gives_another_code():
    assert modules_of(qr_svg(URL)) != modules_of(qr_svg(URL + "x"))


def test_a_missing_font_is_a_clear_error(tmp_path):
    with pytest.raises(LabError, match="Noto Sans") as caught:
        load_fonts(tmp_path)
    assert caught.value.code == "FONT_MISSING"
    assert "fontpkg-noto-sans" in caught.value.action
    with pytest.raises(LabError):
        printable_characters(tmp_path)


def test_coverage_knows_what_the_font_has():
    covered = printable_characters()
    assert {ord(char) for char in "Aशz९₹µ³–·×"} | {ord(sign) for sign in SIGNS} <= covered
    assert not {ord(char) for char in "中தعש"} & covered


@pytest.mark.parametrize("weight", ["regular", "bold"])
def test_every_character_called_printable_can_be_archived(weight, tmp_path):
    # PDF/A refuses a character without a glyph, so one compilation proves the coverage table.
    text = " ".join(chr(point) for point in sorted(printable_characters()) if chr(point).isprintable())
    assert compile_probe({"all": text, "weight": weight}, tmp_path).startswith(b"%PDF")


def compile_probe(facts, folder):
    source = (
        "#let d = json(bytes(sys.inputs.facts))\n"
        '#set document(title: "x")\n#set text(font: ("Noto Sans", "DejaVu Sans Mono"), fallback: false)\n'
        "#text(weight: d.weight, d.all)\n#emph(d.all)"
    )
    (folder / "probe.typ").write_text(source, encoding="utf-8")
    compiler = typst.Compiler(root=str(folder), font_paths=load_fonts(), ignore_system_fonts=True)
    return compiler.compile(
        input=str(folder / "probe.typ"), format="pdf", sys_inputs={"facts": json.dumps(facts)}, pdf_standards=["a-2a"]
    )


def test_a_template_error_names_no_patient():
    with pytest.raises(LabError) as caught:
        compile_pdf("report.typ", {"report": {"secret-name": "Asha Verma"}}, created_at=NOW)
    assert caught.value.code == "TYPESETTING_FAILED"
    assert "Asha" not in str(caught.value)
    assert caught.value.__cause__ is None
