r"""HL7 v2 messages as segments and fields: split on access, tolerant, bounded.

Everything but the delimiters is guesswork on real devices, so nothing is validated here: CR, LF or CR LF end a
segment, blank ones are ignored, unknown ones kept, unknown escapes stay as they are.

Source: HL7 2.5.1, 2.5.4 (delimiters), 2.7 (escape sequences), table 0211 (character sets), read in specs.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

from domain.device_profile import decode_text
from domain.errors import MessageError

MAX_MESSAGE_BYTES = 4 << 20
MAX_SEGMENTS = 20_000
MAX_REPETITIONS = 2_000
_LONGEST_ESCAPE = 400
_DELIMITER_FIELD = 2
"""MSH-1 and MSH-2 declare the delimiters, so they cannot be cut by them."""
_CHARSET_FIELD = 18

Repetition: TypeAlias = "str | tuple[str, ...]"
FieldValue: TypeAlias = "Repetition | list[Repetition]"
"""A field to write: text, a tuple of components, or a list of repetitions of either."""

_CHARSETS: Final = {
    "": "",
    "ASCII": "ascii",
    "ISO IR6": "ascii",
    "ISO IR14": "shift_jis",
    "ISO IR87": "iso2022_jp",
    "ISO IR159": "iso2022_jp_1",
    "GB 18030-2000": "gb18030",
    "KS X 1001": "euc_kr",
    "BIG-5": "big5",
    "UNICODE": "utf-8",  # Mindray BC says UNICODE and means UTF-8
    "UNICODE UTF-8": "utf-8",
    "UTF8": "utf-8",  # Wondfo
    "UTF-8": "utf-8",
    **{f"8859/{part}": f"iso8859-{part}" for part in (*range(1, 10), 15)},
}
"""MSH-18 to Python codec."""


@dataclass(frozen=True)
class Delimiters:
    """The five characters MSH declares; "" where it declares none."""

    field: str = "|"
    component: str = "^"
    repetition: str = "~"
    escape: str = "\\"
    subcomponent: str = "&"


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

    def raw(self, number: int) -> str:
        """Return field `number` as sent, or ""."""
        if self._fields is None:
            fields = self._text.split(self._delimiters.field)
            self._fields = [fields[0], self._delimiters.field, *fields[1:]] if self.name == "MSH" else fields
        return self._fields[number] if 0 < number < len(self._fields) else ""

    def repetitions(self, number: int) -> tuple[str, ...]:
        """Return the repetitions of field `number`, still escaped; an empty field has none.

        Raises:
            MessageError: More than MAX_REPETITIONS.
        """
        text = self.raw(number)
        mark = self._delimiters.repetition
        if not text:
            return ()
        if not mark or (self.name == "MSH" and number <= _DELIMITER_FIELD):
            return (text,)
        if text.count(mark) >= MAX_REPETITIONS:
            raise MessageError(
                f"{self.name}-{number} repeats more than {MAX_REPETITIONS} times", code="MESSAGE_TOO_LARGE"
            )
        return tuple(text.split(mark))

    def values(self, number: int, component: int = 0, subcomponent: int = 0) -> tuple[str, ...]:
        """Return field `number`, or a component or subcomponent, unescaped, for each repetition."""
        return tuple(self._part(text, component, subcomponent) for text in self.repetitions(number))

    def value(self, number: int, component: int = 0) -> str:
        """Return the first repetition of `values`, or ""."""
        return next(iter(self.values(number, component)), "")

    def components(self, number: int) -> tuple[str, ...]:
        """Return the components of the first repetition of field `number`, unescaped."""
        first = next(iter(self.repetitions(number)), "")
        return tuple(unescape(part, self._delimiters) for part in _split(first, self._delimiters.component))

    def _part(self, text: str, component: int, subcomponent: int) -> str:
        marks = self._delimiters
        if not component:
            joined = (unescape(part, marks) for part in _split(text, marks.component))
            return marks.component.join(joined)
        parts = _split(text, marks.component)
        part = parts[component - 1] if component <= len(parts) else ""
        if subcomponent:
            pieces = _split(part, marks.subcomponent)
            part = pieces[subcomponent - 1] if subcomponent <= len(pieces) else ""
        return unescape(part, marks)


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
    declared = header[4:].split(field_mark, 1)[0][:4]
    marks: list[str] = []
    for mark in declared:
        marks.append(mark if _is_mark(mark) and mark not in marks else "")
    component, repetition, escape, subcomponent = [*marks, "", "", "", ""][:4]
    return Delimiters(field_mark, component, repetition, escape, subcomponent)


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
    declared = _declared_charset(raw) if charset == "auto" else charset
    text, fell_back = decode_text(raw, [name for name in (declared, "utf-8") if name])
    lines = [line.strip(" \x00\x1c\ufeff") for line in re.split(r"[\r\n]+", text)]
    lines = [line for line in lines if line]
    while lines and lines[0][:3] in {"FHS", "BHS"}:
        del lines[0]
    if not lines or lines[0][:3].upper() != "MSH":
        raise MessageError("the message does not begin with MSH")
    if len(lines) > MAX_SEGMENTS:
        raise MessageError(f"more than {MAX_SEGMENTS} segments", code="MESSAGE_TOO_LARGE")
    delimiters = delimiters_of(lines[0])
    segments = tuple(Segment(line, delimiters) for line in lines)
    return Hl7Message(segments, delimiters, charset_fallback=fell_back)


def _declared_charset(raw: bytes) -> str:
    """Return the Python codec for MSH-18, or "" where it names none we know; repetitions switch sets later on."""
    start = raw.find(b"MSH")
    line = re.split(rb"[\r\n]", raw[max(start, 0) : max(start, 0) + 2000], maxsplit=1)[0]
    fields = line.split(line[3:4]) if line[3:4] else []
    declared = next(iter(fields[_CHARSET_FIELD - 1 :]), b"")
    repetition = line[5:6]
    first = declared.split(repetition)[0] if repetition else declared
    return _CHARSETS.get(first.decode("latin-1").strip().upper(), "")


def unescape(text: str, delimiters: Delimiters) -> str:
    """Resolve the escape sequences in `text`, left to right, once.

    Unknown or unclosed sequences stay literal (Windows paths); highlighting and local sequences are dropped.
    """
    mark = delimiters.escape
    if not mark or mark not in text:
        return text
    written: list[str] = []
    position = 0
    while True:
        start = text.find(mark, position)
        if start < 0:
            written.append(text[position:])
            return "".join(written)
        end = text.find(mark, start + 1, start + _LONGEST_ESCAPE)
        resolved = _resolve(text[start + 1 : end], delimiters) if end >= 0 else None
        if resolved is None:
            position, start = start + 1, position
            written.append(text[start:position])
        else:
            written.append(text[position:start] + resolved)
            position = end + 1


def _resolve(code: str, delimiters: Delimiters) -> str | None:
    named = {
        "F": delimiters.field,
        "S": delimiters.component,
        "T": delimiters.subcomponent,
        "R": delimiters.repetition,
        "E": delimiters.escape,
        "H": "",
        "N": "",
        ".br": "\n",
    }
    if code in named:
        return named[code]
    if re.fullmatch(r"X(?:[0-9A-Fa-f]{2})+", code):
        return bytes.fromhex(code[1:]).decode("latin-1")
    if re.fullmatch(r"\.(?:sp|in|ti|sk|ce|fi|nf)[+-]?\d{0,3}", code):
        return "\n" if code.startswith((".sp", ".ce")) else " "
    return "" if re.fullmatch(r"Z\w*|[CM][0-9A-Fa-f]{4,6}", code) else None


def escape(text: str, delimiters: Delimiters = DEFAULT_DELIMITERS) -> str:
    """Return `text` fit to stand in a field: delimiters and control characters become escape sequences."""
    codes = {
        delimiters.field: "F",
        delimiters.component: "S",
        delimiters.subcomponent: "T",
        delimiters.repetition: "R",
        delimiters.escape: "E",
    }
    codes.pop("", None)
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


def build_segment(name: str, fields: Sequence[FieldValue], delimiters: Delimiters = DEFAULT_DELIMITERS) -> str:
    """Write one segment, ended by CR.

    Args:
        name: Three letters. For MSH the fields start with MSH-3; the delimiters are written for it.
        fields: Text, components or repetitions. Text is escaped.
        delimiters: Five different characters.
    """
    written = [_write_field(value, delimiters) for value in fields]
    if name == "MSH":
        declared = delimiters.component + delimiters.repetition + delimiters.escape + delimiters.subcomponent
        written = [declared, *written]
    return delimiters.field.join([name, *written]) + "\r"


def _write_field(value: FieldValue, delimiters: Delimiters) -> str:
    repetitions = value if isinstance(value, list) else [value]
    written = []
    for repetition in repetitions:
        parts = (repetition,) if isinstance(repetition, str) else repetition
        written.append(delimiters.component.join(escape(part, delimiters) for part in parts))
    return delimiters.repetition.join(written)
