"""The field with the barcode stands out."""

from datetime import date

import pytest

from connectors.onboarding.fields import shape_of, specimen_fields
from domain.accession import accession_no

CODES = [accession_no(date(2026, 11, 23), serial) for serial in (7, 8, 9)]


def test_an_accession_number_in_o4_beats_a_rack_position_in_o3():
    messages = [
        f"H|\\^&\rP|1|||PID7\rO|1|{n}^1^{n}|^^  {code}^B|^^^GLU\rR|1|^^^GLU|5\rL|1|N\r".encode()
        for n, code in enumerate(CODES, 1)
    ]
    best = specimen_fields(messages, "astm")[0]
    assert (best.path, best.shape, best.score, best.filled, best.distinct) == ("O.4.3", "accession", 1.0, 3, 3)
    assert best.examples == tuple(CODES)


def test_hl7_specimen_in_obr_2():
    messages = [
        f"MSH|^~\\&|Mindray|BS-200E|||20261123||ORU^R01|1|P|2.3.1\rPID|1|||x\rOBR|1|{code}|{n}|Mindray\rOBX|1|NM|2|GLU|5\r"
        .encode()
        for n, code in enumerate(CODES, 1)
    ]  # fmt: skip
    assert specimen_fields(messages, "hl7")[0].path == "OBR.2.1"


def test_one_text_in_every_message_is_no_tube():
    messages = [b"H|\\^&\rP|1\rO|1|RACK000001|%06d1||\rL|1\r" % n for n in (700001, 700002, 700003)]
    assert specimen_fields(messages, "astm")[0].path == "O.4.1"


def test_messages_that_cannot_be_read_are_passed_over():
    assert specimen_fields([b"\xff\x00", b"OBR|1"], "hl7") == []


@pytest.mark.parametrize(
    ("value", "shape"),
    [(CODES[0], "accession"), ("26S000123", "barcode"), ("S000123456", "barcode"), ("00012345678", "barcode"),
     ("20261123", "date"), ("20261123101500", "date"), ("12", "number"), ("SAMPLE", "text")],
)  # fmt: skip
def test_shapes(value, shape):
    assert shape_of(value) == shape
