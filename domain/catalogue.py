"""What the laboratory can do: tests with their units, reference intervals and prices, and the panels made of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from decimal import ROUND_HALF_UP, Decimal
from enum import StrEnum
from types import MappingProxyType

from domain.errors import NotFoundError
from domain.results import ResultKind

MAX_AGE_DAYS = 54_787
"""150 years: the open end of an age range."""


class SexScope(StrEnum):
    """Whom a reference interval is for."""

    ANY = "any"
    MALE = "male"
    FEMALE = "female"


@dataclass(frozen=True)
class ReferenceInterval:
    """The values expected in one group of people.

    Attributes:
        age_from_days: Inclusive.
        age_to_days: Exclusive.
        low: Lowest expected value, inclusive, in the test's unit; None when there is none.
        high: Highest expected value, inclusive; None when there is none. For a titre, the reciprocal.
        text: What is printed instead of the numbers, or "".
        normal: For coded results, the expected answers.
        source: Where the values come from; a laboratory must approve them before use.
    """

    sex: SexScope = SexScope.ANY
    age_from_days: int = 0
    age_to_days: int = MAX_AGE_DAYS
    low: Decimal | None = None
    high: Decimal | None = None
    text: str = ""
    normal: tuple[str, ...] = ()
    source: str = ""

    def covers_age(self, age_days: int) -> bool:
        """Whether a person of that age belongs to the group."""
        return self.age_from_days <= age_days < self.age_to_days

    @property
    def covers_every_age(self) -> bool:
        """Whether it may be used for a person of unknown age."""
        return self.age_from_days == 0 and self.age_to_days >= MAX_AGE_DAYS

    def printed(self, decimals: int) -> str:
        """Return the interval as printed: its text, or `12.0 – 15.0`, `up to 5.0`, `from 60`."""
        if self.text:
            return self.text
        if self.low is not None and self.high is not None:
            return f"{rounded(self.low, decimals)} – {rounded(self.high, decimals)}"
        if self.high is not None:
            return f"up to {rounded(self.high, decimals)}"
        return f"from {rounded(self.low, decimals)}" if self.low is not None else ""


def rounded(number: Decimal, decimals: int) -> Decimal:
    """Return `number` with that many decimals, half up; a limit finer than that keeps its own digits."""
    exact = number.quantize(Decimal(1).scaleb(-decimals), rounding=ROUND_HALF_UP)
    return exact if exact == number else number


@dataclass(frozen=True)
class TestDefinition:
    """One test as ordered, measured, priced and reported.

    Attributes:
        code: The lab's own code, also the one analyzer profiles map to.
        unit: UCUM code, or "" for results without one.
        unit_display: The unit as printed.
        decimals: Digits after the point on paper; results are stored unrounded.
        price_paise: List price before tax.
        sac: Services accounting code of the line on the bill.
        gst_rate: Per cent; zero for exempt tests.
        taxable: False for what a clinical establishment supplies as health care.
        critical_low: At or below this a person is called, in the test's unit.
        critical_high: At or above this a person is called.
        critical_source: Where the critical limits come from.
        is_confidential: Never in a message, on an open link or in a work list by name (HIV).
        is_research: Reported without performance claims.
        tat_minutes: From receipt to report.
    """

    code: str
    name: str
    loinc: str
    department: str
    specimen: str
    container: str
    method: str
    kind: ResultKind
    unit: str
    unit_display: str
    decimals: int
    price_paise: int
    sac: str
    gst_rate: Decimal
    taxable: bool
    reference_intervals: tuple[ReferenceInterval, ...]
    critical_low: Decimal | None
    critical_high: Decimal | None
    is_confidential: bool
    tat_minutes: int
    critical_source: str = ""
    is_research: bool = False

    # The name starts with "Test": pytest must not take it for a test class.
    __test__ = False


@dataclass(frozen=True)
class PanelDefinition:
    """Tests that are ordered and priced together.

    Attributes:
        test_codes: In the order in which they are reported.
        price_paise: Price of the whole; not the sum of its tests.
    """

    code: str
    name: str
    loinc: str
    test_codes: tuple[str, ...]
    price_paise: int


@dataclass(frozen=True)
class Catalogue:
    """All tests and panels of one version of the catalogue file. Codes are unique over both."""

    version: str
    tests: tuple[TestDefinition, ...]
    panels: tuple[PanelDefinition, ...]
    _tests_by_code: Mapping[str, TestDefinition] = field(init=False, repr=False, compare=False)
    _panels_by_code: Mapping[str, PanelDefinition] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_tests_by_code", MappingProxyType({test.code: test for test in self.tests}))
        object.__setattr__(self, "_panels_by_code", MappingProxyType({panel.code: panel for panel in self.panels}))

    def test(self, code: str) -> TestDefinition:
        """Return the test with that code.

        Raises:
            NotFoundError: There is none.
        """
        found = self._tests_by_code.get(code)
        if found is None:
            raise NotFoundError(f"no test has the code {code[:40]!r}", code="TEST_UNKNOWN")
        return found

    def panel(self, code: str) -> PanelDefinition:
        """Return the panel with that code.

        Raises:
            NotFoundError: There is none.
        """
        found = self._panels_by_code.get(code)
        if found is None:
            raise NotFoundError(f"no panel has the code {code[:40]!r}", code="PANEL_UNKNOWN")
        return found

    def expand(self, codes: Iterable[str]) -> tuple[TestDefinition, ...]:
        """Return the tests behind test and panel codes, each once, in the order first met.

        Raises:
            NotFoundError: A code names neither.
        """
        wanted: dict[str, TestDefinition] = {}
        for code in codes:
            panel = self._panels_by_code.get(code)
            for test_code in panel.test_codes if panel else (code,):
                wanted.setdefault(test_code, self.test(test_code))
        return tuple(wanted.values())


LOINC_DIGITS_MAX = 7


def has_valid_loinc_check_digit(code: str) -> bool:
    """Whether `code` has the form of a LOINC code and its last digit is the mod-10 check digit of the others.

    Source: LOINC Users' Guide, appendix "Calculating mod 10 check digits" (the Luhn algorithm).
    """
    body, dash, check = code.partition("-")
    if not (code.isascii() and dash and body.isdigit() and check.isdigit()):
        return False
    if len(body) > LOINC_DIGITS_MAX or len(check) != 1:
        return False
    total = 0
    for position, digit in enumerate(reversed(body)):
        doubled = int(digit) * (2 if position % 2 == 0 else 1)
        total += doubled // 10 + doubled % 10
    return (10 - total % 10) % 10 == int(check)
