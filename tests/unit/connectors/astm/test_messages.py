import contextlib
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.astm.framing import frames_of
from connectors.astm.messages import read_message
from domain.device_profile import DeviceProfile, FieldRule
from domain.errors import MessageError
from domain.observations import MessageKind, ObservationStatus

GENERIC = DeviceProfile(protocol="astm")


def message(*records: str) -> bytes:
    return "\r".join(("H|\\^&|7||Analyzer^1.2|||||||P|LIS2-A2|20260901101500", *records, "L|1|N")).encode() + b"\r"


def rows(*records: str, profile: DeviceProfile = GENERIC):
    (specimen,) = read_message(message("P|1", "O|1|261123000017", *records), profile).specimens
    return specimen.observations


def test_a_full_result():
    read = read_message(
        message(
            "P|1||P0001||SHARMA^ASHA",
            "O|1| 261123000017 ||^^^GLU|R",
            "C|1|I|clot^possible|I",
            "R|1|^^^GLU|126.4|mg/dL|70 to 100^N\\60 to 120^C|H\\A||F||tech1^boss||20260901101400|SN9",
            "C|1|I|Flag^LIPEMIC|I",
            "C|2|I|second|I",
        ),
        GENERIC,
    )
    assert (read.kind, read.message_id, read.sender) == (MessageKind.RESULTS, "7", "Analyzer 1.2")
    assert read.sent_at == datetime(2026, 9, 1, 4, 45, tzinfo=UTC)
    (specimen,) = read.specimens
    assert (specimen.specimen_id, specimen.is_control, specimen.comments) == ("261123000017", False, ("clot possible",))
    (row,) = specimen.observations
    assert (row.code, row.value, row.unit, row.status) == ("GLU", "126.4", "mg/dL", ObservationStatus.FINAL)
    assert row.reference_range == "70 to 100^N; 60 to 120^C"
    assert row.abnormal_flags == ("H", "A")
    assert row.operator == "tech1"
    assert row.observed_at == datetime(2026, 9, 1, 4, 44, tzinfo=UTC)
    assert row.comments == ("Flag LIPEMIC", "second")


def test_framed_bytes_read_like_bare_ones():
    raw = message("O|1|1", "R|1|^^^GLU|5")
    assert read_message(b"\x05" + b"".join(frames_of(raw)) + b"\x04", GENERIC) == read_message(raw, GENERIC)


@pytest.mark.parametrize(
    ("letter", "status"),
    [
        ("", ObservationStatus.FINAL),
        ("F", ObservationStatus.FINAL),
        ("v", ObservationStatus.FINAL),
        ("R", ObservationStatus.FINAL),
        ("C", ObservationStatus.CORRECTED),
        ("P", ObservationStatus.PRELIMINARY),
        ("X", ObservationStatus.FAILED),
        ("I", ObservationStatus.PENDING),
        ("W", ObservationStatus.UNKNOWN),
        ("N", ObservationStatus.UNKNOWN),
        ("?", ObservationStatus.UNKNOWN),
    ],
)
def test_statuses(letter, status):
    assert rows(f"R|1|^^^GLU|5|||||{letter}")[0].status is status


@pytest.mark.parametrize(
    "value", ["> 15000.00", "<2.00", "-1^0.750", "Target Not Detected", "3.26E+05 cp/mL", "7,41", "-0.0191"]
)
def test_values_stay_as_the_device_wrote_them(value):
    assert rows(f"R|1|^^^X| {value} ")[0].value == value


@pytest.mark.parametrize("value", ["----", "NA", "***", "No Result", "", '""'])
def test_no_value_is_a_failed_row_and_not_a_missing_one(value):
    (row,) = rows(f"R|1|^^^X|{value}|||||F")
    assert row.status is ObservationStatus.FAILED


def test_where_the_code_stands():
    assert [row.code for row in rows("R|1|^^^A^1|1", "R|2|^^^^B^1|1", "R|3|C|1")] == ["A", "B", "C"]


def test_results_without_an_order_and_several_orders_of_one_specimen():
    read = read_message(message("P|1", "R|1|^^^TP|10"), GENERIC)
    assert [(s.specimen_id, len(s.observations)) for s in read.specimens] == [("", 1)]
    read = read_message(message("O|1|A", "R|1|^^^X|1", "O|2|B", "R|1|^^^X|2", "O|3|A", "R|1|^^^Y|3"), GENERIC)
    assert [(s.specimen_id, [o.value for o in s.observations]) for s in read.specimens] == [
        ("A", ["1", "3"]),
        ("B", ["2"]),
    ]


def test_an_order_alone_is_an_event_and_no_empty_result():
    read = read_message(message("O|1|A|||||||||X||||||||||||||X"), GENERIC)
    assert read.kind is MessageKind.OTHER
    assert read.specimens[0].observations == ()


@pytest.mark.parametrize(
    "records",
    [
        ["O|1|QC-L1", "R|1|^^^X|1"],
        ["O|1|A|||||||||Q", "R|1|^^^X|1"],
        ["O|1|A|||||||||X\\Q", "R|1|^^^X|1"],
        ["O|1|A|4^3^6^^QC^SC", "R|1|^^^X|1"],
    ],
)
def test_controls_are_told_from_patients(records):
    (specimen,) = read_message(message(*records), GENERIC).specimens
    assert specimen.is_control
    assert specimen.control_name in {"A", "QC-L1"}


def test_a_header_that_says_qc_makes_all_specimens_controls():
    raw = message("O|1|A", "R|1|^^^X|1").replace(b"|P|LIS2", b"|Q|LIS2")
    assert all(specimen.is_control for specimen in read_message(raw, GENERIC).specimens)


@pytest.mark.parametrize(
    ("query", "ids"),
    [
        ("Q|1|^261123000017||ALL||||||||O", ("261123000017",)),
        ("Q|1|4350084590||ALL||||||||O", ("4350084590",)),
        ("Q|1|PAT^4350084590||ALL||||||||O", ("4350084590",)),
        ("Q|1|^^           911018^3^50002^002^^S1^SC||ALL||||||||O", ("911018",)),
        ("Q|1|^1\\^2\\3||ALL||||||||O", ("1", "2", "3")),
    ],
)
def test_queries(query, ids):
    read = read_message(message(query), GENERIC)
    assert (read.kind, read.queried_specimens) == (MessageKind.QUERY, ids)


def test_a_cancelled_query_asks_nothing():
    assert read_message(message("Q|1|^1||ALL||||||||A"), GENERIC).kind is MessageKind.OTHER


def test_a_batch_query_with_backticks():
    raw = b"H|`^&||||||||||P|E 1394-97|20200928\rQ|1|^1007149`1007152`1007151|||S|||||||O\rL|1|N\r"
    assert read_message(raw, GENERIC).queried_specimens == ("1007149", "1007152", "1007151")


def test_keep_alive_is_nothing():
    read = read_message(message(), GENERIC)
    assert (read.kind, read.specimens) == (MessageKind.OTHER, ())


def test_patient_comments_are_left_alone():
    read = read_message(message("P|1", "C|1|P|DOE^JOHN", "O|1|A", "C|1|P|DOE^JOHN", "R|1|^^^X|1"), GENERIC)
    assert "DOE" not in repr(read)


def test_rows_to_skip_and_rows_that_are_comments():
    profile = DeviceProfile(
        protocol="astm",
        skip_rows=(FieldRule(field="R.3.4", pattern="SCAT"),),
        comment_rows=(FieldRule(field="R.3.4", equals=("Flag",)),),
    )
    raw = message("O|1|A", "R|1|^^^X|1", "R|2|^^^SCAT_WDF|path", "C|1|I|about the picture", "R|3|^^^Flag|Blasts?")
    read = read_message(raw, profile)
    (specimen,) = read.specimens
    assert [row.comments for row in specimen.observations] == [()]
    assert specimen.comments == ("Flag: Blasts?",)
    assert read.skipped_rows == 2


def test_character_sets():
    raw = "H|\\^&\rO|1|A\rR|1|^^^X|5|µmol/L\rL|1\r"
    for charset in ("utf-8", "latin-1"):
        (specimen,) = read_message(raw.encode(charset), GENERIC).specimens
        assert specimen.observations[0].unit == "µmol/L"
    fixed = DeviceProfile(protocol="astm", charset="ascii")
    assert read_message(raw.encode("latin-1"), fixed).flags == ("charset_fallback",)


def test_flags():
    assert read_message(b"H|\\^&\rR|1|^^^X|1\r", GENERIC).flags == ("no_terminator",)


@pytest.mark.parametrize("raw", [b"", b"\x05\x04", b"hello", b"24/10/29 13:05\r", b"\x00" * 50])
def test_what_holds_no_record_is_refused_with_a_reason(raw):
    with pytest.raises(MessageError) as caught:
        read_message(raw, GENERIC)
    assert caught.value.action


def test_bounds():
    with pytest.raises(MessageError) as caught:
        read_message(b"R|1|" + b"x" * (5 << 20), GENERIC)
    assert caught.value.code == "MESSAGE_TOO_LARGE"
    with pytest.raises(MessageError):
        read_message(message("O|1|" + "\\".join("x" * 20_001)), GENERIC)


def test_two_thousand_results_are_all_there():
    raw = message("O|1|A", *(f"R|{n}|^^^T{n}|{n}.5|mg/dL|0 to 9|N||F" for n in range(2000)))
    (specimen,) = read_message(raw, GENERIC).specimens
    assert len(specimen.observations) == 2000


@given(
    st.lists(
        st.sampled_from("HPORCQLMSX").flatmap(lambda kind: st.text(max_size=30).map(f"{kind}|".__add__)), max_size=8
    )
)
def test_any_records_are_read_or_refused(records):
    with contextlib.suppress(MessageError):
        read_message("\r".join(records).encode(errors="replace"), GENERIC)


@given(st.binary(max_size=400))
def test_any_bytes_are_read_or_refused(raw):
    with contextlib.suppress(MessageError):
        read_message(raw, GENERIC)


def test_what_a_sender_repeats_after_a_break_counts_once():
    again = ("P|1", "O|1|261123000017", "R|1|^^^GLU|5|mmol/L", "C|1|I|lipemic|I", "R|2|^^^CRE|80")
    read = read_message(message("P|1", "O|1|261123000017", "R|1|^^^GLU|5|mmol/L", *again, "R|3|^^^NA|140"), GENERIC)
    (specimen,) = read.specimens
    assert [row.code for row in specimen.observations] == ["GLU", "CRE", "NA"]
    assert specimen.observations[0].comments == ("lipemic",)
    assert read.skipped_rows == 1


def test_a_query_taken_back_is_no_query():
    assert read_message(message("Q|1|^7||||||||||A"), GENERIC).kind is MessageKind.OTHER


def test_every_repetition_of_a_comment_is_kept():
    (row,) = rows("R|1|^^^GLU|5.4", "C|1|I|LIP^lipemic\\HEM^haemolytic|I")
    assert row.comments == ("LIP lipemic; HEM haemolytic",)


def test_values_and_ranges_are_the_same_with_other_marks():
    raw = b"H!~$%!!!x\rO!1!T17\rR!1!$$$HIV!-1$0.750!COI!$DEFAULT\rL!1\r"
    (specimen,) = read_message(raw, GENERIC).specimens
    plain = raw.replace(b"!", b"|").replace(b"~", b"\\").replace(b"$", b"^").replace(b"%", b"&")
    assert specimen == read_message(plain, GENERIC).specimens[0]
    assert specimen.observations[0].value == "-1^0.750"


@pytest.mark.parametrize(
    ("sent", "read"),
    [("A\\B", "A\\B"), ("5.1\\5.1", "5.1"), ("\\5.1", "5.1"), ('""\\5.1', "5.1"), ("1^0.7\\2", "1^0.7\\2")],
)
def test_no_repetition_of_a_value_is_lost(sent: str, read: str):
    (row,) = rows(f"R|1|^^^GLU|{sent}")
    assert row.value == read
