"""What a result is, once read: exact text, number where there is one, and how it stands to its reference interval."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum


class ResultKind(StrEnum):
    """How a result is to be read."""

    NUMERIC = "numeric"
    """A quantity with a unit."""
    TEXT = "text"
    """Free words: morphology, an organism, or a quantity that could not be read as one."""
    CODED = "coded"
    """One of a short list: reactive, trace, 1+."""
    TITRE = "titre"
    """A dilution; the number is its reciprocal, so 1:80 is 80."""


class Comparator(StrEnum):
    """What a measuring limit says about the true value."""

    EXACT = ""
    LESS = "<"
    LESS_OR_EQUAL = "<="
    GREATER = ">"
    GREATER_OR_EQUAL = ">="


class ResultFlag(StrEnum):
    """How a result stands to its reference interval and critical limits."""

    NORMAL = "normal"
    LOW = "low"
    HIGH = "high"
    CRITICAL_LOW = "critical_low"
    CRITICAL_HIGH = "critical_high"
    ABNORMAL = "abnormal"
    """Outside what is expected without a direction, or a censored value that may lie on either side of a limit."""
    NOT_APPLICABLE = "not_applicable"
    """There is nothing to compare with."""

    @property
    def is_critical(self) -> bool:
        """Whether a person must be called."""
        return self in {ResultFlag.CRITICAL_LOW, ResultFlag.CRITICAL_HIGH}

    @property
    def is_abnormal(self) -> bool:
        """Whether it stands outside its reference interval."""
        return self not in {ResultFlag.NORMAL, ResultFlag.NOT_APPLICABLE}

    @property
    def letter(self) -> str:
        """Return what is printed beside the result: H, L, H*, L*, A or nothing; the star marks a critical result."""
        return _LETTERS[self]


_LETTERS = {
    ResultFlag.NORMAL: "",
    ResultFlag.LOW: "L",
    ResultFlag.HIGH: "H",
    ResultFlag.CRITICAL_LOW: "L*",
    ResultFlag.CRITICAL_HIGH: "H*",
    ResultFlag.ABNORMAL: "A",
    ResultFlag.NOT_APPLICABLE: "",
}


@dataclass(frozen=True)
class ResultValue:
    """One result value.

    Attributes:
        text: Exactly as it was sent or typed.
        kind: TEXT when the text could not be read as the kind that was expected.
        comparator: Not EXACT for a censored value such as `<0.01`: it must not enter deltas or calculations.
        number: The quantity, the reciprocal of a titre, or None.
    """

    text: str
    kind: ResultKind
    comparator: Comparator = Comparator.EXACT
    number: Decimal | None = None

    @property
    def is_censored(self) -> bool:
        """Whether only a bound of the value is known."""
        return self.comparator is not Comparator.EXACT
