"""Vendors' LIVD files: both forms, and what is none."""

import csv
import io
import json
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.errors import MessageError
from rules.livd import MAX_ROWS, LivdRow, parse_livd, parse_livd_workbook
from tests.unit.rules.test_workbook import workbook

CSV = """Manufacturer,Model,Vendor Analyte Code,Vendor Analyte Name,Vendor Specimen Description,\
Vendor Result Description,LOINC Code,Property
Setu,One,101,"Glucose, HK",Serum,mg/dL,2345-7,MCnc
Setu,One,101,"Glucose, HK",CSF,mg/dL,2342-4,MCnc
Setu,One,,No code,Serum,mg/dL,2345-7,MCnc
Setu,One,102,Wrong check digit,Serum,mg/dL,2345-8,MCnc
Setu,One,101,"Glucose, HK",Serum,mg/dL,2345-7,MCnc
"""


ROWS = (
    LivdRow("101", "Glucose, HK", "Serum", "mg/dL", "2345-7", "MCnc"),
    LivdRow("101", "Glucose, HK", "CSF", "mg/dL", "2342-4", "MCnc"),
)


def bundle(*elements) -> str:
    definition = {
        "resourceType": "ObservationDefinition", "id": "def-1",
        "code": {"coding": [{"code": "101", "display": "Glucose HK"}]},
    }  # fmt: skip
    maps = {"resourceType": "ConceptMap", "group": [{"element": list(elements)}]}
    return json.dumps({"resourceType": "Bundle", "entry": [{"resource": definition}, {"resource": maps}]})


def element(code: str, loinc: str, unit: str = "mg/dL", name: str = "Glucose HK"):
    on = [{"property": "specimen", "value": "Ser/Plas"}, {"property": "result", "value": unit}]
    return {"code": code, "display": name, "target": [{"code": loinc, "dependsOn": on}]}


def test_the_spreadsheet_form():
    file = parse_livd("\ufeff" + CSV)
    assert file.rows == ROWS
    assert (file.unusable, file.unusable_count) == (("no test code: 2345-7", "102: 2345-8"), 2)


@pytest.mark.parametrize("ends", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("between", [",", ";", "\t"])
@pytest.mark.parametrize("above", [[], [["Setu One: LOINC mapping"], [], ["read the notes"]]])
def test_a_file_as_spreadsheets_write_it(between: str, ends: str, above: list[list[str]]):
    text = io.StringIO()
    writer = csv.writer(text, delimiter=between, lineterminator=ends)
    writer.writerows([*above, *csv.reader(io.StringIO(CSV))])
    assert parse_livd("\ufeff" + text.getvalue()).rows == ROWS


def test_a_workbook_s_sheet_with_the_header():
    table = [["Setu One"], *csv.reader(io.StringIO(CSV))]
    file = parse_livd_workbook(workbook([["How to use this file"]], table))
    assert (file.rows, file.unusable_count) == (ROWS, 2)


def test_a_workbook_without_such_a_sheet():
    with pytest.raises(MessageError) as caught:
        parse_livd_workbook(workbook([["a", "b"]], []))
    assert caught.value.code == "LIVD_INVALID"


def test_the_bundle_names_codes_through_its_definitions():
    text = bundle(
        element("def-1", "2345-7"), element("unknown-id", "14749-6", "mmol/L"), element("7", "718-7", name="X")
    )
    assert [(row.code, row.loinc, row.unit) for row in parse_livd(text).rows] == [
        ("101", "2345-7", "mg/dL"), ("101", "14749-6", "mmol/L"), ("7", "718-7", "mg/dL"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    "text",
    [
        "", "{", "{}", "[]", "a,b\n1,2\n", '{"entry": [1, null, {"resource": 5}]}',
        "Vendor Analyte Code,LOINC Code\n1,x\n",
        'Vendor Analyte Code,LOINC Code\n"1,2345-7', "[" * 100_000, "{" * 100_000, "x" * 600_000,
        bundle({"code": 1, "display": [], "target": "no"}),
        "Vendor Analyte Code,LOINC Code\n" + "".join(f"{number},2345-7\n" for number in range(MAX_ROWS + 1)),
    ],
)  # fmt: skip
def test_what_is_no_such_file(text):
    with pytest.raises(MessageError) as caught:
        parse_livd(text)
    assert caught.value.code == "LIVD_INVALID"


@given(st.text(max_size=300))
def test_no_text_breaks_the_reader(text):
    for beginning in ("", "{", "Vendor Analyte Code,LOINC Code\n"):
        with suppress(MessageError):
            assert parse_livd(beginning + text).rows
