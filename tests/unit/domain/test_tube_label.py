import pytest

from domain.errors import RuleError
from domain.tube_label import MAX_LINE_CHARS, TubeLabel, latin


@pytest.mark.parametrize(
    ("text", "printed"),
    [
        ("Asha Kulkarni", "Asha Kulkarni"),
        ("  José \t Núñez\n", "José Núñez"),
        ("आशा कुलकर्णी", ""),
        ("आशा 7", "7"),
        ("-- ", ""),
        ("a\x1b[31m", "a[31m"),
    ],
    ids=["latin", "blanks", "devanagari", "a digit is left", "no letter", "control characters"],
)
def test_what_a_printer_cannot_show_is_left_out(text, printed):
    assert latin(text) == printed


def test_a_line_is_bounded():
    assert len(latin("x" * 500)) == MAX_LINE_CHARS


@pytest.mark.parametrize("number", ["261123000125", "26112300012", "^XA", ""])
def test_a_label_needs_a_number_whose_check_digit_is_right(number):
    with pytest.raises(RuleError, match="not an accession number"):
        TubeLabel(number)
