import re
from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.accession import accession_no
from rendering.code128 import QUIET_MODULES, code128_svg, modules_of


@given(st.integers(1, 99_999))
def test_twelve_digits_are_always_101_modules_that_begin_and_end_with_a_bar(serial):
    modules = modules_of(accession_no(date(2026, 11, 23), serial))
    assert len(modules) == 101
    assert modules.startswith("11010011100")  # start C
    assert modules.endswith("1100011101011")  # stop


def test_bars_of_the_picture_are_the_modules_with_quiet_zones():
    number = str(accession_no(date(2026, 11, 23), 12))
    svg, modules = code128_svg(number), modules_of(number)
    drawn = ["0"] * (len(modules) + 2 * QUIET_MODULES)
    for x, width in re.findall(r'<rect x="(\d+)" y="0" width="(\d+)"', svg):
        drawn[int(x) : int(x) + int(width)] = "1" * int(width)
    assert "".join(drawn) == "0" * QUIET_MODULES + modules + "0" * QUIET_MODULES


@pytest.mark.parametrize("text", ["", "12a4", "१२३४", "12 4", "<svg>"])
def test_anything_but_digits_is_refused(text):
    with pytest.raises(ValueError, match="digits"):
        modules_of(text)
