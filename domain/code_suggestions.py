"""What a device's code may mean, as it is shown beside a capture: a proposal and how the units stand to each other."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from typing import TypeAlias


class UnitCheck(StrEnum):
    """How a device's unit stands to a test's."""

    SAME = "same"
    FACTOR = "factor"
    """The same quantity in another size: the device's number is multiplied."""
    MISMATCH = "mismatch"
    """Another quantity: the code means something else, or the device is set up wrongly."""
    UNKNOWN = "unknown"
    """The device sends no unit, or one that only a person can judge."""


@dataclass(frozen=True)
class CodeSuggestion:
    """What a code may mean.

    Attributes:
        origin: `exact`, `model`, `alias` or `abbreviation`.
        score: 0 to 1; below 0.5 the units speak against it.
        factor: By what the device's number is multiplied, where units differ in size only.
    """

    test_code: str
    test_name: str
    origin: str
    score: float
    unit_check: UnitCheck
    factor: Decimal | None = None


Suggest: TypeAlias = Callable[[str, Sequence[str], str], Sequence[CodeSuggestion]]
"""Given a device's code, the unit texts it came with and the laboratory code that the device's model proposes for it
("" for none), returns what the code may mean, best first."""


def no_suggestions(_code: str, _units: Sequence[str], _model_code: str) -> Sequence[CodeSuggestion]:
    """Suggest nothing."""
    return ()
