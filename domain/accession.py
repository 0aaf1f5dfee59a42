"""Accession numbers: the twelve digits on every tube.

`YYMMDD` + five-digit serial of the day + Damm check digit. All digits and of even length, so that Code 128 set C
fits the label of a 13 mm tube, and short enough for analyzers that cut specimen ids at twelve characters.
The Damm digit catches every single wrong digit and every swap of two neighbours.

Source: H. M. Damm, "Total anti-symmetrische Quasigruppen", Marburg 2004 (table of order 10); ISO/IEC 15417 for
Code 128; CLSI AUTO02 for label dimensions, read in specs.
"""

from __future__ import annotations

from datetime import date

from domain.ids import AccessionNo

LENGTH = 12
MAX_SERIAL = 99_999
"""Tubes one laboratory can register in one day."""

_FIRST_YEAR = 2000
_LAST_YEAR = 2099

_DAMM = (
    (0, 3, 1, 7, 5, 9, 8, 6, 4, 2),
    (7, 0, 9, 2, 1, 5, 4, 8, 6, 3),
    (4, 2, 0, 6, 8, 7, 1, 3, 5, 9),
    (1, 7, 5, 0, 9, 8, 3, 4, 2, 6),
    (6, 1, 2, 3, 0, 4, 5, 9, 7, 8),
    (3, 6, 7, 4, 2, 0, 9, 5, 8, 1),
    (5, 8, 6, 9, 7, 2, 0, 1, 3, 4),
    (8, 9, 4, 5, 3, 6, 2, 0, 1, 7),
    (9, 4, 3, 8, 6, 1, 7, 2, 0, 5),
    (2, 5, 8, 1, 4, 3, 6, 7, 9, 0),
)


def damm_check_digit(digits: str) -> int:
    """Return the Damm check digit of `digits`.

    Raises:
        ValueError: `digits` holds anything but ASCII digits.
    """
    if not (digits.isascii() and digits.isdigit()):
        raise ValueError("check digits exist for ASCII digits only")
    interim = 0
    for digit in digits:
        interim = _DAMM[interim][int(digit)]
    return interim


def accession_no(day: date, serial: int) -> AccessionNo:
    """Return the accession number of the `serial`-th tube (from 1) of the lab's calendar `day`.

    Raises:
        ValueError: The serial does not fit five digits, or the year is not in 2000 to 2099.
    """
    if not 1 <= serial <= MAX_SERIAL:
        raise ValueError(f"serial {serial} is not in 1..{MAX_SERIAL}")
    if not _FIRST_YEAR <= day.year <= _LAST_YEAR:
        raise ValueError(f"year {day.year} does not fit two digits")
    body = f"{day:%y%m%d}{serial:05d}"
    return AccessionNo(f"{body}{damm_check_digit(body)}")


def is_accession_no(text: str) -> bool:
    """Tell whether `text` is an accession number: twelve digits, a real day, a serial, a right check digit."""
    if len(text) != LENGTH or not (text.isascii() and text.isdigit()):
        return False
    try:
        date(_FIRST_YEAR + int(text[:2]), int(text[2:4]), int(text[4:6]))
    except ValueError:
        return False
    return int(text[6:11]) >= 1 and damm_check_digit(text) == 0
