"""Reads the text of a result as a number, a titre or words, and never guesses.

A comma is the great trap: `1,5` is one and a half on a German analyzer, a typing error in India, and `1,234` may be
either of two numbers a thousandfold apart. So a comma makes a text unreadable as a number unless the device profile
says that its decimal sign is the comma; and then a point does. What cannot be read is kept as words for a person.
"""

from __future__ import annotations

import re
from decimal import Decimal

from domain.errors import RuleError
from domain.results import Comparator, ResultKind, ResultValue

MAX_RESULT_CHARS = 4000
"""A result text longer than this is refused; microscopy findings fit."""

_COMPARATOR = r"(?P<comparator>[<>]=?|[≤≥])?\s{0,3}"
_POINT = re.compile(rf"{_COMPARATOR}(?P<number>-?[0-9]{{1,15}}(\.[0-9]{{1,12}})?([eE][+-]?[0-9]{{1,2}})?)")
_COMMA = re.compile(rf"{_COMPARATOR}(?P<number>-?[0-9]{{1,15}}(,[0-9]{{1,12}})?([eE][+-]?[0-9]{{1,2}})?)")
_TITRE = re.compile(rf"{_COMPARATOR}1\s{{0,3}}[:/]\s{{0,3}}(?P<number>[1-9][0-9]{{0,7}})")
_SIGNS = {"≤": Comparator.LESS_OR_EQUAL, "≥": Comparator.GREATER_OR_EQUAL}


def parse_result(text: str, kind: ResultKind, *, decimal_comma: bool = False) -> ResultValue:
    """Return what `text` says, read as the kind its test expects.

    Args:
        text: As sent or typed; kept unchanged in the value, outer blanks included.
        kind: The kind of the test. A numeric or titre text that cannot be read comes back as TEXT without a number.
        decimal_comma: The device writes `1,5` for one and a half.

    Raises:
        RuleError: The text is empty or longer than MAX_RESULT_CHARS.
    """
    if len(text) > MAX_RESULT_CHARS:
        raise RuleError(
            f"a result text has {len(text)} characters; at most {MAX_RESULT_CHARS} are kept",
            code="RESULT_TOO_LONG",
            action="Attach long findings as a document.",
        )
    core = text.strip()
    if not core:
        raise RuleError("a result text is empty", code="RESULT_EMPTY", action="Enter a value, or cancel the test.")
    if kind is ResultKind.NUMERIC:
        return _numeric(text, (_COMMA if decimal_comma else _POINT).fullmatch(core), kind)
    if kind is ResultKind.TITRE:
        return _numeric(text, _TITRE.fullmatch(core), kind)
    return ResultValue(text=text, kind=kind)


def _numeric(text: str, match: re.Match[str] | None, kind: ResultKind) -> ResultValue:
    if match is None:
        return ResultValue(text=text, kind=ResultKind.TEXT)
    sign = match["comparator"] or ""
    return ResultValue(
        text=text,
        kind=kind,
        comparator=_SIGNS.get(sign) or Comparator(sign),
        number=Decimal(match["number"].replace(",", ".")),
    )
