"""Dimension messages read into the lab's words: two machines."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.dimension.messages import read_message
from connectors.dimension.texts import framed
from domain.device_profile import DeviceProfile
from domain.errors import MessageError
from domain.observations import MessageKind, ObservationStatus

PLAIN = DeviceProfile(protocol="dimension")
STRICT = DeviceProfile.model_validate(
    {
        "protocol": "dimension",
        "utc_offset_minutes": 0,
        "control_rules": [{"field": "R.6", "equals": ["3"]}],
        "status_overrides": {"5": "final"},
    }
)


def result(*rows: str, count: str | None = None, sample: str = "261123000017", priority: str = "0") -> bytes:
    fields = ["R", "0", "P1", sample, "1", "", priority, "051015181126", "1", "1", count or str(len(rows) // 4), *rows]
    return "\x1c".join([*fields, ""]).encode()


def test_a_result():
    message = read_message(result("GLU", "98", "mg/dL", "", "CREA", " 1.02 ", "mg/dL", "0"), PLAIN)
    (report,) = message.specimens
    assert (message.kind, report.specimen_id, report.is_control) == (MessageKind.RESULTS, "261123000017", False)
    assert [(row.code, row.value, row.unit) for row in report.observations] == [
        ("GLU", "98", "mg/dL"), ("CREA", "1.02", "mg/dL"),
    ]  # fmt: skip
    assert {row.status for row in report.observations} == {ObservationStatus.FINAL}
    assert message.sent_at == datetime(2026, 11, 18, 9, 40, 5, tzinfo=UTC)


def test_an_error_holds_the_value_unless_the_profile_knows_it():
    raw = result("GLU", "98", "mg/dL", "5", "CREA", "", "mg/dL", "16")
    glucose, creatinine = read_message(raw, PLAIN).specimens[0].observations
    assert (glucose.status, glucose.abnormal_flags) == (ObservationStatus.UNKNOWN, ("5",))
    assert creatinine.status is ObservationStatus.UNKNOWN
    assert read_message(raw, STRICT).specimens[0].observations[0].status is ObservationStatus.FINAL
    assert (
        read_message(result("GLU", "", "", ""), PLAIN).specimens[0].observations[0].status is ObservationStatus.FAILED
    )


def test_another_clock_and_a_rule_for_controls():
    message = read_message(result("GLU", "98", "mg/dL", "", priority="3"), STRICT)
    assert message.sent_at == datetime(2026, 11, 18, 15, 10, 5, tzinfo=UTC)
    assert message.specimens[0].is_control
    assert message.specimens[0].control_name == "261123000017"


def test_empty_fields_may_be_left_off_the_end():
    raw = result("GLU", "98", "mg/dL", "").rstrip(b"\x1c")
    assert len(read_message(raw, PLAIN).specimens[0].observations) == 1
    assert read_message(result(), PLAIN).specimens[0].observations == ()


@pytest.mark.parametrize("count", ["2", "0", "x", "", "-1", "99999"])
def test_a_count_that_does_not_fit(count: str):
    raw = result("GLU", "98", "mg/dL", "", count=count or " ")
    with pytest.raises(MessageError) as caught:
        read_message(raw, PLAIN)
    assert caught.value.code == "DIMENSION_RESULT"


def test_a_query():
    message = read_message(b"I\x1c261123000017\x1c", PLAIN)
    assert (message.kind, message.queried_specimens) == (MessageKind.QUERY, ("261123000017",))
    assert read_message(b"I\x1c\x1c", PLAIN).queried_specimens == ()


@pytest.mark.parametrize(
    ("raw", "kind"),
    [
        (b"P\x1c1\x1c", MessageKind.OTHER),
        (b"C\x1cGLU\x1c", MessageKind.OTHER),
        (b"M\x1cA\x1c", MessageKind.ACKNOWLEDGEMENT),
    ],
)
def test_the_others_bring_no_results(raw: bytes, kind: MessageKind):
    message = read_message(raw, PLAIN)
    assert (message.kind, message.specimens) == (kind, ())


def test_a_whole_block():
    assert read_message(framed("I", "7"), PLAIN).queried_specimens == ("7",)
    with pytest.raises(MessageError):
        read_message(framed("I", "7").replace(b"7", b"8"), PLAIN)


@pytest.mark.parametrize(
    ("raw", "code"), [(b"", "DIMENSION_TYPE"), (b"X\x1c", "DIMENSION_TYPE"), (b"R" * (2 << 20), "DIMENSION_TOO_LONG")]
)
def test_what_cannot_be_read(raw: bytes, code: str):
    with pytest.raises(MessageError) as caught:
        read_message(raw, PLAIN)
    assert caught.value.code == code


@given(st.binary(max_size=200) | st.lists(st.text(max_size=8)).map(lambda parts: "\x1c".join(["R", *parts]).encode()))
def test_any_bytes_are_read_or_refused(raw: bytes):
    try:
        code = f"DIMENSION_{read_message(raw, PLAIN).kind}"
    except MessageError as error:
        code = error.code
    assert code.startswith(("DIMENSION_", "BLOCK_"))
