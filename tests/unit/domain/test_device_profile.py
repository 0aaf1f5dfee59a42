from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from domain.device_profile import DeviceProfile, FieldRule, decode_text, first_value, parse_path
from domain.observations import ObservationStatus

FINAL = {"F": ObservationStatus.FINAL, "P": ObservationStatus.PRELIMINARY}


@pytest.mark.parametrize("protocol", ["astm", "hl7"])
def test_a_protocol_alone_makes_a_whole_profile_that_survives_json(protocol):
    profile = DeviceProfile(protocol=protocol)
    assert profile.specimen_fields
    assert profile.control_rules
    assert DeviceProfile.model_validate_json(profile.model_dump_json()) == profile


def test_own_fields_replace_the_defaults():
    assert DeviceProfile(protocol="astm", specimen_fields=("O.4.3",)).specimen_fields == ("O.4.3",)


@pytest.mark.parametrize(
    "bad",
    [
        {"protocol": "dicom"},
        {"protocol": "astm", "specimen_fields": ["barcode"]},
        {"protocol": "astm", "specimen_fields": ["O.0"]},
        {"protocol": "astm", "charset": "no-such-charset"},
        {"protocol": "astm", "charset": "utf-16"},
        {"protocol": "astm", "control_rules": [{"field": "O.3", "pattern": "("}]},
        {"protocol": "astm", "unknown": 1},
        "astm",
    ],
)
def test_nonsense_is_refused(bad):
    with pytest.raises(ValidationError):
        DeviceProfile.model_validate(bad)


def test_paths():
    assert parse_path("SPM.2.1.1") == ("SPM", 2, 1, 1)
    assert parse_path("O.3") == ("O", 3, 0, 0)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("20260901101500", datetime(2026, 9, 1, 4, 45, tzinfo=UTC)),
        ("20260901101500+0530", datetime(2026, 9, 1, 4, 45, tzinfo=UTC)),
        ("20260901101500-0100", datetime(2026, 9, 1, 11, 15, tzinfo=UTC)),
        ("20260901", datetime(2026, 8, 31, 18, 30, tzinfo=UTC)),
        ("202609011015", datetime(2026, 9, 1, 4, 45, tzinfo=UTC)),
        ("20260901101500.1234", datetime(2026, 9, 1, 4, 45, tzinfo=UTC)),
        ("2026/10/06 12:32:56", datetime(2026, 10, 6, 7, 2, 56, tzinfo=UTC)),
        ("20261399", None),
        ("0000", None),
        ("", None),
        ("00010101000000", None),
    ],
)
def test_instants(text, expected):
    assert DeviceProfile(protocol="hl7").instant(text) == expected


@given(st.text(max_size=40))
def test_any_text_is_an_instant_or_none(text):
    moment = DeviceProfile(protocol="astm").instant(text)
    assert moment is None or moment.tzinfo is UTC


@pytest.mark.parametrize(
    ("text", "expected"),
    [("7,41", "7.41"), (" <0,5 ", "<0.5"), ("1,234,567", "1,234,567"), ("7.41", "7.41"), ("A,B", "A,B")],
)
def test_decimal_comma(text, expected):
    assert DeviceProfile(protocol="astm", decimal_comma=True).value_text(text) == expected
    assert DeviceProfile(protocol="astm").value_text("7,41") == "7,41"


def test_a_final_row_without_a_usable_value_has_failed():
    profile = DeviceProfile(protocol="astm")
    assert profile.settled_status("F", "5.1", FINAL) is ObservationStatus.FINAL
    for nothing in ("", "----", "***", '""', "NA"):
        assert profile.settled_status("F", nothing, FINAL) is ObservationStatus.FAILED
    assert profile.settled_status("P", "----", FINAL) is ObservationStatus.FAILED
    assert profile.settled_status("?", "5.1", FINAL) is ObservationStatus.UNKNOWN


def test_a_devices_own_status_letters_come_first():
    profile = DeviceProfile(protocol="astm", status_overrides={"P": ObservationStatus.PENDING})
    assert profile.settled_status("P", "", FINAL) is ObservationStatus.PENDING


def test_rules_look_at_every_repetition():
    rule = FieldRule(field="O.12", equals=("Q",))
    assert rule.holds(lambda _path: ("X", " Q "))
    assert not rule.holds(lambda _path: ())
    pattern = FieldRule(field="O.3", pattern="QC-")
    assert pattern.holds(lambda _path: ("QC-1",))
    assert not pattern.holds(lambda _path: ("1QC-",))


def test_first_value_passes_over_nothing_and_delete():
    fields = {"SPM.2": ('""',), "SAC.3": ("  ",), "OBR.3": ("  261123 ",)}
    assert first_value(("SPM.2", "SAC.3", "PID.3", "OBR.3"), lambda path: fields.get(path, ())) == "261123"


def test_decoding_falls_back_and_says_so():
    assert decode_text(b"\xc2\xb5", ["utf-8"]) == ("µ", False)
    assert decode_text(b"\xb5", ["utf-8"]) == ("µ", True)
    assert decode_text(b"\xb5", ["iso8859-1", "utf-8"]) == ("µ", False)
    assert decode_text(b"A", ["no-such", "utf-8"]) == ("A", True)
