"""Workbooks as spreadsheet programs write them, and those that are made to do harm."""

import io
import zipfile
from contextlib import suppress
from xml.sax.saxutils import escape

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.errors import MessageError
from rules import workbook as module
from rules.workbook import MAX_BYTES, sheets_of

MAIN = 'xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"'


def archive(**parts: str | bytes) -> bytes:
    """Return an archive; `sheet1` stands for a worksheet's part, `strings` for the shared texts."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as packed:
        for name, content in parts.items():
            folder = "xl/worksheets/" if name.startswith("sheet") else "xl/"
            packed.writestr(f"{folder}{'sharedStrings' if name == 'strings' else name}.xml", content)
    return stream.getvalue()


def workbook(*sheets: list[list[str]]) -> bytes:
    """Return a workbook with shared texts, as Excel writes it; empty cells are left out."""
    texts: list[str] = []
    parts = {}
    for number, sheet in enumerate(sheets, start=1):
        rows = ""
        for at, row in enumerate(sheet, start=1):
            cells = ""
            for place, text in enumerate(row):
                if text:
                    texts.append(text)
                    cells += f'<c r="{chr(65 + place)}{at}" t="s"><v>{len(texts) - 1}</v></c>'
            rows += f'<row r="{at}">{cells}</row>'
        parts[f"sheet{number}"] = f"<worksheet {MAIN}><sheetData>{rows}</sheetData></worksheet>"
    shared = "".join(f"<si><t>{escape(text)}</t></si>" for text in texts)
    return archive(strings=f"<sst {MAIN}>{shared}</sst>", **parts)


def sheet(rows: str) -> str:
    return f"<worksheet {MAIN}><sheetData>{rows}</sheetData></worksheet>"


def test_shared_texts_and_gaps():
    assert sheets_of(workbook([["a", "", "c & d"], [], ["1"]], [["x"]])) == [[["a", "", "c & d"], [], ["1"]], [["x"]]]


def test_texts_in_runs_and_other_kinds_of_cells():
    strings = f"<sst {MAIN}><si><r><t>ab</t></r><r><t>cd</t></r><rPh><t>hint</t></rPh></si></sst>"
    cells = (
        '<row><c t="s"><v>0</v></c><c t="inlineStr"><is><t>in line</t></is></c><c><v>12</v></c>'
        '<c t="str"><f>A1</f><v>made</v></c><c t="s"><v>99</v></c><c r="AA1"><v>27</v></c></row>'
    )
    (((*first, last),),) = sheets_of(archive(strings=strings, sheet1=sheet(cells)))
    assert first[:5] == ["abcd", "in line", "12", "made", ""]
    assert (len(first), last) == (26, "27")


@pytest.mark.parametrize(
    "data",
    [
        b"", b"PK\x03\x04", b"x" * (MAX_BYTES + 1), workbook([["a"]])[:-30], archive(sheet1="<worksheet>"),
        archive(sheet1='<!DOCTYPE w [<!ENTITY a "b">]><worksheet>&a;</worksheet>'),
        archive(sheet1=sheet('<row><c r="ZZZ1"><v>1</v></c></row>')),
        archive(sheet1=sheet("<row/>" * (module.MAX_ROWS + 1))),
        archive(sheet1=sheet(" " * (module.MAX_UNPACKED_BYTES + 1))),
        archive(sheet1=sheet(" " * 9_000_000), sheet2=sheet(" " * 9_000_000)),
        archive(strings=f"<sst {MAIN}>" + "<si/>" * (module.MAX_CELLS + 1) + "</sst>"),
    ],
)  # fmt: skip
def test_what_is_no_workbook_or_too_large(data: bytes):
    with pytest.raises(MessageError) as caught:
        sheets_of(data)
    assert caught.value.code == "WORKBOOK_INVALID"


def test_an_encrypted_or_lying_archive():
    data = bytearray(workbook([["a"]]))
    place = data.index(b"PK\x01\x02")
    data[place + 8] |= 1  # the flag that says encrypted
    with pytest.raises(MessageError):
        sheets_of(bytes(data))


@given(st.binary(max_size=400), st.integers(0, 2000), st.integers(1, 60))
def test_no_bytes_break_the_reader(noise: bytes, at: int, length: int):
    whole = workbook([["Vendor Analyte Code", "LOINC Code"], ["1", "2345-7"]])
    at %= len(whole)
    for data in (noise, whole[:at] + noise[:length] + whole[at + length :]):
        with suppress(MessageError):
            assert isinstance(sheets_of(data), list)
