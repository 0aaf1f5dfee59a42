"""Reads the catalogue file and refuses it as a whole, with every fault named, unless all of it is right.

Every scalar is read as text (YAML's base schema): a limit of 4.0 never passes through a float, and codes such as NO or
1e3 stay codes. `store/seed_data/catalogue.yaml` is the demo laboratory's and shows the format.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from enum import StrEnum
from itertools import combinations
from pathlib import Path
from typing import Final, TypeVar

import yaml

from domain.catalogue import (
    MAX_AGE_DAYS,
    Catalogue,
    PanelDefinition,
    ReferenceInterval,
    SexScope,
    TestDefinition,
    has_valid_loinc_check_digit,
)
from domain.errors import RuleError
from domain.results import ResultKind
from domain.units import UCUM_DISPLAY

DEFAULT_CATALOGUE: Final = Path(__file__).parent / "seed_data" / "catalogue.yaml"
MAX_FILE_BYTES: Final = 4 << 20
MAX_TESTS: Final = 5000
MAX_DECIMALS: Final = 6
MAX_PRICE_PAISE: Final = 10**9
MAX_SHOWN_FAULTS: Final = 100
GST_RATES: Final = frozenset({Decimal(0), Decimal(5), Decimal(18), Decimal(40)})
"""Source: GST rates from 2025-09-22, 56th GST Council meeting, read from specs; special rates do not occur in a lab."""
_DAYS_PER: Final = {"d": Decimal(1), "m": Decimal("30.4375"), "y": Decimal("365.25")}
_SAC_DIGITS: Final = 6
_MAX_LIMIT_CHARS: Final = 20

Row = Mapping[str, object]
_Kind = TypeVar("_Kind", bound=StrEnum)

_TEST_TEXTS: Final = ("code", "name", "department", "specimen", "container", "method")
"""Fields that every test must have."""
_TEST_KEYS: Final = frozenset(
    {*_TEST_TEXTS, "loinc", "kind", "unit", "unit_display", "decimals", "price_paise", "sac", "gst_rate", "taxable"}
    | {"intervals", "critical", "confidential", "research", "tat_minutes"},
)
_INTERVAL_KEYS: Final = frozenset({"sex", "from", "to", "low", "high", "text", "normal", "source"})
_CRITICAL_KEYS: Final = frozenset({"low", "high", "source"})
_PANEL_KEYS: Final = frozenset({"code", "name", "loinc", "tests", "price_paise"})


def load_catalogue(path: Path = DEFAULT_CATALOGUE) -> Catalogue:
    """Return the catalogue in `path`.

    Raises:
        RuleError: It cannot be read, or rows are wrong; the message names every wrong row.
    """
    document = _document(path)
    faults = _Faults()
    faults.unknown_keys("file", document, frozenset({"version", "tax", "groups", "panels"}))
    tests: list[TestDefinition] = []
    for number, group in enumerate(_rows(document.get("groups"), "groups", faults), start=1):
        inherited = {**_mapping(document.get("tax"), "tax", faults), **group}
        rows = _rows(inherited.pop("tests", None), f"group {number}", faults)
        tests += [_test({**inherited, **row}, faults) for row in rows]
    panels = [_panel(row, faults) for row in _rows(document.get("panels"), "panels", faults)]
    _check_codes(tests, panels, faults)
    faults.raise_any(path)
    return Catalogue(version=_text(document, "version"), tests=tuple(tests), panels=tuple(panels))


@dataclass
class _Faults:
    """Collects what is wrong, so that a person corrects a file once and not row by row."""

    found: list[str] = field(default_factory=list)

    def add(self, where: str, what: str) -> None:
        self.found.append(f"{where}: {what}"[:300])

    def unknown_keys(self, where: str, row: Row, known: frozenset[str]) -> None:
        for key in sorted(set(row) - known):
            self.add(where, f"{key!r} is not a field")

    def raise_any(self, path: Path) -> None:
        if not self.found:
            return
        shown = self.found[:MAX_SHOWN_FAULTS]
        rest = len(self.found) - len(shown)
        lines = [*shown, f"and {rest} more"] if rest else shown
        raise RuleError(
            f"{path.name} has {len(self.found)} faults:\n" + "\n".join(lines),
            code="CATALOGUE_INVALID",
            action="Correct every row named and load the file again; nothing of it was taken over.",
            context={"faults": str(len(self.found))},
        )


def _document(path: Path) -> Row:
    try:
        with path.open("rb") as file:
            content = file.read(MAX_FILE_BYTES + 1)
        document = yaml.load(content, Loader=yaml.BaseLoader)  # noqa: S506  builds text, lists and mappings only
    except (OSError, ValueError, RecursionError, yaml.YAMLError) as error:
        raise RuleError(
            f"{path.name} cannot be read as YAML: {str(error)[:300]}",
            code="CATALOGUE_UNREADABLE",
            action="Restore the file, or correct the place named.",
        ) from error
    if len(content) > MAX_FILE_BYTES or not isinstance(document, dict):
        raise RuleError(
            f"{path.name} is not a catalogue of at most {MAX_FILE_BYTES} bytes", code="CATALOGUE_UNREADABLE"
        )
    return document


def _test(row: Row, faults: _Faults) -> TestDefinition:
    where = f"test {_text(row, 'code') or '?'}"
    faults.unknown_keys(where, row, _TEST_KEYS)
    for key in _TEST_TEXTS:
        if not _text(row, key):
            faults.add(where, f"{key} is missing")
    critical = _mapping(row.get("critical"), where, faults)
    faults.unknown_keys(f"{where} critical", critical, _CRITICAL_KEYS)
    unit = _text(row, "unit")
    test = TestDefinition(
        code=_text(row, "code"),
        name=_text(row, "name"),
        loinc=_text(row, "loinc"),
        department=_text(row, "department"),
        specimen=_text(row, "specimen"),
        container=_text(row, "container"),
        method=_text(row, "method"),
        kind=_choice(row, "kind", ResultKind.TEXT, where, faults),
        unit=unit,
        unit_display=_text(row, "unit_display") or UCUM_DISPLAY.get(unit, unit),
        decimals=_whole(row, "decimals", where, faults, highest=MAX_DECIMALS, default="0"),
        price_paise=_whole(row, "price_paise", where, faults, lowest=1, highest=MAX_PRICE_PAISE),
        sac=_text(row, "sac"),
        gst_rate=_decimal(row, "gst_rate", where, faults) or Decimal(0),
        taxable=_yes_no(row, "taxable", where, faults),
        reference_intervals=tuple(
            _interval(item, where, faults) for item in _rows(row.get("intervals", []), where, faults)
        ),
        critical_low=_decimal(critical, "low", where, faults),
        critical_high=_decimal(critical, "high", where, faults),
        critical_source=_text(critical, "source"),
        is_confidential=_yes_no(row, "confidential", where, faults),
        is_research=_yes_no(row, "research", where, faults),
        tat_minutes=_whole(row, "tat_minutes", where, faults, lowest=1, highest=525_600),
    )
    for fault in (*_code_faults(test, row), *_tax_faults(test), *_limit_faults(test)):
        faults.add(where, fault)
    return test


def _interval(row: Row, where: str, faults: _Faults) -> ReferenceInterval:
    faults.unknown_keys(f"{where} interval", row, _INTERVAL_KEYS)
    normal = row.get("normal", [])
    if not isinstance(normal, list) or not all(isinstance(answer, str) for answer in normal):
        faults.add(where, "normal must be a list of answers")
        normal = []
    return ReferenceInterval(
        sex=_choice(row, "sex", SexScope.ANY, where, faults),
        age_from_days=_age(row, "from", 0, where, faults),
        age_to_days=_age(row, "to", MAX_AGE_DAYS, where, faults),
        low=_decimal(row, "low", where, faults),
        high=_decimal(row, "high", where, faults),
        text=_text(row, "text"),
        normal=tuple(normal),
        source=_text(row, "source"),
    )


def _panel(row: Row, faults: _Faults) -> PanelDefinition:
    where = f"panel {_text(row, 'code') or '?'}"
    faults.unknown_keys(where, row, _PANEL_KEYS)
    loinc = _text(row, "loinc")
    if not _text(row, "code") or not _text(row, "name"):
        faults.add(where, "code and name are needed")
    if loinc and not has_valid_loinc_check_digit(loinc):
        faults.add(where, f"LOINC {loinc[:20]} has a wrong check digit")
    codes = row.get("tests")
    if not isinstance(codes, list) or not codes or not all(isinstance(code, str) for code in codes):
        faults.add(where, "tests must be a list of test codes")
        codes = []
    return PanelDefinition(
        code=_text(row, "code"),
        name=_text(row, "name"),
        loinc=loinc,
        test_codes=tuple(codes),
        price_paise=_whole(row, "price_paise", where, faults, lowest=1, highest=MAX_PRICE_PAISE),
    )


def _check_codes(tests: Sequence[TestDefinition], panels: Sequence[PanelDefinition], faults: _Faults) -> None:
    if not tests or len(tests) > MAX_TESTS:
        faults.add("file", f"has {len(tests)} tests; 1 to {MAX_TESTS} are possible")
    for code, count in Counter([*(test.code for test in tests), *(panel.code for panel in panels)]).items():
        if count > 1:
            faults.add(f"code {code}", f"is used {count} times; tests and panels share one set of codes")
    known = {test.code for test in tests}
    for panel in panels:
        for code, count in Counter(panel.test_codes).items():
            if code not in known:
                faults.add(f"panel {panel.code}", f"has the unknown test {code!r}")
            if count > 1:
                faults.add(f"panel {panel.code}", f"has the test {code!r} {count} times")


def _code_faults(test: TestDefinition, row: Row) -> list[str]:
    found: list[str] = []
    if test.loinc and not has_valid_loinc_check_digit(test.loinc):
        found.append(f"LOINC {test.loinc[:20]} has a wrong check digit")
    if not test.loinc and not test.is_research:
        found.append("loinc is missing")
    measured = test.kind in {ResultKind.NUMERIC, ResultKind.TITRE}
    if measured and test.unit not in UCUM_DISPLAY:
        found.append(f"unit {test.unit!r} is not in the list of UCUM units")
    if measured and not row.get("decimals"):
        found.append("decimals are missing")
    if not measured and test.unit:
        found.append(f"a {test.kind} result has no unit")
    return found


def _tax_faults(test: TestDefinition) -> list[str]:
    found: list[str] = []
    if not (test.sac.isascii() and test.sac.isdigit() and len(test.sac) == _SAC_DIGITS):
        found.append(f"SAC {test.sac!r} must have six digits")
    if test.gst_rate not in GST_RATES:
        found.append(f"GST rate {test.gst_rate} is not one of {', '.join(map(str, sorted(GST_RATES)))}")
    if test.taxable != (test.gst_rate > 0):
        found.append("taxable tests have a GST rate, exempt ones have none")
    return found


def _limit_faults(test: TestDefinition) -> list[str]:
    found: list[str] = []
    low, high = test.critical_low, test.critical_high
    if low is not None and high is not None and low >= high:
        found.append(f"critical low {low} is not below critical high {high}")
    if (low is not None or high is not None) and not test.critical_source:
        found.append("critical limits need a source")
    for item in test.reference_intervals:
        found += _interval_faults(item, test)
    for first, second in combinations(test.reference_intervals, 2):
        ages = max(first.age_from_days, second.age_from_days), min(first.age_to_days, second.age_to_days)
        if first.sex is second.sex and ages[0] < ages[1]:
            found.append(f"intervals for {first.sex} overlap between {ages[0]} and {ages[1]} days of age")
    return found


def _interval_faults(item: ReferenceInterval, test: TestDefinition) -> list[str]:
    found: list[str] = []
    if item.age_from_days >= item.age_to_days:
        found.append(f"interval from {item.age_from_days} to {item.age_to_days} days covers no age")
    if item.low is None and item.high is None and not item.text:
        found.append("an interval needs low, high or text")
    if item.low is not None and item.high is not None and item.low > item.high:
        found.append(f"interval low {item.low} is above high {item.high}")
    if not item.source:
        found.append("an interval needs a source")
    if test.critical_low is not None and item.low is not None and test.critical_low >= item.low:
        found.append(f"critical low {test.critical_low} is not below the interval's low {item.low}")
    if test.critical_high is not None and item.high is not None and test.critical_high <= item.high:
        found.append(f"critical high {test.critical_high} is not above the interval's high {item.high}")
    if test.kind is ResultKind.CODED and not item.normal:
        found.append("an interval of a coded test needs its normal answers")
    return found


def _rows(value: object, where: str, faults: _Faults) -> list[Row]:
    if not isinstance(value, list):
        faults.add(where, "a list of rows is missing")
        return []
    rows: list[Row] = [item for item in value if isinstance(item, dict)]
    if len(rows) != len(value):
        faults.add(where, "a row is not a mapping")
    return rows[: MAX_TESTS + 1]


def _mapping(value: object, where: str, faults: _Faults) -> Row:
    if value is not None and not isinstance(value, dict):
        faults.add(where, "a mapping was expected")
    return value if isinstance(value, dict) else {}


def _text(row: Row, key: str) -> str:
    value = row.get(key, "")
    return value.strip() if isinstance(value, str) else ""


def _whole(row: Row, key: str, where: str, faults: _Faults, *, lowest: int = 0, highest: int, default: str = "") -> int:
    text = _text(row, key) or default
    if text.isascii() and text.isdigit() and len(text) <= _MAX_LIMIT_CHARS and lowest <= int(text) <= highest:
        return int(text)
    faults.add(where, f"{key} {text[:20]!r} is not a whole number from {lowest} to {highest}")
    return lowest


def _decimal(row: Row, key: str, where: str, faults: _Faults) -> Decimal | None:
    text = _text(row, key)
    if not text:
        return None
    plain = text.replace(".", "", 1).removeprefix("-")
    if text.isascii() and plain.isdigit() and len(text) <= _MAX_LIMIT_CHARS:
        return Decimal(text)
    faults.add(where, f"{key} {text[:20]!r} is not a number")
    return None


def _yes_no(row: Row, key: str, where: str, faults: _Faults) -> bool:
    text = _text(row, key)
    if text not in {"", "true", "false"}:
        faults.add(where, f"{key} {text[:20]!r} is neither true nor false")
    return text == "true"


def _choice(row: Row, key: str, default: _Kind, where: str, faults: _Faults) -> _Kind:
    text = _text(row, key)
    if not text:
        return default
    try:
        return type(default)(text)
    except ValueError as error:
        faults.add(where, f"{key}: {error}")
        return default


def _age(row: Row, key: str, default: int, where: str, faults: _Faults) -> int:
    """Return an age such as `28d` in whole days, rounded down so that nobody gets a new interval late."""
    text = _text(row, key)
    if not text:
        return default
    number, unit = text[:-1], text[-1]
    if number.isascii() and number.isdigit() and len(number) <= len(str(MAX_AGE_DAYS)) and unit in _DAYS_PER:
        return min(int(Decimal(number) * _DAYS_PER[unit]), MAX_AGE_DAYS)
    faults.add(where, f"{key} {text[:20]!r} is not an age such as 28d, 6m or 18y")
    return default
