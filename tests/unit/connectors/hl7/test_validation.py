import contextlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from connectors.hl7.messages import read_message
from connectors.hl7.validation import build_result_message, validate_message, validate_off_loop
from domain.device_profile import DeviceProfile
from domain.errors import MessageError
from domain.observations import Observation, ObservationStatus, SpecimenReport

REPORT = SpecimenReport(
    "261123000017",
    (
        Observation("WBC", "<5^2", "10^3/uL", "4-10", ("H", "A"), value_type="ST"),
        Observation("HGB", "13.1", "g/dL", status=ObservationStatus.CORRECTED, value_type="ST"),
    ),
)


def built(report: SpecimenReport) -> bytes:
    return build_result_message(report, sender="LabSetu", message_id="1", sent_at="20261123063203")


def test_what_hl7apy_writes_our_reader_reads():
    assert read_message(built(REPORT), DeviceProfile(protocol="hl7")).specimens == (REPORT,)


TEXT = st.text(st.sampled_from("ABCabc019 .<>|^~\\&/*%"), min_size=1, max_size=12).map(str.strip).filter(bool)


@settings(max_examples=25, deadline=None)  # hl7apy needs up to 100 ms for a message
@given(TEXT, TEXT, TEXT)
def test_hl7apy_is_the_oracle_for_escapes(code, value, unit):
    report = SpecimenReport("S", (Observation(code, value, unit, value_type="ST"),))
    (read,) = read_message(built(report), DeviceProfile(protocol="hl7", not_values=())).specimens
    (row,) = read.observations
    assert (row.code, row.value, row.unit) == (code, value.rstrip("^ "), unit)


def test_a_conforming_message():
    report = validate_message(built(REPORT))
    assert report.is_conforming
    assert (report.structure, report.segments) == ("ORU^R01 2.5.1", 4)


def test_line_ends_do_not_matter():
    assert validate_message(built(REPORT).replace(b"\r", b"\r\n")).segments == 4
    assert validate_message(built(REPORT).replace(b"\r", b"\n")).is_conforming


@pytest.mark.parametrize(
    ("raw", "word"),
    [
        (b"MSH|^~\\&|A||||2026||ORU^R01|1|P|2.3.1\rPID|1\rOBR|1||S\rOBX|1|NM|X^Y||5\r", "PID"),
        (b"MSH|^~\\&|A||||2026||ZZZ^Z01|1|P|2.5.1\r", ""),
        (b"MSH|^~\\&|A||||2026||ORU^R01|1|P|9.9\rPID|1\r", ""),
        (b"MSH|^~\\&|A||||2026||QBP^Z03^QBP_Z03|1|P|2.5\rQPD|Z03|q|p|s\r", ""),
    ],
)
def test_departures_are_findings_and_not_errors(raw, word):
    report = validate_message(raw)
    assert not report.is_conforming
    assert word in report.findings[0]


def test_findings_quote_no_contents():
    raw = built(REPORT).replace(b"OBR|1|", b"PID|1||P1||SECRETNAME^X|||SECRETSEX\rOBR|1|")
    assert "SECRET" not in repr(validate_message(raw))


def test_bounds():
    with pytest.raises(MessageError, match="up to"):
        validate_message(built(REPORT) + b"x" * 70_000)
    with pytest.raises(MessageError, match="segments"):
        validate_message(built(REPORT) + b"NTE|1\r" * 300)


async def test_off_the_loop():
    assert (await validate_off_loop(built(REPORT))).is_conforming


@settings(max_examples=30)
@given(st.binary(max_size=80))
def test_any_message_is_judged_or_refused(raw):
    with contextlib.suppress(MessageError):
        validate_message(b"MSH|^~\\&|A||||2026||ORU^R01|1|P|2.5.1\r" + raw)
