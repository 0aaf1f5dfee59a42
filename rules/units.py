"""Unit texts of devices read as quantities: dimension and exact factor, so that two spellings can be told to be one.

Devices write units as they like: `K/uL`, `10^3/µL` and `10*9/L` are one unit, `g/L` and `g/dL` are ten apart, and `%`
is no count. A text that is not understood is no unit: a person decides. Nothing here converts mass to substance; that
depends on the analyte.

Source: The Unified Code for Units of Measure (UCUM) 2.2, tables of prefixes, units and the grammar of section 7
(ucum.org); spellings of devices and LOINC properties as read in specs.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from decimal import Context, Decimal, Inexact
from enum import StrEnum
from fractions import Fraction
from functools import lru_cache
from types import MappingProxyType
from typing import Final, TypeAlias

MAX_UNIT_CHARS = 40

Dimension: TypeAlias = tuple[tuple[str, int], ...]
"""Base and exponent, sorted: `(("m", 3),)` is a volume."""


@dataclass(frozen=True)
class Unit:
    """A unit, understood.

    Numerator and denominator are kept apart and never cancelled: `mmol/mol` and `%` are both pure numbers, and the
    two units of HbA1c are related by no factor.

    Attributes:
        factor: How many base units one of it is.
        note: What stands in braces: `{FEU}` makes another quantity of the same dimension.
    """

    factor: Fraction
    over: Dimension
    under: Dimension
    note: str = ""

    @property
    def dimension(self) -> tuple[Dimension, Dimension]:
        """What has to be equal for a factor to exist."""
        return self.over, self.under


class Relation(StrEnum):
    """How one unit stands to another."""

    SAME = "same"
    ANNOTATED = "annotated"
    """The same but for what stands in braces: a person must know that the same is meant."""
    SCALED = "scaled"
    """A fixed factor apart, whatever is measured."""
    BY_ANALYTE = "by_analyte"
    """Amounts per volume in different amounts (mass, substance, international units): a factor per analyte."""
    DIFFERENT = "different"
    """No factor can make one of the other."""
    UNKNOWN = "unknown"
    """One of the texts is not understood."""


_PREFIXES: Final = MappingProxyType(
    {
        "k": Fraction(1000), "d": Fraction(1, 10), "c": Fraction(1, 100), "m": Fraction(1, 1000),
        "u": Fraction(1, 10**6), "n": Fraction(1, 10**9), "p": Fraction(1, 10**12), "f": Fraction(1, 10**15),
    }
)  # fmt: skip
"""Without mega, giga and tera: no concentration needs them, and devices that write in capitals mean millilitres."""

_ATOMS: Final[MappingProxyType[str, tuple[Fraction, dict[str, int]]]] = MappingProxyType(
    {
        "g": (Fraction(1), {"g": 1}),
        "L": (Fraction(1, 1000), {"m": 3}),
        "l": (Fraction(1, 1000), {"m": 3}),
        "m": (Fraction(1), {"m": 1}),
        "s": (Fraction(1), {"s": 1}),
        "mol": (Fraction(1), {"mol": 1}),
        "eq": (Fraction(1), {"eq": 1}),  # UCUM has eq = mol, which holds for single charges only
        "osm": (Fraction(1), {"osm": 1}),
        "U": (Fraction(1, 60 * 10**6), {"mol": 1, "s": -1}),
        "kat": (Fraction(1), {"mol": 1, "s": -1}),
        "[IU]": (Fraction(1), {"iu": 1}),
        "[iU]": (Fraction(1), {"iu": 1}),
        "m[Hg]": (Fraction(1), {"mHg": 1}),
        "V": (Fraction(1), {"V": 1}),
    }
)
"""Units that take a prefix."""

_PLAIN_ATOMS: Final[MappingProxyType[str, tuple[Fraction, dict[str, int]]]] = MappingProxyType(
    {
        "%": (Fraction(1, 100), {}),
        "[ppth]": (Fraction(1, 1000), {}),
        "10*": (Fraction(10), {}),
        "10^": (Fraction(10), {}),
        "min": (Fraction(60), {"s": 1}),
        "h": (Fraction(3600), {"s": 1}),
        "d": (Fraction(86400), {"s": 1}),
        "[pH]": (Fraction(1), {"pH": 1}),
        "[HPF]": (Fraction(1), {"HPF": 1}),
        "[LPF]": (Fraction(1), {"LPF": 1}),
        "[arb'U]": (Fraction(1), {"arb": 1}),
        "[CFU]": (Fraction(1), {"cfu": 1}),
        "[cfu_i]": (Fraction(1), {"cfu": 1}),
    }
)

_WHOLE: Final = MappingProxyType(
    {
        "inr": "{inr}", "ratio": "{ratio}", "index": "{index}", "coi": "{index}", "s/co": "{index}", "titre": "{titer}",
        "titer": "{titer}", "ph": "[pH]", "/hpf": "/[HPF]", "/lpf": "/[LPF]", "mmhg": "mm[Hg]",
        "l/l": "1",
    }
)  # fmt: skip
"""Texts that mean what they say only as a whole. 0.45 L/L of a haematocrit is 45 %."""
_WORDS: Final = MappingProxyType(
    {
        "K": "10*3", "k": "10*3", "M": "10*6", "cells": "1", "cell": "1", "copies": "{copies}", "cp": "{copies}",
        "gm": "g", "gms": "g", "u": "U", "cumm": "mm3", "cmm": "mm3", "hr": "h", "sec": "s", "secs": "s", "mcg": "ug",
        "mEq": "meq", "mOsm": "mosm", "mosmol": "mosm",
    }
)  # fmt: skip
"""Words of a unit as devices write them. `K` and `M` count thousands and millions; UCUM has kelvin there."""
_LONG_WORDS: Final = MappingProxyType({word: meant for word, meant in _WORDS.items() if len(word) > 3})  # noqa: PLR2004
_IRRELEVANT_NOTES: Final = frozenset({"cells", "cell", "count", "#"})
_AMBIGUOUS: Final = frozenset({"G/L", "T/L", "g%", "mg%", "G%", "MG%"})
"""Grams or giga, and percentages of a milligram: what is meant is not to be seen."""

_SUPERSCRIPTS: Final = str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹⁻µμ×", "0123456789-uux")
_POWER = re.compile(r"(?:x\s*)?10\s*(?:\*\*|\*|\^|[eE]\+?)?\s*(\d{1,2})(?=/|$)")
_BARE_TEN = re.compile(r"10[⁰¹²³⁴⁵⁶⁷⁸⁹]")
_PARTS = re.compile(r"([./]?)((?:\{[^{}]*\}|\[[^\[\]{}]*\]|[^./{}\[\]])+)")
_PART = re.compile(r"(?P<core>.*?)(?P<power>[+-]?\d{1,2})?(?P<note>\{[^{}]*\})?")
_INTERNATIONAL = re.compile(r"([kmunp]?)(?:IU|iu|Iu)")
_NUMBER = re.compile(r"\d{1,4}")


def _spelled(text: str) -> str:
    """Return a unit text as UCUM would write it, as far as spelling goes."""
    has_power = bool(_BARE_TEN.search(text))
    plain = text.strip().translate(_SUPERSCRIPTS)
    known = _WHOLE.get(plain.lower())
    if known:
        return known
    power = _POWER.match(plain)
    # `10` with digits behind it is a power only where something says so
    if power and (has_power or not plain[: power.end()].strip("x ").isdigit()):
        plain = f"10*{power[1]}{plain[power.end() :]}"
    return plain.replace(" ", "")


@lru_cache(maxsize=2048)
def parse_unit(text: str) -> Unit | None:
    """Return what a unit text means, None where that is not certain. An empty text is no unit."""
    stripped = text.strip()
    if not stripped or len(stripped) > MAX_UNIT_CHARS or stripped in _AMBIGUOUS:
        return None
    if stripped.isdigit() and stripped != "1":
        return None  # a device's own number for a unit (Horiba Pentra)
    spelled = _spelled(stripped)
    found = _parsed(spelled)
    if found is None and spelled == spelled.upper():
        # all in capitals: UCUM's case-insensitive form has no other meaning for these
        found = _parsed(_spelled(stripped.lower()))
    return found


def _parsed(text: str) -> Unit | None:
    factor, over, under = Fraction(1), Counter[str](), Counter[str]()
    notes: list[str] = []
    end = 0
    for match in _PARTS.finditer(text):
        if match.start() != end or (end and not match[1]):
            return None
        end = match.end()
        part = _part_of(match[2])
        if part is None:
            return None
        size, bases, note = part
        is_under = match[1] == "/"
        factor = factor / size if is_under else factor * size
        for base, power in bases.items():
            side = under if (power < 0) != is_under else over
            side[base] += abs(power)
        if note and note not in _IRRELEVANT_NOTES:
            notes.append(note)
    if end != len(text):
        return None
    return Unit(factor, tuple(sorted(over.items())), tuple(sorted(under.items())), "/".join(notes))


def _part_of(text: str) -> tuple[Fraction, dict[str, int], str] | None:
    """Return size, bases and note of one component: an atom with its prefix and power, a number, or a note alone."""
    word = _WORDS.get(text) or _LONG_WORDS.get(text.lower(), text)
    word = _INTERNATIONAL.sub(r"\1[IU]", word) if _INTERNATIONAL.fullmatch(word) else word
    match = _PART.fullmatch(word)
    if match is None:
        return None
    note = (match["note"] or "").strip("{}").strip().lower()
    core, power = match["core"], int(match["power"] or 1)
    if not core:
        if match["power"] is None:
            return (Fraction(1), {}, note) if match["note"] else None
        return (Fraction(int(match["power"])), {}, note) if _NUMBER.fullmatch(match["power"]) and power else None
    atom = _atom(core)
    if atom is None or not power:
        return None
    size, bases = atom
    return size**power, {base: exponent * power for base, exponent in bases.items()}, note


def _atom(text: str) -> tuple[Fraction, dict[str, int]] | None:
    if text in _PLAIN_ATOMS:
        return _PLAIN_ATOMS[text]
    if text in _ATOMS:
        return _ATOMS[text]
    prefix, rest = _PREFIXES.get(text[:1]), _ATOMS.get(text[1:])
    return (prefix * rest[0], rest[1]) if prefix and rest else None


def relation(sent: str, wanted: str) -> Relation:
    """Tell how the unit text `sent` stands to the unit text `wanted`."""
    ours, theirs = parse_unit(wanted), parse_unit(sent)
    if sent.strip() and sent.strip() == wanted.strip():
        return Relation.SAME
    if ours is None or theirs is None:
        return Relation.UNKNOWN
    if ours.dimension != theirs.dimension:
        return (
            Relation.BY_ANALYTE if is_amount_per_volume(ours) and is_amount_per_volume(theirs) else Relation.DIFFERENT
        )
    if ours.note != theirs.note:
        return Relation.ANNOTATED if ours.factor == theirs.factor else Relation.DIFFERENT
    return Relation.SAME if ours.factor == theirs.factor else Relation.SCALED


def scale(sent: str, wanted: str) -> Fraction | None:
    """Return what a number in `sent` is multiplied by to be in `wanted`; None where no fixed factor exists."""
    ours, theirs = parse_unit(wanted), parse_unit(sent)
    if ours is None or theirs is None or ours.dimension != theirs.dimension or ours.note != theirs.note:
        return None
    return theirs.factor / ours.factor


_AMOUNTS: Final = frozenset({(("g", 1),), (("mol", 1),), (("eq", 1),), (("iu", 1),)})
_PER_VOLUME: Final = (("m", 3),)
_ACTIVITY_PER_VOLUME: Final = ((("mol", 1),), (("m", 3), ("s", 1)))


def is_amount_per_volume(unit: Unit) -> bool:
    """Tell whether a unit is one of mass, substance, charge, activity or international units in a volume."""
    return unit.dimension == _ACTIVITY_PER_VOLUME or (unit.over in _AMOUNTS and unit.under == _PER_VOLUME)


_PROPERTIES: Final[MappingProxyType[str, frozenset[tuple[Dimension, Dimension]]]] = MappingProxyType(
    {
        "NCnc": frozenset({((), _PER_VOLUME)}),
        "MCnc": frozenset({((("g", 1),), _PER_VOLUME)}),
        "SCnc": frozenset({((("mol", 1),), _PER_VOLUME), ((("eq", 1),), _PER_VOLUME)}),
        "ACnc": frozenset({((("iu", 1),), _PER_VOLUME), ((("arb", 1),), _PER_VOLUME), ((), ()), _ACTIVITY_PER_VOLUME}),
        "CCnc": frozenset({_ACTIVITY_PER_VOLUME}),
        "NFr": frozenset({((), ())}),
        "MFr": frozenset({((), ()), ((("g", 1),), (("g", 1),))}),
        "VFr": frozenset({((), ()), ((("m", 3),), (("m", 3),))}),
        "SFr": frozenset({((), ()), ((("mol", 1),), (("mol", 1),))}),
        "MRto": frozenset({((("g", 1),), (("g", 1),)), ((), ())}),
        "SRto": frozenset({((("mol", 1),), (("mol", 1),)), ((), ())}),
        "Ratio": frozenset({((), ())}),
        "RelTime": frozenset({((), ())}),
        "EntVol": frozenset({((("m", 3),), ())}),
        "EntMass": frozenset({((("g", 1),), ())}),
        "EntMCnc": frozenset({((("g", 1),), _PER_VOLUME)}),
        "Time": frozenset({((("s", 1),), ())}),
        "Vel": frozenset({((("m", 1),), (("s", 1),))}),
        "VRat": frozenset({((("m", 3),), (("s", 1),))}),
        "PPres": frozenset({((("mHg", 1),), ())}),
        "Osmol": frozenset({((("osm", 1),), (("g", 1),)), ((("osm", 1),), _PER_VOLUME)}),
    }
)
"""LOINC property (second axis of the name) to the dimensions its units may have. Source: LOINC Users' Guide, part
"Kind of Property"; the abbreviations as read in specs."""


def fits_property(unit: Unit, loinc_property: str) -> bool | None:
    """Tell whether a unit is one of a LOINC property; None where the property is not known here."""
    allowed = _PROPERTIES.get(loinc_property)
    return None if allowed is None else unit.dimension in allowed


def multiplied(number: Decimal, factor: Decimal) -> Decimal:
    """Return the exact product.

    Raises:
        decimal.Inexact: It has more than 60 digits.
    """
    return Context(prec=60, traps=[Inexact]).multiply(number, factor)
