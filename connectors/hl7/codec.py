r"""HL7 v2 messages as segments and fields: split on access, tolerant, bounded.

Everything but the delimiters is guesswork on real devices, so nothing is validated here: CR, LF or CR LF end a
segment, blank ones are ignored, unknown ones kept, unknown escapes stay as they are.

Source: HL7 2.5.1, 2.5.4 (delimiters), 2.7 (escape sequences), table 0211 (character sets), read in specs.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TypeAlias

from connectors.hl7.charsets import text_of
from domain.errors import MessageError

MAX_MESSAGE_BYTES = 16 << 20
MAX_SEGMENTS = 20_000
MAX_REPETITIONS = 2_000
_JUNK = "\x00\x1c\ufeff"
"""What some devices leave around their lines; blanks at the end of a line may belong to its last field."""
_DELIMITER_FIELD = 2
_DECLARING_SEGMENTS = frozenset({"MSH", "FHS", "BHS"})
"""Segments whose fields 1 and 2 declare the delimiters."""

Component: TypeAlias = "str | tuple[str, ...]"
Repetition: TypeAlias = "str | tuple[Component, ...]"
FieldValue: TypeAlias = "Repetition | list[Repetition]"
"""A field: text, a tuple of components (each text or a tuple of subcomponents), or a list of repetitions of either."""


@dataclass(frozen=True, slots=True)
class Delimiters:
    """The characters MSH declares; "" where it declares none.

    Attributes:
        truncation: Marks text that was cut; only messages of 2.7 and later declare one.
    """

    field: str = "|"
    component: str = "^"
    repetition: str = "~"
    escape: str = "\\"
    subcomponent: str = "&"
    truncation: str = ""

    @property
    def encoding(self) -> str:
        """MSH-2."""
        return self.component + self.repetition + self.escape + self.subcomponent + self.truncation


DEFAULT_DELIMITERS = Delimiters()


class Segment:
    """One segment; fields are split when first asked for and numbered as in the standard (MSH-1 is the delimiter)."""

    __slots__ = ("_delimiters", "_fields", "_text", "name")

    def __init__(self, text: str, delimiters: Delimiters) -> None:
        self._text = text
        self._delimiters = delimiters
        self._fields: list[str] | None = None
        self.name = text[:3].upper()

    @property
    def text(self) -> str:
        """The segment as sent."""
        return self._text

    @property
    def delimiters(self) -> Delimiters:
        """What cuts the segment."""
        return self._delimiters

    @property
    def size(self) -> int:
        """The number of the last field."""
        return len(self._cut()) - 1

    def raw(self, number: int) -> str:
        """Return field `number` as sent, or ""."""
        fields = self._fields if self._fields is not None else self._cut()
        return fields[number] if 0 < number < len(fields) else ""

    def repetitions(self, number: int) -> tuple[str, ...]:
        """Return the repetitions of field `number`, still escaped; an empty field has none.

        Raises:
            MessageError: More than MAX_REPETITIONS.
        """
        text = self.raw(number)
        if not text:
            return ()
        mark = self._delimiters.repetition
        if not mark or mark not in text or self._declares(number):
            return (text,)
        if text.count(mark) >= MAX_REPETITIONS:
            raise MessageError(
                f"{self.name}-{number} repeats more than {MAX_REPETITIONS} times", code="MESSAGE_TOO_LARGE"
            )
        return tuple(text.split(mark))

    def values(self, number: int, component: int = 0, subcomponent: int = 0) -> tuple[str, ...]:
        """Return field `number`, or a component or subcomponent, unescaped, for each repetition.

        What is cut no further has `^` and `&` between its parts, whatever the message has.
        """
        text = self.raw(number)
        if not text:
            return ()
        if number <= _DELIMITER_FIELD and self._declares(number):
            return (text,)
        if self._delimiters.repetition not in text:  # by far the most frequent
            return (self._part(text, component, subcomponent),)
        return tuple(self._part(piece, component, subcomponent) for piece in self.repetitions(number))

    def value(self, number: int, component: int = 0, subcomponent: int = 0) -> str:
        """Return the first repetition of `values`, or ""."""
        text = self.raw(number)
        if not text:
            return ""
        if number <= _DELIMITER_FIELD and self._declares(number):
            return text
        mark = self._delimiters.repetition
        if mark and mark in text:
            text = text[: text.index(mark)]
        return self._part(text, component, subcomponent)

    def components(self, number: int) -> tuple[str, ...]:
        """Return the components of the first repetition of field `number`, unescaped."""
        first = next(iter(self.repetitions(number)), "")
        return tuple(unescape(part, self._delimiters) for part in _split(first, self._delimiters.component))

    def _cut(self) -> list[str]:
        if self._fields is None:
            fields = self._text.split(self._delimiters.field)
            self._fields = (
                [fields[0], self._delimiters.field, *fields[1:]] if self.name in _DECLARING_SEGMENTS else fields
            )
        return self._fields

    def _declares(self, number: int) -> bool:
        """Tell whether the field declares delimiters, so that it cannot be cut by them."""
        return number <= _DELIMITER_FIELD and self.name in _DECLARING_SEGMENTS

    def _part(self, text: str, component: int, subcomponent: int) -> str:
        marks = self._delimiters
        if component:
            if component == 1 and marks.component:
                text = text.partition(marks.component)[0]
            else:
                text = _nth(text, marks.component, component)
            if subcomponent:
                text = _nth(text, marks.subcomponent, subcomponent)
        if marks is not DEFAULT_DELIMITERS:
            text = text.translate(_standard_marks(marks))
        return unescape(text, marks) if marks.escape in text else text


@lru_cache(maxsize=64)
def _standard_marks(marks: Delimiters) -> dict[int, str]:
    """Return the standard's mark for each that cuts components and subcomponents."""
    pairs = ((marks.component, DEFAULT_DELIMITERS.component), (marks.subcomponent, DEFAULT_DELIMITERS.subcomponent))
    return {ord(mark): standard for mark, standard in pairs if mark}


def _nth(text: str, mark: str, number: int) -> str:
    """Return piece `number`, from 1, of `text` cut at `mark`."""
    if not mark or mark not in text:
        return text if number == 1 else ""
    parts = text.split(mark, number)
    return parts[number - 1] if number <= len(parts) else ""


def _split(text: str, mark: str) -> Sequence[str]:
    return text.split(mark) if mark else (text,)


@dataclass(frozen=True)
class Hl7Message:
    """A message split into segments; the first one is MSH.

    Attributes:
        charset_fallback: The declared character set did not fit the bytes.
    """

    segments: tuple[Segment, ...]
    delimiters: Delimiters
    charset_fallback: bool = False

    @property
    def header(self) -> Segment:
        """The MSH segment."""
        return self.segments[0]


def delimiters_of(header: str) -> Delimiters:
    """Read the delimiters from an MSH segment.

    Raises:
        MessageError: There is no field delimiter.
    """
    field_mark = header[3:4]
    if not _is_mark(field_mark):
        raise MessageError("MSH declares no field delimiter")
    declared = header[4:].split(field_mark, 1)[0][:5]
    marks: list[str] = []
    for mark in declared:
        marks.append(mark if _is_mark(mark) and mark not in marks else "")
    component, repetition, escape, subcomponent, truncation = [*marks, *[""] * 5][:5]
    if (component, repetition, escape, subcomponent, truncation, field_mark) == ("^", "~", "\\", "&", "", "|"):
        return DEFAULT_DELIMITERS
    return Delimiters(field_mark, component, repetition, escape, subcomponent, truncation)


def _is_mark(character: str) -> bool:
    """Delimiters are ASCII punctuation."""
    return "!" <= character <= "~" and not character.isalnum()


def parse_message(raw: bytes, charset: str = "auto") -> Hl7Message:
    """Split a message into segments.

    Args:
        raw: Without MLLP marks. Blanks, a byte order mark and batch segments before MSH are passed over.
        charset: `auto` for what MSH-18 says, then UTF-8, then Latin-1; or the codec the device really uses.

    Raises:
        MessageError: No MSH, or a bound is exceeded.
    """
    if len(raw) > MAX_MESSAGE_BYTES:
        raise MessageError(f"message longer than {MAX_MESSAGE_BYTES} bytes", code="MESSAGE_TOO_LARGE")
    text, fell_back = text_of(raw, charset)
    if "\n" in text:
        text = text.replace("\n", "\r")
    lines = [line for line in (part.strip(_JUNK).lstrip(" ") for part in text.split("\r")) if line]
    while lines and lines[0][:3] in {"FHS", "BHS"}:
        del lines[0]
    if not lines or lines[0][:3].upper() != "MSH":
        raise MessageError("the message does not begin with MSH")
    if len(lines) > MAX_SEGMENTS:
        raise MessageError(f"more than {MAX_SEGMENTS} segments", code="MESSAGE_TOO_LARGE")
    delimiters = delimiters_of(lines[0])
    segments = tuple([Segment(line, delimiters) for line in lines])
    return Hl7Message(segments, delimiters, charset_fallback=fell_back)


def unescape(text: str, delimiters: Delimiters) -> str:
    """Resolve the escape sequences in `text`, left to right, once.

    Unknown or unclosed sequences stay literal (Windows paths); highlighting and local sequences are dropped.
    """
    mark = delimiters.escape
    if not mark or mark not in text:
        return text
    named = _named_escapes(delimiters)
    return _sequences(mark).sub(lambda match: _resolved(match[1], named), text)


@lru_cache(maxsize=64)
def _named_escapes(marks: Delimiters) -> dict[str, str]:
    standard = DEFAULT_DELIMITERS
    named = {
        "F": marks.field,
        "S": marks.component or standard.component,
        "T": marks.subcomponent or standard.subcomponent,
        "R": marks.repetition or standard.repetition,
        "E": marks.escape,
    }
    if marks.escape:  # where no truncation character is declared, P means nothing and stays as it is
        named["P"] = marks.truncation or f"{marks.escape}P{marks.escape}"
    return {**named, "H": "", "N": "", ".br": "\n"}


@lru_cache(maxsize=64)
def _sequences(mark: str) -> re.Pattern[str]:
    """Return what a sequence looks like between two escape characters; bounded, so that any text is read in time."""
    escaped = re.escape(mark)
    return re.compile(
        rf"{escaped}([FSTREHNP]|X(?:[0-9A-Fa-f]{{2}}){{1,200}}|\.(?:br|(?:sp|in|ti|sk|ce|fi|nf)[+-]?\d{{0,3}})"
        rf"|[CM][0-9A-Fa-f]{{4,6}}|Z(?:(?!{escaped})\w){{0,200}}){escaped}"
    )


def _resolved(code: str, named: dict[str, str]) -> str:
    if code in named:
        return named[code]
    if code[0] == "X":
        pieces = bytes.fromhex(code[1:])
        try:
            return pieces.decode("utf-8")
        except UnicodeDecodeError:
            return pieces.decode("latin-1")
    if code[0] == ".":
        return "\n" if code.startswith((".sp", ".ce")) else " "
    return ""


@lru_cache(maxsize=64)
def _escapes(marks: Delimiters) -> dict[int, str]:
    """Return the sequence for each character that may not stand in a field; a blank where MSH declares no escape."""
    mark = marks.escape
    table = {code: f"{mark}X{code:02X}{mark}" if mark else " " for code in (*range(32), 127)}
    for name, character in _named_escapes(marks).items():
        if len(name) == len(character) == 1:
            table[ord(character)] = f"{mark}{name}{mark}" if mark else " "
    return table


def escape(text: str, delimiters: Delimiters = DEFAULT_DELIMITERS) -> str:
    """Return `text` fit to stand in a field: delimiters and control characters become escape sequences."""
    return text.translate(_escapes(delimiters))


def build_segment(name: str, fields: Sequence[FieldValue], delimiters: Delimiters = DEFAULT_DELIMITERS) -> str:
    """Write one segment, ended by CR.

    Args:
        name: Three letters. For MSH, FHS and BHS the fields start with number 3; the delimiters are written for them.
        fields: Text, components or repetitions. Text is escaped.
        delimiters: Five different characters.
    """
    written = [_write_field(value, delimiters) for value in fields]
    if name in _DECLARING_SEGMENTS:
        written = [delimiters.encoding, *written]
    return delimiters.field.join([name, *written]) + "\r"


def _write_field(value: FieldValue, marks: Delimiters) -> str:
    if isinstance(value, str):
        return escape(value, marks)
    if isinstance(value, list):
        return marks.repetition.join(_write_field(repetition, marks) for repetition in value)
    return marks.component.join(
        escape(part, marks)
        if isinstance(part, str)
        else marks.subcomponent.join(escape(piece, marks) for piece in part)
        for part in value
    )


def fields_of(segment: Segment) -> list[FieldValue]:
    """Return the fields of a segment as `build_segment` takes them: its inverse.

    Raises:
        MessageError: More than MAX_REPETITIONS.
    """
    first = _DELIMITER_FIELD + 1 if segment.name in _DECLARING_SEGMENTS else 1
    return [field_of(segment, number) for number in range(first, segment.size + 1)]


def field_of(segment: Segment, number: int) -> FieldValue:
    """Return one field as `build_segment` takes it, to be echoed.

    Raises:
        MessageError: More than MAX_REPETITIONS.
    """
    read = [_read_repetition(text, segment.delimiters) for text in segment.repetitions(number)]
    return (read[0] if len(read) == 1 else read) if read else ""


def _read_repetition(text: str, marks: Delimiters) -> Repetition:
    parts = tuple(_read_component(part, marks) for part in _split(text, marks.component))
    first = parts[0]
    return first if len(parts) == 1 and isinstance(first, str) else parts


def _read_component(text: str, marks: Delimiters) -> Component:
    pieces = tuple(unescape(piece, marks) for piece in _split(text, marks.subcomponent))
    return pieces[0] if len(pieces) == 1 else pieces


def encode_message(message: Hl7Message) -> str:
    """Write a message anew from its fields.

    What comes out means the same; it differs from what came in where the sender did not escape a lone escape
    character, or used sequences that stand for nothing (highlighting) or for a character that needs none.
    """
    return "".join(_write_anew(segment, message.delimiters) for segment in message.segments)


def _write_anew(segment: Segment, marks: Delimiters) -> str:
    name = segment.text.partition(marks.field)[0]
    written = [_write_field(value, marks) for value in fields_of(segment)]
    if segment.name in _DECLARING_SEGMENTS:  # what is declared stays, also where it is no delimiter
        written = [segment.raw(2), *written] if segment.size > 1 else []
    return marks.field.join([name, *written]) + "\r"
