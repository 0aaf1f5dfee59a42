import pytest

from domain.device_profile import DeviceProfile
from domain.device_reading import (
    RowKind,
    code_and_replicate,
    finished,
    image_content,
    patient_ids,
    range_of,
    row_kind,
    specimen_id,
)
from domain.observations import Observation, ObservationStatus, SpecimenReport


def fields(**values: str):
    """Return a reader over `R_4="5.1"`-like fields."""
    known = {name.replace("_", "."): value for name, value in values.items()}
    return lambda path: (known[path],) if path in known else ()


def profile(**rules) -> DeviceProfile:
    return DeviceProfile(protocol="astm", **rules)


NOTHING = fields()


def done(value: str, read=NOTHING, unit: str = "", **rules) -> Observation:
    return finished(profile(**rules), Observation(code="PLT", value=value, unit=unit), read)


RULE = {"field": "R.3.11", "equals": ["F"]}


@pytest.mark.parametrize(
    ("rules", "letter", "kind"),
    [
        ({}, "P", RowKind.RESULT),
        ({"keep_rows": [RULE]}, "F", RowKind.RESULT),
        ({"keep_rows": [RULE]}, "P", RowKind.SKIPPED),
        ({"skip_rows": [RULE]}, "F", RowKind.SKIPPED),
        ({"image_rows": [RULE], "skip_rows": [RULE]}, "F", RowKind.IMAGE),
        ({"comment_rows": [RULE], "keep_rows": [{"field": "R.4"}]}, "F", RowKind.COMMENT),
    ],
)
def test_what_a_row_is(rules, letter, kind):
    assert row_kind(profile(**rules), fields(R_3_11=letter)) is kind


def test_the_first_specimen_field_that_fits_counts():
    read = fields(O_3_1="7", O_4_1="261123000017")
    both = {"specimen_fields": ["O.3.1", "O.4.1"]}
    assert specimen_id(profile(**both), read) == "7"
    assert specimen_id(profile(**both, specimen_pattern=r"\d{12}$"), read) == "261123000017"
    assert specimen_id(profile(**both, specimen_pattern="X"), read) == "7"
    assert specimen_id(profile(**both), fields()) == ""


def test_a_barcode_inside_a_field():
    cut = profile(specimen_fields=["O.4.1"], specimen_cut=r"(.+)-[^-]*-[^-]*-\d{8}-[^-]*$")
    assert specimen_id(cut, fields(O_4_1="26-A1-02-7-20261123-LIS001")) == "26-A1"
    assert specimen_id(cut, fields(O_4_1="26A1")) == "26A1"


@pytest.mark.parametrize(
    ("sent", "code", "replicate"),
    [("685/", "685", ""), ("117/1/not", "117", "1"), ("117", "117", ""), ("", "", "")],
)
def test_a_code_inside_a_field(sent, code, replicate):
    cut = profile(test_code_fields=["R.3.4"], code_cut="(?P<code>[^/]*)(?:/(?P<replicate>[^/]*))?")
    assert code_and_replicate(cut, fields(R_3_4=sent)) == (code, replicate)


def test_a_second_reading_of_a_test_has_a_code_of_its_own():
    both = profile(row_variants=[{"when": {"field": "R.3.11", "equals": ["I"]}, "suffix": "/I"}])
    assert code_and_replicate(both, fields(R_3_4="651", R_3_11="I")) == ("651/I", "")
    assert code_and_replicate(both, fields(R_3_4="651", R_3_11="F")) == ("651", "")
    assert code_and_replicate(both, fields(R_3_11="I")) == ("", "")


@pytest.mark.parametrize(
    ("sent", "digits", "shown"),
    [
        ("30.600000381469727", 6, "30.6"),
        ("-0.0191002265", 6, "-0.0191"),
        ("30.600000381469727", 0, "30.600000381469727"),
        ("5.10", 6, "5.10"),
        ("1234567.8901", 6, "1234568"),
        ("1234567", 6, "1234567"),
        ("<0.123456789", 6, "<0.123456789"),
        ("***", 6, "***"),
    ],
)
def test_binary_fractions_are_rounded(sent, digits, shown):
    assert done(sent, significant_digits=digits).value == shown


@pytest.mark.parametrize(
    ("value", "status"),
    [("0", "failed"), ("0.00", "failed"), ("1", "final"), ("", "final"), ("---", "final")],
)
def test_a_zero_count_is_a_failed_run(value, status):
    assert done(value, zero_is_failure=["PLT"]).status == status
    assert done(value, zero_is_failure=["WBC"]).status == "final"


def test_results_a_person_must_look_at():
    held = {"held_rows": [{"field": "R.7", "pattern": r"\d{1,4}$"}]}
    assert done("1", fields(R_7="029"), **held).status is ObservationStatus.UNKNOWN
    assert done("1", fields(R_7="H"), **held).status is ObservationStatus.FINAL
    failed = Observation(code="PLT", value="", status=ObservationStatus.FAILED)
    assert finished(profile(**held), failed, fields(R_7="029")).status is ObservationStatus.FAILED


@pytest.mark.parametrize(
    ("value", "shown", "unit"),
    [
        ("6.73E+01 cp/mL", "6.73E+01", "cp/mL"),
        ("< 20 Copies/mL", "< 20", "Copies/mL"),
        ("Target Not Detected", "Target Not Detected", ""),
        ("15", "15", ""),
    ],
)
def test_a_unit_in_the_value(value, shown, unit):
    row = done(value, unit_in_value=True)
    assert (row.value, row.unit) == (shown, unit)
    assert done(value).value == value


def test_units_by_number_and_from_another_field():
    assert done("1", unit="15", unit_names={"15": "mg/dL"}).unit == "mg/dL"
    assert done("1", fields(R_14="U/L"), unit="x", unit_fields=["R.14"]).unit == "U/L"


def test_flags_from_another_field_and_in_a_list():
    row = Observation(code="x", value="1", abnormal_flags=("TV,TPNR",))
    assert finished(profile(flag_separator=","), row, fields()).abnormal_flags == ("TV", "TPNR")
    assert finished(profile(flag_fields=["R.13"]), row, fields(R_13="H")).abnormal_flags == ("H",)
    assert finished(profile(flag_fields=["R.13"]), row, fields(R_13='""')).abnormal_flags == ("TV,TPNR",)


def test_what_stands_beside_the_value_becomes_a_comment():
    beside = {"side_value_fields": ["R.4.1"]}
    assert done("0.567", fields(R_4_1="-1"), **beside).comments == ("-1",)
    assert done("4.60", fields(R_4_1="4.60"), **beside).comments == ()


def test_ranges():
    assert range_of("138^146", ["138", "146"]) == "138-146"
    assert range_of("70 to 100^N", ["70 to 100", "N"]) == "70 to 100^N"
    assert range_of(" 4-11 ", [" 4-11 "]) == "4-11"
    assert range_of("", [""]) == ""
    assert (
        finished(
            profile(decimal_comma=True), Observation(code="x", value="1", reference_range="3,50-9,50"), fields()
        ).reference_range
        == "3.50-9.50"
    )


def test_images():
    assert image_content("Base64", "Qk0=") == b"BM"
    assert image_content("Base64", "no image!") == b"no image!"
    assert image_content("A", "text") == b"text"


@pytest.mark.parametrize(
    "rules", [{"specimen_cut": r"\d+"}, {"code_cut": r"(\d+)"}, {"code_cut": "("}, {"specimen_cut": "("}]
)
def test_patterns_need_their_groups(rules):
    with pytest.raises(ValueError, match=r"group|regular expression"):
        profile(**rules)


def test_a_patient_s_numbers_are_read_once_each_and_kept_out_of_a_repr():
    known = {"P.3.1": ("P00000001 ",), "P.4.1": ("P00000001",), "P.5.1": ("7",)}
    rules = profile(patient_fields=("P.3.1", "P.4.1", "P.5.1", "P.6.1"))
    found = patient_ids(rules, lambda path: known.get(path, ()))
    assert found == ("P00000001", "7")
    assert "P0000" not in repr(SpecimenReport("1", (), patient_ids=found))
