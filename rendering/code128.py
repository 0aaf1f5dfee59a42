"""Code 128 bars as modules and as SVG.

Source: ISO/IEC 15417 (Code 128; quiet zone of ten modules on either side).
"""

from __future__ import annotations

from itertools import groupby

from barcode import Code128

QUIET_MODULES = 10


def modules_of(digits: str) -> str:
    """Return the bars of digits as `1` and spaces as `0`, without quiet zones.

    Raises:
        ValueError: There is anything but ASCII digits.
    """
    if not (digits.isascii() and digits.isdigit()):
        raise ValueError("a tube carries ASCII digits only")
    (modules,) = Code128(digits).build()
    return str(modules)


def code128_svg(digits: str) -> str:
    """Return the bars with their quiet zones as SVG, one unit per module, to be stretched to any height."""
    modules = modules_of(digits)
    width = len(modules) + 2 * QUIET_MODULES
    bars, place = [], QUIET_MODULES
    for module, run in groupby(modules):
        length = len(list(run))
        if module == "1":
            bars.append(f'<rect x="{place}" y="0" width="{length}" height="1"/>')
        place += length
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} 1" preserveAspectRatio="none">'
        f"{''.join(bars)}</svg>"
    )
