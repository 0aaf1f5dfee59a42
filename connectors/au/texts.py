"""The texts of the AU "Online" protocol: identity of a sample, result groups, the host's answer.

```
code 2 | rack 4 | cup 2 | type 1 | sample no 4 | sample id, width set by the site | rest
R 000301N0095             2600133                                     a request; nothing follows
S 000301 0095             2600133    E099009097                       the answer: 4 blanks, E, online test numbers
D 000305 0081             2600305    E014  78.8  097 135.8            results: number, value, marks
```

Source: AU680/AU480 Instrument Online Specification, January 2011 v9, as cited by live sites, read in specs.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import reduce
from operator import xor
from typing import Final

from connectors.blocks import ETX, STX, BlockRules
from domain.device_orders import DeviceWork
from domain.device_profile import AuLayout
from domain.errors import FrameError, MessageError

REQUESTS: Final = ("R ", "RH", "Rh")
"""Requests for the work on a sample: normal, repeat, automatic repeat."""
RESULTS: Final = ("D ", "d ", "DH", "dH")
"""Results of samples: normal, STAT, and both measured again."""
REPEAT_RESULTS: Final = ("DH", "dH")
CONTROL_RESULTS: Final = ("DQ", "DA", "DR")
"""Quality control, calibration, reagent blank: never a patient's."""
MARKERS: Final = ("RB", "RE", "DB", "DE")
"""Begin and end of requests and of results: they carry nothing and are not answered."""

IDENTITY_CHARS: Final = 13
"""Code, rack, cup, type and sample number; the sample id follows."""
NAME_CHARS: Final = 20

_TYPE_AT: Final = 8
_HEADER = re.compile(r"[ 0-9]{4}[E0-9]")
"""Between identity and results: four characters (a control's number, else blank) and the block number, E the last."""
_DEMOGRAPHICS = re.compile(r"[0MF ][ 0-9]{5}[^0-9]{20} ?(?:20\d\d[01]\d[0-3]\d[0-2]\d[0-5]\d[0-5]\d)?", re.ASCII)
"""What a site may let the analyzer send before the results: sex, age, name (mostly blank) and the time of the run.

A name has no digits: where the site sends none, results must not be taken for one.
"""
_ID_WIDTH = re.compile(rf".{{{IDENTITY_CHARS}}}( *\S{{1,40}}) {{4}}[E0-9]", re.DOTALL)
_VALUE = re.compile(r"(?:[<>]=?)?[+-]?(?:\d+[.,]?\d*|[.,]\d+)|[^\s\d]*", re.ASCII)
"""A number, or a word without digits: fields cut at the wrong place look like neither."""


@dataclass(frozen=True)
class Identity:
    """Which sample a text is about. `sample_id` is stripped of its padding."""

    code: str
    rack: str
    cup: str
    kind: str
    sample_no: str
    sample_id: str = field(repr=False)


@dataclass(frozen=True)
class Group:
    """One result as sent, stripped of padding."""

    test: str
    dilution: str
    value: str = field(repr=False)
    marks: str


def rules(layout: AuLayout) -> BlockRules:
    """Return how blocks of a device with this layout are read."""

    def opened(text: bytes, mark: int, trailer: bytes) -> bytes:
        if len(text) < 2:  # noqa: PLR2004  the code
            raise FrameError("block without a code", code="AU_BLOCK", action="Compare the device's Online settings.")
        if layout.has_check_byte and trailer[0] != check_byte(text, mark):
            raise FrameError(
                "wrong check byte", code="AU_CHECK_BYTE", action="If every block fails, compare BCC in Online settings."
            )
        return text

    return BlockRules(
        open=opened,
        trailer_bytes=1 if layout.has_check_byte else 0,
        continues=True,
        repeats=lambda text: text[:1] in {b"D", b"d"},
    )


def check_byte(text: bytes, mark: int) -> int:
    """Return the exclusive-or of everything after STX through the end mark."""
    return reduce(xor, text, mark)


def framed(text: str, layout: AuLayout) -> bytes:
    """Return `text` as one block."""
    body = text.encode("latin-1", errors="replace")
    trailer = bytes([check_byte(body, ETX)]) if layout.has_check_byte else b""
    return bytes([STX]) + body + bytes([ETX]) + trailer


def identity_of(text: str, id_chars: int | None = None) -> Identity:
    """Return the identity at the beginning of a text.

    Args:
        text: From the code on.
        id_chars: Width of the sample id; None where all that follows is the id, as in a request.

    Raises:
        MessageError: The text is shorter than an identity, or its widths are not the profile's.
    """
    end = None if id_chars is None else IDENTITY_CHARS + id_chars
    sample_id = text[IDENTITY_CHARS:end].strip()
    if len(text) < IDENTITY_CHARS or " " in sample_id:
        raise MessageError(
            "the text does not begin with the identity of a sample",
            code="AU_LAYOUT", action="Compare the widths in the profile with the device's Online settings.",
        )  # fmt: skip
    return Identity(
        code=text[:2],
        rack=text[2:6].strip(),
        cup=text[6:8].strip(),
        kind=text[8:9].strip(),
        sample_no=text[9:13].strip(),
        sample_id=sample_id,
    )


def result_text(block: str, layout: AuLayout, *, first: str = "") -> tuple[str, str]:
    """Return what stands between identity and results, and the results, of one block of a message.

    Args:
        block: The block's text.
        layout: Widths.
        first: Text of the message's first block; where this one does not repeat its identity, all of it is results.
    """
    width = IDENTITY_CHARS + layout.specimen_width
    if first and block[:width] != first[:width]:
        return "", block.removeprefix(first[:2])
    rest = block[width:]
    if layout.results_offset:
        return rest[: layout.results_offset], rest[layout.results_offset :]
    size = _header_chars(rest, layout.test_width)
    return rest[:size], rest[size:]


def _header_chars(rest: str, test_width: int) -> int:
    """Return how many characters stand before the results where the profile does not say."""
    header = _HEADER.match(rest)
    if header is None:
        return 0
    if rest[header.end() : header.end() + test_width].isdigit():
        return header.end()
    demographics = _DEMOGRAPHICS.match(rest, header.end())
    return demographics.end() if demographics else header.end()


def sent_id_width(text: str) -> int | None:
    """Return the width of the sample id as the text itself shows it, or None.

    The id is right-justified and followed by four blanks and the block number, so it tells its width; sites change it.
    """
    match = _ID_WIDTH.match(text)
    return len(match[1]) if match else None


def groups(text: str, layout: AuLayout) -> list[Group]:
    """Return the results in `text`. Blanks that zero suppression cut off the last one are put back.

    Raises:
        MessageError: The fields do not look like results: widths or offset in the profile are not the device's.
    """
    width = layout.test_width + layout.dilution_width + layout.value_width + layout.marks_width
    found = []
    for start in range(0, len(text), width):
        piece = text[start : start + width].ljust(width)
        if not piece.strip():
            continue
        test, rest = piece[: layout.test_width], piece[layout.test_width :]
        dilution, rest = rest[: layout.dilution_width], rest[layout.dilution_width :]
        value, marks = rest[: layout.value_width].strip(), rest[layout.value_width :].strip()
        if not (test.isascii() and test.isdigit() and _VALUE.fullmatch(value)):
            raise MessageError(
                f"no result where one is due, {start} characters after the first",
                code="AU_LAYOUT", action="Compare the widths in the profile with the device's Online settings.",
            )  # fmt: skip
        found.append(Group(test, dilution.strip(), value, marks))
    return found


def answer(request: str, work: DeviceWork | None, layout: AuLayout) -> str:
    """Return the answer to a request: its identity, as wide as it came, and the online test numbers.

    Raises:
        MessageError: A code of the work is no online test number of this device.
    """
    code = f"S{request[1:2]}"
    identity = f"{request[2:_TYPE_AT]} {request[_TYPE_AT + 1 :]}"
    name = f"M00000{_latin(work.patient_name if work else ''):<{NAME_CHARS}.{NAME_CHARS}}"
    numbers = _numbers(work.codes if work else (), layout.test_width)
    return f"{code}{identity}    E{name if layout.has_name_block else ''}{numbers}"


def _numbers(codes: Iterable[str], width: int) -> str:
    numbers = []
    for code in codes:
        number = code.strip()
        if not (number.isascii() and number.isdigit() and len(number.lstrip("0")) <= width):
            raise MessageError(
                "a test code is no online test number",
                code="AU_TEST_NUMBER",
                action="Correct the mapping of the device: its codes are the numbers of its Online screen.",
                context={"code": number[:20]},
            )
        numbers.append(number.lstrip("0").rjust(width, "0"))
    return "".join(numbers)


def _latin(name: str) -> str:
    """Return a name in letters that the analyzer's screen has."""
    plain = unicodedata.normalize("NFKD", name).encode("ascii", errors="ignore").decode("ascii")
    return "".join(letter for letter in plain if letter.isprintable()).strip()
