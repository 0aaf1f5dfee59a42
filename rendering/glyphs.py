"""The fonts that paper is printed with, and which characters they can show.

Fonts come from installed packages only, so that every machine renders the same bytes: Noto Sans (Latin, Greek,
Cyrillic, Devanagari) from `fontpkg-noto-sans`, and for a few signs DejaVu Sans Mono, built into the typst wheel.
Source: OpenType specification 1.9, "cmap" table, subtable formats 4 and 12.
"""

from __future__ import annotations

import struct
from functools import cache
from pathlib import Path

import fontpkg_noto_sans
import typst

from domain.errors import LabError

FAMILY = "Noto Sans"
FONT_FOLDER = Path(fontpkg_noto_sans.ROOT) / "files"
SIGNS = frozenset("≤≥≠≈±×÷→←↑↓√∞∆Ωµ°•■▲▼")
"""Signs of results and comments that the typst wheel's built-in font shows where Noto Sans has none."""


def load_fonts(folder: Path = FONT_FOLDER) -> typst.Fonts:
    """Return the fonts for rendering; the system's are never used.

    Raises:
        LabError: The font package is missing or incomplete.
    """
    fonts = typst.Fonts(include_system_fonts=False, include_embedded_fonts=True, font_paths=[str(folder)])
    if FAMILY not in fonts.families():
        raise LabError(
            f"the font {FAMILY} is not in {folder.name}",
            code="FONT_MISSING",
            action="Reinstall the requirements: the package fontpkg-noto-sans holds the font.",
        )
    return fonts


@cache
def printable_characters(folder: Path = FONT_FOLDER) -> frozenset[int]:
    """Return the code points that the upright and the italic font can both show, and the signs.

    Raises:
        LabError: The font package is missing or incomplete.
    """
    files = sorted(folder.glob("NotoSans*.ttf"))
    if not files:
        load_fonts(folder)
    covered = frozenset.intersection(*(_covered(file.read_bytes()) for file in files))
    return covered | {ord(sign) for sign in SIGNS}


def _covered(font: bytes) -> frozenset[int]:
    count = struct.unpack_from(">H", font, 4)[0]
    tables = {font[at : at + 4]: struct.unpack_from(">I", font, at + 8)[0] for at in range(12, 12 + 16 * count, 16)}
    start = tables[b"cmap"]
    covered: set[int] = set()
    for index in range(struct.unpack_from(">H", font, start + 2)[0]):
        at = start + struct.unpack_from(">I", font, start + 4 + 8 * index + 4)[0]
        kind = struct.unpack_from(">H", font, at)[0]
        if kind == 12:  # noqa: PLR2004  segmented coverage of all of Unicode
            covered.update(_segments_32(font, at))
        elif kind == 4:  # noqa: PLR2004  segments of the basic plane
            covered.update(_segments_16(font, at))
    return frozenset(covered)


def _segments_32(font: bytes, at: int) -> set[int]:
    groups = struct.unpack_from(">I", font, at + 12)[0]
    found: set[int] = set()
    for group in range(groups):
        first, last, glyph = struct.unpack_from(">III", font, at + 16 + 12 * group)
        found.update(point for point in range(first, last + 1) if glyph + point - first)
    return found


def _segments_16(font: bytes, at: int) -> set[int]:
    count = struct.unpack_from(">H", font, at + 6)[0] // 2
    ends = struct.unpack_from(f">{count}H", font, at + 14)
    starts = struct.unpack_from(f">{count}H", font, at + 16 + 2 * count)
    return {point for first, last in zip(starts, ends, strict=True) for point in range(first, last + 1)} - {0xFFFF}
