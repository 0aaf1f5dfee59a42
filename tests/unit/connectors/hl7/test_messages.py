import contextlib
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.hl7.messages import read_message
from domain.device_profile import DeviceProfile, FieldRule
from domain.errors import MessageError
from domain.observations import MessageKind, ObservationStatus

GENERIC = DeviceProfile(protocol="hl7")


def message(*segments: str, kind: str = "ORU^R01", version: str = "2.5.1") -> bytes:
    head = f"MSH|^~\\&|XN^1|LAB|LIS|LAB|20260901101500+0530||{kind}|M7|P|{version}"
    return "\r".join((head, *segments)).encode() + b"\r"


def only(raw: bytes, profile: DeviceProfile = GENERIC):
    (specimen,) = read_message(raw, profile).specimens
    return specimen


def row(text: str, profile: DeviceProfile = GENERIC):
    (observation,) = only(message("OBR|1||S1", text), profile).observations
    return observation


def test_a_full_result():
    raw = message(
        "PID|1||P1||SHARMA^ASHA",
        "NTE|1|L|about the patient SHARMA",
        "OBR|1||261123000017|GLU",
        "NTE|1|L|hemolysis \\T\\ icterus",
        "OBX|1|NM|2345-7^Glucose^LN|1|126.4|mg/dL^mg/dL^UCUM|70-100|H~A|||F|||20260901100000||tech^x||dev|20260901103500+0530",
        "NTE|1|L|delta check",
    )
    read = read_message(raw, GENERIC)
    assert (read.kind, read.message_id, read.sender) == (MessageKind.RESULTS, "M7", "XN LAB")
    assert read.sent_at == datetime(2026, 9, 1, 4, 45, tzinfo=UTC)
    (specimen,) = read.specimens
    assert (specimen.specimen_id, specimen.comments) == ("261123000017", ("hemolysis & icterus",))
    (observation,) = specimen.observations
    assert (observation.code, observation.value, observation.unit) == ("2345-7", "126.4", "mg/dL")
    assert (observation.reference_range, observation.abnormal_flags) == ("70-100", ("H", "A"))
    assert observation.observed_at == datetime(2026, 9, 1, 5, 5, tzinfo=UTC)
    assert (observation.status, observation.value_type) == (ObservationStatus.FINAL, "NM")
    assert observation.comments == ("delta check",)
    assert "SHARMA" not in repr(read)


@pytest.mark.parametrize("kind", ["ORU^R01", "ORU^R30^ORU_R30", "ORU^R32^ORU_R30", "OUL^R22^OUL_R22", "OUL^R24", ""])
def test_message_types_with_results(kind):
    assert read_message(message("OBR|1||S1", "OBX|1|NM|X||1", kind=kind), GENERIC).kind is MessageKind.RESULTS


def test_specimen_after_the_rows_in_oru_and_before_them_in_oul():
    oru = message("OBR|1|A", "OBX|1|NM|X||1", "SPM|1|S1", "OBR|2|B", "OBX|1|NM|X||2", "SPM|2|S2")
    oul = message(
        "SPM|1|S1", "SAC|||T1", "OBR|1|A", "ORC|OK", "OBX|1|NM|X||1", "SPM|1|S2", "OBR|1|B", "ORC|OK", "OBX|1|NM|X||2"
    )
    for raw in (oru, oul):
        found = [(s.specimen_id, [o.value for o in s.observations]) for s in read_message(raw, GENERIC).specimens]
        assert found == [("S1", ["1"]), ("S2", ["2"])]


def test_the_container_of_one_specimen_is_not_that_of_the_next():
    raw = message("SPM|1", "SAC|||T1", "OBR|1", "OBX|1|NM|X||1", "SPM|2", "SAC|||T2", "OBR|1", "OBX|1|NM|X||2")
    assert [specimen.specimen_id for specimen in read_message(raw, GENERIC).specimens] == ["T1", "T2"]


def test_several_orders_of_one_specimen_are_one_report():
    raw = message("SPM|1|S1", "OBR|1", "OBX|1|NM|X||1", "OBR|2", "OBX|1|NM|Y||2")
    assert [o.code for o in only(raw).observations] == ["X", "Y"]


@pytest.mark.parametrize(
    ("segments", "specimen_id"),
    [
        (("SPM|1|022&BARCODE",), "022"),
        (('SPM|1|I473^""|""',), "I473"),
        (('SPM|1|""&&""||""', "SAC|||25133"), "25133"),
        (("SPM|1", "SAC|||VL01"), "VL01"),
        ((), "OBR3"),
    ],
)
def test_where_the_barcode_stands(segments, specimen_id):
    raw = message(*segments, "OBR|1|OBR2|OBR3", "OBX|1|NM|X||1", kind="OUL^R22")
    assert only(raw).specimen_id == specimen_id


def test_a_profile_moves_the_barcode():
    profile = DeviceProfile(protocol="hl7", specimen_fields=("OBR.2.1",))
    assert only(message("OBR|1|S0000002|2", "OBX|1|NM|X||1"), profile).specimen_id == "S0000002"


@pytest.mark.parametrize(
    "segments",
    [
        ("SPM|1|A|||||||||Q^Control", "OBR|1"),
        ("SPM|1|QC-L1", "OBR|1"),
        ("OBR|1||CTRL-2",),
    ],
)
def test_controls_are_told_from_patients(segments):
    assert only(message(*segments, "OBX|1|NM|X||1")).is_control


def test_the_lot_names_the_control():
    raw = message("SPM|1|QC-L1|||||||||Q", "INV|BR^Level 1||||||||||||||||LOT4", "OBR|1", "OBX|1|NM|X||1")
    assert only(raw).control_name in {"BR", "LOT4"}
    raw = message("SPM|1|QC-L1|||||||||Q", "INV|BR" + "|" * 15 + "LOT4", "OBR|1", "OBX|1|NM|X||1")
    assert only(raw).control_name == "LOT4"


@pytest.mark.parametrize(
    ("letter", "status"),
    [
        ("", ObservationStatus.FINAL),
        ("F", ObservationStatus.FINAL),
        ("C", ObservationStatus.CORRECTED),
        ("P", ObservationStatus.PRELIMINARY),
        ("R", ObservationStatus.PRELIMINARY),
        ("X", ObservationStatus.FAILED),
        ("W", ObservationStatus.FAILED),
        ("I", ObservationStatus.PENDING),
        ("O", ObservationStatus.UNKNOWN),
    ],
)
def test_statuses(letter, status):
    assert row(f"OBX|1|NM|X||5||||||{letter}").status is status


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("OBX|1|SN|X||<^5", "<5"),
        ("OBX|1|SN|X||1^:^80", "1:80"),
        ("OBX|1|ST|X|| < 20 ", "< 20"),
        ("OBX|1|CE|X||41765^4.17~", "41765^4.17"),
        ("OBX|1|CE|X||^^99ROC", ""),
        ("OBX|1|TX|X||9.60", "9.60"),
    ],
)
def test_values(text, value):
    assert row(text).value == value


@pytest.mark.parametrize(
    ("field", "unit"),
    [
        ("mg/dL", "mg/dL"),
        ("mg/L^^99ROC", "mg/L"),
        ("^Copies/mL", "Copies/mL"),
        ("10\\S\\3/uL", "10^3/uL"),
        ("10^3/uL", "10^3/uL"),
        ("10*3/uL^thousand per microliter^UCUM", "10*3/uL"),
        ('""', ""),
        ("", ""),
    ],
)
def test_units(field, unit):
    assert row(f"OBX|1|NM|X||5|{field}").unit == unit


def test_images_and_supplementary_rows_are_counted_and_left_out():
    raw = message(
        "OBR|1||S1",
        "OBX|1|NM|1067^Glu^99A||5",
        "OBX|2|ED|H^Histogram^99A||^Image^BMP^Base64^AAAA",
        "OBX|3|NM|1067-RLU^Glu^99A^S_OTHER||53219",
        "NTE|1|L|about the raw signal",
    )
    read = read_message(raw, GENERIC)
    assert len(read.specimens[0].observations) == 1
    assert read.specimens[0].observations[0].comments == ()
    assert read.skipped_rows == 2


def test_comment_rows():
    profile = DeviceProfile(protocol="hl7", comment_rows=(FieldRule(field="OBX.2", equals=("IS",)),))
    specimen = only(message("OBR|1||S1", "OBX|1|IS|12011^Anemia^99||T", "OBX|2|NM|X||5"), profile)
    assert specimen.comments == ("Anemia: T",)
    assert len(specimen.observations) == 1


def test_only_rows_of_the_kept_kind_are_results():
    profile = DeviceProfile(
        protocol="hl7",
        keep_rows=(FieldRule(field="OBX.3.1", pattern=r".*\.DOSE$"),),
        comment_rows=(FieldRule(field="OBX.2", equals=("IS",)),),
    )
    raw = message("OBR|1||S1", "OBX|1|NM|FT3.RLU||149870|pg/mL", "OBX|2|NM|FT3.DOSE||3.5|pg/mL", "OBX|3|IS|F||T")
    read = read_message(raw, profile)
    assert [(o.code, o.value) for o in read.specimens[0].observations] == [("FT3.DOSE", "3.5")]
    assert read.specimens[0].comments == ("F: T",)
    assert read.skipped_rows == 2


def test_image_rows_are_left_out():
    profile = DeviceProfile(protocol="hl7", image_rows=(FieldRule(field="OBX.3.1", equals=("HISTO",)),))
    assert read_message(message("OBR|1||S1", "OBX|1|ST|HISTO||00FF"), profile).skipped_rows == 1


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("30.600000381469727", "30.6"),
        ("5.5", "5.5"),
        ("0.0500000007", "0.05"),
        ("120", "120"),
        ("1234567.2500000001", "1234567"),
        ("<30.6000003", "<30.6000003"),
        ("1.2.3", "1.2.3"),
        ("NaN.", "NaN."),
    ],
)
def test_binary_fractions_are_rounded(value, shown):
    profile = DeviceProfile(protocol="hl7", significant_digits=6)
    assert row(f"OBX|1|NM|MCHC||{value}", profile).value == shown


@pytest.mark.parametrize(
    ("code", "value", "status"),
    [
        ("WBC", "0", ObservationStatus.FAILED),
        ("WBC", "0.00", ObservationStatus.FAILED),
        ("WBC", "0.01", ObservationStatus.FINAL),
        ("BAS%", "0", ObservationStatus.FINAL),
        ("WBC", "10", ObservationStatus.FINAL),
    ],
)
def test_a_zero_of_a_blank_run_is_no_result(code, value, status):
    profile = DeviceProfile(protocol="hl7", zero_is_failure=("WBC", "HGB"))
    assert row(f"OBX|1|NM|{code}||{value}", profile).status is status


@pytest.mark.parametrize(
    ("segments", "kind", "ids"),
    [
        (("QPD|WOS|Q1|26S1",), "QBP^Q11", ("26S1",)),
        (("QPD|Z03^HOST QUERY|q|Patient|Specimen",), "QBP^Z03", ("Specimen",)),
        (("QRD|2026|R|D|1|||RD|S2|OTH", "QRF|BS"), "QRY^Q02", ("S2",)),
        (("ORC|RF||122||IP",), "ORM^O01", ("122",)),
        (("QRD|2026|R|D|1|||RD||OTH",), "QRY^Q02", ()),
    ],
)
def test_queries(segments, kind, ids):
    read = read_message(message(*segments, kind=kind), GENERIC)
    assert (read.kind, read.queried_specimens) == (MessageKind.QUERY, ids)


def test_other_messages():
    assert read_message(message("MSA|AA|1", kind="ACK"), GENERIC).kind is MessageKind.ACKNOWLEDGEMENT
    assert read_message(message("MSA|AA|1", "ORC|RF||1", kind="ORR^O02"), GENERIC).kind is MessageKind.ACKNOWLEDGEMENT
    assert read_message(message("EQU|1", kind="ESU^U01"), GENERIC).kind is MessageKind.OTHER
    assert read_message(message("ORC|NW|1", "OBR|1", kind="OML^O33"), GENERIC).specimens == ()


def test_two_thousand_rows_are_all_there():
    rows = (f"OBX|{n}|NM|T{n}^Test {n}^L||{n}.5|mg/dL|0-9|N|||F" for n in range(2000))
    assert len(only(message("OBR|1||S1", *rows)).observations) == 2000


def test_twenty_thousand_repetitions_are_refused():
    with pytest.raises(MessageError) as caught:
        only(message("OBR|1||S1", "OBX|1|NM|X||5|||" + "~".join("H" * 20_001)))
    assert caught.value.code == "MESSAGE_TOO_LARGE"


NAMES = st.sampled_from(["PID", "OBR", "OBX", "SPM", "SAC", "ORC", "NTE", "INV", "MSA", "QPD", "ZZZ"])
SEGMENTS = st.tuples(NAMES, st.text(max_size=25)).map("|".join)


@given(st.lists(SEGMENTS, max_size=12), st.sampled_from(["ORU^R01", "OUL^R22", ""]))
def test_any_segments_are_read_or_refused_and_no_row_is_lost(segments, kind):
    raw = message(*segments, kind=kind).decode().encode(errors="replace")
    read = None
    with contextlib.suppress(MessageError):
        read = read_message(raw, GENERIC)
    if read is not None and read.kind is MessageKind.RESULTS:
        sent = sum(line.strip().upper().startswith("OBX") for line in raw.decode().replace("\n", "\r").split("\r"))
        assert sum(len(specimen.observations) for specimen in read.specimens) + read.skipped_rows == sent


@pytest.mark.parametrize(
    ("sent", "read"), [("A~B", "A~B"), ("5.1~5.1", "5.1"), ("~5.1", "5.1"), ("A^B^L~C", "A^B^L~C")]
)
def test_no_repetition_of_a_value_is_lost(sent: str, read: str):
    raw = f"MSH|^~\\&|||||||ORU^R01|1|P|2.5\rOBR|1||T17\rOBX|1|ST|GLU||{sent}|mmol/L\r".encode()
    (specimen,) = read_message(raw, DeviceProfile(protocol="hl7")).specimens
    assert specimen.observations[0].value == read
