"""AU texts read into the lab's words: two machines whose sites set them differently."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.au.messages import read_message
from connectors.au.texts import framed
from domain.device_profile import DeviceProfile
from domain.errors import MessageError
from domain.observations import MessageKind, ObservationStatus

OLD = DeviceProfile(protocol="au")
NEW = DeviceProfile.model_validate(
    {
        "protocol": "au",
        "au": {"specimen_width": 20, "results_offset": 46, "has_check_byte": True},
        "control_rules": [{"field": "D.6", "pattern": "QC"}],
    }
)
RUN_AT = "20261118161505"


def old_result(rows: str, code: str = "D ", sample: str = "261123000017") -> bytes:
    return f"{code}000305 0081{sample:>26}    E{rows}".encode()


def new_result(rows: str, code: str = "D ", sample: str = "261123000017") -> bytes:
    return f"{code}000305 0081{sample:>20}    E0{'':26}{RUN_AT}{rows}".encode()


def test_results_of_a_machine_with_wide_ids():
    message = read_message(old_result("014  78.8H 097 135.8  098   "), OLD)
    (report,) = message.specimens
    assert (message.kind, report.specimen_id, report.is_control) == (MessageKind.RESULTS, "261123000017", False)
    assert [(row.code, row.value, row.abnormal_flags) for row in report.observations] == [
        ("014", "78.8", ("H",)), ("097", "135.8", ()), ("098", "", ()),
    ]  # fmt: skip
    assert [row.status for row in report.observations][1:] == [ObservationStatus.FINAL, ObservationStatus.FAILED]
    assert message.sent_at is None
    assert "0003" in message.message_id


def test_results_of_a_machine_that_sends_the_time_of_the_run():
    message = read_message(new_result("014  78.8  "), NEW)
    (row,) = message.specimens[0].observations
    assert row.observed_at == message.sent_at == datetime(2026, 11, 18, 10, 45, 5, tzinfo=UTC)
    assert (row.code, row.value, row.unit) == ("014", "78.8", "")


@pytest.mark.parametrize(
    ("code", "status"),
    [("DH", ObservationStatus.RERUN), ("d ", ObservationStatus.FINAL), ("dH", ObservationStatus.RERUN)],
)
def test_repeats_and_stat_samples(code: str, status: ObservationStatus):
    (row,) = read_message(old_result("014  78.8  ", code), OLD).specimens[0].observations
    assert row.status is status


@pytest.mark.parametrize("code", ["DQ", "DA", "DR"])
def test_controls_are_never_a_patients(code: str):
    (report,) = read_message(old_result("014  78.8  ", code, sample=""), OLD).specimens
    assert report.is_control
    assert report.control_name == "0081"
    assert len(report.observations) == 1


def test_the_number_of_a_control_is_its_name():
    raw = old_result("014  78.8  ", "DQ", sample="").replace(b"    E", b" 012E")
    assert read_message(raw, OLD).specimens[0].control_name == "012"


def test_a_rule_of_the_profile_marks_a_control():
    assert read_message(new_result("014  78.8  ", sample="QC-1"), NEW).specimens[0].is_control
    assert not read_message(new_result("014  78.8  "), NEW).specimens[0].is_control


def test_fields_of_calibrations_that_cannot_be_read_are_left_out():
    message = read_message(old_result("014 0.1234 0.5678 9", "DA"), OLD)
    assert message.specimens[0].is_control
    assert (message.specimens[0].observations, message.skipped_rows) == ((), 1)
    assert message.flags == ("fields_unknown",)


def test_several_blocks_are_one_message():
    first = f"D 000305 0081{'261123000017':>26}    0014  78.8  "
    last = f"D 000305 0081{'261123000017':>26}    E015   1.0"
    message = read_message(f"{first}\x17{last}".encode(), OLD)
    assert [row.code for row in message.specimens[0].observations] == ["014", "015"]


def test_a_request():
    message = read_message(b"R 000301N0095             2600133", NEW)
    assert (message.kind, message.queried_specimens) == (MessageKind.QUERY, ("2600133",))
    assert read_message(b"RH000301N0095", OLD).queried_specimens == ()


@pytest.mark.parametrize("code", ["RB", "RE", "DB", "DE", "SE"])
def test_markers_are_nothing(code: str):
    assert read_message(code.encode(), OLD).kind is MessageKind.OTHER


def test_frames_may_still_be_around_it():
    text = new_result("014  78.8  ").decode()
    assert read_message(framed(text, NEW.au), NEW).specimens[0].observations[0].value == "78.8"
    with pytest.raises(MessageError):
        read_message(framed(text, NEW.au)[:-1] + b"\x00", NEW)


@pytest.mark.parametrize(
    ("raw", "code"),
    [
        (b"", "AU_CODE"),
        (b"XX000305", "AU_CODE"),
        (b"D 0003", "AU_LAYOUT"),
        (new_result("14  78.8  "), "AU_LAYOUT"),
        (b"D " + b"1" * (1 << 20), "AU_TOO_LONG"),
    ],
    ids=["empty", "code", "short", "widths", "long"],
)
def test_what_cannot_be_read(raw: bytes, code: str):
    with pytest.raises(MessageError) as caught:
        read_message(raw, OLD)
    assert caught.value.code == code
    assert "261123000017" not in caught.value.message


@pytest.mark.parametrize("width", [20, 30])
def test_a_width_that_was_changed_at_the_machine_shows_itself(width: int):
    profile = DeviceProfile.model_validate({"protocol": "au", "au": {"specimen_width": width}})
    message = read_message(old_result("014  78.8  097 135.8"), profile)
    assert message.flags == ("specimen_width_changed",)
    assert message.specimens[0].specimen_id == "261123000017"
    assert [row.value for row in message.specimens[0].observations] == ["78.8", "135.8"]


def test_a_machine_that_sends_nothing_before_its_results():
    at_once = f"D 000305 0081{'261123000017':>26}014  78.8  097 135.8".encode()
    assert [row.value for row in read_message(at_once, OLD).specimens[0].observations] == ["78.8", "135.8"]
    with pytest.raises(MessageError):
        read_message(at_once, DeviceProfile.model_validate({"protocol": "au", "au": {"specimen_width": 20}}))


@pytest.mark.parametrize("patient", [f"0{'':25}", "M00000ASHA RAO            ", f"F00042{'':20}"])
@pytest.mark.parametrize("run_at", ["", RUN_AT, f" {RUN_AT}"])
def test_what_stands_before_the_results_is_found(patient: str, run_at: str):
    message = read_message(old_result(f"{patient}{run_at}014  78.8  097 135.8"), OLD)
    assert [row.code for row in message.specimens[0].observations] == ["014", "097"]
    assert bool(message.sent_at) is bool(run_at)


def test_results_are_not_taken_for_a_name():
    with pytest.raises(MessageError):
        read_message(old_result("M00042014  78.8  097 135.8  098 4.186  "), OLD)


@given(st.binary(max_size=300) | st.builds(lambda tail: b"D 000305 0081" + tail, st.binary(max_size=200)))
def test_any_bytes_are_read_or_refused(raw: bytes):
    for profile in (OLD, NEW):
        try:
            code = f"AU_{read_message(raw, profile).kind}"
        except MessageError as error:
            code = error.code
        assert code.startswith(("AU_", "BLOCK_"))


@given(
    st.lists(
        st.tuples(st.integers(1, 999), st.decimals(0, 9999, places=1), st.sampled_from(["", "H", "Lr"])), min_size=1
    )
)
def test_what_is_written_is_read(rows: list):
    text = "".join(f"{test:03d}{value!s:>6}{marks:<2}" for test, value, marks in rows).rstrip()
    found = read_message(new_result(text), NEW).specimens[0].observations
    assert [(row.code, row.value) for row in found] == [(f"{test:03d}", str(value)) for test, value, _ in rows]


def test_results_that_can_be_read_in_two_ways_are_read_in_none():
    """The id's width was changed at the machine and both widths give results: one of them would be wrong."""
    text = "D 000101 0001             2643830    E85 344.7  07  1148  "
    layout = {"specimen_width": 10, "test_width": 2}
    profile = DeviceProfile.model_validate({"protocol": "au", "au": layout})
    with pytest.raises(MessageError) as caught:
        read_message(text.encode(), profile)
    assert caught.value.code == "AU_LAYOUT"
    as_set = DeviceProfile.model_validate({"protocol": "au", "au": {**layout, "specimen_width": 20}})
    assert read_message(text.encode(), as_set).specimens[0].specimen_id == "2643830"


def test_a_block_number_is_no_sample_id():
    text = "D 000101 0001            E0             20261123101500165   928  406 438.4"
    layout = {"specimen_width": 15, "results_offset": 30}
    with pytest.raises(MessageError) as caught:
        read_message(text.encode(), DeviceProfile.model_validate({"protocol": "au", "au": layout}))
    assert caught.value.code == "AU_LAYOUT"
