"""The cells of an XLSX workbook as text, read with the standard library alone and within bounds.

A workbook is a ZIP archive of XML parts, and either may be made to burst: parts are read up to a limit whatever the
archive says of their size, document types (and with them entities) are refused, cells and rows are counted. Formulas
count by their stored value; formats are not looked at.

Source: ECMA-376-1:2016 (Office Open XML), 18.3 (worksheets: row, c, v, is) and 18.4 (shared strings: si, t, rPh).
"""

from __future__ import annotations

import io
import re
import zipfile
import zlib
from typing import Final
from xml.parsers import expat

from domain.errors import MessageError

MAX_BYTES: Final = 512 << 10
MAX_UNPACKED_BYTES: Final = 16 << 20
"""Of all parts that are read."""
MAX_PARTS: Final = 1_000
MAX_SHEETS: Final = 20
MAX_ROWS: Final = 20_000
MAX_CELLS: Final = 500_000
MAX_COLUMNS: Final = 200
MAX_CELL_CHARS: Final = 2_000
_SHEET = re.compile(r"xl/worksheets/sheet(\d{1,3})\.xml")
_STRINGS: Final = "xl/sharedStrings.xml"
_COLUMN = re.compile(r"[A-Z]{1,3}", re.ASCII)
_BROKEN: Final = (
    zipfile.BadZipFile, zipfile.LargeZipFile, zlib.error, expat.ExpatError, EOFError, KeyError, NotImplementedError,
    OSError, RuntimeError, ValueError,
)  # fmt: skip
"""What damaged, encrypted and unusual archives and parts make the library raise."""


class _RefusedError(Exception):
    """A bound is exceeded, or a part holds what no workbook needs."""


def sheets_of(data: bytes) -> list[list[list[str]]]:
    """Return the rows of every sheet, each a list of texts by column; "" where a cell is empty.

    Raises:
        MessageError: It is no workbook, or exceeds a bound.
    """
    try:
        return _sheets(data)
    except (_RefusedError, *_BROKEN) as error:
        raise MessageError(
            "the file is no workbook, or too large", code="WORKBOOK_INVALID",
            action="Save it as CSV with its header row and send that.",
        ) from error  # fmt: skip


def _sheets(data: bytes) -> list[list[list[str]]]:
    if len(data) > MAX_BYTES:
        raise _RefusedError
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        names = archive.namelist()
        if len(names) > MAX_PARTS:
            raise _RefusedError
        found = sorted((int(match[1]), name) for name in set(names) if (match := _SHEET.fullmatch(name)))
        parts = _parts(archive, [_STRINGS, *(name for _, name in found[:MAX_SHEETS])])
    strings = _Strings(parts.pop(_STRINGS)).texts if _STRINGS in parts else []
    return [_Sheet(content, strings).rows for content in parts.values()]


def _parts(archive: zipfile.ZipFile, wanted: list[str]) -> dict[str, bytes]:
    """Return the parts that are there; what the archive says of their size is not believed."""
    left = MAX_UNPACKED_BYTES
    found = {}
    for name in (name for name in wanted if name in archive.NameToInfo):
        with archive.open(name) as stream:
            found[name] = stream.read(left + 1)
        left -= len(found[name])
        if left < 0:
            raise _RefusedError
    return found


class _Part:
    """Walks an XML part; what stands inside of phonetic hints is left out."""

    def __init__(self, content: bytes) -> None:
        self._text: list[str] = []
        self._is_text = False
        self._hints = 0
        parser = expat.ParserCreate(namespace_separator=" ")
        parser.buffer_text = True
        parser.StartDoctypeDeclHandler = self._refuse
        parser.StartElementHandler = self._start
        parser.EndElementHandler = self._end
        parser.CharacterDataHandler = self._characters
        parser.Parse(content, True)

    def opened(self, name: str, attributes: dict[str, str]) -> None:
        """Take the beginning of an element."""

    def closed(self, name: str) -> None:
        """Take the end of an element."""

    def taken(self) -> str:
        """Return the text since the last call."""
        text = "".join(self._text)[:MAX_CELL_CHARS]
        self._text.clear()
        return text

    def _refuse(self, *_: object) -> None:
        raise _RefusedError

    def _start(self, name: str, attributes: dict[str, str]) -> None:
        local = name.rpartition(" ")[2]
        self._hints += local == "rPh"
        self._is_text = local in {"t", "v"} and not self._hints
        self.opened(local, attributes)

    def _end(self, name: str) -> None:
        local = name.rpartition(" ")[2]
        self._hints -= local == "rPh"
        self._is_text = False
        self.closed(local)

    def _characters(self, text: str) -> None:
        if self._is_text:
            self._text.append(text)


class _Strings(_Part):
    """The texts that cells share, by number."""

    def __init__(self, content: bytes) -> None:
        self.texts: list[str] = []
        super().__init__(content)

    def closed(self, name: str) -> None:
        """Take the end of an element."""
        if name == "si":
            self.texts.append(self.taken())
            if len(self.texts) > MAX_CELLS:
                raise _RefusedError


class _Sheet(_Part):
    """The rows of one sheet."""

    def __init__(self, content: bytes, strings: list[str]) -> None:
        self._strings = strings
        self.rows: list[list[str]] = []
        self._cells = 0
        self._column = 0
        self._kind = ""
        super().__init__(content)

    def opened(self, name: str, attributes: dict[str, str]) -> None:
        """Take the beginning of an element."""
        if name == "row":
            self.rows.append([])
            self._column = 0
            if len(self.rows) > MAX_ROWS:
                raise _RefusedError
        elif name == "c":
            self._kind = attributes.get("t", "")
            letters = _COLUMN.match(attributes.get("r", ""))
            self._column = _number_of(letters[0]) if letters else self._column + 1
            self._cells += 1
            if self._cells > MAX_CELLS or self._column > MAX_COLUMNS:
                raise _RefusedError
            self.taken()

    def closed(self, name: str) -> None:
        """Take the end of an element."""
        if name != "c" or not self.rows:
            return
        text = self.taken()
        if self._kind == "s":
            number = int(text) if text.isdecimal() else -1
            text = self._strings[number] if 0 <= number < len(self._strings) else ""
        row = self.rows[-1]
        row += [""] * (self._column - len(row))
        row[self._column - 1] = text


def _number_of(letters: str) -> int:
    number = 0
    for letter in letters:
        number = number * 26 + ord(letter) - ord("A") + 1
    return number
