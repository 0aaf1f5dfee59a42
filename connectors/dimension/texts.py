"""The texts of the Dimension protocol: fields ended by FS, then two hexadecimal digits of checksum.

```
analyzer                                          host
P ...                        poll                 N, or D: a sample request
M A|R, code, ...             takes or refuses D
I, sample                    asks for one tube    D, or N
R ..., count, 4 per test     results              M A, or M R 1
C ...                        calibration          M A, or M R 1
```

Source: Dimension Clinical Chemistry Systems Interface Specification Guide as implemented by RosieLIS (MIT), read in
specs.
"""

from __future__ import annotations

from typing import Final

from connectors.blocks import ETX, STX, BlockRules
from domain.device_orders import DeviceWork, WorkAction, WorkPriority
from domain.errors import FrameError, MessageError

FS: Final = 0x1C

_SPECIMENS: Final = {"serum": "1", "plasma": "2", "urine": "3", "csf": "4"}
"""Specimen types; serum for what is not listed, as the analyzer's own default. To be confirmed on each site."""
_PRIORITIES: Final = {WorkPriority.ROUTINE: "0", WorkPriority.STAT: "1"}
_ANY_POSITION: Final = "**"
"""Positions are given at the analyzer."""


def rules(*, check: bool = True) -> BlockRules:
    """Return how blocks are read; `check` False takes them with any checksum."""

    def opened(text: bytes, _mark: int, _trailer: bytes) -> bytes:
        body, digits = text[:-2], text[-2:]
        if not body:
            raise FrameError("block without a type", code="DIMENSION_BLOCK", action="Check the line settings.")
        if check and digits.upper() != checksum(body):
            raise FrameError("wrong checksum", code="DIMENSION_CHECKSUM", action="Check the line settings and cable.")
        return body

    return BlockRules(open=opened, repeats=lambda text: text[:1] in {b"R", b"C"})


def checksum(body: bytes) -> bytes:
    """Return the sum modulo 256 of everything after STX, as two hexadecimal digits."""
    return b"%02X" % (sum(body) % 256)


def framed(*fields: str) -> bytes:
    """Return fields as one block."""
    body = b"".join(field.encode("latin-1", errors="replace") + bytes([FS]) for field in fields)
    return bytes([STX]) + body + checksum(body) + bytes([ETX])


def fields_of(text: str) -> list[str]:
    """Return the fields of a text; field 0 is the type."""
    return [field.strip() for field in text.rstrip("\r\n").removesuffix(chr(FS)).split(chr(FS))]


def sample_request(work: DeviceWork) -> bytes:
    """Return the block that gives the analyzer the work on one tube.

    Raises:
        MessageError: There is no code, or one that cannot stand in a field.
    """
    codes = [code.strip().upper() for code in work.codes]
    if not codes or not all(code.isascii() and code.isprintable() and code for code in (*codes, work.specimen_id)):
        raise MessageError(
            "the work has a code that this analyzer cannot be sent",
            code="DIMENSION_WORK", action="Correct the mapping of the device: its codes are its method names.",
        )  # fmt: skip
    return framed(
        "D",
        "0",  # carrier
        "0",  # load list
        "D" if work.action is WorkAction.CANCEL else "A",
        _plain(work.patient_no),
        work.specimen_id,
        _SPECIMENS.get(work.specimen, "1"),
        "",  # location
        _PRIORITIES[work.priority],
        "1",  # cups
        _ANY_POSITION,
        "1",  # dilution
        str(len(codes)),
        *codes,
    )


def no_request() -> bytes:
    """Return the block that says that there is no work."""
    return framed("N")


def result_answer(*, is_accepted: bool) -> bytes:
    """Return the block that takes or refuses a result."""
    return framed("M", "A", "") if is_accepted else framed("M", "R", "1")


def _plain(text: str) -> str:
    return "".join(letter for letter in text if letter.isascii() and letter.isprintable())[:30]
