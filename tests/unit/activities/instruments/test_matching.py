"""Which part of a specimen id is the number on the tube."""

import pytest

from activities.instruments.matching import NoTube, barcode_in
from domain.accession import accession_no
from domain.clock import lab_day
from domain.device_profile import DeviceProfile

NUMBER = accession_no(lab_day(), 17)


@pytest.mark.parametrize(
    ("pattern", "sent", "expected"),
    [
        ("", NUMBER, NUMBER),
        ("", "17", None),
        ("", f"{NUMBER}-1", None),
        (r"\d{12}$", NUMBER, NUMBER),
        (r"\d{6}$", NUMBER, None),
        (r"(\d{12})-\d+", f"{NUMBER}-1", NUMBER),
        (r"(\d{12})-\d+", NUMBER, None),
        (r"(?:(\d{12})|x)", "x", None),
        (r"(\d{4})", NUMBER, None),
    ],
)
def test_a_barcode_fits_the_pattern_of_its_device_and_the_lab_s_numbers(pattern, sent, expected):
    found = barcode_in(sent, DeviceProfile(protocol="astm", specimen_pattern=pattern))
    assert found == expected if expected else isinstance(found, NoTube)
