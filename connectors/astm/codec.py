r"""ASTM records as fields: delimiters read from the H record, repetitions, components, escapes. Both directions.

Source: CLSI LIS02-A2, 5.4 (delimiters, escapes) and 6.2 (header), read in specs. Delimiters other than `|\^&` are
common: Erba XL and Meril send a backtick, GeneXpert an at sign.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TypeAlias

from domain.errors import MessageError

MAX_RECORDS = 20_000
MAX_REPETITIONS = 2_000
_DELIMITER_FIELD = 2
"""H.2 declares the delimiters, so it cannot be cut by them; field 2 of other records is a number."""
RECORD_KINDS = frozenset("HPORCQLMS")

Repetition: TypeAlias = "str | tuple[str, ...]"
FieldValue: TypeAlias = "Repetition | list[Repetition]"
"""A field to write: text, a tuple of components, or a list of repetitions of either."""


@dataclass(frozen=True)
class Delimiters:
    """The four characters the H record declares; "" where it declares none."""

    field: str = "|"
    repeat: str = "\\"
    component: str = "^"
    escape: str = "&"

    def completed(self) -> Delimiters:
        """Return four different marks to write with: those that are there, the standard's or others for the rest."""
        marks = [self.field, self.repeat, self.component, self.escape]
        spare = [mark for mark in "|\\^&@~#" if mark not in marks]
        return Delimiters(*(mark or spare.pop(0) for mark in marks))


DEFAULT_DELIMITERS = Delimiters()


def delimiters_of(header: str) -> Delimiters:
    r"""Read the delimiters from an H record; a header that declares none usable gets the defaults.

    Takes the characters after the field delimiter up to the next one, at most three, so that `H|\^&` may end there
    or go on without a field delimiter. A doubled repeat delimiter (`\\^&`, seen where captures were escaped once too
    often) counts once.
    """
    field_mark = header[1:2]
    if not field_mark or field_mark.isalnum() or field_mark.isspace():
        return DEFAULT_DELIMITERS
    declared = header[2:].split(field_mark, 1)[0]
    if declared[1:2] == declared[:1]:
        declared = declared[1:]
    declared = declared[:3]
    if not declared or any(mark.isalnum() for mark in declared) or len(set(declared)) != len(declared):
        return Delimiters(field=field_mark)
    return Delimiters(field_mark, declared[:1], declared[1:2], declared[2:3])


class Record:
    """One record; fields are numbered from 1, and field 1 is the record type.

    Attributes:
        kind: The record type, one of RECORD_KINDS, or "" for a line that is no record.
        delimiters: Those of the H record before it.
    """

    def __init__(self, text: str, delimiters: Delimiters) -> None:
        self.delimiters = self._delimiters = delimiters
        self._fields = text.split(delimiters.field)
        kind = self._fields[0].strip().upper()
        self.kind = kind if kind in RECORD_KINDS else ""
        if self.kind == "H":
            self._fields = ["H", *_header_fields(text, delimiters)]

    @property
    def field_count(self) -> int:
        """Fields sent, empty ones included."""
        return len(self._fields)

    @property
    def text(self) -> str:
        """The record as sent, without the CR."""
        mark = self._delimiters.field
        if self.kind == "H":
            return self._fields[0] + mark + mark.join(self._fields[1:])
        return mark.join(self._fields)

    def raw(self, number: int) -> str:
        """Return field `number` as sent, or ""."""
        return self._fields[number - 1] if 0 < number <= len(self._fields) else ""

    def repetitions(self, number: int) -> tuple[str, ...]:
        """Return the repetitions of field `number`, still escaped; an empty field has none.

        Raises:
            MessageError: More than MAX_REPETITIONS.
        """
        text = self.raw(number)
        if not text:
            return ()
        mark = self._delimiters.repeat
        if not mark or number <= _DELIMITER_FIELD:
            return (text,)
        if text.count(mark) >= MAX_REPETITIONS:
            raise MessageError(f"a field repeats more than {MAX_REPETITIONS} times", code="MESSAGE_TOO_LARGE")
        return tuple(text.split(mark))

    def values(self, number: int, component: int = 0) -> tuple[str, ...]:
        """Return field `number`, or one of its components, unescaped, for each repetition.

        Components of a whole field are joined by `^`, whatever the message has between them.
        """
        found = []
        for repetition in self.repetitions(number):
            parts = repetition.split(self._delimiters.component) if self._delimiters.component else [repetition]
            if component:
                parts = parts[component - 1 : component]
            found.append(DEFAULT_DELIMITERS.component.join(unescape(part, self._delimiters) for part in parts))
        return tuple(found)

    def components(self, number: int) -> tuple[str, ...]:
        """Return the components of the first repetition of field `number`, unescaped."""
        first = next(iter(self.repetitions(number)), "")
        mark = self._delimiters.component
        return tuple(unescape(part, self._delimiters) for part in (first.split(mark) if mark else [first]))

    def parts(self, number: int) -> tuple[tuple[str, ...], ...]:
        """Return the components of every repetition of field `number`, unescaped; nothing for an empty field."""
        mark = self._delimiters.component
        if number == _DELIMITER_FIELD and self.kind == "H":
            return ((self.raw(number),),)
        return tuple(
            tuple(unescape(part, self._delimiters) for part in (repetition.split(mark) if mark else [repetition]))
            for repetition in self.repetitions(number)
        )

    def text_of(self, number: int) -> str:
        """Return field `number` unescaped, with its delimiters between repetitions and components."""
        return self._delimiters.repeat.join(self._delimiters.component.join(parts) for parts in self.parts(number))

    def written(self) -> list[FieldValue]:
        """Return the fields as `build_message` takes them: for an H record without the delimiters."""
        numbers = [1, *range(3 if self.kind == "H" else 2, self.field_count + 1)]
        return [list(self.parts(number)) or "" for number in numbers]

    def value(self, number: int, component: int = 0) -> str:
        """Return the first repetition of `values`, or ""."""
        return next(iter(self.values(number, component)), "")


def _header_fields(text: str, delimiters: Delimiters) -> list[str]:
    mark = delimiters.field
    declared, *rest = text[2:].split(mark) if text[1:2] == mark else [""]
    return [declared, *rest]


def parse_records(text: str) -> list[Record]:
    """Return the records in `text`, ended by CR, LF or both; empty lines are no records.

    Raises:
        MessageError: More than MAX_RECORDS.
    """
    # blanks at the end may be the padding of an id, which is echoed
    lines = [line.lstrip(" \0").rstrip("\0") for line in re.split(r"[\r\n]+", text)]
    lines = [line for line in lines if line.strip()]
    if len(lines) > MAX_RECORDS:
        raise MessageError(f"more than {MAX_RECORDS} records", code="MESSAGE_TOO_LARGE")
    delimiters = DEFAULT_DELIMITERS
    records = []
    for line in lines:
        if line[0] in "Hh" and not line[1:2].isalnum():
            delimiters = delimiters_of(line)
        records.append(Record(line, delimiters))
    return records


def unescape(text: str, delimiters: Delimiters) -> str:
    """Resolve the escape sequences in `text`; unknown or unclosed ones stay as they are, highlighting is dropped."""
    mark = delimiters.escape
    if not mark or mark not in text:
        return text
    return _sequences(mark).sub(lambda match: _resolve(match, delimiters), text)


@lru_cache(maxsize=64)
def _sequences(mark: str) -> re.Pattern[str]:
    """Return what a sequence looks like; a lone mark before one must not take its first mark away."""
    quoted = re.escape(mark)
    return re.compile(rf"{quoted}([FSREHN]|X(?:[0-9A-Fa-f]{{2}}){{1,200}}|Z(?:(?!{quoted})\w){{0,200}}){quoted}")


def _resolve(match: re.Match[str], delimiters: Delimiters) -> str:
    code = match[1]
    named = {
        "F": delimiters.field,
        "S": delimiters.component,
        "R": delimiters.repeat,
        "E": delimiters.escape,
        "H": "",
        "N": "",
    }
    if code in named:
        return named[code]
    return bytes.fromhex(code[1:]).decode("latin-1") if code[0] == "X" else ""


def escape(text: str, delimiters: Delimiters) -> str:
    """Return `text` fit to stand in a field: delimiters and control characters become escape sequences."""
    codes = {
        delimiters.field: "F",
        delimiters.component: "S",
        delimiters.repeat: "R",
        delimiters.escape: "E",
    }
    mark = delimiters.escape
    written = []
    for character in text:
        if character in codes:
            written.append(f"{mark}{codes[character]}{mark}")
        elif character < " " or character == "\x7f":
            written.append(f"{mark}X{ord(character):02X}{mark}")
        else:
            written.append(character)
    return "".join(written)


def build_message(
    records: Sequence[Sequence[FieldValue]], delimiters: Delimiters = DEFAULT_DELIMITERS, *, charset: str = "latin-1"
) -> bytes:
    """Write records, each ended by CR.

    Args:
        records: Each a sequence of fields from field 1, the record type. An H record names its fields from H.3 on:
            the delimiters are written for it.
        delimiters: Four different characters.
        charset: Codec of the text; what it cannot express is written as `?`.
    """
    lines = []
    for record in records:
        fields = [_write_field(value, delimiters) for value in record]
        if fields[0] == "H":
            declared = delimiters.repeat + delimiters.component + delimiters.escape
            fields = ["H", declared, *fields[1:]]
        lines.append(delimiters.field.join(fields) + "\r")
    return "".join(lines).encode(charset, errors="replace")


def _write_field(value: FieldValue, delimiters: Delimiters) -> str:
    repetitions = value if isinstance(value, list) else [value]
    written = []
    for repetition in repetitions:
        parts = (repetition,) if isinstance(repetition, str) else repetition
        written.append(delimiters.component.join(escape(part, delimiters) for part in parts))
    return delimiters.repeat.join(written)
