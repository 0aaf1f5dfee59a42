"""Makes any text safe to print: every character is seen, and none moves or hides another.

What cannot be shown is printed as its code point, `[U+0007]`: a reader sees that something is there, and support can
tell what. Typst itself takes these strings as text, never as markup; its templates break words wider than their column.
"""

from __future__ import annotations

import unicodedata
from dataclasses import fields, is_dataclass
from datetime import date, datetime
from decimal import Decimal
from enum import Enum

from domain.clock import on_paper
from rendering.glyphs import printable_characters

_MAX_MARKS = 4
"""Combining marks on one base; Devanagari needs up to three, more would reach into other lines."""
_JOINERS = frozenset("\u200c\u200d")
"""Needed inside Devanagari conjuncts; shown nowhere else."""


def printable(text: str) -> str:
    """Return `text` with unprintable characters written out."""
    shown: list[str] = []
    marks = 0
    previous = ""
    for char in unicodedata.normalize("NFC", text.replace("\r\n", "\n")):
        marks = marks + 1 if unicodedata.category(char) in {"Mn", "Mc", "Me"} else 0
        shown.append(char if _is_shown(char, previous, marks) else f"[U+{ord(char):04X}]")
        previous = char
    return "".join(shown)


def paper_facts(value: object) -> object:
    """Return a dataclass tree as what JSON can carry, with every text printable and every time in IST.

    Raises:
        TypeError: A value of a type that paper does not know.
    """
    if isinstance(value, tuple):
        return [paper_facts(item) for item in value]
    if is_dataclass(value):
        return {item.name: paper_facts(getattr(value, item.name)) for item in fields(value)}
    return _scalar(value)


def _scalar(value: object) -> str | int | None:
    match value:
        case Enum():
            return str(value.value)
        case str():
            return printable(value)
        case None | bool() | int():
            return value
        case datetime():
            return f"{on_paper(value)} IST"
        case date():
            return value.strftime("%d-%m-%Y")
        case Decimal():
            return f"{value:f}"
    raise TypeError(f"paper cannot show a {type(value).__name__}")


def _is_shown(char: str, previous: str, marks: int) -> bool:
    if char == "\n":
        return True
    if char in _JOINERS:
        return "\u0900" <= previous <= "\u097f"
    if unicodedata.category(char) in {"Cc", "Cf", "Co", "Cs", "Cn", "Zl", "Zp"} or marks > _MAX_MARKS:
        return False
    return ord(char) in printable_characters()
