"""Vendors' LIVD files read into proposals: which LOINC code a device's code is said to have, in which unit.

LIVD itself says that its mappings are suggestions for laboratory staff and not suitable for automated configuration;
so this only proposes. Three forms are read: the spreadsheet, the same saved as CSV, and the FHIR bundle.

Source: HL7 FHIR Implementation Guide "LOINC / IVD Mapping (LIVD)", STU 1.0.0, general summary and ConceptMap profile;
column names of the spreadsheet form; both as read in specs.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from domain.catalogue import has_valid_loinc_check_digit
from domain.errors import MessageError
from rules.workbook import sheets_of

MAX_CHARS = 512 * 1024
MAX_ROWS = 2_000
MAX_FIELD_CHARS = 200

_CODE: Final = ("vendor analyte code", "analyte code", "test code")
_NAME: Final = ("vendor analyte name", "analyte name")
_SPECIMEN: Final = ("vendor specimen description", "specimen")
_RESULT: Final = ("vendor result description", "result description", "unit")
_LOINC: Final = ("loinc code", "loinc", "test performed loinc code")
_PROPERTY: Final = ("property", "loinc property")
_HEADER_ROWS: Final = 20
"""The header is looked for so far: vendors put a title above it."""
_SHOWN_UNUSABLE: Final = 50
_HEAD_CHARS: Final = 2_000
_ACTION: Final = "Save the vendor's file as CSV with its header row, or take its FHIR bundle."


@dataclass(frozen=True)
class LivdRow:
    """One line of a LIVD file.

    Attributes:
        unit: The vendor's result description: a unit text, or words such as `Ordinal`.
        loinc_property: Second axis of the LOINC name, or "".
    """

    code: str
    name: str
    specimen: str
    unit: str
    loinc: str
    loinc_property: str = ""


@dataclass(frozen=True)
class LivdFile:
    """What a file says.

    Attributes:
        rows: In its order, each once.
        unusable: What was left out, in words: rows without a test code, or whose LOINC code has a wrong check digit.
        unusable_count: How many there are; the first are named.
    """

    rows: tuple[LivdRow, ...]
    unusable: tuple[str, ...] = ()
    unusable_count: int = 0


def parse_livd(text: str) -> LivdFile:
    """Read a LIVD file that is text, in either form.

    Raises:
        MessageError: It is neither, too long, or holds nothing usable.
    """
    if len(text) > MAX_CHARS:
        raise MessageError(f"a LIVD file has at most {MAX_CHARS} characters", code="LIVD_INVALID", action=_ACTION)
    stripped = text.removeprefix("ï»¿").lstrip("\ufeff \t\r\n")
    return _checked(_bundle_rows(stripped) if stripped.startswith("{") else _csv_rows(stripped))


def parse_livd_workbook(data: bytes) -> LivdFile:
    """Read a LIVD file that is an XLSX workbook: the first sheet with a header of one.

    Raises:
        MessageError: It is no workbook, too large, or holds nothing usable.
    """
    for sheet in sheets_of(data):
        if any(_columns(row) for row in sheet[:_HEADER_ROWS]):
            return _checked(_table_rows(iter(sheet)))
    raise MessageError("no sheet's header names analyte code and LOINC code", code="LIVD_INVALID", action=_ACTION)


def _checked(found: Iterator[LivdRow]) -> LivdFile:
    rows: dict[LivdRow, None] = {}
    unusable: list[str] = []
    count = 0
    for row in found:
        if row.code and has_valid_loinc_check_digit(row.loinc):
            rows[row] = None
        elif row.code or row.loinc:
            count += 1
            if len(unusable) < _SHOWN_UNUSABLE:
                unusable.append(f"{row.code or 'no test code'}: {row.loinc or 'no LOINC code'}")
        if len(rows) > MAX_ROWS or count > MAX_ROWS:
            raise MessageError(f"a LIVD file has at most {MAX_ROWS} rows", code="LIVD_INVALID", action=_ACTION)
    if not rows:
        raise MessageError("the file has no row with a test code and a LOINC code", code="LIVD_INVALID", action=_ACTION)
    return LivdFile(tuple(rows), tuple(unusable), count)


def _csv_rows(text: str) -> Iterator[LivdRow]:
    """Read rows apart by commas, semicolons (Excel in Europe) or tabs."""
    lines = text if "\n" in text else text.replace("\r", "\n")
    head = lines[:_HEAD_CHARS]
    delimiter = max(",;\t", key=head.count)
    try:
        yield from _table_rows(csv.reader(io.StringIO(lines), strict=True, delimiter=delimiter))
    except csv.Error as error:
        raise MessageError("the file is no CSV", code="LIVD_INVALID", action=_ACTION) from error


def _table_rows(table: Iterator[list[str]]) -> Iterator[LivdRow]:
    columns: dict[str, int] = {}
    for number, cells in enumerate(table):
        if columns:
            facts = {name: cells[at] if 0 <= at < len(cells) else "" for name, at in columns.items()}
            yield LivdRow(**{name: _clean(cell) for name, cell in facts.items()})
        elif number < _HEADER_ROWS:
            columns = _columns(cells)
    if not columns:
        raise MessageError("the header names no analyte code and LOINC code", code="LIVD_INVALID", action=_ACTION)


def _columns(cells: list[str]) -> dict[str, int]:
    """Return the place of each column by its title, nothing where the row is no header."""
    header = [" ".join(cell.split()).lower() for cell in cells]
    columns = {
        name: next((header.index(title) for title in titles if title in header), -1)
        for name, titles in (
            ("code", _CODE), ("name", _NAME), ("specimen", _SPECIMEN), ("unit", _RESULT), ("loinc", _LOINC),
            ("loinc_property", _PROPERTY),
        )
    }  # fmt: skip
    return columns if columns["code"] >= 0 and columns["loinc"] >= 0 else {}


def _bundle_rows(text: str) -> Iterator[LivdRow]:
    try:
        bundle = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise MessageError("the file is no JSON", code="LIVD_INVALID", action=_ACTION) from error
    resources = [_mapping(_mapping(entry).get("resource")) for entry in _list(_mapping(bundle).get("entry"))]
    codes = _vendor_codes(resources)
    for resource in resources:
        if resource.get("resourceType") == "ConceptMap":
            for group in _list(resource.get("group")):
                for element in _list(_mapping(group).get("element")):
                    yield from _element_rows(_mapping(element), codes)


def _vendor_codes(resources: list[Mapping[str, Any]]) -> dict[str, str]:
    """Return the vendor's code by id and by name of its ObservationDefinition."""
    codes: dict[str, str] = {}
    for resource in resources:
        if resource.get("resourceType") == "ObservationDefinition":
            for coding in _list(_mapping(resource.get("code")).get("coding"))[:1]:
                facts = _mapping(coding)
                for key in (resource.get("id"), facts.get("display")):
                    codes[_clean(key)] = _clean(facts.get("code"))
    codes.pop("", None)
    return codes


def _element_rows(element: Mapping[str, Any], codes: Mapping[str, str]) -> Iterator[LivdRow]:
    name = _clean(element.get("display"))
    key = _clean(element.get("code"))
    code = codes.get(key) or codes.get(name) or key
    for target in _list(element.get("target")):
        facts = _mapping(target)
        known: dict[str, str] = {}
        for part in (*_list(facts.get("product")), *_list(facts.get("dependsOn"))):
            one = _mapping(part)
            known[_clean(one.get("property"))] = _clean(one.get("value"))
        yield LivdRow(code, name, known.get("specimen", ""), known.get("result", ""), _clean(facts.get("code")))


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _list(value: object) -> list[Any]:
    return value if isinstance(value, list) else []


def _clean(value: object) -> str:
    return (
        "".join(mark for mark in value if mark.isprintable()).strip()[:MAX_FIELD_CHARS]
        if isinstance(value, str)
        else ""
    )
